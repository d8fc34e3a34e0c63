"""The metrics of a task's splits, whatever its type of problem."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tf_adapters.data.batching import Encoded
from tf_adapters.data.dataset import Dataset
from tf_adapters.data.splits import Examples
from tf_adapters.errors import InputError
from tf_adapters.problems import find_problem
from tf_adapters.problems.problem import check_finite
from tf_adapters.training.training_config import check_best_metric


def with_best_metric(task: Dataset, name: str) -> Dataset:
  """Puts another metric, which selects epochs, into the first place.

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


def evaluate_task(task: Dataset, split: Examples, encoded: Encoded,
                  outputs: Sequence[np.ndarray]) -> dict[str, float]:
  """Computes the metrics of a task, whatever its type of problem.

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
  return find_problem(task.problem_type).evaluate(
      task, split, encoded, outputs)
