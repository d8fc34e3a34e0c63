"""Finds the files of a folder that are the splits of a user's own task."""

import os
import pathlib
import re
from collections.abc import Mapping

from tf_adapters.errors import InputError, listed

# What else data lies in: files of these endings that are not read are named.
_OTHER_DATA = {".tsv", ".csv", ".txt", ".json", ".jsonl", ".ndjson", ".xlsx",
               ".xls", ".parquet", ".conll", ".conllu", ".gz", ".zip"}

_TABLES = (".tsv", ".csv", ".jsonl", ".ndjson", ".json", ".parquet")


def data_folder(data_dir: str) -> pathlib.Path:
  """Returns the folder of a task's files.

  Raises:
    InputError: there is none.
  """
  folder = pathlib.Path(data_dir)
  if os.path.isfile(folder):
    raise InputError(f"{folder}: is a file: data_dir is the folder that it "
                     f"lies in, {folder.parent}; a table alone is for "
                     "tf-adapters train, as --data")
  if not os.path.isdir(folder):
    raise InputError(f"{folder}: no such folder; data_dir says where it is")
  return folder


def find_splits(folder: pathlib.Path, patterns: Mapping[str, str],
                endings: tuple[str, ...], expected: str,
                ) -> tuple[dict[str, pathlib.Path], str]:
  """Returns the file of each split, by its name.

  A file whose name is of two splits, such as train_dev.tsv, is neither where
  there is one of each.

  Args:
    folder: the folder.
    patterns: split -> what is searched in names, in lower case.
    endings: of names that are looked at, in lower case.
    expected: what names are expected, for messages.

  Returns:
    {split: path}, and a note on data that is not read, or "".

  Raises:
    InputError: there is no file, or several for a split.
  """
  there = [path for path in sorted(folder.iterdir())
           if not path.name.startswith(".")]
  paths = [path for path in there if path.suffix.lower() in endings]
  named = {path: [split for split, pattern in patterns.items()
                  if re.search(pattern, path.name.lower())] for path in paths}
  files: dict[str, pathlib.Path] = {}
  for split in patterns:
    found = ([path for path in paths if named[path] == [split]]
             or [path for path in paths if split in named[path]
                 and path not in files.values()])
    if len(found) > 1:
      raise InputError(
          f"{folder}: both {found[0].name} and {found[1].name} could be the "
          f"{split} split")
    if found:
      files[split] = found[0]
  if not files:
    names = [path.name for path in there]
    alone = ""
    if len(paths) == 1 and paths[0].suffix.lower() in _TABLES:
      alone = (f": rename it to train{paths[0].suffix}, or give the file "
               f"itself, as in tf-adapters train --data={paths[0]}")
    raise InputError(
        f"{folder}: no files: expected {expected}; "
        + (f"there is {listed(names, 8)}" if names else "it is empty")
        + alone
        + ("; spreadsheets have to be saved as CSV" if any(
            name.lower().endswith((".xlsx", ".xls", ".ods"))
            for name in names) else ""))
  unread = [path.name for path in there if path not in files.values()
            and (named.get(path) or path.suffix.lower() in _OTHER_DATA)]
  return files, (f"not read in {folder}: {listed(unread, 8)}" if unread else "")
