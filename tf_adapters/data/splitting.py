"""Splits rows by fractions and a seed, each label by its share."""

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from tf_adapters.data.dataset import OWN_SPLITS, Dataset
from tf_adapters.errors import InputError

# Of the rows, where there is no file and no other fraction is given.
DEFAULT_FRACTION = 0.15

# Of scores: each split has low and high ones, where there are rows for it.
_BINS, _LEAST_ROWS_OF_A_BIN = 10, 4


def split_rows(rows: int, fractions: Mapping[str, float], seed: int = 0,
               strata: Sequence[Hashable] | None = None,
               suffix: str = "_fraction",
               contents: Sequence[Hashable] | None = None,
               ) -> dict[str, np.ndarray]:
  """Draws rows for splits; every row is in exactly one of them.

  The same arguments give the same rows, on every machine. Each split gets
  `round(fraction * rows)` rows, or as many as are asked for, and each stratum
  its share of them, to one row.
  A row of each stratum stays in "train", so that nothing is evaluated that was
  never seen. Rows of the same content are in the same split, so that nothing is
  evaluated that was trained on. They are drawn as one, and before single rows,
  which make the numbers right again.

  Args:
    rows: how many there are.
    fractions: split name -> its part of the rows, or as an integer their
      number; what is left is "train".
    seed: of the drawing.
    strata: what each row is, its label for instance; None: all are alike.
    suffix: what the name of a fraction has behind that of its split.
    contents: of each row, its text for instance; None: all are different.

  Returns:
    {name: int64 numbers of its rows, in order}, "train" first.

  Raises:
    InputError: a fraction is out of range or has no rows, or they leave none to
      train on.

  Example:
    >>> split_rows(10, {"test": 0.2}, strata="aaaaabbbbb")
    {'train': array([0, 1, 3, 4, 5, 6, 8, 9]), 'test': array([2, 7])}
  """
  wrong = {name: part for name, part in fractions.items() if part < 0 or (
      part >= 1 and not _is_count(part))}
  if wrong:
    raise InputError(
        "fractions of a split must be in the range [0, 1), and numbers of rows "
        f"integers: {_named(wrong, suffix)}")
  counts = {name: int(part) if _is_count(part) else round(part * rows)
            for name, part in fractions.items()}
  if sum(part / max(rows, 1) if _is_count(part) else part
         for part in fractions.values()) >= 1:
    raise InputError(f"{_named(fractions, suffix)} of {rows:,} rows must leave "
                     "rows to train on")
  shuffled = np.random.default_rng(seed).permutation(rows).tolist()
  if strata is None:
    strata = [None] * rows
  if contents is None:
    contents = range(rows)
  units: dict[Hashable, list[int]] = {}
  first_of: dict[Hashable, Hashable] = {}  # stratum -> content
  for row in shuffled:
    units.setdefault(contents[row], []).append(row)
    first_of.setdefault(strata[row], contents[row])
  kept = set(first_of.values())
  groups: dict[Hashable, list[list[int]]] = {name: [] for name in first_of}
  for content, unit in units.items():
    if content not in kept:
      groups[strata[unit[0]]].append(unit)
  free = [unit for group in groups.values()
          for unit in sorted(group, key=len, reverse=True)]
  splits = {}
  for name, fraction in fractions.items():
    if not fraction:
      continue
    count = counts[name]
    there = sum(map(len, free))
    if count > 0 and there < count and 2 * len(groups) > rows:
      raise InputError(
          f"{len(groups):,} different labels in {rows:,} rows leave none to "
          "hold out, beside one of each to train on: are they labels? "
          "problem_type=regression takes labels for numbers")
    drawn, free = _draw(free, count, there)
    if not (0 < count <= there and drawn):
      same = (f" ({len(units):,} different texts)"
              if len(units) < rows else "")
      raise InputError(
          f"{_named({name: fraction}, suffix)} of {rows:,} rows{same} are "
          f"{count:,}, and {there:,} are there, beside one of each label to "
          "train on: give another "
          + ("number" if _is_count(fraction) else "fraction")
          + ", or more rows" + (
              "; rows of the same text stay together" if same else ""))
    splits[name] = np.sort([row for unit in drawn for row in unit])
  others = set(range(rows)).difference(*(
      numbers.tolist() for numbers in splits.values()))
  return {"train": np.array(sorted(others), np.int64), **splits}


