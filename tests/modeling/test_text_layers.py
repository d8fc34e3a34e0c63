"""Text processors in Keras models, what they are given, and their memory."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tf_keras

import tf_adapters as ta
from tests.conftest import TOKENS
from tf_adapters.modeling.vocabularies.wordpiece import WordpieceVocabulary
from tf_adapters.modeling.whole_texts import WholeTexts

VOCABULARY = WordpieceVocabulary(
    (*TOKENS, "<url>"), lower_case=True, strip_accents=False, added=["<url>"])
TEXTS = ["the film is good", "<URL> bad", "", "é " * 40]
PAIRS = ["he said so", "", "very", "not bad"]


@pytest.fixture(scope="module")
def processor():
  return ta.TextProcessor(VOCABULARY, 12)


def model_of(text, pairs):
  """A small model from strings, whose outputs tell inputs apart."""
  first = tf_keras.Input([], dtype=tf.string, name="first")
  second = tf_keras.Input([], dtype=tf.string, name="second")
  inputs = text(first, second) if pairs else text(first)
  names = [name for name in inputs if inputs[name].dtype == tf.int32]
  embedding = tf_keras.layers.Embedding(len(TOKENS) + 1, 4)
  means = [tf_keras.layers.GlobalAveragePooling1D()(embedding(inputs[name]))
           for name in names]
  return tf_keras.Model(
      [first, second] if pairs else first,
      tf_keras.layers.Dense(2)(tf_keras.layers.Concatenate()(means)))


def outputs_of(model):
  arrays = [np.array(TEXTS), np.array(PAIRS)]
  return model([tf.constant(array) for array in arrays[:len(model.inputs)]])


@pytest.mark.parametrize("name, pairs", [
    ("m.keras", True), *(pytest.param(name, pairs, marks=pytest.mark.slow)
                         for name, pairs in (
                             ("m.keras", False), ("m.h5", False),
                             ("m.h5", True)))])
def test_a_model_from_strings_is_saved(processor, tmp_path, name, pairs):
  model = model_of(processor, pairs)
  model.save(tmp_path / name)
  again = tf_keras.models.load_model(tmp_path / name)
  np.testing.assert_array_equal(outputs_of(again), outputs_of(model))
  text, = (layer for layer in again.layers
           if isinstance(layer, ta.TextProcessor))
  assert text.vocabulary == VOCABULARY
  assert text.max_length == 12


@pytest.mark.slow
@pytest.mark.parametrize("name", ["m.keras", "m.h5", "m"])
def test_a_model_from_strings_in_a_new_process(processor, tmp_path, name):
  model = model_of(processor, True)
  model.save(tmp_path / name)
  np.save(tmp_path / "outputs.npy", outputs_of(model))
  subprocess.run([sys.executable, "-c", f"""
import numpy as np
import tf_keras
import tf_adapters
model = tf_keras.models.load_model({str(tmp_path / name)!r})
outputs = model.predict([np.array({TEXTS!r}), np.array({PAIRS!r})], verbose=0)
np.testing.assert_allclose(
    outputs, np.load({str(tmp_path / 'outputs.npy')!r}), atol=1e-6)
