"""Losses of the types of problems, and which of Keras' own fit which type.

All of ours have a value for each element that has a label, a token or a label
of a text, so that weights of rows and of elements count as in Keras: a loss is
the sum of weights times values, divided by the number of elements.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from tf_adapters.errors import InputError
from tf_adapters.modeling.keras_rules import KerasRules
from tf_adapters.modeling.serialization import PACKAGE


@tf_keras.saving.register_keras_serializable(PACKAGE)
class MultiLabelLoss(tf_keras.losses.Loss):
  """Binary cross-entropy of each label of each text.

  Call arguments:
    y_true: zeros and ones [batch, labels].
    y_pred: logits [batch, labels].
  """

  def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    return tf.nn.sigmoid_cross_entropy_with_logits(
        tf.cast(y_true, y_pred.dtype), y_pred)


@tf_keras.saving.register_keras_serializable(PACKAGE)
class NumberLoss(tf_keras.losses.Loss):
  """Squared error, as a part of the labels' variance.

  1 is what their mean would get, whatever unit they have.

  Args:
    scale: the labels' standard deviation; a model's own variable follows its
      `adapt`.

  Call arguments:
    y_true: numbers [batch] or [batch, 1].
    y_pred: numbers [batch, 1].
  """

  def __init__(self, scale: float | tf.Variable = 1.0, **kwargs: Any):
    super().__init__(**kwargs)
    self.scale = scale

  def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    y_pred = tf.convert_to_tensor(y_pred)  # Keras' own takes lists, too
    y_true = tf.reshape(tf.cast(y_true, y_pred.dtype), tf.shape(y_pred))
    return tf.reduce_mean(tf.square((y_true - y_pred) / self.scale), axis=-1)

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(),
            "scale": float(tf_keras.backend.get_value(self.scale))}


@tf_keras.saving.register_keras_serializable(PACKAGE)
class TokenLoss(tf_keras.losses.Loss):
  """Cross-entropy of token labels, averaged over the tokens that have one.

  Call arguments:
    y_true: int [batch, length], negative for tokens without a label.
    y_pred: logits [batch, length, labels].
  """

  def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    y_true = tf.cast(y_true, tf.int32)
    labelled = tf.cast(y_true >= 0, tf.float32)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        tf.maximum(y_true, 0), y_pred)
    # Keras averages over all tokens, and over replicas.
    tokens = tf.cast(tf.size(labelled), tf.float32)
    count = tf.reduce_sum(labelled)
    replica = tf.distribute.get_replica_context()
    if replica is not None and replica.num_replicas_in_sync > 1:
      count = replica.all_reduce(
          tf.distribute.ReduceOp.SUM, count) / replica.num_replicas_in_sync
    return losses * labelled * tf.math.divide_no_nan(tokens, count)


@tf_keras.saving.register_keras_serializable(PACKAGE)
class SpanLoss(tf_keras.losses.Loss):
  """Mean cross-entropy of a span's first and last token.

  Call arguments:
    y_true: int [batch, 2], the tokens' positions.
    y_pred: logits [batch, length, 2].
  """

  def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    return tf.nn.sparse_softmax_cross_entropy_with_logits(
        tf.cast(y_true, tf.int32), tf.transpose(y_pred, [0, 2, 1]))


def weights_of_elements(weights: Sequence[float], labels: tf.Tensor,
                        sample_weight: tf.Tensor | None, multi_label: bool,
                        per_token: bool) -> tf.Tensor:
  """Returns the weight of each text, token or label of a text in a loss.

  Args:
    weights: of the labels, in order.
    labels: of a batch: numbers [batch] or [batch, 1], or one-hot [batch,
      labels]; of a tagger numbers [batch, length], negative where there is
      none; of several labels a text zeros and ones [batch, labels].
    sample_weight: [batch], or as the result, to multiply with; or None.
    multi_label, per_token: of the model.

  Returns:
    float32 [batch], or as the labels where each of them has a loss.
  """
  table = tf.constant(weights, tf.float32)
  if not (multi_label or per_token) and labels.shape.rank == 2:
    labels = (labels[:, 0] if labels.shape[1] == 1
              else tf.argmax(labels, axis=-1))
  if multi_label:
    result = 1.0 + (table - 1.0) * tf.cast(labels, tf.float32)
  else:
    result = tf.gather(table, tf.maximum(tf.cast(labels, tf.int32), 0))
  if sample_weight is None:
    return result
  sample_weight = tf.cast(sample_weight, tf.float32)
  if result.shape.rank == 1:
    return result * tf.reshape(sample_weight, [-1])
  if sample_weight.shape.rank == 1:
    sample_weight = sample_weight[:, tf.newaxis]
  return result * sample_weight


def of_keras(value: Any) -> bool:
  """Returns whether a loss or metric is one of Keras', function or object."""
  module = getattr(value, "__module__", None) or ""
  # A wrapper of a function of your own is not.
  return (module.startswith("tf_keras.")
          and type(value).__name__ not in ("LossFunctionWrapper",
                                           "MeanMetricWrapper"))


def argument(value: Any, name: str) -> Any:
  """Returns an argument that a loss or metric of Keras has, or None."""
  return getattr(value, "_fn_kwargs", {}).get(name)


def check_loss(rules: KerasRules | None, problem_type: str,
               loss: Any) -> str | None:
  """Returns the kind of labels of a loss; refuses what cannot be right.

  Args:
    rules: of the model that is compiled with it; None: nothing is known.
    problem_type: the model's, for messages.
    loss: what `compile` was given: a name, a function or an object.

  Returns:
    "numbers", "one-hot", "zeros and ones" or "scores"; None where
    nothing is known of the loss: it is the caller's own, or there are no rules.

  Raises:
    InputError: it is for another type of problem, or takes probabilities while
      models give logits.
  """
  given = loss if isinstance(loss, str) else getattr(
      loss, "__name__", type(loss).__name__)
  remedy = "take loss=model.loss_function, or leave loss out"
  if isinstance(loss, str):
    try:
      loss = tf_keras.losses.get(loss)
    except ValueError:
      raise InputError(f"loss {given!r}: Keras has none of that name: {remedy}"
                       ) from None
  ours = isinstance(
      loss, (MultiLabelLoss, NumberLoss, TokenLoss, SpanLoss))
  if rules is None or not (ours or of_keras(loss)):
    return None
  if not isinstance(loss, tf_keras.losses.Loss):  # one of Keras' functions
    if loss.__name__ in rules.loss_functions:
      (only,) = rules.losses
      return only
    raise InputError(
        f"loss {given!r}: is not for {problem_type}: {remedy}"
        if rules.loss_functions else
        f"loss {given!r}: is not for the logits that the model gives: {remedy}")
  labels = next((labels for labels, names in rules.losses.items()
                 if type(loss).__name__ in names), None)
  if labels is None:
    raise InputError(f"loss {given}: is not for {problem_type}: {remedy}")
  if argument(loss, "from_logits") is False:
    raise InputError(
        f"loss {given}: takes probabilities, and the model gives logits: "
        f"{remedy}, or {given}(from_logits=True)")
  if rules.has_gaps and not ours and argument(loss, "ignore_class") is None:
    raise InputError(
        f"loss {given}: takes the -1 of tokens without a label for a label: "
        f"{remedy}")
  return labels
