"""The metrics of the tasks, as functions of labels and model outputs.

All of them see the outputs of every example of a split at once, gathered and
in any order; none is computed batch by batch.
"""

from collections.abc import Callable, Sequence

import numpy as np
import scipy.stats
import sklearn.metrics

Metric = Callable[[np.ndarray, np.ndarray], float]


def _of_labels(function: Callable[..., float], **arguments) -> Metric:
  """A metric of true and predicted labels, from one of logits."""
  return lambda labels, outputs: float(
      function(labels, outputs.argmax(axis=-1), **arguments))


def _correlation(function: Callable[..., tuple[float, float]]) -> Metric:
  def metric(labels: np.ndarray, outputs: np.ndarray) -> float:
    outputs = outputs.reshape(-1)
    # Undefined for a constant and for what has diverged; no correlation is the
    # honest reading.
    if (np.ptp(labels) == 0 or np.ptp(outputs) == 0
        or not np.all(np.isfinite(outputs))):
      return 0.0
    return float(function(labels, outputs)[0])
  return metric


METRICS: dict[str, Metric] = {
    "accuracy": _of_labels(sklearn.metrics.accuracy_score),
    # Of label 1, as GLUE does for MRPC and QQP.
    "f1": _of_labels(sklearn.metrics.f1_score, zero_division=0),
    "macro_f1": _of_labels(
        sklearn.metrics.f1_score, average="macro", zero_division=0),
    "matthews_correlation": _of_labels(sklearn.metrics.matthews_corrcoef),
    "pearson": _correlation(scipy.stats.pearsonr),
    "spearman": _correlation(scipy.stats.spearmanr),
}


def evaluate(names: Sequence[str], labels: np.ndarray,
             outputs: np.ndarray) -> dict[str, float]:
  """Computes metrics.

  Args:
    names: keys of `METRICS`.
    labels: label numbers or scores [examples].
    outputs: logits [examples, labels] or scores [examples, 1].

  Returns:
    {name: value}.

  Example:
    >>> evaluate(["accuracy"], np.array([1, 0]), np.array([[0., 1.], [2., 1.]]))
    {'accuracy': 1.0}
  """
  return {name: METRICS[name](labels, outputs) for name in names}
