"""Reads files and JSON, with checks of their kind and size first."""

import codecs
import contextlib
import json
import os
import pathlib
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO

from tf_adapters.errors import InputError, similar

# Of a file that is read whole; the largest that a BERT is known to have, a
# tokenizer.json of half a million wordpieces, takes a third of it.
MOST_BYTES = 1 << 25
# Of all other JSON: a configuration of 10,000 labels has 1 MB. What a parser
# makes of it can take twenty times as much.
MOST_JSON_BYTES = 1 << 22


def read_json(path: pathlib.Path,
              most_bytes: int = MOST_JSON_BYTES) -> dict[str, Any]:
  """Reads a JSON object.

  Args:
    path: the file.
    most_bytes: that it may have.

  Raises:
    InputError: the file cannot be read, or holds something else.
  """
  content = read_file(path, most_bytes)
  check_text(path, content[:1000])
  try:
    text = content.decode("utf-8-sig")
  except ValueError as error:
    raise InputError(f"{path}: not readable as JSON: {error}") from None
  return parse_json(path, text)


def parse_json(path: pathlib.Path, text: str) -> dict[str, Any]:
  """Parses a file's text as `read_json` does."""
  try:
    values = json.loads(text)
  except (ValueError, RecursionError) as error:
    raise InputError(f"{path}: not readable as JSON: {error}") from None
  if not isinstance(values, dict):
    raise InputError(f"{path}: expected a JSON object")
  return values


def read_file(path: pathlib.Path, most_bytes: int = MOST_BYTES) -> bytes:
  """Reads a file whole: the same one that is checked, whatever becomes of it.

  Args:
    path: the file. Links are followed.
    most_bytes: that it may have.

  Raises:
    InputError: it cannot be read, is no regular file, is too large, or a Git
      LFS pointer lies in its place.
  """
  return read_with_status(path, most_bytes)[0]


def read_with_status(path: pathlib.Path,
                     most_bytes: int) -> tuple[bytes, os.stat_result]:
  """As `read_file`, with the status that the file had before it was read."""
  try:
    with _opened(path, most_bytes) as (file, status):
      size = status.st_size
      content = file.read(size + 1)
  except InputError:
    raise
  except (OSError, ValueError) as error:  # a ValueError is of its name
    reason = getattr(error, "strerror", error)
    raise InputError(f"{path}: cannot be read: {reason}") from None
  if len(content) > size:
    raise InputError(f"{path}: cannot be read: it grows meanwhile")
  return content, status


_LFS_POINTER = b"version https://git-"
# What a file begins with that is not the text it should be -> what it is.
_NO_TEXT = {
    _LFS_POINTER: "it is a Git LFS pointer; `git lfs pull` fetches the file "
                  "itself",
    codecs.BOM_UTF16_LE: "it looks like UTF-16",
    codecs.BOM_UTF16_BE: "it looks like UTF-16",
    b"\x1f\x8b": "it is compressed with gzip: unpack it first",
    b"PK\x03\x04": "it is a zip archive or a spreadsheet: unpack it, or export "
                   "it as text",
}


def check_file(path: pathlib.Path, most_bytes: int | None = None) -> None:
  """Refuses what should not even be opened; a file that is missing passes.

  For what a library opens by its name; `read_file` is for all else.

  Args:
    path: the file. Links are followed, as caches of the Hugging Face Hub are
      made of them.
    most_bytes: that it may have; None for what is not read whole.

  Raises:
    InputError: it is no regular file (a pipe or a device may never end), it is
      too large, or a Git LFS pointer lies in its place.
  """
  try:
    with _opened(path, most_bytes):
      pass
  except InputError:
    raise
  except (OSError, ValueError):
    pass  # whoever reads the file says so better


@contextlib.contextmanager
def _opened(path: pathlib.Path,
            most_bytes: int | None,
            ) -> Iterator[tuple[BinaryIO, os.stat_result]]:
  """Opens a file, if `check_file` does not refuse it: it and its status."""
  # Of a pipe that nobody writes to, opening it would not end.
  descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
  try:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
      raise InputError(f"{path}: cannot be read: it is no regular file")
    if most_bytes is not None and status.st_size > most_bytes:
      raise InputError(
          f"{path}: cannot be read: it has {status.st_size:,} bytes, expected "
          f"at most {most_bytes:,}")
    with open(descriptor, "rb", closefd=False) as file:
      start = file.read(len(_LFS_POINTER))
      if start == _LFS_POINTER:
        check_text(path, start)
      file.seek(0)
      yield file, status
  finally:
    os.close(descriptor)


def near_name(path: str | os.PathLike[str]) -> str:
  """Suggests a similar name for a path that is not there, if one is.

  Of several parts that could be wrong it is the first.

  Example:
    >>> near_name("data/ticket.csv")
    '; did you mean data/tickets.csv?'
  """
  path = pathlib.Path(path)
  wrong = path
  while not os.path.exists(wrong.parent) and wrong != wrong.parent:
    wrong = wrong.parent
  try:
    names = os.listdir(wrong.parent)
  except OSError:
    return ""
  near = similar(wrong.name, sorted(names), cutoff=0.8)
  if near is None:
    return ""
  meant = wrong.with_name(near) / path.relative_to(wrong)
  return f"; did you mean {meant}?" if os.path.exists(meant) else ""


def check_is_file(path: str | os.PathLike[str]) -> None:
  """Raises InputError where there is no file, or a folder."""
  try:
    is_folder = stat.S_ISDIR(os.stat(path).st_mode)
  except (OSError, ValueError) as error:  # a ValueError is of its name
    reason = getattr(error, "strerror", error)
    raise InputError(f"{path}: cannot be read: {reason}") from None
  if is_folder:
    raise InputError(f"{path}: is a folder, expected a file")


class Unchanged:
  """Files that are to stay what they were when they were checked.

  For what a library opens by its name, after that or again and again.

  Args:
    paths: the files.

  Raises:
    OSError: one is not there.
  """

  def __init__(self, *paths: pathlib.Path):
    self._states = {path: _state(path) for path in paths}

  def check(self) -> None:
    """Looks whether they are.

    Raises:
      InputError: one was replaced or written to.
      OSError: one is not there.
    """
    for path, state in self._states.items():
      if _state(path) != state:
        raise InputError(f"{path}: was changed while it was read: try again")


def _state(path: pathlib.Path) -> tuple[int, ...]:
  status = path.stat()
  return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def check_text(name: str | os.PathLike[str], start: bytes,
               utf_16: str = "convert it to UTF-8") -> None:
  """Refuses what is often given in the place of a text file.

  Args:
    name: what to call the file.
    start: what it begins with.
    utf_16: what to do with a file in UTF-16.

  Raises:
    InputError: it is UTF-16, compressed, a spreadsheet or a Git LFS pointer.
  """
  for magic, what in _NO_TEXT.items():
    if start.startswith(magic):
      if magic in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        what = f"{what}: {utf_16}"
      raise InputError(f"{name}: cannot be read: {what}")
  # UTF-16 without its mark: of ASCII every other byte is zero.
  if len(start) < 3 * start.count(0) < 2 * len(start):
    check_text(name, codecs.BOM_UTF16_LE, utf_16)
