"""From any source to a Hub SavedModel, and back."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text  # noqa: F401 (the preprocessing's ops)
import tf_keras
from official.nlp.tasks import utils

import tf_adapters as ta
from tf_adapters.checkpoints.hub_export import export_hub

TEXTS = ["the film is good", "bad, very!", ""]

# What a user without this package does.
ELSEWHERE = """
import json, sys
import tensorflow as tf, tensorflow_hub as hub, tensorflow_text
texts = tf.constant(json.load(sys.stdin))
inputs = hub.load(sys.argv[1] + "_preprocess")(texts)
outputs = hub.load(sys.argv[1])(inputs)
assert "tf_adapters" not in sys.modules
print(json.dumps({
    "ids": inputs["input_word_ids"].numpy().tolist(),
    **{name: outputs[name].numpy().tolist()
       for name in ("sequence_output", "pooled_output", "default")},
    "layers": len(outputs["encoder_outputs"])}))
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory, hf_source):
  """A Hugging Face BERT with the exact gelu, as Hub SavedModels."""
  encoder = ta.load_encoder(str(hf_source))
  folder = tmp_path_factory.mktemp("export") / "bert"
  assert export_hub(encoder, folder, 16) == folder
  assert (folder.with_name("bert_preprocess") / "saved_model.pb").exists()
  return encoder, folder


def test_the_same_encoder_comes_back(exported):
  encoder, folder = exported
  again = ta.load_encoder(str(folder))
  assert again.origin.fingerprint == encoder.origin.fingerprint
  assert again.config == encoder.config
  assert again.vocabulary == encoder.vocabulary


def test_it_is_the_same_function_without_this_package(exported):
  encoder, folder = exported
  result = subprocess.run(
      [sys.executable, "-c", ELSEWHERE, str(folder)], input=json.dumps(TEXTS),
      capture_output=True, text=True, check=True)
  theirs = json.loads(result.stdout.splitlines()[-1])
  inputs = encoder.text_processor(16)(TEXTS, length=16)
  np.testing.assert_array_equal(theirs["ids"], inputs["input_word_ids"])
  ours = encoder(inputs)
  for name in ("sequence_output", "pooled_output", "default"):
    np.testing.assert_allclose(ours[name], theirs[name], atol=1e-5)
  assert theirs["layers"] == 3


def test_it_trains_in_a_keras_layer(exported):
  encoder, folder = exported
  texts = tf_keras.Input([], dtype=tf.string)
  layer = hub.KerasLayer(str(folder), trainable=True)
  outputs = layer(hub.KerasLayer(f"{folder}_preprocess")(texts))
  model = tf_keras.Model(texts, outputs["pooled_output"])
  assert len(layer.trainable_weights) == len(encoder.base_variables())
  before = [weight.numpy() for weight in layer.trainable_weights]
  model.compile(tf_keras.optimizers.SGD(1.0), "mse")
  model.fit(tf.constant(TEXTS), np.zeros([3, 32]), verbose=0)
  changed = [np.any(old != new.numpy())
             for old, new in zip(before, layer.trainable_weights)]
  assert sum(changed) >= len(changed) - 3  # key biases have no gradient


def test_model_gardens_code_takes_it(exported):
  model = utils.get_encoder_from_hub(str(exported[1]))
  ids = tf.ones([2, 5], tf.int32)
  outputs = model({"input_word_ids": ids, "input_mask": ids,
                   "input_type_ids": ids})
  assert outputs["sequence_output"].shape == [2, 5, 32]


@pytest.mark.parametrize("name", [
    "tf1", *(pytest.param(name, marks=pytest.mark.slow)
             for name in ("hub_v1", "tf1_hub"))])
def test_other_sources_come_back(sources, tmp_path, no_preprocessing, name):
  encoder = ta.load_encoder(str(sources[name]))
  export_hub(encoder, tmp_path / "bert", 16)
  again = ta.load_encoder(str(tmp_path / "bert"))
  assert again.origin.fingerprint == encoder.origin.fingerprint
  inputs = encoder.text_processor(16)(TEXTS)
  np.testing.assert_allclose(
      hub.load(str(tmp_path / "bert"))(inputs)["pooled_output"],
      encoder(inputs)["pooled_output"], atol=1e-5)


def test_what_can_not_be_exported(hf_source, sources, tmp_path):
  encoder = ta.load_encoder(str(hf_source))
  (tmp_path / "bert_preprocess").mkdir()
  (tmp_path / "bert_preprocess" / "mine").write_text("")
  with pytest.raises(ta.InputError, match="bert_preprocess: is there already"):
    export_hub(encoder, tmp_path / "bert", 16)
  with pytest.raises(ta.InputError, match="positions for 40 wordpieces"):
    export_hub(encoder, tmp_path / "other", 64)
  with pytest.raises(ta.InputError, match="without adapters"):
    export_hub(ta.load_encoder(str(hf_source), ta.AdapterConfig(size=4)),
               tmp_path / "other", 16)
  with pytest.raises(ta.InputError, match="--vocab_file"):
    export_hub(ta.load_encoder(str(sources["garden"])), tmp_path / "other", 16)
  assert sorted(path.name for path in tmp_path.iterdir()) == [
      "bert_preprocess"]
