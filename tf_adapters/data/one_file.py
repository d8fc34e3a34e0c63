"""Reads a file of rows, or a folder with one for each split, into frames.

CSV, TSV, JSON lines and Parquet. Encodings and separators are found where they
are not given, and what was found is said.
"""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tf_adapters.data.bad_rows import BadRows
from tf_adapters.data.cell_rows import check_delimiter
from tf_adapters.data.encodings import (
  check_encoding,
  encoding_note,
  found_encoding,
  is_utf_8,
  not_decoded,
  read_lines,
)
from tf_adapters.data.folders import find_splits
from tf_adapters.data.frames import Frame, frames_of, plain
from tf_adapters.data.own_files import SPLIT_NAMES
from tf_adapters.data.squad_files import is_squad, rows_of
from tf_adapters.data.tables import Table, read_separated, read_table
from tf_adapters.errors import InputError, first_line
from tf_adapters.files.reading import near_name

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
_ROWS_AT_ONCE = 1024  # of Parquet


def frames_of_path(path: pathlib.Path, wanted: Sequence[str],
                   encoding: str | None, delimiter: str | None,
                   on_bad_row: str) -> dict[str, Frame]:
  """Reads the frames of a file, "train", or of those in a folder, by split.

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
  delimiter = check_delimiter(delimiter)

  def read(file: pathlib.Path) -> Frame:
    return _frame(file, wanted, encoding, delimiter, on_bad_row)

  if path.is_dir():
    files, unread = find_splits(
        path, SPLIT_NAMES, _ENDINGS,
        f"train, validation or test, ending in {', '.join(_ENDINGS)}, or the "
        "path of a single file")
    frames = {split: read(file) for split, file in files.items()}
    if unread:
      first = next(iter(frames))
      frames[first] = _with_notes(frames[first], unread)
    return frames
  if not path.exists():
    raise InputError(f"{path}: no such file{near_name(path)}")
  return {"train": read(path)}


def _with_notes(frame: Frame, *notes: str) -> Frame:
  return dataclasses.replace(
      frame, notes=(*frame.notes, *filter(None, notes)))


def _frame(path: pathlib.Path, wanted: Sequence[str], encoding: str | None,
           delimiter: str | None, on_bad_row: str) -> Frame:
  ending = path.suffix.lower()
  if ending not in _ENDINGS:
    remedy = _REMEDIES.get(
        ending, f"its name has to end in {', '.join(_ENDINGS)}; folders of "
        "files with a word a line: tf-adapters glue --task_name=tagging")
    raise InputError(f"{path}: {remedy}")
  if delimiter is not None and ending in (*_PARQUET, *_JSON):
    raise InputError(f"{path}: has no cells that a delimiter could separate: "
                     "leave it out")
  if ending in _PARQUET:
    return _parquet(path)
  note = ""
  if encoding is None:
    encoding = found_encoding(path)
    note = encoding_note(path.name, encoding)
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
      of_text=True, places=table.lines, index=table.numbers)


def _json(path: pathlib.Path, encoding: str, bad_rows: BadRows) -> Frame:
  """Objects, one on each line, or of one array; or SQuAD's questions."""
  document = rows_of_document(path, encoding)
  values = (_of_lines(read_lines(path, encoding), encoding, bad_rows)
            if document is None else (
                (place - 1, place, value) for place, value in document))
  rows, places, numbers = [], [], []
  for number, place, value in values:
    if isinstance(value, dict):
      rows.append(value)
      places.append(place)
      numbers.append(number)
    else:
      bad_rows.refuse(place, _NO_JSON, "expected a JSON object")
  header = tuple(dict.fromkeys(key for row in rows for key in row))
  if not rows:
    raise InputError(
        f"{path}: is empty: expected a JSON object on each line"
        if not bad_rows.count else f"{path}: {bad_rows.note()}: none is left")
  return Frame(str(path), header,
               lambda place: [row.get(header[place]) for row in rows],
               places=places, index=numbers)


