"""Where an adapter file may be written: by it nothing else is lost."""

import os
import pathlib
from collections.abc import Collection

from tf_adapters.adapter_files.card import CARD_NAME
from tf_adapters.adapter_files.info import CONFIG_NAME
from tf_adapters.adapter_files.tensors import WEIGHTS_NAME
from tf_adapters.errors import InputError, check_name
from tf_adapters.files.reading import read_json

_OURS = frozenset({CONFIG_NAME, WEIGHTS_NAME, CARD_NAME})


def is_ours(folder: pathlib.Path) -> bool:
  """Returns whether an adapter file is no other library's.

  Raises:
    InputError: its configuration cannot be read.
  """
  return "format_version" in read_json(folder / CONFIG_NAME)


def names_at(path: str | os.PathLike[str]) -> set[str]:
  """Names what an adapter file at a path would take the place of.

  Raises:
    InputError: there is something else than an adapter file.
  """
  check_name(path)
  folder = pathlib.Path(os.path.realpath(path))
  if not os.path.exists(folder):
    return set()
  names = set(os.listdir(folder)) if folder.is_dir() else None
  if names is None or (names and CONFIG_NAME not in names):
    raise InputError(f"{path}: is there already, and is no adapter file")
  return names


def check_place(path: str | os.PathLike[str],
                names: Collection[str] = _OURS, ours: bool = True) -> None:
  """Refuses a folder that holds something that would be lost.

  An adapter file takes the place of another one, as a whole: what else the
  folder has, such as a trainer's checkpoints, would go with it.

  Args:
    path: the folder to write.
    names: of the files that it will have.
    ours: whether it will be one of ours: these take no other library's place,
      nor do others take theirs.

  Raises:
    InputError: there is something else than such an adapter file.
  """
  there = names_at(path)
  if others := sorted(there - set(names)):
    raise InputError(
        f"{path}: holds {others[0]}, which would be lost: choose another "
        "folder")
  if there and is_ours(pathlib.Path(path)) != ours:
    raise InputError(
        f"{path}: is another library's adapter file, which would be lost: "
        "choose another folder")
