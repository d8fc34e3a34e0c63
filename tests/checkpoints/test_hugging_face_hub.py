"""Encoders of the Hugging Face Hub, from a server on this machine."""

import json
import pathlib
import re

import pytest
import safetensors.numpy

import tf_adapters as ta
from tests.hugging_face_hub import serving
from tf_adapters.checkpoints import hub_archives, sources
from tf_adapters.checkpoints.hub_encoders import fetch_encoder, pinned_encoder
from tf_adapters.checkpoints.hub_names import (
    _KNOWN_WEIGHTS,
    hugging_face_name,
    known_name,
)
from tf_adapters.checkpoints.loading import open_encoder

pytest.importorskip("huggingface_hub")

ENCODER = (pathlib.Path(__file__).parents[1] / "adapter_files"
           / "written_by_0_1" / "encoder")
NAMES = ["config.json", "model.safetensors", "vocab.txt",
         "tokenizer_config.json"]
# What nobody reads here.
OTHERS = {"pytorch_model.bin": b"x", "modeling.py": b"x", "README.md": b"x",
          "onnx/model.onnx": b"x", "1_Pooling/model.bin": b"x"}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
  with serving(tmp_path_factory.mktemp("cache")) as hub:
    hub.upload("org/tiny", ENCODER)
    hub.commit("org/tiny", OTHERS)
    yield hub


@pytest.fixture
def silent(hub):
  """A Hub that cannot be reached."""
  hub.is_silent = True
  yield hub
  hub.is_silent = False


def refused(source, message):
  with pytest.raises(ta.InputError, match=message) as caught:
    fetch_encoder(source)
  assert "\n" not in str(caught.value)
  assert str(caught.value).startswith(source)


def test_an_encoder_is_what_is_in_the_repository(hub):
  encoder = ta.load_encoder("hf://org/tiny")
  assert encoder.origin.source == "hf://org/tiny"
  assert encoder.origin.weights_fingerprint == ta.load_encoder(
      ENCODER).origin.weights_fingerprint
  assert encoder.vocabulary.lower_case
  assert sorted(hub.fetched()) == sorted(NAMES)


def test_what_is_in_the_cache_is_not_fetched_again(hub):
  folder = fetch_encoder("hf://org/tiny")
  assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)
  hub.requests.clear()
  assert fetch_encoder("hf://org/tiny") == folder
  assert not hub.fetched()
  commit = hub.refs["org/tiny"]["main"]
  assert fetch_encoder(f"hf://org/tiny@{commit}") == folder
  assert pinned_encoder("hf://org/tiny") == f"hf://org/tiny@{commit}"
  assert not hub.requests


def test_a_revision_is_a_branch_or_a_commit(hub):
  first = hub.upload("org/two", ENCODER)
  values = json.loads((ENCODER / "config.json").read_text())
  hub.commit("org/two", {"config.json": json.dumps(
      {**values, "hidden_act": "relu"}).encode()}, "v2")
  for revision, activation in (("", "gelu"), ("@v2", "relu"),
                               (f"@{first}", "gelu")):
    config = open_encoder(f"hf://org/two{revision}").config
    assert config.hidden_act == activation
  hub.commit("org/two", {"config.json": json.dumps(
      {**values, "hidden_act": "tanh"}).encode()})
  assert open_encoder("hf://org/two").config.hidden_act == "tanh"
  assert open_encoder(f"hf://org/two@{first}").config.hidden_act == "gelu"


def test_weights_may_be_in_several_files(hub, tmp_path):
  tensors = safetensors.numpy.load_file(ENCODER / "model.safetensors")
  files = {"model-1.safetensors": {}, "model-2.safetensors": {}}
  index = {}
  for number, name in enumerate(tensors):
    index[name] = f"model-{number % 2 + 1}.safetensors"
    files[index[name]][name] = tensors[name]
  hub.upload("org/shards", ENCODER)
  del hub.files("org/shards")["model.safetensors"]
  hub.commit("org/shards", {
      "model.safetensors.index.json": json.dumps(
          {"weight_map": {**index, "odd": "../odd.bin"}}).encode(),
      **{name: safetensors.numpy.save(part) for name, part in files.items()}})
  hub.requests.clear()
  assert pinned_encoder("hf://org/shards") is None
  folder = fetch_encoder("hf://org/shards")
  assert {*files} < {path.name for path in folder.iterdir()}
  with pytest.raises(ta.InputError, match="is not the name of a file beside"):
    open_encoder("hf://org/shards")
  hub.commit("org/shards", {"model.safetensors.index.json": json.dumps(
      {"weight_map": index}).encode()})
  assert ta.load_encoder(
      "hf://org/shards").origin.weights_fingerprint == ta.load_encoder(
          ENCODER).origin.weights_fingerprint
  assert pinned_encoder("hf://org/shards").startswith("hf://org/shards@")


