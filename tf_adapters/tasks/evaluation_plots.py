"""Pictures of evaluations and trainings, as figures of matplotlib.

matplotlib's objects are used directly, without pyplot: a figure is shown once
where it is the last line of a notebook's cell, and leaves nothing behind.
"""

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tf_adapters.tasks.evaluation import Calibration

_BLUE, _ORANGE, _GREY = "#2166ac", "#d6604d", "#8c8c8c"
_MOST_NUMBERS = 12  # labels whose cells have numbers in them
_MOST_NAMES = 40
_MOST_CURVES = 8
_LONGEST = 24  # characters of a label

# "precision", "recall" and "f1" -> a value for each label.
Scores = Mapping[str, Sequence[float]]


class NotebookFigure(Figure):
  """A figure that notebooks show without `%matplotlib inline`."""

  def _repr_html_(self) -> str:
    content = io.BytesIO()
    self.savefig(content, format="png", dpi=100)
    data = base64.b64encode(content.getvalue()).decode()
    return f"<img src='data:image/png;base64,{data}'>"


def of_classes(confusion: np.ndarray, labels: Sequence[str],
               scores: Scores, calibration: Calibration,
               title: str) -> Figure:
  """Draws a confusion matrix, the scores of its rows, and the calibration.

  Args:
    confusion: rows by true and predicted label.
    labels: the labels.
    scores: of each label; see `Scores`.
    calibration: of the predictions: how far probabilities can be believed.
    title: of the figure.
  """
  size = min(max(0.45 * len(labels), 3.2), 10.0)
  figure = _figure(size + 7.4, size + 1.6, title)
  left, middle, right = figure.subplots(
      1, 3, width_ratios=[size, 2.4, 3.2])
  shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
  left.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
  left.set(xlabel="predicted", ylabel="label", xticks=[])
  _names(left, labels)
  if len(labels) <= _MOST_NAMES:
    left.set_xticks(range(len(labels)), list(map(_short, labels)), rotation=45,
                    ha="right", rotation_mode="anchor")
  if len(labels) <= _MOST_NUMBERS:
    for row, column in np.ndindex(confusion.shape):
      left.text(column, row, f"{confusion[row, column]:,}", ha="center",
                va="center", fontsize=8,
                color="white" if shares[row, column] > 0.5 else "black")
  _bars_of_scores(middle, scores)
  middle.set_ylim(left.get_ylim())  # a label's bars are beside its row
  middle.set_yticks([])
  _reliability(right, calibration)
  return figure


def of_label_sets(thresholds: np.ndarray, f1: np.ndarray,
                  labels: Sequence[str], scores: Scores,
                  calibration: Calibration, title: str) -> Figure:
  """Draws F1 by threshold, the scores of each label, and the calibration.

  Args:
    thresholds: where F1 was computed.
    f1: of each label and threshold.
    labels, scores, calibration, title: as for `of_classes`.
  """
  figure = _figure(
      12.0, min(max(4.0, 0.3 * len(labels) + 1.4), 11.6), title)
  left, middle, right = figure.subplots(1, 3, width_ratios=[1.2, 0.8, 1])
  for values, label in list(zip(f1, labels))[:_MOST_CURVES]:
    left.plot(thresholds, values, label=_short(label))
  left.plot(thresholds, f1.mean(axis=0), color="black", linestyle="--",
            label=f"mean of {len(labels)}")
  left.axvline(0.5, color=_GREY, linewidth=0.8)
  left.set(xlabel="threshold", ylabel="F1", xlim=(0, 1), ylim=(0, 1.02))
  left.legend(fontsize=7, frameon=False)
  _bars_of_scores(middle, scores)
  _names(middle, labels)
  _reliability(right, calibration)
  return figure


def of_scores(names: Sequence[str], scores: Scores, calibration: Calibration,
              title: str) -> Figure:
  """Draws precision, recall and F1 of each type, and the calibration.

  Args:
    names: the types.
    scores, calibration, title: as for `of_classes`.
  """
  figure = _figure(8.4, min(max(3.6, 0.3 * len(names) + 1.4), 11.6), title)
  left, right = figure.subplots(1, 2, width_ratios=[1.2, 1])
  _bars_of_scores(left, scores)
  _names(left, names)
  _reliability(right, calibration)
  return figure


