"""The sha256 of every file that a run's data was read from.

They lie in the run's folder beside its flags, and belong to the run as these
do. Files that a run has not read yet, such as those of a test split that came
later, are added when it does.
"""

import functools
import hashlib
import json
import pathlib
from collections.abc import Iterable, Mapping

from tf_adapters.data.dataset import Dataset
from tf_adapters.errors import InputError
from tf_adapters.files.reading import read_json
from tf_adapters.files.writing import write_file
from tf_adapters.training.run_folder import DATA_NAME

# What was read, a split or the vocab_file -> file -> its sha256.
Digests = Mapping[str, Mapping[str, str]]


def digests_of(task: Dataset, vocab_file: str | None = None) -> Digests:
  """Computes the digests of a task's files, and of the vocabulary of its texts.

  Raises:
    InputError: a file cannot be read.
  """
  files = dict(task.files)
  if vocab_file is not None:
    files["vocab_file"] = [pathlib.Path(vocab_file)]
  return {what: {str(path): _digest(path) for path in paths}
          for what, paths in files.items()}


def check_unchanged(output_dir: pathlib.Path,
                    remedy: str = "choose another output_dir",
                    split: str | None = None) -> None:
  """Refuses a run whose files have changed since it read them.

  Takes no more than a look at them: nothing is loaded. What is no longer there
  has not changed.

  Args:
    output_dir: the run's folder; one of an older version knows nothing.
    remedy: what to do about it.
    split: whose files are looked at; None for all.

  Raises:
    InputError: a file has changed, or cannot be read.
  """
  for what, files in _read(output_dir).items():
    for name, digest in files.items() if split in (None, what) else ():
      path = pathlib.Path(name)
      if path.exists() and _digest(path) != digest:
        raise _changed(name, what, output_dir, remedy)


def check_same_data(digests: Digests, output_dir: pathlib.Path,
                    training: bool) -> None:
  """Refuses other data than a run was made of, wherever the files lie now.

  Args:
    digests: what was read now.
    output_dir: the run's folder; one of an older version knows nothing.
    training: whether the run has still to train: then all that it was made of
      has to be there.

  Raises:
    InputError: a split was read from a file with another content.
  """
  for what, before in _read(output_dir).items():
    now = digests.get(what)
    if now is None and training and what != "vocab_file":
      raise InputError(
          f"the run in {output_dir} has a {what} split, of "
          f"{', '.join(before)}, which is not there now: bring it back, or "
          "choose another output_dir")
    if now is not None and sorted(now.values()) != sorted(before.values()):
      other = [name for name, digest in now.items()
               if digest not in before.values()]
      raise _changed((other or list(now))[0], what, output_dir)


def add_data(digests: Digests, output_dir: pathlib.Path) -> None:
  """Notes what a run was made of; what it has noted before stays."""
  before = _read(output_dir)
  after = {**digests, **before}
  if after != before:
    write_file(output_dir / DATA_NAME, json.dumps(after, indent=2) + "\n")


def _changed(name: str, what: str, output_dir: pathlib.Path,
             remedy: str = "choose another output_dir") -> InputError:
  what = "vocab_file" if what == "vocab_file" else f"{what} split"
  return InputError(
      f"{name}: is not what the run in {output_dir} read as its {what}: the "
      f"file has changed; {remedy}")


def _read(output_dir: pathlib.Path) -> dict[str, dict[str, str]]:
  path = output_dir / DATA_NAME
  if not path.exists():
    return {}
  values = read_json(path)
  if not all(isinstance(files, dict) and all(
      isinstance(digest, str) for digest in files.values())
      for files in values.values()):
    raise InputError(f"{path}: damaged: expected files and their sha256")
  return values


def _digest(path: pathlib.Path) -> str:
  """Computes the sha256 of a file; of a folder's names and contents."""
  try:
    if path.is_dir():
      return _digest_of(sorted(
          file for file in path.rglob("*") if file.is_file()), path)
    status = path.stat()
    return _digest_of_file(path, status.st_size, status.st_mtime_ns)
  except OSError as error:
    raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def _digest_of(files: Iterable[pathlib.Path], folder: pathlib.Path) -> str:
  digest = hashlib.sha256()
  for file in files:
    status = file.stat()
    digest.update(f"{file.relative_to(folder)}\n".encode(
        errors="surrogateescape"))
    digest.update(_digest_of_file(
        file, status.st_size, status.st_mtime_ns).encode())
  return digest.hexdigest()


@functools.lru_cache(maxsize=1 << 16)
def _digest_of_file(path: pathlib.Path, size: int, changed: int) -> str:
  """Computes the sha256 of a file, once for all runs of a sweep.

  `size` and `changed` say whether it is the same file.
  """
  with open(path, "rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()
