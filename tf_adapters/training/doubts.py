"""Warnings about doubtful scores: of splits, of predictions.

None of it is an error: a run with such data can be what its user wants.
"""

import collections
from collections.abc import Sequence

import numpy as np

from tf_adapters.data.batching import Encoded
from tf_adapters.data.dataset import Dataset
from tf_adapters.data.splits import Examples
from tf_adapters.problems import find_problem

_NAMED = 5  # labels
_MANY_ROWS = 20


def of_splits(task: Dataset, chooses: bool) -> list[str]:
  """Lists what is odd about the splits of a task that is to be trained.

  Args:
    task: the task.
    chooses: whether its validation split is to choose the best epoch.
  """
  train = task.split("train")
  found = []
  if value := _constant(task, train):
    found.append(f"all {len(train):,} rows of the train split have {value}: "
                 "there is nothing to learn")
  if _have_one_label_each(task, train):
    found.append(
        f"all {len(train):,} rows of the train split have a single label: "
        "problem_type=classification learns that labels exclude each other")
  validation = task.splits.get("validation")
  if chooses and validation is None:
    found.append("there is no validation split to choose the best epoch: the "
                 "last one is kept; validation=0.15 of a Dataset, or "
                 "--validation_fraction or --holdout, hold rows out for one")
  elif validation is not None and chooses and validation.labels is None:
    found.append("the validation split has no labels to choose the best epoch "
                 "by: the last one is kept")
  elif validation is not None and chooses and (
      value := _constant(task, validation)):
    found.append(f"all {len(validation):,} rows of the validation split have "
                 f"{value}: it cannot choose the best epoch")
  elif validation is not None:
    found += _missing(task, train, validation)
  known = set(train.contents())
  for name, split in task.splits.items():
    if name != "train" and split.labels is not None:
      count = sum(text in known for text in split.contents())
      if count:
        found.append(
            f"{count:,} of {len(split):,} texts of the {name} split are in the "
            "train split, too" + (": its scores say little of new texts"
                                  if 2 * count > len(split) else ""))
  return found


def of_predictions(task: Dataset, name: str, encoded: Encoded,
                   outputs: Sequence[np.ndarray]) -> str | None:
  """Says that a model predicts the same for every row of a split, if it does.

  Args:
    task: the task.
    name: of the split, which has labels.
    encoded: what the model saw of it.
    outputs: the model's, one for each row of `encoded`.
  """
  if _constant(task, task.splits[name]):
    return None  # as it should
  same = find_problem(task.problem_type).same_predictions(
      encoded, outputs, task.labels)
  if not same:
    return None
  return (f"{name}: every prediction is {same}: another learning_rate, more "
          "num_train_epochs or another pooling may help")


def _constant(task: Dataset, split: Examples) -> str:
  """Describes labels that are the same in all rows; "" where they differ."""
  if split.labels is None or not len(split):
    return ""
  return find_problem(task.problem_type).same_labels(split.labels, task.labels)


def _have_one_label_each(task: Dataset, train: Examples) -> bool:
  """Returns whether rows that may have any number of labels have one each."""
  return (task.problem_type == "multi_label" and len(train) >= _MANY_ROWS
          and bool((np.asarray(train.labels).sum(axis=1) == 1).all()))


def _missing(task: Dataset, train: Examples, validation: Examples) -> list[str]:
  """Says which labels are learnt and not validated."""
  if validation.labels is None or not task.labels or np.ndim(
      train.labels[0]):  # no single one for each row
    return []
  counts = collections.Counter(np.asarray(train.labels).tolist())
  gone = [task.labels[label] for label in sorted(
      counts.keys() - set(np.asarray(validation.labels).tolist()))]
  if not gone:
    return []
  names = ", ".join(map(repr, gone[:_NAMED])) + (
      ", ..." if len(gone) > _NAMED else "")
  return [f"the validation split has no row of {len(gone)} of "
          f"{len(counts)} labels: {names}"]
