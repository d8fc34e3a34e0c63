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

from tf_adapters.experiments.records import (
    FAILED,
    STOPPED,
    Record,
    Trial,
    write_csv,
)

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
    stopped: how many of these were stopped early, and so are out for good.
    failed: of the setting's seeds that failed.
    edges: flag -> "lowest" or "highest", where the setting has a number that
      nothing beyond it was tried of, all else the same.
    partial: whether settings or seeds are missing yet, as far as a report
      knows.
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
  stopped: int = 0
  failed: tuple[Record, ...] = ()
  edges: Mapping[str, str] = dataclasses.field(default_factory=dict)
  partial: bool = False

  @property
  def label(self) -> str:
    """The method's name, and its encoder's where that is a setting."""
    encoder = (self.settings or {}).get("encoder")
    return f"{self.method} with {encoder}" if encoder else self.method

  @property
  def validation(self) -> Statistics:
    """The score that the choice was made by: the metric that decides, on the
    validation split, of the seeds that select.
    """
    return Statistics.of([_score(record)
                          for record in _selecting(self.records)])

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
        "edges": dict(self.edges),
        "trained_parameters": one.get("trained"),
        "total_parameters": one.get("total"),
        "trials": [record.trial.name for record in self.records],
    }


def select(records: Iterable[Record],
           encoders_apart: bool = True) -> list[Selected]:
  """Chooses the best setting of every method on every task.

  Of a method that tries several encoders, one with each of them: scores of
  different encoders do not compare.

  The best is the one with the highest mean over the seeds that select of the
  task's first metric on the validation split; of equals the one that trains
  fewer parameters, then the one with fewer steps, then the first. Only settings
  count that have a finite score with each of the seeds that select: a setting
  that diverges with one seed is none to be recommended, and means of other
  seeds do not compare.

  Args:
    records: of all trials, or those that select and some others.
    encoders_apart: whether settings of a method may have several encoders;
      False where all records are of one, however it is given.

  Returns:
    One for each task, method and encoder, sorted.
  """
  groups: dict[tuple[str, str, str], dict[str, list[Record]]] = {}
  for record in records:
    trial = record.trial
    encoder = trial.settings.get("encoder", "") if encoders_apart else ""
    for method in trial.methods:
      settings = groups.setdefault((trial.task, method, encoder), {})
      settings.setdefault(trial.setting, []).append(record)
  return [_select(task, method, groups[task, method, encoder])
          for task, method, encoder in sorted(groups)]


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
            "settings_compared", "settings_incomplete", "edges"]
  rows = []
  for choice in selected:
    row = choice.to_dict()
    if choice.settings is not None:
      row["settings"] = choice.records[0].trial.setting
      for name, score in (("validation", choice.validation),
                          ("reported", choice.score)):
        row |= {f"{name}_{key}": value
                for key, value in dataclasses.asdict(score).items()}
    row["edges"] = ";".join(f"{name} {end}"
                            for name, end in choice.edges.items())
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
        choice.metric, str(choice.validation),
        f"{choice.reported} {choice.score}",
        str(len(choice.records))))
  return rows


def edge_lines(selected: Iterable[Selected]) -> list[str]:
  """Says of which choices a further value may be better, a line each.

  Example:
    "full on rte: learning_rate=0.0004 is the highest that was tried"
  """
  return [f"{choice.label} on {choice.task}: {name}={choice.settings[name]} "
          f"is the {end} that was tried"
          for choice in selected if choice.settings
          for name, end in choice.edges.items()]


def _select(task: str, method: str,
            settings: Mapping[str, Sequence[Record]]) -> Selected:
  # All of them in one sweep; of joined ones a setting may lack some.
  wanted = _seeds(itertools.chain(*settings.values()))
  complete = [records for records in settings.values()
              if _is_complete(records) and _seeds(records) == wanted]
  counts: dict[str, Any] = dict(
      compared=len(complete), incomplete=len(settings) - len(complete),
      stopped=sum(any(record.status == STOPPED for record in records)
                  for records in settings.values()))
  if not complete:
    return Selected(task, method, **counts)
  best = min(complete, key=_rank)
  scored = tuple(filter(_has_score, best))
  metrics = {
      split: {name: Statistics.of([
          record.metrics[split][name] for record in scored])
          for name in scored[0].metrics[split]
          # Runs of other versions may have other metrics behind the first.
          if all(name in record.metrics[split] for record in scored)}
      for split in sorted(scored[0].metrics)
      if all(split in record.metrics for record in scored)}
  return Selected(
      task, method, _metric(scored[0]), best[0].trial.settings, scored, metrics,
      failed=tuple(record for record in best if record.status == FAILED),
      edges=_edges(best[0].trial.settings, [
          records[0].trial.settings for records in settings.values()]),
      **counts)


def _edges(chosen: Mapping[str, str],
           tried: Sequence[Mapping[str, str]]) -> dict[str, str]:
  """Returns the flags of which nothing beyond the chosen value was tried."""
  edges = {}
  for name in sorted(chosen):
    numbers = [_number(one[name]) for one in tried if name in one
               and {**one, name: ""} == {**chosen, name: ""}]
    if len(set(numbers)) > 1 and not any(map(math.isnan, numbers)):
      ends = {min(numbers): "lowest", max(numbers): "highest"}
      value = _number(chosen[name])
      # Flags have no numbers below zero.
      if value in ends and (value > 0 or ends[value] == "highest"):
        edges[name] = ends[value]
  return edges


def _number(text: str) -> float:
  """Returns the number of a text; NaN if it is none."""
  try:
    return float(text)
  except ValueError:
    return math.nan


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
