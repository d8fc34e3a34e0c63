"""Networks on embedded texts, beside numpy's means of their words' vectors."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tf_adapters as ta
from tests.text_modules import vectors_of, write_text_module
from tf_adapters.modeling.text_network import TextEmbedding

TEXTS = ["the film is good", "bad", "", "he said so, very!"]
OTHERS = ["not so", "", "un good", "?"]
EMBEDDING = "word_embeddings/embeddings"


def by_words(hub_source, encoder):
  """Text -> the mean of its words' vectors, by numpy."""
  table = hub_source[1][EMBEDDING]
  text = encoder.text_processor()

  def mean(one):
    ids = text.tokenize([one]).to_list()[0]
    return table[ids].mean(axis=0) if ids else np.zeros(table.shape[1])

  return mean


@pytest.fixture(scope="module")
def embeddings(hub_source, hf_source, tmp_path_factory):
  """Kind -> how to load an embedding, and what it makes of a text."""
  plain = ta.load_encoder(str(hf_source))
  folder = write_text_module(tmp_path_factory.mktemp("module") / "words")
  return {
      "words": (lambda: ta.load_word_embedding(str(hf_source)),
                by_words(hub_source, plain)),
      "texts": (lambda: ta.load_text_embedding(str(folder)), vectors_of)}


@pytest.mark.parametrize("kind", ["words", "texts"])
def test_texts_are_the_means_of_their_words(embeddings, kind):
  load, mean = embeddings[kind]
  network = ta.TextNetwork(load(), ta.NetworkConfig(hidden_layers=0))
  outputs = network(network.text_processor(32)(TEXTS))["pooled_output"]
  expected = np.stack([mean(text) for text in TEXTS])
  assert network.hidden_size == expected.shape[1]
  np.testing.assert_allclose(outputs, expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["words", "texts"])
def test_pairs_are_compared(embeddings, kind):
  load, mean = embeddings[kind]
  network = ta.TextNetwork(
      load(), ta.NetworkConfig(hidden_layers=0), pairs=True)
  text = network.text_processor(32)
  there, back = (network(text(*pair))["pooled_output"].numpy()
                 for pair in ((TEXTS, OTHERS), (OTHERS, TEXTS)))
  u, v = (np.stack([mean(one) for one in column])
          for column in (TEXTS, OTHERS))
  np.testing.assert_allclose(
      there, np.concatenate([u, v, abs(u - v), u * v], axis=1), atol=1e-6)
  half = there.shape[1] // 2
  np.testing.assert_array_equal(there[:, half:], back[:, half:])


def test_dense_layers_are_relus(embeddings):
  load, mean = embeddings["words"]
  network = ta.TextNetwork(load(), ta.NetworkConfig(2, 5, 0.5))
  variables = network.named_variables()
  hidden = np.stack([mean(text) for text in TEXTS])
  for number in range(2):
    kernel, bias = (variables[f"network/layer_{number}/{name}"]
                    for name in ("kernel", "bias"))
    hidden = np.maximum(hidden @ kernel.numpy() + bias.numpy(), 0)
  inputs = network.text_processor()(TEXTS)
  outputs = network(inputs)["pooled_output"]
  np.testing.assert_allclose(outputs, hidden, atol=1e-6)
  # Some units are dropped between the layers.
  assert not np.allclose(network(inputs, training=True)["pooled_output"],
                         hidden)


@pytest.mark.parametrize("kind", ["words", "texts"])
@pytest.mark.parametrize("tuning, moves", [
    ("network", False), ("network+embedding", True)])
