"""Reads tensors of torch.save: numbers, and a pickle that is never run.

Since PyTorch 1.6 such a file is a zip archive. Before, it was a row of pickles
and the numbers behind them. `torch_opcodes` says how pickles are read.
"""

import contextlib
import dataclasses
import io
import pathlib
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from tf_adapters.adapter_files.torch_opcodes import (
    STORAGES,
    Tensor,
    tensors_in,
    unpickled,
)
from tf_adapters.errors import InputError
from tf_adapters.files.reading import Unchanged, check_file

# Of the pickle. That of BERT-large has 40 kB.
_MOST_BYTES = 1 << 20
# Of the archive's directory: 65,535 members of torch.save have 5 MB.
_MOST_DIRECTORY_BYTES = 1 << 23

_END = struct.Struct("<4s4H2LH")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")

# How files of PyTorch before 1.6 begin: pickles of two numbers.
_OLD = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
_COUNT = struct.Struct("<q")


@dataclasses.dataclass(frozen=True)
class _Member:
  """A file in the archive, or numbers in a file that is none.

  Attributes:
    offset: of its local header, or of the numbers.
    size: in bytes.
    crc: its checksum; None of numbers without a header.
  """

  offset: int
  size: int
  crc: int | None


class TorchFile:
  """The tensors of a file that torch.save wrote: see `TensorFile`.

  Args:
    path: the file: a dictionary of tensors by name.

  Attributes:
    path: the file.
    shapes: {name: shape}.
    dtypes: {name: type}, as safetensors call them: "F32".

  Raises:
    InputError: it cannot be read, is damaged, holds something else than
      tensors, or one has more numbers than there are.
  """

  def __init__(self, path: pathlib.Path):
    self.path = path
    check_file(path)
    with self._errors():
      self._unchanged = Unchanged(path)
      with self._opened() as file:
        read = _old if file.read(len(_OLD)) == _OLD else _archive
        self._tensors, self._numbers = read(file)
      self._check()
    self.shapes = {
        name: tensor.shape for name, tensor in self._tensors.items()}
    self.dtypes = {name: STORAGES[tensor.storage.name][0]
                   for name, tensor in self._tensors.items()}

  def _check(self) -> None:
    """Holds tensors to what there is of them, before any is made."""
    for name, tensor in self._tensors.items():
      storage = tensor.storage
      member = self._numbers.get(storage.key)
      if member is None or member.size != storage.numel * _itemsize(tensor):
        raise InputError(f"{name}: its numbers are not there")
      last = tensor.offset + sum(
          (size - 1) * stride
          for size, stride in zip(tensor.shape, tensor.strides))
      if tensor.numel > storage.numel or (
          tensor.numel and last >= storage.numel):
        raise InputError(f"{name}: has more numbers than there are")

  def read(self, name: str) -> np.ndarray:
    """Reads one tensor.

    Raises:
      InputError: it cannot be read, or is of another file by now.
    """
    tensor = self._tensors[name]
    kind, dtype = STORAGES[tensor.storage.name]
    with self._errors(f"{name} "), self._opened() as file:
      content = _member(file, self._numbers[tensor.storage.key])
    numbers = np.frombuffer(content, dtype)[tensor.offset:]
    view = np.lib.stride_tricks.as_strided(
        numbers, tensor.shape,
        [stride * numbers.itemsize for stride in tensor.strides],
        writeable=False)
    if kind == "BF16":  # the upper half of a float32
      return (view.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return view.copy()

  @contextlib.contextmanager
  def _opened(self) -> Iterator[BinaryIO]:
    self._unchanged.check()
    with open(self.path, "rb") as file:
      self._unchanged.check()
      yield file

  @contextlib.contextmanager
  def _errors(self, what: str = "") -> Iterator[None]:
    try:
      yield
    except OSError as error:
      raise InputError(f"{self.path}: {what}cannot be read: "
                       f"{error.strerror or error}") from None
    except InputError as error:
      raise InputError(f"{self.path}: {what}cannot be read: {error}") from None


# The tensors by name, and where the numbers of each storage are, by its key.
_Content = tuple[dict[str, Tensor], dict[str, _Member]]


def _archive(file: BinaryIO) -> _Content:
  """Reads an archive of torch.save."""
  members, prefix = _directory(file)
  tensors = tensors_in(unpickled(io.BytesIO(_member(
      file, members[f"{prefix}data.pkl"], _MOST_BYTES))))
  order = members.get(f"{prefix}byteorder")
  if order is not None and _member(file, order, 16) != b"little":
    raise InputError("its numbers are not little-endian")
  folder = f"{prefix}data/"
  return tensors, {name.removeprefix(folder): member
                   for name, member in members.items()
                   if name.startswith(folder)}


def _old(file: BinaryIO) -> _Content:
  """Reads a file of PyTorch before 1.6, from behind `_OLD`.

  Pickles of what machine it was, of the tensors and of their storages' keys;
  and for each key how many numbers there are, and these.
  """
  size = file.seek(0, 2)
  file.seek(len(_OLD))
  pickles = io.BytesIO(file.read(_MOST_BYTES))
  machine, values, keys = (unpickled(pickles) for _ in range(3))
  if not isinstance(machine, dict) or machine.get("little_endian") is not True:
    raise InputError("its numbers are not little-endian")
  tensors = tensors_in(values)
  itemsizes = {tensor.storage.key: _itemsize(tensor)
               for tensor in tensors.values()}
  if not isinstance(keys, list) or len(keys) != len(itemsizes) or any(
      key not in keys for key in itemsizes):
    raise InputError("its pickle is damaged: its storages are others")
  numbers = {}
  place = len(_OLD) + pickles.tell()
  for key in keys:
    file.seek(place)
    content = file.read(_COUNT.size)
    if len(content) < _COUNT.size:
      raise InputError("it is cut off")
    (count,) = _COUNT.unpack(content)
    place += _COUNT.size
    numbers[key] = _Member(place, count * itemsizes[key], None)
    place += count * itemsizes[key]
    if count < 0 or place > size:
      raise InputError("it is cut off, or damaged")
  return tensors, numbers


def _itemsize(tensor: Tensor) -> int:
  """Returns the bytes of a number in its storage."""
  return np.dtype(STORAGES[tensor.storage.name][1]).itemsize


def _directory(file: BinaryIO) -> tuple[dict[str, _Member], str]:
  """Reads the members of an archive, and how the names of torch.save's begin.

  Raises:
    InputError: it is none, or none of torch.save.
  """
  file.seek(0)
  start = file.read(4)
  if start.startswith(b"\x80"):
    raise InputError("it is a bare pickle, and no file of torch.save")
  end = file.seek(0, 2) - _END.size
  if start != b"PK\x03\x04" or end < 0:
    raise InputError("it is no file of torch.save, or cut off")
  file.seek(end)
  mark, disk, first, here, count, size, offset, comment = _END.unpack(
      file.read(_END.size))
  if (mark != b"PK\x05\x06" or disk or first or here != count or comment
      or offset + size > end):
    raise InputError("it is cut off, or damaged")
  if size > _MOST_DIRECTORY_BYTES or count == 0xFFFF:
    raise InputError("it has too many members")
  file.seek(offset)
  content = file.read(size)
  members: dict[str, _Member] = {}
  place = 0
  for _ in range(count):
    if place + _ENTRY.size > size:
      raise InputError("its directory is damaged")
    (mark, _, _, flags, method, _, _, crc, packed, unpacked, *lengths, _, _, _,
     where) = _ENTRY.unpack_from(content, place)
    place += _ENTRY.size
    name = content[place:place + lengths[0]].decode("ascii", "replace")
    place += sum(lengths)
    if (mark != b"PK\x01\x02" or place > size or name in members
        or where + _LOCAL.size + unpacked > offset):
      raise InputError("its directory is damaged")
    if flags & 1 or method or packed != unpacked:
      raise InputError("its members are compressed or encrypted, which "
                       "torch.save's never are")
    members[name] = _Member(where, unpacked, crc)
  found = [name for name in members
           if name == "data.pkl" or name.endswith("/data.pkl")]
  if len(found) != 1:
    raise InputError("it is no file of torch.save: it has no data.pkl")
  return members, found[0].removesuffix("data.pkl")


def _member(file: BinaryIO, member: _Member, most: int | None = None) -> bytes:
  """Reads the content of a member."""
  if most is not None and member.size > most:
    raise InputError(f"a member has {member.size:,} bytes, expected at most "
                     f"{most:,}")
  file.seek(member.offset)
  if member.crc is None:
    content = file.read(member.size)
    if len(content) < member.size:
      raise InputError("it is cut off")
    return content
  header = file.read(_LOCAL.size)
  if len(header) < _LOCAL.size or not header.startswith(b"PK\x03\x04"):
    raise InputError("a member is damaged")
  *_, name, extra = _LOCAL.unpack(header)
  file.seek(name + extra, 1)
  content = file.read(member.size)
  if len(content) < member.size or zlib.crc32(content) != member.crc:
    raise InputError("a member is damaged: its checksum is another one")
  return content
