"""Reads pickles of torch.save without running them.

A pickle is a program: what reads it usually calls whatever it names. Here its
opcodes are read one after the other, those alone that a dictionary of tensors
needs, and nothing is ever called: a name that is not in `_NAMES` is refused,
and those that are there stand for what this module makes itself.
"""

import dataclasses
import math
import pickletools
from typing import Any, BinaryIO

from tf_adapters.errors import InputError

# A pickle of BERT-large has 10,000 opcodes.
_MOST_OPCODES = 1 << 18

# Storage -> what safetensors call its type, and NumPy. Of bfloat16, which NumPy
# has not, the 16 bits are read.
STORAGES = {
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
_NAMES = {*STORAGES, _DICT, _TENSOR, _PARAMETER}


@dataclasses.dataclass(frozen=True)
class _Name:
  """A name in a pickle, which stands for itself."""

  name: str


@dataclasses.dataclass(frozen=True)
class Storage:
  """Numbers that tensors are made of, elsewhere in the file."""

  name: str  # of the storage's type
  key: str
  numel: int


@dataclasses.dataclass(frozen=True)
class Tensor:
  """A view of a storage; strides are in numbers, not bytes."""

  storage: Storage
  offset: int
  shape: tuple[int, ...]
  strides: tuple[int, ...]

  @property
  def numel(self) -> int:
    """The number of its elements."""
    return math.prod(self.shape)


def unpickled(file: BinaryIO) -> Any:
  """Returns the value of the pickle that begins at a file's position.

  Afterwards the file stands behind it.

  Raises:
    InputError: it is damaged, or names what is not read.
  """
  try:
    return _Machine().run(file)
  except InputError:
    raise
  except (ArithmeticError, LookupError, MemoryError, TypeError, ValueError
          ) as error:
    raise InputError(
        f"its pickle is damaged: {type(error).__name__}") from None


def tensors_in(values: Any) -> dict[str, Tensor]:
  """Reads the tensors by name that a pickle is a dictionary of.

  Raises:
    InputError: it is of something else.
  """
  if not isinstance(values, dict):
    raise InputError("it holds something else than a dictionary of tensors")
  for name, value in values.items():
    if not isinstance(value, Tensor):
      raise InputError(f"{name}: is no tensor")
  return values


class _Machine:
  """Reads a pickle without calling anything that it names."""

  def __init__(self) -> None:
    self._stack: list[Any] = []
    self._marks: list[int] = []
    self._memo: dict[int, Any] = {}

  def run(self, file: BinaryIO) -> Any:
    """Runs the pickle, and returns its value."""
    for count, (opcode, value, _) in enumerate(pickletools.genops(file)):
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
      case "APPENDS":
        values = self._behind_mark()
        self._list().extend(values)
      case "APPEND":
        value = stack.pop()
        self._list().append(value)
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

  def _list(self) -> list[Any]:
    found = self._stack[-1]
    if not isinstance(found, list):
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


def _storage(identity: Any) -> Storage:
  kind, name, key, _, numel, *view = identity  # before 1.6 there is a view
  if kind != "storage" or not isinstance(name, _Name) or (
      name.name not in STORAGES or not isinstance(key, str)
      or view not in ([], [None])):
    raise TypeError
  (numel,) = _sizes((numel,))
  return Storage(name.name, key, numel)


def _made(name: Any, arguments: Any) -> Any:
  """Returns the value that a call in the pickle stands for."""
  match name, arguments:
    case _Name(name=name), () if name == _DICT:
      return {}
    case _Name(name=name), (Storage() as storage, offset, shape, strides, _,
                            *_) if name == _TENSOR:
      shape, strides = _sizes(shape), _sizes(strides)
      if len(shape) != len(strides):
        raise TypeError
      (offset,) = _sizes((offset,))
      return Tensor(storage, offset, shape, strides)
    case _Name(name=name), (Tensor() as tensor, *_) if name == _PARAMETER:
      return tensor
  raise TypeError


def _sizes(values: Any) -> tuple[int, ...]:
  """Checks integers that are not negative, and returns them."""
  if not isinstance(values, tuple) or len(values) > 32 or not all(
      type(value) is int and 0 <= value < 1 << 48 for value in values):
    raise TypeError
  return values
