"""The parts of an `AdapterBank` that a server needs."""

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.errors import InputError
from tf_adapters.problems.prediction import Prediction

if TYPE_CHECKING:
  from tf_adapters.serving.bank_texts import Row
  from tf_adapters.serving.tokenized_rows import TokenizedRow

# Of a text: what is predicted, or what is wrong with it.
Result = Prediction[Any, Any] | InputError


class Residency(Protocol):
  """The parts of a `Residency` that a server needs."""

  loads: int
  evictions: int
  load_seconds: float

  def names(self) -> list[str]:
    """Returns the tasks in memory."""

  @property
  def room(self) -> int:
    """Number of tasks that a call can need."""

  def has(self, names: Iterable[str]) -> bool:
    """Returns whether all of these are in memory."""

  def using_resident(
      self, names: Sequence[str],
      had_turn: bool = False) -> contextlib.AbstractContextManager[bool]:
    """Keeps tasks in memory that are there already; waits for nobody.

    Args:
      names: of the tasks.
      had_turn: whether the call has waited for its turn.

    Yields:
      Whether all of them are, and no other call waits that was before this one.
    """

  def using(self, names: Iterable[str],
            is_wanted: Callable[[], bool] | None = None) -> (
      contextlib.AbstractContextManager[Mapping[str, InputError]]):
    """Has tasks in memory, and keeps them there in its block.

    Args:
      names: of the tasks.
      is_wanted: whether a call still has to wait for its turn; None for one
        that need not.

    Yields:
      {name: reason} of those that cannot be loaded.
    """

  def wake(self) -> None:
    """Has calls that wait for their turn asked whether they still have to."""


class Bank(Protocol):
  """The parts of an `AdapterBank` that a server needs."""

  @property
  def source(self) -> str:
    """The encoder's."""

  @property
  def widths(self) -> Sequence[int]:
    """The lengths that batches are padded to, in order."""

  @property
  def store(self) -> str | os.PathLike[str] | None:
    """The folder whose tasks are loaded when they are needed, if there is one.
    """

  @property
  def residency(self) -> Residency | None:
    """The counts of tasks in memory, where there is a store."""

  def __contains__(self, name: object) -> bool:
    """Returns whether there is such a task, in memory or not."""

  def names(self) -> list[str]:
    """Returns the tasks."""

  def info(self, name: str) -> AdapterInfo:
    """Reads what a task's file says; raises InputError for none."""

  def rows(self, texts: Sequence[Any],
           tasks: Sequence[str | None]) -> list["Row"]:
    """Pairs texts with tasks, and checks them."""

  def tokenize(self, rows: list["Row"],
               cut: bool = True) -> list["TokenizedRow"]:
    """Makes wordpieces of rows."""

  def predict_rows(self, rows: list["TokenizedRow"],
                   batch_size: int) -> list[Result]:
    """Predicts each row, or says what is wrong with it."""

  def add(self, path: str | os.PathLike[str],
          name: str | None = None) -> str:
    """Takes a task in."""

  def replace(self, name: str, path: str | os.PathLike[str]) -> None:
    """Puts another file into the place of a task's."""

  def remove(self, name: str) -> None:
    """Takes a task out."""
