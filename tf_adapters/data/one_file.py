"""Reads a file of rows, or a folder with one for each split, into frames.

CSV, TSV, JSON lines and Parquet. Encodings and separators are found where they
are not given, and what was found is said.
"""

import codecs
import itertools
import json
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tf_adapters.data.bad_rows import BadRows
from tf_adapters.data.encodings import (
    UTF_8,
    check_encoding,
    is_utf_8,
    not_decoded,
    read_lines,
)
from tf_adapters.data.folders import find_splits
from tf_adapters.data.frames import Frame, frames_of
from tf_adapters.data.own_files import SPLIT_NAMES
from tf_adapters.data.tables import Table, read_separated, read_table
from tf_adapters.errors import InputError, first_line

_TABLES = (".csv", ".tsv")
_JSON = (".jsonl", ".ndjson", ".json")
_PARQUET = (".parquet", ".pq")
_ENDINGS = (*_TABLES, *_JSON, *_PARQUET)

# Endings of files that are not read -> the remedy.
_REMEDIES = {
    **dict.fromkeys((".xlsx", ".xls", ".ods"), (
        "is a spreadsheet: save it as CSV, or give the DataFrame of "
        "pandas.read_excel to Dataset.from_dataframe")),
    **dict.fromkeys((".gz", ".zip", ".bz2", ".xz"), "is packed: unpack it")}
_NO_JSON = "that are no JSON objects"


def frames_of_path(path: pathlib.Path, wanted: Sequence[str],
                   encoding: str | None, delimiter: str | None,
                   on_bad_row: str) -> dict[str, Frame]:
  """The frames of a file, "train", or of those in a folder, by split.

  Args:
    path: the file or the folder.
    wanted: names of columns that show which separator is the right one.
    encoding: of the files; None to find it.
    delimiter: what stands between cells; None to find it.
    on_bad_row: see `BadRows`.

  Raises:
    InputError: there is no such file, it cannot be read, its name has another
      ending, or there is a bad row that is not to be left out.
  """
  if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
    raise InputError(f"delimiter must be one character, not {delimiter!r}")

  def read(file: pathlib.Path) -> Frame:
    return _frame(file, wanted, encoding, delimiter, on_bad_row)

  if path.is_dir():
    files, unread = find_splits(
        path, SPLIT_NAMES, _ENDINGS,
        f"train, validation or test, ending in {', '.join(_ENDINGS)}")
    frames = {split: read(file) for split, file in files.items()}
    if unread:
      first = next(iter(frames))
      frames[first] = _with_notes(frames[first], unread)
    return frames
  if not path.exists():
    raise InputError(f"{path}: no such file")
  return {"train": read(path)}


def _with_notes(frame: Frame, *notes: str) -> Frame:
  return Frame(frame.name, frame.header, frame.read, frame.of_text,
               frame.places, (*frame.notes, *filter(None, notes)))


def _frame(path: pathlib.Path, wanted: Sequence[str], encoding: str | None,
           delimiter: str | None, on_bad_row: str) -> Frame:
  ending = path.suffix.lower()
  if ending not in _ENDINGS:
    remedy = _REMEDIES.get(
        ending, f"its name has to end in {', '.join(_ENDINGS)}; folders of "
        "files with a word a line: tf-adapters glue --task_name=tagging")
    raise InputError(f"{path}: {remedy}")
  if ending in _PARQUET:
    return _parquet(path)
  note = ""
  if encoding is None:
    encoding = found_encoding(path)
    if encoding != UTF_8:
      note = (f"{path.name}: is not UTF-8 and is read as {encoding}: give "
              "encoding if letters are wrong")
  else:
    encoding = check_encoding(encoding)
  bad_rows = BadRows(path, on_bad_row)
  if ending in _JSON:
    return _with_notes(_json(path, encoding, bad_rows), note, bad_rows.note())
  table = (read_table(path, bad_rows, wanted, encoding) if delimiter is None
           else read_separated(path, bad_rows, delimiter, encoding))
  return _with_notes(_of_table(table), note, table.note, bad_rows.note())


def _of_table(table: Table) -> Frame:
  return Frame(
      str(table.path), table.header, lambda place: table.columns[place],
      of_text=True, places=table.lines)


def found_encoding(path: pathlib.Path) -> str:
  """UTF-8 or UTF-16 where a file is in it, or else windows-1252 or latin-1.

  Raises:
    InputError: the file cannot be read.
  """
  try:
    content = path.read_bytes()
  except OSError as error:
    raise InputError(f"{path}: cannot be read: {error.strerror}") from None
  if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
    return "utf-16"
  for encoding in (UTF_8, "windows-1252"):
    try:
      content.decode(encoding)
      return encoding
    except UnicodeDecodeError:
      pass
  return "latin-1"


def _json(path: pathlib.Path, encoding: str, bad_rows: BadRows) -> Frame:
  """Objects, one on each line, or in one array."""
  lines = read_lines(path, encoding)
  first = next(lines, "")
  lines = itertools.chain([first], lines)
  values = (_of_array(path, lines) if first.lstrip().startswith("[")
            else _of_lines(lines, encoding, bad_rows))
  rows, places = [], []
  for place, value in values:
    if isinstance(value, dict):
      rows.append(value)
      places.append(place)
    else:
      bad_rows.refuse(place, _NO_JSON, "expected a JSON object")
  header = tuple(dict.fromkeys(key for row in rows for key in row))
  if not rows:
    raise InputError(f"{path}: is empty" if not bad_rows.count else
                     f"{path}: {bad_rows.note()}: none is left")
  return Frame(str(path), header,
               lambda place: [row.get(header[place]) for row in rows],
               places=places)


def _of_array(path: pathlib.Path,
              lines: Iterator[str]) -> Iterator[tuple[int, Any]]:
  try:
    yield from enumerate(json.loads("".join(lines)))
  except (ValueError, RecursionError) as error:
    raise InputError(
        f"{path}: is no JSON array, though it begins as one: "
        f"{first_line(error)}") from None


def _of_lines(lines: Iterator[str], encoding: str,
              bad_rows: BadRows) -> Iterator[tuple[int, Any]]:
  for number, line in enumerate(lines, 1):
    if not line.strip():
      continue
    if not is_utf_8(line) and (fault := not_decoded(line, encoding)):
      bad_rows.refuse(number, *fault)
      continue
    try:
      yield number, json.loads(line)
    except (ValueError, RecursionError) as error:
      bad_rows.refuse(number, _NO_JSON, "not readable as JSON: "
                      f"{getattr(error, 'msg', error)}")


def _parquet(path: pathlib.Path) -> Frame:
  try:
    import pyarrow.parquet
  except ImportError:
    raise InputError(
        f"{path}: Parquet needs the package pyarrow: pip install pyarrow, or "
        "save the file as CSV") from None
  read: Callable[[pathlib.Path], Any] = pyarrow.parquet.read_table
  try:
    table = read(path)
  except (OSError, ValueError) as error:
    raise InputError(
        f"{path}: cannot be read as Parquet: {first_line(error)}") from None
  frame = frames_of(table)["train"]
  return Frame(str(path), frame.header, frame.read)
