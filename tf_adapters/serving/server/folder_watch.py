"""A folder whose adapter files are served: what appears there, changes, goes.

Each folder in it that is an adapter file is a task, called as the folder is.
"""

import asyncio
import contextlib
import os
import pathlib
import time
import types
from collections.abc import Callable, Container, Mapping

from tf_adapters.errors import InputError
from tf_adapters.serving.adapter_folder import (
    FileState,
    IncompleteError,
    changing,
    lacking,
    place_of,
    state_of,
)
from tf_adapters.serving.server.core import ModelServer
from tf_adapters.serving.server.log import log, log_defect
from tf_adapters.serving.server.refusals import Refusal

# A look may take a twentieth of the time.
_TIMES_AS_LONG = 20


class FolderWatch:
  """Keeps a server's tasks as a folder has them.

  A file is taken when it has not changed between two looks, so one that is
  still being copied is left alone; its checksums tell as well. One that lacks a
  part or cannot be taken is said once, and the task stays as it was. Requests
  for a task that is not served for such a reason are told it.

  Args:
    server: whose tasks.
    folder: what is looked at.
    served: the files of the folder that the server has already tried, as they
      were: see `states_of`.
    wrong: what is wrong with some of these; that was reported.
    report: is called with what is wrong with a file.
  """

  def __init__(self, server: ModelServer, folder: str | os.PathLike[str],
               served: Mapping[str, FileState],
               wrong: Mapping[str, InputError] = types.MappingProxyType({}),
               report: Callable[[str], None] = log):
    self._server = server
    self._folder = pathlib.Path(folder)
    self._tried = dict(served)
    self._before = dict(served)
    # Why those that were tried last are not served.
    self._wrong = dict(wrong)
    self._report = report
    self._is_readable = True
    server.served.why_absent = self.why_absent

  async def run(self, seconds: float) -> None:
    """Looks again and again.

    Args:
      seconds: in between; more where a look takes long, in a folder of many
        thousands of files.
    """
    took = 0.0
    while True:
      await asyncio.sleep(max(seconds, _TIMES_AS_LONG * took))
      start = time.monotonic()
      try:
        await self.look()
      except Exception:  # a defect; other files are looked at
        log_defect()
      took = time.monotonic() - start

  async def look(self) -> None:
    """Takes in what has changed before the last look and not since."""
    try:
      found = await asyncio.to_thread(states_of, self._folder, self._tried)
    except InputError as error:
      # A folder that is gone for a while has no tasks to remove.
      if self._is_readable:
        self._report(str(error))
      self._is_readable = False
      return
    self._is_readable = True
    before, self._before = self._before, found
    for name in [*self._tried]:
      if name not in found and name not in before:
        del self._tried[name]
        self._wrong.pop(name, None)
        await self._remove(name)
    for name, state in found.items():
      if state != self._tried.get(name) and state == before.get(name):
        self._tried[name] = state
        await self._add(name, state)

  def why_absent(self, name: str) -> InputError | None:
    """Returns why a file of the folder is not served; None for no file.

    Args:
      name: what its task would be called; anything.
    """
    path = place_of(self._folder, name)
    if path is None:
      return None
    state = state_of(path)
    if state is not None and state == self._tried.get(name):
      return self._wrong.get(name)  # none: a request has removed it
    return changing(path) or lacking(path) or (None if state is None else (
        IncompleteError(f"{path}: was not there when the folder was looked at "
                        "last: ask again", True)))

  async def _add(self, name: str, state: FileState) -> None:
    path = self._folder / name
    self._wrong.pop(name, None)
    try:
      problem = await asyncio.to_thread(lacking, path)
      if problem is not None:
        raise problem
      await self._server.add(path, name)
    except InputError as error:
      # One that another took the place of while it was read is not damaged.
      if await asyncio.to_thread(state_of, path, True) == state:
        self._wrong[name] = error
        self._report(str(error))

  async def _remove(self, name: str) -> None:
    with contextlib.suppress(Refusal):  # a request was first
      await self._server.remove(name)


def states_of(folder: str | os.PathLike[str],
              known: Container[str] = ()) -> dict[str, FileState]:
  """Returns {name of an adapter file in a folder: what tells of a change}.

  Args:
    folder: that is looked at.
    known: names of tasks. One of these that cannot be looked at, for lack of a
      permission or of a disk, is there: whoever reads it says what is wrong.

  Raises:
    InputError: the folder cannot be read.
  """
  states = {}
  try:
    with os.scandir(folder) as entries:
      for entry in sorted(entries, key=lambda entry: entry.name):
        if not entry.name.startswith(".") and (
            state := state_of(
                pathlib.Path(entry.path), entry.name in known)) is not None:
          states[entry.name] = state
  except OSError as error:
    raise InputError(f"{os.fspath(folder)}: cannot be read: {error.strerror}"
                     ) from None
  return states
