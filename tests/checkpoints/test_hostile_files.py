"""Files made to harm: nothing of them runs, nothing is made room for."""

import ast
import json
import os
import pathlib
import pickle
import resource
import shutil
import struct
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from tensorflow.core.protobuf import tensor_bundle_pb2

import tf_adapters as ta
from tests.checkpoints import bundles
from tests.checkpoints.test_damage import copy, edit, refuse
from tf_adapters.checkpoints import bundle_index
from tf_adapters.checkpoints.formats import open_checkpoint
from tf_adapters.checkpoints.tensor_bundle import TensorBundle

PACKAGE = pathlib.Path(ta.__file__).parent

# What can run code that a file holds, by the last names of what is called.
RUNS_CODE = {
    "eval", "exec", "compile", "__import__", "pickle", "cPickle", "dill",
    "marshal", "shelve", "joblib", "h5py", "torch", "load_model",
    "model_from_json", "KerasLayer", "unsafe_load", "unsafe_load_all",
    "full_load", "full_load_all",
    "load_saved_model", "import_graph_def", "import_meta_graph", "extractall"}
# A module of texts is a program that its user asks for (docs/security.md).
ALLOWED = {"checkpoints/embeddings.py": {"KerasLayer"},
           # Arrays alone, whole in the file itself (docs/security.md).
           "checkpoints/keras_hub.py": {"h5py"},
           # Names of variables alone, in a file that Keras is to read.
           "modeling/saving_checks.py": {"h5py"}}
LOADERS = {"saved_model.load", "hub.load", "tensorflow_hub.load", "np.load",
           "numpy.load", "v2.load", "yaml.load", "yaml.load_all"}


