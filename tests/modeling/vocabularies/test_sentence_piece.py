"""Ids of texts against the rules of ALBERT and others in plain Python."""

import base64
import dataclasses
import json
import pickle

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tf_adapters as ta
from tests import scripts, sentence_piece_reference as reference
from tf_adapters.modeling.vocabularies.sentence_piece import (
    AlbertVocabulary,
    FairseqVocabulary,
    PlainVocabulary,
)
from tf_adapters.modeling.vocabularies.table import (
    vocabulary_of,
    vocabulary_to_dict,
)
from tf_adapters.modeling.vocabulary import SpecialTokens

ALBERT_TOKENS = SpecialTokens(padding="<pad>", unknown="<unk>")
FAIRSEQ_TOKENS = SpecialTokens(
    "<s>", "</s>", ("</s>", "</s>"), "<pad>", "<unk>", "<mask>",
    segments=False)


class Both:
  """A vocabulary, its tokenizer, and the reference."""

  def __init__(self, vocabulary, expected):
    self.vocabulary = vocabulary
    self.tokenizer = vocabulary.tokenizer()
    self.processor = reference.load(vocabulary.model_bytes)
    self._expected = expected

  def agree(self, texts):
    """Ids are the same; or of the same score: SentencePiece chose then."""
    ids = self.tokenizer.tokenize(tf.constant(texts)).to_list()
    ties = 0
    for text, one in zip(texts, ids, strict=True):
      expected = self._expected(self.processor, text)
      if one != expected:
        ties += 1
        assert sorted(one) == sorted(expected), text
    assert ties <= len(texts) / 30

  def surfaces(self, text):
    """The bytes of each piece, as text."""
    ids, begins, ends = self.tokenizer.tokenize_with_offsets(
        tf.constant([text]))
    assert ids.to_list() == self.tokenizer.tokenize(
        tf.constant([text])).to_list()
    return [text.encode()[begin:end].decode(errors="replace")
            for begin, end in zip(begins.to_list()[0], ends.to_list()[0])]


@pytest.fixture(scope="module")
def models():
  return {kind: base64.b64encode(reference.train(kind)).decode()
          for kind in ("albert", "fairseq", "sentencepiece")}


@pytest.fixture(scope="module")
def albert(models):
  return Both(AlbertVocabulary(models["albert"], special=ALBERT_TOKENS),
              reference.albert)


@pytest.fixture(scope="module")
def fairseq(models):
  return Both(FairseqVocabulary(models["fairseq"], FAIRSEQ_TOKENS),
              reference.fairseq)


@pytest.fixture(scope="module")
def plain(models):
  return Both(PlainVocabulary(models["sentencepiece"]), reference.plain)


TEXTS = [
    "", " ", "All human beings", "9,9", "in 19, 1999, 100,000", "``a'' '''b'''",
    "É Ö İSTANBUL ΛΟΓΟΣ ΟΔΥΣΣΕΥΣ’ ﬁ ½", "a\u00a0b\u2003c\td\u3000",
    "\x01a\x02b", "e\u0301", "각각 人人生", "[CLS] [SEP] <s> </s> <pad> <mask>",
    "²,", "Ǆ ẞ"]


def test_albert(albert):
  assert albert.vocabulary.taken_apart()
  albert.agree([*TEXTS, *(text for _, text in scripts.texts(60, seed=1))])


def test_albert_cased_and_with_accents(albert):
  for lower_case, keep_accents in ((False, False), (True, True)):
    vocabulary = dataclasses.replace(
        albert.vocabulary, lower_case=lower_case, keep_accents=keep_accents)
    Both(vocabulary, lambda processor, text, a=lower_case, b=keep_accents:
         reference.albert(processor, text, a, b)).agree(TEXTS)


def test_fairseq(fairseq):
  fairseq.agree([*TEXTS, *(text for _, text in scripts.texts(60, seed=2))])
  assert fairseq.vocabulary.tokens[-1] == "<mask>"
  assert len(fairseq.vocabulary.tokens) == (
      fairseq.processor.get_piece_size() + 2)


def test_plain(plain):
  plain.agree([*TEXTS, *(text for _, text in scripts.texts(30, seed=2))])
  tokens = plain.vocabulary.tokens
  assert (tokens[:4], tokens[-1]) == (
      ("[PAD]", "[CLS]", "[SEP]", "[UNK]"), "[MASK]")
  ids = ta.TextProcessor(plain.vocabulary, 8)(["", ""])["input_word_ids"]
  assert ids.numpy().tolist() == [[1, 2]] * 2
  assert "".join(plain.surfaces("All human")) == "All human"


