"""A trial on a machine of a Ray cluster: what Ray's workers import.

A worker watches the trial's process, and reports how its epochs went. As it
imports no TensorFlow, it starts within a second and takes little memory.
"""

import pathlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from ray import tune

from tf_adapters.errors import InputError
from tf_adapters.experiments.trial_process import TrialCommand, TrialProcess
from tf_adapters.training.run_folder import read_epochs

_LOOK_EVERY = 0.2  # seconds
_REPORT_EVERY = 1.0  # seconds, even if nothing has happened


class RayTrial(tune.Trainable):
  """A `TrialProcess`, as Ray Tune knows trials.

  A result has the keys "adopted", and "ended" with "error", as
  `TrialProcess.error` says it; once an epoch is done also "epoch" and "score",
  the best one so far of the first metric on the validation split.
  """

  def setup(self, config: dict[str, Any]) -> None:
    self._command: TrialCommand = config["trial"]["command"]
    self._process: TrialProcess | None = None
    self._is_to_end = False
    self._asked = False
    self._scores: dict[str, Any] = {}

  def reset_config(self, new_config: dict[str, Any]) -> bool:
    """Lets a worker go on with another trial, rather than start one for it."""
    self.setup(new_config)
    return True

  def ask_to_end(self) -> None:
    """Lets the process end with its state saved; `step` says when it has."""
    self._is_to_end = True

  def step(self) -> dict[str, Any]:
    """Waits for something to report: an epoch, or the end."""
    if self._process is None:
      if self._is_to_end:
        return self._result(ended=True)
      try:
        self._process = TrialProcess(self._command)
      except InputError as error:
        return self._result(ended=True, error=str(error))
    if self._is_to_end and not self._asked:
      self._asked = True
      if self._process.adopted:
        return self._result(ended=True)
      self._process.stop()
    until = time.monotonic() + _REPORT_EVERY
    while True:
      status = self._process.poll()
      if self._next_epoch():
        return self._result()
      if status is not None:
        return self._result(ended=True, error=self._process.error())
      if time.monotonic() > until:
        return self._result()
      time.sleep(_LOOK_EVERY)

  def cleanup(self) -> None:
    if self._process is not None:
      self._process.kill()

  def _next_epoch(self) -> bool:
    """Takes in one more epoch, so that each is reported."""
    done = self._scores.get("epoch", 0)
    scores = best_scores(self._command.output_dir)
    if len(scores) <= done:
      return False
    self._scores = {"epoch": done + 1, "score": scores[done]}
    return True

  def _result(self, ended: bool = False,
              error: str | None = None) -> dict[str, Any]:
    return {
        **self._scores, "ended": ended, "error": error, "done": ended,
        "adopted": self._process is not None and self._process.adopted}


def best_scores(output_dir: pathlib.Path) -> list[float]:
  """Returns the best score up to each epoch of a run; NaN where there is none.

  None at all without a labelled validation split.
  """
  scores = [next(iter(epoch["validation"].values()))
            for epoch in read_epochs(output_dir) if epoch.get("validation")]
  return np.fmax.accumulate(scores).tolist() if scores else []


def missing_folders(folders: Sequence[pathlib.Path]) -> list[str]:
  """Lists the folders that are not there."""
  return [str(folder) for folder in folders if not folder.is_dir()]
