"""Finds adapter files in a folder, each a task by the name of its own folder.

Nothing is read before a task is asked for: the folder may have many thousands.
What somebody copies there has not come yet before it is whole.
"""

import contextlib
import os
import pathlib
import time

from tf_adapters.adapter_files.finding import WEIGHTS_NAMES
from tf_adapters.adapter_files.info import CONFIG_NAME
from tf_adapters.errors import InputError, check_name
from tf_adapters.serving.bank_texts import BASE

# What tells that an adapter file is another one, or may be read now: names,
# inodes, sizes, times and permissions of its files.
FileState = tuple[tuple[str, int, int, int, int], ...]

# Changes of a folder within so many nanoseconds can have the same time. Who
# copies a file does not pause for so long.
_CLOCK_NS = 1_000_000_000


class IncompleteError(InputError):
  """An adapter file that is not whole, or may not be.

  Args:
    message: what is wrong.
    is_changing: whether somebody writes it at this moment.

  Attributes:
    is_changing: the same.
  """

  def __init__(self, message: str, is_changing: bool):
    super().__init__(message)
    self.is_changing = is_changing


class AdapterFolder:
  """The adapter files in a folder, by the names of their folders.

  Args:
    path: the folder; a file that appears in it later is one of its tasks.

  Raises:
    InputError: there is no such folder.

  Example:
    >>> folder = AdapterFolder("adapters")
    >>> folder.names()
    ['mrpc', 'sst2']
    >>> folder.find("sst2")
    PosixPath('adapters/sst2')
  """

  def __init__(self, path: str | os.PathLike[str]):
    self.path = pathlib.Path(path)
    # When the folder had changed last, and then its tasks and what else was
    # there, which may become an adapter file without a change of the folder.
    self._listed: tuple[int, list[str], list[str]] = (-1, [], [])
    self.names()  # raises

  def names(self) -> list[str]:
    """Lists all tasks, sorted.

    Raises:
      InputError: the folder cannot be read.
    """
    try:
      changed = os.stat(self.path).st_mtime_ns
      before, names, others = self._listed
      if before == changed:
        return sorted([*names, *filter(self.find, others)])
      entries = os.listdir(self.path)
    except OSError as error:
      raise InputError(f"{self.path}: cannot be read as a folder of adapter "
                       f"files: {error.strerror or error}") from None
    names = sorted(filter(self.find, entries))
    if time.time_ns() - changed > _CLOCK_NS:
      self._listed = changed, names, sorted({*entries} - {*names})
    return list(names)

  def find(self, name: str) -> pathlib.Path | None:
    """Returns a task's adapter file; None where there is none of that name.

    Args:
      name: anything; it may come from a stranger.
    """
    path = place_of(self.path, name)
    if path is None:
      return None
    try:
      return path if (path / CONFIG_NAME).is_file() and any(
          os.path.exists(path / weights) for weights in WEIGHTS_NAMES
      ) else None
    except (OSError, ValueError):  # too long; with a NUL
      return None


def place_of(folder: str | os.PathLike[str],
             name: str) -> pathlib.Path | None:
  """Returns where a task's adapter file is or would be; None for no such name.

  Args:
    folder: of adapter files.
    name: anything; it may come from a stranger.
  """
  # No way to other folders, nor to the hidden one that is being written.
  if name in ("", BASE) or name[0] == "." or os.path.basename(name) != name:
    return None
  try:
    check_name(name)
  except InputError:
    return None
  return pathlib.Path(folder) / name


def lacking(path: str | os.PathLike[str]) -> IncompleteError | None:
  """Says what an adapter file lacks; None for nothing, or for no such file.

  Args:
    path: its folder.
  """
  has_config = os.path.exists(os.path.join(path, CONFIG_NAME))
  weights = [name for name in WEIGHTS_NAMES
             if os.path.exists(os.path.join(path, name))]
  if has_config == bool(weights):
    return None
  return IncompleteError(
      f"{path}: incomplete: it has "
      + (f"{CONFIG_NAME} and no weights, such as {WEIGHTS_NAMES[0]}"
         if has_config else f"{weights[0]} and no {CONFIG_NAME}")
      + ": copy what is missing", False)


def changing(path: str | os.PathLike[str],
             reason: InputError | None = None) -> IncompleteError | None:
  """Says that an adapter file is being written; None for one that is not.

  Its files or its folder have changed within the last second, as the clock of
  their disk has it.

  Args:
    path: its folder.
    reason: what is wrong with it, if something is.
  """
  try:
    times = [os.stat(path).st_ctime_ns]
    with os.scandir(path) as entries:
      for entry in entries:
        with contextlib.suppress(OSError):
          times.append(entry.stat().st_ctime_ns)
  except (OSError, ValueError):
    return None
  if abs(time.time_ns() - max(times)) > _CLOCK_NS:
    return None
  return IncompleteError(
      (f"{path}: " if reason is None else f"{reason}; ")
      + "it changes at this moment: ask again", True)


def state_of(path: str | os.PathLike[str],
             is_known: bool = False) -> FileState | None:
  """Returns the state of an adapter file, the same until it changes, or None.

  One that is not whole has a state as well.

  Args:
    path: its folder.
    is_known: whether it is there, even if it cannot be looked at.
  """
  state = []
  try:
    with os.scandir(path) as entries:
      for entry in entries:
        try:
          status = entry.stat()
        except FileNotFoundError:  # a link to nothing
          state.append((entry.name, 0, 0, 0, 0))
          continue
        state.append((entry.name, status.st_ino, status.st_size,
                      status.st_mtime_ns, status.st_mode))
  except (FileNotFoundError, NotADirectoryError):
    return None  # no folder, or one that goes at this moment
  except OSError as error:
    return (("", error.errno or 0, 0, 0, 0),) if is_known else None
  if not any(name in (CONFIG_NAME, *WEIGHTS_NAMES) for name, *_ in state):
    return None
  return tuple(sorted(state))
