"""A kind of vocabulary that this file alone knows: its tokens are letters."""

import dataclasses
import json

import tensorflow as tf
import tf_keras

import tf_adapters as ta
from tf_adapters.modeling.vocabularies.table import (
    VOCABULARIES,
    vocabulary_of,
    vocabulary_to_dict,
)
from tf_adapters.modeling.vocabulary import SpecialTokens, Vocabulary


class LetterTokenizer:
  resources = ()

  def __init__(self, vocabulary):
    self.letters = tf.constant(vocabulary.tokens)
    self.unknown = vocabulary.id_of("?")

  def tokenize(self, texts, limit=None):
    return self.tokenize_with_offsets(texts)[0]

  tokenize_words = tokenize

  def tokenize_with_offsets(self, texts):
    letters, begins = tf.strings.unicode_split_with_offsets(texts, "UTF-8")
    same = tf.equal(letters.values[:, tf.newaxis], self.letters)
    ids = tf.where(tf.reduce_any(same, axis=1),
                   tf.argmax(same, axis=1, output_type=tf.int32), self.unknown)
    ends = begins.values + tf.cast(tf.strings.length(letters.values), tf.int64)
    return letters.with_values(ids), begins, letters.with_values(ends)


@dataclasses.dataclass(frozen=True)
class Letters(Vocabulary):
  kind = "letters"
  letters: str
  lower_case = False
  special = SpecialTokens("<", ">", ("|", "|"), "_", "?", segments=False)

  @property
  def tokens(self):
    return tuple(self.letters)

  def tokenizer(self):
    return LetterTokenizer(self)

  def description(self):
    return f"{len(self.letters)} letters"


def test_a_kind_of_vocabulary_is_one_file(monkeypatch):
  monkeypatch.setitem(VOCABULARIES, "letters", Letters)
  vocabulary = Letters("_<>|?abcé")
  vocabulary.check_tokens()
  text = ta.TextProcessor(vocabulary, 10)
  assert text(["abz"])["input_word_ids"].numpy().tolist() == [[1, 5, 6, 4, 2]]
  ids, types = text.pack(["a"], ["bc"])
  assert ids.to_list() == [[1, 5, 3, 3, 6, 7, 2]]
  assert not types.to_list()[0][-1]
  ids, _, starts = text.pack_words(tf.ragged.constant([["ab", "c"]]))
  assert ids.to_list() == [[1, 5, 6, 7, 2]]
  assert starts.to_list() == [[1, 3]]
  _, begins, ends = text.tokenize_with_offsets(["éa"])
  assert (begins.to_list(), ends.to_list()) == ([[0, 2]], [[2, 3]])
  assert vocabulary_of(json.loads(json.dumps(
      vocabulary_to_dict(vocabulary)))) == vocabulary
  again = tf_keras.layers.deserialize(tf_keras.layers.serialize(text))
  assert again.vocabulary == vocabulary
  assert vocabulary.fingerprint()["start"] == "<"
