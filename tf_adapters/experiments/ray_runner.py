"""Runs the trials of a sweep with Ray Tune: on all machines of a cluster.

A trial is the same process as elsewhere (`ray_trial`), in the same folder,
which all machines have to share. Ray says where there is room for it, and, with
ASHA, which trials are not worth going on with. What is kept of a sweep is in
its folder alone: nothing is resumed from what Ray writes.
"""

import collections
import logging
import math
import os
import pathlib
import shutil
import socket
import types
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tf_adapters.errors import InputError, first_line
from tf_adapters.experiments import ray_trial
from tf_adapters.experiments.asha import Asha
from tf_adapters.experiments.records import UNFINISHED, Record
from tf_adapters.experiments.runner import (
    Ended,
    command,
    say_adopted,
    say_stopping,
    unfinished,
)
from tf_adapters.experiments.stopped import Stopped, remember_stopped
from tf_adapters.experiments.trials import Trial
from tf_adapters.files.writing import writing
from tf_adapters.training.interruption import Interruption
from tf_adapters.training.run_plan import finished_results

# Trials whose worker is lost, with its machine, are started so often again.
_MOST_RESTARTS = 3
_QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}
_ANSWERS_WITHIN = 10.0  # seconds
_SMALL_STORE = 1 << 27  # bytes; no data goes through Ray


