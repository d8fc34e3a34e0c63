"""KerasHub's presets against what it computes: make_keras_hub_goldens.py."""

import contextlib
import json
import pathlib
import shutil
import types

import h5py
import numpy as np
import pytest

import tf_adapters as ta
from tests import conftest, sentence_piece_reference
from tf_adapters.checkpoints.formats import open_checkpoint

GOLDENS = pathlib.Path(__file__).parent / "keras_hub"
BPE = GOLDENS.parents[1] / "modeling" / "vocabularies" / "goldens" / "roberta"


@pytest.fixture(scope="module", params=[
    "bert", "distilbert", "albert", "electra", "roberta"])
def preset(request, tmp_path_factory):
  golden = dict(np.load(GOLDENS / f"{request.param}.npz"))
  folder = tmp_path_factory.mktemp("presets") / request.param
  assets = folder / "assets" / "tokenizer"
  assets.mkdir(parents=True)
  (folder / "config.json").write_text(str(golden["config"]))
  with h5py.File(folder / "model.weights.h5", "w") as file:
    for name, array in golden.items():
      if name.startswith("tensor "):
        file[name.removeprefix("tensor ")] = array
  if request.param == "albert":
    (assets / "vocabulary.spm").write_bytes(
        sentence_piece_reference.train("albert"))
  elif request.param == "roberta":
    shutil.copy(BPE / "vocab.json", assets / "vocabulary.json")
    shutil.copy(BPE / "merges.txt", assets)
  else:
    (assets / "vocabulary.txt").write_text("\n".join(conftest.TOKENS) + "\n")
  return types.SimpleNamespace(
      name=request.param, folder=folder, golden=golden,
      encoder=ta.load_encoder(folder))


def one(name):
  return pytest.mark.parametrize("preset", [name], indirect=True)


def test_outputs_are_those_of_keras_hub(preset):
  golden, encoder = preset.golden, preset.encoder
  assert encoder.family == preset.name
  outputs = encoder({
      "input_word_ids": golden["token_ids"],
      "input_mask": golden["padding_mask"],
      "input_type_ids": golden["segment_ids"] * (preset.name != "roberta")})
  mask = golden["padding_mask"].astype(bool)
  np.testing.assert_allclose(outputs["sequence_output"].numpy()[mask],
                             golden["sequence_output"][mask], atol=1e-5)
  if "pooled_output" in golden:
    np.testing.assert_allclose(
        outputs["pooled_output"], golden["pooled_output"], atol=1e-5)
  assert encoder.config.longest_text == 16
  assert len(encoder.vocabulary.tokens) <= encoder.config.vocab_size
  again = open_checkpoint(str(preset.folder / "model.weights.h5"))
  assert again.config == encoder.config


@one("bert")
def test_the_same_weights_of_hugging_face(preset, tmp_path, vocab_file):
  encoder = preset.encoder
  folder = conftest.write_hugging_face(
      tmp_path / "hf", encoder.config.to_dict() | {"hidden_act": "gelu_new"},
      {name: variable.numpy()
       for name, variable in encoder.base_variables().items()}, vocab_file)
  assert ta.load_encoder(folder).origin.fingerprint == (
      encoder.origin.fingerprint)


@one("bert")
def test_casing(preset, tmp_path):
  folder = shutil.copytree(preset.folder, tmp_path / "cased")
  (folder / "tokenizer.json").write_text(json.dumps({
      "class_name": "BertTokenizer", "config": {"lowercase": False}}))
  assert preset.encoder.vocabulary.lower_case
  assert not ta.load_encoder(folder).vocabulary.lower_case
  (folder / "tokenizer.json").write_text('{"config": {"lowercase": 2}}')
  with pytest.raises(ta.InputError, match="lowercase is 2, not a boolean"):
    ta.load_encoder(folder)


@one("bert")
def test_damaged_presets(preset, tmp_path):
  """Files elsewhere are not read; the rest is checked before it is read."""
  def refused(message, change=None, **config):
    folder = tmp_path / "preset"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(preset.folder, folder)
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({
        **values, "config": {**values["config"], **config}}))
    if change:
      with h5py.File(folder / "model.weights.h5", "a") as file:
        change(file)
    with pytest.raises(ta.InputError, match=message):
      ta.load_encoder(folder)

  place = "layers/dense/vars/0"

  def linked(file):
    del file[place]
    file[place] = h5py.ExternalLink("other.h5", "/x")

  def outside(file):
    del file[place]
    file.create_dataset(place, (8, 8), "f4", external=[("/etc/hosts", 0, 256)])

  def promised(file):
    del file[place]
    file.create_dataset(place, (8, 1 << 40), "f4")

  def squeezed(file):
    array = file[place][...]
    del file[place]
    file.create_dataset(place, data=array, compression="gzip")

  refused("no tensor for pooler_transform/kernel", linked)
  for change in (outside, promised, squeezed):
    refused("dense/vars/0 is no array of floating", change)
  refused("layer_1/.* but the encoder has only 1 layers", num_layers=1)
  refused("no tensor for transformer/layer_2", num_layers=3)
  refused("config.json: hidden_size 8 is not a multiple", num_heads=3)
  file = tmp_path / "preset" / "model.weights.h5"
  shutil.copy(preset.folder / "config.json", file.parent)
  file.write_bytes(file.read_bytes()[:3000])
  with pytest.raises(ta.InputError, match="weights.h5: cannot be read"):
    ta.load_encoder(file)
  content = (preset.folder / file.name).read_bytes()
  rng = np.random.default_rng(0)
  for _ in range(50):
    damaged = np.frombuffer(content, np.uint8).copy()
    damaged[rng.integers(len(damaged), size=9)] = rng.integers(256, size=9)
    file.write_bytes(damaged.tobytes())
    with contextlib.suppress(ta.InputError):
      for _ in open_checkpoint(str(file)).tensors():
        pass
  file.with_name("config.json").write_text('{"class_name": "GemmaBackbone"}')
  with pytest.raises(ta.InputError, match="class_name is 'GemmaBackbone'"):
    ta.load_encoder(file)
