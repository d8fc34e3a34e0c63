"""Writes a prediction as one text: a number, a label, or several labels.

The same everywhere: in files, in SavedModels and in columns of Ray. Whatever a
label holds, what is written can be read again.
"""

import csv
import io
from collections.abc import Iterable

NUMBER_DIGITS = 6
LABEL_SEPARATOR = ","
TAG_SEPARATOR = " "

_SMALLEST = 2.0 ** -126  # of the normal numbers in float32


def write_number(value: float) -> str:
  """Writes a number in six digits, as C's `%.6g` does.

  Example:
    >>> [write_number(value) for value in (0.1 + 0.2, 1e-7, 1e20, -0.0)]
    ['0.3', '1e-07', '1e+20', '-0']
  """
  if abs(value) < _SMALLEST:
    value *= 0.0  # as TensorFlow has it, with its sign
  return f"{value:.{NUMBER_DIGITS}g}"


def quoted(text: str, separator: str) -> str:
  """Writes a cell of a table: in quotation marks where it has to be (RFC 4180).

  Example:
    >>> quoted('so "x", y', ","), quoted("x, y", "\\t")
    ('"so ""x"", y"', 'x, y')
  """
  if any(mark in text for mark in (separator, '"', "\r", "\n")):
    return '"' + text.replace('"', '""') + '"'
  return text


def list_item(text: str, separator: str) -> str:
  """Writes one of the texts of a list: as `quoted`, and so where it is empty.
  """
  return quoted(text, separator) or '""'


def write_list(texts: Iterable[str], separator: str) -> str:
  """Writes texts in one, which `read_list` takes apart.

  Example:
    >>> write_list(["red", "yellow, or green"], ",")
    'red,"yellow, or green"'
  """
  return separator.join(list_item(text, separator) for text in texts)


def read_list(text: str, separator: str) -> list[str]:
  """Reads what `write_list` has written."""
  lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
  return next(lines, [])
