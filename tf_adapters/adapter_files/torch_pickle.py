"""Reads tensors of torch.save: a zip archive with a pickle that is never run.

A pickle is a program: what reads it usually calls whatever it names. Here its
opcodes are read one after the other, those alone that a dictionary of tensors
needs, and nothing is ever called: a name that is not in `_NAMES` is refused,
and those that are there stand for what this module makes itself.
"""

import contextlib
import dataclasses
import math
import pathlib
import pickletools
import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from tf_adapters.errors import InputError
from tf_adapters.files.reading import Unchanged, check_file

# Of the pickle. Those of BERT-large have 40 kB and 10,000 opcodes.
_MOST_BYTES = 1 << 20
_MOST_OPCODES = 1 << 18
# Of the archive's directory: 65,535 members of torch.save have 5 MB.
_MOST_DIRECTORY_BYTES = 1 << 23

_END = struct.Struct("<4s4H2LH")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")

# How files of PyTorch before 1.6 begin, and any pickle.
_OLD = (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", b"\x80")

# Storage -> what safetensors call its type, and NumPy. Of bfloat16, which NumPy
# has not, the 16 bits are read.
_STORAGES = {
    "torch FloatStorage": ("F32", "<f4"),
    "torch HalfStorage": ("F16", "<f2"),
    "torch BFloat16Storage": ("BF16", "<u2"),
    "torch DoubleStorage": ("F64", "<f8"),
    "torch LongStorage": ("I64", "<i8"),
    "torch IntStorage": ("I32", "<i4"),
}
_DICT = "collections OrderedDict"
_TENSOR = "torch._utils _rebuild_tensor_v2"
_PARAMETER = "torch._utils _rebuild_parameter"
_NAMES = {*_STORAGES, _DICT, _TENSOR, _PARAMETER}


@dataclasses.dataclass(frozen=True)
class _Name:
  """A name in a pickle, which stands for itself."""

  name: str


@dataclasses.dataclass(frozen=True)
class _Storage:
  """Numbers in a member of the archive."""

  name: str  # of the storage's type
  key: str
  numel: int


@dataclasses.dataclass(frozen=True)
class _Tensor:
  """A view of a storage; strides are in numbers, not bytes."""

  storage: _Storage
  offset: int
  shape: tuple[int, ...]
  strides: tuple[int, ...]

  @property
  def numel(self) -> int:
    return math.prod(self.shape)


@dataclasses.dataclass(frozen=True)
class _Member:
  """A file in the archive."""

  offset: int  # of its local header
  size: int
  crc: int


class TorchFile:
  """The tensors of a file that torch.save wrote: see `TensorFile`.

  Args:
    path: the file: a dictionary of tensors by name.

  Attributes:
    path: the file.
    shapes: {name: shape}.
    dtypes: {name: type}, as safetensors call them: "F32".

  Raises:
    InputError: it cannot be read, is damaged or of an old version, holds
      something else than tensors, or one has more numbers than there are.
  """

  def __init__(self, path: pathlib.Path):
    self.path = path
    check_file(path)
    with self._errors():
      self._unchanged = Unchanged(path)
      with self._opened() as file:
        self._members, self._prefix = _directory(file)
        self._tensors = _tensors(_member(
            file, self._members[f"{self._prefix}data.pkl"], _MOST_BYTES))
        order = self._members.get(f"{self._prefix}byteorder")
        if order is not None and _member(file, order, 16) != b"little":
          raise InputError("its numbers are not little-endian")
      self._check()
    self.shapes = {
        name: tensor.shape for name, tensor in self._tensors.items()}
    self.dtypes = {name: _STORAGES[tensor.storage.name][0]
                   for name, tensor in self._tensors.items()}

  def _check(self) -> None:
    """Holds tensors to what there is of them, before any is made."""
    for name, tensor in self._tensors.items():
      storage = tensor.storage
      member = self._members.get(f"{self._prefix}data/{storage.key}")
      itemsize = np.dtype(_STORAGES[storage.name][1]).itemsize
      if member is None or member.size != storage.numel * itemsize:
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
    kind, dtype = _STORAGES[tensor.storage.name]
    with self._errors(f"{name} "), self._opened() as file:
      content = _member(
          file, self._members[f"{self._prefix}data/{tensor.storage.key}"])
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


def _directory(file: BinaryIO) -> tuple[dict[str, _Member], str]:
  """The members of an archive, and how the names of torch.save's begin.

  Raises:
    InputError: it is none, or none of torch.save.
  """
  start = file.read(16)
  if start.startswith(_OLD):
    raise InputError(
        "it was written by PyTorch before 1.6, or is a bare pickle: load it in "
        "PyTorch and save it again, best with safetensors.torch.save_file")
  end = file.seek(0, 2) - _END.size
  if not start.startswith(b"PK\x03\x04") or end < 0:
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
  """The content of a member."""
  if most is not None and member.size > most:
    raise InputError(f"a member has {member.size:,} bytes, expected at most "
                     f"{most:,}")
  file.seek(member.offset)
  header = file.read(_LOCAL.size)
  if len(header) < _LOCAL.size or not header.startswith(b"PK\x03\x04"):
    raise InputError("a member is damaged")
  *_, name, extra = _LOCAL.unpack(header)
  file.seek(name + extra, 1)
  content = file.read(member.size)
  if len(content) < member.size or zlib.crc32(content) != member.crc:
    raise InputError("a member is damaged: its checksum is another one")
  return content


def _tensors(content: bytes) -> dict[str, _Tensor]:
  """The tensors by name that a pickle is a dictionary of.

  Raises:
    InputError: it is of something else, or names what is not read.
  """
  try:
    values = _Machine().run(content)
  except InputError:
    raise
  except (ArithmeticError, LookupError, MemoryError, TypeError, ValueError
          ) as error:
    raise InputError(
        f"its pickle is damaged: {type(error).__name__}") from None
  if not isinstance(values, dict):
    raise InputError("it holds something else than a dictionary of tensors")
  for name, value in values.items():
    if not isinstance(value, _Tensor):
      raise InputError(f"{name}: is no tensor")
  return values


class _Machine:
  """Reads a pickle without calling anything that it names."""

  def __init__(self) -> None:
    self._stack: list[Any] = []
    self._marks: list[int] = []
    self._memo: dict[int, Any] = {}

  def run(self, content: bytes) -> Any:
    """What the pickle is of."""
    for count, (opcode, value, _) in enumerate(pickletools.genops(content)):
      if count > _MOST_OPCODES:
        raise InputError("its pickle is too long")
      if opcode.name == "STOP":
        return self._stack.pop()
      self._step(opcode.name, value)
    raise InputError("its pickle has no end")

  def _step(self, opcode: str, value: Any) -> None:
    stack = self._stack
    match opcode:
      case "PROTO" | "FRAME":
        pass
      case "MARK":
        self._marks.append(len(stack))
      case "NONE":
        stack.append(None)
      case "NEWTRUE" | "NEWFALSE":
        stack.append(opcode == "NEWTRUE")
      case ("BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT"
            | "BINUNICODE" | "SHORT_BINUNICODE"):
        stack.append(value)
      case "EMPTY_DICT":
        stack.append({})
      case "EMPTY_LIST":
        stack.append([])
      case "EMPTY_TUPLE":
        stack.append(())
      case "TUPLE1" | "TUPLE2" | "TUPLE3":
        number = int(opcode[-1])
        if len(stack) < number:
          raise LookupError
        stack[-number:] = [tuple(stack[-number:])]
      case "TUPLE":
        stack.append(tuple(self._behind_mark()))
      case "BINPUT" | "LONG_BINPUT":
        self._memo[value] = stack[-1]
      case "MEMOIZE":
        self._memo[len(self._memo)] = stack[-1]
      case "BINGET" | "LONG_BINGET":
        stack.append(self._memo[value])
      case "GLOBAL":
        stack.append(_name(value))
      case "STACK_GLOBAL":
        attribute, module = stack.pop(), stack.pop()
        stack.append(_name(f"{module:s} {attribute:s}"))
      case "BINPERSID":
        stack.append(_storage(stack.pop()))
      case "REDUCE":
        arguments, name = stack.pop(), stack.pop()
        stack.append(_made(name, arguments))
      case "BUILD":  # an OrderedDict's attributes: versions of modules
        stack.pop()
        self._dictionary()
      case "SETITEM":
        value, key = stack.pop(), stack.pop()
        self._set([key, value])
      case "SETITEMS":
        self._set(self._behind_mark())
      case _:
        raise InputError(f"its pickle has an opcode {opcode}, which no "
                         "dictionary of tensors needs: it is not read")

  def _behind_mark(self) -> list[Any]:
    place = self._marks.pop()
    values = self._stack[place:]
    del self._stack[place:]
    return values

  def _dictionary(self) -> dict[str, Any]:
    found = self._stack[-1]
    if not isinstance(found, dict):
      raise TypeError
    return found

  def _set(self, pairs: list[Any]) -> None:
    dictionary = self._dictionary()
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
      if not isinstance(key, str):
        raise TypeError
      dictionary[key] = value


def _name(name: str) -> _Name:
  if name not in _NAMES:
    raise InputError(
        f"its pickle names {name.replace(' ', '.')!r:.80}, which no dictionary "
        "of tensors needs: it is not read")
  return _Name(name)


def _storage(identity: Any) -> _Storage:
  kind, name, key, _, numel = identity
  if kind != "storage" or not isinstance(name, _Name) or (
      name.name not in _STORAGES or not isinstance(key, str)):
    raise TypeError
  (numel,) = _sizes((numel,))
  return _Storage(name.name, key, numel)


def _made(name: Any, arguments: Any) -> Any:
  """What a call in the pickle stands for."""
  match name, arguments:
    case _Name(name=name), () if name == _DICT:
      return {}
    case _Name(name=name), (_Storage() as storage, offset, shape, strides, _,
                            *_) if name == _TENSOR:
      shape, strides = _sizes(shape), _sizes(strides)
      if len(shape) != len(strides):
        raise TypeError
      (offset,) = _sizes((offset,))
      return _Tensor(storage, offset, shape, strides)
    case _Name(name=name), (_Tensor() as tensor, *_) if name == _PARAMETER:
      return tensor
  raise TypeError


def _sizes(values: Any) -> tuple[int, ...]:
  """Integers that are not negative."""
  if not isinstance(values, tuple) or len(values) > 32 or not all(
      type(value) is int and 0 <= value < 1 << 48 for value in values):
    raise TypeError
  return values
