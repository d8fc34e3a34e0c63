"""One BERT in every format: the same function, the same fingerprints."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

import tf_adapters as ta
from tests import conftest, reference
from tests.checkpoints import writers
from tf_adapters.checkpoints.formats import open_checkpoint
from tf_adapters.modeling.vocabularies.wordpiece import WordpieceVocabulary

SOURCES = [
    "hub_v4", "hub_v2", "hub_v1", "tf1_hub", "tf1", "tf1_prefix", "tf1_index",
    "garden", "garden_pretrainer", "garden_trained", "hugging_face",
    "hugging_face_file", "hugging_face_sharded"]
WITHOUT_VOCABULARY = {"garden", "garden_pretrainer", "garden_trained"}


@pytest.fixture(scope="module")
def inputs(hub_source):
  """Ragged lengths, two segments, an empty text."""
  text = ta.load_encoder(str(hub_source[0])).text_processor(32)
  return text(["the film is good", "bad", "he said so, very!", ""],
              ["", "not so", "un good", "?"])


@pytest.fixture(scope="module")
def expected(bert_weights, inputs):
  """Outputs of an independent BERT in numpy."""
  return reference.bert(
      bert_weights, *(inputs[name].numpy() for name in (
          "input_word_ids", "input_mask", "input_type_ids")),
      activation=reference.gelu_tanh)


@pytest.fixture(scope="module")
def origin(hub_source):
  return ta.load_encoder(str(hub_source[0])).origin


def test_every_source_is_tried(sources):
  assert set(SOURCES) == set(sources)


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_is_the_same_function(
    sources, name, inputs, expected, origin):
  encoder = ta.load_encoder(str(sources[name]))
  assert encoder.origin == dataclasses.replace(
      origin, source=str(sources[name]))
  assert encoder.config == ta.BertConfig(
      **{**conftest.TINY, "hidden_act": "gelu_tanh"})
  if name in WITHOUT_VOCABULARY:
    with pytest.raises(ta.InputError, match="--vocab_file .*--do_lower_case"):
      encoder.text_processor()
  else:
    assert encoder.vocabulary == WordpieceVocabulary(conftest.TOKENS, True)
  outputs = encoder(inputs)
  np.testing.assert_allclose(
      outputs["sequence_output"], expected[0], atol=1e-5)
  np.testing.assert_allclose(outputs["pooled_output"], expected[1], atol=1e-5)
  adapted = ta.load_encoder(
      str(sources[name]), ta.AdapterConfig(size=4, init_scale=0.0))
  for key in ("sequence_output", "pooled_output"):
    np.testing.assert_array_equal(adapted(inputs)[key], outputs[key])


@pytest.mark.parametrize("name, call", [
    ("hub_v4", lambda model, ids: model(ids)["sequence_output"]),
    ("hub_v2", lambda model, ids: model([
        ids[n] for n in ("input_word_ids", "input_mask", "input_type_ids")
    ])[1]),
    ("hub_v1", lambda model, ids: model([
        ids[n] for n in ("input_word_ids", "input_mask", "input_type_ids")
    ])[1]),
    ("tf1_hub", lambda model, ids: model.signatures["tokens"](
        input_ids=ids["input_word_ids"], input_mask=ids["input_mask"],
        segment_ids=ids["input_type_ids"])["sequence_output"]),
])
def test_tensorflow_hub_computes_the_same(sources, name, call, inputs):
  theirs = call(hub.load(str(sources[name])), inputs)
  ours = ta.load_encoder(str(sources[name]))(inputs)["sequence_output"]
  np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("activation, name", [
    (tf.nn.relu, "relu"), (tf.nn.gelu, "gelu"),
    (lambda x: tf.nn.gelu(x, approximate=True), "gelu_tanh")])
def test_the_activation_is_told_from_the_graph(
    tmp_path, bert_weights, vocab_file, activation, name):
  folder = writers.write_hub_v1(
      tmp_path, conftest.TINY, vocab_file, bert_weights, activation)
  assert open_checkpoint(str(folder)).config.hidden_act == name


def test_casing_of_a_tf1_module_is_its_own(tmp_path, bert_weights, vocab_file):
  folder = writers.write_tf1_hub(
      tmp_path / "x", conftest.TINY, vocab_file, bert_weights,
      lower_case=False)
  assert not open_checkpoint(str(folder)).vocabulary.lower_case
