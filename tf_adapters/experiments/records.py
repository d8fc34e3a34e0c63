"""What became of a sweep's trials, and the table of it.

How a record is come by is elsewhere: `sweep` has the trials that it runs,
`sweep_folder` those of a sweep that was. Nothing here needs TensorFlow.
"""

import csv
import dataclasses
import io
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

FINISHED, FAILED, UNFINISHED = "finished", "failed", "unfinished"

# Columns behind the metrics.
_LAST = ("trained_parameters", "total_parameters", "seconds", "steps",
         "best_epoch", "folder")
_LOG_TAIL = 1 << 16  # bytes


class Trial(Protocol):
  """What is known of a trial wherever it is: see `trials.Trial`."""

  name: str
  task: str
  methods: tuple[str, ...]
  settings: Mapping[str, str]
  seed: int
  setting: str
  selects: bool


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


def results_csv(
    records: Iterable[Record],
    origin: Callable[[Record], Mapping[str, str]] = lambda record: {}) -> str:
  """A line for each trial: settings, seed, metrics and what they took.

  Metrics are called SPLIT/METRIC; what does not apply is empty.

  Args:
    records: of the trials.
    origin: columns that say where a record is from, the same for all.
  """
  rows, origins, settings, metrics = [], {}, set(), set()
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
        **origins,
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
      [*origins, "task", "methods", *sorted(settings), "seed", "status",
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
