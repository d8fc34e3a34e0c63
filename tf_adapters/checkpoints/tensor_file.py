"""Reads files of safetensors: the bytes that are read are those checked."""

import contextlib
import hashlib
import json
import os
import pathlib
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from tf_adapters.errors import InputError
from tf_adapters.files.reading import Unchanged, check_file, read_file

# Its header, which is parsed as a whole: that of BERT-large has 50 kB, and one
# of 1,000 layers 2 MB. The library would take 100 MB.
_MOST_HEADER_BYTES = 1 << 22
_HEADER_SIZE = struct.Struct("<Q")
# What the library raises; numpy has no type of 8 bits and fewer.
_ERRORS = (safetensors.SafetensorError, AttributeError, KeyError, TypeError,
           ValueError)


def read_arrays(path: pathlib.Path, sha256: str,
                most_bytes: int) -> dict[str, np.ndarray]:
  """Reads a file whole, once, and holds it to its sha256.

  Args:
    path: the file.
    sha256: of its content.
    most_bytes: that its arrays may have together.

  Raises:
    InputError: it cannot be read, is damaged, or has more.
  """
  content = read_file(
      path, _HEADER_SIZE.size + _MOST_HEADER_BYTES + most_bytes)
  if hashlib.sha256(content).hexdigest() != sha256:
    raise _damaged(path)
  _header_end(path, content)  # raises
  try:
    return safetensors.numpy.load(content)
  except _ERRORS as error:
    raise InputError(f"{path}: cannot be read: {error}") from None


def _damaged(path: pathlib.Path) -> InputError:
  return InputError(
      f"{path}: damaged: its sha256 is not the one in the configuration")


def _header_end(path: pathlib.Path, start: bytes) -> int:
  """Where a file's header ends, of which `start` is the beginning.

  Raises:
    InputError: it is too large.
  """
  (size,) = _HEADER_SIZE.unpack(
      start[:_HEADER_SIZE.size].ljust(_HEADER_SIZE.size, b"\0"))
  if size > _MOST_HEADER_BYTES:
    raise InputError(f"{path}: cannot be read: its header has {size:,} "
                     f"bytes, expected at most {_MOST_HEADER_BYTES:,}")
  return _HEADER_SIZE.size + size


class TensorFile:
  """A file of arrays, opened anew for each of them, or for all at once.

  A file that stays mapped would count as memory in use, page by page, until all
  of it does. And one that is cut while it is mapped, as `cp` does with a file
  that it writes anew, ends the process with SIGBUS. So what is mapped is a copy
  of what is read.

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
      self._header_end = _header_end(path, start)
      with self._opened(0, 0) as tensors:
        for name in tensors.keys():  # noqa: SIM118 (no dict)
          view = tensors.get_slice(name)
          self.shapes[name] = tuple(view.get_shape())
          self.dtypes[name] = view.get_dtype()

  def read(self, name: str) -> np.ndarray:
    """Reads one array.

    Raises:
      InputError: it cannot be read, or is of another file by now.
    """
    with self._errors(f"{name} "), self._opened(
        *self._offsets()[name]) as tensors:
      return tensors.get_tensor(name)

  def items(self) -> Iterator[tuple[str, np.ndarray]]:
    """Yields all names and arrays; the file is opened once.

    Raises:
      InputError: as for `read`.
    """
    with self._errors(), self._opened() as tensors:
      for name in self.shapes:
        with self._errors(f"{name} "):
          array = tensors.get_tensor(name)
        yield name, array
      self._unchanged.check()

  def _offsets(self) -> dict[str, tuple[int, int]]:
    """{name: where its bytes are, behind the header}, which was checked."""
    with open(self.path, "rb") as file:
      header = json.loads(file.read(self._header_end)[_HEADER_SIZE.size:])
    return {name: header[name]["data_offsets"] for name in self.shapes}

  @contextlib.contextmanager
  def _opened(self, start: int = 0, end: int | None = None) -> Iterator[Any]:
    """The file's header and these bytes behind it; zeros in place of others."""
    self._unchanged.check()
    copy = os.memfd_create("tensors")
    try:
      with open(self.path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        for first, last in ((0, self._header_end), (
            self._header_end + start,
            size if end is None else self._header_end + end)):
          _copy(file.fileno(), copy, first, min(last, size))
      os.ftruncate(copy, size)
      self._unchanged.check()
      with safetensors.safe_open(f"/proc/self/fd/{copy}", "numpy") as tensors:
        yield tensors
    finally:
      os.close(copy)

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


def _copy(source: int, target: int, start: int, end: int) -> None:
  """Copies bytes of a file to the same place in another, as far as they are."""
  os.lseek(target, start, os.SEEK_SET)
  while start < end and (count := os.sendfile(
      target, source, start, end - start)):
    start += count
