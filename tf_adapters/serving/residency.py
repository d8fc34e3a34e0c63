"""Decides which of many tasks are in memory: the most recently used ones.

A task is loaded when a call needs it first. Tasks are names here: how they are
loaded and given up is said by whoever has them. No TensorFlow is needed.
"""

import collections
import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from tf_adapters.errors import InputError


class _Task:
  """A task that is resident, or is to be.

  Attributes:
    name: of the task.
    calls: how many need it now.
    is_added: whether it stays when no call needs it.
    is_loaded: whether it is resident. Changes under `lock`.
    lock: held while it is loaded or evicted: who needs this very task waits.
  """

  def __init__(self, name: str):
    self.name = name
    self.calls = 0
    self.is_added = False
    self.is_loaded = False
    self.lock = threading.Lock()


class Residency:
  """Keeps the tasks that calls need in memory, and no more than `capacity`.

  Threads may use it at the same time. A call whose tasks are resident waits for
  no load; two that need the same task load it once. Where other calls need so
  many tasks that there is no room, a call waits until they have ended.

  Args:
    capacity: the most tasks; None for any number.
    load: makes a task resident, or raises.
    evict: gives up a task that no call needs.

  Attributes:
    loads, evictions: how many there have been.
    load_seconds: how long all loads have taken.

  Example:
    >>> residency = Residency(256, load, evict)
    >>> with residency.using(["sst2", "mrpc"]):
    ...   predict()
  """

  def __init__(self, capacity: int | None, load: Callable[[str], None],
               evict: Callable[[str], None]):
    self._capacity = sys.maxsize if capacity is None else capacity
    self._load = load
    self._evict = evict
    # Held for a moment, and never while something is loaded or evicted. It
    # guards all that follows and the tasks' `calls`.
    self._changed = threading.Condition()
    # Those that are resident or are to be, the least recently used one first.
    self._tasks: collections.OrderedDict[str, _Task] = collections.OrderedDict()
    # Of these, the ones that calls need or that were added.
    self._needed: set[str] = set()
    self._added: set[str] = set()
    self.loads = 0
    self.evictions = 0
    self.load_seconds = 0.0

  def names(self) -> list[str]:
    """The resident tasks, the least recently used one first."""
    with self._changed:
      return [name for name, task in self._tasks.items() if task.is_loaded]

  def has(self, names: Iterable[str]) -> bool:
    """Whether all of these are resident, so that `using` would not wait."""
    with self._changed:
      return all((task := self._tasks.get(name)) is not None and task.is_loaded
                 for name in names)

  @contextlib.contextmanager
  def using(self, names: Iterable[str]) -> Iterator[None]:
    """Makes tasks resident, and keeps them so.

    Raises:
      InputError: there are more than there is room for; or what `load` raises.
    """
    with self._held(list(dict.fromkeys(names))) as tasks:
      for task in tasks:
        with task.lock:
          if not task.is_loaded:
            start = time.monotonic()
            self._load(task.name)
            task.is_loaded = True
            with self._changed:
              self.loads += 1
              self.load_seconds += time.monotonic() - start
      yield

  @contextlib.contextmanager
  def adding(self, names: Sequence[str]) -> Iterator[None]:
    """Has room for tasks that the block makes resident, and that then stay.

    Raises:
      InputError: there is no room.
    """
    with self._held(names) as tasks, contextlib.ExitStack() as stack:
      for task in sorted(tasks, key=lambda task: task.name):
        stack.enter_context(task.lock)
      yield
      for task in tasks:
        task.is_loaded = True
        with self._changed:
          task.is_added = True
          self._added.add(task.name)

  @contextlib.contextmanager
  def removing(self, name: str) -> Iterator[None]:
    """Forgets a task that the block gives up, whether calls need it or not."""
    with self._held([name], wait=False) as (task,), task.lock:
      yield
      task.is_loaded = False
      with self._changed:
        task.is_added = False
        self._added.discard(name)

  @contextlib.contextmanager
  def _held(self, names: Sequence[str],
            wait: bool = True) -> Iterator[list[_Task]]:
    """Keeps a place for each task; evicts others where they are too many."""
    tasks: list[_Task] = []
    try:
      with self._changed:
        while wait and not self._has_room(names):
          self._changed.wait()
        for name in names:
          task = self._tasks.setdefault(name, _Task(name))
          self._tasks.move_to_end(name)
          self._needed.add(name)
          task.calls += 1
          tasks.append(task)
      while wait and (oldest := self._too_many()):
        self._give_up(oldest)
      yield tasks
    finally:
      with self._changed:
        for task in tasks:
          task.calls -= 1
          self._tidy(task)
        self._changed.notify_all()

  def _has_room(self, names: Sequence[str]) -> bool:
    """Whether all tasks that are needed then can be resident.

    Raises:
      InputError: they never can.
    """
    for others in (self._added, self._needed):
      count = len(others) + sum(name not in others for name in names)
      if count > self._capacity:
        if others is self._needed:
          return False
        raise InputError(
            f"a call for {len(names):,} tasks, but there is room for "
            f"{self._capacity:,}, of which {len(self._added):,} were added and "
            "stay: ask for fewer at a time, or give more capacity")
    return True

  def _too_many(self) -> _Task | None:
    """The least recently used task that can go, if one has to."""
    with self._changed:
      while len(self._tasks) > self._capacity:
        for name, task in self._tasks.items():
          if name not in self._needed:
            return task
        self._changed.wait()  # one is being removed
      return None

  def _give_up(self, task: _Task) -> None:
    """Evicts a task, unless it has come to be needed."""
    with task.lock:
      with self._changed:
        if task.name in self._needed or self._tasks.get(task.name) is not task:
          return
      # Who needs it from now on waits for its lock, and loads it again.
      if task.is_loaded:
        self._evict(task.name)
        task.is_loaded = False
        with self._changed:
          self.evictions += 1
      with self._changed:
        self._tidy(task)

  def _tidy(self, task: _Task) -> None:
    """Forgets what nobody needs of a task."""
    if not task.calls and not task.is_added:
      self._needed.discard(task.name)
      if not task.is_loaded:
        self._tasks.pop(task.name, None)
