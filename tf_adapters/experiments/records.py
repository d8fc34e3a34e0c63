"""Results of a sweep's trials, and their table.

How a record is come by is elsewhere: `sweep` has the trials that it runs,
`sweep_folder` those of a sweep that was. Nothing here needs TensorFlow.
"""

import csv
import dataclasses
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from tf_adapters.experiments.stopped import Stopped

FINISHED, FAILED, UNFINISHED = "finished", "failed", "unfinished"
STOPPED = "stopped"  # by ASHA

# Columns behind the metrics.
_LAST = ("trained_parameters", "total_parameters", "seconds", "steps",
         "best_epoch", "warnings", "folder")


class Trial(Protocol):
  """A trial, wherever it is run: see `trials.Trial`."""

  @property
  def name(self) -> str: ...

  @property
  def task(self) -> str: ...

  @property
  def methods(self) -> tuple[str, ...]: ...

  @property
  def settings(self) -> Mapping[str, str]: ...

  @property
  def seed(self) -> int: ...

  @property
  def setting(self) -> str: ...

  @property
  def selects(self) -> bool: ...


@dataclasses.dataclass(frozen=True)
class Record:
  """A trial and what became of it.

  Attributes:
    trial: the trial: a `Trial`, and whatever else its maker knows of it.
    results: its results.json where it is finished, else None.
    error: why it failed, in one line; None where it did not.
    stopped: where it was stopped early; None where it was not, or has finished.
  """

  trial: Any
  results: Mapping[str, Any] | None = None
  error: str | None = None
  stopped: Stopped | None = None

  @property
  def status(self) -> str:
    if self.results is not None:
      return FINISHED
    if self.stopped is not None:
      return STOPPED
    return UNFINISHED if self.error is None else FAILED

  @property
  def finished(self) -> Mapping[str, Any]:
    """The results of a trial that has finished."""
    assert self.results is not None
    return self.results

  @property
  def metrics(self) -> Mapping[str, Mapping[str, float]]:
    """{split: {name: value}}, the metric that decides first."""
    return self.results["metrics"] if self.results else {}


def results_csv(
    records: Iterable[Record],
    origin: Callable[[Record], Mapping[str, str]] = lambda record: {}) -> str:
  """Writes a line for each trial: settings, seed, metrics and what they took.

  Metrics are called SPLIT/METRIC; what does not apply is empty.

  Args:
    records: of the trials.
    origin: columns that say where a record is from, the same for all.
  """
  rows: list[Mapping[str, Any]] = []
  origins: Mapping[str, str] = {}
  settings: set[str] = set()
  metrics: set[str] = set()
  for record in records:
    trial, results = record.trial, record.results or {}
    parameters = results.get("parameters", {})
    scores = {f"{split}/{name}": value
              for split, values in record.metrics.items()
              for name, value in values.items()}
    settings |= trial.settings.keys()
    metrics |= scores.keys()
    origins = origin(record)
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
        "warnings": ";".join(warnings_of(record)),
        "folder": f"trials/{trial.name}",
        **origins,
    })
  return write_csv(
      [*origins, "task", "methods", *sorted(settings - origins.keys()), "seed",
       "status",
       *sorted(metrics), *_LAST], rows)


def warnings_of(record: Record) -> list[str]:
  """Returns what a trial warned of, such as one label for all rows."""
  warnings = (record.results or {}).get("warnings")
  return list(map(str, warnings)) if isinstance(warnings, list) else []


def write_csv(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
  """Writes rows as CSV with a header; a value that a row lacks is empty."""
  text = io.StringIO()
  writer = csv.DictWriter(text, names, lineterminator="\n")
  writer.writeheader()
  writer.writerows(
      {name: "" if value is None else value for name, value in row.items()}
      for row in rows)
  return text.getvalue()
