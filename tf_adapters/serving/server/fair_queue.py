"""An order in which every task gets its share, and how much of a queue it may
take.

The order is that of start-time fair queueing (Goyal, Vin and Cheng, 1996):
rows of a task follow each other at the distance of their cost, and a task that
has nothing waiting begins at the row that is next in turn. So a task with a
thousand rows does not delay one with a single row.
"""

import bisect
import collections
import dataclasses
import itertools
from collections.abc import Container, Iterable, Mapping
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclasses.dataclass(order=True, frozen=True, slots=True)
class _Entry(Generic[Item]):
  """A row's place: its start, and the order of arrival among the same."""

  start: float
  number: int
  item: Item = dataclasses.field(compare=False)


class FairQueue(Generic[Item]):
  """Items of many tasks, in the order in which they are in turn.

  Example:
    >>> queue = FairQueue()
    >>> for item in ("a1", "a2", "a3"):
    ...   queue.put("a", item, cost=10)
    >>> queue.put("b", "b1", cost=10)
    >>> queue.first(3)
    ['a1', 'b1', 'a2']
  """

  def __init__(self) -> None:
    self._entries: list[_Entry[Item]] = []
    self._finish: dict[str, float] = {}
    self._now = 0.0
    self._numbers = itertools.count()

  def __len__(self) -> int:
    return len(self._entries)

  def put(self, task: str, item: Item, cost: float) -> None:
    """Adds an item.

    Args:
      task: whose it is.
      item: what is queued.
      cost: how much it takes: wordpieces.
    """
    start = max(self._now, self._finish.get(task, 0.0))
    self._finish[task] = start + cost
    bisect.insort(self._entries, _Entry(start, next(self._numbers), item))

  def first(self, most: int) -> list[Item]:
    """Returns the items that are next in turn; they stay where they are."""
    return [entry.item for entry in self._entries[:most]]

  def take(self, items: Container[Item]) -> None:
    """Removes items that are about to be computed."""
    if self._entries:
      self._now = max(self._now, self._entries[0].start)
    self.drop(items)

  def drop(self, items: Container[Item]) -> None:
    """Removes items that nobody waits for any more."""
    self._entries = [entry for entry in self._entries
                     if entry.item not in items]
    if not self._entries:
      # Nobody is behind or ahead of anybody.
      self._now = 0.0
      self._finish.clear()


class Admission:
  """Counts the rows that were accepted and are not answered yet.

  With a request its task may have as many as were left before it. So one that
  sends more than can be computed gets half of the queue, two get a third each,
  and there is room for another one (dynamic thresholds: Choudhury and Hahne,
  1998).

  Args:
    most: rows of all tasks.

  Attributes:
    rows: how many there are.
  """

  def __init__(self, most: int):
    self.rows = 0
    self._most = most
    self._of_task: dict[str, int] = collections.Counter()

  def of_task(self, task: str) -> int:
    """Returns the number of a task's rows."""
    return self._of_task.get(task, 0)

  def fits(self, wanted: Mapping[str, int]) -> bool:
    """Returns whether there is room for more rows: {task: rows}."""
    left = self._most - self.rows
    return sum(wanted.values()) <= left and all(
        self.of_task(task) + rows <= left for task, rows in wanted.items())

  def enter(self, wanted: Mapping[str, int]) -> None:
    """Counts rows."""
    for task, rows in wanted.items():
      self.rows += rows
      self._of_task[task] = self.of_task(task) + rows

  def leave(self, tasks: Iterable[tuple[str, int]]) -> None:
    """Counts rows no longer: (task, rows) each."""
    for task, rows in tasks:
      self.rows -= rows
      self._of_task[task] -= rows
      if not self._of_task[task]:
        del self._of_task[task]
