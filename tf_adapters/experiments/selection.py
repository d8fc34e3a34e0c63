"""Selects the best setting of each method, and says how good it is.

Settings are chosen by their validation scores alone: nothing here reads another
split before the choice is made.
"""

import dataclasses
import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from tf_adapters.experiments.records import Record, Trial, write_csv

T = TypeVar("T", bound=Trial)
_SELECTS = "validation"


@dataclasses.dataclass(frozen=True)
class Statistics:
  """Scores over seeds.

  Attributes:
    mean: their mean.
    std: their standard deviation, of a sample; None for one seed.
    sem: the standard error of the mean; None for one seed.
    n: how many there are.
  """

  mean: float
  std: float | None
  sem: float | None
  n: int

  @classmethod
  def of(cls, values: Sequence[float]) -> "Statistics":
    std = statistics.stdev(values) if len(values) > 1 else None
    return cls(statistics.fmean(values), std,
               None if std is None else std / math.sqrt(len(values)),
               len(values))

  def __str__(self) -> str:
    if self.sem is None:
      return f"{self.mean:.4f}"
    return f"{self.mean:.4f} ± {self.sem:.4f}"


@dataclasses.dataclass(frozen=True)
class Selected:
  """The best setting of a method on a task.

  Attributes:
    task, method: of the sweep.
    metric: the one that decides, the task's first; "" where no setting is
      complete yet.
    settings: flag -> text; None where no setting is complete yet.
    records: of the setting's seeds that have a score.
    scores: split -> metric -> statistics.
    compared: how many settings were compared, which have a score for every seed
      that selects.
    incomplete: how many were not, since such a seed has none.
  """

  task: str
  method: str
  metric: str = ""
  settings: Mapping[str, str] | None = None
  records: tuple[Record, ...] = ()
  scores: Mapping[str, Mapping[str, Statistics]] = dataclasses.field(
      default_factory=dict)
  compared: int = 0
  incomplete: int = 0

  @property
  def reported(self) -> str:
    """The split whose scores are the method's: the test split, or, where its
    labels are hidden, the one that was chosen by; "" without scores.
    """
    return next((split for split in ("test", _SELECTS) if split in self.scores),
                "")

  @property
  def score(self) -> Statistics:
    """The metric that decides, of the reported split."""
    return self.scores[self.reported][self.metric]

  def to_dict(self) -> dict[str, Any]:
    """As selected.json has it."""
    one = self.records[0].finished["parameters"] if self.records else {}
    return {
        "task": self.task,
        "method": self.method,
        "metric": self.metric or None,
        "settings": self.settings,
        "selected_by": _SELECTS,
        "reported": self.reported or None,
        "scores": {split: {name: dataclasses.asdict(value)
                           for name, value in values.items()}
                   for split, values in self.scores.items()},
        "settings_compared": self.compared,
        "settings_incomplete": self.incomplete,
        "trained_parameters": one.get("trained"),
        "total_parameters": one.get("total"),
        "trials": [record.trial.name for record in self.records],
    }


def select(records: Iterable[Record]) -> list[Selected]:
  """Chooses the best setting of every method on every task.

  That is the one with the highest mean over the seeds that select of the task's
  first metric on the validation split; of equals the one that trains fewer
  parameters, then the one with fewer steps, then the first. Only settings count
  that have a finite score with each of the seeds that select: a setting that
  diverges with one seed is none to be recommended, and means of other seeds do
  not compare.

  Args:
    records: of all trials, or those that select and some others.

  Returns:
    One for each task and method, sorted.
  """
  groups: dict[tuple[str, str], dict[str, list[Record]]] = {}
  for record in records:
    for method in record.trial.methods:
      settings = groups.setdefault((record.trial.task, method), {})
      settings.setdefault(record.trial.setting, []).append(record)
  return [_select(*names, groups[names]) for names in sorted(groups)]


def repetitions(trials: Iterable[T], records: Iterable[Record]) -> list[T]:
  """Returns the trials that repeat selected settings with more seeds.

  Args:
    trials: all of a sweep.
    records: of those that select.
  """
  settings = {(choice.task, choice.records[0].trial.setting)
              for choice in select(records) if choice.records}
  return [trial for trial in trials if not trial.selects
          and (trial.task, trial.setting) in settings]


