"""A file's rows through a bank, to a file of predictions that is never half.

Reads, predicts and writes some hundred rows at a time, and goes on where a run
was stopped. Formats are `data.rows`' business; what a row's task makes of it is
the bank's.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import itertools
import json
import os
import pathlib
import re
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

import tqdm

from tf_adapters.adapter_file import AdapterInfo
from tf_adapters.bank import AdapterBank, Text
from tf_adapters.data import rows
from tf_adapters.errors import InputError
from tf_adapters.files import read_json, write_file

STANDARD = "-"  # instead of a path: standard input, or standard output
ON_BAD_ROW = ("error", "skip")

# Rows that are sorted by length, predicted and written together: more leaves
# less padding, fewer loses less when a run is stopped.
_BATCHES_AT_ONCE = 8

_TABLE_COLUMNS = ("line", "task", "prediction", "score")


@dataclasses.dataclass(frozen=True)
class PredictionConfig:
  """What is read, and where predictions are written.

  Attributes:
    input, output: files, or "-" for standard input and output.
    format: of the input, one of `data.rows.FORMATS`; None for what its ending
      says. The output's is what its ending says, or the input's for "-".
    text_column: name of the texts' column.
    text_pair_column: name of the column of each pair's second text, or None.
    task_column: name of the column that says which task a row is for; None
      where the bank has one task only.
    on_bad_row: "error" stops at a row that can not be predicted, "skip" says
      so and leaves it out.
    predict_batch_size: texts per forward pass.

  Raises:
    InputError: a value is of no use, or two columns are the same.
  """

  input: str
  output: str
  format: str | None = None
  text_column: str = "text"
  text_pair_column: str | None = None
  task_column: str | None = None
  on_bad_row: str = "error"
  predict_batch_size: int = 64

  def __post_init__(self):
    if self.input == STANDARD and self.format is None:
      raise InputError("format must be given for standard input")
    if self.on_bad_row not in ON_BAD_ROW:
      raise InputError(f"on_bad_row must be one of {', '.join(ON_BAD_ROW)}, "
                       f"not {self.on_bad_row!r}")
    if self.format not in (None, *rows.FORMATS):
      raise InputError(f"format must be one of {', '.join(rows.FORMATS)}, not "
                       f"{self.format!r}")
    if self.predict_batch_size < 1:
      raise InputError("predict_batch_size must be positive, not "
                       f"{self.predict_batch_size}")
    if len(set(self.columns())) < len(self.columns()):
      raise InputError("text_column, text_pair_column and task_column must "
                       "differ")
    self.formats()

  def formats(self) -> tuple[str, str]:
    """The formats of the input and the output."""
    read = self.format or rows.format_of(self.input)
    return read, (
        read if self.output == STANDARD else rows.format_of(self.output))

  def columns(self) -> list[str]:
    """The input's columns that are read."""
    return [column for column in (
        self.text_column, self.text_pair_column, self.task_column)
            if column is not None]


