"""Reads the rows to predict: lines of a file or a pipe.

Rows of files that have no lines, Parquet's for instance, come as lines of JSON.

Knows how much was read, and its digest, so that a run that was stopped can tell
whether the input is still the one it began with.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from tf_adapters.data import one_file
from tf_adapters.data.encodings import (
    AUTO_ENCODING,
    UTF_8,
    encoding_note,
    found_encoding,
)
from tf_adapters.errors import InputError
from tf_adapters.files.reading import near_name
from tf_adapters.progress import progress_bar

STANDARD = "-"  # instead of a path: standard input, or standard output


class PredictionInput:
  """The lines of an input, and how much of it has been read.

  Args:
    path: of a file, or `STANDARD`.
    progress: whether to show a progress bar, over the bytes, while this is
      open and standard error is a terminal.
    encoding: of its lines; `AUTO_ENCODING` to find it where it can be read
      twice, and UTF-8 else.
    format: of its lines, one of `data.rows.FORMATS`, where that is known.

  Attributes:
    name: what to call it in errors.
    again: whether it can be read once more.
    encoding: what the lines are in.
    note: on how it is read, or "".

  Raises:
    InputError: it cannot be opened; or read, as soon as that is seen.
  """

  def __init__(self, path: str, progress: bool = False,
               encoding: str = UTF_8, format: str = ""):
    self.name = "standard input" if path == STANDARD else path
    with self._reading():
      self._file = _opened(path)
    status = os.fstat(self._file.fileno())
    self.again = stat.S_ISREG(status.st_mode)
    size = status.st_size if self.again else None
    self._start = self._file.tell() if self.again else 0
    self.encoding, self.note = encoding, ""
    self._path = (pathlib.Path(path)
                  if self.again and path != STANDARD else None)
    if encoding == AUTO_ENCODING:
      self._find_encoding()
    self._rows = self._rows_without_lines() if format == "jsonl" else None
    if self._rows is not None:
      self.encoding, size = UTF_8, None
    self._lines = self._all_lines()
    self._read = 0
    self._digest = hashlib.sha256()
    self._bar = (progress_bar("predicting", size, "B", scaled=True)
                 if progress else None)

  def __enter__(self) -> "PredictionInput":
    return self

  def __exit__(self, *error: object) -> None:
    if self._bar is not None:
      self._bar.close()
    self._file.close()

  def __iter__(self) -> Iterator[bytes]:
    for line in self._lines:
      self._read += len(line)
      self._digest.update(line)
      if self._bar is not None:
        self._bar.update(len(line))
      yield line

  def so_far(self) -> dict[str, Any] | None:
    """Describes what was read, for `begins_with`; None for a stream."""
    return {"bytes": self._read,
            "sha256": self._digest.hexdigest()} if self.again else None

  def begins_with(self, before: Mapping[str, Any] | None) -> bool:
    """Returns whether it begins with what another run has read: its `so_far`.
    """
    if before is None:
      return False
    digest = hashlib.sha256()
    left = before["bytes"]
    with self._reading():
      place = self._file.tell()
      self._file.seek(self._start)
      for line in self._all_lines():
        digest.update(line[:left])
        left -= len(line[:left])
        if not left:
          break
      self._file.seek(place)
    return not left and digest.hexdigest() == before["sha256"]

  def _find_encoding(self) -> None:
    if self._path is None or one_file.is_parquet(self._path):
      self.encoding = UTF_8
    else:
      self.encoding = found_encoding(self._path)
      self.note = encoding_note(self._path.name, self.encoding)

  def _rows_without_lines(self) -> Callable[[], Iterable[Any]] | None:
    """Gives the rows of a file whose lines are none; None where they are."""
    path = self._path
    if path is None:
      return None
    if one_file.is_parquet(path):
      return lambda: one_file.rows_of_parquet(path)
    found = one_file.rows_of_document(path, self.encoding)
    if found is None:
      return None
    rows = [row for _, row in found]
    return lambda: rows

  def _all_lines(self) -> Iterator[bytes]:
    """Yields every line from here on; where rows are no lines all of them."""
    if self._rows is not None:
      for row in self._rows():
        yield json.dumps(row, default=str).encode() + b"\n"
      return
    while True:
      with self._reading():
        line = self._file.readline()
      if not line:
        return
      yield line

  @contextlib.contextmanager
  def _reading(self) -> Iterator[None]:
    try:
      yield
    except OSError as error:
      near = (near_name(self.name) if isinstance(error, FileNotFoundError)
              else "")
      raise InputError(f"{self.name}: cannot be read: "
                       f"{error.strerror or error}{near}") from None


def _opened(path: str) -> BinaryIO:
  if path == STANDARD:
    return open(0, "rb", closefd=False)
  return open(path, "rb")