def of_numbers(true: np.ndarray, predicted: np.ndarray, title: str) -> Figure:
  """Draws predicted numbers over those that are right."""
  figure = _figure(4.4, 4.2, title)
  axes = figure.subplots()
  axes.scatter(true, predicted, s=8, alpha=0.5, color=_BLUE)
  ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
  axes.plot(ends, ends, color=_GREY, linewidth=0.8)
  axes.set(xlabel="label", ylabel="predicted")
  return figure


def of_history(history: Mapping[str, Sequence[float]], best: int | None,
               title: str) -> Figure:
  """Draws the loss and the validation metrics of each epoch.

  Args:
    history: name -> a value for each epoch.
    best: the best epoch, from 1.
    title: of the figure.
  """
  metrics = [name for name in history if name != "loss"]
  figure = _figure(8.4 if metrics else 4.4, 3.4, f"{title}, by epoch")
  panels: list[Axes] = figure.subplots(
      1, 2 if metrics else 1, squeeze=False).ravel().tolist()
  for axes, names in zip(panels, (["loss"], metrics)):
    for name in names:
      epochs = range(1, len(history[name]) + 1)
      axes.plot(epochs, history[name], marker="o", markersize=3, label=name)
    if best is not None:
      axes.axvline(best, color=_GREY, linewidth=0.8, linestyle="--",
                   label="best epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.legend(fontsize=7, frameon=False)
  return figure


def bars(values: Mapping[str, float], title: str) -> Figure:
  """Draws a bar for each metric."""
  figure = _figure(4.4, max(1.6, 0.5 * len(values) + 0.8), title)
  axes = figure.subplots()
  drawn = axes.barh(list(values), list(values.values()), color=_BLUE)
  axes.bar_label(drawn, fmt="%.3f", padding=3, fontsize=8)
  axes.set_xlim(0, 1.12)
  axes.invert_yaxis()
  return figure


def _names(axes: Axes, names: Sequence[str]) -> None:
  """Puts names beside rows, the first one at the top; none where they are many.
  """
  axes.set_ylim(max(len(names), 1) - 0.5, -0.5)
  shown = len(names) <= _MOST_NAMES
  axes.set_yticks(range(len(names)) if shown else [],
                  list(map(_short, names)) if shown else [])


def _bars_of_scores(axes: Axes, scores: Scores) -> None:
  """Draws three bars in each row, F1 with its number where there is room."""
  for number, ((kind, values), color) in enumerate(zip(
      scores.items(), (_GREY, _ORANGE, _BLUE))):
    drawn = axes.barh(np.arange(len(values)) + 0.27 * (number - 1), values,
                      height=0.25, color=color, label=kind)
    if kind == "f1" and len(values) <= _MOST_NUMBERS:
      axes.bar_label(drawn, fmt="%.2f", padding=2, fontsize=7)
  axes.set(xlim=(0, 1.12), xticks=(0, 0.5, 1))
  axes.legend(fontsize=7, frameon=False, ncols=len(scores), columnspacing=1,
              handlelength=1, loc="lower center", bbox_to_anchor=(0.5, 1.0))


def _reliability(axes: Axes, calibration: Calibration) -> None:
  """Draws accuracy by confidence, with a diagonal where both are the same."""
  edges = calibration.edges
  filled = calibration.counts > 0
  axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8)
  axes.bar(edges[:-1][filled], calibration.accuracies[filled],
           width=np.diff(edges)[filled], align="edge", color=_BLUE, alpha=0.35,
           edgecolor=_BLUE)
  axes.plot(calibration.confidences[filled], calibration.accuracies[filled],
            "o", color=_BLUE, markersize=4)
  axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="confidence",
           ylabel="part that is right")
  axes.set_title(f"calibration error {calibration.error:.3f}", fontsize=9)


def _figure(width: float, height: float, title: str) -> Figure:
  figure = NotebookFigure(figsize=(width, height), layout="constrained")
  figure.suptitle(_plain(title), fontsize=10)
  return figure


def _short(label: str) -> str:
  """Leaves out the middle of a label: long ones often begin, or end, alike."""
  half = _LONGEST // 2
  return _plain(label if len(label) <= _LONGEST else (
      f"{label[:half]}...{label[3 - half:]}"))


def _plain(text: str) -> str:
  """Writes dollars so that matplotlib sees no mathematics between them."""
  return text.replace("$", r"\$")
