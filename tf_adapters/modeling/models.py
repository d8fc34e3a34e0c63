"""The Keras models of the types of problem, with their losses and metrics.

Which of them is for which type is said in `problems`.
"""

import contextlib
import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tf_adapters.errors import InputError
from tf_adapters.modeling.heads import Head, TokenHead, choose_pooling
from tf_adapters.modeling.keras_rules import (
    CLASSES,
    LABEL_SETS,
    NUMBERS,
    SPANS,
    TAGS,
    KerasRules,
)
from tf_adapters.modeling.losses import (
    MultiLabelLoss,
    NumberLoss,
    SpanLoss,
    TokenLoss,
)
from tf_adapters.modeling.saving_checks import lacks_own_weights
from tf_adapters.modeling.serialization import PACKAGE
from tf_adapters.modeling.task_model import TaskModel
from tf_adapters.modeling.text_encoder import TextEncoder

# What padding adds to a span's logits.
_NO_ANSWER = -1e9


@tf_keras.saving.register_keras_serializable(PACKAGE)
class TextClassifier(TaskModel):
  """A model that predicts one label, or several, for each text or pair.

  Args:
    encoder: from `load_encoder`.
    labels: label names; a label's place is its number in the data. Or how many
      there are: they are called "0", "1" and so on.
    pooling: "pooler", "cls" or "mean", see `Head`; "auto" for the one that the
      encoder was made for.
    dropout: dropout rate before the linear layer. None: that of the encoder's
      hidden states.
    multi_label: whether a text can have any number of the labels. Labels are
      then rows of zeros and ones, [batch, len(labels)], and a label is
      predicted where its logit is positive.

  Call arguments:
    inputs: what the encoder takes.

  Returns:
    Logits, float32 [batch, len(labels)].

  Raises:
    InputError: fewer than two labels, or a label twice.

  Example:
    >>> model = TextClassifier(encoder, labels=["negative", "positive"])
    >>> model.compile(optimizer="adam", loss=model.loss_function,
    ...               metrics=["accuracy"])
  """

  def __init__(self, encoder: TextEncoder, labels: Sequence[str] | int,
               pooling: str = "auto", dropout: float | None = None,
               multi_label: bool = False, **kwargs: Any):
    labels = _different(labels)
    super().__init__(
        encoder, _text_head(encoder, len(labels), pooling, dropout), labels,
        **kwargs)
    self.multi_label = multi_label

  @property
  def problem_type(self) -> str:
    return "multi_label" if self.multi_label else "classification"

  @property
  def keras_rules(self) -> KerasRules:
    return LABEL_SETS if self.multi_label else CLASSES

  @property
  def loss_function(self) -> tf_keras.losses.Loss:
    if self.multi_label:
      return MultiLabelLoss()
    return tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), "labels": list(self.labels),
            "pooling": self.head.pooling, "multi_label": self.multi_label}


