"""Labels and scores in the columns of tables: as numbers, and back in messages.

A column holds a label in each cell, any number of labels, a zero or a one for
each row where there is a column for each label, or a number.
"""

import ast
import functools
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tf_adapters.data.bad_rows import NO_LABEL, NO_SCORE, UNKNOWN_LABEL
from tf_adapters.data.tables import Table
from tf_adapters.errors import listed

# A word's that has no tag, in PyTorch.
UNTAGGED = -100
# What notes say of a split of which `are_hidden` is true.
HIDDEN = "no row has a label, or only -1: there is nothing to evaluate on"

_NO_LIST = "with no list of labels"
_NO_INDICATOR = "with something else than 0 and 1"

_LARGEST_SCORE = 1e9  # squares have to be float32
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", re.ASCII)
_INDICATORS = {"0": 0.0, "0.0": 0.0, "false": 0.0,
               "1": 1.0, "1.0": 1.0, "true": 1.0}

# Lists as pandas, JSON and numpy write them: ['a', 'b'], ["a"], ['a' 'b'], [1].
_QUOTED = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_BARE = r"-?\d+(?:\.\d*)?"
_ITEM = rf"(?:{_QUOTED}|{_BARE})"
_ITEMS = rf"\s*(?:{_ITEM}(?:(?:\s*,\s*|\s+){_ITEM})*(?:\s*,)?)?\s*"
_STRINGS = rf"\s*(?:{_QUOTED}\s*(?:,\s*)?)*"
_LIST = re.compile(
    rf"\[{_ITEMS}\]|\({_STRINGS}\)|\{{{_STRINGS}\}}|set\(\)", re.DOTALL)
_MISSING = r"(?:None|nan|NaN|null)"
_GAPPED = rf"(?:{_ITEM}|{_MISSING})"  # an item, or where one is missing
_LIKE_A_LIST = re.compile(
    r"""[\[({]\s*['"].*|\[.*,.*\]|"""
    rf"(?=.*\b{_MISSING}\b)\[\s*{_GAPPED}(?:\s+{_GAPPED})*\s*\]", re.DOTALL)
# What nobody sees: blanks of no width, marks of direction, soft hyphens.
_UNSEEN = re.compile("[\u00ad\u200b\u200e\u200f\u2060\ufeff]")


def label_numbers(table: Table, column: str | int,
                  names: Mapping[str, int]) -> dict[int, int]:
  """Turns a column of label names into numbers.

  Args:
    table: the file; takes the rows back whose label is unknown.
    column: the labels' column. Blanks around a label do not count.
    names: label as it stands in the file -> number.

  Returns:
    {row: number}.

  Raises:
    InputError: a label is not one of `names`, and no row is to be left out.
  """
  numbers = {}
  for row, cell in enumerate(table.column(column)):
    label = cell.strip()
    if label in names:
      numbers[row] = names[label]
    elif label:
      table.refuse(row, UNKNOWN_LABEL, functools.partial(
          unknown_label, label, names))
    else:
      table.refuse(row, NO_LABEL, f"no label in column {column!r}")
  return numbers


def label_sets(table: Table, column: str, separator: str,
               names: Mapping[str, int]) -> dict[int, np.ndarray]:
  """Turns a column of any number of label names into zeros and ones.

  Args:
    table, column, names: as for `label_numbers`.
    separator: what stands between labels of a cell that is no list.

  Returns:
    {row: zeros and ones, as many as `names`}.

  Raises:
    InputError: a label is not one of `names`, or a cell no list, and no row is
      to be left out.
  """
  sets = {}
  for row, cell in enumerate(table.column(column)):
    labels = split_labels(cell, separator)
    unknown = [label for label in labels or () if label not in names]
    if labels is None:
      table.refuse(
          row, _NO_LIST, f"{cell.strip()!r:.80} is no list of labels: expected "
          f"['a', 'b'] or a{separator}b; a column of 0 and 1 for each label is "
          "taken with label_column=a,b, or label=['a', 'b'] of a Dataset")
    elif unknown:
      table.refuse(row, UNKNOWN_LABEL, functools.partial(
          unknown_label, unknown[0], names))
    else:
      sets[row] = np.zeros(len(names), np.float32)
      sets[row][[names[label] for label in labels]] = 1.0
  return sets


def indicators(table: Table,
               columns: Sequence[str]) -> dict[int, np.ndarray]:
  """Reads columns of zeros and ones, one for each label.

  Args:
    table: the file; takes the rows back that hold something else.
    columns: their names, in the labels' order.

  Returns:
    {row: zeros and ones, as many as columns}.

  Raises:
    InputError: there is no such column; or a cell is neither 0 nor 1, and no
      row is to be left out.
  """
  sets = {}
  for row, cells in enumerate(zip(*map(table.column, columns))):
    values = [_INDICATORS.get(cell.strip().lower(), -1.0) for cell in cells]
    if -1.0 in values:
      place = values.index(-1.0)
      table.refuse(row, _NO_INDICATOR, f"{cells[place]!r:.80} in column "
                   f"{columns[place]!r} is neither 0 nor 1")
    else:
      sets[row] = np.array(values, np.float32)
  return sets


