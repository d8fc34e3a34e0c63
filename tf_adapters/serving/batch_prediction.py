"""Predicts a file's rows with a bank, into a file that is never half.

Reads, predicts and writes some hundred rows at a time, and goes on where a run
was stopped. Formats are `data.rows`' business; what a row's task makes of it is
the bank's; what is there already, that of `prediction_output`.
"""

import contextlib
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
from tf_adapters.data.bad_rows import BadRows
from tf_adapters.data.cell_rows import check_delimiter
from tf_adapters.data.tables import places_of
from tf_adapters.errors import InputError, say
from tf_adapters.files.writing import writing
from tf_adapters.problems.prediction import Prediction
from tf_adapters.serving.bank_texts import RowError
from tf_adapters.serving.prediction_config import PredictionConfig
from tf_adapters.serving.prediction_input import STANDARD, PredictionInput
from tf_adapters.serving.prediction_output import (
    PredictionOutput,
    prediction_output,
)
from tf_adapters.serving.prediction_rows import (
    PredictionRow,
    RowsWithoutText,
    prediction_rows,
)

if TYPE_CHECKING:
  from tf_adapters.serving.bank import AdapterBank

# Rows that are sorted by length, predicted and written together: more leaves
# less padding, fewer loses less when a run is stopped.
_BATCHES_AT_ONCE = 8
_MOST_BYTES_AT_ONCE = 4_000_000

_TABLE_COLUMNS = ("line", "task", "prediction", "score")
_RECORD_COLUMNS = {*_TABLE_COLUMNS, "scores", "words"}


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
  if config.input != STANDARD and not pathlib.Path(config.input).is_fifo():
    bad_rows = BadRows(config.input, config.on_bad_row)
    with _input(config) as source:
      next(prediction_rows(_rows(config, source, bad_rows).rows, config, tasks,
                           bad_rows), None)
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

  A row without a text, or of a task on pairs without one of the two, has no
  prediction: an empty cell, null in JSON lines. A line on standard error counts
  such rows. A second text that is empty is none for tasks on either.

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
        _description(config, tasks, list(kept), source.encoding, bank.dtype),
        source, config.overwrite))
    without_text = RowsWithoutText(source.name)
    stack.callback(_say, without_text)
    # The same rows together in every run: sums of floats depend on it.
    for chunk in _chunks(prediction_rows(whole.rows, config, tasks, bad_rows),
                         _BATCHES_AT_ONCE * config.predict_batch_size):
      without_text.add(chunk)
      if chunk[-1].line > output.last:
        records = _records(
            chunk, _predictions(bank, chunk, config, source.name), tasks,
            written, None if written == "jsonl" else kept, config)
        count += _append(output, zip(chunk, records))
  print(f"{count:,} rows, {count / (time.monotonic() - start):.1f} a second",
        file=sys.stderr)


def _predictions(
    bank: "AdapterBank", chunk: Sequence[PredictionRow],
    config: PredictionConfig, name: str,
) -> Iterator[Prediction[Any, Any] | None]:
  """Yields what is predicted of each row; None where it has no text.

  Raises:
    InputError: something is wrong with a row; names its line.
  """
  texts = [row.text for row in chunk if row.text is not None]
  names = [row.task for row in chunk if row.text is not None]
  found = bank.stream_predictions(texts, names, config.predict_batch_size)
  for row in chunk:
    try:
      prediction = None if row.text is None else next(found)
    except RowError as error:
      raise InputError(f"{name}:{row.line}: {error.reason}") from None
    yield prediction


def _records(
    chunk: Iterable[PredictionRow],
    predictions: Iterable[Prediction[Any, Any] | None],
    tasks: Mapping[str, AdapterInfo], format: str,
    kept: Mapping[str, str] | None, config: PredictionConfig,
) -> Iterator[bytes]:
  """Yields the record of each row, as it is written.

  Args:
    chunk: the rows.
    predictions: of each.
    tasks: what the adapter files say of each task.
    format: of the records.
    kept: the input's columns that records have, and what they are called
      there; None where each row has its own.
    config: says which columns a row keeps.
  """
  for row, prediction in zip(chunk, predictions):
    problem = tasks[row.task].problem
    if prediction is None:
      names = ["prediction", "scores" if format == "jsonl" else "score"]
      if format == "jsonl" and problem.outputs == "words":
        names.append("words")
      cells: dict[str, Any] = dict.fromkeys(names)
    elif format == "jsonl":
      cells = problem.json_cells(prediction)
    else:
      cells = problem.table_cells(prediction)
    names_of = _kept(config, list(row.cells)) if kept is None else kept
    yield rows.write_row(format, {
        "line": row.line, "task": row.task, **cells,
        **{name: row.cells.get(column) for column, name in names_of.items()}})


def _append(output: PredictionOutput,
            written: Iterable[tuple[PredictionRow, bytes]]) -> int:
  """Appends the records that are not there yet; returns how many."""
  count, size = 0, 0
  records: list[bytes] = []
  last = output.last
  for row, record in written:
    if row.line <= output.last:
      continue
    records.append(record)
    count, size, last = count + 1, size + len(record), row.line
    # Of many labels a record is long: not all are held at once.
    if size > _MOST_BYTES_AT_ONCE:
      output.append(b"".join(records), last)
      records, size = [], 0
  if records:
    output.append(b"".join(records), last)
  return count


def _say(counted: BadRows | RowsWithoutText) -> None:
  if note := counted.note():
    say(note, error=True)


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
  """Returns the input's columns of a record, and what they are called there."""
  if not config.keep_columns:
    return {}
  tasks = [names[place] for place in places_of(
      names, config.task_column or "")]
  names = [name for name in names
           if name not in tasks or name.lower() != "task"]
  taken = {*map(str.lower, names)}
  kept = {}
  for name in names:
    kept[name] = name
    while kept[name].lower() in _RECORD_COLUMNS or (
        kept[name] != name and kept[name].lower() in taken):
      kept[name] = f"input_{kept[name]}"
  return kept


def _chunks(items: Iterator[PredictionRow],
            size: int) -> Iterator[list[PredictionRow]]:
  while chunk := list(itertools.islice(items, size)):
    yield chunk


def _description(config: PredictionConfig, tasks: Mapping[str, AdapterInfo],
                 kept: Sequence[str], encoding: str,
                 dtype: str) -> dict[str, Any]:
  """Describes all that decides over the records beside the input, as JSON."""
  return {
      "input": config.input if config.input == STANDARD else os.path.abspath(
          config.input),
      "formats": [*config.formats(), *filter(None, [config.delimiter])],
      "columns": [
          config.text_column, config.text_pair_column, config.task_column],
      "kept columns": kept,
      "predict_batch_size": config.predict_batch_size,
      "dtype": dtype,
      "encoding": encoding,
      # Weights and labels, and the encoder's fingerprint with them.
      "adapters": {name: hashlib.sha256(json.dumps(
          info.to_dict(), sort_keys=True).encode()).hexdigest()
                   for name, info in tasks.items()},
  }