class RayRunner:
  """A `Runner`, connected to a cluster for as long as its block lasts.

  Args:
    tool: whose runs the trials are.
    output_dir: the sweep's folder.
    address: of the cluster; None for RAY_ADDRESS, or else a cluster of this
      machine's cores, which ends with the block.
    cpus_per_trial: CPUs that a trial takes, and threads that it has.
    gpus_per_trial: GPUs that a trial takes.
    asha: stops trials that select.

  Raises:
    InputError: there is no such cluster.
  """

  def __init__(self, tool: str, output_dir: pathlib.Path,
               address: str | None = None, cpus_per_trial: int = 1,
               gpus_per_trial: int = 0, asha: Asha | None = None):
    self.asha = asha
    self._tool = tool
    self._folder = output_dir.absolute() / ".ray"
    self._address = address or os.environ.get("RAY_ADDRESS")
    self._resources = {"CPU": cpus_per_trial, "GPU": gpus_per_trial}

  def __enter__(self) -> "RayRunner":
    if self._address and self._address != "auto":
      _check_address(self._address)
    os.environ.update(_QUIET)
    options: dict[str, Any] = {"address": self._address}
    if not self._address:
      options = {
          "address": "local", "num_cpus": len(os.sched_getaffinity(0)),
          "include_dashboard": False, "object_store_memory": _SMALL_STORE}
    try:
      ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
      raise InputError(
          f"ray_address {self._address or 'local'}: {first_line(error)}"
          ) from None
    return self

  def __exit__(self, *_: object) -> None:
    ray.shutdown()

  def run(self, records: Sequence[Record], ended: Ended,
          interruption: Interruption) -> None:
    """See `Runner`."""
    trials = {trial.name: trial for trial in unfinished(records)}
    if not trials:
      return
    scheduler = _Asha(self.asha, records)
    watch = _Watch(trials, scheduler, ended, interruption)
    name = uuid.uuid4().hex  # which is nowhere but in this folder
    try:
      with writing(self._folder):
        _remove(self._folder)  # what a sweep left that was killed
        (self._folder / name).mkdir(parents=True)
      self._check_machines([self._folder / name, pathlib.Path.cwd()])
      tune.Tuner(
          tune.with_resources(ray_trial.RayTrial, self._resources),
          param_space={"trial": tune.grid_search([
              {"name": trial.name,
               "command": command(trial, self._tool, self._resources["CPU"])}
              for trial in trials.values()])},
          tune_config=tune.TuneConfig(
              scheduler=scheduler, reuse_actors=True,
              trial_dirname_creator=lambda trial: trial.trial_id),
          run_config=tune.RunConfig(
              name=name, storage_path=str(self._folder), verbose=0,
              callbacks=[watch], stop=_Interrupted(watch),
              checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
              failure_config=tune.FailureConfig(max_failures=_MOST_RESTARTS))
      ).fit()
    finally:
      _remove(self._folder)

  def _check_machines(self, folders: Sequence[pathlib.Path]) -> None:
    """Refuses a cluster with no room, or whose machines do not see folders.

    Raises:
      InputError: names the machine and the folder.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]
    fitting = [node for node in nodes if all(
        node["Resources"].get(name, 0) >= count
        for name, count in self._resources.items())]
    if not fitting:
      raise InputError(
          "no machine of the cluster has "
          f"cpus_per_trial={self._resources['CPU']} and "
          f"gpus_per_trial={self._resources['GPU']}")
    check = ray.remote(ray_trial.missing_folders)
    answers = [
        check.options(num_cpus=0, scheduling_strategy=
                      NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                      ).remote(folders) for node in fitting]
    for node, answer in zip(fitting, answers):
      try:
        missing = ray.get(answer)
      except ray.exceptions.RayError as error:
        raise InputError(
            f"{node['NodeManagerAddress']}: cannot run trials: {_why(error)}"
            ) from None
      if missing:
        raise InputError(
            f"{node['NodeManagerAddress']}: does not see {missing[0]}: the "
            "machines of a sweep have to share its folders")


class _Asha(FIFOScheduler):
  """Ray's ASHA, among trials that compete for the same.

  These are the settings of one method on one task, with the same number of
  epochs, as the learning rate falls over all of them. A setting of several
  methods goes on as long as one of them wants it. What earlier calls have
  brought competes, too.

  Args:
    asha: the rule; None: all go on.
    records: of all trials.

  Attributes:
    stopped: name of a trial -> where it was asked to end.
  """

  def __init__(self, asha: Asha | None, records: Sequence[Record]):
    super().__init__()
    self.stopped: dict[str, Stopped] = {}
    self._epochs: dict[str, int] = {}
    self._rules: dict[str, list[ASHAScheduler]] = {}
    rules: dict[tuple[str, str, int], ASHAScheduler] = {}
    for record in records:
      trial = record.trial
      if asha is None or not asha.stops(trial):
        continue
      epochs = trial.config.num_train_epochs
      self._epochs[trial.name] = epochs
      self._rules[trial.name] = [
          rules.setdefault((trial.task, method, epochs), ASHAScheduler(
              "epoch", "score", "max", epochs, asha.grace_epochs,
              asha.reduction_factor, stop_last_trials=False))
          for method in trial.methods]
      if record.status != UNFINISHED:
        before = types.SimpleNamespace(trial_id=trial.name)
        self._add(trial.name, before)
        scores = ray_trial.best_scores(pathlib.Path(trial.config.output_dir))
        for epoch, score in enumerate(scores, 1):
          self._stops(trial.name, before, {"epoch": epoch, "score": score})

  def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
    name = _name(trial)
    self.stopped.pop(name, None)  # its worker was lost
    self._add(name, trial)

  def on_trial_result(
      self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
    # It ends by itself, rather than being taken off its machine at once.
    name = _name(trial)
    if ("score" in result and not result["ended"] and name not in self.stopped
        and self._stops(name, trial, result)):
      self.stopped[name] = Stopped(result["epoch"], result["score"])
      _ask_to_end(trial)
    return TrialScheduler.CONTINUE

  def _add(self, name: str, trial: Any) -> None:
    for rule in self._rules.get(name, ()):
      rule.on_trial_add(None, trial)

  def _stops(self, name: str, trial: Any, result: Mapping[str, Any]) -> bool:
    """Returns whether all rules say so.

    The last epoch is no place to stop.
    """
    if (result["epoch"] >= self._epochs.get(name, 0)
        or math.isnan(result["score"])):
      return False
    # All of them have to hear of it.
    answers = [rule.on_trial_result(None, trial, result)
               for rule in self._rules[name]]
    return all(answer == TrialScheduler.STOP for answer in answers)


class _Watch(tune.Callback):
  """Tells the sweep what comes of its trials.

  Args:
    trials: name -> trial, of those that are run.
    scheduler: knows which were asked to end.
    ended, interruption: as for `Runner.run`.
  """

  def __init__(self, trials: Mapping[str, Trial], scheduler: _Asha,
               ended: Ended, interruption: Interruption):
    self._trials = trials
    self._scheduler = scheduler
    self._ended = ended
    self._interruption = interruption
    self._adopted: set[str] = set()
    self._over: collections.deque[tuple[str, str | None]] = collections.deque()
    self._asked: set[str] | None = None

  def __getstate__(self) -> dict[str, Any]:
    return {}  # Ray keeps it to resume from; folders are what we resume from

  def is_over(self) -> bool:
    """Returns whether a signal came, and no trial is at work any more."""
    return self._asked is not None and not self._asked

  def on_trial_start(self, iteration: int, trials: list[Any], trial: Any,
                     **info: Any) -> None:
    if self._asked is not None:
      _ask_to_end(trial)  # before it begins

  def on_trial_result(self, iteration: int, trials: list[Any], trial: Any,
                      result: dict[str, Any], **info: Any) -> None:
    if result["adopted"] and _name(trial) not in self._adopted:
      self._adopted.add(_name(trial))
      say_adopted(self._trials[_name(trial)])

  def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any,
                        **info: Any) -> None:
    self._over.append((_name(trial), trial.last_result["error"]))

  def on_trial_error(self, iteration: int, trials: list[Any], trial: Any,
                     **info: Any) -> None:
    self._over.append((_name(trial), f"its worker failed: "
                       f"{_why(trial.get_error())}"))

  def on_step_begin(self, iteration: int, trials: list[Any],
                    **info: Any) -> None:
    if self._interruption.signal and self._asked is None:
      at_work = [trial for trial in trials if trial.status == trial.RUNNING]
      self._asked = {_name(trial) for trial in at_work}
      say_stopping(len(at_work))
      for trial in at_work:
        _ask_to_end(trial)

  def on_step_end(self, iteration: int, trials: list[Any],
                  **info: Any) -> None:
    # Errors of what is called from here end the sweep; Ray logs others away.
    while self._over:
      name, error = self._over.popleft()
      trial = self._trials[name]
      stopped = self._scheduler.stopped.get(name)
      if stopped and not finished_results(trial.config):
        remember_stopped(pathlib.Path(trial.config.output_dir), stopped)
      self._ended(
          trial, None if stopped or self._interruption.signal else error)
      if self._asked is not None:
        self._asked.discard(name)


class _Interrupted(tune.Stopper):
  """Ends what has not begun after a signal."""

  def __init__(self, watch: _Watch):
    self._watch = watch

  def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
    return False

  def stop_all(self) -> bool:
    return self._watch.is_over()


def _check_address(address: str) -> None:
  """Refuses an address where nothing answers: Ray would try for minutes."""
  host, _, port = address.rpartition(":")
  if not host or "/" in host or not port.isdecimal():
    raise InputError(
        f"ray_address {address}: expected HOST:PORT, or auto, on a machine of "
        "the cluster; Ray's client (ray://) cannot run a sweep")
  try:
    socket.create_connection((host, int(port)), _ANSWERS_WITHIN).close()
  except (OSError, OverflowError) as error:
    raise InputError(
        f"ray_address {address}: {first_line(error)}") from None


def _ask_to_end(trial: Any) -> None:
  """Lets a trial of Ray's end by itself."""
  trial.temporary_state.ray_actor.ask_to_end.remote()


def _name(trial: Any) -> str:
  return trial.config["trial"]["name"]


def _why(error: Exception) -> str:
  """Returns the last line of a trace from another process."""
  return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def _remove(folder: pathlib.Path) -> None:
  shutil.rmtree(folder, ignore_errors=True)
