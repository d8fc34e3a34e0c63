"""The same tiny weights in every format, each written once per session."""

import json
import pathlib

import pytest

from tests import conftest
from tests.checkpoints import writers
from tf_adapters.checkpoints import hub_export


@pytest.fixture
def no_preprocessing(monkeypatch):
  """Exports write the encoder alone: what is beside it takes ten seconds."""
  monkeypatch.setattr(
      hub_export.export_tfhub_lib, "export_preprocessing",
      lambda folder, **options: pathlib.Path(folder, "saved_model.pb").touch())


@pytest.fixture(scope="session")
def sources(tmp_path_factory, hub_source, vocab_file):
  """{what: folder or file}; all are of one fingerprint."""
  paths = conftest.once(tmp_path_factory, "sources", lambda folder: {
      name: str(path)
      for name, path in write_sources(folder, hub_source, vocab_file).items()})
  return {name: pathlib.Path(path) for name, path in paths.items()}


def write_sources(folder, hub_source, vocab_file):
  hub, tensors = hub_source
  config = conftest.TINY
  tf1 = writers.write_tf1_checkpoint(
      folder / "tf1", config, vocab_file, tensors)
  garden = writers.write_garden(folder / "garden", config, tf1)
  # Hugging Face's own "gelu" is the exact one.
  single = conftest.write_hugging_face(
      folder / "hugging_face", {**config, "hidden_act": "gelu_new"}, tensors,
      vocab_file)
  with_config = writers.write_garden(
      folder / "garden_pretrainer", config, tf1, "pretrainer")
  (with_config / "bert_config.json").write_text(json.dumps(config))
  return {
      "hub_v4": hub,
      "hub_v2": writers.write_hub_v2(
          folder / "hub_v2", config, vocab_file, tensors),
      "hub_v1": writers.write_hub_v1(
          folder / "hub_v1", config, vocab_file, tensors),
      "tf1_hub": writers.write_tf1_hub(
          folder / "tf1_hub", config, vocab_file, tensors),
      "tf1": tf1,
      "tf1_prefix": tf1 / "bert_model.ckpt",
      "tf1_index": tf1 / "bert_model.ckpt.index",
      "garden": garden,
      "garden_pretrainer": with_config,
      "garden_trained": writers.write_garden_trained(
          folder / "garden_trained", config, tensors),
      "hugging_face": single,
      "hugging_face_file": single / "model.safetensors",
      "hugging_face_sharded": writers.write_sharded(
          folder / "hugging_face_sharded", single),
  }
