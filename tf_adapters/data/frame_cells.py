"""Reads cells of frames: several values in one, and what cannot be a text."""

import ast
from collections.abc import Iterable
from typing import Any

from tf_adapters.data.bad_rows import NUL
from tf_adapters.data.labels import is_list

_NO_UNICODE = "with half a character"


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
