"""The evaluations of single types of problem, and how each is made."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import sklearn.metrics

from tf_adapters.modeling.label_types import Label
from tf_adapters.tasks.evaluation import (
    Calibration,
    Evaluation,
    calibration,
    class_rows,
)
from tf_adapters.tasks.frame_forms import table

if TYPE_CHECKING:
  from matplotlib.figure import Figure

# How many thresholds a curve has, evenly from 0 to 1.
_THRESHOLDS = np.arange(0.05, 0.96, 0.05).round(2)

# Labels in a picture: more could not be told apart, and would take minutes.
_MOST_DRAWN = 100


@dataclasses.dataclass(frozen=True, repr=False, kw_only=True)
class ClassEvaluation(Evaluation):
  """Of texts with one label each.

  Attributes:
    labels: the labels, in the order of the numbers.
    true, predicted: label numbers, int [rows].
    scores: probabilities, [rows, labels].
  """

  labels: Sequence[Label]
  true: np.ndarray
  predicted: np.ndarray
  scores: np.ndarray

  @property
  def confusion(self) -> np.ndarray:
    """Rows by true label (first) and predicted label, int [labels, labels]."""
    return sklearn.metrics.confusion_matrix(
        self.true, self.predicted, labels=range(len(self.labels)))

  @property
  def confusion_matrix(self) -> Any:
    """As `confusion`, with the labels' names: a true label in each row.

    A DataFrame, or a list of dicts without pandas.
    """
    return table(dict(zip(self.labels, self.confusion.T)), list(self.labels))

  @property
  def calibration(self) -> Calibration:
    """Of the probability of what was predicted."""
    return calibration(self.scores.max(axis=1), self.true == self.predicted)

  def plot(self) -> "Figure":
    from tf_adapters.tasks import evaluation_plots
    shown, names, scores, title = _drawn(
        self, np.bincount(self.true, minlength=len(self.labels)))
    return evaluation_plots.of_classes(
        sklearn.metrics.confusion_matrix(
            self.true, self.predicted, labels=shown),
        names, scores, self.calibration, title)

  def _facts(self) -> list[str]:
    return [f"  calibration error {self.calibration.error:.4f}",
            *super()._facts()]

  def _class_rows(
      self, rounded: bool = True) -> tuple[list[str], list[list[Any]]]:
    *scores, counts = sklearn.metrics.precision_recall_fscore_support(
        self.true, self.predicted, labels=range(len(self.labels)),
        zero_division=0)
    return class_rows(self.labels, counts, scores, rounded)


@dataclasses.dataclass(frozen=True, repr=False, kw_only=True)
class LabelSetEvaluation(Evaluation):
  """Of texts with any number of labels.

  Attributes:
    labels: the labels, in the order of the columns.
    true, predicted: whether a text has each label, bool [rows, labels].
    scores: probabilities, [rows, labels].
  """

  labels: Sequence[Label]
  true: np.ndarray
  predicted: np.ndarray
  scores: np.ndarray

  @property
  def calibration(self) -> Calibration:
    """Of the probabilities of all labels of all texts."""
    return calibration(self.scores.ravel(), self.true.ravel())

  def threshold_curve(self) -> Any:
    """Computes each label's precision, recall, F1 at thresholds 0.05 to 0.95.

    A DataFrame, or a list of dicts without pandas.
    """
    return table({
        "label": [label for label in self.labels for _ in _THRESHOLDS],
        "threshold": list(_THRESHOLDS) * len(self.labels),
        **{name: values.ravel().tolist() for name, values in zip(
            ("precision", "recall", "f1"), self._curves)}})

  def best_thresholds(self) -> dict[Label, float]:
    """Finds the threshold of each label with the highest F1.

    Where several have it, that in their middle. Take them from the validation
    split, and not from the one that the task is judged by.

    Example:
      >>> task.thresholds = task.evaluate("validation").best_thresholds()
    """
    best = {}
    for label, values in zip(self.labels, self._curves[2]):
      found = np.flatnonzero(values == values.max())
      best[label] = float(_THRESHOLDS[found[len(found) // 2]])
    return best

  def plot(self) -> "Figure":
    from tf_adapters.tasks import evaluation_plots
    shown, names, scores, title = _drawn(self, self.true.sum(axis=0))
    return evaluation_plots.of_label_sets(
        _THRESHOLDS, self._curves[2][shown], names, scores, self.calibration,
        title)

  @functools.cached_property
  def _curves(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1, each [labels, thresholds]; 0 for 0 / 0."""
    predicted, right = (np.stack([
        ((self.scores >= threshold) & among).sum(axis=0)
        for threshold in _THRESHOLDS], axis=1) for among in (True, self.true))
    true = self.true.sum(axis=0)[:, np.newaxis]
    precision, recall, f1 = (
        part / np.maximum(whole, 1) for part, whole in (
            (right, predicted), (right, true), (2 * right, predicted + true)))
    return precision, recall, f1

  def _facts(self) -> list[str]:
    return [f"  calibration error {self.calibration.error:.4f}",
            *super()._facts()]

  def _class_rows(
      self, rounded: bool = True) -> tuple[list[str], list[list[Any]]]:
    *scores, counts = sklearn.metrics.precision_recall_fscore_support(
        self.true, self.predicted, average=None, zero_division=0,
        # A column of zeros and ones alone would be two classes.
        labels=[1] if len(self.labels) == 1 else None)
    return class_rows(self.labels, counts, scores, rounded)


