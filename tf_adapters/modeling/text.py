"""From strings to the encoder's inputs: pairs, truncation, packing.

All of it is TensorFlow ops, so that it runs eagerly, inside tf.data, in a Keras
model and inside a SavedModel. Where texts come from is not known here.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tf_adapters.errors import InputError
from tf_adapters.modeling.columns import Texts, as_columns, as_texts
from tf_adapters.modeling.config import DEFAULT_MAX_LENGTH
from tf_adapters.modeling.forks import check_process
from tf_adapters.modeling.serialization import PACKAGE
from tf_adapters.modeling.text_layer import TextLayer, to_width
from tf_adapters.modeling.vocabularies.table import (
    vocabulary_of,
    vocabulary_to_dict,
)
from tf_adapters.modeling.vocabulary import Tokenizer, Vocabulary


class _Traced:
  """A tokenizer whose graphs are made once, and called from all others.

  Making them takes longer than making the graph of a small encoder.

  Args:
    tokenizer: made of TensorFlow operations.
  """

  def __init__(self, tokenizer: Tokenizer):
    self.resources = tokenizer.resources
    self._of_texts = _graphs(tokenizer.tokenize)
    self._of_words = _graphs(tokenizer.tokenize_words)
    self._with_offsets = tokenizer.tokenize_with_offsets

  def tokenize(self, texts: tf.Tensor,
               limit: int | tf.Tensor | None = None) -> tf.RaggedTensor:
    return self._of_texts(texts, limit)

  def tokenize_words(self, words: tf.Tensor,
                     limit: int | tf.Tensor | None = None) -> tf.RaggedTensor:
    return self._of_words(words, limit)

  def tokenize_with_offsets(self, texts: tf.Tensor) -> tuple[
      tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
    return self._with_offsets(texts)


def _graphs(function: Callable[..., tf.RaggedTensor]) -> Callable[
    [tf.Tensor, int | tf.Tensor | None], tf.RaggedTensor]:
  """Makes two graphs of `Tokenizer.tokenize`: with a limit, and without."""
  texts, limit = tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.int32)
  whole = tf.function(function, autograph=False, input_signature=[texts])
  beginnings = tf.function(
      function, autograph=False, input_signature=[texts, limit])
  return lambda texts, limit: whole(texts) if limit is None else beginnings(
      texts, tf.cast(limit, tf.int32))


# Making one takes a tenth of a second, and a model, a bank and whoever prepares
# data each have a processor.
@functools.lru_cache(maxsize=4)
def _eager_tokenizer(vocabulary: Vocabulary) -> Tokenizer:
  tokenizer = vocabulary.tokenizer()
  return _Traced(tokenizer) if vocabulary.in_graph else tokenizer


def _tokenizer(vocabulary: Vocabulary) -> Tokenizer:
  check_process()
  with tf.init_scope():  # the next processor may be made in another graph
    # A graph of TensorFlow 1 is not left, and its tokenizer is for it alone.
    return (_eager_tokenizer(vocabulary) if tf.executing_eagerly()
            else vocabulary.tokenizer())


@tf_keras.saving.register_keras_serializable(PACKAGE)
class TextProcessor(TextLayer):
  """Turns strings, or pairs of strings, into an encoder's inputs.

  With the special tokens of the encoder's family, such as `[CLS] first [SEP]`
  or `[CLS] first [SEP] second [SEP]`. Of a pair that is too long the longer
  text loses its last wordpieces first, as in google-research/bert
  run_classifier.py. Wordpieces are those of its tokenization.py: see
  docs/reference/text.md.

  A Keras layer, so that a model of your own can begin with strings.

  Args:
    vocabulary: the checkpoint's.
    max_length: longest sequence, in wordpieces with the special tokens.

  Call arguments:
    first: strings [batch]: a list, an array, a pandas Series, a tensor.
    second: the other text of each pair, or None.
    length: width to pad to, `max_length` for instance where shapes must be
      static; None for the longest row of the batch.

  Attributes:
    resources: what of TensorFlow it needs beside its graph, which a SavedModel
      has to hold.

  Returns:
    A dict: "input_word_ids", "input_mask", "input_type_ids": int32 [batch,
    length].

  Raises:
    InputError: `max_length` leaves no room for text; or, in a call, what is
      given is no column of texts.

  Example:
    >>> text = encoder.text_processor(max_length=16)
    >>> text(["He said so."], ["So he said."])["input_mask"].shape
    TensorShape([1, 11])
    >>> inputs = tf_keras.Input([], dtype=tf.string)
    >>> outputs = encoder(text(inputs))["pooled_output"]
    >>> model = tf_keras.Model(inputs, tf_keras.layers.Dense(2)(outputs))
  """

  has_wordpieces = True

  def __init__(self, vocabulary: Vocabulary | Mapping[str, Any],
               max_length: int = DEFAULT_MAX_LENGTH, **kwargs: Any):
    super().__init__(**kwargs)
    vocabulary = vocabulary_of(vocabulary)
    special = vocabulary.special
    shortest = special.of_a_pair + 2  # with a wordpiece of each text
    if max_length < shortest:
      raise InputError(
          f"max_length {max_length} leaves no room for text: at least "
          f"{shortest}")
    self.vocabulary: Vocabulary = vocabulary
    self.max_length = max_length
    self._start, self._end, self._pad, self._unk = map(vocabulary.id_of, (
        special.start, special.end, special.padding, special.unknown))
    self._between = list(map(vocabulary.id_of, special.between))
    self._tokenizer = _tokenizer(vocabulary)
    # A list, which SavedModels of Keras' follow.
    self.resources = list(self._tokenizer.resources)

  def tokenize(self, texts: Texts,
               limit: int | tf.Tensor | None = None) -> tf.RaggedTensor:
    """Makes ids without special tokens: int32 [batch, (wordpieces)].

    Args:
      texts: strings [batch].
      limit: how many wordpieces of each text are wanted, at least: what follows
        them may be missing. None for all.
    """
    check_process()
    return self._tokenizer.tokenize(as_texts(texts), limit)

  def tokenize_with_offsets(self, texts: Texts) -> tuple[
      tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
    """Tokenizes texts, and returns the bytes of each wordpiece, too.

    Returns:
      Ids, and where each wordpiece begins and ends in its text: int32 and int64
      ragged [batch, (wordpieces)]. Characters that BERT drops count to the
      wordpiece in front of them.
    """
    return self._tokenizer.tokenize_with_offsets(as_texts(texts))

  def pack(self, first: Texts, second: Texts | None = None,
           is_pair: tf.Tensor | None = None,
           max_length: int | tf.Tensor | None = None,
           ) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
    """Makes word ids and type ids with special tokens, cut but not padded.

    Args:
      first: strings [batch].
      second: the other text of each pair, or None.
      is_pair: bool [batch], which rows are pairs; the second texts of others
        are not looked at. None: all of them, where there are second texts.
      max_length: the longest sequence, for all rows or int [batch] for each;
        None for the processor's.

    Returns:
      Two int32 ragged tensors [batch, (wordpieces)] of the same row lengths.

    Raises:
      InputError: not columns of texts, or not of the same length.
    """
    budget = self._budget(max_length)
    limit = tf.reduce_max(budget)
    first, second = as_columns(first, second)
    first = self.tokenize(first, limit)
    if second is None:
      return self._combine(_keep(first, budget))
    if is_pair is None:
      is_pair = tf.fill(tf.shape(second), True)
    else:
      second = tf.where(is_pair, second, "")
    second = self.tokenize(second, limit)
    budget -= len(self._between) * tf.cast(is_pair, tf.int64)
    first, second = _shrink_longest(first, second, budget)
    return self._combine(first, second, is_pair)

  def is_cut(self, first: Texts, second: Texts | None = None) -> tf.Tensor:
    """Returns whether texts are longer than `max_length`: `pack` cuts them.

    Args:
      first, second: as for `pack`.

    Returns:
      bool [batch].

    Example:
      >>> text = encoder.text_processor(max_length=5)
      >>> text.is_cut(["a b c", "a b c d"]).numpy().tolist()
      [False, True]
    """
    columns = [column for column in as_columns(first, second)
               if column is not None]
    lengths = [self.tokenize(column, self.max_length).row_lengths()
               for column in columns]
    special = 2 if second is None else self.vocabulary.special.of_a_pair
    return sum(lengths) + special > self.max_length

  def _budget(self, max_length: int | tf.Tensor | None) -> tf.Tensor:
    """Counts the wordpieces of a text between the first and last token."""
    if max_length is None:
      max_length = self.max_length
    return tf.cast(max_length, tf.int64) - 2

  def _combine(self, first: tf.RaggedTensor,
               second: tf.RaggedTensor | None = None,
               is_pair: tf.Tensor | None = None,
               ) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
    """Makes word ids and type ids of wordpieces, with special tokens.

    Args:
      first, second: wordpiece ids, ragged [batch, (wordpieces)].
      is_pair: bool [batch], which rows have a second text.
    """
    rows = first.nrows()
    start, end = (self._repeated([token], rows)
                  for token in (self._start, self._end))
    if second is None:
      word_ids = tf.concat([start, first, end], axis=1)
      return word_ids, tf.zeros_like(word_ids)
    between = _keep(self._repeated(self._between, rows),
                    len(self._between) * tf.cast(is_pair, tf.int64))
    word_ids = tf.concat([start, first, between, second, end], axis=1)
    begins = 1 + first.row_lengths() + between.row_lengths()
    segment = tf.cast(is_pair, tf.int32) * self.vocabulary.special.segments
    row = word_ids.value_rowids()
    place = tf.ragged.range(word_ids.row_lengths()).values
    return word_ids, word_ids.with_values(tf.where(
        place < tf.gather(begins, row), 0, tf.gather(segment, row)))

  def _repeated(self, ids: list[int], rows: tf.Tensor) -> tf.RaggedTensor:
    return tf.RaggedTensor.from_uniform_row_length(
        tf.tile(tf.constant(ids, tf.int32), [rows]), len(ids), nrows=rows,
        validate=False)

  def join(self, first: np.ndarray,
           second: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Joins a pair of texts that are wordpieces, as `pack`, of any length.

    Args:
      first, second: wordpiece ids, [wordpieces].

    Returns:
      Word ids and type ids, [wordpieces], and where the second text begins.
    """
    word_ids = np.concatenate(
        [[self._start], first, self._between, second, [self._end]])
    begins = 1 + len(first) + len(self._between)
    type_ids = np.zeros_like(word_ids)
    type_ids[begins:] = self.vocabulary.special.segments
    return word_ids, type_ids, begins

  def pack_words(self, words: tf.RaggedTensor,
                 max_length: int | tf.Tensor | None = None,
                 ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
    """Makes word ids and type ids of texts that are words, for tagging.

    A word without wordpieces (control characters, say) becomes [UNK].

    Args:
      words: strings, ragged [batch, (words)].
      max_length: as for `pack`.

    Returns:
      Word ids and type ids, as `pack` has them, and where each word begins:
      int32 ragged [batch, (words)], -1 for words that were cut off.
    """
    check_process()
    budget = tf.broadcast_to(self._budget(max_length), [words.nrows()])
    # Each word has a wordpiece at least: those that follow are cut off.
    kept = _keep(words, budget)
    pieces = self._tokenizer.tokenize_words(
        kept.flat_values, tf.reduce_max(self._budget(max_length)))
    pieces = tf.concat([pieces, _repeated(self._unk, tf.cast(
        tf.equal(pieces.row_lengths(), 0), tf.int64))], axis=1)
    # How many wordpieces of its row stand in front of each word.
    before = tf.cumsum(pieces.row_lengths(), exclusive=True)
    rows = kept.value_rowids()
    before -= tf.gather(
        tf.gather(pieces.row_splits, kept.row_splits), rows)
    starts = tf.where(before < tf.gather(budget, rows), 1 + before, -1)
    starts = tf.concat([
        kept.with_values(tf.cast(starts, tf.int32)),
        _repeated(-1, words.row_lengths() - kept.row_lengths())], axis=1)
    word_ids, type_ids = self._combine(_keep(
        kept.with_flat_values(pieces).merge_dims(1, 2), budget))
    return word_ids, type_ids, starts

  def pack_rows(self, first: Texts, second: Texts, is_pair: tf.Tensor,
                is_words: tf.Tensor, max_length: tf.Tensor,
                ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
    """Packs rows of several tasks: single texts, pairs, and words to be tagged.

    Args:
      first, second: strings [batch].
      is_pair: bool [batch], which rows are pairs.
      is_words: bool [batch], which rows are `split_words(first)`.
      max_length: int [batch], the longest sequence of each row.

    Returns:
      As `pack_words`; there are no words in other rows.
    """
    texts = self.pack(
        tf.where(is_words, "", first), second, is_pair, max_length)
    *words, starts = self.pack_words(
        self.split_words(tf.where(is_words, first, "")), max_length)
    rows = tf.range(tf.size(is_words))
    rows = tf.where(is_words, rows + tf.size(is_words), rows)
    word_ids, type_ids = (tf.gather(tf.concat(both, axis=0), rows)
                          for both in zip(texts, words))
    return word_ids, type_ids, starts

  def split_words(self, texts: Texts) -> tf.RaggedTensor:
    """Splits texts at blanks, tabs and line ends: ragged [batch, (words)].
    """
    return tf.strings.split(as_texts(texts))

  def pad(self, word_ids: tf.RaggedTensor, type_ids: tf.RaggedTensor,
          length: int | tf.Tensor | None = None) -> dict[str, tf.Tensor]:
    """Pads `pack`'s result to `length`, or to the longest row."""
    if length is None:
      longest = tf.reduce_max(word_ids.row_lengths())
      length = tf.maximum(longest, 0)  # of no rows at all
    return {
        "input_word_ids": to_width(word_ids, length, self._pad),
        "input_mask": tf.sequence_mask(
            word_ids.row_lengths(), length, tf.int32),
        "input_type_ids": to_width(type_ids, length, 0),
    }

  def __reduce__(self) -> tuple[Any, ...]:
    """Pickles what it is made of, and no graphs."""
    return type(self).from_config, (self.get_config(),)

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(),
            "vocabulary": vocabulary_to_dict(self.vocabulary),
            "max_length": self.max_length}


def _repeated(value: int, lengths: tf.Tensor) -> tf.RaggedTensor:
  """Repeats a number, as often as it is said for each row."""
  return tf.RaggedTensor.from_row_lengths(
      tf.fill([tf.reduce_sum(lengths)], value), lengths, validate=False)


def _shrink_longest(
    first: tf.RaggedTensor, second: tf.RaggedTensor, budget: tf.Tensor,
) -> list[tf.RaggedTensor]:
  """Trims two segments to `budget` wordpieces together.

  The closed form of taking away the last wordpiece of the longer segment, and
  of the second of two equal ones, until the rest fits.
  """
  half = budget // 2
  return [
      _keep(first, tf.maximum(budget - second.row_lengths(), budget - half)),
      _keep(second, tf.maximum(budget - first.row_lengths(), half)),
  ]


def _keep(tokens: tf.RaggedTensor, count: tf.Tensor) -> tf.RaggedTensor:
  """Keeps the first `count` tokens of each row; a number, or int64 [rows]."""
  # Not by a mask: tf.ragged.boolean_mask makes it dense, all rows as long as
  # the longest.
  count = tf.minimum(tf.maximum(count, 0), tokens.row_lengths())
  places = tf.ragged.range(tokens.row_starts(), tokens.row_starts() + count)
  return places.with_values(tf.gather(tokens.values, places.values))
