"""Writes files and folders as a whole or not at all."""

import contextlib
import errno
import fcntl
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

from tf_adapters.errors import InputError, check_name, say

# What lies beside `NAME` while that is written: .NAME.RANDOM and one of these,
# which nobody else calls a file.
_NEW, _OLD = ".tf_adapters_new", ".tf_adapters_old"
_LEFTOVER = re.compile(rf"\.(.+)\.[a-z0-9_]{{8}}(?:{_NEW}|{_OLD})", re.DOTALL)


# What tells the folder of a SavedModel, for `check_vacant`.
SAVED_MODEL = "saved_model.pb"


def check_vacant(path: str | os.PathLike[str], replaces: str = "") -> None:
  """Refuses a folder to write that holds something.

  Args:
    path: the folder.
    replaces: a file that is in folders of which the new one may take the
      place; "" for none.

  Raises:
    InputError: there is something else than an empty folder, or than such a
      one.
  """
  path = pathlib.Path(path)
  with writing(path):
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
      return
    if not replaces:
      raise InputError(f"{path}: is there already: choose another output, or "
                       "overwrite it")
    if not (path / replaces).is_file():
      raise InputError(f"{path}: is there already, and is not overwritten, as "
                       f"it has no {replaces}: choose another output")


def check_output_dir(path: str | os.PathLike[str]) -> None:
  """Refuses an output_dir that could not be made, or written to.

  Raises:
    InputError: it is a file, or below one, or may not be written.
  """
  path = pathlib.Path(path)
  with writing(f"output_dir {path}"):
    there = next(place for place in (path, *path.absolute().parents)
                 if place.exists())
    if not there.is_dir():
      raise InputError(f"output_dir {there}: is a file, not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
      raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def write_file(path: pathlib.Path, content: str | bytes) -> None:
  """Replaces a file's content: see `replaced_file`."""
  with replaced_file(path) as file:
    file.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
  """Raises InputError where the block ends with an error of the file system.

  Args:
    path: what is written; a name that is not UTF-8 is refused before.
  """
  check_name(path)
  try:
    yield
  except BrokenPipeError:
    raise  # who reads it has had enough: no mistake
  except OSError as error:
    raise InputError(
        f"{path}: cannot be written: {error.strerror or error}") from None


@contextlib.contextmanager
def replaced_file(path: pathlib.Path) -> Iterator[BinaryIO]:
  """Makes a file to fill, which takes `path`'s place when the block ends.

  It is written beside it, brought to disk and renamed: at `path` there is never
  half a file.
  """
  handle, new = _claimed(path, is_folder=False)
  try:
    with open(handle, "w+b") as file:
      yield file
      file.flush()
      os.fsync(file.fileno())
      new.chmod(0o644)  # mkstemp's files are for their owner alone
      os.replace(new, path)
  except BaseException:
    new.unlink(missing_ok=True)
    raise


@contextlib.contextmanager
def locked(
    folder: str | os.PathLike[str], shared: bool = False) -> Iterator[None]:
  """Keeps other processes on this machine that ask for it out of a folder.

  The lock is the process's, and gone with it however it ends. Who is alone in
  the folder begins with removing what killed writers left there. A file system
  without locks gets a warning instead.

  Args:
    folder: the folder.
    shared: whether others may share it. Waits for one who does not.

  Raises:
    BlockingIOError: another process has it.
  """
  descriptor = os.open(folder, os.O_RDONLY)
  try:
    try:
      fcntl.flock(descriptor, fcntl.LOCK_SH if shared
                  else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise
    except OSError as error:
      say(f"warning: {folder}: cannot be locked ({error.strerror}): another "
          "run in it would not be noticed", error=True)
    else:
      if not shared:
        remove_leftovers(pathlib.Path(folder))
    yield
  finally:
    os.close(descriptor)


@contextlib.contextmanager
def output_dir_of(what: str, folder: pathlib.Path) -> Iterator[None]:
  """Locks an output_dir that is there, as `locked`.

  Args:
    what: is at work in it.
    folder: the folder.

  Raises:
    InputError: another of its kind is at work in it, or it cannot be opened.
  """
  with contextlib.ExitStack() as stack:
    with writing(f"output_dir {folder}"):
      try:
        stack.enter_context(locked(folder))
      except BlockingIOError:
        raise InputError(f"output_dir {folder}: another {what} is at work in "
                         "it") from None
    yield


def _claimed(path: pathlib.Path, is_folder: bool) -> tuple[int, pathlib.Path]:
  """Makes a new file or folder beside a path, to be renamed to it.

  What others have left there goes first. A lock tells them from what is being
  written: it is gone with its process, however that ends.

  Returns:
    A descriptor, which holds the lock until it is closed; and the new path.
  """
  remove_leftovers(path.parent)
  name = (_NEW, f".{path.name}.", path.parent)
  while True:
    if is_folder:
      new = tempfile.mkdtemp(*name)
      try:
        descriptor = os.open(new, os.O_RDONLY)
      except FileNotFoundError:
        continue
    else:
      descriptor, new = tempfile.mkstemp(*name)
    with contextlib.suppress(OSError):  # a file system without locks
      fcntl.flock(descriptor, fcntl.LOCK_EX)
    if os.path.exists(new):
      return descriptor, pathlib.Path(new)
    os.close(descriptor)  # it was taken for a leftover before it was locked


def remove_leftovers(folder: pathlib.Path) -> None:
  """Removes what killed writers left beside files and folders of a folder.

  Where `replaced_folder` was killed between its renames, the second is done.
  What is still being written stays, and all where locks cannot tell.
  """
  with contextlib.suppress(OSError):
    left = [(path.suffix == _NEW, path, found[1]) for path in folder.iterdir()
            if (found := _LEFTOVER.fullmatch(path.name))]
    for is_new, path, name in sorted(left):  # the old ones first
      new = path.with_suffix(_NEW)
      with contextlib.suppress(OSError), _abandoned(
          new if new.exists() else path):
        if not is_new and not (folder / name).exists():
          (new if new.exists() else path).rename(folder / name)
        if path.is_dir():
          shutil.rmtree(path, ignore_errors=True)
        else:
          path.unlink(missing_ok=True)


@contextlib.contextmanager
def _abandoned(path: pathlib.Path) -> Iterator[None]:
  """Raises OSError for what may have a writer who is alive."""
  descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    yield
  finally:
    os.close(descriptor)


@contextlib.contextmanager
def new_folder(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """Makes a folder to fill, which is called `path` when the block ends.

  Raises:
    FileExistsError: there is something at `path` by then.
  """
  with _folder_beside(path) as folder:
    yield folder
    _sync(folder)
    try:
      if path.exists():
        raise FileExistsError
      folder.rename(path)
    except OSError as error:
      if error.errno == errno.ENOTEMPTY:  # it came meanwhile
        raise FileExistsError from None
      raise


@contextlib.contextmanager
def replaced_folder(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """Makes a folder to fill, which takes `path`'s place when the block ends.

  What `path` holds is always whole: the old, the new, or, for the moment
  between two renames, nothing; both then lie beside it, and who writes there
  next puts the new one in its place.
  """
  with _folder_beside(path) as folder:
    yield folder
    _sync(folder)
    if path.exists():
      old = folder.with_suffix(_OLD)
      path.rename(old)
      try:
        folder.rename(path)
      except OSError:
        old.rename(path)
        raise
      shutil.rmtree(old, ignore_errors=True)
    else:
      folder.rename(path)


@contextlib.contextmanager
def _folder_beside(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """Makes a folder with a name of its own, to be renamed; gone after an error.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  descriptor, folder = _claimed(path, is_folder=True)
  try:
    folder.chmod(0o755)
    yield folder
    _sync(path.parent)
  except BaseException:
    shutil.rmtree(folder, ignore_errors=True)
    raise
  finally:
    os.close(descriptor)


def _sync(folder: pathlib.Path) -> None:
  descriptor = os.open(folder, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
