"""Takes tasks into a bank and out of it, while others predict.

Adapter files are read before anything changes. A change writes the rows of its
tasks, and then publishes another state in one step.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import os
import pathlib
import threading
from collections.abc import Iterator, Mapping, Sequence

from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.errors import InputError
from tf_adapters.modeling.forks import check_process
from tf_adapters.serving.adapter_folder import (
    AdapterFolder,
    FileState,
    IncompleteError,
    changing,
    lacking,
    place_of,
    state_of,
)
from tf_adapters.serving.bank_encoder import BankEncoder
from tf_adapters.serving.bank_files import NewTask, open_task
from tf_adapters.serving.bank_state import BankState
from tf_adapters.serving.bank_texts import Row, Tasks, Texts, make_rows
from tf_adapters.serving.published import Published
from tf_adapters.serving.residency import Residency

# Files of a store that are read at the same time.
_READERS = 4

# A task to take in: a name or None, its adapter file, label names or None.
Added = tuple[str | None, str | os.PathLike[str], Sequence[str] | None]


class BankTasks:
  """The tasks of a bank: those that were added, and those of a store.

  Args:
    shared: the encoder.
    adapters: the tasks to begin with.
    folder: the store, if there is one.

  Attributes:
    folder: as given.
    residency: which tasks are resident, where there is a store.
  """

  def __init__(self, shared: BankEncoder, adapters: Sequence[Added],
               folder: AdapterFolder | None):
    check_process()
    self._shared = shared
    self.folder = folder
    self.residency = None if folder is None else Residency(
        shared.capacity, self._load, self._evict)
    # Files of the store that were opened, as long as they are the same.
    self._files: dict[str, tuple[FileState | None, NewTask]] = {}
    self._readers = concurrent.futures.ThreadPoolExecutor(_READERS, "read")
    # Held while tasks of the store are written: who is second in a change
    # begins anew.
    self._writing = threading.Lock()
    new = self._opened(adapters)
    with self._adding(new):
      self._published = Published(
          BankState.of_no_tasks(shared).with_tasks(new))

  def state(self) -> BankState:
    """Returns the newest state."""
    return self._published.state()

  def extend(self, adapters: Sequence[Added]) -> list[str]:
    """See `AdapterBank.extend`."""
    check_process()
    new = self._opened(adapters)
    if len(new) == 1:  # the files of many would fill the memory
      new = {name: task.in_memory() for name, task in new.items()}
    with self._adding(new):
      self._take_in(new)
    return list(new)

  def replace(self, name: str, path: str | os.PathLike[str],
              labels: Sequence[str] | None) -> None:
    """See `AdapterBank.replace`."""
    stored = self.folder and self.folder.find(name)
    if stored and os.path.realpath(path) != os.path.realpath(stored):
      raise InputError(f"{path}: task {name!r} is of the store: its new file "
                       f"has to take the place of {stored}")
    check_process()
    with self._reading(name) if stored else contextlib.nullcontext():
      _, new = self._open(name, path, labels)
      if stored and name not in self.state().infos:
        return  # it is read when it is needed
      new = new.in_memory()
    with self.resident([name]):
      self._make_room({name: new})
      self._published.replace(lambda state: state.with_replaced(name, new))
    self._drop_empty_stacks()

  def remove(self, name: str) -> None:
    """See `AdapterBank.remove`."""
    check_process()
    if self.residency is None:
      self._published.replace(lambda state: state.without(name))
    else:
      self._check_known([name])
      with self.residency.removing(name):
        self._evict([name])
    self._drop_empty_stacks()

  def __contains__(self, name: str) -> bool:
    """See `AdapterBank.__contains__`."""
    return name in self.state().infos or (
        self.folder is not None and self.folder.find(name) is not None)

  def names(self) -> list[str]:
    """See `AdapterBank.names`."""
    names = list(self.state().infos)
    if self.folder is None:
      return names
    stored = dict.fromkeys(self.folder.names())
    for gone in {*self._files}.difference(stored):
      self._files.pop(gone, None)
    return [name for name in names if name not in stored] + list(stored)

  def info(self, name: str) -> AdapterInfo:
    """See `AdapterBank.info`."""
    return self._find(name)[1]

  def rows(self, texts: Texts, tasks: Tasks) -> list[Row]:
    """See `AdapterBank.rows`. Tasks of a store need not be resident."""
    check_process()
    return make_rows(texts, tasks, self._find, self._shared.max_length)

  def _find(self, name: str) -> tuple[int, AdapterInfo]:
    """Returns a task's number, 0 for one that is not resident, and information.
    """
    state = self.state()
    if self.folder is None or name in state.infos:
      return state.find(name)
    return 0, self._stored(name).info

  def _stored(self, name: str) -> NewTask:
    """Returns a task of the store; its file is opened where it has changed."""
    path = self._path(name)
    state = state_of(path)
    before, task = self._files.get(name, (None, None))
    if task is None or state is None or before != state:
      known = task
      with self._reading(name):
        _, task = self._open(name, path, None)
      if known is not None and known.info == task.info:
        # Who compares sees that it is the same task.
        task = dataclasses.replace(task, info=known.info)
      self._files[name] = state, task
    return task

  @contextlib.contextmanager
  def resident(self, names: Sequence[str] | None) -> Iterator[BankState]:
    """Gives its block a state of some tasks, or all: these stay resident.

    Rows of others can be given to new tasks meanwhile: so nothing here refers
    to the whole state.

    Raises:
      InputError: see `AdapterBank.loaded`; or this process was forked from the
        bank's.
    """
    check_process()
    if self.residency is None:
      yield self.state() if names is None else self.state().only(names)
      return
    if names is None:
      names = self.names()
    self._check_known(names)
    with contextlib.ExitStack() as stack:
      while True:
        wrong = stack.enter_context(self.residency.using(names))
        for error in wrong.values():
          raise error
        state = self.state()
        if all(name in state.infos for name in names):
          break  # else one was removed, and is loaded again
      yield state.only(names)

  @contextlib.contextmanager
  def resident_or_not(self, names: Sequence[str]) -> Iterator[
      tuple[BankState, dict[str, InputError]]]:
    """As `resident`, without tasks that cannot be; and what is wrong with them.
    """
    check_process()
    wrong: dict[str, InputError] = {}
    if self.residency is None:
      yield self._known(names, wrong), wrong
      return
    for name in names:
      try:
        self._check_known([name])
      except InputError as error:
        wrong[name] = error
    with contextlib.ExitStack() as stack:
      while True:
        wrong.update(stack.enter_context(self.residency.using(
            [name for name in names if name not in wrong])))
        state = self.state()
        left = [name for name in names if name not in wrong]
        if all(name in state.infos for name in left):
          break  # else one was removed, and is loaded again
      yield state.only(left), wrong

  def _known(self, names: Sequence[str],
             wrong: dict[str, InputError]) -> BankState:
    """Returns the state of those that there are; adds the others to `wrong`."""
    state = self.state()
    for name in names:
      try:
        state.find(name)
      except InputError as error:
        wrong[name] = error
    return state.only([name for name in names if name not in wrong])

  def _check_known(self, names: Sequence[str]) -> None:
    """Raises InputError for what is no task, before others make room for it."""
    for name in names:
      if name not in self.state().infos:
        self._path(name)

  def _path(self, name: str) -> pathlib.Path:
    """Returns the adapter file of a task of the store.

    Raises:
      InputError: there is no such task; IncompleteError for one that comes.
    """
    assert self.folder is not None  # there is a store
    path = self.folder.find(name)
    if path is None:
      place = place_of(self.folder.path, name)
      raise (place and (changing(place) or lacking(place))) or InputError(
          f"the bank has no task {name!r}, nor has {self.folder.path}")
    return path

  @contextlib.contextmanager
  def _reading(self, name: str) -> Iterator[None]:
    """Says of an error in a block that reads a file of the store what it is.

    Raises:
      IncompleteError: it cannot be read, and is being written or not whole.
      InputError: it cannot be read, or has gone.
    """
    try:
      yield
    except IncompleteError:
      raise
    except InputError as error:
      raise changing(self._path(name), error) or error from None

  def _open(self, name: str | None, path: str | os.PathLike[str],
            labels: Sequence[str] | None) -> tuple[str, NewTask]:
    return open_task(path, name, labels, self._shared.encoder,
                     self._shared.max_length)

  def _opened(self, adapters: Sequence[Added]) -> dict[str, NewTask]:
    """Opens the files of tasks: {name: what is to be taken in}."""
    new: dict[str, NewTask] = {}
    for given, path, labels in adapters:
      name, task = self._open(given, path, labels)
      if name in new or (self.folder and self.folder.find(name)):
        raise InputError(f"{task.path}: the bank has a task {name!r} already: "
                         "choose another name")
      new[name] = task
    return new

  def _adding(
      self, new: Mapping[str, NewTask]) -> contextlib.AbstractContextManager[
          None]:
    """Makes the context of a block in which tasks are taken in that stay."""
    return (contextlib.nullcontext() if self.residency is None
            else self.residency.adding(list(new)))

  def _take_in(self, new: Mapping[str, NewTask]) -> None:
    self._make_room(new)
    self._published.replace(lambda state: state.with_tasks(new))

  def _make_room(self, new: Mapping[str, NewTask]) -> None:
    """Publishes larger tables one after the other, where they have to be."""
    is_larger = True
    while is_larger:
      old, state = self._published.replace(
          lambda state: state.with_more_room(new.values()))
      is_larger = state is not old

  def _drop_empty_stacks(self) -> None:
    """Lets what is left be computed without kinds that have gone.

    That is a new trace. Nobody waits for it but the caller.
    """
    self._published.replace(lambda state: state.without_empty_stacks())

  def _load(self, names: Sequence[str]) -> dict[str, InputError]:
    """Makes tasks of the store resident, of which some may have been left so.

    Returns:
      {name: reason} of those that cannot be.
    """
    resident = self.state().infos
    names = [name for name in names if name not in resident]
    new: dict[str, NewTask] = {}
    read: dict[str, NewTask] = {}
    wrong: dict[str, InputError] = {}
    for name, found in zip(names, (
        map if len(names) < 2 else self._readers.map)(
            self._read_or_error, names)):
      if isinstance(found, InputError):
        wrong[name] = found
      else:
        read[name], new[name] = found
    if new:
      with self._writing:
        self._take_in(new)
    for name, task in read.items():
      self._read_again(name, task)
    return wrong

  def _read_again(self, name: str, task: NewTask) -> None:
    """Follows a file that has changed since it was read for a resident task.

    Whoever replaces a file leaves it to this, before the task is resident.
    """
    with contextlib.suppress(InputError):  # it is damaged: the task stays
      while self._stored(name) is not task and (
          self._files[name][0] is not None):  # else it is opened each time
        task, new = self._read(name)
        self._make_room({name: new})
        self._published.replace(functools.partial(
            BankState.with_replaced, name=name, new=new))

  def _read_or_error(self, name: str) -> tuple[NewTask, NewTask] | InputError:
    try:
      return self._read(name)
    except InputError as error:
      return error

  def _read(self, name: str) -> tuple[NewTask, NewTask]:
    """Reads a task of the store: as its file was opened, and in memory."""
    while True:
      task = self._stored(name)
      try:
        with self._reading(name):
          found = task.in_memory()
        if task.is_foreign and (problem := changing(task.path)):
          raise problem
        return task, found
      except InputError:
        if self._stored(name) is task:  # else it was replaced meanwhile
          raise

  def _evict(self, names: Sequence[str]) -> None:
    """Gives up tasks that are there."""
    gone = set(names)
    self._published.replace(lambda state: state.only(
        [name for name in state.infos if name not in gone]))