"""], check=True)


def test_whole_texts_are_a_layer(tmp_path):
  text = WholeTexts(pairs=True, lower_case=True)
  model = model_of(text, True)
  model.save(tmp_path / "m.keras")
  again = tf_keras.models.load_model(tmp_path / "m.keras")
  np.testing.assert_array_equal(outputs_of(again), outputs_of(model))
  config = text.get_config()
  assert WholeTexts.from_config(config).get_config() == config


def test_a_model_trains_and_predicts_from_strings(one_layer_source):
  encoder = ta.load_encoder(str(one_layer_source), ta.AdapterConfig(size=8))
  text = encoder.text_processor(12)
  inputs = tf_keras.Input([], dtype=tf.string)
  model = tf_keras.Model(inputs, tf_keras.layers.Dense(2)(
      encoder(text(inputs))["pooled_output"]))
  model.compile("adam", tf_keras.losses.SparseCategoricalCrossentropy(True))
  dataset = tf.data.Dataset.from_tensor_slices((TEXTS, [0, 1, 0, 1])).batch(2)
  history = model.fit(dataset, verbose=0)
  assert np.isfinite(history.history["loss"]).all()
  np.testing.assert_allclose(
      model.predict(np.array(TEXTS), verbose=0), model(tf.constant(TEXTS)),
      atol=1e-5)


def test_a_lambda_says_what_to_do(processor, tmp_path):
  inputs = tf_keras.Input([], dtype=tf.string)
  model = tf_keras.Model(inputs, tf_keras.layers.Lambda(processor)(inputs))
  with pytest.raises(AttributeError, match=r"text\(inputs\)"):
    model.save(tmp_path / "m.keras")


@pytest.mark.parametrize("texts", [
    np.array(TEXTS), np.array(TEXTS, object), pd.Series(TEXTS), tuple(TEXTS),
    pd.Series(TEXTS, dtype="string"), pd.Series(TEXTS, dtype="category"),
    [text.encode() for text in TEXTS], (text for text in TEXTS),
    tf.constant(TEXTS)[:, tf.newaxis]])
def test_columns_of_texts(processor, texts):
  expected = processor(TEXTS)
  for name, values in processor(texts).items():
    np.testing.assert_array_equal(values, expected[name])


@pytest.mark.parametrize("texts, message", [
    (np.array(["good", float("nan")], object), "text 1: .* not nan"),
    (["good", None], "text 1: .* not None"),
    (["good", 3], "text 1: .* not 3"),
    ([1, 2], "text 0: .* not 1"),
    (np.zeros(2), "text 0: .* not .*0.0"),
    (pd.Series(["a", None], dtype="string"), "text 1: .* not <NA>"),
    ([b"good", b"\xff"], "text 1: .* no UTF-8"),
    (["good", "\ud800"], "text 1: .* half a character"),
    (pd.DataFrame({"text": ["a"], "other": ["b"]}), "columns text, other"),
    (np.array([["a", "b"]]), "one column of texts, not 2"),
    ([["a", "b"], ["c", "d"]], "text 0: .* not a list: .*pairs apart"),
    ({"text": ["a"]}, "not a dict"),
    (3, "not a int"),
    ("good", "a list of texts"),
    (b"good", "a list of texts"),
    (tf.constant("good"), "a list of texts"),
    (tf.constant([1]), "not numbers of type int32"),
    (tf.constant([["a", "b"]]), r"\[1, 2\].*pairs apart"),
])
def test_what_is_no_column_is_refused_in_a_line(processor, texts, message):
  with pytest.raises(ta.InputError, match=message) as error:
    processor(texts)
  assert "\n" not in str(error.value)


def test_errors_name_the_second_column(processor):
  with pytest.raises(ta.InputError, match="second text 1: .* not None"):
    processor(["a", "b"], ["c", None])
  with pytest.raises(ta.InputError, match="text 0: .* not a list"):
    processor([tf_keras.Input([], dtype=tf.string)] * 2)


def test_texts_that_are_cut_are_told(processor):
  assert processor.is_cut(TEXTS).numpy().tolist() == [False] * 3 + [True]
  assert processor.is_cut(["good " * 5], ["bad " * 4]).numpy() == [False]
  assert processor.is_cut(["good " * 5], ["bad " * 5]).numpy() == [True]
  assert WholeTexts().is_cut(TEXTS).numpy().tolist() == [False] * 4


def test_a_long_text_takes_no_memory_of_the_others(processor):
  """Dense, 2,000 rows as wide as the longest would be 1.6 GB."""
  texts = ["good film"] * 1999 + ["good " * 200_000]
  is_words = np.arange(2000) % 2 == 1
  with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # forgets the peak so far
  before = _peak_memory()
  word_ids, _, starts = processor.pack_rows(
      tf.constant(texts), tf.constant([""] * 2000), tf.constant([False] * 2000),
      tf.constant(is_words), tf.fill([2000], 12))
  assert _peak_memory() - before < 400 << 20
  assert word_ids.row_lengths().numpy().tolist() == [4] * 1999 + [12]
  assert starts.row_lengths().numpy().tolist() == [0, 2] * 999 + [0, 200_000]
  assert starts[-1].numpy()[:11].tolist() == [*range(1, 11), -1]


def _peak_memory():
  with open("/proc/self/status") as file:
    peak, = (int(line.split()[1]) for line in file if line.startswith("VmHWM"))
  return peak << 10
