"""Tokenises only the beginnings of long texts, where that is enough."""

from collections.abc import Callable

import tensorflow as tf


def tokenize_beginnings(
    tokenize: Callable[[tf.Tensor], tf.RaggedTensor],
    beginning: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    texts: tf.Tensor, size: tf.Tensor, limit: tf.Tensor) -> tf.RaggedTensor:
  """Makes ids of texts, of which a long one is not looked at as a whole.

  Args:
    tokenize: gives the ids of texts.
    beginning: gives what is looked at, of the texts and of whether each is
      longer than `size`.
    texts: strings [batch].
    size: a scalar int32: bytes that mostly have as many tokens as are wanted.
    limit: a scalar int32: how many tokens of each text are wanted, at least.

  Returns:
    Ids [batch, (tokens)].
  """
  is_longer = tf.strings.length(texts) > size
  begins = tf.cond(tf.reduce_any(is_longer),
                   lambda: beginning(texts, is_longer), lambda: texts)
  ids = tokenize(begins)
  # Texts of many blanks, say: as a whole after all.
  short = is_longer & (ids.row_lengths() < tf.cast(limit, tf.int64))
  return tf.cond(tf.reduce_any(short),
                 lambda: tokenize(tf.where(short, texts, begins)), lambda: ids)
