"""What became of a sweep's trials, and the table of it.

Where a trial stands is read from its folder; only why it failed is not there.
"""

import csv
import dataclasses
import io
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tf_adapters.experiments.trials import Trial
from tf_adapters.training.run import finished_results

FINISHED, FAILED, UNFINISHED = "finished", "failed", "unfinished"

# Columns behind the metrics.
_LAST = ("trained_parameters", "total_parameters", "seconds", "steps",
         "best_epoch", "folder")
_LOG_TAIL = 1 << 16  # bytes


@dataclasses.dataclass(frozen=True)
class Record:
  """A trial and what became of it.

  Attributes:
    trial: the trial.
    results: its results.json where it is finished, else None.
    error: why it failed, in one line; None where it did not.
  """

  trial: Trial
  results: Mapping[str, Any] | None = None
  error: str | None = None

  @property
  def status(self) -> str:
    if self.results is not None:
      return FINISHED
    return UNFINISHED if self.error is None else FAILED

  @property
  def metrics(self) -> Mapping[str, Mapping[str, float]]:
    """{split: {name: value}}, the metric that decides first."""
    return self.results["metrics"] if self.results else {}


def read_record(trial: Trial, error: str | None = None) -> Record:
  """A trial as its folder has it.

  Args:
    trial: the trial.
    error: why it failed, if it is not finished.

  Raises:
    InputError: the folder holds a run with other flags, or a damaged one.
  """
  results = finished_results(trial.config)
  return Record(trial, results, None if results else error)


def last_error(log: pathlib.Path, start: int = 0) -> str:
  """The line of a log that says why a run ended; its last one without such.

  Args:
    log: the file.
    start: where what the run said begins.
  """
  with open(log, "rb") as file:
    file.seek(max(log.stat().st_size - _LOG_TAIL, start))
    text = file.read().decode(errors="replace")
  lines = [line.strip() for line in re.split(r"[\r\n\b]+", text)]
  lines = [line for line in lines if line]
  errors = [line for line in lines if line.startswith("error: ")]
  return (errors or lines or ["it said nothing"])[-1].removeprefix("error: ")


def results_csv(records: Iterable[Record]) -> str:
  """A line for each trial: settings, seed, metrics and what they took.

  Metrics are called SPLIT/METRIC; what does not apply is empty.
  """
  rows, settings, metrics = [], set(), set()
  for record in records:
    trial, results = record.trial, record.results or {}
    parameters = results.get("parameters", {})
    scores = {f"{split}/{name}": value
              for split, values in record.metrics.items()
              for name, value in values.items()}
    settings |= trial.settings.keys()
    metrics |= scores.keys()
    rows.append({
        "task": trial.task,
        "methods": ";".join(trial.methods),
        **trial.settings,
        "seed": trial.seed,
        "status": record.status,
        **scores,
        "trained_parameters": parameters.get("trained"),
        "total_parameters": parameters.get("total"),
        "seconds": results.get("seconds", {}).get("total"),
        "steps": results.get("steps"),
        "best_epoch": results.get("best_epoch"),
        "folder": f"trials/{trial.name}",
    })
  return write_csv(
      ["task", "methods", *sorted(settings), "seed", "status",
       *sorted(metrics), *_LAST], rows)


def write_csv(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
  """Rows as CSV with a header; values that a row has not are empty."""
  text = io.StringIO()
  writer = csv.DictWriter(text, names, lineterminator="\n")
  writer.writeheader()
  writer.writerows(
      {name: "" if value is None else value for name, value in row.items()}
      for row in rows)
  return text.getvalue()
