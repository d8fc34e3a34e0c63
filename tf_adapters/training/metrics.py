"""The metrics of the tasks, as functions of labels and model outputs.

All of them see the outputs of every example of a split at once, gathered and
in any order; none is computed batch by batch.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import scipy.stats
import seqeval.metrics
import sklearn.metrics

from tf_adapters.data import span_answers
from tf_adapters.data.batching import Encoded
from tf_adapters.data.tag_schemes import entity_tags
from tf_adapters.data.tasks import Examples, Task
from tf_adapters.errors import InputError
from tf_adapters.training.training_config import check_best_metric

Metric = Callable[[np.ndarray, np.ndarray], float]


def _of_labels(function: Callable[..., float], **arguments) -> Metric:
  """A metric of true and predicted labels, from one of logits."""

  def metric(labels: np.ndarray, outputs: np.ndarray) -> float:
    predicted = outputs > 0 if labels.ndim == 2 else outputs.argmax(axis=-1)
    return float(function(labels, predicted, **arguments))

  return metric


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


def _entity_metrics(labels: Sequence[str], true: list[list[str]],
                    predicted: list[list[str]]) -> dict[str, float]:
  # BILOU, BMES and others, as seqeval knows them.
  tags = entity_tags(labels).seqevals
  true, predicted = ([[tags[label] for label in sentence] for sentence in part]
                     for part in (true, predicted))
  scores = {"entity_f1": seqeval.metrics.f1_score,
            "entity_precision": seqeval.metrics.precision_score,
            "entity_recall": seqeval.metrics.recall_score}
  return {name: float(score(true, predicted, zero_division=0))
          for name, score in scores.items()}


def _token_metrics(true: list[list[str]],
                   predicted: list[list[str]]) -> dict[str, float]:
  words, guesses = ([tag for tags in part for tag in tags]
                    for part in (true, predicted))
  return {
      "token_accuracy": float(sklearn.metrics.accuracy_score(words, guesses)),
      "macro_f1": float(sklearn.metrics.f1_score(
          words, guesses, average="macro", zero_division=0))}


METRICS: dict[str, Metric] = {
    "accuracy": _of_labels(sklearn.metrics.accuracy_score),
    # Of label 1, as GLUE does for MRPC and QQP.
    "f1": _of_labels(sklearn.metrics.f1_score, zero_division=0),
    "macro_f1": _of_labels(
        sklearn.metrics.f1_score, average="macro", zero_division=0),
    "micro_f1": _of_labels(
        sklearn.metrics.f1_score, average="micro", zero_division=0),
    "matthews_correlation": _of_labels(sklearn.metrics.matthews_corrcoef),
    "pearson": _correlation(scipy.stats.pearsonr),
    "spearman": _correlation(scipy.stats.spearmanr),
}


def evaluate(names: Sequence[str], labels: np.ndarray,
             outputs: np.ndarray) -> dict[str, float]:
  """Computes metrics.

  Args:
    names: keys of `METRICS`.
    labels: label numbers or scores [examples], or zeros and ones
      [examples, labels].
    outputs: logits [examples, labels] or scores [examples, 1].

  Returns:
    {name: value}.

  Example:
    >>> evaluate(["accuracy"], np.array([1, 0]), np.array([[0., 1.], [2., 1.]]))
    {'accuracy': 1.0}
  """
  return {name: METRICS[name](labels, outputs) for name in names}


def with_best_metric(task: Task, name: str) -> Task:
  """The task with another metric in the first place, which selects epochs.

  Args:
    task: the task.
    name: one of the `best_metrics` of its type of problem.

  Raises:
    InputError: the task has no such metric.
  """
  check_best_metric(name, task.problem_type)
  if name == "f1" and task.labels and len(task.labels) != 2:
    raise InputError(f"best_metric=f1 is for two labels, and task {task.name} "
                     f"has {len(task.labels)}: macro_f1 is for any number")
  if name.startswith("entity_") and name not in task.metrics:
    raise InputError(
        f"best_metric={name} is for tags of entities, which those of task "
        f"{task.name} are not: it has token_accuracy and macro_f1")
  others = [metric for metric in task.metrics if metric != name]
  return dataclasses.replace(task, metrics=(name, *others))


def check_finite(task: Task, outputs: Sequence[np.ndarray]) -> None:
  """Refuses outputs that are not finite: any of them would count as label 0.

  Raises:
    InputError: one is not; its row is told.
  """
  for row, output in enumerate(outputs):
    if not np.isfinite(output).all():
      raise InputError(
          f"task {task.name}: the model computes numbers that are not finite "
          f"from row {row}: its weights are too large; train with a lower "
          "learning_rate")


def evaluate_task(task: Task, split: Examples, encoded: Encoded,
                  outputs: Sequence[np.ndarray]) -> dict[str, float]:
  """The metrics of a task, whatever its type of problem.

  Args:
    task: the task.
    split: its examples, with labels.
    encoded: what the model saw of them.
    outputs: the model's, one for each row of `encoded`.

  Returns:
    {name: value} for the task's metrics.

  Raises:
    InputError: an output is not finite.
  """
  check_finite(task, outputs)
  if task.problem_type == "tagging":
    true = [[task.labels[tag] for tag in tags] for tags in split.labels]
    predicted = encoded.tags(outputs, task.labels)
    values = _token_metrics(true, predicted)
    if "entity_f1" in task.metrics:
      values |= _entity_metrics(task.labels, true, predicted)
    return {name: values[name] for name in task.metrics}
  if task.problem_type == "span":
    chosen = span_answers.choose(encoded, outputs)
    values = span_answers.evaluate(
        split.questions, {name: answers.text
                          for name, answers in chosen.items()},
        split.options.version_2)
    return {name: values[name] for name in task.metrics}
  return evaluate(task.metrics, encoded.labels.numpy(), np.stack(outputs))
