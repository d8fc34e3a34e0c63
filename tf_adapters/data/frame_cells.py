"""Reads cells of frames: several values in one, and what cannot be a text."""

import ast
import datetime
import re
from collections.abc import Iterable
from numbers import Number
from typing import Any

from tf_adapters.data.bad_rows import NUL
from tf_adapters.data.labels import is_list

_NO_UNICODE = "with half a character"
_WORD = re.compile(r"[^ \t\n\v\f\r]+")
# As pandas writes integers, where one is missing, too. What else has their
# value, such as +1, 01 and 4E2, is the name of a label; and so is one of more
# digits than Python reads.
_INTEGER = re.compile(r"(0|-?[1-9]\d{0,999})(\.0+)?", re.ASCII)


def label_of_text(cell: str) -> int | bool | str | None:
  """Reads a label of a file: an integer, a boolean or a text; None for blanks.

  Example:
    >>> label_of_text("2.0"), label_of_text("True"), label_of_text("1.10")
    (2, True, '1.10')
  """
  name = cell.strip()
  if integer := _INTEGER.fullmatch(name):
    return int(integer[1])
  return {"True": True, "False": False, "": None}.get(name, cell)


def is_text(value: Any) -> bool:
  """Returns whether a value can be a text: a string, a number or a date.

  Python writes any other object as a text, too: often as its address.
  """
  return isinstance(value, str | Number | datetime.timedelta) or (
      hasattr(value, "strftime"))


def items_of(cell: Any) -> list[Any]:
  """Returns the items of a cell: a list, one as pandas writes it, or words."""
  if isinstance(cell, list):
    return cell
  if not isinstance(cell, str):
    return []
  if is_list(cell.strip()):
    items = literal(cell)
    return [] if isinstance(items, str) else list(items)
  return cell.split()


def words_of(text: str) -> list[str]:
  """Splits a text at blanks, tabs and line ends, as `TextProcessor` does.

  Blanks that do not break, for instance, are parts of words.
  """
  return _WORD.findall(text)


def literal(cell: str) -> Any:
  """Returns a cell's value as Python writes it; the cell where it is none."""
  try:
    return ast.literal_eval(cell.strip())
  except (SyntaxError, ValueError, MemoryError, RecursionError):
    return cell


def several(value: Any) -> list[Any]:
  """Returns the values of a cell that may hold one, many or none."""
  if value is None:
    return []
  return list(value) if isinstance(value, Iterable) and not isinstance(
      value, str) else [value]


def characters_fault(text: str) -> tuple[str, str] | None:
  """Describes what is wrong with the characters of a row; None for nothing."""
  if "\0" in text:
    return NUL, "has a NUL byte in it"
  try:
    text.encode()
  except UnicodeEncodeError:
    return _NO_UNICODE, "has half a character in it, a lone surrogate"
  return None