@tf_keras.saving.register_keras_serializable(PACKAGE)
class TextRegressor(TaskModel):
  """A model that predicts a number for each text or pair of texts.

  What it learns has mean 0 and standard deviation 1: `adapt` takes the labels'
  from them. Without it the first steps go to reach their mean, by whatever
  trains, and some methods never recover from that.

  Args:
    encoder: from `load_encoder`.
    pooling: "pooler", "cls" or "mean", see `Head`; "auto" for the one that the
      encoder was made for.
    dropout: dropout rate before the linear layer. None: that of the encoder's
      hidden states.
    mean, scale: the labels' mean and standard deviation, weights that do not
      train. Adapter files have them in the head's weights.

  Call arguments:
    inputs: what the encoder takes.

  Returns:
    float32 [batch, 1].

  Example:
    >>> model = TextRegressor(encoder, pooling="mean")
    >>> model.adapt(stars)
    >>> model.compile(optimizer="adam", loss=model.loss_function)
  """

  problem_type = "regression"
  keras_rules = NUMBERS

  def __init__(self, encoder: TextEncoder, pooling: str = "auto",
               dropout: float | None = None, mean: float = 0.0,
               scale: float = 1.0, **kwargs: Any):
    super().__init__(encoder, _text_head(encoder, 1, pooling, dropout),
                     **kwargs)
    # In float32 under every policy, as the logits: labels need the digits.
    self._mean, self._scale = (
        self.add_weight(name, (), tf.float32, tf.constant_initializer(value),
                        trainable=False, experimental_autocast=False)
        for name, value in (("mean", mean), ("scale", scale)))

  @property
  def mean(self) -> float:
    return float(self._mean.numpy())

  @property
  def scale(self) -> float:
    return float(self._scale.numpy())

  def adapt(self, labels: Any) -> None:
    """Takes mean and standard deviation of labels that are to be learned.

    As `adapt` of Keras' Normalization, before `compile` or after it. A head
    that has learned already gives what it gave.

    Args:
      labels: numbers, of the training split.

    Raises:
      InputError: there are none, or not all of them are finite.
    """
    values = np.asarray(labels, np.float64)
    if not values.size or not np.isfinite(values).all():
      raise InputError("adapt: labels are finite numbers, one at least")
    # As variables hold them.
    mean = float(np.float32(values.mean()))
    scale = float(np.float32(values.std() if np.ptp(values) else 1.0))
    if (mean, scale) == (self.mean, self.scale):
      return
    if self.is_trained:
      head, variables = self.saved_head(), self.head.named_variables()
      variables["head/kernel"].assign(head["head/kernel"] / scale)
      variables["head/bias"].assign((head["head/bias"] - mean) / scale)
    self._set_unit(mean, scale)

  def logits(self, outputs: Mapping[str, tf.Tensor], input_mask: tf.Tensor,
             training: bool | None = None) -> tf.Tensor:
    return self._mean + self._scale * super().logits(
        outputs, input_mask, training)

  def own_weights(self) -> list[tf.Variable]:
    # Those two are ours, and `saved_head` has them.
    return [weight for weight in super().own_weights()
            if weight is not self._mean and weight is not self._scale]

  def load_own_variables(self, store: Mapping[str, Any]) -> None:
    """Keras' hook; files of earlier versions have none."""
    if len(store.keys()):
      super().load_own_variables(store)

  def load_weights(self, filepath: str | os.PathLike[str],
                   **kwargs: Any) -> Any:
    """As `TaskModel.load_weights`; those of earlier versions have no unit."""
    before = self.mean, self.scale
    self._set_unit(0.0, 1.0)
    try:
      with (self._hidden_unit() if lacks_own_weights(filepath)
            else contextlib.nullcontext()):
        return super().load_weights(filepath, **kwargs)
    except BaseException:
      self._set_unit(*before)
      raise

  @contextlib.contextmanager
  def _hidden_unit(self) -> Iterator[None]:
    """Hides the unit from Keras, which wants each weight to be in a file."""
    weights = list(self._non_trainable_weights)
    self._non_trainable_weights.clear()
    try:
      yield
    finally:
      self._non_trainable_weights.extend(weights)

  def _set_unit(self, mean: float, scale: float) -> None:
    self._mean.assign(mean)
    self._scale.assign(scale)

  def changed_by_training(self) -> list[tf.Variable]:
    return [*super().changed_by_training(), self._mean, self._scale]

  def saved_head(self) -> dict[str, np.ndarray]:
    head = super().saved_head()
    return {"head/kernel": head["head/kernel"] * self.scale,
            "head/bias": head["head/bias"] * self.scale + self.mean}

  @property
  def loss_function(self) -> tf_keras.losses.Loss:
    return NumberLoss(self._scale)

  def compile(self, optimizer: Any = None, loss: Any = None, *args: Any,
              **kwargs: Any) -> None:
    """As `KerasModel.compile`."""
    super().compile(optimizer, tf.nest.map_structure(self._in_own_unit, loss),
                    *args, **kwargs)

  def _in_own_unit(self, loss: Any) -> Any:
    """Returns a loss in this model's unit, whatever unit it comes with.

    Of a file that is a number, and of another regressor its variable.
    """
    if isinstance(loss, NumberLoss) and loss.scale is not self._scale:
      loss = copy.copy(loss)  # which another model may have, too
      loss.scale = self._scale
    return loss

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), "pooling": self.head.pooling,
            "mean": self.mean, "scale": self.scale}


