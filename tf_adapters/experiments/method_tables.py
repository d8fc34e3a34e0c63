"""Methods side by side: scores with costs, and distances to full fine-tuning.

Half of a sweep is enough for a table: what is not whole is marked.
"""

import dataclasses
import pathlib
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tf_adapters.adapter_files.tensors import WEIGHTS_NAME
from tf_adapters.experiments import distance, tables
from tf_adapters.experiments.distance import Distance
from tf_adapters.experiments.paper_figures import FULL_LABEL, PaperTable
from tf_adapters.experiments.pictures import metric_label
from tf_adapters.experiments.records import write_csv
from tf_adapters.experiments.selection import Selected
from tf_adapters.experiments.table_parts import (
    NOTHING,
    PARTIAL_NOTE,
    Table,
    failures,
    limits,
    number_cell,
    percent_cell,
    score_cell,
    seeds_cell,
    unit_cell,
)


@dataclasses.dataclass(frozen=True)
class MethodRow:
  """A method on the tasks of a table.

  Attributes:
    method: its name.
    choices: task -> what was selected.
    distances: task -> distance to full fine-tuning, in per cent; empty for full
      fine-tuning itself. There is none between scores of different splits.
  """

  method: str
  choices: Mapping[str, Selected]
  distances: Mapping[str, Distance]

  @property
  def partial(self) -> frozenset[str]:
    """Tasks where settings or seeds are missing yet."""
    return frozenset(
        task for task, choice in self.choices.items() if choice.partial)

  @property
  def trained(self) -> float | None:
    """Per cent of the encoder that a task trains, the mean over tasks."""
    return tables.trained_percent(self.choices.values())

  def mean(self, tasks: Sequence[str], score: Callable[[Selected], float] = (
      lambda choice: choice.score.mean)) -> float | None:
    """Averages the reported score, or another, over tasks, in per cent."""
    if not tasks or not set(tasks) <= self.choices.keys():
      return None
    return statistics.fmean(
        100 * score(self.choices[task]) for task in tasks)

  def mean_distance(self, tasks: Sequence[str]) -> Distance | None:
    """Averages the distance over tasks, in per cent."""
    return _mean(self.distances, tasks)


@dataclasses.dataclass(frozen=True)
class Comparison:
  """Methods on a family of tasks.

  Attributes:
    encoder: their encoder.
    titles: task -> what to call it, in order; of all tasks that were asked for.
    rows: of methods, those that train most first.
    common: the tasks that every method has which has any.
    full: task -> what distances are to.
  """

  encoder: str
  titles: Mapping[str, str]
  rows: tuple[MethodRow, ...]
  common: tuple[str, ...]
  full: Mapping[str, Selected]

  @property
  def choices(self) -> list[Selected]:
    return [choice for row in self.rows for choice in row.choices.values()]


def compare(encoder: str, choices: Iterable[Selected],
            titles: Mapping[str, str]) -> Comparison:
  """Puts methods side by side.

  Args:
    encoder: the encoder's name.
    choices: what was selected with it.
    titles: task -> what to call it, in order.
  """
  by_method: dict[str, dict[str, Selected]] = {}
  for choice in choices:
    if choice.task not in titles:
      continue
    row = by_method.setdefault(choice.method, {})
    if choice.settings is not None:
      row[choice.task] = choice
  full = distance.full_fine_tuning(
      choice for row in by_method.values() for choice in row.values())
  rows = sorted((
      MethodRow(method, row, {
          task: _distance(choice, full[task]) for task, choice in row.items()
          if task in full and not distance.is_full(choice)
          and choice.reported == full[task].reported})
      for method, row in by_method.items()),
      key=lambda row: (-(row.trained or 0), row.method))
  started = [row for row in rows if row.choices]
  return Comparison(encoder, titles, tuple(rows), tuple(
      task for task in titles
      if started and all(task in row.choices for row in started)), full)


