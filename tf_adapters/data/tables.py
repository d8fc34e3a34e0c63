"""Reads tables of text: tab-separated without quoting, and CSV with it.

Every complaint names the file and the line or column. What the columns mean is
not known here.
"""

import array
import dataclasses
import itertools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence

from tf_adapters.data.bad_rows import NUL, OTHER_COLUMNS, BadRows, at
from tf_adapters.data.cell_rows import csv_rows, table_rows, tsv_rows
from tf_adapters.data.encodings import UTF_8, not_decoded, read_lines
from tf_adapters.errors import InputError, listed, similar


class Column:
  """The cells of a column, as UTF-8 end to end.

  Most of a published file's columns are never asked for; strings, most of them
  short, would take several times the file's size.
  """

  def __init__(self) -> None:
    self._content = bytearray()
    self._sizes = array.array("I")

  def append(self, cell: bytes) -> None:
    self._content += cell
    self._sizes.append(len(cell))

  def __iter__(self) -> Iterator[str]:
    start = 0
    for size in self._sizes:
      yield self._content[start:start + size].decode()
      start += size


@dataclasses.dataclass(frozen=True)
class Table:
  """The rows of a file, except for those that were left out.

  Attributes:
    path: the file.
    header: the column names; empty for a file without them.
    columns: the cells of each column.
    lines: the line of the file that each row begins on, from 1, or a
      `RowName`.
    numbers: of each row in the file, from 0, those left out counted; or what
      it is called in a table in memory.
    bad_rows: takes the rows that cannot be used.
    note: on how the file was read, or "".
  """

  path: pathlib.Path
  header: tuple[str, ...]
  columns: Sequence[Iterable[str]]
  lines: Sequence[int | str]
  numbers: Sequence[int | str]
  bad_rows: BadRows
  note: str = ""

  def __len__(self) -> int:
    return len(self.lines)

  def has(self, column: str) -> bool:
    """Returns whether there is a column of that name, in any case."""
    return bool(places_of(self.header, column))

  def column(self, column: str | int, hint: str = "") -> list[str]:
    """Returns the cells of a column.

    Args:
      column: its name, in any case, or its place from 0.
      hint: what says another name, for the error.

    Raises:
      InputError: there is no such column; says which there are.
    """
    if isinstance(column, str):
      column = find_column(self.path, self.header, column, hint)
    return list(self.columns[column])

  def refuse(self, row: int, kind: str,
             message: str | Callable[[], str]) -> None:
    """Hands a row in that cannot be used; see `BadRows.refuse`."""
    self.bad_rows.refuse(self.lines[row], kind, message)

  def error(self, row: int, message: str) -> InputError:
    """Makes an error that names the file and the line of a row."""
    return InputError(f"{at(self.path, self.lines[row])}: {message}")


def read_header(path: pathlib.Path | str, line: int, cells: Sequence[str],
                encoding: str = UTF_8) -> tuple[str, ...]:
  """Reads the column names in a file's first row.

  Columns without a name, which pandas and spreadsheets write, are columns that
  nobody can ask for.

  Args:
    path: what to call the file in errors.
    line: where the row begins.
    cells: of the row.
    encoding: that the file was read in.

  Raises:
    InputError: they are no text, or two are the same.
  """
  names = tuple(name.strip() for name in cells)
  twice = sorted({name for name in names if name and names.count(name) > 1})
  wrong = None
  if fault := not_decoded("".join(names), encoding):
    wrong = "; ".join(fault[1:])
  elif "\0" in "".join(names) or not any(names):
    wrong = "expected the names of columns"
  elif twice:
    wrong = f"column {twice[0]!r} stands there twice"
  if wrong:
    raise InputError(f"{path}:{line}: {wrong}")
  return names


def places_of(header: Sequence[str], column: str) -> list[int]:
  """Finds the places of the columns that a name may mean.

  Those of exactly this name; only where there is none, those in any case.

  Example:
    >>> places_of(["text", "Text"], "Text"), places_of(["text"], "Text")
    ([1], [0])
  """
  if not column:  # columns without a name
    return []
  exact = [place for place, name in enumerate(header) if name == column]
  return exact or [place for place, name in enumerate(header)
                   if name.lower() == column.lower()]


def find_column(path: pathlib.Path | str, header: Sequence[str],
                column: str, hint: str = "") -> int:
  """Finds a column of exactly this name, or else of one in any case.

  Args:
    path: what to call the file in errors.
    header: the names of all columns.
    column: the name.
    hint: what says another name, for the error.

  Raises:
    InputError: there is no such column; says which there are. Or it may be
      several.
  """
  places = places_of(header, column)
  if not places:
    near = similar(column, filter(None, header), cutoff=0.8)
    raise InputError(f"{path}: no column {column!r}; its columns are "
                     f"{listed(list(filter(None, header)))}"
                     + (f"; did you mean {near!r}?" if near else "")
                     + (f"; {hint} says another name" if hint else ""))
  names = list(dict.fromkeys(header[place] for place in places))
  if len(names) > 1:
    raise InputError(
        f"{path}: column {column!r} may be {' or '.join(map(repr, names))}: "
        "give the name as it is written there")
  if len(places) > 1:
    raise InputError(f"{path}: column {column!r} stands there twice")
  return places[0]


