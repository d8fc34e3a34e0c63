"""The tables of a report: those of the paper with a sweep's rows, and others.

Rows of the paper say that they are; whatever else is in a table was measured by
the trials. What is best was chosen by `selection`; how a table is set is the
business of `document`.
"""

import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tf_adapters.experiments import paper_figures
from tf_adapters.experiments.paper_figures import PaperTable
from tf_adapters.experiments.pictures import metric_label
from tf_adapters.experiments.records import write_csv
from tf_adapters.experiments.selection import Selected, Statistics
from tf_adapters.experiments.sweep_folder import short_name, task_of
from tf_adapters.experiments.table_parts import (
    NOTHING,
    Table,
    limits,
    number_cell,
    partial_notes,
    percent_cell,
    score_cell,
    seeds_cell,
    unit_cell,
)
from tf_adapters.modeling.tuning import NETWORK, Tuning

# Encoder -> what was selected with it.
Choices = Mapping[str, Sequence[Selected]]


def paper_table(name: str, paper: PaperTable, choices: Choices) -> Table | None:
  """Makes a table of the paper, with our rows above its own.

  Args:
    name: of the table.
    paper: the paper's table.
    choices: ours.

  Returns:
    The table; None where no task of it was tried.
  """
  tasks = {choice.task for group in choices.values() for choice in group}
  columns = [column for column in paper.columns if column.task in tasks]
  if not columns:
    return None
  ours = []
  for encoder, group in choices.items():
    methods: dict[str, dict[str, Selected]] = {}
    for choice in group:
      if choice.task in {column.task for column in columns}:
        methods.setdefault(choice.method, {})[choice.task] = choice
    ours += [_Row.of(method, encoder, by_task, columns)
             for method, by_task in methods.items()]
  ours.sort(key=_Row.order)
  common = [column.label for column in columns
            if all(column.label in row.scores for row in ours if row.scores)
            and any(row.scores for row in ours)]
  rows = [row.cells(columns, common) for row in ours]
  numbers = [row.numbers(columns, common) for row in ours]
  for row in paper.rows:
    mean = (statistics.fmean(row.scores[label] for label in common)
            if common else None)
    rows.append((
        row.label, paper.measured, NOTHING, unit_cell(row.total, "x"),
        unit_cell(row.trained, " %"),
        *(f"{row.scores[column.label]:.1f}" for column in columns),
        NOTHING if mean is None else f"{mean:.1f}"))
    numbers.append({
        "row": row.label, "measured_on": paper.measured,
        "total_parameters": row.total.strip(NOTHING),
        "trained_percent": row.trained.strip(NOTHING), "mean": mean,
        **{column.label: row.scores[column.label] for column in columns}})
  header = ("method", "measured on", "seeds", "total params", "trained / task",
            *(column.label for column in columns), "mean")
  fields = ["row", "measured_on", "seeds", "total_parameters",
            "trained_percent"]
  for column in columns:
    fields += [column.label, f"{column.label} sem", f"{column.label} n"]
  return Table(
      name, paper.title, header, tuple(rows), len(paper.rows),
      (*_paper_notes(paper, columns, common, ours),
       *limits(choice for row in ours for choice in row.choices),
       *partial_notes(choice for row in ours for choice in row.choices)),
      write_csv([*fields, "mean"], numbers))


def task_table(task: str, choices: Choices) -> Table | None:
  """Makes a table of all metrics of a task that is in no table of the paper.

  Args:
    task: of the sweep.
    choices: ours.

  Returns:
    The table; None where nothing is complete yet.
  """
  found = [(encoder, choice) for encoder, group in choices.items()
           for choice in group
           if choice.task == task and choice.settings is not None]
  if not found:
    return None
  found.sort(key=lambda one: (-_parameters(one[1])["trained"], one[0]))
  metrics = list(dict.fromkeys(
      metric for _, choice in found
      for metric in choice.scores[choice.reported]))
  rows, numbers = [], []
  for encoder, choice in found:
    scores = choice.scores[choice.reported]
    parameters = _parameters(choice)
    percent = None
    if not _without_bert(choice):
      percent = 100 * parameters["trained"] / parameters["base"]
    where = measured_on(encoder, [choice])
    rows.append((
        choice.method, where, str(choice.score.n), percent_cell(percent),
        *(score_cell(scores.get(metric), choice.partial)
          for metric in metrics)))
    numbers.append({
        "row": choice.method, "measured_on": where, "seeds": choice.score.n,
        "trained_percent": percent,
        **_numbers({metric: scores.get(metric) for metric in metrics})})
  papers: Sequence[tuple[str, str, float]] = ()
  # Whatever the sweep calls it.
  if task_of(found[0][1].records[0]) == "squad":
    papers = paper_figures.SQUAD
  for label, trained, f1 in papers:
    rows.append((
        label, paper_figures.SQUAD_MEASURED, NOTHING, f"{trained} %",
        *(f"{f1:.1f}" if metric == "f1" else NOTHING for metric in metrics)))
    numbers.append({
        "row": label, "measured_on": paper_figures.SQUAD_MEASURED,
        "trained_percent": trained, "f1": f1})
  fields = ["row", "measured_on", "seeds", "trained_percent"]
  for metric in metrics:
    fields += [metric, f"{metric} sem"]
  return Table(
      f"task-{task}", f"Task {task}",
      ("method", "measured on", "seeds", "trained / task",
       *map(metric_label, metrics)),
      tuple(rows), len(papers),
      (*limits(choice for _, choice in found),
       *partial_notes(choice for _, choice in found)),
      write_csv(fields, [{key: value for key, value in row.items()
                          if key in fields} for row in numbers]))


