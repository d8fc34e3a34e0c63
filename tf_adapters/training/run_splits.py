"""Chooses the splits of a task that a run evaluates, and predicts."""

from tf_adapters.data.dataset import Dataset
from tf_adapters.data.splits import Examples
from tf_adapters.errors import InputError
from tf_adapters.problems import find_problem


def labelled_splits(task: Dataset) -> list[str]:
  """Names the splits that are evaluated.

  Raises:
    InputError: there is none, or one is empty.
  """
  splits = [name for name, split in task.splits.items()
            if name != "train" and split.labels is not None]
  if not splits:
    raise InputError(
        f"task {task.name}: nothing to evaluate: no labelled validation or "
        f"test split in {task.origin}")
  for name in splits:
    task.split(name)  # says which one is empty
  return splits


def test_splits(task: Dataset) -> dict[str, Examples]:
  """Returns the splits that are predicted, by name.

  Raises:
    InputError: there is none, or one is empty.
  """
  wanted = ("test" if "test" in task.splits
            else find_problem(task.problem_type).predicted_split)
  splits = {name: split for name, split in task.splits.items()
            if name.startswith(wanted)}
  for name in splits or [wanted]:
    task.split(name)  # says what is missing or empty
  return splits
