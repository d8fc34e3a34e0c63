import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings, strategies as st
from official.nlp.data import classifier_data_lib

import tf_adapters as ta
from tests.conftest import TOKENS
from tf_adapters.modeling.text import TextProcessor
from tf_adapters.modeling.vocabularies.wordpiece import WordpieceVocabulary
from tf_adapters.modeling.vocabularies.wordpiece_tokenizer import (
    WordpieceTokenizer,
)
from tf_adapters.modeling.vocabulary import SpecialTokens


@pytest.fixture(scope="module")
def vocabulary():
  return WordpieceVocabulary(TOKENS, lower_case=True)


@pytest.fixture(scope="module")
def processor(vocabulary):
  return ta.TextProcessor(vocabulary, 16)


def test_invalid_utf8_is_no_error(processor):
  ids = processor(tf.constant([b"good \xff\xfe bad", b"\xc3"]))
  assert ids["input_word_ids"].shape[0] == 2


@settings(max_examples=100, deadline=None)
@given(first=st.integers(0, 30), second=st.one_of(
    st.none(), st.integers(0, 30)), max_length=st.integers(5, 24))
def test_packs_and_truncates_as_the_original(
    vocabulary, first, second, max_length):
  text = ta.TextProcessor(vocabulary, max_length)
  texts = [" ".join("a" * first)]
  pairs = None if second is None else [" ".join("b" * second)]
  word_ids, type_ids = (r.to_list()[0] for r in text.pack(texts, pairs))
  a, b = ["a"] * first, ["b"] * (second or 0)
  if second is None:
    a = a[:max_length - 2]
    tokens = ["[CLS]", *a, "[SEP]"]
    types = [0] * len(tokens)
  else:
    classifier_data_lib._truncate_seq_pair(a, b, max_length - 3)
    tokens = ["[CLS]", *a, "[SEP]", *b, "[SEP]"]
    types = [0] * (len(a) + 2) + [1] * (len(b) + 1)
  assert word_ids == [TOKENS.index(token) for token in tokens]
  assert type_ids == types


def test_pads_with_zeros_to_the_longest_or_as_wide_as_asked(processor):
  inputs = processor(["good", "very good film"])
  assert inputs["input_mask"].numpy().tolist() == [
      [1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
  assert inputs["input_word_ids"].numpy()[0, 3:].tolist() == [0, 0]
  wide = processor(["good"], ["bad"], length=12)
  assert {v.shape for v in wide.values()} == {(1, 12)}
  assert {v.dtype for v in wide.values()} == {tf.int32}
  assert wide["input_type_ids"].numpy()[0].tolist() == [
      0, 0, 0, 1, 1] + [0] * 7


def test_runs_inside_a_graph_with_static_shapes(processor):
  @tf.function
  def inputs(first):
    return processor(first, length=16)
  concrete = inputs.get_concrete_function(tf.TensorSpec([None], tf.string))
  assert {tuple(v.shape) for v in concrete.structured_outputs.values()} == {
      (None, 16)}
  np.testing.assert_array_equal(
      inputs(tf.constant(["good"]))["input_word_ids"],
      processor(["good"], length=16)["input_word_ids"])


def test_processors_of_a_vocabulary_share_its_tables(vocabulary):
  """Also where the first one is made inside a graph that is gone."""
  vocabulary = dataclasses.replace(vocabulary, strip_accents=False)
  made = []

  @tf.function
  def ids(texts):
    made.append(ta.TextProcessor(vocabulary, 8))
    return made[-1](texts)["input_word_ids"]

  expected = ids(tf.constant(["the film is good"]))
  other = ta.TextProcessor(
      dataclasses.replace(vocabulary, strip_accents=False), 16)
  assert other._tokenizer is made[0]._tokenizer
  np.testing.assert_array_equal(
      other(["the film is good"])["input_word_ids"], expected)
  lower = vocabulary.with_lower_case(not vocabulary.lower_case)
  assert ta.TextProcessor(lower)._tokenizer is not other._tokenizer


def test_texts_are_tokenised_by_one_graph(vocabulary, monkeypatch):
  traced = []
  tokenize = WordpieceTokenizer.tokenize
  monkeypatch.setattr(
      WordpieceTokenizer, "tokenize",
      lambda *arguments: traced.append(1) or tokenize(*arguments))
  vocabulary = dataclasses.replace(vocabulary, tokens=(*TOKENS, "film2"))
  for max_length in (8, 12):
    text = ta.TextProcessor(vocabulary, max_length)
    graphs = [tf.function(lambda *texts, text=text: text.pack(*texts)[0])
              for _ in range(2)]
    for columns in (["the film2"],), (["a", "b"], ["c", "d"]):
      for graph in graphs:
        ids = graph(*map(tf.constant, columns)).to_list()
        assert ids == text.pack(*columns)[0].to_list()
  assert len(traced) == 1


def test_refuses_lengths_without_room(vocabulary):
  with pytest.raises(ta.InputError, match="no room"):
    ta.TextProcessor(vocabulary, 4)


def test_refuses_what_are_not_lists_of_pairs(processor):
  with pytest.raises(ta.InputError, match="a list of texts"):
    processor("good")
  with pytest.raises(ta.InputError, match="2 first texts, but 1 second"):
    processor(["a", "b"], ["c"])
  assert processor([])["input_mask"].shape == (0, 0)


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.tuples(
    st.text("ab .d", max_size=30), st.text("ab .d", max_size=30),
    st.sampled_from(["single", "pair", "words"]), st.integers(5, 16)),
    min_size=1, max_size=6))
