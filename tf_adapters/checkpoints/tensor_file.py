"""Reads files of safetensors: the bytes that are read are those checked."""

import contextlib
import functools
import hashlib
import json
import os
import pathlib
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from tf_adapters.errors import InputError
from tf_adapters.files.reading import (
    Unchanged,
    check_file,
    read_with_status,
)
from tf_adapters.files.verified import VerifiedFiles

# Its header, which is parsed as a whole: that of BERT-large has 50 kB, and one
# of 1,000 layers 2 MB. The library would take 100 MB.
_MOST_HEADER_BYTES = 1 << 22
# Of a header that is remembered, with what is made of it.
_MOST_REMEMBERED_BYTES = 1 << 16
_HEADER_SIZE = struct.Struct("<Q")
# What the library raises; numpy has no type of 8 bits and fewer.
_ERRORS = (safetensors.SafetensorError, AttributeError, KeyError, TypeError,
           ValueError)


def read_arrays(path: pathlib.Path, sha256: str, most_bytes: int,
                ) -> tuple[dict[str, np.ndarray], np.ndarray]:
  """Reads a file whole, once, and holds it to its sha256.

  Args:
    path: the file.
    sha256: of its content.
    most_bytes: that its arrays may have together.

  Returns:
    {name: array}, and the bytes of all of them: views of what was read, which
    cannot be written to.

  Raises:
    InputError: it cannot be read, is damaged, or has more.
  """
  content, status = read_with_status(
      path, _HEADER_SIZE.size + _MOST_HEADER_BYTES + most_bytes)
  if not _verified.has_sha256(os.fspath(path), content, status, sha256):
    raise _damaged(path)
  start = _HEADER_SIZE.size + _check_header(path, content)
  data = np.frombuffer(content, np.uint8)[start:]
  layout = _layout if start <= _MOST_REMEMBERED_BYTES else _layout.__wrapped__
  try:
    return {name: np.ndarray(shape, dtype, content, start + place)
            for name, dtype, shape, place in layout(
                content[:start], len(data))}, data
  except _ERRORS as error:
    raise InputError(f"{path}: cannot be read: {error}") from None


_verified = VerifiedFiles()


# Files of tasks of one kind begin with the same bytes.
@functools.lru_cache(maxsize=64)
def _layout(header: bytes, data_bytes: int,
            ) -> Sequence[tuple[str, np.dtype, tuple[int, ...], int]]:
  """Finds the arrays of all files that begin so, and have so many bytes.

  Returns:
    (name, type, shape, bytes in front of it) of each.

  Raises:
    what the library raises that checks the header: of `_ERRORS`.
  """
  arrays = safetensors.numpy.load(header + bytes(data_bytes))
  places = json.loads(header[_HEADER_SIZE.size:])
  return [(name, array.dtype, array.shape, places[name]["data_offsets"][0])
          for name, array in arrays.items()]


def _damaged(path: pathlib.Path) -> InputError:
  return InputError(
      f"{path}: damaged: its sha256 is not the one in the configuration")


def _check_header(path: pathlib.Path, start: bytes) -> int:
  """Returns the size of a header, which its first bytes tell.

  Raises:
    InputError: it is too large.
  """
  size: int
  (size,) = _HEADER_SIZE.unpack(
      start[:_HEADER_SIZE.size].ljust(_HEADER_SIZE.size, b"\0"))
  if size > _MOST_HEADER_BYTES:
    raise InputError(f"{path}: cannot be read: its header has {size:,} "
                     f"bytes, expected at most {_MOST_HEADER_BYTES:,}")
  return size


class TensorFile:
  """A file of arrays, opened anew for each of them, or for all at once.

  It is read and never mapped. A mapped file counts as memory in use, page by
  page, until all of it does. And one that is cut while it is mapped, as `cp`
  does with a file that it writes anew, ends the process with SIGBUS.

  Args:
    path: the file.
    sha256: of its content, where that is known.

  Attributes:
    path: the file.
    shapes: {name: shape}.
    dtypes: {name: type}, as the format calls them: "F32".

  Raises:
    InputError: it cannot be read, is damaged, or not that of the sha256.
  """

  def __init__(self, path: pathlib.Path, sha256: str | None = None):
    self.path = path
    check_file(path)
    self.shapes: dict[str, tuple[int, ...]] = {}
    self.dtypes: dict[str, str] = {}
    with self._errors():
      self._unchanged = Unchanged(path)
      with open(path, "rb") as file:
        start = file.read(_HEADER_SIZE.size)
        file.seek(0)
        if sha256 is not None and sha256 != hashlib.file_digest(
            file, "sha256").hexdigest():
          raise _damaged(path)
      _check_header(path, start)
      with self._opened() as tensors:
        for name in tensors.keys():  # noqa: SIM118 (no dict)
          view = tensors.get_slice(name)
          self.shapes[name] = tuple(view.get_shape())
          self.dtypes[name] = view.get_dtype()

  def read(self, name: str) -> np.ndarray:
    """Reads one array.

    Raises:
      InputError: it cannot be read, or is of another file by now.
    """
    with self._errors(f"{name} "), self._opened() as tensors:
      return self._array(tensors, name)

  def items(self) -> Iterator[tuple[str, np.ndarray]]:
    """Yields all names and arrays; the file is opened once.

    Raises:
      InputError: as for `read`.
    """
    with self._errors(), self._opened() as tensors:
      for name in self.shapes:
        with self._errors(f"{name} "):
          array = self._array(tensors, name)
        yield name, array

  def _array(self, tensors: Any, name: str) -> np.ndarray:
    try:
      return tensors.get_tensor(name)
    finally:
      self._unchanged.check()  # which is why it cannot be read, if it cannot

  @contextlib.contextmanager
  def _opened(self) -> Iterator[Any]:
    self._unchanged.check()
    with safetensors.safe_open(
        self.path, "numpy", backend="pread") as tensors:
      yield tensors

  @contextlib.contextmanager
  def _errors(self, what: str = "") -> Iterator[None]:
    try:
      yield
    except InputError:
      raise
    except OSError as error:
      raise InputError(f"{self.path}: {what}cannot be read: "
                       f"{error.strerror or error}") from None
    except _ERRORS as error:
      raise InputError(
          f"{self.path}: {what}cannot be read: {error}") from None
