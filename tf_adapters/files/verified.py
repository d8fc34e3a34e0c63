"""Remembers files whose sha256 was computed, and need not be once more."""

import hashlib
import os
import time

import numpy as np

# What is remembered of a file: its identity, size and times, and a sum.
_Known = tuple[tuple[int, ...], int]

# Files; each takes some hundred bytes.
_MOST_FILES = 1 << 16
# Changes within so many nanoseconds can have the same time.
_CLOCK_NS = 1_000_000_000
_WORD = 8


class VerifiedFiles:
  """Files that were found to have the content of a sha256.

  The sha256 of one that is read again is not computed if two things are as they
  were: the file's status, whose ctime programs do not set themselves; and the
  exclusive or of its words, which takes a fiftieth of the time. So a file that
  was written to or replaced is noticed by the one, and a word that a disk has
  lost by the other. Threads may use it at the same time.

  Example:
    >>> files = VerifiedFiles()
    >>> files.has_sha256("file", b"abc", os.stat("file"), "ba7816bf...")
    True
  """

  def __init__(self) -> None:
    self._known: dict[tuple[str, str], _Known] = {}

  def has_sha256(self, path: str, content: bytes, status: os.stat_result,
                 sha256: str) -> bool:
    """Says whether what was read of a file has a sha256.

    Args:
      path: the file.
      content: all of it.
      status: of the file, from before it was read.
      sha256: in hexadecimal digits.
    """
    key = path, sha256
    found = _identity(status), _sum(content)
    if self._known.get(key) == found:
      return True
    if hashlib.sha256(content).hexdigest() != sha256:
      return False
    if time.time_ns() - status.st_ctime_ns > _CLOCK_NS:
      self._known[key] = found
      while len(self._known) > _MOST_FILES:
        self._known.pop(next(iter(self._known)), None)
    return True


def _identity(status: os.stat_result) -> tuple[int, ...]:
  return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns,
          status.st_ctime_ns)


def _sum(content: bytes) -> int:
  """Returns the exclusive or of all words, and of the bytes that are left."""
  whole = len(content) // _WORD
  words = np.frombuffer(content, np.uint64, whole)
  return int(np.bitwise_xor.reduce(words)) ^ int.from_bytes(
      content[whole * _WORD:], "little")
