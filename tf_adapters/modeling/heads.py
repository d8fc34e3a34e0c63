"""A task's last step: one linear layer, on a pooled vector or on each token."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from tf_adapters.errors import InputError
from tf_adapters.modeling.config import (
    AUTO_POOLING,
    PER_TOKEN_POOLING,
    POOLINGS,
)
from tf_adapters.modeling.layers import Dropout, Projection
from tf_adapters.modeling.serialization import PACKAGE


def pool(pooling: str, outputs: Mapping[str, tf.Tensor],
         input_mask: tf.Tensor) -> tf.Tensor:
  """Makes one vector of each text, [batch, hidden_size]: see `Head`."""
  if pooling == "pooler":
    return outputs["pooled_output"]
  sequence = outputs["sequence_output"]
  if pooling == "cls":
    return sequence[:, 0]
  # A sum over many tokens: bfloat16 could not even count them.
  sequence = tf.cast(sequence, tf.float32)
  weights = tf.cast(input_mask, tf.float32)[:, :, tf.newaxis]
  return tf.math.divide_no_nan(
      tf.reduce_sum(sequence * weights, axis=1), tf.reduce_sum(weights, axis=1))


def check_pooling(pooling: str) -> None:
  """Raises InputError for an unknown pooling."""
  if pooling not in POOLINGS:
    raise InputError(
        f"pooling must be one of {', '.join(POOLINGS)}, not {pooling!r}")


def choose_pooling(pooling: str, encoder_pooling: str) -> str:
  """Returns the pooling that is asked for; the encoder's own for "auto"."""
  return encoder_pooling if pooling == AUTO_POOLING else pooling


class _LinearHead(tf_keras.layers.Layer):
  """The base of both heads: dropout, and a linear layer in float32."""

  built: bool  # Keras'
  pooling: str

  def __init__(self, units: int, hidden_size: int, dropout: float,
               **kwargs: Any):
    super().__init__(**kwargs)
    if units < 1:
      raise InputError(f"a head needs at least one output, not {units}")
    self.units = units
    self.hidden_size = hidden_size
    self.dropout = Dropout(dropout, dtype=self.dtype_policy)
    # Logits in float32 under every policy: losses need the digits.
    self.linear = Projection((hidden_size,), (units,), dtype="float32")
    self.build()

  def build(self, input_shape: Any = None) -> None:
    if self.built:
      return
    with tf.name_scope("head"):
      self.linear.build()
    self.built = True

  def logits(self, hidden: tf.Tensor, training: bool | None) -> tf.Tensor:
    hidden = self.dropout(hidden, training=training)
    return self.linear(tf.cast(hidden, tf.float32))

  @property
  def reads_first_only(self) -> bool:
    """Whether it reads the first token's output and no other."""
    return self.pooling in ("pooler", "cls")

  def named_variables(self) -> dict[str, tf.Variable]:
    return {f"head/{name}": variable
            for name, variable in self.linear.named_variables().items()}

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), "units": self.units,
            "hidden_size": self.hidden_size, "dropout": self.dropout.rate}


@tf_keras.saving.register_keras_serializable(PACKAGE)
class Head(_LinearHead):
  """A linear layer on one vector per text.

  | pooling | the vector |
  |---|---|
  | pooler | BERT's pooler on the first token (google-research/adapter-bert) |
  | cls | the first token's output (the paper's text) |
  | mean | the mean of all tokens' outputs, padding left out |

  Args:
    units: outputs per text.
    hidden_size: width of the encoder's outputs.
    pooling: one of `POOLINGS`.
    dropout: dropout rate on the pooled vector.

  Call arguments:
    outputs: the encoder's.
    input_mask: [batch, length], 1 = text, 0 = padding.

  Returns:
    float32 [batch, units].

  Raises:
    InputError: unknown pooling, or `units` is not positive.
  """

  def __init__(self, units: int, hidden_size: int, pooling: str = "pooler",
               dropout: float = 0.1, **kwargs: Any):
    check_pooling(pooling)
    super().__init__(units, hidden_size, dropout, **kwargs)
    self.pooling = pooling

  def call(self, outputs: Mapping[str, tf.Tensor], input_mask: tf.Tensor,
           training: bool | None = None) -> tf.Tensor:
    return self.logits(pool(self.pooling, outputs, input_mask), training)

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), "pooling": self.pooling}


@tf_keras.saving.register_keras_serializable(PACKAGE)
class TokenHead(_LinearHead):
  """A linear layer on the vector of each token.

  Args:
    units: outputs per token.
    hidden_size: width of the encoder's outputs.
    dropout: dropout rate on the vectors.

  Call arguments:
    outputs: the encoder's.
    input_mask: [batch, length]; not looked at.

  Returns:
    float32 [batch, length, units].
  """

  pooling = PER_TOKEN_POOLING

  def __init__(self, units: int, hidden_size: int, dropout: float = 0.1,
               **kwargs: Any):
    super().__init__(units, hidden_size, dropout, **kwargs)

  def call(self, outputs: Mapping[str, tf.Tensor], input_mask: tf.Tensor,
           training: bool | None = None) -> tf.Tensor:
    del input_mask
    return self.logits(outputs["sequence_output"], training)
