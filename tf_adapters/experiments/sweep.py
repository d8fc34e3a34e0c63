"""Runs the trials of a sweep, and keeps the tables of it in its folder.

Each trial is a run in a folder of its own, so that a sweep that was stopped, in
whatever way, goes on with what is missing. What a trial is stands in `trials`,
what is made of their results in `records` and `selection`.
"""

import dataclasses
import datetime
import json
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

from tf_adapters.errors import InputError, say
from tf_adapters.experiments import selection
from tf_adapters.experiments.records import (
  FINISHED,
  STOPPED,
  UNFINISHED,
  Record,
  results_csv,
)
from tf_adapters.experiments.runner import Runner
from tf_adapters.experiments.spec import Spec
from tf_adapters.experiments.stopped import forget_stopped, read_stopped
from tf_adapters.experiments.sweep_folder import FORMAT_VERSION, SWEEP_NAME
from tf_adapters.experiments.trials import Trial
from tf_adapters.files.writing import output_dir_of, write_file, writing
from tf_adapters.training.defaults import FEWEST_EPOCHS
from tf_adapters.training.interruption import Interruption, interruptions
from tf_adapters.training.run_folder import CHECKPOINTS_NAME
from tf_adapters.training.run_plan import OtherRunError, finished_results

RESULTS_NAME = "results.csv"
SELECTED_JSON, SELECTED_CSV = "selected.json", "selected.csv"


def run_sweep(spec: Spec, trials: Sequence[Trial], output_dir: pathlib.Path,
              runner: Runner, keep_adapters: bool = False) -> list[Record]:
  """Runs what is not yet finished of a sweep.

  Trials that select come first, then those that repeat what is selected with
  the other seeds. One that fails does not stop the others, and is tried again
  when this is called again. One that ASHA stopped stays so, unless the runner
  is one without. The tables in `output_dir` are written anew after each trial.

  Args:
    spec: the sweep.
    trials: what `expand` makes of it, for the same `output_dir`.
    output_dir: the sweep's folder.
    runner: runs the trials.
    keep_adapters: keep the adapter file of every trial that is run, not only
      those of selected settings. What earlier calls left stays in any case.

  Returns:
    Records of the trials that select, and of those that repeat what is
    selected, in the order of `trials`.

  Raises:
    InputError: the folder cannot be written, holds runs with other flags, or
      another sweep is at work in it; ASHA cannot be applied.
    KeyboardInterrupt, SystemExit: Ctrl-C or SIGTERM, after all trials have
      ended with their state saved. A second one ends them at once.
  """
  if os.path.isfile(output_dir):
    raise InputError(f"output_dir {output_dir}: is a file, not a folder")
  with writing(f"output_dir {output_dir}"):
    output_dir.mkdir(parents=True, exist_ok=True)
  with output_dir_of("sweep", output_dir):
    if runner.asha is None:
      forget_stopped(map(_folder, trials))
    else:
      runner.asha.check(spec, trials)
    sweep = _Sweep(spec, trials, output_dir, keep_adapters)
    with interruptions() as interruption:
      sweep.add(trial for trial in trials
                if trial.selects or _results(trial))
      _say_start(sweep, str(output_dir))
      _run(sweep, runner, interruption)
      for line in selection.edge_lines(selection.select(sweep.records)):
        say(f"{line}: a further one may be better")
      if not all(trial.selects for trial in trials):
        sweep.add(selection.repetitions(trials, sweep.records))
        _say_start(sweep, "with the other seeds of what is selected")
        _run(sweep, runner, interruption)
    return sweep.records


