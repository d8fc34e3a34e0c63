"""Predicts a file's rows with a bank, into a file that is never half.

Reads, predicts and writes some hundred rows at a time, and goes on where a run
was stopped. Formats are `data.rows`' business; what a row's task makes of it is
the bank's; what is there already, that of `prediction_output`.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.data import rows
from tf_adapters.data.bad_rows import NO_TEXT, BadRows
from tf_adapters.data.encodings import AUTO_ENCODING, UTF_8, check_encoding
from tf_adapters.data.frame_tasks import items_of
from tf_adapters.data.labels import is_list
from tf_adapters.data.tables import check_delimiter
from tf_adapters.errors import InputError, say
from tf_adapters.files.writing import writing
from tf_adapters.problems.prediction import Prediction
from tf_adapters.serving.bank_texts import RowError, Text
from tf_adapters.serving.prediction_input import STANDARD, PredictionInput
from tf_adapters.serving.prediction_output import prediction_output

if TYPE_CHECKING:
  from tf_adapters.serving.bank import AdapterBank

# What is wrong with rows that cannot be predicted.
_UNKNOWN_TASK = "of an unknown task"
_NO_SECOND_TEXT = "without a second text"
_SECOND_TEXT = "with a second text"
_NO_STRING = "with something else than a string"

# Rows that are sorted by length, predicted and written together: more leaves
# less padding, fewer loses less when a run is stopped.
_BATCHES_AT_ONCE = 8
_MOST_BYTES_AT_ONCE = 4_000_000

_TABLE_COLUMNS = ("line", "task", "prediction", "score")
_RECORD_COLUMNS = {*_TABLE_COLUMNS, "scores", "words"}


@dataclasses.dataclass(frozen=True)
class PredictionConfig:
  """Where texts are read, and where predictions are written.

  Attributes:
    input, output: files, or "-" for standard input and output.
    format: of the input, one of `data.rows.FORMATS`; None for what its ending
      says. The output's is what its ending says, or the input's for "-".
    text_column: name of the texts' column.
    text_pair_column: name of the column of each pair's second text, or None.
    task_column: name of the column that says which task a row is for; None
      where the bank has one task only.
    on_bad_row: "error" stops at a row that cannot be predicted, "skip" leaves
      such rows out and counts them; see `BadRows`.
    predict_batch_size: texts per forward pass.
    encoding: of the input, see `data.encodings.decoded`; `AUTO_ENCODING` to
      find it.
    delimiter: what stands between the cells of a table; None to find it.
    keep_columns: whether a record has the input's columns, too.
    overwrite: whether to write over an output that is there.

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
  encoding: str = UTF_8
  delimiter: str | None = None
  keep_columns: bool = False
  overwrite: bool = False

  def __post_init__(self) -> None:
    if self.input == STANDARD and self.format is None:
      raise InputError(
          "format must be given for standard input: tsv or csv, whose first "
          "line names the columns, or jsonl")
    if self.format not in (None, *rows.FORMATS):
      raise InputError(f"format must be one of {', '.join(rows.FORMATS)}, not "
                       f"{self.format!r}")
    if self.predict_batch_size < 1:
      raise InputError("predict_batch_size must be positive, not "
                       f"{self.predict_batch_size}")
    if len(set(self.columns())) < len(self.columns()):
      raise InputError("text_column, text_pair_column and task_column must "
                       "differ")
    BadRows(self.input, self.on_bad_row)  # raises
    if self.encoding != AUTO_ENCODING:
      check_encoding(self.encoding)
    check_delimiter(self.delimiter)
    if self.format is None and os.path.isdir(self.input):
      raise InputError(f"{self.input}: is a folder: give one of its files")
    self.formats()

  def formats(self) -> tuple[str, str]:
    """The formats of the input and the output."""
    read = self.format or rows.format_of(self.input, rows.INPUT_ENDINGS)
    return read, (
        read if self.output == STANDARD else rows.format_of(self.output))

  def columns(self) -> list[str]:
    """The input's columns that are read."""
    return [column for column in (
        self.text_column, self.text_pair_column, self.task_column)
            if column is not None]


def check(config: PredictionConfig, tasks: Mapping[str, AdapterInfo]) -> None:
  """Finds what is wrong before a bank has to be loaded.

  Args:
    config: what to read and to write.
    tasks: what the adapter files say of each task.

  Raises:
    InputError: there are several tasks but no task_column, the output is there
      already, or the input cannot be read, lacks a column or begins with a bad
      row. Of a pipe nothing is read.
  """
  if config.task_column is None and len(tasks) != 1:
    raise InputError(
        f"there are {len(tasks)} tasks ({', '.join(tasks)}): task_column has "
        "to say which one a row is for")
  if config.output != STANDARD:
    if config.input != STANDARD and os.path.realpath(
        config.input) == os.path.realpath(config.output):
      raise InputError(f"{config.output}: is the input, too: choose another "
                       "output")
    if os.path.exists(config.output) and not config.overwrite:
      raise InputError(f"{config.output}: is there already: choose another "
                       "output, or --overwrite this one")
    if os.path.isdir(config.output):
      raise InputError(f"{config.output}: is a folder: choose another output")
    parent = pathlib.Path(config.output).parent
    with writing(config.output):
      if not parent.exists():
        raise InputError(
            f"{config.output}: cannot be written: No such file or directory: "
            f"make the folder {parent}, or choose another output")
  if config.input != STANDARD and not pathlib.Path(config.input).is_fifo():
    bad_rows = BadRows(config.input, config.on_bad_row)
    with _input(config) as source:
      next(_items(_rows(config, source, bad_rows).rows, config, tasks,
                  bad_rows), None)