@pytest.mark.parametrize("names", [
    ["vocab.json", "merges.txt"], ["spiece.model"], ["tokenizer.json"],
    ["modules.json", "1_Pooling/config.json"]])
def test_the_files_of_other_vocabularies_come_too(hub, names):
  name = f"org/{names[0].replace('.', '-')}"
  hub.commit(name, {**dict.fromkeys(names, b"{}"), "model.safetensors": b"x",
                    "config.json": b"{}"})
  folder = fetch_encoder(f"hf://{name}")
  assert all((folder / one).is_file() for one in names)


def test_without_a_network_the_cache_counts_and_this_is_said(
    hub, silent, capfd):
  with pytest.raises(ta.InputError, match="hf://org/none: http.* cannot be "
                     "reached .*: without a network give a local folder"):
    fetch_encoder("hf://org/none")
  silent.is_silent = False
  fetch_encoder("hf://org/tiny")
  silent.is_silent = True
  capfd.readouterr()
  assert fetch_encoder("hf://org/tiny").name == hub.refs["org/tiny"]["main"]
  said = capfd.readouterr().err
  assert re.fullmatch(r"hf://org/tiny: http.* cannot be reached \(\w+\): taken "
                      r"from the cache, as of commit \w{40}\n", said)


def test_mistakes_are_one_line(hub, monkeypatch):
  hub.commit("org/pickled", {"config.json": b"{}", "pytorch_model.bin": b"x"})
  hub.commit("org/gated", {"config.json": b"{}"})
  hub.gated.add("org/gated")
  hub.commit("org/adapter", {"adapter_config.json": b"{}"})
  for source, message in {
      "hf://org/none": "no such repository at .*, or it is private",
      "hf://org/tiny@nowhere": "has no revision 'nowhere': .*/commits/main",
      "hf://org/gated": "is gated: ask for access at .*/org/gated, then log in",
      "hf://org/pickled": "no model.safetensors, and pickled weights, .*, are "
                          "not fetched",
      "hf://org/adapter": "has no config.json",
      "hf://org/a/b": "is no repository: expected hf://owner/name",
      "hf://": "is no repository", "hf://../x": "is no repository",
      "hf://org/tiny@../../x": "is no repository",
      "hf://org/tiny@": "is no repository"}.items():
    refused(source, message)
  assert "pytorch_model.bin" not in hub.fetched()
  monkeypatch.setattr(hub_archives, "MOST_BYTES", 10)
  monkeypatch.setattr(
      "tf_adapters.checkpoints.hugging_face_hub.MOST_BYTES", 10)
  hub.upload("org/large", ENCODER)
  refused("hf://org/large", "its files have [0-9,]+ bytes, expected at most 10")


def test_a_source_is_told_before_anything_is_fetched(hub, monkeypatch):
  hub.requests.clear()
  for source, message in {
      "hf://google/electra-small-discriminator": "electra is no",
      "org/tiny": "a repository of the Hugging Face Hub is hf://org/tiny",
      "https://huggingface.co/org/tiny/tree/main":
          "is a page for people: the encoder there is hf://org/tiny"}.items():
    if "electra" in source and "electra" in sources.ENCODERS:
      continue
    with pytest.raises(ta.InputError, match=message):
      sources.locate(source)
  with pytest.raises(ta.InputError, match="a text embedding is one of TF Hub"):
    ta.load_text_embedding("hf://org/tiny")
  assert sources.locate("hf://org/tiny") == "hf://org/tiny"
  monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
  with pytest.raises(ta.InputError, match="hf://org/tiny: needs the package "
                     r"huggingface_hub: pip install -e '.\[hub\]'"):
    sources.locate("hf://org/tiny")
  assert not hub.requests


def test_names_of_the_hub_are_said_where_they_are_known():
  for source, name in {
      "hf://org/tiny@v2": "org/tiny",
      "bert_base_cased": "google-bert/bert-base-cased",
      "https://tfhub.dev/tensorflow/bert_en_cased_L-12_H-768_A-12/4":
          "google-bert/bert-base-cased",
      "small_bert_L-2_H-128": "google/bert_uncased_L-2_H-128_A-2",
      "minilm_l6": "sentence-transformers/all-MiniLM-L6-v2",
      "models/bert": None}.items():
    assert hugging_face_name(source) == name
  encoder = {"source": "models/bert"}
  assert known_name(encoder) is None
  assert known_name(encoder | {"name": "org/tiny"}) == "org/tiny"
  assert known_name(encoder | {
      "name": "org/tiny", "weights_fingerprint": next(iter(_KNOWN_WEIGHTS))
  }) == "sentence-transformers/all-MiniLM-L6-v2"


