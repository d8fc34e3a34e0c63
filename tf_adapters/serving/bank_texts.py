"""Reads a request to a bank: texts and their tasks, in any container."""

import dataclasses
import enum
import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.data.given_texts import list_of
from tf_adapters.errors import InputError, listed

BASE = "base"  # the name of the encoder without a task


class EveryTask(enum.Enum):
  """The default of `tasks`: every task. None is the encoder alone."""

  EVERY_TASK = "every task"


EVERY_TASK = EveryTask.EVERY_TASK

Text = str | bytes | tuple[str | bytes, str | bytes]
Texts = Iterable[Text]
Tasks = str | Iterable[str | None] | None


def only_task(names: Sequence[str]) -> str:
  """Returns the task of texts for which none is given, where there is only one.

  Raises:
    InputError: there are several or none.
  """
  if len(names) == 1:
    return names[0]
  raise InputError(
      f"tasks has to say which of {listed(names)} each text is for" if names
      else "the bank has no task: add one, or say tasks=\"base\" for "
      "embeddings")


def asked_of(tasks: Tasks) -> list[str]:
  """Returns the tasks that are named, each once; the encoder alone is none."""
  names = [tasks] if tasks is None or isinstance(tasks, str) else tasks
  return [name for name in dict.fromkeys(
      name for name in names if isinstance(name, str)) if name != BASE]


class RowError(InputError):
  """Something is wrong with one of the texts.

  Attributes:
    row: its number, from 0.
    reason: what is wrong.
  """

  def __init__(self, row: int, reason: str):
    super().__init__(f"text {row}: {reason}")
    self.row = row
    self.reason = reason


class OutOfMemory(InputError):
  """A text for which there is not enough memory at this moment."""


@dataclasses.dataclass(frozen=True)
class Row:
  """One text, and the task that it is for.

  Attributes:
    first, second: UTF-8.
    is_pair: whether the second text is one.
    task: the task's number; 0 for the encoder alone.
    name: what the task is called.
    info: the task's; None for the encoder alone.
    max_length: longest sequence, in wordpieces.
  """

  first: bytes
  second: bytes
  is_pair: bool
  task: int
  name: str
  info: AdapterInfo | None
  max_length: int

  @property
  def outputs(self) -> str:
    """The kind of its task's outputs; "" for the encoder alone."""
    return self.info.problem.outputs if self.info else ""


def make_rows(texts: Texts, tasks: Tasks,
              find: Callable[[str], tuple[int, AdapterInfo]],
              max_length: int) -> list[Row]:
  """Makes the rows of texts and their tasks.

  Args:
    texts, tasks: as for `AdapterBank.predict`.
    find: number and information of a task; raises InputError for none.
    max_length: where a task does not say its own.

  Raises:
    InputError: they are not lists of the same length, or `find` raises.
    RowError: a text is none, or a pair where none is expected or the other way
      round.
  """
  texts = list_of(texts)
  if tasks is None or isinstance(tasks, str):
    tasks = [tasks] * len(texts)
  tasks = list_of(tasks, "tasks")
  if len(tasks) != len(texts):
    raise InputError(f"{len(texts)} texts, but {len(tasks)} tasks")
  found: dict[str | None, tuple[int, str, AdapterInfo | None]] = {
      None: (0, BASE, None), BASE: (0, BASE, None)}
  rows = []
  for row, (text, name) in enumerate(zip(texts, tasks)):
    if not isinstance(name, str | None):
      raise RowError(row, f"expected the name of a task, not {name!r:.40}")
    if name is not None and name not in found:
      number, info = find(name)
      found[name] = number, name, info
    rows.append(_row(row, text, *found[name], max_length))
  return rows


def frame_of(columns: Mapping[str, list[Any]], index: Any) -> Any:
  """Makes a DataFrame; the columns as they are where there is no pandas.

  Args:
    columns: task -> a prediction for each text.
    index: of the Series that the texts came in; what is none does not count.
  """
  try:
    pandas = importlib.import_module("pandas")
  except ImportError:
    return columns
  return pandas.DataFrame(
      columns, index=index if isinstance(index, pandas.Index) else None)


def _row(row: int, text: Any, task: int, name: str, info: AdapterInfo | None,
         max_length: int) -> Row:
  is_pair = isinstance(text, tuple | list)
  parts = text if is_pair else [text]
  if len(parts) != 1 + is_pair or not all(
      isinstance(part, str | bytes) for part in parts):
    raise RowError(row, "expected a string or a pair of them, not "
                   f"{text!r:.40}")
  if info is not None and info.takes_pairs not in (None, is_pair):
    raise RowError(
        row, f"task {name} is on "
        + ("pairs of texts: give (first, second)" if info.takes_pairs
           else "single texts, not pairs"))
  first, second = text if is_pair else (text, b"")
  return Row(_utf8(first), _utf8(second), is_pair, task, name, info,
             (info and info.max_length) or max_length)


def _utf8(text: str | bytes) -> bytes:
  # Lone surrogates become bytes that are no character, and then [UNK].
  return text if isinstance(text, bytes) else text.encode(
      errors="surrogatepass")