@dataclasses.dataclass(frozen=True, repr=False, kw_only=True)
class NumberEvaluation(Evaluation):
  """Of texts with a number each; the mistakes are the largest errors.

  Attributes:
    true, predicted: the numbers, [rows].
  """

  true: np.ndarray
  predicted: np.ndarray

  def plot(self) -> "Figure":
    from tf_adapters.tasks import evaluation_plots
    return evaluation_plots.of_numbers(
        self.true, self.predicted, self._title())

  def _facts(self) -> list[str]:
    errors = self.predicted - self.true
    return [f"  mean error {errors.mean():.4g}, mean absolute error "
            f"{np.abs(errors).mean():.4g}; .mistakes() has the largest"]


@dataclasses.dataclass(frozen=True, repr=False, kw_only=True)
class TagEvaluation(Evaluation):
  """Of words with a tag each; mistakes are single words.

  Attributes:
    true, predicted: entities of each sentence, (type, first word, last word);
      tags as entities of one word where they mark none.
    calibration: of the probability of the predicted tags.
    errors: what is wrong with entities -> the number of such.
    cut: words that stand behind what the model sees. They count as outside in
      metrics and entities, and are no mistakes of the model's.
  """

  true: Sequence[Sequence[tuple[str, int, int]]]
  predicted: Sequence[Sequence[tuple[str, int, int]]]
  calibration: Calibration
  errors: Mapping[str, Mapping[str, int]]
  cut: int = 0

  def entity_errors(self) -> Any:
    """Counts the errors on the entities of each type.

    "missed": there is none in the prediction; "invented": there is none in the
    labels; "other type": the same words; "other words": of the same type, in
    part on the same words; "both".

    Returns:
      A DataFrame, or a list of dicts without pandas.
    """
    kinds = ("right", "missed", "invented", "other type", "other words", "both")
    return table({"type": list(self.errors), **{
        kind: [counts.get(kind, 0) for counts in self.errors.values()]
        for kind in kinds}})

  def plot(self) -> "Figure":
    from tf_adapters.tasks import evaluation_plots
    return evaluation_plots.of_scores(
        list(map(str, sorted(self.errors))), self._scores(), self.calibration,
        self._title())

  def _facts(self) -> list[str]:
    cut = (f"  words that were cut off, and count as outside: {self.cut:,}; a "
           "larger max_length sees them")
    return [f"  calibration error {self.calibration.error:.4f}",
            *([cut] if self.cut else []), *super()._facts()]

  def _class_rows(
      self, rounded: bool = True) -> tuple[list[str], list[list[Any]]]:
    types = sorted(self.errors)
    counts, scores = [], []
    for name in types:
      sets = [{(row, *entity) for row, entities in enumerate(part)
               for entity in entities if entity[0] == name}
              for part in (self.true, self.predicted)]
      hits = len(sets[0] & sets[1])
      precision = hits / max(len(sets[1]), 1)
      recall = hits / max(len(sets[0]), 1)
      counts.append(len(sets[0]))
      scores.append((precision, recall, 2 * precision * recall / max(
          precision + recall, 1e-12)))
    return class_rows(types, counts, list(zip(*scores)), rounded)


def _drawn(
    evaluation: ClassEvaluation | LabelSetEvaluation, counts: np.ndarray,
) -> tuple[list[int], list[str], dict[str, list[float]], str]:
  """Chooses what a picture shows: labels by number and name, scores, title.

  Args:
    evaluation: the evaluation.
    counts: rows of each label; of many labels those with the most are drawn.
  """
  most = np.argsort(-counts, kind="stable")[:_MOST_DRAWN]
  shown = [int(number) for number in sorted(most)]
  names = [str(evaluation.labels[number]) for number in shown]
  scores = {name: [values[number] for number in shown]
            for name, values in evaluation._scores().items()}
  title = evaluation._title()
  if len(shown) < len(evaluation.labels):
    title += (f"\nthe {len(shown)} of {len(evaluation.labels):,} labels with "
              "the most rows")
  return shown, names, scores, title
