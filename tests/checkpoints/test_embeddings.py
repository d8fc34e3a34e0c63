"""Embeddings from files: what is read of them, and what is refused."""

import numpy as np
import pytest
import tensorflow as tf

import tf_adapters as ta
from tests.text_modules import (
    vectors_of,
    write_text_module,
    write_tf1_text_module,
)
from tf_adapters.checkpoints.checkpoint import Checkpoint

NAME = "word_embeddings/embeddings"


def test_of_a_bert_the_words_are_read_alone(
    hub_source, hf_source, monkeypatch):
  read = []
  tensor = Checkpoint.tensor

  def counted(self, name):
    read.append(name)
    return tensor(self, name)

  monkeypatch.setattr(Checkpoint, "tensor", counted)
  one, two = (ta.load_word_embedding(str(source))
              for source in (hub_source[0], hf_source))
  assert read == [NAME, NAME]
  np.testing.assert_array_equal(one.table, hub_source[1][NAME])
  np.testing.assert_array_equal(two.table, one.table)


def test_modules_of_both_formats_are_called_with_texts(tmp_path):
  texts = ["the film", "", "good"]
  loaded = [ta.load_text_embedding(str(write(tmp_path / name)))
            for name, write in (("one", write_text_module),
                                ("two", write_tf1_text_module))]
  for embedding in loaded:
    vectors, weights = embedding(
        {"input_texts": tf.constant([texts]), "input_mask": tf.ones([1, 3])})
    np.testing.assert_allclose(
        vectors[0], [vectors_of(text) for text in texts], atol=1e-6)
    assert weights.shape == [1, 3]
  assert [embedding.can_train for embedding in loaded] == [True, False]
  assert len({embedding.origin.fingerprint for embedding in loaded}) == 2


def test_texts_can_be_lower_cased(tmp_path):
  network = ta.TextNetwork(
      ta.load_text_embedding(str(write_text_module(tmp_path / "module")),
                             lower_case=True),
      ta.NetworkConfig(hidden_layers=0))
  outputs = network(network.text_processor()(["GOOD Ünable"]))["default"]
  np.testing.assert_allclose(outputs[0], vectors_of("good ünable"), atol=1e-6)


def test_what_is_no_text_embedding_is_refused(tmp_path, hub_source, vocab_file):
  (tmp_path / "empty").mkdir()
  (tmp_path / "damaged").mkdir()
  (tmp_path / "damaged" / "saved_model.pb").write_bytes(b"?")
  for name, change in (
      ("numbers", lambda vectors: tf.argmax(vectors, axis=1)),
      ("sum", lambda vectors: tf.reduce_sum(vectors, axis=0)),
      ("dict", lambda vectors: {"vectors": vectors})):
    write_text_module(tmp_path / name, change)
  for source, message in (
      (tmp_path / "nowhere", "no text embedding '.*nowhere': neither"),
      (tmp_path / "empty", "expected the folder of a SavedModel"),
      (vocab_file, "expected the folder of a SavedModel"),
      (tmp_path / "damaged", "cannot be called with texts"),
      (hub_source[0], "cannot be called with texts"),
      (tmp_path / "numbers", r"makes \(2,\), expected floats \[2, size\]"),
      (tmp_path / "sum", r"makes \(6,\), expected floats"),
      (tmp_path / "dict", "makes dict, expected floats"),
  ):
    with pytest.raises(ta.InputError, match=message) as error:
      ta.load_text_embedding(str(source))
    assert str(source) in str(error.value)


def test_words_need_a_vocabulary(tmp_path, hf_source):
  for name in ("config.json", "model.safetensors"):
    (tmp_path / name).write_bytes((hf_source / name).read_bytes())
  with pytest.raises(ta.InputError, match="comes without a vocabulary"):
    ta.load_word_embedding(str(tmp_path))
