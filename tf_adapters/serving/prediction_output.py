"""Writes predictions: to a file that is never half, or to standard output.

A file grows as NAME.partial and gets its name when it is whole. What a run that
was stopped has left is taken up by the same run, and by no other.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

from tf_adapters.errors import InputError, say
from tf_adapters.files.reading import read_json
from tf_adapters.files.writing import write_file, writing
from tf_adapters.serving.prediction_input import STANDARD, PredictionInput


class PredictionOutput:
  """Records on their way to a file.

  Args:
    file: what they are appended to, without a buffer.
    name: what to call it in errors.
    last: line of the last record that is there already, or 0.
    note: called with the line of each last record that is there then.
  """

  def __init__(self, file: BinaryIO, name: str, last: int = 0,
               note: Callable[[int], None] = lambda line: None):
    self.last = last
    self._file = file
    self._name = name
    self._note = note

  def append(self, records: bytes, last: int) -> None:
    """Writes records, the last of which is that of line `last`."""
    left = memoryview(records)
    with writing(self._name):
      while left:
        left = left[self._file.write(left):]
      self._note(last)


@contextlib.contextmanager
def prediction_output(
    name: str, header: bytes, description: Mapping[str, Any],
    source: PredictionInput,
    overwrite: bool = False) -> Iterator[PredictionOutput]:
  """Opens an output to append records to; it is whole when the block ends.

  Args:
    name: of the file, or `STANDARD`.
    header: what comes before the records of a table; empty for JSON lines.
      Each record begins with the line of the input that it is of.
    description: what decides over the records, beside the input, as JSON has
      it: what runs differ in that cannot go on with each other's output.
    source: what the records are made from.
    overwrite: whether a run's output so far, of whichever, is begun anew where
      this run cannot go on with it.

  Raises:
    InputError: it cannot be written, another run is writing it, or what is
      there is no output of this run.
  """
  if name == STANDARD:
    with open(1, "wb", buffering=0, closefd=False) as file:
      output = PredictionOutput(file, "standard output")
      output.append(header, 0)
      yield output
    return
  path = pathlib.Path(name)
  partial = path.with_name(f"{path.name}.partial")
  about = path.with_name(f"{path.name}.partial.json")

  def note(line: int) -> None:
    done = {"line": line, "input": source.so_far()}
    write_file(about, json.dumps({**description, "done": done}, indent=2)
               + "\n")

  with contextlib.ExitStack() as stack:
    with writing(name):
      file = stack.enter_context(open(partial, "a+b", buffering=0))
      last = _take_up(file, partial, about, description, header, source,
                      overwrite)
    output = PredictionOutput(file, name, last, note)
    if not last:
      output.append(header, 0)
    yield output
    with writing(name):
      os.fsync(file.fileno())
      os.replace(partial, path)
      about.unlink()


def _take_up(file: BinaryIO, partial: pathlib.Path, about: pathlib.Path,
             description: Mapping[str, Any], header: bytes,
             source: PredictionInput, overwrite: bool) -> int:
  """Leaves whole records of the same run; the line of the last one, or 0.

  Raises:
    InputError: there is something else than a run's output, or it is of another
      run, or one is writing it.
  """
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    raise InputError(f"{partial}: another run is writing it") from None
  found = read_json(about) if about.exists() else {}
  done = found.get("done")
  if not (found.keys() >= description.keys() and isinstance(done, dict)):
    if about.exists() or os.fstat(file.fileno()).st_size:
      raise InputError(
          f"{partial}: is there, but {about.name} does not say that a run "
          "wrote it: move both away, or choose another output")
    return 0
  if overwrite and any(found[key] != value
                       for key, value in description.items()):
    file.truncate(0)
    return 0
  last, end = _last_record(partial, header, done["line"])
  different = [key for key, value in description.items()
               if found[key] != value]
  if last and not different and source.again and not source.begins_with(
      done["input"]):
    different = ["content of the input"]
  if last and different:
    raise InputError(
        f"{partial}: is of a run with another {different[0]}: delete it, or "
        "choose another output")
  if not source.again:
    last = 0
  file.truncate(end if last else 0)
  if last:
    say(f"{partial}: goes on behind line {last:,} of the input", error=True)
  return last


def _last_record(
    partial: pathlib.Path, header: bytes, most: int) -> tuple[int, int]:
  """Finds the line of the last whole record, or 0; and where that record ends.

  Args:
    partial: a run's output so far.
    header: what it begins with.
    most: the line of the last record that may count: of what was written after
      it, it is not known from which input.

  Raises:
    InputError: it is something else.
  """
  last = end = 0
  with open(partial, "rb") as file:
    torn = file.read(len(header))
    fine = header.startswith(torn)
    if torn == header:
      end = len(header)
      for record, whole in _records(file, is_table=bool(header)):
        number = re.match(rb'(?:\{"line": )?(\d+)', record)
        fine = fine and (number is not None or not whole)
        if number is None or not whole or int(number[1]) > most:
          break
        last, end = int(number[1]), end + len(record)
  if not fine:
    raise InputError(
        f"{partial}: holds something else than predictions: move it away, or "
        "choose another output")
  return last, end


def _records(file: BinaryIO, is_table: bool) -> Iterator[tuple[bytes, bool]]:
  """Yields each record, and whether it is whole.

  A line end in a cell of a table, which stands in quotation marks, ends none.
  """
  record = b""
  for line in file:
    record += line
    whole = record.endswith(b"\n") and not (
        is_table and record.count(b'"') % 2)
    if whole:
      yield record, True
      record = b""
  if record:
    yield record, False