def test_rows_of_several_tasks_are_packed_as_each_alone(vocabulary, rows):
  first, second, kinds, lengths = zip(*rows)
  text = ta.TextProcessor(vocabulary, 16)
  word_ids, type_ids, starts = text.pack_rows(
      list(first), list(second),
      tf.constant([kind == "pair" for kind in kinds]),
      tf.constant([kind == "words" for kind in kinds]), tf.constant(lengths))
  for row, (one, two, kind, length) in enumerate(rows):
    alone = ta.TextProcessor(vocabulary, length)
    if kind == "words":
      words = alone.split_words([one])
      *expected, places = alone.pack_words(words)
      assert words.to_list() == [one.encode().split()]
      assert starts[row].numpy().tolist() == places.to_list()[0]
    else:
      assert not len(starts[row])
      expected = alone.pack([one], [two] if kind == "pair" else None)
    assert word_ids[row].numpy().tolist() == expected[0].to_list()[0]
    assert type_ids[row].numpy().tolist() == expected[1].to_list()[0]


def test_other_families_have_other_special_tokens():
  """As RoBERTa's: two tokens between the texts, and no segments."""
  special = SpecialTokens("<s>", "</s>", ("</s>", "</s>"), "<pad>", "<unk>",
                          "<mask>", segments=False)
  tokens = ("<s>", "<pad>", "</s>", "<unk>", "a", "b", "c", "d")
  vocabulary = WordpieceVocabulary(tokens, lower_case=True, special=special)
  assert WordpieceVocabulary.from_dict(json.loads(json.dumps(
      vocabulary.to_dict()))) == vocabulary
  assert vocabulary.fingerprint()["start"] == "<s>"
  text = TextProcessor(vocabulary, max_length=8)
  inputs = text(["a x", "a"], ["b c", "a b c d"])
  assert inputs["input_word_ids"].numpy().tolist() == [
      [0, 4, 3, 2, 2, 5, 6, 2], [0, 4, 2, 2, 4, 5, 6, 2]]
  assert not inputs["input_type_ids"].numpy().any()
  # Rows of a batch that are no pairs have nothing of one.
  ids, types = text.pack(["a", "b"], ["", "c"], tf.constant([False, True]))
  assert ids.to_list() == [[0, 4, 2], [0, 5, 2, 2, 6, 2]]
  assert types.to_list() == [[0] * 3, [0] * 6]
  assert text.is_cut(["a x", "a b"], ["b c", "b c d"]).numpy().tolist() == [
      False, True]
  ids, types, begins = text.join(np.array([4]), np.array([5, 6]))
  assert ids.tolist() == [0, 4, 2, 2, 5, 6, 2]
  assert begins == 4 and not types.any()
  with pytest.raises(ta.InputError, match="at least 6"):
    TextProcessor(vocabulary, max_length=5)
  with pytest.raises(ta.InputError, match="lacks </s>"):
    WordpieceVocabulary(("<s>", "<pad>", "<unk>"), True, special=special)
