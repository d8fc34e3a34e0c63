"""The tasks of a server, in memory or in a bank's store."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from tf_adapters.adapter_files.finding import find_adapter
from tf_adapters.adapter_files.info import CONFIG_NAME, AdapterInfo
from tf_adapters.adapter_files.opening import open_adapter
from tf_adapters.errors import InputError, similar
from tf_adapters.serving.bank_texts import BASE
from tf_adapters.serving.server import refusals
from tf_adapters.serving.server.asked import ServedTask
from tf_adapters.serving.server.bank_protocol import Bank
from tf_adapters.serving.server.refusals import Refusal

# Similar names are looked for among so many: that takes time.
_MOST_COMPARED = 300
# Wordpieces that tasks of a store, which is not read for it, can be of.
_OF_A_STORE = 512


class ServedTasks:
  """The tasks of a bank that are not on their way out.

  Args:
    bank: the tasks.
    paths: where the files of those that are not in its store are, as far as
      that is known.

  Attributes:
    why_absent: says of a name that is no task why its file is not served; None
      where there is no such file, or nobody knows.
  """

  def __init__(self, bank: Bank, paths: Mapping[str, str | os.PathLike[str]]):
    self._bank = bank
    self._paths = {name: os.fspath(path) for name, path in paths.items()}
    self.why_absent: Callable[[str], InputError | None] | None = None
    self._leaving: set[str] = set()
    self._added = 0
    self._adding_seconds = 0.0
    # What the files of a store say, and the state of each then.
    self._read: dict[str, tuple[tuple[int, int, int], AdapterInfo]] = {}

  def check(self, name: str) -> None:
    """Refuses a task that is not served; "base" is the encoder alone.

    Raises:
      Refusal: there is none.
    """
    if name != BASE and (name in self._leaving or name not in self._bank):
      raise self._no_task(name)

  def info(self, name: str) -> AdapterInfo | None:
    """Returns what a task's file says; None for the encoder alone.

    Raises:
      Refusal: there is no such task.
      InputError: its file in the store cannot be read.
    """
    self.check(name)
    if name == BASE:
      return None
    try:
      return self._bank.info(name)
    except InputError:
      self.check(name)  # it has gone meanwhile
      raise

  def find(self, name: str) -> ServedTask:
    """Returns a task.

    Raises:
      Refusal: there is none of that name.
      InputError: its file in the store cannot be read.
    """
    info = self.info(name)
    if info is None:
      raise _no_file()
    return ServedTask(name, info, self._path(name))

  def all(self) -> list[ServedTask]:
    """Lists all tasks, but for files in a store that cannot be read."""
    resident, names = self._resident(), self._bank.names()
    for gone in {*self._read}.difference(names):
      self._read.pop(gone, None)
    found = []
    for name in names:
      with contextlib.suppress(Refusal, InputError):
        found.append(self.find(name) if name in resident
                     else self._in_store(name))
    return found

  def _in_store(self, name: str) -> ServedTask:
    """Returns a task that is not in memory; reads its file again after changes.
    """
    path = self._path(name)
    try:
      status = os.stat(os.path.join(path, CONFIG_NAME))
    except OSError:
      raise self._no_task(name) from None
    state = status.st_ino, status.st_size, status.st_mtime_ns
    before, info = self._read.get(name, (None, None))
    if info is None or before != state:
      info = self._bank.info(name)
      self._read[name] = state, info
    return ServedTask(name, info, path)

  def name_of(self, path: str | os.PathLike[str]) -> str:
    """Returns the name of an adapter file's task; takes time.

    Raises:
      InputError: it cannot be read.
    """
    return open_adapter(find_adapter(path)).info.task

  def add(self, path: str | os.PathLike[str], name: str) -> None:
    """As `ModelServer.add`; takes time."""
    start = time.monotonic()
    bank = self._bank
    if self._is_stored(name):
      # It refuses another path. A task that is not in memory is loaded when it
      # is needed.
      bank.replace(name, path)
    else:
      if name in bank:
        bank.replace(name, path)
      else:
        bank.add(path, name)
      self._paths[name] = os.fspath(path)
    self._added += 1
    self._adding_seconds += time.monotonic() - start

  def is_leaving(self, name: str) -> bool:
    """Returns whether a task is being removed."""
    return name in self._leaving

  @contextlib.contextmanager
  def leaving(self, name: str) -> Iterator[None]:
    """Refuses a task in its block, at whose end it is expected to be gone.

    Raises:
      Refusal: there is no such task, or its file is in the store.
    """
    self.check(name)
    if name == BASE:
      raise _no_file()
    if self._is_stored(name):
      raise Refusal(refusals.WRONG_KIND, f"task {name} is in {self._bank.store}"
                    ": remove its file there")
    self._leaving.add(name)
    try:
      yield
    finally:
      self._leaving.discard(name)

  def remove(self, name: str) -> None:
    """Takes a task out, if nobody else has."""
    with contextlib.suppress(InputError):
      self._bank.remove(name)
    self._paths.pop(name, None)

  def _is_stored(self, name: str) -> bool:
    """Returns whether a task's file is in the bank's store."""
    return (self._bank.store is not None and name not in self._paths
            and name in self._bank
            and os.path.exists(os.path.join(self._path(name), CONFIG_NAME)))

  def longest(self) -> int:
    """Counts the wordpieces of the longest texts that tasks take."""
    return max([_OF_A_STORE if self._bank.store is not None else 0, *(
        self._bank.info(name).max_length or 0 for name in self._resident())])

  def figures(self) -> dict[str, float]:
    """Counts the tasks, and those that were loaded."""
    residency = self._bank.residency
    return {
        "resident_tasks": len(self._resident()),
        "known_tasks": len(self._bank.names()),
        "loads": self._added + (residency.loads if residency else 0),
        "evictions": residency.evictions if residency else 0,
        "load_seconds": self._adding_seconds + (
            residency.load_seconds if residency else 0.0)}

  def _resident(self) -> set[str]:
    residency = self._bank.residency
    return {*(self._bank.names() if residency is None else residency.names())}

  def _path(self, name: str) -> str:
    if name in self._paths or self._bank.store is None:
      return self._paths.get(name, "")
    return os.path.join(self._bank.store, name)

  def _no_task(self, name: str) -> Refusal:
    error = None if self.why_absent is None else self.why_absent(name)
    if error is not None:
      return refusals.of_file(error)
    # Of a store, those that were asked for: it would have to be looked through.
    names = [other for other in self._resident() if other not in self._leaving]
    near = similar(name, _nearest(name, names))
    return Refusal(
        refusals.NOT_FOUND, f"no task {name!r:.80}"
        + (f": did you mean {near!r}?" if near
           else ": GET /v1/models lists those that there are"))


def _no_file() -> Refusal:
  return Refusal(refusals.WRONG_KIND, f"{BASE} is the encoder alone: it has no "
                 "file that could be read again or removed")


def _nearest(name: str, names: Sequence[str]) -> Sequence[str]:
  """Returns what a name is compared with; where there are very many, not all.
  """
  if len(names) <= _MOST_COMPARED:
    return names
  return [other for other in names
          if other[:1].casefold() == name[:1].casefold()][:_MOST_COMPARED]