def predict_file(bank: "AdapterBank", config: PredictionConfig) -> None:
  """Predicts every row of a file.

  Records are in the order of the rows: "line" (where the row begins in the
  input, from 1), "task", "prediction" (a label; labels with commas between
  them; tags with blanks between them; a number; an answer), and in JSON lines
  "scores": {label or answer: probability}, a list of such for the "words" of a
  tagging task, null for numbers. TSV and CSV have "score" instead, the
  probability of a single label or answer. Probabilities have six decimals,
  numbers six digits. Several labels or tags are one text: see `data.cells`.

  With `keep_columns` the input's columns come behind these, of JSON lines those
  that the first line has where a table is written. One that has the name of a
  record's column is called "input_..." there; the task's column, which would
  stand there twice, is left out.

  A second text that is empty is none, unless the row's task is on pairs.

  The output grows as OUTPUT.partial and is renamed when it is whole.
  OUTPUT.partial.json says which run it is of, and the sha256 of the input so
  far: the same run again goes on behind the last record, unless it reads a
  pipe. What follows in the input may be another then: a bad row was mended.

  Args:
    bank: the tasks.
    config: what to read and to write.

  Raises:
    InputError: see `check`; the partial output is of another run or none; or
      there is a bad row.
  """
  tasks = {name: bank.info(name) for name in bank.names()}
  check(config, tasks)
  written = config.formats()[1]
  count, start = 0, time.monotonic()
  with contextlib.ExitStack() as stack:
    source = _input(config, progress=True)
    bad_rows = BadRows(source.name, config.on_bad_row)
    stack.callback(_say, bad_rows)  # what was left out, however this ends
    whole = _rows(config, stack.enter_context(source), bad_rows)
    for note in filter(None, (source.note, whole.note)):
      say(f"data: {note}", error=True)
    kept = _kept(config, whole.names)
    output = stack.enter_context(prediction_output(
        config.output, rows.write_header(
            written, [*_TABLE_COLUMNS, *kept.values()]),
        _description(config, tasks, list(kept), source.encoding), source,
        config.overwrite))
    # The same rows together in every run: sums of floats depend on it.
    for chunk in _chunks(_items(whole.rows, config, tasks, bad_rows),
                         _BATCHES_AT_ONCE * config.predict_batch_size):
      if chunk[-1][0] <= output.last:
        continue
      numbers, names, texts, cells = zip(*chunk)
      results = bank.stream_predictions(
          texts, names, config.predict_batch_size)
      records, size = [], 0
      for line, task, row in zip(numbers, names, cells):
        record = _record(
            line, task, tasks[task], _next(results, source.name, line), written)
        if written == "jsonl" and config.keep_columns:
          kept = _kept(config, list(row))
        record |= {name: row.get(column) for column, name in kept.items()}
        if line > output.last:
          records.append(rows.write_row(written, record))
          size += len(records[-1])
        # Of many labels a record is long: not all are held at once.
        if size > _MOST_BYTES_AT_ONCE or line == numbers[-1]:
          output.append(b"".join(records), line)
          count += len(records)
          records, size = [], 0
  print(f"{count:,} rows, {count / (time.monotonic() - start):.1f} a second",
        file=sys.stderr)


def _next(results: Iterator[Prediction[Any, Any]], name: str,
          line: int) -> Prediction[Any, Any]:
  """The next result; what is wrong with its row names its line."""
  try:
    return next(results)
  except RowError as error:
    raise InputError(f"{name}:{line}: {error.reason}") from None


def _say(bad_rows: BadRows) -> None:
  if bad_rows.count:
    say(bad_rows.note(), error=True)


_WholeRow = tuple[int, Mapping[str, rows.Cell], Mapping[str, Any]]
# Line, task and text of a row, and all of its cells.
_Item = tuple[int, str, Text, Mapping[str, Any]]


def _input(config: PredictionConfig,
           progress: bool = False) -> PredictionInput:
  return PredictionInput(
      config.input, progress, config.encoding, config.formats()[0])


