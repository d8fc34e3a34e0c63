"""Rows of TSV, CSV and JSON lines, one after the other: read and written.

Plain lines, a text on each, are read, too.

No more than a row is in memory. What the columns mean is not known here, nor
what becomes of a bad row.
"""

import dataclasses
import itertools
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tf_adapters.data.bad_rows import NO_STRING, BadRows
from tf_adapters.data.cell_rows import csv_rows, separated_rows
from tf_adapters.data.cells import quoted
from tf_adapters.data.encodings import (
  UTF_8,
  check_line_ends,
  decoded,
  not_decoded,
)
from tf_adapters.data.tables import (
  cells_fault,
  find_columns,
  places_of,
  read_header,
)
from tf_adapters.errors import InputError

# Ending of a file's name -> its format.
ENDINGS = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".json": "jsonl",
           ".ndjson": "jsonl"}
# Of what is read only: the rows of Parquet become JSON objects.
INPUT_ENDINGS = {**ENDINGS, ".parquet": "jsonl", ".pq": "jsonl"}
FORMATS = tuple(dict.fromkeys(ENDINGS.values()))
PLAIN = "txt"  # a text on each line, without columns
INPUT_FORMATS = (*FORMATS, PLAIN)
SEPARATORS = {"tsv": "\t", "csv": ","}

# What is wrong with a line.
_NO_JSON = "that are no JSON objects"

# A string, words of a JSON list, or what null stands for.
Cell = str | list[str] | None
# A row's line in the file, from 1, and {column: cell}.
Row = tuple[int, dict[str, Cell]]


@dataclasses.dataclass(frozen=True)
class WholeRows:
  """Rows with all of their cells.

  Attributes:
    names: the file's columns, as they are called there; of JSON lines the keys
      of the first.
    rows: line, wanted cells as `read_rows` has them, and {column: value} of
      all of the row.
    note: on how they are read, or "".
  """

  names: Sequence[str]
  rows: Iterator[tuple[int, dict[str, Cell], dict[str, Any]]]
  note: str = ""


def format_of(path: str | os.PathLike[str],
              endings: Mapping[str, str] = ENDINGS) -> str:
  """Returns one of `FORMATS`, by a file's ending.

  Args:
    path: of the file.
    endings: that are known, `INPUT_ENDINGS` of an input.

  Raises:
    InputError: it has another one.
  """
  ending = pathlib.Path(path).suffix.lower()
  if ending not in endings:
    raise InputError(f"{path}: its name has to end in {', '.join(endings)}")
  return endings[ending]


def read_rows(lines: Iterable[bytes], name: str, format: str,
              columns: Sequence[str], bad_rows: BadRows,
              encoding: str = UTF_8) -> Iterator[Row]:
  """Reads rows of the columns that are asked for.

  Names of columns may be in any case, unless one is written so; see
  `tables.places_of`. TSV and CSV begin with a header of them. In TSV a
  quotation mark is a character as any other, in CSV cells may be quoted (RFC
  4180). See `cell_rows.separated_rows` for other separators.

  Args:
    lines: of the file, each with the line feed that ends it.
    name: what to call the file in errors.
    format: one of `FORMATS`.
    columns: the columns that are wanted.
    bad_rows: takes rows of another number of cells than the header, with NUL
      bytes or in another encoding, and lines that are no JSON object or have
      something else than a string in a column.
    encoding: see `encodings.decoded`.

  Returns:
    Line that it begins on, from 1, and {column: cell} of each row. A cell is
    None where a JSON object has null, and not there where it has no such key.

  Raises:
    InputError: at once, where it is no such file, or TSV or CSV without one of
      the columns; later, at a bad row, or a quoted cell that does not end as it
      should, after which rows cannot be told apart.
  """
  whole = read_whole_rows(lines, name, format, columns, bad_rows, encoding)
  return ((line, wanted) for line, wanted, _ in whole.rows)


def read_whole_rows(lines: Iterable[bytes], name: str, format: str,
                    columns: Sequence[str], bad_rows: BadRows,
                    encoding: str = UTF_8, delimiter: str | None = None,
                    word_lists: bool = False) -> WholeRows:
  """As `read_rows`, with the cells of all columns beside those wanted.

  Args:
    lines, name, format, columns, bad_rows, encoding: as for `read_rows`.
      `PLAIN` gives every line as a cell of each of the columns.
    delimiter: what stands between the cells of a table; None to find it.
    word_lists: whether a wanted cell of JSON may be a list of words.
  """
  texts = decoded(name, lines, encoding)
  if format == "jsonl":
    line = next(texts, "")
    _check_json_lines(name, line)
    return WholeRows(_keys(line), _json_rows(
        itertools.chain([line], texts), columns, bad_rows, encoding,
        word_lists))
  if format == PLAIN:
    return WholeRows(columns, _plain_rows(
        name, texts, columns, bad_rows, encoding))
  note = ""
  if delimiter is None:
    numbered, note = separated_rows(name, format, texts, columns)
  else:
    numbered = csv_rows(name, texts, delimiter)
  first = next(numbered, None)
  if first is None:
    raise InputError(f"{name}: is empty: expected a header")
  header = read_header(name, *first, encoding)
  hint = "text_column, text_pair_column or task_column"
  places = dict(zip(columns, find_columns(
      name, header, [(hint, column) for column in columns])))
  return WholeRows(
      [column for column in header if column],
      _table_rows(numbered, header, places, bad_rows, encoding),
      note and f"{os.path.basename(name)}: {note}")


