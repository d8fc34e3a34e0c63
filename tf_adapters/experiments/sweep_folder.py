"""Reads finished and unfinished sweeps from their folders.

`sweep` writes these folders; `selection` and `report` use the records.
"""

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from tf_adapters.errors import InputError
from tf_adapters.experiments.records import FAILED, Record
from tf_adapters.experiments.selection import repetitions
from tf_adapters.experiments.spec import Spec
from tf_adapters.experiments.stopped import read_stopped
from tf_adapters.experiments.trials import Trial
from tf_adapters.files.reading import read_json
from tf_adapters.modeling.methods.table import method_from_dict
from tf_adapters.modeling.tuning import NETWORK, Tuning
from tf_adapters.training.run_folder import (
    ACTIONS,
    FLAGS_NAME,
    RESULTS_NAME,
    flag_values,
    read_flags,
    read_results,
)

SWEEP_NAME = "sweep.json"
FORMAT_VERSION = 1

_FOLDER = re.compile(r"trials/([^/]+)/([^/]+)/seed=(\d{1,19})", re.ASCII)
_MOST_BYTES = 1 << 28  # of sweep.json, with a few hundred bytes a trial

# What results.json has to have of a run, beside its metrics.
_NUMBERS = (("parameters", "trained"), ("parameters", "total"),
            ("parameters", "base"), ("steps",), ("seconds", "total"),
            ("hyperparameters", "learning_rate"))
_NO_SUCH_NUMBER = 1e15  # of parameters, steps or seconds
_NUMBER_FLAGS = {"holdout", "max_train_examples"}
_TEXTS = (("task",), ("tuning",), ("hyperparameters", "encoder"))


@dataclasses.dataclass(frozen=True)
class PastTrial:
  """A trial as a sweep's folder has it: `records.Trial`.

  Attributes:
    sweep: the sweep's folder, as it was given.
    name, task, methods, settings: as of a trial that is to be run.
    seed: the run's.
    selects: whether its seed is one of those by which settings are selected.
    flags: flag -> text, of the run; where it has not begun those that the sweep
      says.
  """

  sweep: str
  name: str
  task: str
  methods: tuple[str, ...]
  settings: Mapping[str, str]
  seed: int
  selects: bool
  flags: Mapping[str, str]

  @property
  def setting(self) -> str:
    return self.name.split("/")[1]


@dataclasses.dataclass(frozen=True)
class Sweep:
  """A sweep as its folder has it.

  Attributes:
    folder: as it was given.
    spec: what was asked for, as in sweep.json.
    records: of its trials, in its order. Those that repeat what is selected
      are there once it is.
  """

  folder: str
  spec: Mapping[str, Any]
  records: tuple[Record, ...]

  def seeds_of(self, task: str) -> set[int]:
    """Returns the seeds that what is selected on a task gets."""
    return set(self.spec["task_seeds"].get(task, self.spec["seeds"]))


def check_sweep(folder: str, whole: bool = True) -> None:
  """Refuses a folder that no sweep has written.

  Args:
    folder: the folder.
    whole: whether the sweep's own file is needed; its trials are enough for
      `sweep_of`.

  Raises:
    InputError: so it is.
  """
  wanted = [SWEEP_NAME] if whole else [SWEEP_NAME, "trials"]
  if not any(os.path.exists(os.path.join(folder, name)) for name in wanted):
    raise InputError(
        f"{folder}: is no sweep: it has no {SWEEP_NAME}; expected the "
        "output_dir of tf-adapters sweep")


def given_flags(folder: str) -> dict[str, str]:
  """Returns flags that a sweep was given beside its spec, in its last call.

  Raises:
    InputError: sweep.json is damaged.
  """
  path = pathlib.Path(folder, SWEEP_NAME)
  if not path.exists():
    return {}
  spec = _part(path, read_json(path, _MOST_BYTES), "spec", dict)
  # Earlier versions did not tell them from those of the spec.
  return _texts(path, spec, "given") if "given" in spec else {}