def find_columns(path: pathlib.Path | str, header: Sequence[str],
                 columns: Sequence[tuple[str, str]]) -> list[int]:
  """Finds columns that are one thing each; see `find_column`.

  Args:
    path, header: as for `find_column`.
    columns: (hint, name) of each.

  Raises:
    InputError: as for `find_column`; or two names are of one column.
  """
  places = [find_column(path, header, name, hint) for hint, name in columns]
  for second, place in enumerate(places):
    first = places.index(place)
    if first < second:
      both = columns[first][0], columns[second][0]
      raise InputError(f"{path}: " + (
          f"{both[0]} and {both[1]} must differ: both are column "
          if both[0] != both[1] else f"{both[0]} names twice the column ")
          + repr(header[place]))
  return places


def cells_fault(
    cells: Sequence[str], width: int) -> tuple[str, str] | None:
  """Finds the fault of a row, in general and of this one; None for none.

  Bytes that are no UTF-8 are the caller's business.

  Args:
    cells: of the row.
    width: how many there should be.
  """
  if len(cells) != width:
    return OTHER_COLUMNS, f"{len(cells)} columns, expected {width}"
  if any("\0" in cell for cell in cells):
    return NUL, "has a NUL byte in it"
  return None


def read_tsv(path: pathlib.Path, bad_rows: BadRows, width: int | None = None,
             encoding: str = UTF_8, known_malformed: bool = False) -> Table:
  """Reads tab-separated cells; a quotation mark is a character as any other.

  Args:
    path: the file.
    bad_rows: takes rows of another number of cells, with NUL bytes or with
      bytes that are not in the encoding.
    width: number of columns of a file without column names; None: the first
      line has them.
    encoding: see `encodings.read_lines`.
    known_malformed: leave rows of another number of cells out in any case: the
      published file has such.

  Raises:
    InputError: not readable, no such table, or there is a bad row.
  """
  return _table(path, tsv_rows(path, read_lines(path, encoding), width),
                bad_rows, encoding, width, known_malformed)


def read_csv(path: pathlib.Path, bad_rows: BadRows,
             encoding: str = UTF_8) -> Table:
  """Reads a CSV file with a header and quoted cells (RFC 4180).

  Args:
    path, bad_rows, encoding: as for `read_tsv`.

  Raises:
    InputError: as for `read_tsv`; or a quoted cell does not end as it should.
  """
  return _table(path, csv_rows(path, read_lines(path, encoding)), bad_rows,
                encoding)


def read_table(path: pathlib.Path, bad_rows: BadRows, wanted: Sequence[str],
               encoding: str = UTF_8) -> Table:
  """Reads a .tsv or .csv file with a header, whatever separates its cells.

  Args:
    path, bad_rows, encoding: as for `read_tsv`.
    wanted: names of columns; see `separated_rows`.

  Raises:
    InputError: as for `read_tsv` and `read_csv`.
  """
  rows, note = table_rows(path, wanted, encoding)
  table = _table(path, rows, bad_rows, encoding)
  notes = "; ".join(filter(None, [note, table.note]))
  return dataclasses.replace(
      table, note=f"{path.name}: {notes}" if notes else "")


def read_separated(path: pathlib.Path, bad_rows: BadRows, separator: str,
                   encoding: str = UTF_8) -> Table:
  """Reads a file with a header and quoted cells, whatever its ending.

  Args:
    path, bad_rows, encoding: as for `read_tsv`.
    separator: what stands between cells.

  Raises:
    InputError: as for `read_csv`.
  """
  return _table(path, csv_rows(path, read_lines(path, encoding), separator),
                bad_rows, encoding)


def _table(path: pathlib.Path, numbered: Iterator[tuple[int, list[str]]],
           bad_rows: BadRows, encoding: str, width: int | None = None,
           known_malformed: bool = False) -> Table:
  first = next(numbered, None)
  if first is None:
    raise InputError(f"{path}: is empty: expected a line of column names, and "
                     "rows below it")
  names: tuple[str, ...] = ()
  if width is None:
    names = read_header(path, *first, encoding)
    width = len(names)
  else:
    numbered = itertools.chain([first], numbered)
  columns = [Column() for _ in range(width)]
  # But for the first one: pandas' index has no name.
  unnamed = [place for place, name in enumerate(names) if place and not name]
  unread = 0
  lines, numbers = array.array("Q"), array.array("Q")
  for number, (line, cells) in enumerate(numbered):
    fault: tuple[str, ...] | None = cells_fault(cells, width)
    try:
      contents = [cell.encode() for cell in cells]
    except UnicodeEncodeError:
      fault = fault or not_decoded("".join(cells), encoding)
    if fault is None:
      lines.append(line)
      numbers.append(number)
      for column, content in zip(columns, contents):
        column.append(content)
      unread += any(contents[place] for place in unnamed)
    elif known_malformed and fault[0] == OTHER_COLUMNS:
      bad_rows.leave_out(line, fault[0])
    else:
      bad_rows.refuse(line, *fault)
  note = ("rows with something in a column without a name, which is not "
          f"read: {unread:,}" if unread else "")
  return Table(path, names, columns, lines, numbers, bad_rows, note)