def predict_file(bank: AdapterBank, config: PredictionConfig) -> None:
  """Predicts every row of a file.

  Records are in the order of the rows: "line" (where the row begins in the
  input, from 1), "task", "prediction" (a label; labels with commas between
  them; tags with blanks between them; a number; an answer), and in JSON lines
  "scores": {label or answer: probability}, a list of such for the "words" of a
  tagging task, null for numbers. TSV and CSV have "score" instead, the
  probability of a single label or answer. Probabilities have six decimals,
  numbers six digits.

  A second text that is empty is none, unless the row's task is on pairs.

  The output grows as OUTPUT.partial and is renamed when it is whole.
  OUTPUT.partial.json says which run it is of: the same run again goes on behind
  the last record, unless it reads a pipe.

  Args:
    bank: the tasks.
    config: what to read and to write.

  Raises:
    InputError: the input can not be read or lacks a column; the output is there
      already, or is of another run; or there is a bad row.
  """
  tasks = {name: bank.info(name) for name in bank.names()}
  if config.task_column is None and len(tasks) != 1:
    raise InputError(
        f"the bank has {len(tasks)} tasks ({', '.join(tasks)}): task_column "
        "has to say which one a row is for")
  name = _shown(config.input, "input")
  read, written = config.formats()
  bad_rows = _BadRows(name, config.on_bad_row == "skip")
  count, start = 0, time.monotonic()
  with _opened(config.input) as file, _progress_bar(file) as bar:
    items = _items(
        rows.read_rows(_lines(file, name, bar), name, read, config.columns(),
                       bad_rows),
        config, tasks, bad_rows)
    with _output(config, _description(config, file, tasks)) as (output, last):
      if not last:
        output.write(rows.write_header(written, _TABLE_COLUMNS))
      # The same rows together in every run: sums of floats depend on it.
      for chunk in _chunks(items, _BATCHES_AT_ONCE * config.predict_batch_size):
        if chunk[-1][0] <= last:
          continue
        numbers, names, texts = zip(*chunk)
        results = bank.predict_both(texts, names, config.predict_batch_size)
        for line, task, result in zip(numbers, names, results):
          if line > last:
            output.write(rows.write_row(
                written, _record(line, task, tasks[task], result, written)))
            count += 1
        output.flush()
  print(f"{count:,} rows, {count / (time.monotonic() - start):.1f} a second; "
        f"{bad_rows.count:,} skipped", file=sys.stderr)


class _BadRows:
  """What becomes of rows that can not be predicted."""

  def __init__(self, name: str, skip: bool):
    self.count = 0
    self._name = name
    self._skip = skip

  def __call__(self, line: int, reason: str) -> None:
    error = InputError(f"{self._name}:{line}: {reason}")
    if not self._skip:
      raise error
    self.count += 1
    tqdm.tqdm.write(f"skipped {error}", file=sys.stderr)


# Line, task and text of a row.
_Item = tuple[int, str, Text]


def _items(numbered: Iterable[rows.Row], config: PredictionConfig,
           tasks: Mapping[str, AdapterInfo],
           refuse: rows.Refuse) -> Iterator[_Item]:
  for line, cells in numbered:
    if config.task_column is None:
      (task,) = tasks
    else:
      task = cells[config.task_column]
    first = cells[config.text_column]
    second = cells.get(config.text_pair_column)
    if not task:
      refuse(line, f"no task in {config.task_column!r}")
    elif task not in tasks:
      refuse(line, f"no task {task!r}; there is {', '.join(tasks)}")
    elif first is None:
      refuse(line, f"no text in {config.text_column!r}")
    elif tasks[task].takes_pairs and second is None:
      refuse(line, f"task {task} is on pairs of texts; there is one only")
    elif tasks[task].takes_pairs is False and second:
      refuse(line, f"task {task} is on single texts; there are two")
    elif second or tasks[task].takes_pairs:
      yield line, task, (_utf8(first), _utf8(second))
    else:
      yield line, task, _utf8(first)


def _utf8(text: str) -> bytes:
  try:
    return text.encode(errors="surrogateescape")
  except UnicodeEncodeError:  # half a character, by its number in JSON
    return text.encode(errors="surrogatepass")


def _chunks(items: Iterator[_Item], size: int) -> Iterator[list[_Item]]:
  while chunk := list(itertools.islice(items, size)):
    yield chunk


def _record(line: int, task: str, info: AdapterInfo, result: Any,
            format: str) -> dict[str, Any]:
  score = scores = None
  words = {}
  if info.problem_type == "tagging":
    words = {"words": [word for word, _ in result]}
    prediction = " ".join(tag for _, (tag, _) in result)
    scores = [_rounded(tags) for _, (_, tags) in result]
  else:
    prediction, scores = result
    if info.problem_type == "regression":
      prediction, scores = float(f"{prediction:.6g}"), None
    elif info.problem_type == "multi_label":
      prediction, scores = ",".join(prediction), _rounded(scores)
    else:
      scores = _rounded(scores)
      score = scores.get(prediction)
  record = {"line": line, "task": task, "prediction": prediction}
  return record | (
      {"scores": scores, **words} if format == "jsonl" else {"score": score})


def _rounded(scores: Mapping[str, float]) -> dict[str, float]:
  return {label: round(score, 6) for label, score in scores.items()}