@pytest.mark.parametrize("path", sorted(
    str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py")))
def test_nothing_in_the_package_runs_files(path):
  tree = ast.parse((PACKAGE / path).read_text())
  named = set()
  for node in ast.walk(tree):
    if isinstance(node, ast.Import | ast.ImportFrom):
      named |= {alias.name.split(".")[0] for alias in node.names}
      named.add((getattr(node, "module", None) or "").split(".")[0])
    elif isinstance(node, ast.Call):
      called = ast.unparse(node.func)
      if called != "safetensors.numpy.load":
        assert not called.endswith(tuple(LOADERS)), called
      if called != "re.compile" and not called.endswith(".compile"):
        named.add(called.split(".")[-1])
  assert named & RUNS_CODE == ALLOWED.get(path, set())


_watched = None


def _audit(event, arguments):
  if _watched is None:
    return
  writes = event == "open" and isinstance(arguments[0], str) and (
      arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
  if writes or event in (
      "pickle.find_class", "marshal.loads", "exec", "os.system", "os.exec",
      "os.posix_spawn", "subprocess.Popen", "socket.connect", "os.rename",
      "os.remove", "os.symlink", "os.mkdir"):
    _watched.append((event, arguments))


@pytest.fixture
def watched():
  """Collects what the interpreter does that reading would not do."""
  global _watched
  if not getattr(_audit, "added", False):
    sys.addaudithook(_audit)  # there is no taking it away again
    _audit.added = True
  _watched = []
  yield _watched
  _watched = None


def test_no_source_is_run(sources, hub_source, monkeypatch, watched):
  def refused(*_, **__):
    raise AssertionError("a model was loaded or run")
  for source in sources.values():
    ta.load_encoder(str(source))  # what is imported late is imported now
  for module, name in (
      (tf.saved_model, "load"), (hub, "load"), (hub, "KerasLayer"),
      (tf.compat.v1.saved_model, "load"), (tf, "import_graph_def"),
      (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"),
      (np, "load")):
    monkeypatch.setattr(module, name, refused)
  watched.clear()
  for source in sources.values():
    ta.load_encoder(str(source))
    assert not watched


class Evil:
  def __reduce__(self):
    return (open, ("evil", "w"))


@pytest.mark.parametrize("name", [
    "pytorch_model.bin", "model.ckpt", "model.pt", "model.pkl",
    "model.safetensors", "tf_model.h5", "model.keras", "config.json",
    "vocab.txt", "tokenizer.json"])
def test_pickles_under_any_name(hf_source, tmp_path, monkeypatch, name):
  folder = copy(hf_source, tmp_path)
  monkeypatch.chdir(tmp_path)
  if name == "tokenizer.json":
    (folder / "vocab.txt").unlink()
  if not (folder / name).exists():
    (folder / "model.safetensors").unlink()
  (folder / name).write_bytes(pickle.dumps(Evil()))
  refuse(folder, "not opened|cannot be read|JSON|has no|not a vocabulary")
  with pytest.raises(ta.InputError):
    ta.load_encoder(str(folder / name))
  assert not (tmp_path / "evil").exists()


def sparse(path, size):
  with open(path, "wb") as file:
    file.truncate(size)


def header(claimed, tensors=None):
  """A safetensors file that claims a header, or tensors, of any size."""
  content = json.dumps(tensors or {}).encode()
  return struct.pack("<Q", claimed or len(content)) + content


TENSOR = {"dtype": "F32", "shape": [1 << 20, 1 << 20],
          "data_offsets": [0, 1 << 42]}


@pytest.mark.parametrize("name, make, message", [
    ("model.safetensors", lambda p: p.write_bytes(header(1 << 40)), "not be r"),
    ("model.safetensors", lambda p: p.write_bytes(header((1 << 64) - 1)),
     "cannot be read"),
    ("model.safetensors", lambda p: p.write_bytes(
        header(0, {"bert.embeddings.word_embeddings.weight": TENSOR})),
     "cannot be read"),
    ("model.safetensors", lambda p: sparse(p, 1 << 40), "cannot be read"),
    ("config.json", lambda p: sparse(p, 5 << 30), "5,368,709,120 bytes"),
    ("config.json", lambda p: p.write_text("[" * (1 << 20)), "as JSON"),
    ("config.json", lambda p: p.write_text('{"a":' * 500 + "1" + "}" * 500),
     "vocab_size"),
    ("vocab.txt", lambda p: sparse(p, 5 << 30), "5,368,709,120 bytes"),
    ("tokenizer_config.json", lambda p: sparse(p, 5 << 30), "bytes, expected"),
    ("tokenizer.json", lambda p: sparse(p, 5 << 30), "bytes, expected"),
    ("config.json", edit("num_hidden_layers", 10**6), "no tensor for"),
    ("config.json", edit("vocab_size", 10**9), "shape"),
    ("config.json", edit("hidden_size", 10**12), "hidden_size"),
    ("config.json", edit("intermediate_size", -1), "intermediate_size"),
    ("config.json", edit("type_vocab_size", 0), "type_vocab_size"),
    ("config.json", edit("layer_norm_eps", float("nan")), "layer_norm_eps"),
    ("config.json", edit("model_type", "x" * 10**6), r"model_type is .* \.\."),
])
def test_sizes_that_nothing_is_made_room_for(
    hf_source, tmp_path, name, make, message):
  folder = copy(hf_source, tmp_path)
  make(folder if make.__name__ == "change" else folder / name)
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  refuse(folder, message)
  grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
  assert grown < 200_000  # kB


@pytest.mark.parametrize("name", [
    "config.json", "vocab.txt", "model.safetensors", "tokenizer_config.json"])
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to(
    "/dev/zero")])
def test_pipes_and_devices_are_not_read(hf_source, tmp_path, name, make):
  folder = copy(hf_source, tmp_path)
  (folder / name).unlink()
  make(folder / name)
  refuse(folder, f"{name}: cannot be read: it is no regular file")


def test_links_to_files_are_followed(hf_source, tmp_path):
  """As caches of the Hugging Face Hub have them."""
  blobs = shutil.copytree(hf_source, tmp_path / "blobs")
  folder = tmp_path / "snapshots" / "x"
  folder.mkdir(parents=True)
  for file in blobs.iterdir():
    (folder / file.name).symlink_to(f"../../blobs/{file.name}")
  assert ta.load_encoder(str(folder)).origin.fingerprint == ta.load_encoder(
      str(hf_source)).origin.fingerprint


ENTRY = tensor_bundle_pb2.BundleEntryProto


def entry(dtype, dims, size=1000, **fields):
  result = ENTRY(dtype=dtype, size=size, **fields)
  for dim in dims:
    result.shape.dim.add(size=dim)
  return result


@pytest.mark.parametrize("odd, message", [
    (entry(1, [10**6, 10**6]), "of 4,000,000,000,000 bytes"),
    (entry(1, [-5]), "v has no shape"),
    (entry(1, [1 << 40, 1 << 40]), "v has no shape"),
    (entry(1, [1 << 40, 1 << 40, 0]), "v has no shape"),
    (entry(1, [1] * 300), "v has no shape"),
    (entry(1, [1] * 3000), "an entry of no tensor"),
    (entry(99, [250]), "v has no shape or type"),
    (entry(0, [250]), "cannot be read"),
    (entry(7, [10**9]), "of 1,000,000,000 bytes"),
    (entry(7, [900]), "expected numbers, not strings"),
    (entry(7, []), "cannot be read"),
    (entry(1, [250]), "[Cc]hecksum"),
    (entry(1, [250], offset=1 << 62), "cannot be read"),
    (entry(1, [250], offset=-5), "cannot be read"),
    (entry(1, [250], size=1 << 62), "cannot be read"),
    (entry(1, [250], shard_id=7), "No such file"),
    (entry(1, [250], slices=[{"extent": [{"start": -1}]}]), "partitioned"),
])
def test_what_an_index_can_claim(tmp_path, odd, message):
  """TensorFlow's reader would end the process at some of them."""
  bundles.write(tmp_path / "x", {"v": odd}, b"x" * 1000)
  with pytest.raises(ta.InputError, match=message):
    TensorBundle(tmp_path / "x").read("v")


def test_a_well_formed_index_is_read(tmp_path):
  array = np.arange(250, dtype="<f4")
  bundles.write(tmp_path / "x", {"v": entry(
      1, [250], crc32c=bundles.masked_crc32c(array.tobytes()))},
      array.tobytes())
  np.testing.assert_array_equal(TensorBundle(tmp_path / "x").read("v"), array)


@pytest.mark.parametrize("name", ["tf1", "hub_v4"])
def test_an_index_is_as_tensorflow_reads_it(sources, name):
  (index,) = sources[name].rglob("*.index")
  prefix = index.with_suffix("")
  theirs = tf.train.load_checkpoint(str(prefix)).get_variable_to_shape_map()
  assert {key: [dim.size for dim in entry.shape.dim] for key, entry
          in bundle_index.read_index(prefix).items()} == theirs


def test_a_changed_byte_of_a_checkpoint_is_noticed(sources, tmp_path):
  """Of the index, and of the tensors: TensorFlow checks those."""
  folder = copy(sources["tf1"], tmp_path)
  expected = ta.load_encoder(str(folder)).origin.fingerprint
  rng = np.random.default_rng(0)
  for file in sorted(folder.glob("bert_model.ckpt.*")):
    if file.suffix == ".meta":
      continue
    data = file.read_bytes()
    for place in rng.choice(len(data), 60, replace=False):
      changed = bytearray(data)
      changed[place] ^= int(rng.integers(1, 256))
      file.write_bytes(changed)
      try:
        checkpoint = open_checkpoint(str(folder))
        list(checkpoint.tensors())
      except ta.InputError:
        continue
      # Padding of the footer, or what no tensor is in.
      assert ta.load_encoder(str(folder)).origin.fingerprint == expected
    file.write_bytes(data)


def test_changed_safetensors_are_other_weights(hf_source, tmp_path):
  """They have no checksum: the fingerprint tells, and adapters refuse."""
  model = ta.TextClassifier(
      ta.load_encoder(str(hf_source), ta.AdapterConfig(size=2)), ["a", "b"],
      pooling="mean")
  ta.save_adapter(model, tmp_path / "adapter")
  folder = copy(hf_source, tmp_path)
  file = folder / "model.safetensors"
  data = bytearray(file.read_bytes())
  data[-100] ^= 1
  file.write_bytes(data)
  with pytest.raises(ta.InputError, match="made for other encoder weights"):
    ta.load_adapter(tmp_path / "adapter", str(folder))
  with pytest.raises(ta.InputError, match="made for other encoder weights"):
    ta.AdapterBank(str(folder), [tmp_path / "adapter"])
