"""Runs the trials of a sweep as processes on this machine."""

import os
import time
from collections.abc import Sequence

from tf_adapters.errors import InputError
from tf_adapters.experiments.asha import Asha
from tf_adapters.experiments.records import Record
from tf_adapters.experiments.runner import (
    Ended,
    command,
    say_adopted,
    say_stopping,
    unfinished,
)
from tf_adapters.experiments.trial_process import TrialProcess
from tf_adapters.experiments.trials import Trial
from tf_adapters.training.interruption import Interruption

_LOOK_EVERY = 0.2  # seconds


class LocalRunner:
  """A `Runner` that keeps so many processes at work.

  Args:
    tool: whose runs the trials are.
    max_parallel_trials: how many are run at a time, the cores shared among
      them.
  """

  asha: Asha | None = None

  def __init__(self, tool: str, max_parallel_trials: int = 1):
    self._tool = tool
    self._max_parallel_trials = max_parallel_trials
    self._threads = None
    if max_parallel_trials > 1:
      cores = len(os.sched_getaffinity(0))
      self._threads = max(cores // max_parallel_trials, 1)

  def run(self, records: Sequence[Record], ended: Ended,
          interruption: Interruption) -> None:
    """See `Runner`."""
    waiting = unfinished(records)
    running: list[tuple[Trial, TrialProcess]] = []
    stopping = False
    try:
      while running or (waiting and not interruption.signal):
        while (waiting and len(running) < self._max_parallel_trials
               and not interruption.signal):
          trial = waiting.pop(0)
          try:
            process = TrialProcess(command(trial, self._tool, self._threads))
          except InputError as error:
            ended(trial, str(error))
            continue
          if process.adopted:
            say_adopted(trial)
          running.append((trial, process))
        time.sleep(_LOOK_EVERY)
        if interruption.signal and not stopping:
          stopping = True
          running = [(trial, process) for trial, process in running
                     if not process.adopted]
          say_stopping(len(running))
          for _, process in running:
            process.stop()
        for trial, process in list(running):
          if process.poll() is not None:
            running.remove((trial, process))
            ended(trial, None if interruption.signal else process.error())
    finally:
      for _, process in running:
        process.kill()
