"""Keeps the finished trials of a sweep in one file, and restores them.

The documents have tables of sweeps that took hours. Such a file is the evidence
behind a table, and lets its sweep go on elsewhere:

    python docs/scripts/trials.py keep SWEEP FILE --data_dir=DIR
    python docs/scripts/trials.py restore FILE SWEEP --data_dir=DIR

SWEEP is the output_dir of tf-adapters sweep, DIR the data_dir of its trials.
The file has a line of JSON for each trial: its flags and its results.json.
Adapter files are not kept. What a file has already stays in it. DIR is spelled
as in the trials' flags, or nothing is kept. A trial that is not whole is
restored, unless a process is at work on it.
"""

import argparse
import json
import pathlib
from typing import Any

from tf_adapters.errors import InputError
from tf_adapters.files.writing import output_dir_of, write_file
from tf_adapters.training.run_folder import (
    DATA_NAME,
    FLAGS_NAME,
    RESULTS_NAME,
    read_flags,
    read_results,
)

_DATA_DIR = "DATA_DIR"  # stands for the folder of the data


def keep(sweep: pathlib.Path, path: pathlib.Path, data_dir: str) -> int:
  """Writes the finished trials of a sweep to a file, beside those it has.

  Returns:
    How many trials the file has now.

  Raises:
    InputError: a trial was run with another data_dir, or is damaged.
  """
  data_dir = data_dir.rstrip("/")
  kept = {trial["trial"]: trial for trial in _read(path)}
  for results_path in sorted((sweep / "trials").rglob(RESULTS_NAME)):
    folder = results_path.parent
    results, flags = read_results(folder), read_flags(folder)
    if flags is None or not (results.get("steps") and results.get("evaluated")):
      continue
    del flags["output_dir"]
    if there := flags.get("data_dir"):  # other tools than glue have none
      flags["data_dir"] = there.rstrip("/")
      if flags["data_dir"] != data_dir:
        raise InputError(f"{folder}: has data_dir={there}, not {data_dir}: "
                         "give that as --data_dir")
    name = folder.relative_to(sweep / "trials").as_posix()
    kept[name] = _moved({"trial": name, "flags": flags, "results": results},
                        data_dir, _DATA_DIR)
  path.parent.mkdir(parents=True, exist_ok=True)
  write_file(path, "".join(
      json.dumps(kept[name]) + "\n" for name in sorted(kept)))
  return len(kept)


def restore(path: pathlib.Path, sweep: pathlib.Path, data_dir: str) -> int:
  """Makes folders of the trials of a file; those that are whole stay.

  Returns:
    How many folders were made.

  Raises:
    InputError: a process is at work on one of them.
  """
  count = 0
  for trial in _read(path):
    folder = sweep / "trials" / trial["trial"]
    if _is_whole(folder):
      continue
    folder.mkdir(parents=True, exist_ok=True)
    with output_dir_of("run", folder):
      _write(_moved(trial, _DATA_DIR, data_dir.rstrip("/")), folder)
    count += 1
  return count


def _is_whole(folder: pathlib.Path) -> bool:
  """Returns whether a trial has finished, and its results can be read."""
  try:
    return bool(read_results(folder))
  except InputError:
    return False


def _write(trial: dict[str, Any], folder: pathlib.Path) -> None:
  """Makes the folder of a trial; last what says that it has finished."""
  flags = {**trial["flags"], "output_dir": str(folder)}
  write_file(folder / FLAGS_NAME, "".join(
      f"--{name}={text}\n" for name, text in flags.items()))
  if "data" in trial["results"]:
    write_file(folder / DATA_NAME,
               json.dumps(trial["results"]["data"]["files"]))
  write_file(folder / RESULTS_NAME, json.dumps(trial["results"]))


def _read(path: pathlib.Path) -> list[dict[str, Any]]:
  return [json.loads(line) for line in path.read_text().splitlines()
          ] if path.exists() else []


def _moved(value: Any, old: str, new: str) -> Any:
  """Returns the value with another folder of the data in all its texts."""
  if isinstance(value, dict):
    return {_moved(key, old, new): _moved(one, old, new)
            for key, one in value.items()}
  if isinstance(value, list):
    return [_moved(one, old, new) for one in value]
  if isinstance(value, str) and (value == old or value.startswith(f"{old}/")):
    return new + value[len(old):]
  return value


def main() -> None:
  parser = argparse.ArgumentParser(
      description=__doc__,
      formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("action", choices=["keep", "restore"])
  parser.add_argument("source", type=pathlib.Path)
  parser.add_argument("target", type=pathlib.Path)
  parser.add_argument("--data_dir", required=True)
  args = parser.parse_args()
  if not args.source.exists():
    parser.error(f"{args.source}: no such file or folder")
  action, what = {"keep": (keep, ""), "restore": (restore, " restored")}[
      args.action]
  try:
    count = action(args.source, args.target, args.data_dir)
  except InputError as error:
    parser.error(str(error))
  print(f"{args.target}: {count} trials{what}")


if __name__ == "__main__":
  main()
