"""The files of a run's predictions, whatever the task's type of problem."""

from collections.abc import Sequence

import numpy as np

from tf_adapters.data.batching import Encoded
from tf_adapters.data.dataset import Dataset
from tf_adapters.problems import find_problem
from tf_adapters.problems.problem import check_finite


def prediction_files(task: Dataset, name: str, encoded: Encoded,
                     outputs: Sequence[np.ndarray]) -> dict[str, str]:
  """Makes files of a split's predictions: as benchmarks want them, or readable.

  Args:
    task: the task.
    name: of the split.
    encoded: what the model saw of it.
    outputs: the model's, one for each row of `encoded`.

  Returns:
    {file name: content}.

  Raises:
    InputError: an output is not finite, or a label cannot be written.
  """
  check_finite(task, outputs)
  return find_problem(task.problem_type).files(task, name, encoded, outputs)