def _plain_rows(
    name: str, lines: Iterable[str], columns: Sequence[str], bad_rows: BadRows,
    encoding: str) -> Iterator[tuple[int, dict[str, Cell], dict[str, Any]]]:
  for number, line in enumerate(lines, 1):
    if number == 1:
      check_line_ends(name, line)
    text = line.removesuffix("\n").removesuffix("\r")
    if fault := cells_fault([text], 1) or not_decoded(text, encoding):
      bad_rows.refuse(number, *fault)
    else:
      yield number, dict.fromkeys(columns, text), dict.fromkeys(columns, text)


def _table_rows(
    numbered: Iterable[tuple[int, list[str]]], header: Sequence[str],
    places: Mapping[str, int], bad_rows: BadRows, encoding: str,
) -> Iterator[tuple[int, dict[str, Cell], dict[str, Any]]]:
  for line, cells in numbered:
    if fault := cells_fault(cells, len(header)) or not_decoded(
        "".join(cells), encoding):
      bad_rows.refuse(line, *fault)
    else:
      yield (line, {column: cells[place] for column, place in places.items()},
             dict(zip(header, cells)))


def _keys(line: str) -> list[str]:
  """Returns the keys of a line of JSON; none where it is no object."""
  try:
    values = json.loads(line)
  except (ValueError, RecursionError):
    return []
  return list(values) if isinstance(values, dict) else []


def _check_json_lines(name: str, first: str) -> None:
  """Refuses JSON that is not a value a line.

  Raises:
    InputError: the first line is not the whole of one, but of an array or a
      file.
  """
  check_line_ends(name, first)
  start = first.strip()
  if start.startswith("[") or start == "{":
    raise InputError(
        f"{name}:1: expected JSON lines, an object on each, not one "
        f"{'array' if start.startswith('[') else 'object'} over the whole file")


def _json_rows(
    lines: Iterable[str], columns: Sequence[str], bad_rows: BadRows,
    encoding: str, word_lists: bool,
) -> Iterator[tuple[int, dict[str, Cell], dict[str, Any]]]:
  for line, text in enumerate(lines, 1):
    if not text.strip():
      continue
    if fault := not_decoded(text, encoding):
      bad_rows.refuse(line, *fault)
      continue
    try:
      values = json.loads(text)
    except (ValueError, RecursionError) as error:
      # Without the decoder's own count of lines.
      bad_rows.refuse(
          line, _NO_JSON,
          f"not readable as JSON: {getattr(error, 'msg', error)}")
      continue
    if not isinstance(values, dict):
      bad_rows.refuse(line, _NO_JSON, "expected a JSON object")
      continue
    row = {column: values[key] for column in columns
           for key in _key(values, column)}
    wrong = [column for column, value in row.items()
             if not (isinstance(value, str | None)
                     or (word_lists and _are_words(value)))]
    if wrong:
      bad_rows.refuse(
          line, NO_STRING, f"expected a string in {wrong[0]!r}")
    else:
      yield line, row, values


def _key(values: Mapping[str, Any], column: str) -> list[str]:
  """Finds the key of an object that a column's name means, as in a table.

  None where there is none; nor where it may be several.
  """
  if column in values:
    return [column]
  keys = list(values)
  places = places_of(keys, column)
  return [keys[place] for place in places] if len(places) == 1 else []


def _are_words(value: Any) -> bool:
  return isinstance(value, list) and all(
      isinstance(word, str) for word in value)


def write_header(format: str, columns: Sequence[str]) -> bytes:
  """Writes the line before the first row: none in JSON lines."""
  return b"" if format == "jsonl" else write_cells(format, columns)


def write_row(format: str, cells: Mapping[str, Any]) -> bytes:
  """Writes a row, which can be read again whatever its cells hold.

  Args:
    format: one of `FORMATS`: a JSON line, or as `write_cells`.
    cells: {column: cell}, in the columns' order.

  Raises:
    InputError: a number is not finite, which JSON has no name for.
  """
  if format != "jsonl":
    return write_cells(format, list(cells.values()))
  try:
    line = json.dumps(cells, ensure_ascii=False, allow_nan=False)
  except ValueError:
    raise InputError("JSON has no name for a number that is not finite: "
                     f"{cells!r:.200}") from None
  return _encoded(line)


def write_cells(format: str, cells: Sequence[Any]) -> bytes:
  """Writes a row of TSV or CSV.

  Cells that hold separators, line ends or quotation marks are in quotation
  marks (RFC 4180), in TSV as well: as pandas, Python's csv and spreadsheets
  read both. A line end in a cell does not end the row.

  Args:
    format: "tsv" or "csv".
    cells: of the row; None becomes an empty one, a list as JSON has it.
  """
  separator = SEPARATORS[format]
  return _encoded(separator.join(
      quoted(_text(cell), separator) for cell in cells))


def _text(cell: Any) -> str:
  if cell is None:
    return ""
  if isinstance(cell, list | dict | bool):
    return json.dumps(cell, ensure_ascii=False)
  return str(cell)


def _encoded(line: str) -> bytes:
  # Names from the command line may be no UTF-8.
  return line.encode(errors="backslashreplace") + b"\n"
