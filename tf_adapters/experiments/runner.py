"""Runners of a sweep's trials: the protocol, and what all of them share."""

import pathlib
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from tf_adapters.errors import say
from tf_adapters.experiments.asha import Asha
from tf_adapters.experiments.records import UNFINISHED, Record
from tf_adapters.experiments.trial_process import TrialCommand
from tf_adapters.experiments.trials import Trial
from tf_adapters.training.interruption import Interruption

Ended = Callable[[Trial, str | None], None]


class Runner(Protocol):
  """Where trials are run.

  Attributes:
    asha: stops trials that select; None: all are run to their end.
  """

  asha: Asha | None

  def run(self, records: Sequence[Record], ended: Ended,
          interruption: Interruption) -> None:
    """Runs what is unfinished, and returns when no trial is at work any more.

    Args:
      records: of all trials that were ever asked for.
      ended: is called with each trial that has ended, and why it failed, in one
        line, or None.
      interruption: whether to begin no more, and to ask those at work to end
        with their state saved.

    Raises:
      InputError: what is needed to run them is not there.
      KeyboardInterrupt, SystemExit: a second signal, after trials were ended.
    """


def unfinished(records: Iterable[Record]) -> list[Trial]:
  """Returns the trials that are to be run."""
  return [record.trial for record in records if record.status == UNFINISHED]


def command(trial: Trial, tool: str, threads: int | None) -> TrialCommand:
  """Returns the command that runs a trial."""
  return TrialCommand(
      tool, tuple(trial.config.flag_lines()),
      pathlib.Path(trial.config.output_dir).absolute(), pathlib.Path.cwd(),
      threads)


def say_adopted(trial: Trial) -> None:
  """Says that a trial's process is not ours."""
  say(f"{trial.name}: a process of an earlier sweep is at work on it; "
      "waiting for its end")


def say_stopping(count: int) -> None:
  """Says that so many trials were asked to end."""
  if count:
    print("stopping a trial, which saves its state; once more ends it at once"
          if count == 1 else
          f"stopping {count} trials, which save their state; once more ends "
          "them at once", file=sys.stderr, flush=True)