def _is_count(part: Any) -> bool:
  """Says whether a part is a number of rows."""
  return isinstance(part, Integral)


def check_part(split: str, part: Any) -> None:
  """Refuses what is no part of the rows, nor a number of them.

  Args:
    split: name of the split, which is that of the argument.
    part: what was given.

  Raises:
    InputError: says where a user's own rows of a split belong.
  """
  if isinstance(part, bool) or not isinstance(part, Real):
    raise InputError(
        f"{split} is a {type(part).__name__}: a part of the rows is wanted, "
        f"such as 0.15, or how many, such as 500; {OWN_SPLITS}")


def _draw(units: Sequence[list[int]], count: int, rows: int,
          ) -> tuple[list[list[int]], list[list[int]]]:
  """Draws units until they have `count` of all `rows`; returns the others, too.

  Every so many rows along the units, which lie stratum by stratum. A unit is
  drawn where more than half of its rows are wanted by then.
  """
  drawn, others = [], []
  seen = taken = 0
  for unit in units:
    seen += len(unit)
    if 2 * (seen * count - taken * rows) > (len(unit) - 1) * rows:
      drawn.append(unit)
      taken += len(unit)
    else:
      others.append(unit)
  return drawn, others


def strata_of(labels: Any) -> list[int] | None:
  """Numbers the stratum of each row, by its labels.

  Args:
    labels: of a split: int label numbers [rows]; zeros and ones [rows, labels],
      where a row is of its rarest label; float scores [rows], in tenths by
      rank, or fewer parts of some rows each; anything else has no strata.
  """
  if not isinstance(labels, np.ndarray):
    return None
  if labels.ndim == 2:
    rare = np.argsort(np.argsort(labels.sum(axis=0), kind="stable"))
    ranks = np.where(labels > 0, rare, labels.shape[1])
    return [int(rank) for rank in ranks.min(axis=1, initial=labels.shape[1])]
  if np.issubdtype(labels.dtype, np.integer):
    return [int(label) for label in labels]
  ranks = np.argsort(np.argsort(labels, kind="stable"))
  bins = min(_BINS, max(1, len(labels) // _LEAST_ROWS_OF_A_BIN))
  return [int(rank) * bins // len(labels) for rank in ranks]


def split_task(task: Dataset, validation_fraction: float | None = None,
               test_fraction: float | None = None, seed: int = 0,
               suffix: str = "_fraction") -> Dataset:
  """Gives a task the splits that it has no files for, from its training rows.

  Args:
    task: with a "train" split.
    validation_fraction, test_fraction: part of the training rows that is made
      that split, or as an integer their number; 0 for none; None for
      `DEFAULT_FRACTION` where there is no such split yet.
    seed: of the drawing. Runs that are compared should have the same one.
    suffix: as for `split_rows`.

  Returns:
    The task with these splits, and a note on them.

  Raises:
    InputError: there is such a split already, or as for `split_rows`.
  """
  fractions = {}
  for name, given in (("validation", validation_fraction),
                      ("test", test_fraction)):
    if name in task.splits:
      if given:
        raise InputError(f"{name}{suffix}={given}: {task.origin} has a {name} "
                         "split of its own: leave the fraction out")
      continue
    fraction = DEFAULT_FRACTION if given is None else given
    if fraction:
      fractions[name] = fraction
  if not fractions:
    return task
  train = task.split("train")
  groups = train.groups()
  parts = split_rows(len(train), fractions, seed, strata_of(train.labels),
                     suffix, groups)
  repeats = len(train) - len(set(groups))
  splits = {name: train.take(numbers) for name, numbers in parts.items()}
  source = task.files.get("train", ())
  sizes = ", ".join(f"{len(split):,} {name}" for name, split in splits.items())
  return dataclasses.replace(
      task, splits={**splits, **{name: split for name, split
                                 in task.splits.items() if name != "train"}},
      notes=(*task.notes, f"{len(train):,} rows are split by seed {seed}: "
             f"{sizes}" + (f"; rows that repeat a text of another are in its "
                           f"split: {repeats:,}" if repeats else "")),
      files={**{name: source for name in splits if source}, **{
          name: paths for name, paths in task.files.items()
          if name != "train"}})


def _named(fractions: Mapping[str, float], suffix: str) -> str:
  return ", ".join(f"{name}{suffix}={part}"
                   for name, part in fractions.items())
