"""Metrics for `compile`, by name and for each type of problem.

Keras' own metrics take probabilities, and labels without gaps; models give
logits, and taggers have tokens without a label. So names mean what is right for
a model, and what cannot be right is refused. The same predictions have the same
value here as in `training.metrics`, which sees a whole split at once; but for
the "accuracy" of several labels, which is of labels here, as Keras' own, and of
whole sets there.
"""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from tf_adapters.errors import InputError
from tf_adapters.modeling.keras_rules import KerasRules
from tf_adapters.modeling.losses import argument, of_keras
from tf_adapters.modeling.serialization import PACKAGE

SCORES = ("f1", "macro_f1", "micro_f1", "matthews_correlation")


@tf_keras.saving.register_keras_serializable(PACKAGE)
class Accuracy(tf_keras.metrics.Mean):
  """The part of predictions that are right.

  | problem | what is counted |
  |---|---|
  | tagging | tokens that have a label |
  | multi_label | each label of each text; predicted where its logit is > 0 |
  | span | texts whose first and last token are both right |

  Args:
    problem_type: one of the table. (Classifiers have Keras' own accuracy.)
  """

  def __init__(self, problem_type: str, name: str = "accuracy", **kwargs: Any):
    super().__init__(name=name, **kwargs)
    self.problem_type = problem_type

  def update_state(self, y_true: tf.Tensor, y_pred: tf.Tensor,
                   sample_weight: tf.Tensor | None = None) -> Any:
    y_pred = tf.convert_to_tensor(y_pred)
    if self.problem_type == "multi_label":
      right = tf.equal(tf.cast(y_true, tf.float32) > 0.5, y_pred > 0)
    elif self.problem_type == "tagging":
      y_true = tf.cast(y_true, tf.int32)
      right = tf.equal(y_true, tf.argmax(y_pred, -1, tf.int32))
      sample_weight = _of_labelled(y_true, sample_weight)
    else:
      right = tf.reduce_all(tf.equal(
          tf.cast(y_true, tf.int32), tf.argmax(y_pred, 1, tf.int32)), axis=-1)
    return super().update_state(
        tf.cast(right, self.dtype), sample_weight)

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), "problem_type": self.problem_type}


@tf_keras.saving.register_keras_serializable(PACKAGE)
class LabelScore(tf_keras.metrics.Metric):
  """A score of predicted labels, as scikit-learn has it, over all batches.

  Args:
    score: one of `SCORES`. "f1" is label 1's, of two; "macro_f1" the mean over
      labels, of those that occur where each text or token has one of them.
    num_labels: how many labels there are.
    multi_label: whether `y_true` are zeros and ones [batch, num_labels].
      Otherwise they are numbers, negative where there is none to predict.

  Example:
    >>> score = LabelScore("macro_f1", num_labels=2)
    >>> score.update_state([0, 1], [[2.0, 1.0], [0.0, 3.0]])
    >>> float(score.result())
    1.0
  """

  def __init__(self, score: str, num_labels: int, multi_label: bool = False,
               name: str | None = None, **kwargs: Any):
    super().__init__(name=name or score, **kwargs)
    self.score = score
    self.num_labels = num_labels
    self.multi_label = multi_label
    # Of labels: those that were predicted right, all true and all predicted.
    self.right, self.true, self.predicted = (
        self.add_weight(name, shape=[num_labels], initializer="zeros")
        for name in ("right", "true", "predicted"))

  def update_state(self, y_true: tf.Tensor, y_pred: tf.Tensor,
                   sample_weight: tf.Tensor | None = None) -> None:
    y_pred = tf.convert_to_tensor(y_pred)
    if self.multi_label:
      true = tf.cast(tf.cast(y_true, tf.float32) > 0.5, self.dtype)
      predicted = tf.cast(y_pred > 0, self.dtype)
      weights = tf.ones_like(true)
    else:
      y_true = tf.reshape(tf.cast(y_true, tf.int32), tf.shape(y_pred)[:-1])
      # Of tokens without a label a one-hot is zeros; so is their weight.
      true = tf.one_hot(y_true, self.num_labels, dtype=self.dtype)
      predicted = tf.one_hot(
          tf.argmax(y_pred, -1), self.num_labels, dtype=self.dtype)
      weights = tf.cast(y_true >= 0, self.dtype)[..., tf.newaxis]
    if sample_weight is not None:
      sample_weight = tf.cast(sample_weight, self.dtype)
      while sample_weight.shape.rank < weights.shape.rank:
        sample_weight = sample_weight[..., tf.newaxis]
      weights *= sample_weight
    axes = list(range(true.shape.rank - 1))
    for total, values in ((self.right, true * predicted),
                          (self.true, true), (self.predicted, predicted)):
      total.assign_add(tf.reduce_sum(weights * values, axis=axes))

  def reset_state(self) -> None:
    for total in (self.right, self.true, self.predicted):
      total.assign(tf.zeros_like(total))

  def result(self) -> tf.Tensor:
    right, true, predicted = (tf.convert_to_tensor(value) for value in (
        self.right, self.true, self.predicted))
    divide = tf.math.divide_no_nan
    if self.score == "micro_f1":
      return divide(2 * tf.reduce_sum(right),
                    tf.reduce_sum(true) + tf.reduce_sum(predicted))
    if self.score == "matthews_correlation":
      total, hits = tf.reduce_sum(true), tf.reduce_sum(right)
      spread = [total**2 - tf.reduce_sum(part**2)
                for part in (true, predicted)]
      return divide(hits * total - tf.reduce_sum(true * predicted),
                    tf.sqrt(spread[0]) * tf.sqrt(spread[1]))
    f1 = divide(2 * right, true + predicted)
    if self.score == "f1":
      return f1[1]
    occurs = tf.ones_like(f1) if self.multi_label else tf.cast(
        true + predicted > 0, f1.dtype)
    return divide(tf.reduce_sum(f1), tf.reduce_sum(occurs))

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), "score": self.score,
            "num_labels": self.num_labels, "multi_label": self.multi_label}


