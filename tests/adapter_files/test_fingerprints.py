"""The same weights with another function, other weights, and files that know
less of their encoder.
"""

import dataclasses
import json
import pathlib
import re
import shutil
import warnings

import numpy as np
import pytest
import safetensors.numpy

import tf_adapters as ta
from tests.adapters import edit, make
from tf_adapters.adapter_files.adapter_file import check_fits
from tf_adapters.adapter_files.card import describe_adapter
from tf_adapters.adapter_files.info import read_info

BY_0_1 = pathlib.Path(__file__).parent / "written_by_0_1"
WARNING = (
    r"was trained with hidden_act gelu \(.*/encoder\), but this encoder of the "
    r"same weights computes with hidden_act gelu_tanh \(.*/tanh\)")


def changed(folder, change):
  """The encoder of version 0.1's files again, changed."""
  shutil.copytree(BY_0_1 / "encoder", folder)
  change(folder)
  return str(folder)


def with_tanh(folder):
  config = json.loads((folder / "config.json").read_text())
  (folder / "config.json").write_text(
      json.dumps({**config, "hidden_act": "gelu_new"}))


def with_another_weight(folder):
  tensors = safetensors.numpy.load_file(folder / "model.safetensors")
  tensors["pooler.dense.bias"][0] += 1
  safetensors.numpy.save_file(tensors, folder / "model.safetensors")


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
  folder = tmp_path_factory.mktemp("encoders")
  return {"exact": str(BY_0_1 / "encoder"),
          "tanh": changed(folder / "tanh", with_tanh),
          "other": changed(folder / "other", with_another_weight)}


@pytest.fixture(scope="module")
def loaded(encoders):
  return {name: ta.load_encoder(source) for name, source in encoders.items()}


@pytest.fixture(scope="module")
def origins(loaded):
  return {name: encoder.origin for name, encoder in loaded.items()}


@pytest.fixture(scope="module")
def file(encoders, tmp_path_factory):
  return make(
      encoders["exact"], tmp_path_factory.mktemp("file") / "mine",
      ta.AdapterConfig(size=4), "classification", "yn", "mean", "adapters", 24)


@pytest.fixture
def copy(file, tmp_path):
  """A copy of the file whose encoder lacks some of its fingerprints."""
  def make_copy(*names):
    path = tmp_path / "-".join(["copy", *names])
    shutil.copytree(file, path)
    encoder = dict(read_info(path).encoder)
    for name in names:
      del encoder[name]
    edit(path, encoder=encoder)
    return path
  return make_copy


def takes(encoder, path):
  """Without a word, as `load_adapter` and banks ask it."""
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    check_fits(path, read_info(path), encoder)


def refuses(encoder, path, message):
  with pytest.raises(ta.InputError, match=message) as caught:
    check_fits(path, read_info(path), encoder)
  assert "\n" not in str(caught.value)


def test_weights_and_function_have_one_each(origins):
  exact, tanh, other = (origins[name] for name in ("exact", "tanh", "other"))
  assert exact.weights_fingerprint == tanh.weights_fingerprint
  assert exact.function_fingerprint != tanh.function_fingerprint
  assert exact.weights_fingerprint != other.weights_fingerprint
  assert exact.function_fingerprint == other.function_fingerprint
  assert len({origin.fingerprint for origin in origins.values()}) == 3
  # Whatever the weights are held in.
  half = ta.load_encoder(BY_0_1 / "encoder", dtype="bfloat16").origin
  assert dataclasses.replace(half, digests=exact.digests) == exact


def test_another_function_is_a_warning(file, encoders):
  bank = ta.AdapterBank(encoders["tanh"])
  with pytest.warns(UserWarning, match=WARNING) as caught:
    bank.add(file)
  assert len(caught) == 1 and "\n" not in str(caught[0].message)
  with pytest.warns(UserWarning, match=WARNING) as caught:
    model = ta.load_adapter(file, encoders["tanh"])
  assert len(caught) == 1
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    expected = ta.load_adapter(file)
  inputs = model.encoder.text_processor()(["the film"])
  np.testing.assert_allclose(model(inputs), expected(inputs), atol=0.1)
  assert (model(inputs).numpy() != expected(inputs).numpy()).any()


def test_other_weights_are_refused(file, loaded, encoders, origins):
  refuses(loaded["other"], file, re.escape(
      "with weights fingerprint "
      f"{origins['exact'].weights_fingerprint[:12]}, not {encoders['other']} "
      f"with {origins['other'].weights_fingerprint[:12]}") + "$")


def test_files_of_version_0_1_are_taken_and_refused_as_they_were(copy, loaded):
  for path in (copy("weights_fingerprint", "function_fingerprint"),
               BY_0_1 / "classification"):
    takes(loaded["exact"], path)
    for name in ("tanh", "other"):
      refuses(loaded[name], path, "made for other encoder weights: .* with "
              "fingerprint .*; version 0.1 has one")


def test_without_a_fingerprint_sizes_and_vocabulary_decide(
    copy, loaded, hf_source):
  path = copy("fingerprint", "weights_fingerprint", "function_fingerprint")
  for encoder in loaded.values():
    takes(encoder, path)
  with pytest.raises(ta.InputError, match="of other sizes than"):
    ta.load_adapter(path, hf_source)
  edit(path, tokenizer={**read_info(path).tokenizer, "lower_case": False})
  refuses(loaded["exact"], path, "another vocabulary or casing")


@pytest.mark.filterwarnings("ignore:.*was trained with")
def test_files_are_compared_by_what_both_know(
    file, copy, encoders, origins, tmp_path):
  old = copy("weights_fingerprint", "function_fingerprint")
  assert not ta.compare_adapters(file, old).settings
  ta.average_adapters([old, file], tmp_path / "mean")
  assert read_info(tmp_path / "mean").encoder == read_info(old).encoder
  tanh = tmp_path / "tanh"
  ta.save_adapter(ta.load_adapter(file, encoders["tanh"]), tanh)
  settings = ta.compare_adapters(file, tanh).settings
  assert settings["encoder function_fingerprint"] == tuple(
      origins[name].function_fingerprint for name in ("exact", "tanh"))
  assert settings["encoder architecture hidden_act"] == ("gelu", "gelu_tanh")
  assert not {"encoder fingerprint", "encoder weights_fingerprint"} & (
      settings.keys())
  with pytest.warns(UserWarning, match="tanh: was trained with hidden_act "
                    "gelu_tanh, .*mine with hidden_act gelu, on the same"):
    ta.average_adapters([file, tanh], tmp_path / "mean")
  with pytest.raises(ta.InputError, match="encoder fingerprint is .*, not"):
    ta.average_adapters([old, tanh], tmp_path / "mean")


def test_what_is_said_of_a_file_names_them(file, origins):
  rows = describe_adapter(file)
  origin = origins["exact"]
  for label, value in (
      ("encoder weights fingerprint", origin.weights_fingerprint),
      ("encoder function fingerprint", origin.function_fingerprint),
      ("encoder fingerprint", origin.fingerprint)):
    assert rows[label] == value
    assert f"| {label} | {value} |" in (file / "README.md").read_text()
