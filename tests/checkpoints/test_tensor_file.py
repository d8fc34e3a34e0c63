"""Files of safetensors that are read at once."""

import hashlib
import json

import numpy as np
import pytest
import safetensors.numpy

import tf_adapters as ta
from tf_adapters.checkpoints import tensor_file
from tf_adapters.checkpoints.tensor_file import read_arrays

ARRAYS = {"b": np.arange(6, dtype=np.float32).reshape(2, 3),
          "a": np.array([1, 2], np.int64), "none": np.zeros([0, 4], np.float32),
          "one": np.array(7, np.float16)}


def write(path, content):
  path.write_bytes(content)
  return path, hashlib.sha256(content).hexdigest()


def packed(header, data):
  head = json.dumps(header).encode() if isinstance(header, dict) else header
  return len(head).to_bytes(8, "little") + head + data


def test_arrays_are_those_of_the_library(tmp_path):
  for number in range(3):  # the second one by what is known of the first
    content = safetensors.numpy.save({
        name: np.asarray(array + array.dtype.type(number))
        for name, array in ARRAYS.items()})
    arrays, data = read_arrays(*write(tmp_path / f"{number}", content), 1000)
    expected = safetensors.numpy.load(content)
    assert {*arrays} == {*expected}
    for name, array in expected.items():
      assert arrays[name].dtype == array.dtype
      np.testing.assert_array_equal(arrays[name], array, strict=True)
      assert not arrays[name].flags.writeable
    assert len(data) == sum(array.nbytes for array in expected.values())


def test_a_header_of_any_length_and_order(tmp_path):
  values = np.arange(4, dtype=np.float32)
  shape = {"dtype": "F32", "shape": [2]}
  header = {"second": {**shape, "data_offsets": [8, 16]},
            "__metadata__": {"note": "x" * 70_000},
            "first": {**shape, "data_offsets": [0, 8]}}
  kept = tensor_file._layout.cache_info().currsize
  for note in ("", "x", "xx", "x" * 70_000):
    header["__metadata__"] = {"note": note}
    arrays, _ = read_arrays(*write(
        tmp_path / "file", packed(header, values.tobytes())), 1000)
    assert [arrays[name].tolist() for name in ("first", "second")] == [
        [0, 1], [2, 3]]
  # Large headers are not kept in memory.
  assert tensor_file._layout.cache_info().currsize <= kept + 3


def test_what_the_library_refuses(tmp_path):
  place = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
  for header, size in (
      ({"a": place}, 4), ({"a": place}, 12), ({"a": place, "b": place}, 8),
      ({"a": {**place, "shape": [3]}}, 8), ({"a": {**place, "dtype": "X"}}, 8),
      ({"a": {**place, "data_offsets": [8, 0]}}, 8),
      ({"a": {**place, "data_offsets": [4, 12]}}, 12),
      (b"[1]", 0), (b"", 0), (b"\xff\xff", 0)):
    for _ in range(2):
      with pytest.raises(ta.InputError, match="file: cannot be read"):
        read_arrays(*write(
            tmp_path / "file", packed(header, bytes(size))), 1000)
  # The same name twice, in other places: as the library has it, or refused.
  text = (b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
          b'"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}')
  content = packed(text, np.arange(2, dtype=np.float32).tobytes())
  try:
    expected = safetensors.numpy.load(content)
  except safetensors.SafetensorError:
    return
  arrays, _ = read_arrays(*write(tmp_path / "file", content), 1000)
  np.testing.assert_array_equal(arrays["a"], expected["a"], strict=True)


def test_a_content_of_another_sha256(tmp_path):
  content = safetensors.numpy.save(ARRAYS)
  file, sha256 = write(tmp_path / "file", content)
  read_arrays(file, sha256, 1000)
  file.write_bytes(content[:-1] + b"x")
  with pytest.raises(ta.InputError, match="file: damaged: its sha256"):
    read_arrays(file, sha256, 1000)
