"""Files of torch.save are read without running what is in them."""

import io
import pathlib
import pickle
import random
import zipfile

import numpy as np
import pytest

import tf_adapters as ta
from tf_adapters.adapter_files.foreign import WeightsFile
from tf_adapters.adapter_files.torch_pickle import TorchFile

FOLDER = pathlib.Path(__file__).parents[1] / "peers/torch_files"


@pytest.mark.parametrize("name", ["tensors", "old"])
def test_tensors_of_all_kinds(name):
  file = TorchFile(FOLDER / f"{name}.bin")
  expected = np.load(FOLDER / "tensors.npz")
  assert file.shapes.keys() == set(expected)
  for name, array in expected.items():
    assert file.shapes[name] == array.shape
    found = file.read(name)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)
  assert {name: file.dtypes[name] for name in (
      "plain", "half", "bfloat16", "double", "integers")} == {
          "plain": "F32", "half": "F16", "bfloat16": "BF16", "double": "F64",
          "integers": "I64"}


def test_a_state_dict():
  assert TorchFile(FOLDER / "state_dict.bin").shapes == {
      "weight": (3, 2), "bias": (3,)}


def test_old_files_that_do_not_fit(tmp_path):
  whole = (FOLDER / "old.bin").read_bytes()
  count = (24).to_bytes(8, "little")
  for old, new, message in (
      (b"little_endianq\x02\x88", b"little_endianq\x02\x89", "little-endian"),
      (count, (1 << 40).to_bytes(8, "little"), "cut off"),
      (count, (-1).to_bytes(8, "little", signed=True), "cut off"),
      (count, (23).to_bytes(8, "little"), "cut off|numbers are not there"),
      (b"e.\x18", b"e.", "cut off|not there"),
      (b"]q\x00(", b"}q\x00(", "damaged")):
    assert old in whole
    path = tmp_path / "x.bin"
    path.write_bytes(whole.replace(old, new, 1))
    with pytest.raises(ta.InputError, match=message):
      TorchFile(path)
  path.write_bytes(pickle.dumps({"a": 1}, 2))
  with pytest.raises(ta.InputError, match="is a bare pickle"):
    TorchFile(path)
  path.write_bytes(whole[:-1])
  with pytest.raises(ta.InputError, match="cut off"):
    TorchFile(path)


class Call:
  """Pickles as a call."""

  def __init__(self, function, *arguments):
    self.call = function, arguments

  def __reduce__(self):
    return self.call


def archive(path, content, members=(), **options):
  """Writes what torch.save would, of any pickle."""
  with zipfile.ZipFile(path, "w", **options) as file:
    file.writestr("archive/data.pkl", content)
    for name, numbers in members:
      file.writestr(f"archive/data/{name}", numbers)
  return path


@pytest.mark.parametrize("protocol", [2, 4])
def test_nothing_is_run(tmp_path, protocol):
  canary = tmp_path / "canary"
  for number, call in enumerate([
      Call(pathlib.Path.touch, canary),
      Call(exec, f"open({str(canary)!r}, 'w')"),
      Call(open, str(canary), "w"), Call(__import__, "os"),
      {"weight": Call(pathlib.Path.touch, canary)}]):
    content = pickle.dumps(call, protocol)
    path = archive(tmp_path / f"{number}.bin", content)
    old = tmp_path / f"old{number}.bin"
    old.write_bytes((FOLDER / "old.bin").read_bytes()[:21] + content)
    for file in (path, old):
      with pytest.raises(ta.InputError, match="is not read") as error:
        TorchFile(file)
      assert "\n" not in str(error.value)
  assert not canary.exists()


def tensor(*, offset=0, shape=(2,), strides=(1,), numel=2, key="0",
           storage="FloatStorage"):
  """The pickle of a dictionary of one tensor, by its opcodes."""
  def tuple_of(values):
    return b"(" + b"".join(
        b"\x8a\x08" + value.to_bytes(8, "little", signed=True)
        for value in values) + b"t"

  def text(value):
    return b"X" + len(value).to_bytes(4, "little") + value.encode()

  return (b"\x80\x02}" + text("x") + b"ctorch._utils\n_rebuild_tensor_v2\n(("
          + text("storage") + f"ctorch\n{storage}\n".encode() + text(key)
          + text("cpu") + tuple_of([numel])[1:-1] + b"tQ"
          + tuple_of([offset])[1:-1] + tuple_of(shape) + tuple_of(strides)
          + b"\x89ccollections\nOrderedDict\n)RtRs.")


def test_a_made_up_tensor(tmp_path):
  path = archive(tmp_path / "x.bin", tensor(),
                 [("0", np.arange(2, dtype="<f4").tobytes())])
  np.testing.assert_array_equal(TorchFile(path).read("x"), [0, 1])


