"""Rows of TSV, CSV and JSON lines, one after the other: read and written.

No more than a row is in memory. What the columns mean is not known here, nor
who is told of a bad row.
"""

import codecs
import csv
import io
import json
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tf_adapters.data.tables import (
    csv_rows,
    find_column,
    read_header,
    tsv_rows,
)
from tf_adapters.errors import InputError

# Ending of a file's name -> its format.
ENDINGS = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".json": "jsonl",
           ".ndjson": "jsonl"}
FORMATS = tuple(dict.fromkeys(ENDINGS.values()))

# Takes a bad row's line and what is wrong with it; may raise.
Refuse = Callable[[int, str], None]
# A row's line in the file, from 1, and {column: cell}.
Row = tuple[int, dict[str, str | None]]


def format_of(path: str | os.PathLike[str]) -> str:
  """One of `FORMATS`, by a file's ending.

  Raises:
    InputError: it has another one.
  """
  ending = pathlib.Path(path).suffix.lower()
  if ending not in ENDINGS:
    raise InputError(f"{path}: its name has to end in {', '.join(ENDINGS)}; "
                     "of an input the format can be given instead")
  return ENDINGS[ending]


def read_rows(lines: Iterable[bytes], name: str, format: str,
              columns: Sequence[str], refuse: Refuse) -> Iterator[Row]:
  """Reads rows of the columns that are asked for.

  TSV and CSV begin with a header, whose names may be in any case; in TSV a
  quotation mark is a character as any other, in CSV cells may be quoted (RFC
  4180). Bytes that are no UTF-8 come as `os.fsdecode` has them: "\\udcff".

  Args:
    lines: of the file, each with the line feed that ends it.
    name: what to call the file in errors.
    format: one of `FORMATS`.
    columns: the columns that are wanted.
    refuse: called for rows of another number of cells than the header, and
      lines that are no JSON object or have something else than a string in a
      column; they are left out.

  Returns:
    Line that it begins on, from 1, and {column: cell} of each row. A cell is
    None where a JSON object has no such key, or null.

  Raises:
    InputError: TSV or CSV without one of the columns, at once; or a quoted cell
      that does not end as it should, after which rows can not be told apart.
  """
  texts = _decoded(lines)
  if format == "jsonl":
    return _json_rows(texts, columns, refuse)
  numbered = tsv_rows(texts) if format == "tsv" else csv_rows(name, texts)
  first = next(numbered, None)
  if first is None:
    raise InputError(f"{name}: is empty: expected a header")
  header = read_header(name, first[1])
  places = {column: find_column(name, header, column) for column in columns}
  return _table_rows(numbered, len(header), places, refuse)


def _decoded(lines: Iterable[bytes]) -> Iterator[str]:
  for number, line in enumerate(lines, 1):
    if number == 1:
      line = line.removeprefix(codecs.BOM_UTF8)
    yield line.decode(errors="surrogateescape")


def _table_rows(numbered: Iterable[tuple[int, list[str]]], width: int,
                places: Mapping[str, int], refuse: Refuse) -> Iterator[Row]:
  for line, cells in numbered:
    if len(cells) == width:
      yield line, {column: cells[place] for column, place in places.items()}
    else:
      refuse(line, f"{len(cells)} columns, expected {width}")


def _json_rows(lines: Iterable[str], columns: Sequence[str],
               refuse: Refuse) -> Iterator[Row]:
  for line, text in enumerate(lines, 1):
    if not text.strip():
      continue
    try:
      values = json.loads(text)
    except (ValueError, RecursionError) as error:
      # Without the decoder's own count of lines.
      refuse(line, f"not readable as JSON: {getattr(error, 'msg', error)}")
      continue
    if not isinstance(values, dict):
      refuse(line, "expected a JSON object")
      continue
    row = {column: values.get(column) for column in columns}
    wrong = [column for column, value in row.items()
             if not isinstance(value, str | None)]
    if wrong:
      refuse(line, f"expected a string in {wrong[0]!r}")
    else:
      yield line, row


def write_header(format: str, columns: Sequence[str]) -> bytes:
  """The line before the first row: none in JSON lines."""
  return b"" if format == "jsonl" else write_row(
      format, {column: column for column in columns})


def write_row(format: str, cells: Mapping[str, Any]) -> bytes:
  """A row as one line, whatever its cells hold.

  Args:
    format: one of `FORMATS`. TSV and CSV have blanks for tabs and line ends in
      cells, and an empty cell for None.
    cells: {column: cell}, in the columns' order.
  """
  if format == "jsonl":
    line = json.dumps(cells, ensure_ascii=False)
  else:
    texts = ["" if cell is None else re.sub(r"[\t\r\n]", " ", str(cell))
             for cell in cells.values()]
    if format == "tsv":
      line = "\t".join(texts)
    else:
      quoted = io.StringIO()
      csv.writer(quoted, lineterminator="").writerow(texts)
      line = quoted.getvalue()
  # Names from the command line may be no UTF-8.
  return line.encode(errors="backslashreplace") + b"\n"