def scores(table: Table, column: str | int) -> dict[int, float]:
  """Reads a column of numbers.

  Returns:
    {row: number}.

  Raises:
    InputError: a cell is not a number of reasonable size, and no row is to be
      left out.
  """
  values = {}
  for row, cell in enumerate(table.column(column)):
    # float takes more: 1_0, other scripts' digits.
    value = float(cell) if _NUMBER.fullmatch(cell) else math.nan
    if abs(value) <= _LARGEST_SCORE:  # nor is it where value is NaN
      values[row] = value
    else:
      comma = _NUMBER.fullmatch(cell.replace(",", ".", 1))
      table.refuse(row, NO_SCORE, f"{cell!r} is not a number of any use"
                   + (": write a point, not a comma" if comma and "," in cell
                      else ""))
  return values


def is_number(cell: str) -> bool:
  """Says whether a cell is a number, as those of regression are."""
  return bool(_NUMBER.fullmatch(cell))


def are_hidden(values: Iterable[Any], known: Iterable[Any],
               empty_is_set: bool) -> bool:
  """Says whether no label of a split is published: missing, or -1.

  So they are in the test splits of competitions.

  Args:
    values: of the split.
    known: labels of the training split: -1 is one of its own where some of
      these are negative.
    empty_is_set: whether an empty cell is a set without labels.
  """
  signs = [-1, UNTAGGED] if not any(map(_is_negative, known)) else []

  def is_hidden(value: Any) -> bool:
    if isinstance(value, list):
      return bool(value) and all(map(is_hidden, value))
    if isinstance(value, str) and is_number(value):
      value = float(value)
    if value is None or (isinstance(value, str) and not value.strip()):
      return not empty_is_set
    return isinstance(value, int | float) and value in signs

  return all(map(is_hidden, values))


def _is_negative(value: Any) -> bool:
  if isinstance(value, list):
    return any(map(_is_negative, value))
  if isinstance(value, str):
    return is_number(value) and float(value) < 0
  return isinstance(value, int | float) and value < 0


def unknown_label(label: str, names: Iterable[str]) -> str:
  """Says that a label is none of those that there are."""
  names = list(names)
  near = [name for name in names if _folded(name) == _folded(label)]
  return (f"label {label!r} is not one of {listed(names)}"
          + (f": is it {near[0]!r}?" if near else ""))


def alike(names: Iterable[str]) -> tuple[str, str, str] | None:
  """Finds two names, the earlier one first, that are the same for a reader.

  Returns:
    Both, and what they differ in: "case" or "writing", as 1 and 1.0 do; None
    where all differ in more.
  """
  folded: dict[str, str] = {}
  for name in names:
    other = folded.setdefault(_folded(name), name)
    if other != name:
      case = other.casefold() == name.casefold()
      return other, name, "case" if case else "writing"
  return None


def _folded(name: str) -> str:
  # pandas writes 1 as 1.0 where a column has gaps.
  name = re.sub(r"(-?\d+)\.0+", r"\1", name) if re.fullmatch(
      r"-?\d+\.0+", name) else name
  name = " ".join(_UNSEEN.sub("", name).split())
  return unicodedata.normalize("NFC", name).casefold()


def split_labels(cell: str, separator: str) -> list[str] | None:
  """Takes the labels of a cell apart, without blanks around them.

  Args:
    cell: a list as Python, JSON or numpy writes it, or labels with separators.
    separator: what stands between labels of a cell that is no list.

  Returns:
    The labels; None where it can neither be one nor the other.

  Example:
    >>> split_labels("['a', 'b']", ","), split_labels("a, b", ",")
    (['a', 'b'], ['a', 'b'])
  """
  cell = cell.strip()
  if _LIST.fullmatch(cell):
    try:
      items = [_unquoted(item).strip() for item in re.findall(_ITEM, cell)]
    except (SyntaxError, ValueError):
      return None
    labels = list(filter(None, items))
    # What repeats is no list of labels but a row of zeros and ones.
    return labels if len(set(labels)) == len(labels) else None
  if _LIKE_A_LIST.fullmatch(cell):
    return None
  return [label.strip() for label in cell.split(separator) if label.strip()]


def _unquoted(item: str) -> str:
  if item.startswith('"'):
    try:
      return json.loads(item)
    except ValueError:  # as Python writes what has an apostrophe
      return ast.literal_eval(item)
  return ast.literal_eval(item) if item.startswith("'") else item


def is_list(label: str) -> bool:
  """Returns whether a label is a list of such, as pandas writes it."""
  return bool(_LIKE_A_LIST.fullmatch(label) and _LIST.fullmatch(label))
