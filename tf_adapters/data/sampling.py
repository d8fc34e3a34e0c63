"""Parts of a split, drawn by a seed: fewer rows to train on, rows held out."""

import dataclasses

import numpy as np

from tf_adapters.data.dataset import Dataset
from tf_adapters.data.splits import Examples
from tf_adapters.errors import InputError

# Not a run's seed: runs that are compared have to hold out the same rows.
_HOLDOUT_SEED = 0


def sample(examples: Examples, count: int, seed: int) -> Examples:
  """Draws `count` examples by a seed, in their old order, or takes all.
  """
  if count >= len(examples):
    return examples
  drawn, _ = _draw(len(examples), count, seed)
  return examples.take(drawn)


def hold_out(task: Dataset, proportion: float) -> Dataset:
  """Lets a part of the training split validate, and what validated test.

  For tasks whose test labels are hidden, such as GLUE's: what is chosen by the
  validation split of the new task, an epoch or a learning rate, was chosen
  without a look at its test split. The rows are the same in every run. They
  are drawn without regard to their labels, as for any kind of task.

  Args:
    task: the task, with a training split and, if there is a validation split,
      labels of that. Of validation_mismatched test_mismatched is made. Test
      splits that it has are gone then, and with them the forms of their
      submission; without a validation split they stay.
    proportion: of the training rows, between 0 and 1.

  Raises:
    InputError: a split is empty, or without labels, or there is no training
      split; or no row would be held out, or left to train on.
  """
  train = task.split("train")
  given = "validation" in task.splits
  if given and task.split("validation").labels is None:
    raise InputError(
        f"task {task.name}: holdout needs a labelled validation split, to test "
        f"on; that in {task.origin} has no labels")
  count = round(proportion * len(train))
  if not 0 < count < len(train):
    raise InputError(
        f"task {task.name}: holdout={proportion} of {len(train)} training rows "
        f"are {count}")
  held_out, others = _draw(len(train), count, _HOLDOUT_SEED)
  splits = {"train": train.take(others), "validation": train.take(held_out)}
  files = {name: task.files.get("train", ()) for name in splits}
  note = (f"holdout: {count:,} of {len(train):,} training rows are the "
          "validation split")
  if not given:
    kept = {name: split for name, split in task.splits.items()
            if name != "train"}
    return dataclasses.replace(
        task, splits=splits | kept, notes=(*task.notes, note),
        files={**task.files, "validation": files["train"]})
  splits |= {name.replace("validation", "test"): split
             for name, split in task.splits.items()
             if name.startswith("validation")}
  files |= {name.replace("validation", "test"): paths
            for name, paths in task.files.items()
            if name.startswith("validation")}
  note += ", and the published validation split is for testing"
  unused = [f"{name} ({len(split):,} rows)"
            for name, split in task.splits.items()
            if name.startswith("test") and split.labels is not None]
  if unused:
    note += f"; the labels of {', '.join(unused)} are not used"
  return dataclasses.replace(
      task, splits=splits, submissions={}, notes=(*task.notes, note),
      files=files)


def _draw(rows: int, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
  """Draws numbers of `count` of the rows, and of the others, both in order."""
  order = np.random.default_rng(seed).permutation(rows)
  return np.sort(order[:count]), np.sort(order[count:])
