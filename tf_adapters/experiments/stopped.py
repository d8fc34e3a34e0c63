"""Marks trials that were stopped early: a file NAME.stopped beside them.

By what rule is `asha`'s business. Nothing here needs TensorFlow.
"""

import dataclasses
import json
import pathlib
from collections.abc import Iterable
from typing import Any

from tf_adapters.errors import InputError
from tf_adapters.files.reading import read_json
from tf_adapters.files.writing import write_file, writing


@dataclasses.dataclass(frozen=True)
class Stopped:
  """Where a trial was stopped.

  Attributes:
    epoch: how many it has done.
    score: the best of them, by the task's first metric on the validation split.
  """

  epoch: int
  score: float

  def to_dict(self) -> dict[str, Any]:
    return dataclasses.asdict(self)


def remember_stopped(folder: pathlib.Path, stopped: Stopped) -> None:
  """Writes down that a trial was stopped.

  Args:
    folder: the trial's.
    stopped: where.

  Raises:
    InputError: the file cannot be written.
  """
  path = _marker(folder)
  with writing(path):
    write_file(path, json.dumps(stopped.to_dict()) + "\n")


def read_stopped(folder: pathlib.Path) -> Stopped | None:
  """Reads where a trial was stopped; None where it was not.

  Raises:
    InputError: the file is damaged.
  """
  path = _marker(folder)
  if not path.exists():
    return None
  try:
    return Stopped(**read_json(path))
  except TypeError:
    raise InputError(f"{path}: damaged: remove it to let the trial go on"
                     ) from None


def forget_stopped(folders: Iterable[pathlib.Path]) -> None:
  """Lets trials go on that were stopped."""
  for folder in folders:
    path = _marker(folder)
    with writing(path):
      path.unlink(missing_ok=True)


def _marker(folder: pathlib.Path) -> pathlib.Path:
  return folder.with_name(f"{folder.name}.stopped")
