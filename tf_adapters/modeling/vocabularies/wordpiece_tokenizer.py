"""WordPiece by the rules of google-research/bert tokenization.py.

All of it is TensorFlow ops: tensorflow_text looks wordpieces up; what it does
differently from the original is mended before (`normalization`, the final
sigma) and after (words that are too long). Added tokens, which Hugging Face's
tokenizers look for in the text itself, are the one thing beyond the original.
"""

import re
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text

from tf_adapters.errors import InputError, first_line
from tf_adapters.modeling.normalization import alias, normalizer_model
from tf_adapters.modeling.vocabularies.beginnings import tokenize_beginnings
from tf_adapters.modeling.vocabularies.wordpiece import (
    LONGEST_WORD,
    SUFFIX,
    WordpieceVocabulary,
)

# Python's rule for "Σ" at a word's end, as a pattern: behind a letter with a
# case and not before one, whatever there is in between that has none (Unicode's
# Final_Sigma). Both sigmas have two bytes, so that offsets stay what they are.
_CASED = (r"\p{Lu}\p{Ll}\p{Lt}ªº\x{2160}-\x{217F}\x{24B6}-\x{24E9}"
          r"\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189}")
_IGNORED = (r"\p{Mn}\p{Me}\p{Cf}\p{Lm}\p{Sk}'.:\x{B7}\x{387}\x{55F}\x{5F4}"
            r"\x{2018}\x{2019}\x{2024}\x{2027}\x{FE13}\x{FE52}\x{FE55}\x{FF07}"
            r"\x{FF0E}\x{FF1A}")
_FINAL_SIGMA = (
    rf"([{_CASED}][{_IGNORED}]*)Σ([{_IGNORED}]*(?:[^{_CASED}{_IGNORED}]|$))")

# In normalised texts: a stretch that may be a word of too many characters. What
# ends words is not all left out: it would make a pattern of megabytes.
_LONG_WORD = (
    r"(?s).*[^\x00-/:-@\[-`{-~\x{2010}-\x{2027}\x{3000}-\x{3003}"
    r"\x{3008}-\x{3011}\x{3400}-\x{4DBF}\x{4E00}-\x{9FFF}\x{FF01}\x{FF0C}"
    rf"\x{{FF1A}}\x{{FF1B}}\x{{FF1F}}]{{{LONGEST_WORD + 1}}}.*")

# Of added tokens: the regular expressions of TensorFlow become slow then.
_LONGEST_PATTERN = 40_000
_BYTES_PER_CHARACTER = 4  # at most, in UTF-8
# Of a text at first: enough for nearly all texts to have the wordpieces that
# are wanted.
_BYTES_PER_WORDPIECE = 8


