"""The task and the text of each row that is to be predicted."""

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.data.bad_rows import NO_STRING, NO_TEXT, BadRows
from tf_adapters.data.frame_cells import items_of, words_of
from tf_adapters.data.labels import is_list
from tf_adapters.data.rows import Cell
from tf_adapters.serving.bank_texts import Text
from tf_adapters.serving.prediction_config import PredictionConfig

# What is wrong with rows that cannot be predicted.
_UNKNOWN_TASK = "of an unknown task"
_NO_SECOND_TEXT = "without a second text"
_SECOND_TEXT = "with a second text"


@dataclasses.dataclass(frozen=True)
class PredictionRow:
  """A row that is to be predicted.

  Attributes:
    line: its line in the input.
    task: the name of its task.
    text: its text or pair of texts, in UTF-8; None where a cell is empty: such
      a row has no prediction.
    cells: all of its cells, by column.
  """

  line: int
  task: str
  text: Text | None
  cells: Mapping[str, Any]


class RowsWithoutText:
  """The rows of one input that have no text, and so no prediction.

  Args:
    name: what to call the input.
  """

  def __init__(self, name: str):
    self._name = os.path.basename(name)
    self._count, self._first = 0, 0

  def add(self, rows: Sequence[PredictionRow]) -> None:
    """Counts those of some rows."""
    without = [row.line for row in rows if row.text is None]
    if without and not self._count:
      self._first = without[0]
    self._count += len(without)

  def note(self) -> str:
    """Returns the number of them in words, or "" if there was none."""
    if not self._count:
      return ""
    have = "1 row has" if self._count == 1 else f"{self._count:,} rows have"
    return (f"{have} no text, and so no prediction (first: {self._name}:"
            f"{self._first})")


def prediction_rows(
    numbered: Iterable[tuple[int, Mapping[str, Cell], Mapping[str, Any]]],
    config: PredictionConfig, tasks: Mapping[str, AdapterInfo],
    bad_rows: BadRows) -> Iterator[PredictionRow]:
  """Yields the rows that can be predicted, or have no text.

  Args:
    numbered: line, wanted cells and all cells of each row.
    config: says which cells are what.
    tasks: what the adapter files say of each task.
    bad_rows: takes the others.

  Raises:
    InputError: a row is bad, and none may be left out.
  """
  for line, cells, whole in numbered:
    if config.task_column is None:
      (task,) = tasks
    else:
      task = _string(cells.get(config.task_column)) or ""
    if task not in tasks:
      bad_rows.refuse(line, _UNKNOWN_TASK, (
          f"no task {task!r}; there is {', '.join(tasks)}" if task
          else f"no task in {config.task_column!r}"))
    elif fault := _fault(cells, config, task, tasks[task]):
      bad_rows.refuse(line, *fault)
    else:
      yield PredictionRow(
          line, task, _text(cells, config, tasks[task]), whole)


def _fault(cells: Mapping[str, Cell], config: PredictionConfig, task: str,
           info: AdapterInfo) -> tuple[str, str, str | None] | None:
  """Finds the fault of a row: as `BadRows.refuse` takes it; None for none."""
  column, pair_column = config.text_column, config.text_pair_column
  if column not in cells:  # it may as well be a wrong name
    return (NO_TEXT, f"no {column!r}",
            "text_column names the column of the texts; a row without a text "
            "has null there")
  if _string(cells[column] or "", _of_words(info)) is None:
    return (NO_STRING,
            f"expected a string in {column!r}: a list of words, without blanks "
            "in them, is for tagging", None)
  if info.takes_pairs is False:
    if _string(cells.get(pair_column or "")):
      return (_SECOND_TEXT,
              f"task {task} is on single texts; there are two", None)
  elif pair_column is None and info.takes_pairs:
    return (_NO_SECOND_TEXT,
            f"task {task} is on pairs of texts; there is one only",
            "text_pair_column names the column of the others")
  elif pair_column is not None and pair_column not in cells:
    # It may as well be a wrong name for the column.
    return (_NO_SECOND_TEXT,
            f"task {task} is on pairs of texts; there is one only"
            if info.takes_pairs else f"no {pair_column!r}: a row that is no "
            "pair has null there", None)
  return None


def _text(cells: Mapping[str, Cell], config: PredictionConfig,
          info: AdapterInfo) -> Text | None:
  """Returns the text of a row without a fault; None where a cell is empty."""
  first = _string(cells[config.text_column] or "", _of_words(info))
  assert first is not None  # that would be a fault
  second = _string(cells.get(config.text_pair_column or "")) or ""
  if not first.strip():
    return None
  if info.takes_pairs and not second.strip() and (
      # A context may be empty: it has no answers.
      info.problem.outputs != "windows"):
    return None
  if second or info.takes_pairs:
    return _utf8(first), _utf8(second)
  return _utf8(first)


def _of_words(info: AdapterInfo) -> bool:
  return info.problem.outputs == "words"


def _string(cell: Cell, of_words: bool = False) -> str | None:
  """Returns a cell's text; words have blanks between them.

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
      isinstance(word, str) and words_of(word) == [word] for word in words)
  return " ".join(words) if is_fine else None


def _utf8(text: str) -> bytes:
  try:
    return text.encode(errors="surrogateescape")
  except UnicodeEncodeError:  # half a character, by its number in JSON
    return text.encode(errors="surrogatepass")
