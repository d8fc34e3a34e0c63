"""Reads the rows to predict: lines of a file or a pipe.

Knows how much was read, and its digest, so that a run that was stopped can tell
whether the input is still the one it began with.
"""

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from tf_adapters.errors import InputError
from tf_adapters.progress import progress_bar

STANDARD = "-"  # instead of a path: standard input, or standard output


class PredictionInput:
  """The lines of an input, and how much of it has been read.

  Args:
    path: of a file, or `STANDARD`.
    progress: whether to show a progress bar, over the bytes, while this is
      open and standard error is a terminal.

  Attributes:
    name: what to call it in errors.
    again: whether it can be read once more.

  Raises:
    InputError: it cannot be opened; or read, as soon as that is seen.
  """

  def __init__(self, path: str, progress: bool = False):
    self.name = "standard input" if path == STANDARD else path
    with self._reading():
      self._file = _opened(path)
    status = os.fstat(self._file.fileno())
    self.again = stat.S_ISREG(status.st_mode)
    size = status.st_size if self.again else None
    self._start = self._file.tell() if self.again else 0
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
    while True:
      with self._reading():
        line = self._file.readline()
      if not line:
        return
      self._read += len(line)
      self._digest.update(line)
      if self._bar is not None:
        self._bar.update(len(line))
      yield line

  def so_far(self) -> dict[str, Any] | None:
    """What was read, for `begins_with`; None where it cannot be read again."""
    return {"bytes": self._read,
            "sha256": self._digest.hexdigest()} if self.again else None

  def begins_with(self, before: Mapping[str, Any] | None) -> bool:
    """Whether it begins with what another run has read: its `so_far`."""
    if before is None:
      return False
    digest = hashlib.sha256()
    left = before["bytes"]
    with self._reading():
      place = self._file.tell()
      self._file.seek(self._start)
      while left and (content := self._file.read(min(left, 1 << 20))):
        digest.update(content)
        left -= len(content)
      self._file.seek(place)
    return not left and digest.hexdigest() == before["sha256"]

  @contextlib.contextmanager
  def _reading(self) -> Iterator[None]:
    try:
      yield
    except OSError as error:
      raise InputError(f"{self.name}: cannot be read: "
                       f"{error.strerror or error}") from None


def _opened(path: str) -> BinaryIO:
  if path == STANDARD:
    return open(0, "rb", closefd=False)
  return open(path, "rb")