def methods_table(name: str, title: str, compared: Comparison) -> Table:
  """Makes a table of scores by task, their mean, what trains and a file's size.
  """
  titles = compared.titles
  rows, numbers = [], []
  for row in compared.rows:
    size = _file_size(row.choices.values())
    mean = row.mean(compared.common)
    rows.append((
        row.method, percent_cell(row.trained),
        NOTHING if size is None else f"{size:.2f} MB",
        *(score_cell(row.choices[task].score, task in row.partial)
          if task in row.choices else NOTHING for task in titles),
        *_of_several(compared, number_cell(
            mean, partial=bool(row.partial & set(compared.common))))))
    values: dict[str, Any] = {
        "method": row.method, "trained_percent": row.trained,
        "file_megabytes": size, "mean": mean, "mean validation": row.mean(
            compared.common, lambda choice: choice.validation.mean),
        "mean tasks": len(compared.common)}
    for task, choice in row.choices.items():
      score = choice.score
      values |= {task: 100 * score.mean, f"{task} seeds": score.n,
                 f"{task} sem": score.sem and 100 * score.sem,
                 f"{task} validation": 100 * choice.validation.mean,
                 f"{task} complete": task not in row.partial}
    numbers.append(values)
  fields = ["method", "trained_percent", "file_megabytes"]
  for task in titles:
    fields += [task, f"{task} sem", f"{task} seeds", f"{task} validation",
               f"{task} complete"]
  return Table(
      name, title,
      ("method", "trained", "file", *titles.values(),
       *_of_several(compared, _mean_title(compared))),
      tuple(rows), 0,
      (_metrics(compared), *_progress(compared),
       *limits(compared.choices)),
      write_csv([*fields, "mean", "mean validation", "mean tasks"], numbers))


def distance_table(name: str, title: str, compared: Comparison,
                   paper: PaperTable | None) -> Table | None:
  """Makes a table of distances to full fine-tuning by task, and their mean.

  Args:
    name: of the table.
    title: what it is.
    compared: the methods.
    paper: the paper's table of these tasks, if there is one.

  Returns:
    The table; None where there is nothing to compare.
  """
  titles = compared.titles
  full = compared.full
  rows, numbers = [], []
  for row in compared.rows:
    if not row.distances:
      continue
    mean = row.mean_distance(compared.common)
    # Full fine-tuning that is not whole makes all distances to it so.
    partial = row.partial | {task for task, one in full.items() if one.partial}
    rows.append((
        row.method, percent_cell(row.trained),
        seeds_cell(choice.score for choice in row.choices.values()),
        seeds_cell(full[task].score for task in row.distances),
        *(_distance_cell(row.distances.get(task), task in partial)
          for task in titles),
        *_of_several(compared, _distance_cell(
            mean, bool(partial & set(compared.common)), 2))))
    values: dict[str, Any] = {
        "row": row.method, "trained_percent": row.trained,
        "mean": mean and mean.mean, "mean sem": mean and mean.sem,
        "mean tasks": len(compared.common)}
    for task, one in row.distances.items():
      values |= {task: one.mean, f"{task} sem": one.sem,
                 f"{task} seeds": row.choices[task].score.n,
                 f"{task} full seeds": full[task].score.n,
                 f"{task} complete": task not in partial}
    numbers.append(values)
  if not rows:
    return None
  papers = paper_distances(paper, compared)
  for label, (trained, losses, mean) in papers.items():
    rows.append((
        label, unit_cell(trained, " %"), NOTHING, NOTHING,
        *(_distance_cell(losses.get(task)) for task in titles),
        *_of_several(compared, _distance_cell(mean, digits=2))))
    numbers.append({"row": label, "trained_percent": trained.strip(NOTHING),
                    **{task: one.mean for task, one in losses.items()},
                    "mean": mean and mean.mean})
  fields = ["row", "trained_percent"]
  for task in titles:
    fields += [task, f"{task} sem", f"{task} seeds", f"{task} full seeds",
               f"{task} complete"]
  return Table(
      name, title,
      ("method", "trained", "seeds", "of full", *titles.values(),
       *_of_several(compared, _mean_title(compared))),
      tuple(rows), len(papers), (
          "Scores less those of full fine-tuning, in % points, ± the standard "
          "error over seeds.",
          "That is the root of s²/n + t²/m - 2kc/(nm), of n and m scores with "
          "standard deviations s and t; c seeds are the same, and k is the "
          "covariance there.",
          "That of the mean is the root of the sum of squares over tasks, "
          "divided by their number.",
          "What other test rows would give is not in it.",
          *([f"The paper's rows: {paper.measured}."] if paper else []),
          *_progress(compared)),
      write_csv([*fields, "mean", "mean sem", "mean tasks"], numbers))


