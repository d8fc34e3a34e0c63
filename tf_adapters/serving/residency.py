"""Decides which of many tasks are in memory: those that calls come back to.

A task is loaded when a call needs it first. Tasks are names here: how they are
loaded and given up is said by whoever has them. No TensorFlow is needed.
"""

import collections
import contextlib
import sys
import threading
import time
from collections.abc import (
    Callable,
    Container,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)

from tf_adapters.errors import InputError
from tf_adapters.serving.recency import Recency

# Tasks that are loaded together. Who needs one of them waits for all.
_LOADED_TOGETHER = 16


class TooManyError(InputError):
  """More tasks at a time than there can ever be room for."""


class UnwantedError(InputError):
  """Nobody wants what a call has waited for."""


class _Task:
  """A task that is resident, or is to be. Changes under the residency's lock.

  Attributes:
    name: of the task.
    calls: how many need it now.
    is_added: whether it stays when no call needs it.
    is_loaded: whether it is resident.
    is_changing: whether somebody loads it or gives it up: all others wait.
  """

  def __init__(self, name: str):
    self.name = name
    self.calls = 0
    self.is_added = False
    self.is_loaded = False
    self.is_changing = False


class Residency:
  """Keeps the tasks that calls need in memory, and no more than `capacity`.

  Threads may use it at the same time. A call whose tasks are resident waits for
  no load; two that need the same task load it once. Where other calls need so
  many tasks that there is no room, a call waits until they have ended. Which
  task makes room for another one says `Recency`.

  A call can be inside another one, so it has to be let in when there is room
  for its tasks. Calls of a server are not, and wait for their turn: or those of
  many tasks would never come, as long as others follow one another.

  Args:
    capacity: the most tasks; None for any number.
    load: makes tasks resident, and returns {name: reason} of those that cannot
      be.
    evict: gives up tasks that no call needs.

  Attributes:
    loads, evictions: how many there have been.
    load_seconds: how long all loads have taken.

  Example:
    >>> residency = Residency(256, load, evict)
    >>> with residency.using(["sst2", "mrpc"]) as wrong:
    ...   predict()
  """

  def __init__(self, capacity: int | None,
               load: Callable[[Sequence[str]], Mapping[str, InputError]],
               evict: Callable[[Sequence[str]], None]):
    self._capacity = sys.maxsize if capacity is None else capacity
    self._load = load
    self._evict = evict
    # Held for a moment, and never while something is loaded or evicted. It
    # guards all that follows.
    self._changed = threading.Condition()
    # Those that are resident or are to be, and the order in which they go.
    self._tasks: dict[str, _Task] = {}
    self._order = Recency(self._capacity)
    # Of these, the ones that calls need or that were added.
    self._needed: set[str] = set()
    self._added: set[str] = set()
    # Calls that wait for their turn.
    self._turns: collections.deque[object] = collections.deque()
    self.loads = 0
    self.evictions = 0
    self.load_seconds = 0.0

  @property
  def room(self) -> int:
    """Number of tasks that a call can need, beside those that were added."""
    return self._capacity - len(self._added)

  def names(self) -> list[str]:
    """Lists the resident tasks, the one that would go first at the beginning.
    """
    with self._changed:
      return [name for name in self._order if self._tasks[name].is_loaded]

  def has(self, names: Iterable[str]) -> bool:
    """Returns whether all of these are resident."""
    with self._changed:
      return all((task := self._tasks.get(name)) is not None and task.is_loaded
                 for name in names)

  @contextlib.contextmanager
  def using(self, names: Iterable[str],
            is_wanted: Callable[[], bool] | None = None,
            ) -> Iterator[dict[str, InputError]]:
    """Makes tasks resident, and keeps them so. Several are loaded together.

    Args:
      names: of the tasks.
      is_wanted: of a call that waits for its turn: whether it still has to;
        `wake` has it asked. None for a call that can be inside another one.

    Yields:
      {name: reason} of those that cannot be loaded.

    Raises:
      TooManyError: there are more than there is room for.
      UnwantedError: the call is not wanted any more.
    """
    wrong: dict[str, InputError] = {}
    names = list(dict.fromkeys(names))
    with self._held(names, is_wanted) as tasks:
      while True:
        with self._claimed(lambda: _to_load(tasks, wrong)) as missing:
          if not missing:
            break
          start = time.monotonic()
          found = self._load([task.name for task in missing])
          wrong.update(found)
          with self._changed:
            for task in missing:
              task.is_loaded = task.name not in found
            self.loads += len(missing) - len(found)
            self.load_seconds += time.monotonic() - start
      yield wrong

  @contextlib.contextmanager
  def using_resident(self, names: Sequence[str],
                     had_turn: bool = False) -> Iterator[bool]:
    """Keeps tasks resident that are so already; waits for nobody.

    Args:
      names: of the tasks.
      had_turn: whether the call has waited for its turn.

    Yields:
      Whether all of them are, and no other call waits that was before this one.
      Otherwise none is kept.
    """
    tasks: list[_Task] = []
    with self._changed:
      found = [self._tasks.get(name) for name in names]
      is_resident = (
          (had_turn or not self._turns)
          and len(self._needed.union(names)) <= self._capacity
          and all(task is not None and task.is_loaded and not task.is_changing
                  for task in found))
      if is_resident:
        tasks = self._hold(names)
    with self._kept(tasks):
      yield is_resident

  @contextlib.contextmanager
  def adding(self, names: Sequence[str]) -> Iterator[None]:
    """Has room for tasks that the block makes resident, and that then stay.

    Raises:
      TooManyError: there is no room.
    """
    with self._held(names) as tasks, self._claimed(lambda: tasks):
      yield
      with self._changed:
        for task in tasks:
          task.is_loaded = True
          task.is_added = True
          self._added.add(task.name)

  @contextlib.contextmanager
  def removing(self, name: str) -> Iterator[None]:
    """Forgets a task that the block gives up, whether calls need it or not."""
    with self._changed:
      tasks = self._hold([name])
    with self._kept(tasks), self._claimed(lambda: tasks):
      yield
      with self._changed:
        for task in tasks:
          task.is_loaded = False
          task.is_added = False
        self._added.discard(name)

  def wake(self) -> None:
    """Has calls that wait for their turn asked whether they still have to."""
    with self._changed:
      self._changed.notify_all()

  @contextlib.contextmanager
  def _held(self, names: Sequence[str],
            is_wanted: Callable[[], bool] | None = None,
            ) -> Iterator[list[_Task]]:
    """Keeps a place for each task; evicts others where they are too many."""
    with self._changed:
      if is_wanted is not None:
        tasks = self._hold_in_turn(names, is_wanted)
      else:
        while not self._has_room(names):
          self._changed.wait()
        tasks = self._hold(names)
    with self._kept(tasks):
      self._make_room()
      yield tasks

  def _hold_in_turn(self, names: Sequence[str],
                    is_wanted: Callable[[], bool]) -> list[_Task]:
    """As `_hold`, when there is room, behind calls that have waited longer."""
    turn = object()
    self._turns.append(turn)
    try:
      while self._turns[0] is not turn or not self._has_room(names):
        if not is_wanted():
          raise UnwantedError("nobody waits for these tasks any more")
        self._changed.wait()
      return self._hold(names)
    finally:
      self._turns.remove(turn)
      self._changed.notify_all()

  @contextlib.contextmanager
  def _kept(self, tasks: Sequence[_Task]) -> Iterator[None]:
    """Lets tasks go that were held, at the end of its block."""
    try:
      yield
    finally:
      self._let_go(tasks)

  def _hold(self, names: Sequence[str]) -> list[_Task]:
    """Keeps a place for each task, in a block that nobody else is in."""
    tasks = []
    for name in names:
      task = self._tasks.setdefault(name, _Task(name))
      if not task.calls:  # a call inside another one is no use of its own
        self._order.use(name)
      self._needed.add(name)
      task.calls += 1
      tasks.append(task)
    return tasks

  def _let_go(self, tasks: Sequence[_Task]) -> None:
    with self._changed:
      for task in tasks:
        task.calls -= 1
        self._tidy(task)
      self._changed.notify_all()

  def _has_room(self, names: Sequence[str]) -> bool:
    """Returns whether all tasks that are needed then can be resident.

    Raises:
      TooManyError: they never can.
    """
    for others in (self._added, self._needed):
      count = len(others) + sum(name not in others for name in names)
      if count > self._capacity:
        if others is self._needed:
          return False
        raise TooManyError(
            f"a call for {len(names):,} tasks, but there is room for "
            f"{self._capacity:,}, of which {len(self._added):,} were added and "
            "stay: ask for fewer at a time, or give more capacity")
    return True

  def _make_room(self) -> None:
    """Evicts the first tasks that can go, if some have to."""
    with self._changed:
      is_full = len(self._tasks) > self._capacity
    while is_full:
      with self._claimed(self._to_evict) as tasks:
        resident = [task for task in tasks if task.is_loaded]
        if resident:
          self._evict([task.name for task in resident])
        with self._changed:
          for task in tasks:
            task.is_loaded = False
            self._tidy(task)
          self.evictions += len(resident)
          is_full = len(self._tasks) > self._capacity
          if is_full and not tasks:
            self._changed.wait()  # one is being removed

  def _to_evict(self) -> list[_Task]:
    """Chooses tasks that can go, as many as are too many, without waiting."""
    count = len(self._tasks) - self._capacity
    found: list[_Task] = []
    for name in self._order if count > 0 else ():
      task = self._tasks[name]
      if name not in self._needed and not task.is_changing:
        found.append(task)
        if len(found) == count:
          break
    return found

  @contextlib.contextmanager
  def _claimed(self, choose: Callable[[], Sequence[_Task]],
               ) -> Iterator[Sequence[_Task]]:
    """Keeps others from changing tasks, and waits for who does.

    Nobody waits who has a claim, so that all end.

    Args:
      choose: the tasks; is called again after each wait.
    """
    mine: Sequence[_Task] = []
    try:
      with self._changed:
        tasks = choose()
        while any(task.is_changing for task in tasks):
          self._changed.wait()
          tasks = choose()
        mine = tasks
        for task in mine:
          task.is_changing = True
      yield mine
    finally:
      with self._changed:
        for task in mine:
          task.is_changing = False
        self._changed.notify_all()

  def _tidy(self, task: _Task) -> None:
    """Forgets what nobody needs of a task."""
    if not task.calls and not task.is_added:
      self._needed.discard(task.name)
      if not task.is_loaded and self._tasks.pop(task.name, None) is not None:
        self._order.forget(task.name)


def _to_load(tasks: Sequence[_Task], wrong: Container[str]) -> list[_Task]:
  """Chooses some that are still to be loaded, first those nobody else loads."""
  missing = [task for task in tasks
             if not task.is_loaded and task.name not in wrong]
  return [task for task in missing if not task.is_changing][
      :_LOADED_TOGETHER] or missing
