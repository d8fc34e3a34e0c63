"""Reads tables of text: tab-separated without quoting, and CSV with it.

Every complaint names the file and the line or column. What the columns mean is
not known here.
"""

import array
import codecs
import csv
import dataclasses
import io
import itertools
import pathlib
from collections.abc import Iterable, Iterator, Sequence

from tf_adapters.errors import InputError

csv.field_size_limit(1 << 30)


class Column:
  """The cells of a column, as UTF-8 end to end.

  Most of a published file's columns are never asked for; strings, most of them
  short, would take several times the file's size.
  """

  def __init__(self):
    self._content = bytearray()
    self._sizes = array.array("I")

  def append(self, cell: str) -> None:
    content = cell.encode()
    self._content += content
    self._sizes.append(len(content))

  def __iter__(self) -> Iterator[str]:
    start = 0
    for size in self._sizes:
      yield self._content[start:start + size].decode()
      start += size


@dataclasses.dataclass(frozen=True)
class Table:
  """The rows of a file.

  Attributes:
    path: the file.
    header: the column names; empty for a file without them.
    columns: the cells of each column.
    lines: the line of the file that each row begins on, from 1.
    skipped: malformed rows that were left out.
  """

  path: pathlib.Path
  header: tuple[str, ...]
  columns: Sequence[Iterable[str]]
  lines: Sequence[int]
  skipped: int = 0

  def __len__(self) -> int:
    return len(self.lines)

  def has(self, column: str) -> bool:
    """Whether there is a column of that name, in any case."""
    return column.lower() in [name.lower() for name in self.header]

  def column(self, column: str | int) -> list[str]:
    """The cells of a column.

    Args:
      column: its name, in any case, or its place from 0.

    Raises:
      InputError: there is no such column; says which there are.
    """
    if isinstance(column, str):
      column = find_column(self.path, self.header, column)
    return list(self.columns[column])

  def error(self, row: int, message: str) -> InputError:
    """An error that names the file and the line of a row."""
    return InputError(f"{self.path}:{self.lines[row]}: {message}")


def read_header(path: pathlib.Path | str,
                cells: Sequence[str]) -> tuple[str, ...]:
  """The column names in a file's first row.

  Raises:
    InputError: there are two of the same name, in any case.
  """
  names = tuple(name.strip() for name in cells)
  folded = [name.lower() for name in names]
  twice = sorted({name for name in folded if folded.count(name) > 1})
  if twice:
    raise InputError(f"{path}:1: column {twice[0]!r} stands there twice")
  return names


def find_column(path: pathlib.Path | str, header: Sequence[str],
                column: str) -> int:
  """The place of a column, whose name may be in any case.

  Raises:
    InputError: there is no such column; says which there are.
  """
  folded = [name.lower() for name in header]
  if column.lower() not in folded:
    raise InputError(f"{path}: no column {column!r}; its columns are "
                     f"{', '.join(header)}")
  return folded.index(column.lower())


# UTF-8 with stray bytes of latin-1, as published files have them.
MIXED = "utf-8 or latin-1"
# Latin-1, but for files that somebody has converted to UTF-8.
EITHER = "latin-1, if not utf-8"


def read_text(path: pathlib.Path, encoding: str = "utf-8-sig") -> str:
  """Reads a file as text.

  Args:
    path: the file.
    encoding: Python's name of an encoding with ASCII's line feeds; or `MIXED`,
      where each line that is no UTF-8 is taken for latin-1; or `EITHER`, where
      the whole file is.

  Raises:
    InputError: it does not exist, or is not in that encoding: names the line.
  """
  return "".join(_lines(path, encoding))


def _lines(path: pathlib.Path, encoding: str) -> Iterator[str]:
  """The lines of a file, each with the line feed that ends it."""
  if encoding == EITHER:
    encoding = "utf-8-sig"
    try:
      for _ in _lines(path, encoding):
        pass
    except InputError:
      encoding = "latin-1"
  codec = "utf-8" if encoding in ("utf-8-sig", MIXED) else encoding
  try:
    with open(path, "rb") as file:
      for number, line in enumerate(file, 1):
        if number == 1 and codec == "utf-8":
          line = line.removeprefix(codecs.BOM_UTF8)
        try:
          text = line.decode(codec)
        except UnicodeDecodeError:
          if encoding != MIXED:
            raise InputError(
                f"{path}:{number}: not {encoding} text") from None
          text = line.decode("latin-1")
        yield text
  except OSError as error:
    raise InputError(f"{path}: can not be read: {error.strerror}") from None


def read_tsv(path: pathlib.Path, header: bool = True,
             skip_malformed: bool = False,
             encoding: str = "utf-8-sig") -> Table:
  """Reads tab-separated cells; a quotation mark is a character as any other.

  Args:
    path: the file.
    header: whether the first line has the column names.
    skip_malformed: leave rows of another number of cells out, and count them.
    encoding: see `read_text`.

  Raises:
    InputError: not readable, or a row has another number of cells than the
      first.
  """
  return _table(
      path, tsv_rows(_lines(path, encoding)), header, skip_malformed)


def tsv_rows(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
  """(line, cells) of each row.

  Args:
    lines: each with the line feed that ends it.
  """
  one_column = False
  empty: list[int] = []
  for number, line in enumerate(lines, 1):
    line = line.removesuffix("\n").removesuffix("\r")
    if number == 1:
      one_column = "\t" not in line
    if not line:
      empty.append(number)
      continue
    # In a file of one column an empty line is a row, an empty text, but where
    # the file ends.
    if one_column:
      yield from ((row, [""]) for row in empty)
    empty.clear()
    yield number, line.split("\t")


def read_csv(path: pathlib.Path, encoding: str = "utf-8-sig",
             skip_malformed: bool = False) -> Table:
  """Reads a CSV file with a header and quoted cells (RFC 4180).

  Args:
    path: the file.
    encoding: see `read_text`.
    skip_malformed: leave rows of another number of cells out, and count them.

  Raises:
    InputError: not readable, or a row has another number of cells than the
      header.
  """
  return _table(
      path, csv_rows(path, _lines(path, encoding)), True, skip_malformed)


def csv_rows(path: pathlib.Path | str,
             lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
  """(line that it begins on, cells) of each row.

  Args:
    path: what to call the file in errors.
    lines: each with the line feed that ends it.

  Raises:
    InputError: a quotation mark stands where none can.
  """
  # A carriage return alone ends a line, too.
  reader = csv.reader(
      itertools.chain.from_iterable(
          io.StringIO(line, newline="") for line in lines),
      strict=True)
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


def _table(path: pathlib.Path, numbered: Iterator[tuple[int, list[str]]],
           header: bool, skip_malformed: bool) -> Table:
  head = []
  for row in numbered:
    head.append(row)
    if any(cell.strip() for cell in row[1]):
      break
  else:
    raise InputError(f"{path}: is empty")
  numbered = itertools.chain(head, numbered)
  names: tuple[str, ...] = ()
  columns = [Column() for _ in head[0][1]]
  if header:
    names = read_header(path, next(numbered)[1])
  lines, skipped = [], 0
  for number, cells in numbered:
    if len(cells) == len(columns):
      lines.append(number)
      for column, cell in zip(columns, cells):
        column.append(cell)
    elif skip_malformed:
      skipped += 1
    else:
      raise InputError(
          f"{path}:{number}: {len(cells)} columns, expected {len(columns)}")
  return Table(path, names, columns, lines, skipped)
