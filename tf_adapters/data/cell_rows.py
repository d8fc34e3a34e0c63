"""Splits lines into rows of cells, whatever separates them."""

import csv
import io
import itertools
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence

from tf_adapters.data.encodings import UTF_8, check_line_ends, read_lines
from tf_adapters.errors import InputError

csv.field_size_limit(1 << 30)

# Of files whose endings say something else; Excel's where commas are decimal.
_SEPARATORS = (",", ";", "\t", "|")


def tsv_rows(
    path: pathlib.Path | str, lines: Iterable[str], width: int | None = None,
) -> Iterator[tuple[int, list[str]]]:
  """Yields (line, cells) of each row, the header's among them.

  Args:
    path: what to call the file in errors.
    lines: each with the line feed that ends it.
    width: number of columns of a file without a header.

  Raises:
    InputError: lines do not end in line feeds.
  """
  one_column = None if width is None else width == 1
  empty: list[int] = []
  for number, line in enumerate(lines, 1):
    if number == 1:
      check_line_ends(path, line)
    line = line.removesuffix("\n").removesuffix("\r")
    if not line:
      empty.append(number)
      continue
    # In a file of one column an empty line is a row, an empty text, but before
    # the header and where the file ends.
    if one_column:
      yield from ((row, [""]) for row in empty)
    elif one_column is None:
      one_column = "\t" not in line
    empty.clear()
    yield number, line.split("\t")


def csv_rows(path: pathlib.Path | str, lines: Iterable[str],
             separator: str = ",") -> Iterator[tuple[int, list[str]]]:
  """Yields (line that it begins on, cells) of each row.

  Args:
    path: what to call the file in errors.
    lines: each with the line feed that ends it.
    separator: what stands between cells.

  Raises:
    InputError: a quotation mark stands where none can: rows cannot be told
      apart after it.
  """
  # A carriage return alone ends a line, too.
  reader = csv.reader(
      itertools.chain.from_iterable(
          io.StringIO(line, newline="") for line in lines),
      delimiter=separator, strict=True)
  first = 1
  try:
    for row in reader:
      if row:
        yield first, row
      first = reader.line_num + 1
  except csv.Error as error:
    raise InputError(
        f"{path}:{first}: a quoted cell does not end as it should: {error}"
    ) from None


def check_delimiter(delimiter: str | None) -> str | None:
  """Returns the delimiter that a user gave; None where it is to be found.

  Raises:
    InputError: nothing could.
  """
  if delimiter == "\\t":  # as it is typed in a shell
    return "\t"
  if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
    raise InputError(f"delimiter must be one character, not {delimiter!r}")
  return delimiter


def separated_rows(
    path: pathlib.Path | str, format: str, lines: Iterable[str],
    wanted: Sequence[str]) -> tuple[Iterator[tuple[int, list[str]]], str]:
  """Reads (line, cells) of each row of "tsv" or "csv", whatever the separator.

  If the header has the wanted columns only with another separator, that one is
  the file's; also if it has several columns with it instead of one.

  Args:
    path: what to call the file in errors.
    format: what its ending says.
    lines: each with the line feed that ends it.
    wanted: names of columns.

  Returns:
    The rows, the header's among them, and a note on the separator, or "".

  Raises:
    InputError: as for `tsv_rows` and `csv_rows`.
  """
  lines, start = iter(lines), []
  for line in lines:
    start.append(line)
    if line.strip():
      break
  usual = "\t" if format == "tsv" else ","
  first = start[-1] if start else ""
  if told := re.fullmatch(r'"?sep=(.)"?', first.strip("\r\n")):
    separator, start[-1] = told[1], "\n"  # Excel's first line
  else:
    separator = _separator(first, usual, [name.lower() for name in wanted])
  lines = itertools.chain(start, lines)
  if format == "tsv" and separator == usual:
    return tsv_rows(path, lines), ""
  return csv_rows(path, lines, separator), (
      "" if separator == usual else f"{separator!r} separates its cells")


def table_rows(
    path: pathlib.Path, wanted: Sequence[str], encoding: str = UTF_8,
) -> tuple[Iterator[tuple[int, list[str]]], str]:
  """As `separated_rows`, of a .tsv or .csv file."""
  return separated_rows(
      path, "csv" if path.suffix.lower() == ".csv" else "tsv",
      read_lines(path, encoding), wanted)


def _separator(header: str, usual: str, wanted: Sequence[str]) -> str:
  """Finds the delimiter of a file with this header."""
  names = {}
  for separator in dict.fromkeys([usual, *_SEPARATORS]):
    try:
      cells = next(csv.reader(
          io.StringIO(header, newline=""), delimiter=separator), [])
    except csv.Error:
      cells = []
    names[separator] = [cell.strip().lower() for cell in cells]
  fitting = [separator for separator in names
             if set(wanted) <= set(names[separator])]
  if fitting or len(names[usual]) > 1:
    return [*fitting, usual][0]
  return max(names, key=lambda separator: len(names[separator]))
