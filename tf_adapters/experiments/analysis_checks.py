"""Checks an analysis before TensorFlow is imported."""

import os

from tf_adapters.adapter_files.info import AdapterInfo, read_info
from tf_adapters.adapter_files.opening import open_adapter
from tf_adapters.adapter_files.place import check_place
from tf_adapters.errors import InputError
from tf_adapters.files.writing import check_output_dir
from tf_adapters.modeling.tuning import Tuning
from tf_adapters.training.run_checks import check, check_encoder
from tf_adapters.training.run_config import RunConfig
from tf_adapters.training.run_plan import check_flags, check_problem

PRUNINGS = ("lowest", "greedy")


def check_analysis(config: RunConfig,
                   save_pruned: str | os.PathLike[str] | None = None,
                   pruned_by: str = "greedy") -> AdapterInfo:
  """Refuses what cannot be analysed, before anything is loaded.

  Args:
    config, save_pruned, pruned_by: as for `analysis.analyse`.

  Returns:
    What the adapter file says.

  Raises:
    InputError: flags contradict each other or the adapter file; it cannot be
      read, or holds no adapters; or something is not there, or cannot be
      written.
  """
  check(config)
  check_output_dir(config.output_dir)
  info = _read(config)
  _check_output(config, save_pruned, pruned_by)
  config.check_data()
  check_encoder(config, config.load_adapter, info)
  return info


def _read(config: RunConfig) -> AdapterInfo:
  """Reads what an adapter file says; refuses one that cannot be analysed."""
  path = str(config.load_adapter)
  info = open_adapter(path).info
  if Tuning.parse(info.tuning).method != "adapters" or info.adapter is None:
    raise InputError(f"{path}: was tuned with {info.tuning}: expected a file "
                     "of adapters")
  if config.known_problem is not None:
    check_problem(config.known_problem, config.task_name, path, info)
  check_flags(config, path, info)
  return info


def _check_output(config: RunConfig,
                  save_pruned: str | os.PathLike[str] | None,
                  pruned_by: str) -> None:
  """Raises InputError for a pruned file that cannot be written, or is none."""
  if save_pruned is None:
    if pruned_by != "greedy":
      raise InputError(f"pruning={pruned_by} has no effect without "
                       "save_pruned: leave it out")
    return
  read_info(config.load_adapter or "")  # what is written is a file of ours
  check_place(save_pruned)
  if os.path.realpath(save_pruned) == os.path.realpath(
      str(config.load_adapter)):
    raise InputError(
        f"save_pruned={save_pruned}: is the adapter file to be analysed")