def unselected(records: Iterable[Record]) -> list[Record]:
  """Returns finished trials that no further trial can make a selected one."""
  records = list(records)
  selected = {record.trial.name for choice in select(records)
              for record in choice.records}
  settings: dict[tuple[str, str], list[Record]] = {}
  for record in records:
    settings.setdefault(
        (record.trial.task, record.trial.setting), []).append(record)
  complete = [seeds for seeds in settings.values() if _is_complete(seeds)]
  return [record for record in itertools.chain(*complete)
          if record.trial.name not in selected]


def selected_csv(selected: Iterable[Selected]) -> str:
  """Writes a line for each task and method, of the first metric."""
  names = ["task", "method", "metric", "settings"]
  for split in ("validation", "reported"):
    names += [f"{split}_{field.name}"
              for field in dataclasses.fields(Statistics)]
  names += ["reported", "trained_parameters", "total_parameters",
            "settings_compared", "settings_incomplete"]
  rows = []
  for choice in selected:
    row = choice.to_dict()
    if choice.settings is not None:
      row["settings"] = choice.records[0].trial.setting
      for name, split in (("validation", _SELECTS),
                          ("reported", choice.reported)):
        row |= {f"{name}_{key}": value for key, value in dataclasses.asdict(
            choice.scores[split][choice.metric]).items()}
    rows.append({name: row.get(name) for name in names})
  return write_csv(names, rows)


def selected_table(selected: Iterable[Selected]) -> list[tuple[str, ...]]:
  """Makes rows of cells for the eye, the header first."""
  rows: list[tuple[str, ...]] = [
      ("task", "method", "setting", "metric", "validation", "reported",
       "seeds")]
  for choice in selected:
    if choice.settings is None:
      rows.append((choice.task, choice.method, "none is complete", "", "", "",
                   ""))
      continue
    rows.append((
        choice.task, choice.method, choice.records[0].trial.setting,
        choice.metric, str(choice.scores[_SELECTS][choice.metric]),
        f"{choice.reported} {choice.score}",
        str(len(choice.records))))
  return rows


def _select(task: str, method: str,
            settings: Mapping[str, Sequence[Record]]) -> Selected:
  # All of them in one sweep; of joined ones a setting may lack some.
  wanted = _seeds(itertools.chain(*settings.values()))
  complete = [records for records in settings.values()
              if _is_complete(records) and _seeds(records) == wanted]
  counts: dict[str, Any] = dict(
      compared=len(complete), incomplete=len(settings) - len(complete))
  if not complete:
    return Selected(task, method, **counts)
  best = [record for record in min(complete, key=_rank) if _has_score(record)]
  metrics = {
      split: {name: Statistics.of([
          record.metrics[split][name] for record in best])
          for name in best[0].metrics[split]
          # Runs of other versions may have other metrics behind the first.
          if all(name in record.metrics[split] for record in best)}
      for split in sorted(best[0].metrics)
      if all(split in record.metrics for record in best)}
  return Selected(
      task, method, _metric(best[0]), best[0].trial.settings, tuple(best),
      metrics, **counts)


def _metric(record: Record) -> str:
  return next(iter(record.metrics[_SELECTS]))


def _score(record: Record) -> float:
  """Returns the score that a trial is judged by; NaN if there is none."""
  values = record.metrics.get(_SELECTS) or {"": math.nan}
  return next(iter(values.values()))


def _has_score(record: Record) -> bool:
  return math.isfinite(_score(record))


def _is_complete(seeds: Sequence[Record]) -> bool:
  selecting = _selecting(seeds)
  return bool(selecting) and all(map(_has_score, selecting))


def _selecting(seeds: Iterable[Record]) -> list[Record]:
  return [record for record in seeds if record.trial.selects]


def _seeds(records: Iterable[Record]) -> set[int]:
  return {record.trial.seed for record in _selecting(records)}


def _rank(seeds: Sequence[Record]) -> tuple[Any, ...]:
  """Returns a number that is least for the best setting."""
  seeds = _selecting(seeds)
  first = seeds[0]
  return (-statistics.fmean(map(_score, seeds)),
          first.finished["parameters"]["trained"], first.finished["steps"],
          first.trial.name)