@pytest.mark.slow
def test_texts_in_many_scripts(albert, fairseq, plain):
  texts = [text for _, text in scripts.texts(2000, seed=3)]
  for both in (albert, fairseq, plain):
    both.agree(texts)


def test_what_is_wanted_of_a_text_is_that_of_the_whole(albert, fairseq):
  texts = ["All human beings " * 200, "人人生而自由" * 300, "a" * 4000, "",
           " \t" * 500 + "All human beings are born free. " * 50]
  for tokenizer in (albert.tokenizer, fairseq.tokenizer):
    whole = tokenizer.tokenize(tf.constant(texts)).to_list()
    some = tokenizer.tokenize(tf.constant(texts), 7).to_list()
    assert len(some[0]) < len(whole[0])
    assert [ids[:7] for ids in some] == [ids[:7] for ids in whole]


def test_offsets(albert, fairseq):
  text = "Würde``x'' 19,9 in 1999, ﬁn"
  whole = "".join(albert.surfaces(text))
  assert whole.replace(" ", "") == text.replace(" ", "")
  assert albert.surfaces("in 19,")[-1] == ","
  surfaces = fairseq.surfaces("All  human\u3000beings")
  assert "".join(surfaces).split() == ["All", "human", "beings"]


def test_a_seed_does_not_take_the_model_away(plain, fairseq):
  """TensorFlow forgets the operations that it has run."""
  texts = tf.constant(["he said so"])
  traced = tf.function(plain.tokenizer.tokenize)
  before = [plain.tokenizer.tokenize(texts), fairseq.tokenizer.tokenize(texts),
            traced(texts)]
  tf_keras.utils.set_random_seed(1)
  after = [plain.tokenizer.tokenize(texts), fairseq.tokenizer.tokenize(texts),
           traced(texts)]
  assert [ids.to_list() for ids in after] == [ids.to_list() for ids in before]


def test_processors_are_pickled_and_made_in_graphs(plain):
  with tf.Graph().as_default():  # whose tokenizer is for it alone
    ta.TextProcessor(plain.vocabulary, 16)
  processor = ta.TextProcessor(plain.vocabulary, 16)
  inputs = processor(["he said so"])
  again = pickle.loads(pickle.dumps(processor))(["he said so"])
  for name, array in inputs.items():
    np.testing.assert_array_equal(array, again[name])


def test_pairs_and_words(fairseq):
  text = ta.TextProcessor(fairseq.vocabulary, 32)
  ids, types = text.pack(["All"], ["human"])
  ids = ids.to_list()[0]
  assert (ids[0], ids[-1]) == (0, 2)
  assert ids[1:-1].count(2) == 2
  assert not any(types.to_list()[0])
  words = "All human beings"
  ids, _, starts = text.pack_words(tf.ragged.constant([words.split()]))
  assert ids.to_list() == text.pack([words])[0].to_list()
  assert len(starts.to_list()[0]) == 3


@pytest.mark.parametrize("kind", ["albert", "fairseq"])
def test_saved(kind, request, tmp_path):
  """In configurations that are JSON, and in the graphs of SavedModels."""
  vocabulary = request.getfixturevalue(kind).vocabulary
  assert vocabulary_of(json.loads(json.dumps(vocabulary_to_dict(
      vocabulary)))) == vocabulary
  text = ta.TextProcessor(vocabulary, 16)
  expected = text.pack(TEXTS)[0].to_list()
  again = tf_keras.layers.deserialize(json.loads(json.dumps(
      tf_keras.layers.serialize(text))))
  assert again.pack(TEXTS)[0].to_list() == expected
  module = tf.Module()
  module.resources = text.resources
  module.pack = tf.function(
      lambda texts: text.pack(texts)[0], autograph=False,
      input_signature=[tf.TensorSpec([None], tf.string)])
  tf.saved_model.save(module, str(tmp_path / "saved"))
  saved = tf.saved_model.load(str(tmp_path / "saved"))
  assert saved.pack(tf.constant(TEXTS)).to_list() == expected


def test_what_is_no_vocabulary_is_refused(albert, fairseq):
  for make, message in (
      (lambda: AlbertVocabulary("bm8=", special=ALBERT_TOKENS), "not a model"),
      (lambda: AlbertVocabulary("?"), "not a model"),
      (lambda: AlbertVocabulary(albert.vocabulary.model), "lacks .PAD., .UNK."),
      (lambda: FairseqVocabulary(albert.vocabulary.model), "begins with <unk>"),
      (lambda: fairseq.vocabulary.with_lower_case(True), "not lower-cased")):
    with pytest.raises(ta.InputError, match=message):
      make()
  assert not albert.vocabulary.with_lower_case(False).lower_case
  assert albert.vocabulary.fingerprint()["kind"] == "albert"
