"""The layer that takes texts: what text processors have in common."""

import tensorflow as tf
import tf_keras

from tf_adapters.modeling.columns import Texts, as_columns


class TextLayer(tf_keras.layers.Layer):
  """A layer that is called with one or two columns of texts.

  Attributes:
    has_wordpieces: whether it makes wordpieces of texts, and not texts alone.
    max_length: longest row, in what it makes of texts.
  """

  has_wordpieces: bool
  max_length: int

  def __call__(self, first: Texts, second: Texts | None = None,
               length: int | None = None) -> dict[str, tf.Tensor]:
    # Keras would take a list of strings for a structure of so many inputs.
    if not hasattr(first, "_keras_history"):  # no input of a model
      first, second = as_columns(first, second)
    return super().__call__(first, second=second, length=length)

  def call(self, first: tf.Tensor, second: tf.Tensor | None = None,
           length: int | None = None) -> dict[str, tf.Tensor]:
    return self.pad(*self.pack(first, second), length)

  @property
  def __name__(self) -> str:
    # What Lambda(text) asks for when a model is saved.
    raise AttributeError(
        f"a {type(self).__name__} is a layer: call it with the input, "
        "text(inputs); a Lambda of it cannot be saved")


def to_width(
    tokens: tf.RaggedTensor, width: int | tf.Tensor,
    padding: int | str) -> tf.Tensor:
  """Fills rows up to a width, or cuts them: [batch, width].

  Args:
    tokens: ragged [batch, (tokens)].
    width: tokens of each row.
    padding: what rows are filled up with.
  """
  # A Python number makes the shape static.
  shape = [None, width] if isinstance(width, int) else tf.stack([-1, width])
  return tokens.to_tensor(padding, shape=shape)
