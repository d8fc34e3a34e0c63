"""Reads tables of text: tab-separated without quoting, and CSV with it.

Every complaint names the file and the line or column. What the columns mean is
not known here.
"""

import codecs
import csv
import dataclasses
import io
import pathlib
from collections.abc import Sequence

from tf_adapters.errors import InputError

csv.field_size_limit(1 << 30)


@dataclasses.dataclass(frozen=True)
class Table:
  """The rows of a file.

  Attributes:
    path: the file.
    header: the column names; empty for a file without them.
    rows: the cells of each row.
    lines: the line of the file that each row begins on, from 1.
    skipped: malformed rows that were left out.
  """

  path: pathlib.Path
  header: tuple[str, ...]
  rows: Sequence[Sequence[str]]
  lines: Sequence[int]
  skipped: int = 0

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
      if not self.has(column):
        raise InputError(
            f"{self.path}: no column {column!r}; its columns are "
            f"{', '.join(self.header)}")
      column = [name.lower() for name in self.header].index(column.lower())
    return [row[column] for row in self.rows]

  def error(self, row: int, message: str) -> InputError:
    """An error that names the file and the line of a row."""
    return InputError(f"{self.path}:{self.lines[row]}: {message}")


# UTF-8 with stray bytes of latin-1, as published files have them.
MIXED = "utf-8 or latin-1"
# Latin-1, but for files that somebody has converted to UTF-8.
EITHER = "latin-1, if not utf-8"


def read_text(path: pathlib.Path, encoding: str = "utf-8-sig") -> str:
  """Reads a file as text.

  Args:
    path: the file.
    encoding: Python's name of an encoding; or `MIXED`, where each line that is
      no UTF-8 is taken for latin-1; or `EITHER`, where the whole file is.

  Raises:
    InputError: it does not exist, or is not in that encoding: names the line.
  """
  try:
    content = path.read_bytes()
  except OSError as error:
    raise InputError(f"{path}: can not be read: {error.strerror}") from None
  if encoding == EITHER:
    try:
      return content.decode("utf-8-sig")
    except UnicodeDecodeError:
      return content.decode("latin-1")
  if encoding == MIXED:
    return "\n".join(
        _decode_mixed(line)
        for line in content.removeprefix(codecs.BOM_UTF8).split(b"\n"))
  try:
    return content.decode(encoding)
  except UnicodeDecodeError as error:
    line = content.count(b"\n", 0, error.start) + 1
    raise InputError(f"{path}:{line}: not {encoding} text") from None


def _decode_mixed(line: bytes) -> str:
  try:
    return line.decode()
  except UnicodeDecodeError:
    return line.decode("latin-1")


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
  # Not splitlines(): texts may hold other characters that end a line.
  lines = [line.removesuffix("\r")
           for line in read_text(path, encoding).split("\n")]
  while lines and not lines[-1]:
    lines.pop()
  # In a file of one column an empty line is a row: an empty text.
  one_column = bool(lines) and "\t" not in lines[0]
  numbered = [(number, line.split("\t"))
              for number, line in enumerate(lines, 1) if line or one_column]
  return _table(path, numbered, header, skip_malformed)


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
  reader = csv.reader(
      io.StringIO(read_text(path, encoding), newline=""), strict=True)
  numbered = []
  first = 1
  try:
    for row in reader:
      if row:
        numbered.append((first, row))
      first = reader.line_num + 1
  except csv.Error as error:
    raise InputError(
        f"{path}:{first}: a quoted cell does not end as it should: {error}"
    ) from None
  return _table(path, numbered, header=True, skip_malformed=skip_malformed)


def _table(path, numbered, header, skip_malformed) -> Table:
  if not any(cell.strip() for _, row in numbered for cell in row):
    raise InputError(f"{path}: is empty")
  names: tuple[str, ...] = ()
  width = len(numbered[0][1])
  if header:
    names = tuple(name.strip() for name in numbered[0][1])
    folded = [name.lower() for name in names]
    twice = sorted({name for name in folded if folded.count(name) > 1})
    if twice:
      raise InputError(f"{path}:1: column {twice[0]!r} stands there twice")
    numbered = numbered[1:]
  rows, lines, skipped = [], [], 0
  for number, row in numbered:
    if len(row) == width:
      rows.append(row)
      lines.append(number)
    elif skip_malformed:
      skipped += 1
    else:
      raise InputError(
          f"{path}:{number}: {len(row)} columns, expected {width}")
  return Table(path, names, rows, lines, skipped)