class WordpieceTokenizer:
  """Turns texts into wordpiece ids.

  Args:
    vocabulary: the wordpieces, and how texts are normalised.

  Raises:
    InputError: there are no wordpieces, or too many added tokens.
  """

  resources: tuple[Any, ...] = ()

  def __init__(self, vocabulary: WordpieceVocabulary):
    tokens = vocabulary.wordpieces()
    if not vocabulary.tokenize_chinese_chars:
      tokens = [alias(token) for token in tokens]
    self._lower_case = vocabulary.lower_case
    self._unk = vocabulary.id_of(vocabulary.special.unknown)
    self._normalizer = tf_text.FastBertNormalizer(
        model_buffer=tf.constant(normalizer_model(
            vocabulary.lower_case, vocabulary.strips_accents,
            vocabulary.tokenize_chinese_chars)))
    try:
      self._tokenizer = tf_text.FastWordpieceTokenizer(
          tokens, max_bytes_per_word=_BYTES_PER_CHARACTER * LONGEST_WORD,
          unknown_token=vocabulary.special.unknown, token_out_type=tf.int32)
    except RuntimeError as error:
      raise InputError(
          "the vocabulary has no wordpieces that a text could have: "
          f"{first_line(error)}") from None
    is_suffix = np.array([
        token.startswith(SUFFIX) and token != SUFFIX for token in tokens])
    self._begins_word = tf.constant(1 - is_suffix, tf.int32)
    self._characters = tf.constant(
        np.array([len(token) for token in tokens]) - len(SUFFIX) * is_suffix,
        tf.int32)
    self._added = (_AddedTokens(vocabulary) if vocabulary.added else None)
    # The wordpieces of what stands at the end of a text that is cut anywhere: a
    # part of a word, or of an added token and the words in it.
    self._ending = LONGEST_WORD + 2 * max(
        map(len, vocabulary.added), default=0)

  def tokenize(self, texts: tf.Tensor,
               limit: int | tf.Tensor | None = None) -> tf.RaggedTensor:
    """Makes ids: int32 ragged [batch, (wordpieces)].

    Args:
      texts: strings [batch].
      limit: how many wordpieces of each text are wanted, at least; None for
        all. A long text is then not looked at as a whole: that takes memory for
        what nobody wants.
    """
    texts = self._prepared(texts)
    if limit is None:
      return self._tokenize(texts)
    limit = tf.cast(limit, tf.int32) + self._ending
    size = _BYTES_PER_WORDPIECE * limit
    return tokenize_beginnings(
        self._tokenize, lambda texts, is_longer: tf.where(
            is_longer, _cut(texts, size), texts), texts, size, limit)

  def tokenize_words(self, words: tf.Tensor,
                     limit: int | tf.Tensor | None = None) -> tf.RaggedTensor:
    """As `tokenize`: what stands around a word does not matter."""
    return self.tokenize(words, limit)

  def tokenize_with_offsets(self, texts: tf.Tensor) -> tuple[
      tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
    """Makes ids, and says the bytes that each wordpiece came from.

    Returns:
      Ids, and where each wordpiece begins and ends in its text: int32 and int64
      ragged [batch, (wordpieces)]. What a character becomes several wordpieces
      of ends where it begins, except for the last.
    """
    texts = self._prepared(texts)
    if self._added is None:
      return self._words(texts, offsets=True)
    parts, begins, added = self._added.split(texts)
    ids, *places = self._words(_but_for(added, parts), offsets=True)
    begins = tf.cast(begins.values, tf.int64)
    lengths = tf.cast(tf.strings.length(parts.values), tf.int64)
    starts, ends = (_with_added(added, whole, place.with_values(
        place.values + tf.gather(begins, place.value_rowids())))
                    for whole, place in zip((begins, begins + lengths), places))
    return tuple(parts.with_values(values).merge_dims(1, 2) for values in (
        _with_added(added, added, ids), starts, ends))

  def _prepared(self, texts: tf.Tensor) -> tf.Tensor:
    return with_final_sigmas(texts) if self._lower_case else texts

  def _tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
    if self._added is None:
      return self._words(texts, offsets=False)[0]
    parts, _, added = self._added.split(texts)
    ids, = self._words(_but_for(added, parts), offsets=False)
    return parts.with_values(_with_added(added, added, ids)).merge_dims(1, 2)

  def _words(self, texts: tf.Tensor,
             offsets: bool) -> tuple[tf.RaggedTensor, ...]:
    """Makes ids and, if asked for, offsets of texts without added tokens.

    A word of too many characters is one [UNK]; tensorflow_text counts bytes.
    """
    if offsets:
      texts, places = self._normalizer.normalize_with_offsets(texts)
      ids, *ends = self._tokenizer.tokenize_with_offsets(texts)
      outputs = (ids, *(tf.gather(places, end, axis=-1, batch_dims=-1)
                        for end in ends))
    else:
      texts = self._normalizer.normalize(texts)
      outputs = self._tokenizer.tokenize(texts),
    return tf.cond(
        tf.reduce_any(tf.strings.regex_full_match(texts, _LONG_WORD)),
        lambda: self._without_long_words(*outputs), lambda: outputs)

  def _without_long_words(
      self, ids: tf.RaggedTensor,
      *offsets: tf.RaggedTensor) -> tuple[tf.RaggedTensor, ...]:
    is_first = tf.gather(self._begins_word, ids.values)
    word = tf.cumsum(is_first) - 1
    is_long = tf.gather(tf.math.segment_sum(
        tf.gather(self._characters, ids.values), word) > LONGEST_WORD, word)
    values = [tf.where(is_long, self._unk, ids.values)]
    if offsets:
      begins, ends = (places.values for places in offsets)
      values += [begins, tf.where(
          is_long, tf.gather(tf.math.segment_max(ends, word), word), ends)]
    kept = tf.cast(is_first, tf.bool) | ~is_long
    lengths = tf.math.unsorted_segment_sum(
        tf.cast(kept, tf.int64), ids.value_rowids(), ids.nrows())
    return tuple(tf.RaggedTensor.from_row_lengths(
        tf.boolean_mask(part, kept), lengths, validate=False)
        for part in values)


def with_final_sigmas(texts: tf.Tensor) -> tf.Tensor:
  """Makes a capital sigma at a word's end a final one already.

  As Python lower-cases it; texts keep their number of bytes.
  """
  return tf.strings.regex_replace(texts, _FINAL_SIGMA, r"\1ς\2")


def _cut(texts: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
  """Returns the first bytes of texts, without half a character at the end.

  Such a half hides words that are too long from regular expressions.
  """
  return tf.strings.unicode_transcode(
      tf.strings.substr(texts, 0, size), "UTF-8", "UTF-8", errors="ignore")


class _AddedTokens:
  """Finds tokens that match in a text as it stands, before it is normalised.

  Leftmost first, and the longest of those that begin at one place. Where texts
  are lower-cased, a token without capitals matches its spellings with capitals
  too, as in `transformers`' BertTokenizer, and a `caseless` one every spelling.
  """

  def __init__(self, vocabulary: WordpieceVocabulary):
    tokens = sorted(set(vocabulary.added), key=len, reverse=True)
    self._caseless = {
        token for token in tokens if vocabulary.lower_case
        and (token == token.lower() or token in vocabulary.caseless)}
    self._pattern = "|".join(
        f"(?i:{re.escape(token)})" if token in self._caseless
        else re.escape(token) for token in tokens)
    if len(self._pattern) > _LONGEST_PATTERN:
      raise InputError(
          f"the vocabulary has {len(tokens):,} added tokens of "
          f"{sum(map(len, tokens)):,} characters, too many to be looked for in "
          "texts")
    # By hashes and not in a table: a resource could not be hidden in a function
    # that is exported.
    keys = [_ANY_CASE + token.lower() if token in self._caseless else token
            for token in tokens]
    hashes = tf.strings.to_hash_bucket_fast(keys, _MANY).numpy()
    order = np.argsort(hashes)
    self._hashes = tf.constant(hashes[order])
    self._keys = tf.constant([keys[place] for place in order])
    self._ids = tf.constant(
        [vocabulary.id_of(tokens[place]) for place in order], tf.int32)

  def split(self, texts: tf.Tensor) -> tuple[
      tf.RaggedTensor, tf.RaggedTensor, tf.Tensor]:
    """Splits texts into the added tokens and what stands between them.

    Returns:
      Strings [batch, (parts)], where each part begins, and the id of each part
      of all texts, -1 for one that is no added token.
    """
    parts, begins, _ = tf_text.regex_split_with_offsets(
        texts, self._pattern, self._pattern)
    ids = self._look_up(parts.values)
    if self._caseless:
      ids = tf.maximum(ids, self._look_up(
          _ANY_CASE + tf.strings.lower(parts.values, encoding="utf-8")))
    return parts, begins, ids

  def _look_up(self, keys: tf.Tensor) -> tf.Tensor:
    place = tf.searchsorted(
        self._hashes, tf.strings.to_hash_bucket_fast(keys, _MANY))
    place = tf.minimum(place, tf.size(self._hashes) - 1)
    return tf.where(tf.equal(tf.gather(self._keys, place), keys),
                    tf.gather(self._ids, place), -1)


_MANY = 1 << 62  # hashes: more than would collide
_ANY_CASE = "\n"  # before keys; no token has one


def _but_for(added: tf.Tensor, parts: tf.RaggedTensor) -> tf.Tensor:
  """Returns parts to be tokenised, and nothing in the place of added tokens."""
  return tf.where(added < 0, parts.values, "")


def _with_added(added: tf.Tensor, values: tf.Tensor,
                ragged: tf.RaggedTensor) -> tf.RaggedTensor:
  """Returns rows of a value where there is an added token, else of `ragged`."""
  return tf.concat([tf.ragged.boolean_mask(
      values[:, tf.newaxis], (added >= 0)[:, tf.newaxis]), ragged], axis=1)