def _shown(path: str, which: str) -> str:
  return f"standard {which}" if path == STANDARD else path


def _opened(path: str) -> BinaryIO:
  try:
    return open(0, "rb", closefd=False) if path == STANDARD else open(
        path, "rb")
  except OSError as error:
    raise InputError(f"{path}: can not be read: {error.strerror}") from None


def _lines(file: BinaryIO, name: str, bar: tqdm.tqdm) -> Iterator[bytes]:
  try:
    for line in file:
      bar.update(len(line))
      yield line
  except OSError as error:
    raise InputError(f"{name}: can not be read: {error.strerror}") from None


def _progress_bar(file: BinaryIO) -> tqdm.tqdm:
  """Over the bytes of the input; none where standard error is no terminal."""
  status = os.fstat(file.fileno())
  return tqdm.tqdm(
      total=status.st_size if stat.S_ISREG(status.st_mode) else None,
      unit="B", unit_scale=True, disable=None, file=sys.stderr)


def _description(config: PredictionConfig, file: BinaryIO,
                 tasks: Mapping[str, AdapterInfo]) -> dict[str, Any]:
  """What decides over the records, as JSON has it."""
  status = os.fstat(file.fileno())
  return {
      "input": config.input if config.input == STANDARD else os.path.abspath(
          config.input),
      # Of what can be read again only.
      "size and time": [status.st_size, status.st_mtime_ns] if stat.S_ISREG(
          status.st_mode) else None,
      "formats": list(config.formats()),
      "columns": [
          config.text_column, config.text_pair_column, config.task_column],
      "predict_batch_size": config.predict_batch_size,
      # Weights and labels, and the encoder's fingerprint with them.
      "adapters": {name: hashlib.sha256(json.dumps(
          info.to_dict(), sort_keys=True).encode()).hexdigest()
                   for name, info in tasks.items()},
  }


@contextlib.contextmanager
def _output(config: PredictionConfig, description: Mapping[str, Any],
            ) -> Iterator[tuple[BinaryIO, int]]:
  """What records are appended to, and the line of the last one in it, or 0."""
  try:
    if config.output == STANDARD:
      with open(1, "wb", closefd=False) as file:
        yield file, 0
      return
    path = pathlib.Path(config.output)
    if path.exists():
      raise InputError(f"{path}: is there already")
    partial = path.with_name(f"{path.name}.partial")
    about = path.with_name(f"{path.name}.partial.json")
    with open(partial, "a+b") as file:
      last = _take_up(file, partial, about, description)
      yield file, last
      file.flush()
      os.fsync(file.fileno())
      os.replace(partial, path)
      about.unlink()
  except OSError as error:
    raise InputError(
        f"{_shown(config.output, 'output')}: can not be written: "
        f"{error.strerror}") from None


def _take_up(file: BinaryIO, partial: pathlib.Path, about: pathlib.Path,
             description: Mapping[str, Any]) -> int:
  """Leaves whole records of the same run; the line of the last one, or 0."""
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    raise InputError(f"{partial}: another run is writing it") from None
  last, end = _last_record(file)
  if end:
    found = read_json(about) if about.exists() else {}
    different = [key for key, value in description.items()
                 if found.get(key) != value]
    # Without a record there is nothing to lose, if it is a run's at all.
    if different and (last or not found):
      raise InputError(
          f"{partial}: is of a run with another {different[0]}: delete it, or "
          "choose another output")
  if description["size and time"] is None:
    last = 0  # a pipe can not be read again
  file.truncate(end if last else 0)
  write_file(about, json.dumps(description, indent=2) + "\n")
  if last:
    print(f"{partial}: goes on behind line {last:,} of the input",
          file=sys.stderr)
  return last


def _last_record(file: BinaryIO) -> tuple[int, int]:
  """The line of the last whole record, or 0; where that record ends."""
  last = end = 0
  file.seek(0)
  for record in file:
    if record.endswith(b"\n"):
      end += len(record)
      number = re.match(rb'(?:\{"line": )?(\d+)', record)
      last = int(number[1]) if number else last
  return last, end
