"""Evaluations of a task: metrics by label, mistakes, calibration.

What holds for every type of problem is here; what single types have beside it
is in `evaluations`, and the pictures are in `evaluation_plots`.
"""

import dataclasses
import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_adapters.errors import printable, say
from tf_adapters.tasks import mistakes
from tf_adapters.tasks.frame_forms import table

if TYPE_CHECKING:
  from matplotlib.figure import Figure

_BINS = 10
_LONGEST = 28  # characters of a label in a table
_MOST_ROWS = 30


@dataclasses.dataclass(frozen=True)
class Calibration:
  """Whether predictions are right as often as their probabilities say.

  Attributes:
    error: the expected calibration error: the mean, over all predictions, of
      the distance between their bin's confidence and accuracy (Guo et al.,
      2017, "On Calibration of Modern Neural Networks", equation 3).
    edges: of the bins, from 0 to 1, one more than there are bins.
    counts: predictions in each bin.
    confidences, accuracies: their mean probability, and the part of them that
      is right; NaN in empty bins.
  """

  error: float
  edges: np.ndarray
  counts: np.ndarray
  confidences: np.ndarray
  accuracies: np.ndarray

  @property
  def bins(self) -> Any:
    """The bins as a DataFrame, or a list of dicts without pandas."""
    return table({
        "from": self.edges[:-1], "to": self.edges[1:], "rows": self.counts,
        "confidence": self.confidences, "accuracy": self.accuracies})


def calibration(confidences: np.ndarray, right: np.ndarray,
                bins: int = _BINS) -> Calibration:
  """Measures the calibration of predictions, in bins of equal width.

  Args:
    confidences: probability of each prediction, [predictions].
    right: whether each is right, bool [predictions].
    bins: how many.

  Example:
    >>> round(calibration(np.array([0.9, 0.7]), np.array([True, False])).error,
    ...       3)
    0.4
  """
  edges = np.linspace(0.0, 1.0, bins + 1)
  places = np.clip(np.digitize(confidences, edges[1:-1], right=True), 0,
                   bins - 1)
  counts = np.bincount(places, minlength=bins)
  with np.errstate(invalid="ignore"):
    means, parts = (np.bincount(places, values, bins) / counts
                    for values in (confidences, right))
  error = np.nansum(counts * np.abs(means - parts)) / max(len(confidences), 1)
  return Calibration(float(error), edges, counts, means, parts)


@dataclasses.dataclass(frozen=True, repr=False, kw_only=True)
class Evaluation:
  """An evaluation of a task on a split; it is a table in a notebook.

  Attributes:
    task: the task's name.
    split: what was evaluated.
    rows: how many texts it has.
    metrics: the task's metrics, name -> value.
    columns: of the mistakes, name -> a value for each row: the texts, "label",
      "prediction" and "confidence".
    wrong: the numbers of the rows that are wrong, the surest first.
    index: what each row is called in its data; None for its number.
  """

  task: str
  split: str
  rows: int
  metrics: Mapping[str, float]
  columns: Mapping[str, Sequence[Any]]
  wrong: Sequence[int]
  index: Sequence[int | str] | None = None

  def __repr__(self) -> str:
    lines = [f"{self._title()}: " + ", ".join(
        f"{name} {value:.4f}" for name, value in self.metrics.items())]
    lines += self._facts()
    header, rows = self._class_rows()
    if rows:
      cells = [header, *([printable(str(cell)) for cell in row]
                         for row in rows[:_MOST_ROWS])]
      widths = [max(map(len, column)) for column in zip(*cells)]
      lines += ["  " + "  ".join(
          cell.ljust(width) if place == 0 else cell.rjust(width)
          for place, (cell, width) in enumerate(zip(row, widths)))
                for row in cells]
      if len(rows) > _MOST_ROWS:
        lines.append(f"  and {len(rows) - _MOST_ROWS:,} more: .per_class has "
                     "all")
    return "\n".join(lines)

  def _repr_html_(self) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
      return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>"
                              for cell in cells) + "</tr>"

    metrics = "".join(row([name, f"{value:.4f}"], "td")
                      for name, value in self.metrics.items())
    header, rows = self._class_rows()
    classes = row(header, "th") + "".join(
        row(cells, "td") for cells in rows[:_MOST_ROWS])
    facts = "".join(f"<p>{html.escape(fact)}</p>" for fact in self._facts())
    return (f"<b>{html.escape(self._title())}</b><table>{metrics}</table>"
            f"{facts}" + (f"<table>{classes}</table>" if rows else ""))

  @property
  def per_class(self) -> Any:
    """Rows, precision, recall and F1 of each label.

    A DataFrame, or a list of dicts without pandas; of entities for tags that
    mark such. Empty where there are no labels.
    """
    header, rows = self._class_rows(rounded=False)
    return table(dict(zip(header, zip(*rows))) if rows else {})

  def mistakes(self, most: int = 20) -> Any:
    """Lists the rows that are wrong, the surest first.

    `print_mistakes` shows whole texts, which a printed DataFrame cuts.

    Args:
      most: how many rows.

    Returns:
      A DataFrame, whose index is that of the DataFrame that the rows come from,
      or their numbers in a file or in lists; a list of dicts without pandas.
    """
    numbers = list(self.wrong[:most])
    return table({name: [values[number] for number in numbers]
                  for name, values in self.columns.items()},
                 numbers if self.index is None else
                 [self.index[number] for number in numbers])

  def print_mistakes(self, most: int = 10) -> None:
    """Prints what is wrong, the surest first, with whole texts.

    Args:
      most: how many rows.
    """
    say(mistakes.as_text(self.columns, self.wrong[:most], self.index))

  def plot(self) -> "Figure":
    """Draws a figure of matplotlib, which a notebook shows."""
    from tf_adapters.tasks import evaluation_plots
    return evaluation_plots.bars(self.metrics, self._title())

  def _title(self) -> str:
    return printable(f"{self.task}, {self.split}, {self.rows:,} rows")

  def _facts(self) -> list[str]:
    """Returns facts in words, a line each."""
    if not len(self.wrong):
      return []
    return [f"  wrong: {len(self.wrong):,}; .print_mistakes() shows the surest"]

  def _class_rows(
      self, rounded: bool = True) -> tuple[list[str], list[list[Any]]]:
    """Returns a header, and cells for each label."""
    return [], []

  def _scores(self) -> dict[str, list[float]]:
    """Returns precision, recall and F1, a value for each label, for a picture.
    """
    header, rows = self._class_rows(rounded=False)
    return {name: [row[place] for row in rows]
            for place, name in enumerate(header) if place > 1}


def class_rows(labels: Sequence[Any], counts: Sequence[int],
               scores: Sequence[Sequence[float]],
               rounded: bool) -> tuple[list[str], list[list[Any]]]:
  """As `Evaluation._class_rows`.

  Args:
    labels: the labels.
    counts: rows of each.
    scores: precision, recall and F1, for each label.
    rounded: whether cells are texts for the eye.
  """
  rows: list[list[Any]] = []
  for label, count, *values in zip(labels, counts, *scores):
    if rounded:
      name = str(label)
      rows.append([
          name if len(name) <= _LONGEST else f"{name[:_LONGEST - 3]}...",
          f"{count:,}", *(f"{value:.3f}" for value in values)])
    else:
      rows.append([label, int(count), *map(float, values)])
  return ["label", "rows", "precision", "recall", "f1"], rows