def resolve(rules: KerasRules | None, problem_type: str, num_labels: int,
            labels: str | None, metric: Any) -> Any:
  """Makes the metric that is meant.

  Args:
    rules: of the model; None: nothing is known.
    problem_type: the model's.
    num_labels: how many labels it has.
    labels: what labels the loss wants, from `losses.check_loss`.
    metric: what `compile` was given: a name, a function or an object.

  Returns:
    Something that Keras takes; the metric itself where it is the caller's own.

  Raises:
    InputError: it cannot be right for the model.
  """
  if rules is None:
    return metric
  given = metric if isinstance(metric, str) else getattr(
      metric, "__name__", type(metric).__name__)

  def refusal(why: str) -> InputError:
    names = [f"'{name}'" for name in rules.scores]
    names += [_call(name, options) for name, options in rules.metrics.items()]
    return InputError(
        f"metric {given}: is not for this {problem_type}: {why}; there are "
        f"{', '.join(names)}, and metrics of your own")

  if isinstance(metric, str):
    name = "accuracy" if metric.lower() in ("acc", "accuracy") else metric
    if name == "accuracy" and name in rules.scores:
      return _accuracy(problem_type, labels, given)
    if name in rules.scores:
      if name == "f1" and num_labels != 2:
        raise refusal(f"is for two labels, not {num_labels}: macro_f1 and "
                      "micro_f1 are for more")
      if labels == "one-hot":
        raise refusal("takes labels as numbers, not one-hot")
      return LabelScore(name, num_labels, "zeros and ones" in rules.losses)
    metric = tf_keras.metrics.get(metric)
  if isinstance(metric, str):
    raise refusal("there is none of that name")
  if not of_keras(metric):
    return metric
  if not isinstance(metric, tf_keras.metrics.Metric):
    names = rules.metric_functions
    if metric.__name__ in (names.get(labels, ()) if labels else [
        name for group in names.values() for name in group]):
      return metric
    raise refusal(rules.why_not)
  if given in ("Mean", "Sum", "MeanTensor", "Metric"):
    return metric
  by_labels: dict[str | None, Mapping[str, Mapping[str, Any]]] = {
      "numbers": rules.metrics, "one-hot": rules.one_hot_metrics}
  wanted = by_labels.get(
      labels, {**rules.metrics, **rules.one_hot_metrics}).get(given)
  if wanted is None:
    raise refusal(rules.why_not)
  for name, value in wanted.items():
    has = argument(metric, name)
    if has is None:
      has = getattr(metric, f"_{name}", getattr(metric, name, None))
    if has != value:
      raise refusal(
          f"the model gives logits: {_call(given, wanted)} goes by them")
  return metric


def is_score(rules: KerasRules | None, metric: Any) -> bool:
  """Returns whether more of a metric is better; Keras guesses from its name.

  Args:
    rules: of the model; None: nothing is known.
    metric: from `resolve`; of the caller's own nothing is known.
  """
  kind = type(metric).__name__
  return isinstance(metric, (Accuracy, LabelScore)) or (
      rules is not None and of_keras(metric)
      and not kind.endswith(("Error", "Crossentropy"))
      and (kind in rules.metrics or kind in rules.one_hot_metrics))


def _accuracy(problem_type: str, labels: str | None,
              name: str) -> tf_keras.metrics.Metric | str:
  if problem_type != "classification":
    return Accuracy(problem_type, name)
  if labels is None:
    return name  # Keras looks at the labels
  kind = (tf_keras.metrics.CategoricalAccuracy if labels == "one-hot"
          else tf_keras.metrics.SparseCategoricalAccuracy)
  return kind(name)


def _call(name: str, options: Mapping[str, Any]) -> str:
  """Returns the code that makes a metric."""
  arguments = ", ".join(f"{key}={value}" for key, value in options.items())
  return f"{name}({arguments})"


def _of_labelled(y_true: tf.Tensor,
                 sample_weight: tf.Tensor | None) -> tf.Tensor:
  """Returns weights of tokens [batch, length]: zero where there is no label."""
  weights = tf.cast(y_true >= 0, tf.float32)
  if sample_weight is None:
    return weights
  sample_weight = tf.cast(sample_weight, tf.float32)
  if sample_weight.shape.rank == 1:
    sample_weight = sample_weight[:, tf.newaxis]
  return weights * sample_weight
