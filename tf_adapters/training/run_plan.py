"""Finds out what is left to do of a run in its folder.

Without TensorFlow, which takes seconds to import: flags that contradict the
folder or the adapter file, and files that have changed since.
"""

import dataclasses
import pathlib
from typing import Any

from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.adapter_files.opening import open_adapter
from tf_adapters.errors import InputError
from tf_adapters.modeling.methods.table import METHODS
from tf_adapters.training.run_config import (
    RunConfig,
    flag_text,
    method_flags,
)
from tf_adapters.training.run_data import check_unchanged
from tf_adapters.training.run_folder import (
    ACTIONS,
    flag_values,
    read_flags,
    read_results,
)

# Flag -> the option of a method's configuration that it is, and the preset's
# flag, which speaks for all of them.
_METHOD_FLAGS = {flag: (name, f"{method.suffix}_preset")
                 for method in METHODS.values()
                 for flag, name in method_flags(method).items()}
# Flags that need not be repeated where there is no training.
_FILES = {"data_dir", "data", "train_file", "predict_file"}
# Flags that are compared with the adapter file itself where it is loaded.
_MODEL = {
    "pooling", "do_lower_case", "tuning", "tune_layer_norms", "tune_pooler",
    "method", *_METHOD_FLAGS, *(preset for _, preset in _METHOD_FLAGS.values()),
}
# Flags whose default depends on the run -> what it was in older versions.
_OLDER_DEFAULTS: dict[str, Any] = {
    "pooling": "pooler", "learning_rate": 3e-4, "num_train_epochs": 3}
# Presets that were other functions in version 0.1, whose runs have no "method".
_OTHER_PRESETS = ("pfeiffer", "parallel")


def of_older_run(config: RunConfig, output_dir: pathlib.Path) -> RunConfig:
  """Returns the run as an older version began it in its folder.

  What depends on the run now had a default then, by which it goes on.

  Raises:
    InputError: the folder's flags cannot be read.
  """
  old = read_flags(output_dir) or {}
  return dataclasses.replace(config, **{
      name: value for name, value in _OLDER_DEFAULTS.items()
      if getattr(config, name) == getattr(type(config), name)
      and old.get(name) == flag_text(value)})


class OtherRunError(InputError):
  """The folder of a run holds another one.

  Attributes:
    what: which one, without what can be done.
  """

  def __init__(self, what: str, remedy: str = "choose another output_dir"):
    super().__init__(f"{what}: {remedy}, or begin anew with --overwrite")
    self.what = what


def check_same_run(config: RunConfig, output_dir: pathlib.Path) -> None:
  """Refuses a folder that was made with other flags.

  Training has to repeat all flags of the run, evaluation and prediction those
  that say how the data is read; they must not contradict the others.

  Raises:
    OtherRunError: the folder holds another run, or one of a preset that was
      another function when it began.
  """
  old = read_flags(output_dir)
  if old is None:
    return
  new = flag_values(config.flag_lines())
  defaults = flag_values(type(config)().flag_lines())
  names = old.keys() | new.keys()
  if not config.do_train:
    # An adapter file knows the model, but not how the data was read.
    common = {field.name for field in dataclasses.fields(RunConfig)}
    names = {name for name in names
             if name not in common or new.get(name) != defaults.get(name)}
    names -= {name for name in _FILES if name not in old or name not in new}
    names -= _MODEL
  for name in sorted(names - ACTIONS):
    # Older runs do not have flags that came later.
    before = old.get(name, defaults.get(name))
    if before != new.get(name):
      there = (f"without {name}, not with {new.get(name)}" if before is None
               else f"with {name}={before}, not {new.get(name, 'its default')}")
      raise OtherRunError(f"{output_dir} holds a run {there}")
  if (config.do_train and config.method_config() is not None
      and "method" not in old and config.adapter_preset in _OTHER_PRESETS):
    raise OtherRunError(
        f"{output_dir} holds a run of version 0.1, where adapter_preset="
        f"{config.adapter_preset} was another function",
        "finish it with that version, choose another output_dir")


def check_problem(problem_type: str, task_name: str, path: str,
                  info: AdapterInfo) -> None:
  """Refuses an adapter file that is for another kind of task."""
  if info.problem_type != problem_type:
    raise InputError(
        f"{path}: is for {info.problem_type}, but task {task_name} is "
        f"{problem_type}")


