"""Whole texts, for embeddings that read these and no wordpieces."""

from typing import Any

import tensorflow as tf
import tf_keras

from tf_adapters.modeling.columns import Texts, as_columns
from tf_adapters.modeling.serialization import PACKAGE
from tf_adapters.modeling.text_layer import TextLayer, to_width


@tf_keras.saving.register_keras_serializable(PACKAGE)
class WholeTexts(TextLayer):
  """Hands strings on as they are, to an embedding that reads whole texts.

  It takes the place of a `TextProcessor`, with texts for wordpieces: a row is
  one of them, or two.

  Args:
    pairs: whether rows are pairs.
    lower_case: whether texts are lower-cased.

  Attributes:
    max_length: texts of a row.

  Call arguments:
    first, second, length: as for `TextProcessor`.

  Returns:
    A dict: "input_texts", strings, "input_mask" and "input_type_ids", int32:
    [batch, texts of a row].

  Example:
    >>> WholeTexts(pairs=True)(["Good."], ["Bad."])["input_texts"].shape
    TensorShape([1, 2])
  """

  has_wordpieces = False

  def __init__(self, pairs: bool = False, lower_case: bool = False,
               **kwargs: Any):
    super().__init__(**kwargs)
    self.pairs = pairs
    self.max_length = 2 if pairs else 1
    self.lower_case = lower_case

  def pack(self, first: Texts, second: Texts | None = None,
           ) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
    """Makes texts and type ids: strings and int32 ragged [batch, (texts)].

    Raises:
      InputError: not lists of texts, or not of the same length.
    """
    texts = tf.stack([column for column in as_columns(first, second)
                      if column is not None], axis=1)
    if self.lower_case:
      texts = tf.strings.lower(texts, encoding="utf-8")
    type_ids = tf.range(texts.shape[1]) + tf.zeros_like(texts, tf.int32)
    return (tf.RaggedTensor.from_tensor(texts),
            tf.RaggedTensor.from_tensor(type_ids))

  def is_cut(self, first: Texts, second: Texts | None = None) -> tf.Tensor:
    """As `TextProcessor.is_cut`: whole texts are never cut."""
    first, _ = as_columns(first, second)
    return tf.fill(tf.shape(first), False)

  def pad(self, texts: tf.RaggedTensor, type_ids: tf.RaggedTensor,
          length: int | tf.Tensor | None = None) -> dict[str, tf.Tensor]:
    """As `TextProcessor.pad`."""
    if length is None:
      length = self.max_length
    return {
        "input_texts": to_width(texts, length, ""),
        "input_mask": to_width(tf.ones_like(type_ids), length, 0),
        "input_type_ids": to_width(type_ids, length, 0),
    }

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), "pairs": self.pairs,
            "lower_case": self.lower_case}
