"""Assigns rows of tables to tasks, and keeps those that are free.

What lies in the rows is the business of `modeling.stacked`. No TensorFlow is
needed.
"""

import collections
import itertools
import weakref


class FreeRows:
  """The numbers of rows that no task has, from 1; there is no end to them.

  Threads may take and give back at the same time. Row 0 belongs to all tasks
  without arrays of their own.
  """

  def __init__(self) -> None:
    self._given_back: collections.deque[int] = collections.deque()
    self._unused = itertools.count(1)

  def take(self) -> int:
    """Takes a row: one that was given back, if there is one."""
    try:
      return self._given_back.popleft()
    except IndexError:
      return next(self._unused)

  def give_back(self, row: int) -> None:
    """Makes a row free again."""
    self._given_back.append(row)


class Slots:
  """The rows of one task, which are its own as long as this object lives.

  Whoever computes with a task holds its slots. So a row is free again when the
  task is gone and the last computation with it has ended, whether by a result
  or by an error, and nobody has to count.

  Example:
    >>> free = FreeRows()
    >>> slots = Slots()
    >>> slots.take(free)
    1
    >>> del slots
    >>> Slots().take(free)
    1
  """

  __slots__ = ("__weakref__", "_taken")

  def __init__(self) -> None:
    self._taken: list[tuple[FreeRows, int]] = []
    weakref.finalize(self, _give_back, self._taken).atexit = False

  def take(self, free: FreeRows) -> int:
    """Takes a row for the task."""
    row = free.take()
    self._taken.append((free, row))
    return row


def _give_back(taken: list[tuple[FreeRows, int]]) -> None:
  for free, row in taken:
    free.give_back(row)
