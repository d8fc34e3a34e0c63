"""Ids of byte-level BPE against transformers' tokenizers (make_goldens.py), and
against GPT-2's rules in plain Python.
"""

import dataclasses
import json
import pathlib
import sys
import unicodedata

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tf_adapters as ta
from tests import byte_pairs_reference as reference, scripts
from tf_adapters.checkpoints.byte_pairs_files import (
    read_byte_pairs,
    read_byte_pairs_tokenizer,
)
from tf_adapters.modeling.vocabularies.byte_pairs import BytePairsVocabulary
from tf_adapters.modeling.vocabularies.table import (
    vocabulary_of,
    vocabulary_to_dict,
)
from tf_adapters.modeling.vocabulary import BERT_TOKENS, SpecialTokens

GOLDENS = pathlib.Path(__file__).parent / "goldens"
SPECIAL = {"modernbert": BERT_TOKENS, "roberta": SpecialTokens(
    "<s>", "</s>", ("</s>", "</s>"), "<pad>", "<unk>", "<mask>",
    segments=False)}


@pytest.fixture(scope="module", params=SPECIAL)
def golden(request):
  pytest.importorskip("tokenizers")
  folder = GOLDENS / request.param
  vocabulary = read_byte_pairs_tokenizer(folder, SPECIAL[request.param])
  return vocabulary, json.loads((folder / "ids.json").read_text())


def test_ids(golden):
  vocabulary, expected = golden
  text = ta.TextProcessor(vocabulary, 64)
  texts = expected["texts"]
  ids = text.tokenize(texts).to_list()
  assert ids == expected["ids"]
  assert text.pack([texts[4]], [texts[3]])[0].to_list() == [expected["pair"]]
  # In a graph, and of long texts no more than what is wanted.
  in_graph = tf.function(text.tokenize).get_concrete_function(
      tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.int32))
  for limit in (1, 5, 100):
    some = in_graph(tf.constant(texts), tf.constant(limit)).to_list()
    assert [one[:limit] for one in some] == [one[:limit] for one in ids]
  long = ["a b " * 9000]
  assert text.tokenize(long, 10).row_lengths()[0] < 400


def agree(vocabulary, texts):
  """Texts become the reference's ids, and words in a sentence, too."""
  expected = reference.BytePairs(vocabulary)
  tokenizer = vocabulary.tokenizer()
  words = [word for text in texts for word in text.split()]
  assert tokenizer.tokenize(tf.constant(texts)).to_list() == [
      expected.ids(text) for text in texts]
  assert tokenizer.tokenize_words(tf.constant(words)).to_list() == [
      expected.ids(f" {word}") for word in words]


def test_rules_of_gpt_2(golden):
  vocabulary, _ = golden
  texts = [
      "it's I'LL 'twas 'SHE'd we've", " a  b   c\n\n d \t", "\x1c a\x1f\x85b",
      "x²½ⅷ12 ٣4", "e\u0301 \u1100\u1161\u11a8 👩‍👩‍👧‍👦", "a" * 99,
      "|||EMAIL_ADDRESS||||",
      *(text for _, text in scripts.texts(60, seed=8))]
  for changes in ({}, {"add_prefix_space": True},
                  {"normalization": "NFC"}):
    agree(dataclasses.replace(vocabulary, **changes), texts)


@pytest.mark.slow
def test_texts_in_many_scripts():
  """As RoBERTa's vocabulary, and as ModernBERT's."""
  pytest.importorskip("tokenizers")
  texts = [text for _, text in scripts.texts(2000, seed=9)]
  for name, changes in (
      ("roberta", {}),
      ("modernbert", {"normalization": "NFC", "added": ("   ", "  ")})):
    special = SPECIAL[name]
    trained = reference.train(sorted(special.all()), texts[::4], size=3000)
    ids = trained.get_vocab()
    values = json.loads(trained.to_str())["model"]
    added = changes.get("added", ())
    agree(BytePairsVocabulary(
        (*sorted(ids, key=ids.get), *added),
        tuple(map(" ".join, values["merges"])), special=special, **changes),
        texts)