def paper_distances(
    paper: PaperTable | None, compared: Comparison
) -> dict[str, tuple[str, dict[str, Distance], Distance | None]]:
  """Returns the paper's rows: {label: what trains in %, distances, their mean}.
  """
  if paper is None:
    return {}
  full, = (row for row in paper.rows if row.label == FULL_LABEL)
  found = {}
  for row in paper.rows:
    if row.label == FULL_LABEL:
      continue
    losses = {
        column.task: Distance(
            row.scores[column.label] - full.scores[column.label], None)
        for column in paper.columns
        if column.task in compared.titles and not column.suffix}
    found[f"paper: {row.label}"] = (
        row.trained, losses, _mean(losses, compared.common))
  return found


def _mean(distances: Mapping[str, Distance],
          tasks: Sequence[str]) -> Distance | None:
  if not tasks or not set(tasks) <= distances.keys():
    return None
  return distance.over_tasks([distances[task] for task in tasks])


def _distance(choice: Selected, full: Selected) -> Distance:
  return distance.between(*(
      {seed: 100 * score
       for seed, score in distance.scores_by_seed(each).items()}
      for each in (choice, full)))


def _of_several(compared: Comparison, cell: str) -> list[str]:
  """Returns a cell that says nothing more where there is a single task."""
  return [cell] * (len(compared.titles) > 1)


def _distance_cell(one: Distance | None, partial: bool = False,
                   digits: int = 1) -> str:
  if one is None:
    return NOTHING
  return number_cell(one.mean, one.sem, partial, f"+.{digits}f")


def _mean_title(compared: Comparison) -> str:
  count, of_all = len(compared.common), len(compared.titles)
  return "mean" if count in (0, of_all) else f"mean of {count}"


def _metrics(compared: Comparison) -> str:
  metrics: dict[str, dict[str, None]] = {}
  for choice in compared.choices:
    metrics.setdefault(metric_label(choice.metric), {})[
        compared.titles[choice.task]] = None
  what = "; ".join(f"{', '.join(tasks)}: {metric}"
                   for metric, tasks in metrics.items())
  where = tables.measured_on(compared.encoder, compared.choices)
  return f"In %, ± standard error over seeds. {what}. {where}."


def _progress(compared: Comparison) -> list[str]:
  """Says which tasks and methods are not there yet."""
  state: dict[str, list[str]] = {"complete": [], "in part": [], "missing": []}
  for task, title in compared.titles.items():
    there = [task in row.choices for row in compared.rows]
    partial = any(task in row.partial for row in compared.rows)
    state["missing" if not any(there) else "in part"
          if partial or not all(there) else "complete"].append(title)
  if not state["in part"] and not state["missing"]:
    return list(failures(compared.choices))
  notes = ["Not yet the whole: " + "; ".join(
      f"{what}: {', '.join(titles)}"
      for what, titles in state.items() if titles) + "."]
  if state["in part"]:
    notes.append(PARTIAL_NOTE)
  if 0 < len(compared.common) < len(compared.titles):
    notes.append("The mean is over " + ", ".join(
        compared.titles[task] for task in compared.common) + ".")
  return [*notes, *failures(compared.choices)]


def _file_size(choices: Iterable[Selected]) -> float | None:
  """Returns MB of an adapter file's tensors, the largest of the tasks'."""
  sizes = []
  for choice in choices:
    for record in choice.records:
      path = pathlib.Path(record.trial.sweep, "trials", record.trial.name,
                          "adapter", WEIGHTS_NAME)
      if path.is_file():
        sizes.append(path.stat().st_size / 1e6)
  return max(sizes, default=None)