def settings_table(choices: Choices) -> Table:
  """Makes a table of the setting that was selected of each method on each task.
  """
  header = ("task", "method", "encoder", "setting", "metric", "validation",
            "reported", "split", "seeds", "settings compared", "incomplete")
  rows, numbers = [], []
  for encoder, group in choices.items():
    for choice in group:
      row: tuple[Any, ...] = (choice.task, choice.method, encoder)
      counts = (choice.compared, choice.incomplete)
      if choice.settings is None:
        rows.append((*row, "none is complete", *[NOTHING] * 5,
                     *map(str, counts)))
        continue
      setting = ", ".join(f"{name}={text}" for name, text
                          in choice.settings.items()) or "default"
      validation = choice.validation
      rows.append((
          *row, setting, metric_label(choice.metric), score_cell(validation),
          score_cell(choice.score, choice.partial), choice.reported,
          str(choice.score.n), *map(str, counts)))
      numbers.append(dict(zip(header, (
          *row, setting, choice.metric, 100 * validation.mean,
          100 * choice.score.mean, choice.reported, choice.score.n, *counts))))
  chosen = [choice for group in choices.values() for choice in group]
  edges: dict[str, list[str]] = {}
  for choice in chosen:
    edges.setdefault(choice.task, []).extend(
        f"{choice.label} {name} ({end})"
        for name, end in choice.edges.items())
  ends = "; ".join(f"{task}: {', '.join(of_task)}"
                   for task, of_task in edges.items() if of_task)
  return Table(
      "selected", "Of each method on each task", header, tuple(rows), 0,
      ("Validation scores are of the seeds that select.",
       *([f"At an end of what was tried, so that a value beyond it may be "
          f"better: {ends}."] if ends else []), *partial_notes(chosen)),
      write_csv(header, numbers))


def measured_on(encoder: str, choices: Iterable[Selected]) -> str:
  """Names the encoder and splits of scores, tasks apart if they differ.

  Example:
    "bert_base_uncased, test split"
  """
  choices = list(choices)
  if choices and all(map(_without_bert, choices)):
    names = {
        short_name(choice.records[0].finished["hyperparameters"]["encoder"])
        for choice in choices}
    encoder = f"no BERT, embedding {', '.join(sorted(names))}"
  splits: dict[str, dict[str, None]] = {}
  for choice in choices:
    splits.setdefault(_split(choice), {})[choice.task] = None
  if len(splits) < 2:
    return ", ".join([encoder, *splits])
  return f"{encoder}, " + "; ".join(
      f"{split}: {', '.join(tasks)}" for split, tasks in splits.items())


def trained_percent(choices: Iterable[Selected]) -> float | None:
  """Averages over tasks what a task trains of an encoder, in per cent."""
  choices = list(choices)
  if not choices or any(map(_without_bert, choices)):
    return None
  return statistics.fmean(
      100 * part["trained"] / part["base"]
      for part in map(_parameters, choices))