@tf_keras.saving.register_keras_serializable(PACKAGE)
class TokenTagger(TaskModel):
  """A model that predicts a label for each token.

  Args:
    encoder: from `load_encoder`.
    labels: label names, such as "O", "B-person", "I-person"; or how many.
    dropout: dropout rate before the linear layer. None: that of the encoder's
      hidden states.

  Call arguments:
    inputs: what the encoder takes.

  Returns:
    Logits, float32 [batch, length, len(labels)].

  Raises:
    InputError: fewer than two labels, or a label twice.

  Example:
    >>> model = TokenTagger(encoder, labels=["O", "B-name", "I-name"])
    >>> model.compile(optimizer="adam", loss=model.loss_function)
  """

  problem_type = "tagging"
  per_token = True
  keras_rules = TAGS

  def __init__(self, encoder: TextEncoder, labels: Sequence[str] | int,
               dropout: float | None = None, **kwargs: Any):
    labels = _different(labels)
    super().__init__(encoder, _token_head(encoder, len(labels), dropout),
                     labels, **kwargs)

  @property
  def loss_function(self) -> tf_keras.losses.Loss:
    return TokenLoss()

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), "labels": list(self.labels)}


@tf_keras.saving.register_keras_serializable(PACKAGE)
class SpanExtractor(TaskModel):
  """A model that finds the span of the second text that answers the first.

  Args:
    encoder: from `load_encoder`.
    dropout: dropout rate before the linear layer; BERT's code has none.

  Call arguments:
    inputs: what the encoder takes: pairs of question and context.

  Returns:
    Logits of an answer's first and last token, float32 [batch, length, 2];
    very low at padding. The first token, [CLS], stands for "no answer".

  Example:
    >>> model = SpanExtractor(encoder)
    >>> model.compile(optimizer="adam", loss=model.loss_function)
  """

  problem_type = "span"
  per_token = True
  keras_rules = SPANS

  def __init__(self, encoder: TextEncoder, dropout: float = 0.0,
               **kwargs: Any):
    super().__init__(encoder, _token_head(encoder, 2, dropout), **kwargs)

  def logits(self, outputs: Mapping[str, tf.Tensor], input_mask: tf.Tensor,
             training: bool | None = None) -> tf.Tensor:
    logits = super().logits(outputs, input_mask, training)
    padding = 1.0 - tf.cast(input_mask, tf.float32)
    return logits + (padding * _NO_ANSWER)[:, :, tf.newaxis]

  @property
  def loss_function(self) -> tf_keras.losses.Loss:
    return SpanLoss()


def _different(labels: Sequence[str] | int) -> tuple[str, ...]:
  """Returns names of labels; those of a number of labels are their numbers."""
  if isinstance(labels, int):
    labels = tuple(map(str, range(labels)))
  labels = tuple(labels)
  if not all(isinstance(label, str) for label in labels):
    raise InputError(f"labels are names, which are strings, not {labels}: "
                     "[str(label) for label in labels]")
  if len(labels) < 2 or len(set(labels)) < len(labels):
    raise InputError(
        f"a classifier needs two or more different labels, not {labels}")
  return labels


def _text_head(encoder: TextEncoder, units: int, pooling: str,
               dropout: float | None) -> Head:
  return Head(units, encoder.hidden_size,
              choose_pooling(pooling, encoder.pooling),
              _dropout(encoder, dropout), dtype=encoder.dtype_policy)


def _token_head(encoder: TextEncoder, units: int,
                dropout: float | None) -> TokenHead:
  return TokenHead(units, encoder.hidden_size,
                   _dropout(encoder, dropout), dtype=encoder.dtype_policy)


def _dropout(encoder: TextEncoder, dropout: float | None) -> float:
  return encoder.hidden_dropout_prob if dropout is None else dropout
