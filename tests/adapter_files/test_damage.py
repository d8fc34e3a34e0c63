"""Adapter files that are not what was written: refused, or exactly the same."""

import dataclasses
import json
import shutil

import hypothesis
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import strategies as st

import tf_adapters as ta
from tests.adapters import edit, make
from tf_adapters.adapter_files import adapter_file
from tf_adapters.adapter_files.card import describe_adapter
from tf_adapters.adapter_files.info import AdapterInfo, info_json, read_info
from tf_adapters.adapter_files.tensors import (
    FileTensors,
    expected_shapes,
    read_checked,
    read_tensors,
)

CONFIG = "adapter_config.json"
WEIGHTS = "adapter.safetensors"


@pytest.fixture(scope="module")
def written(hf_source, tmp_path_factory):
  """A small adapter file with something in every field."""
  path = tmp_path_factory.mktemp("written") / "mine"
  make(hf_source, path, ta.AdapterConfig(size=1, layers=(2,)),
       "classification", ["no", "yes", "maybe"], "mean",
       "adapters-layer_norms", 24, False)
  info = read_info(path)
  adapter_file.write_adapter(path, dataclasses.replace(
      info, metrics={"validation": {"accuracy": 0.7512345}}),
      dict(FileTensors(path, info)))
  return path


@pytest.fixture
def copy(written, tmp_path):
  return shutil.copytree(written, tmp_path / "mine")


@pytest.fixture(scope="module")
def content(written):
  """The facts and the arrays of an adapter file."""
  return held(written)


def held(path):
  info = read_info(path)
  found = [{name: array.tobytes() for name, array in arrays.items()}
           for arrays in (FileTensors(path, info), read_checked(path, info))]
  assert found[0] == found[1]
  return info, found[0]


def refused_or_same(path, content):
  """Whether a file is refused; one that is not has to be the same."""
  try:
    found = held(path)
  except ta.InputError as error:
    assert "\n" not in str(error) and len(str(error)) < 2100
    return True
  assert found == content
  return False


def flipped(data, place, mask):
  return data[:place] + bytes([data[place] ^ mask]) + data[place + 1:]


def every_byte(written, copy, content, masks, step=1):
  """Lists the changed bytes that made no difference: (file, place)."""
  same = []
  for name in (CONFIG, WEIGHTS):
    data = (written / name).read_bytes()
    for place in range(0, len(data), step):
      (copy / name).write_bytes(flipped(data, place, next(masks)))
      if not refused_or_same(copy, content):
        same.append((name, place))
    (copy / name).write_bytes(data)
  return same


def test_one_changed_byte_anywhere(written, copy, content):
  rng = np.random.default_rng(0)
  same = every_byte(written, copy, content, iter(
      lambda: int(rng.integers(1, 256)), None), step=3)
  # Blanks, but for a case in a million: a last digit that changes no number.
  assert len(same) < 20
  text = (written / CONFIG).read_bytes()
  for name, place in same:
    assert name == CONFIG and text[place:place + 1] in b" \n", (name, place)


@pytest.mark.slow
@pytest.mark.parametrize("bit", [0, 2, 5, 7])
def test_a_single_bit_of_every_byte(written, copy, content, bit):
  for name, _ in every_byte(written, copy, content, iter(
      lambda: 1 << bit, None)):
    assert name == CONFIG


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_cut_off_anywhere(written, copy, content, name):
  data = (written / name).read_bytes()
  for size in [*range(0, len(data) - 2, 7), len(data) - 2]:
    (copy / name).write_bytes(data[:size])
    assert refused_or_same(copy, content), size


@pytest.mark.parametrize("tail", [b"\0", b"x", b"{}", b"\n" * 1000, b"PK"])
def test_appended_bytes(written, copy, content, tail):
  for name in (CONFIG, WEIGHTS):
    data = (written / name).read_bytes()
    (copy / name).write_bytes(data + tail)
    assert refused_or_same(copy, content) or tail.isspace()
    (copy / name).write_bytes(data)