class _Sweep:
  """The records of a sweep's trials, and the files that are made of them."""

  def __init__(self, spec: Spec, trials: Sequence[Trial],
               output_dir: pathlib.Path, keep_adapters: bool):
    self.spec = spec
    self._trials = trials
    self._output_dir = output_dir
    self._keep_adapters = keep_adapters
    self._records: dict[str, Record] = {}
    self._run: set[str] = set()  # in this call

  @property
  def records(self) -> list[Record]:
    """Of the trials that were added, in the order of all."""
    return [self._records[trial.name] for trial in self._trials
            if trial.name in self._records]

  def add(self, trials: Iterable[Trial]) -> None:
    """Takes in trials that it has not yet, and writes the tables."""
    for trial in trials:
      if trial.name not in self._records:
        self._records[trial.name] = self._read(trial)
    self.write()

  def update(self, trial: Trial, error: str | None = None) -> Record:
    """Reads what became of a trial, and writes the tables."""
    record = self._read(trial, error)
    self._records[trial.name] = record
    self._run.add(trial.name)
    self.write()
    return record

  def write(self) -> None:
    """Writes the tables, and drops adapter files that are not wanted.

    Those of earlier calls stay: another sweep in the folder may want them.
    """
    selected = selection.select(self.records)
    for name, content in (
        (SWEEP_NAME, _json(self._to_dict())),
        (RESULTS_NAME, results_csv(self.records)),
        (SELECTED_JSON, _json([choice.to_dict() for choice in selected])),
        (SELECTED_CSV, selection.selected_csv(selected))):
      with writing(self._output_dir / name):
        write_file(self._output_dir / name, content)
    if not self._keep_adapters:
      for record in selection.unselected(self.records):
        if record.trial.name in self._run:
          _remove(record.trial, "adapter")

  def _read(self, trial: Trial, error: str | None = None) -> Record:
    results = _results(trial)
    record = Record(trial, results) if results else Record(
        trial, None, error, read_stopped(_folder(trial)))
    # A run that is killed behind its last word leaves them.
    if record.status == FINISHED and not trial.config.keep_checkpoints:
      _remove(trial, CHECKPOINTS_NAME)
    return record

  def _to_dict(self) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "spec": dataclasses.asdict(self.spec),
        "trials": [{
            "task": record.trial.task,
            "methods": record.trial.methods,
            "settings": record.trial.settings,
            "seed": record.trial.seed,
            "folder": f"trials/{record.trial.name}",
            "status": record.status,
            "error": record.error,
            "stopped": record.stopped and record.stopped.to_dict(),
        } for record in self.records]}


def _results(trial: Trial) -> dict[str, Any] | None:
  """Returns results.json of a trial that has finished, else None.

  Raises:
    InputError: the folder holds another run, or is damaged.
  """
  try:
    return finished_results(trial.config)
  except OtherRunError as error:
    raise InputError(f"{error.what}: choose another output_dir, or remove the "
                     "trial's folder to run it anew") from None


def _folder(trial: Trial) -> pathlib.Path:
  return pathlib.Path(trial.config.output_dir)


def _remove(trial: Trial, name: str) -> None:
  shutil.rmtree(_folder(trial) / name, ignore_errors=True)


def _json(values: Any) -> str:
  return json.dumps(values, indent=2, allow_nan=False) + "\n"


def _say_start(sweep: _Sweep, what: str) -> None:
  total = len(sweep.records)
  counts = [f"{total} trial{'s' * (total != 1)}"]
  for status in (FINISHED, STOPPED):
    count = sum(record.status == status for record in sweep.records)
    if count or status == FINISHED:
      counts.append(f"{count} of them {status}")
  say(f"{what}: {', '.join(counts)}")


def _run(sweep: _Sweep, runner: Runner, interruption: Interruption) -> None:
  """Runs what is unfinished, until nothing is left or a signal comes."""
  progress = _Progress(sweep)

  def ended(trial: Trial, error: str | None) -> None:
    record = sweep.update(trial, error)
    if record.status != UNFINISHED:
      progress.print(record)

  runner.run(sweep.records, ended, interruption)
  if interruption.signal:
    progress.print_stopped()
    interruption.stop()


class _Progress:
  """A line for each trial that ends, with about the time that is left.

  Epochs are what trials are measured by.
  """

  def __init__(self, sweep: _Sweep):
    self._sweep = sweep
    # Where that depends on the data, about.
    self._left = {record.trial.name: (
        record.trial.config.num_train_epochs or FEWEST_EPOCHS)
                  for record in sweep.records if record.status == UNFINISHED}
    self._done = 0
    self._started = time.monotonic()

  def print(self, record: Record) -> None:
    """Says that a trial has ended."""
    epochs = self._left.pop(record.trial.name)
    self._done += record.stopped.epoch if record.stopped else epochs
    records = self._sweep.records
    ended = sum(record.status != UNFINISHED for record in records)
    what = f"failed: {record.error}"
    if record.stopped is not None and record.status == STOPPED:
      what = (f"stopped after epoch {record.stopped.epoch}: validation "
              f"{record.stopped.score:.4f}")
    elif record.status == FINISHED:
      scores = next(iter(record.metrics.items()), None)
      what = f"{_clock(record.finished['seconds']['total'])}"
      if scores:
        split, values = scores
        name, value = next(iter(values.items()))
        what = f"{split} {name} {value:.4f}, {what}"
    seconds = time.monotonic() - self._started
    left = sum(self._left.values()) * seconds / self._done
    width = len(str(len(records)))
    say(f"[{ended:{width}}/{len(records)}] {record.trial.name}: {what}; "
        f"{_clock(left)} left")

  def print_stopped(self) -> None:
    """Says how to go on."""
    left = len(self._left)
    print(f"stopped with {left} trial{'s' * (left != 1)} left; the same "
          "command goes on", file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
  return str(datetime.timedelta(seconds=round(seconds)))