def _rows(config: PredictionConfig, source: PredictionInput,
          bad_rows: BadRows) -> rows.WholeRows:
  return rows.read_whole_rows(
      source, source.name, config.formats()[0], config.columns(), bad_rows,
      source.encoding, check_delimiter(config.delimiter), word_lists=True)


def _kept(config: PredictionConfig, names: Sequence[str]) -> dict[str, str]:
  """The input's columns that a record has, and what they are called there."""
  if not config.keep_columns:
    return {}
  names = [name for name in names if name.lower() != (
      config.task_column or "").lower() or name.lower() != "task"]
  taken = {*map(str.lower, names)}
  kept = {}
  for name in names:
    kept[name] = name
    while kept[name].lower() in _RECORD_COLUMNS or (
        kept[name] != name and kept[name].lower() in taken):
      kept[name] = f"input_{kept[name]}"
  return kept


def _items(numbered: Iterable[_WholeRow], config: PredictionConfig,
           tasks: Mapping[str, AdapterInfo],
           bad_rows: BadRows) -> Iterator[_Item]:
  for line, cells, whole in numbered:
    if config.task_column is None:
      (task,) = tasks
    else:
      task = _string(cells.get(config.task_column)) or ""
    if task not in tasks:
      bad_rows.refuse(line, _UNKNOWN_TASK, (
          f"no task {task!r}; there is {', '.join(tasks)}" if task
          else f"no task in {config.task_column!r}"))
      continue
    first = _string(cells.get(config.text_column) or "",
                    tasks[task].problem.outputs == "words")
    second = _string(cells.get(config.text_pair_column or ""))
    if first is None:
      bad_rows.refuse(line, _NO_STRING, (
          f"expected a string in {config.text_column!r}: a list of words, "
          "without blanks in them, is for tagging"))
      continue
    takes_pairs = tasks[task].takes_pairs
    # A context may be empty: it has no answers.
    empty = second is None or (
        not second.strip()
        and tasks[task].problem.outputs != "windows")
    if not first.strip():
      bad_rows.refuse(line, NO_TEXT, f"no text in {config.text_column!r}")
    elif takes_pairs and empty:
      bad_rows.refuse(
          line, _NO_SECOND_TEXT,
          f"task {task} is on pairs of texts; there is one only",
          "text_pair_column names the column of the others"
          if config.text_pair_column is None else None)
    elif takes_pairs is False and second:
      bad_rows.refuse(line, _SECOND_TEXT,
                      f"task {task} is on single texts; there are two")
    elif takes_pairs is None and (
        config.text_pair_column is not None
        and config.text_pair_column not in cells):
      # It may as well be a wrong name for the column.
      bad_rows.refuse(
          line, _NO_SECOND_TEXT, f"no {config.text_pair_column!r}: a row that "
          "is no pair has null there")
    elif second or takes_pairs:
      yield line, task, (_utf8(first), _utf8(second or "")), whole
    else:
      yield line, task, _utf8(first), whole


def _string(cell: rows.Cell, of_words: bool = False) -> str | None:
  """A cell's text; words have blanks between them.

  Args:
    cell: the cell.
    of_words: whether its task is on words, which may be a list.

  Returns:
    The text; None where there is none, or a list that is of no use.
  """
  words = cell
  if of_words and isinstance(cell, str) and is_list(cell.strip()):
    words = items_of(cell)
  if not isinstance(words, list):
    return words
  is_fine = of_words and all(
      isinstance(word, str) and word.split() == [word] for word in words)
  return " ".join(words) if is_fine else None


def _utf8(text: str) -> bytes:
  try:
    return text.encode(errors="surrogateescape")
  except UnicodeEncodeError:  # half a character, by its number in JSON
    return text.encode(errors="surrogatepass")


def _chunks(items: Iterator[_Item], size: int) -> Iterator[list[_Item]]:
  while chunk := list(itertools.islice(items, size)):
    yield chunk


def _record(line: int, task: str, info: AdapterInfo,
            prediction: Prediction[Any, Any], format: str) -> dict[str, Any]:
  problem = info.problem
  cells = problem.json_cells if format == "jsonl" else problem.table_cells
  return {"line": line, "task": task, **cells(prediction)}


def _description(config: PredictionConfig, tasks: Mapping[str, AdapterInfo],
                 kept: Sequence[str], encoding: str) -> dict[str, Any]:
  """Describes all that decides over the records beside the input, as JSON."""
  return {
      "input": config.input if config.input == STANDARD else os.path.abspath(
          config.input),
      "formats": [*config.formats(), *filter(None, [config.delimiter])],
      "columns": [
          config.text_column, config.text_pair_column, config.task_column],
      "kept columns": kept,
      "predict_batch_size": config.predict_batch_size,
      "encoding": encoding,
      # Weights and labels, and the encoder's fingerprint with them.
      "adapters": {name: hashlib.sha256(json.dumps(
          info.to_dict(), sort_keys=True).encode()).hexdigest()
                   for name, info in tasks.items()},
  }