def read_sweep(folder: str) -> Sweep:
  """Reads a sweep, finished or at work.

  Where a trial stands is read from the trial's own folder.

  Raises:
    InputError: there is no sweep, or it is damaged; in one line with the file.
  """
  check_sweep(folder)
  path = pathlib.Path(folder, SWEEP_NAME)
  values = read_json(path, _MOST_BYTES)
  if values.get("format_version") != FORMAT_VERSION:
    raise InputError(
        f"{path}: format_version {values.get('format_version')!r:.20}, "
        f"expected {FORMAT_VERSION}")
  spec = _part(path, values, "spec", dict)
  flags = _texts(path, spec, "flags")
  tasks = _part(path, spec, "tasks", dict)
  _part(path, spec, "methods", dict)
  # Sweeps of earlier days do not say by which seeds they select: by all.
  spec.setdefault("selection_seeds", spec.get("seeds"))
  spec.setdefault("task_seeds", {})
  lists = {key: _part(path, spec, key, list)
           for key in ("seeds", "selection_seeds")}
  of_tasks = _part(path, spec, "task_seeds", dict)
  for key in of_tasks:
    lists[f"task_seeds.{key}"] = _part(path, of_tasks, key, list, "task_seeds")
  for key, seeds in lists.items():
    if not all(isinstance(seed, int) for seed in seeds):
      raise InputError(f"{path}: damaged: {key} are not all numbers")
  records = []
  for number, one in enumerate(_part(path, values, "trials", list)):
    where = f"trials[{number}]"
    if not isinstance(one, dict):
      raise InputError(f"{path}: damaged: {where} is no object")
    match = _FOLDER.fullmatch(str(one.get("folder")))
    if match is None or {".", ".."} & {match[1], match[2]}:
      raise InputError(f"{path}: damaged: {where}.folder is no trial's")
    methods = _part(path, one, "methods", list, where)
    settings = _texts(path, one, "settings", where)
    trial = PastTrial(
        folder, one["folder"].removeprefix("trials/"), match[1],
        tuple(map(str, methods)), settings, int(match[3]),
        selects=int(match[3]) in spec["selection_seeds"],
        flags={**flags, **_texts(path, tasks, match[1], "spec.tasks"),
               **settings})
    records.append(_read(trial, one))
  return Sweep(folder, spec, tuple(records))


def sweep_of(folder: str, spec: Spec, trials: Sequence[Trial]) -> Sweep:
  """Returns a sweep as a spec has it, whatever part the last call took.

  Args:
    folder: the sweep's.
    spec: what is asked for.
    trials: what `expand` makes of it.

  Raises:
    InputError: there is no sweep; results of its trials are damaged, or of runs
      with other flags than the spec says.
  """
  check_sweep(folder, whole=False)
  path = pathlib.Path(folder, SWEEP_NAME)
  states = {}
  if path.exists():
    values = _part(path, read_json(path, _MOST_BYTES), "trials", list)
    states = {str(one.get("folder")): one
              for one in values if isinstance(one, dict)}
  records = {}
  for trial in trials:
    wanted = {**spec.flags, **spec.tasks[trial.task], **trial.settings}
    past = PastTrial(
        folder, trial.name, trial.task, trial.methods, trial.settings,
        trial.seed, trial.selects, wanted)
    record = _read(past, states.get(f"trials/{trial.name}", {}))
    if record.trial is not past:  # its flags are those of the run
      _check_as_wanted(record, trial, wanted.keys() - ACTIONS)
    records[trial.name] = record
  known = [record for record in records.values()
           if record.trial.selects or record.results is not None]
  names = {trial.name for trial in repetitions(trials, known)}
  names |= {record.trial.name for record in known}
  return Sweep(folder, dataclasses.asdict(spec), tuple(
      record for name, record in records.items() if name in names))


def _check_as_wanted(record: Record, trial: Trial, names: Set[str]) -> None:
  """Refuses a run that had other flags than a spec's trial."""
  wanted = flag_values(trial.config.flag_lines())
  # Runs of earlier versions do not have flags that came later.
  for name in sorted(names & wanted.keys() & record.trial.flags.keys()):
    if record.trial.flags[name] != wanted[name]:
      raise InputError(
          f"{record.trial.sweep}/trials/{trial.name}: was run with "
          f"{name}={record.trial.flags[name]}, and not with {wanted[name]}: "
          "report without the spec, or remove its folder to run it anew")


def task_of(record: Record) -> str:
  """Returns the task of a trial, whatever the sweep calls it."""
  if record.results is not None:
    return record.results["task"]
  return record.trial.flags.get("task_name", record.trial.task)