def test_the_embedding_stays_bit_for_bit_unless_it_is_tuned(
    embeddings, kind, tuning, moves):
  network = ta.TextNetwork(embeddings[kind][0]())
  model = ta.TextClassifier(network, ["good", "bad"])
  model.tune("network+embedding")
  model.tune(tuning)
  assert network.tuning == model.summary_of_tuning().tuning == tuning
  before = [value.numpy() for value in network.embedding.weights]
  kernel = network.named_variables()["network/layer_0/kernel"].numpy()
  model.compile(optimizer=tf_keras.optimizers.Adam(0.1),
                loss=model.loss_function)
  model.fit(network.text_processor()(TEXTS), np.array([0, 1, 1, 0]), verbose=0)
  after = [value.numpy() for value in network.embedding.weights]
  same = all(np.array_equal(*pair) for pair in zip(before, after))
  assert same == (not moves)
  assert not np.array_equal(
      kernel, network.named_variables()["network/layer_0/kernel"])


def test_parameters_count_the_embedding_once(embeddings):
  network = ta.TextNetwork(
      embeddings["words"][0](), ta.NetworkConfig(2, 5), pairs=True)
  model = ta.TextRegressor(network)
  table = network.embedding.table.shape.num_elements()
  layers = (4 * 32 + 1) * 5 + (5 + 1) * 5
  summary = model.summary_of_tuning()
  assert dict(summary.rows) == {
      "embeddings": (0, table), "network": (layers, 0), "head": (6, 0)}
  model.tune("network+embedding")
  assert model.summary_of_tuning().trained == table + layers + 6


def test_a_model_is_saved_and_loaded(embeddings, tmp_path):
  network = ta.TextNetwork(embeddings["words"][0](), pairs=True,
                           tuning="network+embedding")
  model = ta.TextClassifier(network, ["good", "bad"])
  inputs = network.text_processor()(TEXTS, OTHERS)
  expected = model(inputs)
  model.save(tmp_path / "model.keras")
  loaded = tf_keras.models.load_model(tmp_path / "model.keras")
  np.testing.assert_array_equal(loaded(inputs), expected)
  assert loaded.encoder.tuning == "network+embedding"
  assert loaded.encoder.origin == network.origin


@pytest.mark.slow
def test_a_model_on_words_is_served(embeddings, tmp_path):
  model = ta.TextClassifier(
      ta.TextNetwork(embeddings["words"][0]()), ["good", "bad"])
  folder = ta.export_model(model, tmp_path / "model", pairs=False)
  served = tf.saved_model.load(str(folder)).signatures["single_texts"]
  scores = served(text=tf.constant(TEXTS))["scores"]
  expected = tf.nn.softmax(model(model.encoder.text_processor()(TEXTS)))
  np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_what_needs_a_bert_is_refused(embeddings, encoder, tmp_path):
  words, texts = (ta.TextNetwork(embeddings[kind][0]())
                  for kind in ("words", "texts"))
  fixed = TextEmbedding(tf_keras.layers.Layer(), 4, can_train=False)
  model = ta.TextClassifier(texts, ["good", "bad"])
  for call, message in (
      (lambda: words.tune("full"), "'full' needs a BERT"),
      (lambda: words.tune("network", pooler=True), "has no pooler"),
      (lambda: ta.TextNetwork(fixed, tuning="network+embedding"),
       "the embedding has no variables"),
      (lambda: encoder.tune("network"), "not of a pretrained"),
      (lambda: encoder.tune("full+embedding"), "has no embedding"),
      (lambda: ta.TokenTagger(words, ["O", "B"]), "one vector for each text"),
      (lambda: ta.TextRegressor(words, pooling="mean"), "nothing for 'mean'"),
      (lambda: ta.save_adapter(model, tmp_path / "mine"), "are for models on"),
      (lambda: ta.export_model(model, tmp_path / "mine"), "cannot be served"),
      (lambda: ta.export_litert(model, tmp_path / "a.tflite"), "whole texts"),
      (lambda: texts.text_processor()(TEXTS, ["x"]), "4 first texts, but 1"),
      (lambda: ta.NetworkConfig(hidden_layers=-1), "hidden_layers must be"),
      (lambda: ta.NetworkConfig(hidden_dropout=1.0), "hidden_dropout must"),
  ):
    with pytest.raises(ta.InputError, match=message):
      call()
  assert not list(tmp_path.iterdir())