def check_flags(config: RunConfig, path: str,
                info: AdapterInfo) -> None:
  """Refuses model flags that contradict the adapter file to be loaded."""
  method = config.method_config()
  methods = (method and method.saved(), info.method)
  values = {
      "pooling": (config.pooling, info.pooling),
      "do_lower_case": (
          config.do_lower_case, info.tokenizer.get("lower_case")),
      "method": (config.method, info.method and info.method.name),
      **{flag: tuple(getattr(one, name, None) for one in methods)
         for flag, (name, _) in _METHOD_FLAGS.items()}}
  given = {field.name for field in dataclasses.fields(RunConfig)
           if getattr(config, field.name) != field.default}
  for name, (ours, theirs) in values.items():
    flag = name
    if name in _METHOD_FLAGS and name not in given:
      flag = _METHOD_FLAGS[name][1]
    if flag in given and ours != theirs:
      raise InputError(
          f"{path}: was made with {name}={theirs}, not {ours}: leave {flag} "
          "out")
  tuning = str(config.what_trains)
  if tuning not in (RunConfig.tuning, info.tuning):
    raise InputError(
        f"{path}: was made with tuning={info.tuning}, not {tuning}: leave "
        "the flag out")


@dataclasses.dataclass(frozen=True)
class Plan:
  """A plan of what a call of `run` has to do.

  Attributes:
    config: the run.
    todo: the steps that are asked for and not yet done.
    results: of those that are done.
    path, info: the adapter file to load, and what it says; None to train.
  """

  config: RunConfig
  todo: list[str]
  results: dict[str, Any]
  path: str | None
  info: AdapterInfo | None


def plan_run(config: RunConfig) -> Plan:
  """Finds out what is not yet done of a run.

  Raises:
    InputError: the folder holds another run, or a damaged results.json; a file
      that the run read has changed; the adapter file to be loaded does not
      exist, or does not fit.
  """
  output_dir = pathlib.Path(config.output_dir)
  if config.overwrite:
    return Plan(config, [step for step, wanted in (
        ("train", config.do_train), ("evaluate", config.do_eval),
        ("predict", config.do_predict)) if wanted], {}, None, None)
  config = of_older_run(config, output_dir)
  check_same_run(config, output_dir)
  check_unchanged(output_dir)
  results = read_results(output_dir)
  todo = _todo(config, output_dir, results)
  path, info = None, None
  if "train" not in todo:
    path = config.load_adapter or str(output_dir / "adapter")
    # What is finished stays so without its adapter file.
    if todo or pathlib.Path(path).exists():
      info = _check_adapter(config, output_dir, results, path)
  return Plan(config, todo, results, path, info)


def finished_results(config: RunConfig) -> dict[str, Any] | None:
  """Returns results.json of a run of which nothing is left to do, else None.

  Raises:
    InputError: the folder holds another run, or a damaged results.json; or a
      file that the run read has changed.
  """
  output_dir = pathlib.Path(config.output_dir)
  config = of_older_run(config, output_dir)
  check_same_run(config, output_dir)
  check_unchanged(output_dir)
  results = read_results(output_dir)
  return None if _todo(config, output_dir, results) else results


def _todo(config: RunConfig, output_dir: pathlib.Path,
          results: dict[str, Any]) -> list[str]:
  todo = []
  if config.do_train and not results.get("steps"):
    todo.append("train")
  if config.do_eval and (todo or not results.get("evaluated")):
    todo.append("evaluate")
  if config.do_predict and (todo or not (output_dir / "predictions").is_dir()):
    todo.append("predict")
  if todo and config.text_network and "train" not in todo:
    # No file holds the model: it comes from checkpoints, or is trained again.
    todo = ["train", *["evaluate"] * bool(results.get("evaluated")), *todo]
  return todo


def _check_adapter(
    config: RunConfig, output_dir: pathlib.Path, results: dict[str, Any],
    path: str) -> AdapterInfo:
  """Reads what the adapter file to be loaded says; refuses a wrong one."""
  if not (config.load_adapter or pathlib.Path(path).exists()):
    raise InputError(
        f"{path} does not exist: it was trained with --nosave_adapter, or "
        "removed since"
        if config.do_train else
        "do_eval and do_predict without do_train need load_adapter, or an "
        f"output_dir with a trained adapter: {path} does not exist")
  info = open_adapter(path).info
  if config.known_problem is not None:
    check_problem(config.known_problem, config.task_name, path, info)
  check_flags(config, path, info)
  if results.get("weights_sha256", info.weights_sha256) != info.weights_sha256:
    raise InputError(
        f"{path}: is another adapter file than the one that the results in "
        f"{output_dir} are of: choose another output_dir")
  return info