def renamed(records: Iterable[Record]) -> set[str]:
  """Returns the tasks that a sweep names itself: none of the paper's."""
  return {record.trial.task for record in records
          if task_of(record) != record.trial.task}


def short_name(source: str) -> str:
  """Returns the last part of a path or a URL that is a name.

  Example:
    >>> short_name("tensorflow/bert_en_uncased_L-12_H-768_A-12/4")
    'bert_en_uncased_L-12_H-768_A-12'
  """
  names = [part for part in source.split("/") if not part.isdecimal()]
  return next((name for name in reversed(names) if name), source)


def _read(trial: PastTrial, one: Mapping[str, Any]) -> Record:
  """Reads the record of a trial.

  Args:
    trial: the trial.
    one: what sweep.json says of it.
  """
  folder = pathlib.Path(trial.sweep, "trials", trial.name)
  results = read_results(folder)
  if not (results.get("steps") and results.get("evaluated")):
    error = one.get("error") if one.get("status") == FAILED else None
    return Record(trial, None, error and str(error), read_stopped(folder))
  _check_results(folder / RESULTS_NAME, results)
  flags = read_flags(folder)
  if flags is None:
    return Record(trial, results)
  for name in _NUMBER_FLAGS & flags.keys():
    if not re.fullmatch(r"\d+(\.\d+)?", flags[name], re.ASCII):
      raise InputError(f"{folder / FLAGS_NAME}: damaged: {name} is no number")
  if "text_embedding" in flags and "encoder" in trial.flags:
    # The run has none, but stands beside others with the sweep's encoder.
    flags["encoder"] = trial.flags["encoder"]
  return Record(dataclasses.replace(trial, flags=flags), results)


def _check_results(path: pathlib.Path, results: Mapping[str, Any]) -> None:
  """Refuses results that lack what everybody reads."""
  for keys in (*_NUMBERS, *_TEXTS):
    value: Any = results
    for key in keys:
      value = value.get(key) if isinstance(value, dict) else None
    if keys in _TEXTS:
      fine, what = isinstance(value, str), "text"
    else:
      fine, what = (isinstance(value, int | float)
                    and not isinstance(value, bool)
                    and 0 <= value < _NO_SUCH_NUMBER), "number"
    if not fine:
      raise InputError(f"{path}: damaged: {'.'.join(keys)} is no {what}")
  try:
    tuning = Tuning.parse(results["tuning"])
  except InputError as error:
    raise InputError(f"{path}: damaged: {error}") from None
  if tuning.method != NETWORK and not results["parameters"]["base"]:
    raise InputError(f"{path}: damaged: parameters.base is 0")
  metrics = results["metrics"]
  if not (isinstance(metrics, dict) and metrics and all(
      isinstance(scores, dict) and scores and all(
          isinstance(score, int | float) and abs(score) < _NO_SUCH_NUMBER
          for score in scores.values())
      for scores in metrics.values())):
    raise InputError(f"{path}: damaged: metrics are not numbers by split")
  adapter = results["hyperparameters"].get("adapter")
  wanted = tuning.method == "adapters" or adapter is not None
  if wanted:
    values = _part(path, results["hyperparameters"], "adapter", dict,
                   "hyperparameters")
    if not values:
      raise InputError(f"{path}: damaged: hyperparameters.adapter is empty")
    try:
      method_from_dict(values)
    except InputError as error:
      raise InputError(
          f"{path}: damaged: hyperparameters.adapter: {error}") from None


def _part(path: pathlib.Path, values: Mapping[str, Any], key: str,
          kind: type, where: str = "") -> Any:
  if not isinstance(values.get(key), kind):
    name = ".".join(filter(None, (where, key)))
    raise InputError(f"{path}: damaged: {name} is no "
                     f"{'list' if kind is list else 'object'}")
  return values[key]


def _texts(path: pathlib.Path, values: Mapping[str, Any], key: str,
           where: str = "") -> dict[str, str]:
  part = _part(path, values, key, dict, where)
  if not all(isinstance(value, str) for value in part.values()):
    name = ".".join(filter(None, (where, key)))
    raise InputError(f"{path}: damaged: {name} are not all texts")
  return part