def rows_of_document(path: pathlib.Path,
                     encoding: str) -> Iterable[tuple[int, Any]] | None:
  """Yields number, from 1, and value of each row of JSON that is one document.

  That is an array, or a file of SQuAD's, of which a question is a row.

  Args:
    path: the file.
    encoding: of it.

  Returns:
    The rows; None where each line is a document of its own.

  Raises:
    InputError: it cannot be read, or holds one object for all rows.
  """
  lines = read_lines(path, encoding)
  first = next(lines, "")
  start = first.strip()
  if not (start.startswith("[") or start == "{"):
    one = _object(start)
    if not one or not (is_squad(one) or _by_column(one)):
      return None
  try:
    values = json.loads("".join([first, *lines]))
  except (ValueError, RecursionError) as error:
    raise InputError(
        f"{path}: is no JSON {'array' if start[0] == '[' else 'object'}, "
        f"though it begins as one: {first_line(error)}") from None
  if isinstance(values, list):
    return enumerate(values, 1)
  if is_squad(values):
    return enumerate(rows_of(path, values), 1)
  raise InputError(
      f"{path}: is one JSON object, expected one for each row, such as "
      "df.to_json(path, orient='records', lines=True) writes")


def _object(line: str) -> dict[str, Any] | None:
  """Returns the object that is a line; None where it is something else."""
  try:
    value = json.loads(line)
  except (ValueError, RecursionError):
    return None
  return value if isinstance(value, dict) else None


def _by_column(values: Mapping[str, Any]) -> bool:
  """Returns whether an object is a DataFrame as pandas' to_json writes it."""
  return all(isinstance(column, dict) and column
             and all(map(str.isdecimal, column)) for column in values.values())


def _of_lines(lines: Iterator[str], encoding: str,
              bad_rows: BadRows) -> Iterator[tuple[int, int, Any]]:
  """Yields number, line and value of each row that is JSON."""
  for number, (place, line) in enumerate(
      (place, line) for place, line in enumerate(lines, 1) if line.strip()):
    if not is_utf_8(line) and (fault := not_decoded(line, encoding)):
      bad_rows.refuse(place, *fault)
      continue
    try:
      yield number, place, json.loads(line)
    except (ValueError, RecursionError) as error:
      bad_rows.refuse(place, _NO_JSON, "not readable as JSON: "
                      f"{getattr(error, 'msg', error)}")


def _parquet(path: pathlib.Path) -> Frame:
  table = _of_pyarrow(path, "read_table")
  frame = frames_of(table)["train"]
  return Frame(str(path), frame.header, frame.read,
               places=range(1, table.num_rows + 1))


def is_parquet(path: pathlib.Path) -> bool:
  """Returns whether a file is one of Parquet, by its ending."""
  return path.suffix.lower() in _PARQUET


def rows_of_parquet(path: pathlib.Path) -> Iterator[dict[str, Any]]:
  """Yields the rows of a Parquet file, a few at a time.

  Raises:
    InputError: it cannot be read.
  """
  for batch in _of_pyarrow(path, "ParquetFile").iter_batches(_ROWS_AT_ONCE):
    for row in batch.to_pylist():
      yield {name: plain(value) for name, value in row.items()}


def _of_pyarrow(path: pathlib.Path, reader: str) -> Any:
  """Opens a file with a function of pyarrow.parquet.

  Raises:
    InputError: it cannot be read, or there is no pyarrow.
  """
  try:
    import pyarrow.parquet
  except ImportError:
    raise InputError(
        f"{path}: Parquet needs the package pyarrow: pip install pyarrow, or "
        "save the file as CSV") from None
  read: Callable[[pathlib.Path], Any] = getattr(pyarrow.parquet, reader)
  try:
    return read(path)
  except (OSError, ValueError) as error:
    raise InputError(
        f"{path}: cannot be read as Parquet: {first_line(error)}") from None
