"""The files of a run's output_dir, and how they are read again.

What a run is, and what it does with the folder, is elsewhere. Nothing here
needs TensorFlow: who looks at runs that are over does not wait for it.
"""

import pathlib
import shutil
from collections.abc import Iterable
from typing import Any

from tf_adapters.errors import InputError
from tf_adapters.files.reading import read_file, read_json

FLAGS_NAME = "flags.flags"
RESULTS_NAME = "results.json"
DATA_NAME = "data.json"
CHECKPOINTS_NAME = "checkpoints"
EPOCHS_NAME = "epochs.json"  # among the checkpoints

# What a run has written, and another one in its place removes.
_WRITTEN = (RESULTS_NAME, FLAGS_NAME, DATA_NAME, CHECKPOINTS_NAME, "adapter",
            "predictions", "tensorboard")

# Flags that may differ between two calls for the same run.
ACTIONS = {
    "do_train", "do_eval", "do_predict", "output_dir", "eval_batch_size",
    "keep_checkpoints", "save_checkpoints_steps", "prefix_cache_dir",
    "steps_per_execution", "overwrite",
    # Where it makes a difference, one of the two calls is an error.
    "on_bad_row",
}


def read_results(output_dir: pathlib.Path) -> dict[str, Any]:
  """Reads results.json; {} where there is none.

  Raises:
    InputError: it cannot be read, or is damaged.
  """
  path = output_dir / RESULTS_NAME
  if not path.exists():
    return {}
  try:
    results = read_json(path)
  except InputError as error:
    raise InputError(f"{error}: remove it, and the run is done anew") from None
  missing = {"task", "tuning", "metrics", "seconds", "parameters",
             "hyperparameters"} - results.keys()
  if missing:
    raise InputError(
        f"{path}: damaged: it has no {', '.join(sorted(missing))}")
  best = results.get("best_epoch")
  if not isinstance(best, int | None):
    raise InputError(f"{path}: damaged: best_epoch is {best!r:.40}")
  if "losses" not in results and "best_epoch" in results:
    # Version 0.1 wrote no losses, and counted epochs from 0.
    results["losses"] = []
    if best is not None:
      results["best_epoch"] = best + 1
  return results


def remove_run(output_dir: pathlib.Path) -> None:
  """Removes what a run has written; other files stay."""
  for name in _WRITTEN:
    path = output_dir / name
    if path.is_dir():
      shutil.rmtree(path)
    else:
      path.unlink(missing_ok=True)


def read_epochs(output_dir: pathlib.Path) -> list[dict[str, Any]]:
  """Reads the metrics of a run's finished epochs, while it trains or after.

  Returns:
    The validation metrics of each epoch, {split: {name: value}}; none where
    there is nothing to be read.
  """
  results = output_dir / RESULTS_NAME
  try:
    return read_json(results if results.exists() else
                     output_dir / CHECKPOINTS_NAME / EPOCHS_NAME)["epochs"]
  except (InputError, KeyError):
    return []


def read_flags(output_dir: pathlib.Path) -> dict[str, str] | None:
  """Reads the flags of the run, flag -> text; None where there is no run.

  Raises:
    InputError: the file cannot be read.
  """
  path = output_dir / FLAGS_NAME
  if not path.exists():
    return None
  try:
    flags = flag_values(read_file(path).decode().splitlines())
  except UnicodeDecodeError as error:
    raise InputError(f"{path}: cannot be read: {error}") from None
  if flags.get("tuning") == "no_bert":  # so version 0.1 called it
    flags |= {"text_network": "true", "tuning": "adapters"}
  return flags


def flag_values(lines: Iterable[str]) -> dict[str, str]:
  """Returns the flags of a flag file's lines, flag -> text."""
  return dict(line.removeprefix("--").split("=", 1) for line in lines
              if line.startswith("--") and "=" in line)
