"""Files that are changed between being checked and being used."""

import os
import shutil

import numpy as np
import pytest
import safetensors.numpy

import tf_adapters as ta
from tests.checkpoints.test_damage import copy
from tf_adapters.adapter_files.info import read_info
from tf_adapters.adapter_files.tensors import FileTensors
from tf_adapters.checkpoints import tensor_bundle
from tf_adapters.checkpoints.formats import open_checkpoint
from tf_adapters.checkpoints.tensor_file import TensorFile
from tf_adapters.files.reading import Unchanged, read_file


def replace(file):
  """Another file of the same size takes its place."""
  content = bytearray(file.read_bytes())
  content[-50] ^= 1
  other = file.with_name("other")
  other.write_bytes(content)
  os.utime(other, ns=(0, file.stat().st_mtime_ns))
  os.replace(other, file)


def write_into(file):
  status = file.stat()
  with open(file, "r+b") as opened:
    opened.seek(-50, os.SEEK_END)
    opened.write(b"x")
  os.utime(file, ns=(0, status.st_mtime_ns + 1))


def cut_off(file):
  os.truncate(file, file.stat().st_size // 2)


@pytest.mark.parametrize("change", [replace, write_into, cut_off,
                                    lambda file: file.unlink()])
@pytest.mark.parametrize("source, name", [
    ("hugging_face", "model.safetensors"),
    ("tf1", "bert_model.ckpt.data-00000-of-00001"),
    ("hub_v4", "variables/variables.data-00000-of-00001")])
def test_an_encoder_that_is_changed_is_refused(
    sources, hf_source, tmp_path, source, name, change):
  folder = copy(hf_source if source == "hugging_face" else sources[source],
                tmp_path)
  checkpoint = open_checkpoint(str(folder))
  tensors = checkpoint.tensors()
  next(tensors)
  change(folder / name)
  with pytest.raises(ta.InputError, match="was changed while|No such "
                     "file") as caught:
    list(tensors)
  assert "\n" not in str(caught.value)


def test_an_index_that_is_changed_behind_its_check(
    sources, tmp_path, monkeypatch):
  folder = copy(sources["tf1"], tmp_path)
  read_index = tensor_bundle.read_index

  def read(prefix):
    entries = read_index(prefix)
    index = prefix.with_name(f"{prefix.name}.index")
    shutil.copyfile(index, index.with_name("other"))
    os.replace(index.with_name("other"), index)
    return entries

  monkeypatch.setattr(tensor_bundle, "read_index", read)
  with pytest.raises(ta.InputError, match="index: was changed while it was re"):
    open_checkpoint(str(folder))


def test_an_adapter_file_that_is_changed(task_files, tmp_path):
  path = shutil.copytree(next(iter(task_files.values())), tmp_path / "mine")
  tensors = FileTensors(path, read_info(path))
  assert np.isfinite(tensors["head/bias"]).all()
  replace(path / "adapter.safetensors")
  with pytest.raises(ta.InputError, match="adapter.safetensors: was changed"):
    tensors["head/bias"]


def test_a_header_is_small(tmp_path):
  file = tmp_path / "large.safetensors"
  safetensors.numpy.save_file(
      {"x": np.zeros(2, np.float32)}, file, {"note": "x" * (5 << 20)})
  with pytest.raises(ta.InputError, match="header has 5,2.* at most 4,194,304"):
    TensorFile(file)
  for content in (b"", b"1234567", bytes(8), b"\xff" * 20):
    file.write_bytes(content)
    with pytest.raises(ta.InputError, match="large.safetensors: cannot be re"):
      TensorFile(file)


def test_what_is_read_is_what_was_checked(tmp_path):
  file = tmp_path / "file"
  file.write_bytes(b"12345")
  assert read_file(file, 5) == b"12345"
  with pytest.raises(ta.InputError, match="has 5 bytes, expected at most 4"):
    read_file(file, 4)
  with pytest.raises(ta.InputError, match="it grows meanwhile"):
    read_file("/proc/self/stat")  # says that it has no bytes
  os.mkfifo(tmp_path / "pipe")
  for path, message in (
      (tmp_path / "pipe", "no regular file"), (tmp_path, "no regular file"),
      ("/dev/zero", "no regular file"), (tmp_path / "none", "No such file"),
      (tmp_path / ("n" * 300), "File name too long"),
      (tmp_path / "nul\0", "null byte")):
    with pytest.raises(ta.InputError, match=message) as caught:
      read_file(path)
    assert "\n" not in str(caught.value)
  unchanged = Unchanged(file)
  unchanged.check()
  file.write_bytes(b"123456")
  with pytest.raises(ta.InputError, match="was changed while it was read"):
    unchanged.check()


def test_a_file_that_is_cut_while_it_is_read(tmp_path):
  file = tmp_path / "large.safetensors"
  safetensors.numpy.save_file(
      {name: np.ones(50_000, np.float32) for name in "abcd"}, file)
  arrays = TensorFile(file).items()
  next(arrays)
  cut_off(file)  # whoever has it mapped gets SIGBUS
  with pytest.raises(ta.InputError, match="was changed while"):
    list(arrays)
