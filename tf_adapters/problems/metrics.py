"""Metrics of what is predicted for texts, and of tags.

All of them see every example of a split at once, gathered and in any order;
none is computed batch by batch. What is predicted is the problems' business.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.stats
import seqeval.metrics
import sklearn.metrics

from tf_adapters.data.tag_schemes import entity_tags

Metric = Callable[[np.ndarray, np.ndarray], float]


def _of_labels(function: Callable[..., float], **arguments: Any) -> Metric:
  """Makes a metric of true and predicted labels, with arguments."""

  def metric(labels: np.ndarray, predicted: np.ndarray) -> float:
    # A column of zeros and ones alone would be two classes.
    only = {"labels": [1]} if labels.shape[1:] == (1,) and (
        "average" in arguments) else {}
    return float(function(labels, predicted, **arguments, **only))

  return metric


def _correlation(function: Callable[..., tuple[float, float]]) -> Metric:
  def metric(labels: np.ndarray, predicted: np.ndarray) -> float:
    # Undefined for a constant and for what has diverged; no correlation is the
    # honest reading.
    if (np.ptp(labels) == 0 or np.ptp(predicted) == 0
        or not np.all(np.isfinite(predicted))):
      return 0.0
    return float(function(labels, predicted)[0])
  return metric


def _matthews_correlation(labels: np.ndarray, predicted: np.ndarray) -> float:
  """Computes Gorodkin's, by counts: 10,000 labels have a matrix of 800 MB."""
  _, numbers = np.unique(
      np.concatenate([labels, predicted]), return_inverse=True)
  counts = np.stack([
      np.bincount(part, minlength=numbers.max() + 1).astype(float)
      for part in np.split(numbers, 2)])
  right, rows = float(np.sum(labels == predicted)), len(labels)
  spread = rows ** 2 - (counts ** 2).sum(axis=1)
  if not spread.all():
    return 0.0
  return float((right * rows - counts[0] @ counts[1])
               / np.sqrt(spread[0] * spread[1]))


METRICS: dict[str, Metric] = {
    "accuracy": _of_labels(sklearn.metrics.accuracy_score),
    # Of label 1, as GLUE does for MRPC and QQP.
    "f1": _of_labels(sklearn.metrics.f1_score, zero_division=0),
    "macro_f1": _of_labels(
        sklearn.metrics.f1_score, average="macro", zero_division=0),
    "micro_f1": _of_labels(
        sklearn.metrics.f1_score, average="micro", zero_division=0),
    "matthews_correlation": _matthews_correlation,
    "pearson": _correlation(scipy.stats.pearsonr),
    "spearman": _correlation(scipy.stats.spearmanr),
}


def evaluate(names: Sequence[str], labels: np.ndarray,
             predicted: np.ndarray) -> dict[str, float]:
  """Computes metrics of texts.

  Args:
    names: keys of `METRICS`.
    labels: label numbers or scores [examples], or zeros and ones
      [examples, labels].
    predicted: the same of what is predicted.

  Returns:
    {name: value}.

  Example:
    >>> evaluate(["accuracy"], np.array([1, 0]), np.array([1, 1]))
    {'accuracy': 0.5}
  """
  return {name: METRICS[name](labels, predicted) for name in names}


def entity_metrics(labels: Sequence[str], true: Sequence[Sequence[str]],
                   predicted: Sequence[Sequence[str]]) -> dict[str, float]:
  """Computes metrics of the entities that tags mark.

  Args:
    labels: all tags.
    true, predicted: the tags of each sentence's words.
  """
  # BILOU, BMES and others, as seqeval knows them.
  tags = entity_tags(labels).seqevals
  true, predicted = ([[tags[label] for label in sentence] for sentence in part]
                     for part in (true, predicted))
  scores = {"entity_f1": seqeval.metrics.f1_score,
            "entity_precision": seqeval.metrics.precision_score,
            "entity_recall": seqeval.metrics.recall_score}
  return {name: float(score(true, predicted, zero_division=0))
          for name, score in scores.items()}


def token_metrics(true: Sequence[Sequence[str]],
                  predicted: Sequence[Sequence[str]]) -> dict[str, float]:
  """Computes metrics of single words' tags, as for `entity_metrics`."""
  words, guesses = ([tag for tags in part for tag in tags]
                    for part in (true, predicted))
  return {
      "token_accuracy": float(sklearn.metrics.accuracy_score(words, guesses)),
      "macro_f1": float(sklearn.metrics.f1_score(
          words, guesses, average="macro", zero_division=0))}
