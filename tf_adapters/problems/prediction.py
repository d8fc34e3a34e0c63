"""The prediction of a task for a text, with all that is known of it."""

import dataclasses
from collections.abc import Mapping
from typing import Generic, TypeVar

import numpy as np

OfLabels = Mapping[str, float]
Tags = list[tuple[str, str]]
OfTags = list[tuple[str, OfLabels]]
# What `AdapterBank` returns of tasks of any type, and of the encoder alone.
Value = str | tuple[str, ...] | float | Tags | np.ndarray
Probabilities = OfLabels | OfTags | None

V = TypeVar("V")
P = TypeVar("P")


@dataclasses.dataclass(frozen=True)
class Prediction(Generic[V, P]):
  """A task's prediction of a text.

  | type of problem | value | probabilities |
  |---|---|---|
  | classification | the label | {label: probability} |
  | multi_label | the labels, a tuple | {label: probability} |
  | regression | the number | None |
  | tagging | [(word, tag), ...] | [(word, {tag: probability}), ...] |
  | span | the answer, or "" for none | {answer: probability}, best first |
  | none, the encoder alone | the embedding, float32 [hidden_size] | None |

  Attributes:
    task: the task's name; "base" for the encoder alone.
    value: what is predicted; `AdapterBank.predict` returns nothing else.
    probabilities: of all that could have been predicted.
    span: of an answer, where in the context it begins and ends, in characters;
      None without an answer and for other types of problem.

  Example:
    >>> (prediction,) = bank.predictions(["a moving film"], "sst2")
    >>> prediction.value, prediction.probability
    ('positive', 0.98)
  """

  task: str
  value: V
  probabilities: P
  span: tuple[int, int] | None = None

  @property
  def probability(self) -> float | None:
    """Of the label or the answer; None where there is no single one."""
    value, probabilities = self.value, self.probabilities
    if isinstance(value, str) and isinstance(probabilities, Mapping):
      return probabilities.get(value)
    return None