@pytest.mark.parametrize("changes,message", [
    ({"numel": 3}, "its numbers are not there"),
    ({"key": "1"}, "its numbers are not there"),
    ({"key": "../0"}, "its numbers are not there"),
    ({"storage": "HalfStorage"}, "its numbers are not there"),
    ({"storage": "ByteStorage"}, "names 'torch.ByteStorage'"),
    ({"offset": 1}, "more numbers than there are"),
    ({"shape": (3,)}, "more numbers than there are"),
    ({"strides": (2,)}, "more numbers than there are"),
    ({"shape": (1 << 40,), "strides": (0,)}, "more numbers than there are"),
    ({"offset": -1}, "pickle is damaged"),
    ({"strides": (-1,)}, "pickle is damaged"),
    ({"shape": (1, 2)}, "pickle is damaged"),
])
def test_what_does_not_fit_is_refused_before_anything_is_made(
    tmp_path, changes, message):
  path = archive(tmp_path / "x.bin", tensor(**changes), [("0", bytes(8))])
  with pytest.raises(ta.InputError, match=message):
    TorchFile(path)


def test_many_names_of_the_same_numbers_are_refused(tmp_path):
  one = tensor(shape=(1 << 16,), numel=1 << 16)
  pair = one[3:-2]  # key and value
  names = b"".join(pair.replace(b"X\x01\0\0\0x", b"X\x01\0\0\0" + bytes(
      [97 + number])) for number in range(20))
  archive(tmp_path / "x.bin", b"\x80\x02}(" + names + b"u.",
          [("0", bytes(4 << 16))])
  file = WeightsFile(tmp_path, "x.bin")
  for name in list(file.left):
    file.take(name)
  with pytest.raises(ta.InputError, match="would take"):
    file.check_all_taken()


def test_archives_that_torch_does_not_write(tmp_path):
  def refused(path, message):
    with pytest.raises(ta.InputError, match=message):
      TorchFile(path)

  numbers = [("0", bytes(8))]
  refused(archive(tmp_path / "packed.bin", tensor(), numbers,
                  compression=zipfile.ZIP_DEFLATED), "compressed")
  refused(archive(tmp_path / "long.bin", b"\x80\x02" + b"}" * (2 << 20)),
          "bytes, expected at most")
  refused(archive(tmp_path / "steps.bin", b"\x80\x02" + b"}" * (1 << 19)),
          "too long")
  refused(archive(tmp_path / "no.bin", pickle.dumps([1], 2)),
          "something else than a dictionary")
  refused(archive(tmp_path / "set.bin", pickle.dumps({1}, 4)), "EMPTY_SET")
  refused(archive(tmp_path / "text.bin", pickle.dumps({"a": "b"}, 2)),
          "is no tensor")
  (tmp_path / "empty.bin").touch()
  refused(tmp_path / "empty.bin", "no file of torch.save")
  refused(tmp_path / "none.bin", "No such file")


def damaged(content, rng):
  """Changed, cut or longer bytes."""
  content = bytearray(content)
  match rng.randrange(4):
    case 0:
      del content[rng.randrange(len(content)):]
    case 1:
      for _ in range(rng.randrange(1, 8)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    case 2:
      place = rng.randrange(len(content))
      content[place:place] = rng.randbytes(rng.randrange(1, 30))
    case 3:
      place = rng.randrange(len(content))
      del content[place:place + rng.randrange(1, 30)]
  return bytes(content)


@pytest.mark.parametrize("count", [
    200, pytest.param(2000, marks=pytest.mark.slow)])
def test_damaged_files_and_pickles(tmp_path, count):
  rng = random.Random(count)
  whole = (FOLDER / "tensors.bin").read_bytes()
  with zipfile.ZipFile(io.BytesIO(whole)) as file:
    members = {name: file.read(name) for name in file.namelist()}
  (pickled,) = [name for name in members if name.endswith("data.pkl")]
  old = (FOLDER / "old.bin").read_bytes()
  path = tmp_path / "x.bin"
  read = 0
  for number in range(count):
    if number % 2:
      path.write_bytes(damaged(whole, rng))
    elif number % 4:  # whose numbers have no checksums
      place = old.index(b"e.\x18") + 2
      path.write_bytes(damaged(old[:place], rng) + old[place:])
    else:  # of which the checksums are right
      with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
          file.writestr(name, damaged(content, rng) if name == pickled
                        else content)
    try:
      found = TorchFile(path)
      assert all(found.read(name).shape == shape
                 for name, shape in found.shapes.items())
      read += 1
    except ta.InputError as error:
      assert "\n" not in str(error) and str(error).startswith(str(path))
  assert read < count / 2