def test_words(golden):
  vocabulary, expected = golden
  text = ta.TextProcessor(vocabulary, 64)
  words = expected["words"]
  ids, _, starts = text.pack_words(tf.ragged.constant(words), 3000)
  for row, begins, pieces in zip(
      ids.to_list(), starts.to_list(), expected["ids_of_words"], strict=True):
    assert row[1:-1] == [piece for word in pieces for piece in word]
    assert begins == [1 + sum(map(len, pieces[:number]))
                      for number in range(len(pieces))]


def test_offsets(golden):
  """A character that became several tokens counts to each as a whole."""
  vocabulary, expected = golden
  text = ta.TextProcessor(vocabulary, 64)
  texts = expected["texts"]
  ids, begins, ends = text.tokenize_with_offsets(texts)
  assert ids.to_list() == expected["ids"]
  for one, first, last in zip(
      texts, begins.to_list(), ends.to_list(), strict=True):
    seen = np.zeros(len(one.encode()))
    for begin, end in zip(first, last):
      seen[begin:end] = 1
      one.encode()[begin:end].decode()
    assert seen.all() or not unicodedata.is_normalized("NFC", one)


def test_in_files_of_keras(golden, tmp_path):
  vocabulary, expected = golden
  assert vocabulary_of(json.loads(json.dumps(
      vocabulary_to_dict(vocabulary)))) == vocabulary
  text = ta.TextProcessor(vocabulary, 16)
  inputs = tf_keras.Input([], dtype=tf.string)
  model = tf_keras.Model(inputs, text(inputs)["input_word_ids"])
  texts = np.array(expected["texts"][:8])
  model.save(tmp_path / "model.keras")
  again = tf_keras.models.load_model(tmp_path / "model.keras")
  np.testing.assert_array_equal(
      again(tf.constant(texts)), text(list(texts))["input_word_ids"])
  assert vocabulary.fingerprint()["kind"] == "byte_pairs"


def test_files(tmp_path):
  folder = GOLDENS / "roberta"
  special = SPECIAL["roberta"]
  vocabulary = read_byte_pairs(folder / "vocab.json", None, special)
  assert vocabulary.tokens[:4] == ("<s>", "<pad>", "</s>", "<unk>")
  assert read_byte_pairs_tokenizer(tmp_path, special) is None
  (tmp_path / "bpe.codes").write_text("")
  with pytest.raises(ta.InputError, match="bpe.codes: the BPE of whole words"):
    read_byte_pairs_tokenizer(tmp_path, special)
  values = json.loads(
      (GOLDENS / "modernbert" / "tokenizer.json").read_text())

  def change(message, **changes):
    (tmp_path / "tokenizer.json").write_text(json.dumps({**values, **changes}))
    with pytest.raises(ta.InputError, match=message):
      read_byte_pairs(tmp_path / "tokenizer.json", None, BERT_TOKENS)

  added = {"id": len(values["model"]["vocab"]) + 3, "content": "x y"}
  change("single_word", added_tokens=[
      *values["added_tokens"], {**added, "single_word": True}])
  change("not 0, 1, 2", added_tokens=[
      *values["added_tokens"], {**added, "id": 4000}])
  change("not ByteLevel", pre_tokenizer={"type": "Whitespace"})
  change("several parts", normalizer={
      "type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "NFD"}]})
  change("normalization must be", normalizer={"type": "Lowercase"})
  change("byte_fallback", model={**values["model"], "byte_fallback": True})
  change("not a vocabulary of byte", model={"type": "WordPiece", "vocab": {}})
  change("no pair of tokens", model={**values["model"], "merges": ["a"]})
  change("no pair of tokens", model={**values["model"], "merges": [["a", 1]]})
  with pytest.raises(ta.InputError, match="not lower-cased"):
    read_byte_pairs(folder / "vocab.json", True, special)
  with pytest.raises(ta.InputError, match="lacks .*CLS"):
    read_byte_pairs(folder / "vocab.json", None, BERT_TOKENS)


def test_without_the_package(monkeypatch):
  monkeypatch.setitem(sys.modules, "tokenizers", None)
  vocabulary = BytePairsVocabulary(
      ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"), ())
  with pytest.raises(ta.InputError, match=r"pip install 'tf_adapters\[token"):
    ta.TextProcessor(vocabulary, 16)
