"""Weights of labels in a training, for rare labels to count.

An example weighs what its label weighs: a text of a classifier, a token of a
tagger. Where a text can have several labels, each that it has weighs what that
label weighs and those that it lacks weigh 1 (PyTorch's pos_weight).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_adapters.errors import InputError

BALANCED = "balanced"


def check_labels(labels: Sequence[str], problem_type: str) -> None:
  """Refuses tasks and models without labels.

  Args:
    labels: their names.
    problem_type: for the message.

  Raises:
    InputError: there are none.
  """
  if not labels:
    raise InputError(
        f"class_weight is for labels, and {problem_type} has none: leave it "
        "out (in Keras, sample_weight weighs rows)")


def check_name(name: str) -> None:
  """Refuses names of weights but "balanced".

  Raises:
    InputError: so it is.
  """
  if name != BALANCED:
    raise InputError(f"class_weight {name!r}: there are {BALANCED!r} and "
                     "weights by label")


def by_number(weights: Mapping[str, float] | Mapping[int, float],
              labels: Sequence[str]) -> tuple[float, ...]:
  """Returns weights in the order of the labels; 1 where none is given.

  Args:
    weights: label name or number -> weight.
    labels: the names, in order.

  Raises:
    InputError: there is no such label, a weight is not a number from 0 on, or
      all of them are 0.
  """
  numbers = [1.0] * len(labels)
  for label, weight in weights.items():
    if label in labels:
      number = labels.index(label)
    elif isinstance(label, (int, np.integer)) and 0 <= label < len(labels):
      number = int(label)
    else:
      raise InputError(f"class_weight: {label!r} is not one of "
                       f"{', '.join(labels)}")
    try:
      value = float(weight)
    except (TypeError, ValueError):
      value = math.nan
    if not 0 <= value < math.inf:
      raise InputError(f"class_weight: {weight!r} of {label!r} is not a number "
                       "from 0 on")
    numbers[number] = value
  if not any(numbers):
    raise InputError("class_weight: all labels weigh 0, so that nothing would "
                     "be learned")
  return tuple(numbers)


def balanced(labels: np.ndarray, num_labels: int,
             multi_label: bool = False) -> tuple[float, ...]:
  """Returns weights under which all labels count alike, however rare they are.

  As scikit-learn's "balanced": examples / (labels that occur * examples of
  the label); of several labels a text, texts without the label / texts with
  it. A label that does not occur, or always does, has 1.

  Args:
    labels: numbers of any shape, negative ones left out; or zeros and ones
      [texts, num_labels].
    num_labels: how many labels there are.
    multi_label: whether they are zeros and ones.
  """
  labels = np.asarray(labels)
  if multi_label:
    with_it = (labels > 0.5).sum(axis=0)
    without = len(labels) - with_it
    used = (with_it > 0) & (without > 0)
    weights = np.where(used, without / np.maximum(with_it, 1), 1.0)
  else:
    labels = labels[labels >= 0].astype(np.int64)
    counts = np.bincount(labels, minlength=num_labels)
    weights = np.where(
        counts > 0,
        labels.size / (np.maximum(counts, 1) * max(1, (counts > 0).sum())), 1.0)
  return tuple(float(weight) for weight in weights)


def parse(text: str) -> str | dict[str, float]:
  """Reads "balanced", or weights such as "spam:5,ham:1".

  Raises:
    InputError: it is neither.
  """
  if text == BALANCED:
    return text
  weights: dict[str, Any] = {}
  for part in text.split(","):
    label, colon, weight = part.rpartition(":")
    label = label.strip()
    if not colon or not label or label in weights:
      raise InputError(f"class_weight: {text!r} is neither {BALANCED} nor "
                       "weights by label, such as spam:5,ham:1")
    try:
      weights[label] = float(weight)
    except ValueError:
      raise InputError(f"class_weight: {weight!r} of {label!r} is not a "
                       "number") from None
  return weights