@dataclasses.dataclass(frozen=True)
class _Row:
  """A method of ours in a table of the paper.

  Attributes:
    method: its name.
    measured: the encoder and the splits.
    choices: those that are complete.
    scores: column's label -> score.
    partial: labels of columns where settings or seeds are missing yet.
    total: parameters for all tasks of the table, in encoders; None where a task
      is missing, or BERT.
  """

  method: str
  measured: str
  choices: tuple[Selected, ...]
  scores: Mapping[str, Statistics]
  partial: frozenset[str]
  total: float | None

  @classmethod
  def of(cls, method: str, encoder: str, by_task: Mapping[str, Selected],
         columns: Iterable[paper_figures.Column]) -> "_Row":
    done = {task: choice for task, choice in by_task.items()
            if choice.settings is not None}
    scores = {}
    for column in columns:
      choice = done.get(column.task)
      score = choice and choice.scores.get(
          choice.reported + column.suffix, {}).get(choice.metric)
      if score:
        scores[column.label] = score
    total = None
    complete = {column.task for column in columns} <= done.keys()
    if done and complete and not any(map(_without_bert, done.values())):
      # What a task trains is its own; what any of them leaves as it is, is
      # there once for all.
      parts = [_parameters(choice) for choice in done.values()]
      total = (max(part["total"] - part["trained"] for part in parts)
               + sum(part["trained"] for part in parts)) / parts[0]["base"]
    return cls(method, measured_on(encoder, done.values()),
               tuple(done.values()), scores, frozenset(
                   column.label for column in columns
                   if column.task in done and done[column.task].partial), total)

  @property
  def trained(self) -> float | None:
    """Per cent of an encoder that a task trains, the mean over tasks."""
    return trained_percent(self.choices)

  def order(self) -> tuple[Any, ...]:
    """Returns the key that sorts rows: what trains most first."""
    return -(self.trained or 0), self.method, self.measured

  def cells(self, columns: Iterable[paper_figures.Column],
            common: Sequence[str]) -> tuple[str, ...]:
    mean = self._mean(common)
    return (
        self.method, self.measured,
        seeds_cell(self.scores.values()),
        NOTHING if self.total is None else f"{self.total:.2f}x",
        percent_cell(self.trained),
        *(score_cell(self.scores.get(column.label),
                     column.label in self.partial) for column in columns),
        number_cell(mean, partial=bool(self.partial & set(common))))

  def numbers(self, columns: Iterable[paper_figures.Column],
              common: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "row": self.method, "measured_on": self.measured,
        "seeds": max((score.n for score in self.scores.values()), default=None),
        "total_parameters": self.total, "trained_percent": self.trained,
        "mean": self._mean(common)}
    for column in columns:
      score = self.scores.get(column.label)
      row |= _numbers({column.label: score})
      row[f"{column.label} n"] = score and score.n
    return row

  def _mean(self, common: Sequence[str]) -> float | None:
    if not (common and self.scores):
      return None
    return statistics.fmean(100 * self.scores[label].mean for label in common)


def _paper_notes(paper: PaperTable, columns: Sequence[paper_figures.Column],
                 common: Sequence[str], ours: Sequence[_Row]) -> list[str]:
  metrics: dict[str, list[str]] = {}
  for column in columns:
    metrics.setdefault(column.metric, []).append(column.label)
  if len(metrics) == 1:
    what = metric_label(next(iter(metrics)))
  else:
    what = "; ".join(f"{', '.join(labels)}: {metric_label(metric)}"
                     for metric, labels in metrics.items())
  tasks = len({column.task for column in columns})
  notes = [f"In %: {what}.",
           f"Total parameters are for {tasks} tasks together, in encoders; "
           f"the paper's for {paper.tasks}, as printed."]
  if not any(row.scores for row in ours):
    return notes
  if not common:
    return [*notes, "No mean: there is no task that every method has."]
  over = "all columns" if len(common) == len(columns) else ", ".join(common)
  notes.append(f"The mean is over {over}, in the paper's rows, too.")
  if len(common) == len(paper.columns):
    printed = ", ".join(f"{row.mean:.1f}" for row in paper.rows)
    odd = any(abs(statistics.fmean(row.scores.values()) - row.mean) > 0.1
              for row in paper.rows)
    notes.append(
        f"The means that the paper prints are {printed}"
        f"{', which are not those of its columns' if odd else ''}.")
  return notes


def _split(choice: Selected) -> str:
  """Describes the reported split."""
  if choice.reported == "validation":
    return "validation split, which also selected"
  holdout = choice.records[0].trial.flags.get("holdout", "0")
  if float(holdout):
    return f"published validation split (holdout {holdout})"
  return "test split"


def _without_bert(choice: Selected) -> bool:
  """Returns whether it is the paper's baseline, which has no encoder."""
  return Tuning.parse(choice.records[0].finished["tuning"]).method == NETWORK


def _parameters(choice: Selected) -> Mapping[str, int]:
  return choice.records[0].finished["parameters"]


def _numbers(scores: Mapping[str, Statistics | None]) -> dict[str, Any]:
  """Makes columns of a CSV file: scores with standard errors, in per cent."""
  return {name: value for label, score in scores.items() if score
          for name, value in (
              (label, 100 * score.mean),
              (f"{label} sem",
               None if score.sem is None else 100 * score.sem))}
