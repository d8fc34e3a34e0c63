"""Rows that cannot be used: an error, or a count with the reason.

Every reader of rows has one of these for its file, and asks nothing else: a row
is kept, or handed in here.
"""

import os
from collections.abc import Callable

from tf_adapters.errors import InputError

ON_BAD_ROW = ("error", "skip")

# What can be wrong with a row of any file: what those left out are counted by.
OTHER_COLUMNS = "of another number of columns"
NUL = "with a NUL byte"
NO_UTF_8 = "not in UTF-8"  # of another encoding: encodings.not_decoded
NO_LABEL = "without a label"
UNKNOWN_LABEL = "with an unknown label"
NO_SCORE = "with a score that is no number"
NO_TEXT = "without a text"
NO_STRING = "with something else than a string"


class RowName(str):
  """The name of a row of a table in memory, which has no lines."""


def at(name: str | os.PathLike[str], place: int | str) -> str:
  """Names a place in data.

  Example:
    >>> at("train.tsv", 17), at("DataFrame", RowName("row 17"))
    ('train.tsv:17', 'DataFrame, row 17')
  """
  name = os.fspath(name)
  return (f"{name}, {place}" if isinstance(place, RowName)
          else f"{name}:{place}")


def in_line(place: int | str) -> str:
  """Names a place in data that was named already: "in line 17", "in row 17"."""
  return f"in {place}" if isinstance(place, RowName) else f"in line {place}"


class BadRows:
  """The rows of one file that cannot be used.

  Args:
    path: the file, or what to call it.
    on_bad_row: "error": the first of them is an InputError; "skip": they are
      left out, and counted.
    rows: what they are called.
    all_needed: whether none can be left out: predictions are handed in for each
      of them. The first is an error then, in any case.

  Raises:
    InputError: `on_bad_row` is something else.

  Example:
    >>> bad_rows = BadRows("rte/train.tsv", "skip")
    >>> bad_rows.refuse(17, OTHER_COLUMNS, "3 columns, expected 4")
    >>> bad_rows.refuse(40, UNKNOWN_LABEL, "label 'so' is not one of yes, no")
    >>> bad_rows.note()
    '2 rows left out: 1 of another number of columns (first: train.tsv:17), 1
    with an unknown label (first: train.tsv:40)'
  """

  def __init__(self, path: str | os.PathLike[str], on_bad_row: str = "error",
               rows: str = "rows", all_needed: bool = False):
    if on_bad_row not in ON_BAD_ROW:
      raise InputError(f"on_bad_row must be one of {', '.join(ON_BAD_ROW)}, "
                       f"not {on_bad_row!r}")
    self._path = path
    self._skip = on_bad_row == "skip" and not all_needed
    self._rows = rows
    self._hint = (
        f"all {rows} of this file have to be predicted" if all_needed
        else f"on_bad_row=skip leaves such {rows} out")
    # What is wrong -> how often, and where first.
    self._found: dict[str, tuple[int, int | str]] = {}

  def refuse(self, place: int | str, kind: str,
             message: str | Callable[[], str],
             remedy: str | None = None) -> None:
    """Takes a row that cannot be used.

    Args:
      place: its line, from 1, or where else it stands in the file.
      kind: what is wrong with it, in the words that it is counted by.
      message: the same, of this row; or what makes it, where that takes time.
      remedy: what helps better than to leave such rows out.

    Raises:
      InputError: no row is to be left out.
    """
    if not self._skip:
      raise InputError(
          f"{at(self._path, place)}: "
          f"{message if isinstance(message, str) else message()}; "
          f"{remedy or self._hint}")
    self.leave_out(place, kind)

  def leave_out(self, place: int | str, kind: str) -> None:
    """Takes a row that is left out in any case, as published files have them.

    Args:
      place, kind: as for `refuse`.
    """
    count, first = self._found.get(kind, (0, place))
    self._found[kind] = count + 1, first

  @property
  def count(self) -> int:
    """Rows that were left out."""
    return sum(count for count, _ in self._found.values())

  def note(self, scored: bool = False) -> str:
    """Describes how many rows were left out and why; "" if none was.

    Args:
      scored: whether the others are for scores, which then say less.
    """
    if not self._found:
      return ""
    name = os.path.basename(self._path)
    reasons = ", ".join(
        f"{count:,} {kind} (first: {at(name, first)})"
        for kind, (count, first) in self._found.items())
    rows = self._rows if self.count > 1 else self._rows.removesuffix("s")
    return f"{self.count:,} {rows} left out: {reasons}" + (
        f"; scores are of the other {self._rows} alone"
        if scored and UNKNOWN_LABEL in self._found else "")