@hypothesis.settings(max_examples=300, deadline=None, suppress_health_check=[
    hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(data=st.data())
def test_any_mutation(written, copy, content, data):
  """Several pieces replaced, removed, put in or moved, in both files."""
  for name in (CONFIG, WEIGHTS):
    file = bytearray((written / name).read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
      start = data.draw(st.integers(0, len(file)))
      end = data.draw(st.integers(start, min(len(file), start + 40)))
      other = data.draw(st.integers(0, len(file)))
      file[start:end] = data.draw(
          st.binary(max_size=40) | st.just(bytes(file[other:other + 40])))
    (copy / name).write_bytes(file)
  refused_or_same(copy, content)


@hypothesis.settings(max_examples=100, deadline=None, suppress_health_check=[
    hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(
    key=st.sampled_from([field for field in
                         AdapterInfo.__dataclass_fields__]),
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text()
        | st.sampled_from([10**12, -1, 0, 10**400, "\ud800", "mean", "full"]),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
            st.sampled_from(["size", "layers", "depth", "fingerprint",
                             "architecture", "source", "lower_case"])
            | st.text(max_size=4), inner, max_size=4), max_leaves=8))
def test_any_value_by_hand(written, copy, content, key, value):
  """A value that a stranger writes, without a checksum: no stack trace."""
  shutil.copyfile(written / CONFIG, copy / CONFIG)
  edit(copy, **{key: value})
  for read in (read_info, describe_adapter):
    try:
      read(copy)
    except ta.InputError as error:
      assert "\n" not in str(error)


@pytest.fixture(scope="module")
def empty_bank(hf_source):
  """A bank that takes none of the files here."""
  return ta.AdapterBank(str(hf_source))


def through_everything(bank, path, message):
  for load in (ta.load_adapter, bank.add, describe_adapter):
    with pytest.raises(ta.InputError, match=message):
      load(path)
  assert not bank.names()


@pytest.mark.parametrize("before, after", [
    (b'"yes"', b'"yet"'), (b'"mean"', b'"cls"'), (b'"max_length": 24', b'"max_'
     b'length": 23'), (b'"gelu_tanh"', b'"gelu"'), (b"0.7512345", b"0.9512345"),
    (b'"dropout": 0.1', b'"dropout": 0.3'), (b'"no"', b'"on"'),
    (b'"pairs": false', b'"pairs": true'), (b'"task"', b'"tusk"'),
    (b'"lower_case": true', b'"lower_case": false'),
    (b'"config_sha256"', b'"config_sha257"')])
def test_a_changed_setting_is_noticed(empty_bank, copy, before, after):
  data = (copy / CONFIG).read_bytes()
  assert before in data
  (copy / CONFIG).write_bytes(data.replace(before, after, 1))
  through_everything(empty_bank, copy, "damaged|no task|must be one of")


def test_tensors_under_each_others_names(empty_bank, copy):
  """Of the same shape: with the old sha256, and with none that would tell."""
  tensors = safetensors.numpy.load_file(copy / WEIGHTS)
  prefix = "transformer/layer_2/{}_adapter/up/kernel"
  names = [prefix.format(place) for place in ("attention", "output")]
  assert not np.array_equal(*(tensors[name] for name in names))
  safetensors.numpy.save_file(
      {**tensors, **dict(zip(names, [tensors[name] for name in names[::-1]]))},
      copy / WEIGHTS)
  through_everything(empty_bank, copy, "damaged")


def test_files_of_two_adapters_mixed(empty_bank, hf_source, copy, tmp_path):
  other = make(hf_source, tmp_path / "other",
               ta.AdapterConfig(size=1, layers=(2,)), "classification",
               ["no", "yes", "maybe"], "mean", "adapters-layer_norms", 24,
               False, seed=1)
  shutil.copyfile(other / WEIGHTS, copy / WEIGHTS)
  through_everything(empty_bank, copy, "damaged")


def test_layout_does_not_matter(copy, content):
  values = json.loads((copy / CONFIG).read_text())
  (copy / CONFIG).write_text(json.dumps(
      dict(reversed(values.items())), ensure_ascii=False, indent="\t"))
  assert not refused_or_same(copy, content)


def test_older_files_have_no_checksum(copy, content):
  values = json.loads((copy / CONFIG).read_text())
  del values["config_sha256"]
  (copy / CONFIG).write_text(json.dumps(values))
  assert not refused_or_same(copy, content)
  edit(copy, labels=["non", "oui", "peut-être"])  # as the message says
  assert read_info(copy).labels == ("non", "oui", "peut-être")


@pytest.mark.parametrize("tuning", [
    "adapters", "adapters-layer_norms", "adapters+pooler", "full",
    "top_layers:2", "layer_norm", "bias", "head"])
@pytest.mark.parametrize("adapters", [None, ta.AdapterConfig(
    size=3, layers=(1, 2), positions=("output",), depth=2, layer_norm=True)])
@pytest.mark.parametrize("problem, labels, pooling", [
    ("classification", "abc", "pooler"), ("regression", "", "cls"),
    ("tagging", "OBI", "tokens"), ("span", "", "tokens")])
def test_a_configuration_says_what_tensors_there_are(
    hf_source, tmp_path, tuning, adapters, problem, labels, pooling):
  if adapters is None and tuning.startswith("adapters"):
    return
  path = make(hf_source, tmp_path / "x", adapters, problem, labels, pooling,
              tuning)
  info = read_info(path)
  assert expected_shapes(info) == {
      name: array.shape
      for name, array in read_tensors(path, info).items()}


def architecture(path, **changes):
  encoder = json.loads((path / CONFIG).read_text())["encoder"]
  return {**encoder, "architecture": {**encoder["architecture"], **changes}}


@pytest.mark.parametrize("changes, message", [
    (lambda p: {"adapter": {}}, "lacks"),
    (lambda p: {"adapter": {"size": 1 << 16, "depth": 100}}, "lacks"),
    (lambda p: {"adapter": {"size": 10**12}}, "adapter size"),
    (lambda p: {"adapter": {"size": 1, "layers": [999]}}, "does not exist"),
    (lambda p: {"adapter": {"size": 1, "layers": [10**9]}},
     "adapter layers must be numbers from 0 to 999"),
    (lambda p: {"adapter": {"size": [[[1]]]}}, "adapter is"),
    (lambda p: {"labels": [str(i) for i in range(10**5)]}, "head/bias has shap"
     "e|head/kernel has shape"),
    (lambda p: {"labels": ["a", "\ud800"]}, "no Unicode"),
    (lambda p: {"encoder": architecture(p, num_hidden_layers=10**9)},
     "layers|sizes"),
    (lambda p: {"encoder": architecture(p, hidden_size=1 << 30)},
     "shape|sizes"),
    (lambda p: {"encoder": architecture(p, hidden_size=-1)}, "hidden_size"),
    (lambda p: {"encoder": architecture(p, family="xlnet")},
     "encoder family .xlnet. is not known: expected one of bert"),
    (lambda p: {"versions": {"a": {"b": 1}}}, "versions is"),
    (lambda p: {"weights_sha256": None}, "weights_sha256 is None"),
    (lambda p: {"dropout": float("nan")}, "dropout is"),
    (lambda p: {"metrics": {"a": {"b": 10**400}}}, "metrics is"),
])
def test_hostile_configurations(empty_bank, copy, changes, message):
  edit(copy, **changes(copy))
  through_everything(empty_bank, copy, message)


def test_sizes_of_another_encoder(empty_bank, copy):
  """The right fingerprint with a wrong architecture: nothing is built."""
  edit(copy, encoder=architecture(copy, vocab_size=7))
  for load in (ta.load_adapter, empty_bank.add):
    with pytest.raises(ta.InputError, match="of other sizes"):
      load(copy)


@pytest.mark.parametrize("source", [
    "http://169.254.169.254/latest", "https://evil.example/bert/1",
    "gs://bucket/bert.tar.gz", "https://tfhub.dev@evil.example/x/1",
    "https://tfhub.dev:8443/x/1", "http://tfhub.dev/x/1", "HTTPS://[evil/1"])
def test_an_adapter_file_does_not_choose_what_to_connect_to(
    hf_source, copy, monkeypatch, source):
  monkeypatch.setattr(
      "tf_adapters.checkpoints.fetching.fetch", lambda url: 1 / 0)
  values = json.loads((copy / CONFIG).read_text())
  edit(copy, encoder={**values["encoder"], "source": source})
  with pytest.raises(ta.InputError, match="only if you give it yourself"):
    ta.load_adapter(copy)
  assert ta.load_adapter(copy, str(hf_source)).labels[0] == "no"


def test_a_configuration_is_small(copy):
  """Before a parser makes a hundred megabytes of it."""
  labels = [f"label {number} {'x' * 80}" for number in range(50_000)]
  edit(copy, labels=labels)
  for read in (read_info, describe_adapter, ta.load_adapter):
    with pytest.raises(ta.InputError, match="bytes, expected at most 4,194,30"):
      read(copy)
  edit(copy, labels=labels[:2])
  info = read_info(copy)
  with pytest.raises(ta.InputError, match="at most 4,194,304 can be read"):
    info_json(dataclasses.replace(info, labels=tuple(labels)))
  assert len(info_json(dataclasses.replace(
      info, labels=tuple(labels[:10_000])))) < 2e6
