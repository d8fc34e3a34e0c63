"""Byte-level BPE by the library `tokenizers`, called from TensorFlow."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_adapters.errors import InputError
from tf_adapters.modeling.vocabularies.byte_pairs import BytePairsVocabulary

# Of a text at first: enough for nearly all texts to have what is wanted.
_CHARACTERS_PER_TOKEN = 16


class BytePairsTokenizer:
  """Turns texts into ids, in Python: eagerly, in tf.data and in `fit`.

  A SavedModel has no Python, so that it cannot have this one either.

  Args:
    vocabulary: the tokens, and how they are merged.

  Raises:
    InputError: the library is not there.
  """

  resources: tuple[Any, ...] = ()

  def __init__(self, vocabulary: BytePairsVocabulary):
    self._tokenizer = _tokenizer(vocabulary)
    # A text is cut in front of a blank, which no token is across; unless a
    # token is looked for that has one inside.
    self._can_cut = not any(
        " " in token.lstrip(" ") for token in vocabulary.added)

  def tokenize(self, texts: tf.Tensor,
               limit: int | tf.Tensor | None = None) -> tf.RaggedTensor:
    """As `vocabulary.Tokenizer`."""
    return self._computed(texts, limit, words=False)

  def tokenize_words(self, words: tf.Tensor,
                     limit: int | tf.Tensor | None = None) -> tf.RaggedTensor:
    """As `vocabulary.Tokenizer`: with a blank in front of each."""
    return self._computed(words, limit, words=True)

  def tokenize_with_offsets(self, texts: tf.Tensor) -> tuple[
      tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
    """As `vocabulary.Tokenizer`: blanks belong to the token behind them.

    A character of which a token has a part counts to it as a whole.
    """
    ids, lengths, begins, ends = tf.numpy_function(
        self._encode_with_offsets, [texts],
        [tf.int32, tf.int64, tf.int64, tf.int64], stateful=False)
    ids, begins, ends = (
        _ragged(values, lengths) for values in (ids, begins, ends))
    return ids, begins, ends

  def _computed(self, texts: tf.Tensor, limit: int | tf.Tensor | None,
                words: bool) -> tf.RaggedTensor:
    ids, lengths = tf.numpy_function(
        self._encode, [texts, -1 if limit is None else limit, words],
        [tf.int32, tf.int64], stateful=False)
    return _ragged(ids, lengths)

  def _encode(self, texts: np.ndarray, limit: np.ndarray,
              words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Makes ids of all texts, and counts how many each has."""
    decoded = _decode(texts, " " if words else "")
    if limit < 0 or not self._can_cut:
      return _joined(self._ids(decoded))
    size = _CHARACTERS_PER_TOKEN * int(limit)
    begins = [_begin(text, size) for text in decoded]
    ids = self._ids(begins)
    short = [number for number, begin in enumerate(begins)
             if len(begin) < len(decoded[number]) and len(ids[number]) < limit]
    for number, whole in zip(
        short, self._ids([decoded[number] for number in short])):
      ids[number] = whole
    return _joined(ids)

  def _ids(self, texts: Sequence[str]) -> list[list[int]]:
    return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(
        texts, add_special_tokens=False)]

  def _encode_with_offsets(self, texts: np.ndarray) -> tuple[
      np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    decoded = _decode(texts, "")
    encodings = self._tokenizer.encode_batch(
        decoded, add_special_tokens=False)
    places = [_bytes_before(text)[np.array(encoding.offsets, np.int64).reshape(
        -1, 2)] for text, encoding in zip(decoded, encodings)]
    both = np.concatenate([np.zeros([0, 2], np.int64), *places])
    return (*_joined([encoding.ids for encoding in encodings]),
            both[:, 0], both[:, 1])


def _tokenizer(vocabulary: BytePairsVocabulary) -> Any:
  """Makes the library's object.

  Raises:
    InputError: the library is not there.
  """
  try:
    import tokenizers
  except ImportError:
    raise InputError(
        "byte-level BPE, which this encoder's texts need, is done by the "
        "package tokenizers: pip install 'tf_adapters[tokenizers]'") from None
  # Of a token that is there twice the last place counts.
  ids = {token: place for place, token in enumerate(vocabulary.tokens)}
  merges = [(first, second) for first, second in (
      merge.split(" ") for merge in vocabulary.merges)]
  tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(
      ids, merges, unk_token=vocabulary.special.unknown))
  if vocabulary.normalization == "NFC":
    tokenizer.normalizer = tokenizers.normalizers.NFC()
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
      add_prefix_space=vocabulary.add_prefix_space)
  tokenizer.add_tokens([
      tokenizers.AddedToken(token, normalized=False)
      for token in vocabulary.added])
  return tokenizer


def _decode(texts: np.ndarray, before: str) -> list[str]:
  """Makes texts of bytes; each begins with `before`, once."""
  decoded = [text.decode(errors="replace") for text in texts.tolist()]
  return [text if text.startswith(before) else before + text
          for text in decoded]


def _begin(text: str, size: int) -> str:
  """As much of a text, up to the end of a word; a short one as it is."""
  if len(text) <= size:
    return text
  end = size
  while end > 0 and not (text[end] == " " and not text[end - 1].isspace()):
    end = text.rfind(" ", 0, end)
  return text[:end] if end > 0 else text


def _joined(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
  """Joins the values of rows, and counts how many each has."""
  return (np.array([value for row in rows for value in row], np.int32),
          np.array([len(row) for row in rows], np.int64))


def _bytes_before(text: str) -> np.ndarray:
  """Counts the bytes before each character of a text, and before its end."""
  if text.isascii():
    return np.arange(len(text) + 1)
  return np.cumsum([0, *(len(character.encode()) for character in text)])


def _ragged(values: tf.Tensor, lengths: tf.Tensor) -> tf.RaggedTensor:
  values.set_shape([None])
  lengths.set_shape([None])
  return tf.RaggedTensor.from_row_lengths(values, lengths, validate=False)
