"""SentencePiece as TensorFlow operations, and what stands around it.

tensorflow_text runs a model of SentencePiece in the graph. What ALBERT does to
texts before, and to pieces after, is done by operations beside it.
"""

import hashlib
from typing import Any

import tensorflow as tf
import tensorflow_text as tf_text
from tensorflow_text.python.ops.sentencepiece_tokenizer import (
    gen_sentencepiece_tokenizer as operations,
)

from tf_adapters.modeling.normalization import character_model
from tf_adapters.modeling.vocabularies.beginnings import tokenize_beginnings
from tf_adapters.modeling.vocabularies.sentence_piece import (
    BLANK,
    DROPPED,
    FAIRSEQ_FIRST,
    AlbertVocabulary,
    PlainVocabulary,
    SentencePieceVocabulary,
)
from tf_adapters.modeling.vocabularies.wordpiece_tokenizer import (
    with_final_sigmas,
)

# Of a text at first: enough for nearly all texts to have what is wanted.
_BYTES_PER_PIECE = 16
# A text that is cut anywhere, up to its last blank.
_UP_TO_A_BLANK = r"(?s)^(\C*)[ \t\n]\C*$"


class SentencePieceTokenizer:
  """Turns texts into ids of a model's pieces.

  Args:
    vocabulary: the model.
  """

  def __init__(self, vocabulary: SentencePieceVocabulary):
    self._model = tf_text.SentencepieceTokenizer(vocabulary.model_bytes)
    self._model._model_resource = _Model(vocabulary.model_bytes)
    self.resources: tuple[Any, ...] = (self._model,)

  def tokenize(self, texts: tf.Tensor,
               limit: int | tf.Tensor | None = None) -> tf.RaggedTensor:
    """As `vocabulary.Tokenizer`.

    A long text of which little is wanted is cut between two words, where pieces
    end.
    """
    if limit is None:
      return self._tokenize(texts)
    limit = tf.cast(limit, tf.int32)
    size = _BYTES_PER_PIECE * (limit + 2)

    def beginning(texts: tf.Tensor, is_longer: tf.Tensor) -> tf.Tensor:
      cut = tf.strings.substr(texts, 0, size)
      begins = tf.strings.regex_replace(cut, _UP_TO_A_BLANK, r"\1")
      return tf.where(is_longer & tf.not_equal(begins, cut), begins, texts)

    return tokenize_beginnings(self._tokenize, beginning, texts, size, limit)

  def tokenize_words(self, words: tf.Tensor,
                     limit: int | tf.Tensor | None = None) -> tf.RaggedTensor:
    """As `tokenize`: each text begins as a word does."""
    return self.tokenize(words, limit)

  def tokenize_with_offsets(self, texts: tf.Tensor) -> tuple[
      tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
    """As `vocabulary.Tokenizer`: blanks belong to the piece behind them."""
    raise NotImplementedError

  def _tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
    raise NotImplementedError

  def _with_offsets(self, texts: tf.Tensor) -> tuple[
      tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
    ids, begins, ends = self._model.tokenize_with_offsets(texts)
    return ids, tf.cast(begins, tf.int64), tf.cast(ends, tf.int64)


class _Model(tf.saved_model.experimental.TrackableResource):
  """A model that stays, for all tokenizers of it.

  tensorflow_text's own is lost with the operation that made it. TensorFlow
  forgets that at every `tf.random.set_seed`.

  Args:
    content: of the model's file.
  """

  def __init__(self, content: bytes):
    super().__init__()
    self._content = content
    _ = self.resource_handle  # which makes it

  def _create_resource(self) -> tf.Tensor:
    return operations.sentencepiece_op(
        model=self._content,
        shared_name=f"model_{hashlib.sha256(self._content).hexdigest()}")


class PlainTokenizer(SentencePieceTokenizer):
  """Texts as they stand; ids are the model's.

  Args:
    vocabulary: the model.
  """

  def __init__(self, vocabulary: PlainVocabulary):
    super().__init__(vocabulary)

  def tokenize_with_offsets(self, texts: tf.Tensor) -> tuple[
      tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
    ids, begins, ends = self._with_offsets(texts)
    return self._ids(ids), begins, ends

  def _tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
    return self._ids(self._model.tokenize(texts))

  def _ids(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
    return ids


class FairseqTokenizer(PlainTokenizer):
  """Texts as they stand; ids are fairseq's."""

  def _ids(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
    # The model's <unk> is 0; fairseq has one token more in front of others.
    return ids.with_values(tf.where(
        tf.equal(ids.values, 0), FAIRSEQ_FIRST.index("<unk>"), ids.values + 1))


class AlbertTokenizer(SentencePieceTokenizer):
  """By the rules of google-research/albert tokenization.py.

  White space becomes blanks, pairs of ` or ' a quotation mark, and characters
  lose their accents and cases. That is a table of characters; a quotation mark
  is followed by one that the table drops, so that bytes keep their places.

  Args:
    vocabulary: the model and the rules.
  """

  def __init__(self, vocabulary: AlbertVocabulary):
    super().__init__(vocabulary)
    self._lower_case = vocabulary.lower_case
    self._normalizer = tf_text.FastBertNormalizer(
        model_buffer=tf.constant(character_model(vocabulary.normalize)))
    apart = vocabulary.taken_apart()
    self._parts: tf.RaggedTensor | None = None
    if apart:
      tokens = vocabulary.tokens
      parts = [apart.get(number, [number]) for number in range(len(tokens))]
      self._parts = tf.ragged.constant(parts, tf.int32)
      # How many bytes of a piece stand in front of the end of each part.
      self._behind = tf.ragged.constant([
          [sum(_size(tokens[part]) for part in row[place + 1:])
           for place in range(len(row))] for row in parts], tf.int64)

  def tokenize_with_offsets(self, texts: tf.Tensor) -> tuple[
      tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
    texts, places = self._normalizer.normalize_with_offsets(
        self._prepared(texts))
    ids, begins, ends = self._with_offsets(texts)
    if self._parts is not None:
      parts = tf.gather(self._parts, ids.values)
      lengths = parts.row_lengths()
      first = tf.repeat(begins.values, lengths)
      last = (tf.repeat(ends.values, lengths)
              - tf.gather(self._behind, ids.values).values)
      place = (tf.range(tf.size(last, tf.int64))
               - tf.repeat(parts.row_starts(), lengths))
      first = tf.maximum(
          first, tf.where(place > 0, tf.roll(last, 1, axis=0), first))
      ids, begins, ends = (
          ids.with_values(parts.with_values(values)).merge_dims(1, 2)
          for values in (parts.values, first, last))
    return ids, *(tf.gather(places, place, axis=-1, batch_dims=-1)
                  for place in (begins, ends))

  def _tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
    ids = self._model.tokenize(
        self._normalizer.normalize(self._prepared(texts)))
    if self._parts is None:
      return ids
    return ids.with_values(tf.gather(self._parts, ids.values)).merge_dims(1, 2)

  def _prepared(self, texts: tf.Tensor) -> tf.Tensor:
    texts = tf.strings.regex_replace(texts, "``|''", f'"{DROPPED}')
    return with_final_sigmas(texts) if self._lower_case else texts


def _size(piece: str) -> int:
  """Counts the bytes of a piece in a text."""
  return len(piece.replace(BLANK, "").encode())
