"""Files and folders that are whole at any time, whatever kills the process."""

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator


def write_file(path: pathlib.Path, content: str | bytes) -> None:
  """Replaces a file: written beside it, brought to disk, renamed."""
  handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
  try:
    with open(handle, "wb") as file:
      file.write(content.encode() if isinstance(content, str) else content)
      file.flush()
      os.fsync(file.fileno())
    os.chmod(name, 0o644)  # mkstemp's files are for their owner alone
    os.replace(name, path)
  except BaseException:
    pathlib.Path(name).unlink(missing_ok=True)
    raise


@contextlib.contextmanager
def replaced_folder(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """A new folder to fill, which takes `path`'s place when the block ends."""
  path.parent.mkdir(parents=True, exist_ok=True)
  folder = pathlib.Path(tempfile.mkdtemp(
      prefix=f".{path.name}.", dir=path.parent))
  try:
    folder.chmod(0o755)
    yield folder
    _sync(folder)
    if path.exists():
      old = folder.with_name(folder.name + ".old")
      path.rename(old)
      folder.rename(path)
      shutil.rmtree(old)
    else:
      folder.rename(path)
    _sync(path.parent)
  except BaseException:
    shutil.rmtree(folder, ignore_errors=True)
    raise


def _sync(folder: pathlib.Path) -> None:
  descriptor = os.open(folder, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
