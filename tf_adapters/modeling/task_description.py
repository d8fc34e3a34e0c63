"""Describes a model's task in one object, which travels with the model.

Through fits, Keras' files, adapter files and exports. Nothing here knows
TensorFlow or files.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from tf_adapters.errors import InputError
from tf_adapters.modeling.config import JsonConfig, is_flat
from tf_adapters.modeling.label_types import LABEL_TYPES
from tf_adapters.modeling.vocabulary import SHORTEST_LENGTH


@dataclasses.dataclass(frozen=True)
class TaskDescription(JsonConfig):
  """The description of a model's task.

  Attributes:
    name: of the task; "" where it has none yet.
    labels: label names, in the order of the head's outputs.
    max_length: longest sequence in training, in wordpieces, where known.
    pairs: whether the task is on pairs of texts, where known.
    span: how contexts are cut and answers chosen, the fields of
      `data.squad_options.SquadOptions`; None for other tasks.
    metrics: what was measured, split -> metric -> value.
    weights_sha256: of the adapter file that was measured; "" where the metrics
      are said to be those of the model's weights, whatever they are.
    label_type: what labels are to the user, one of `label_types.LABEL_TYPES`.
    thresholds: label -> the probability above which it is predicted, where a
      text can have several; 0.5 for those that are not there.

  Raises:
    InputError: a value has the wrong type, or is out of range.

  Example:
    >>> model.task = dataclasses.replace(model.task, max_length=64, pairs=True)
  """

  name: str = ""
  labels: tuple[str, ...] = ()
  max_length: int | None = None
  pairs: bool | None = None
  span: Mapping[str, Any] | None = None
  metrics: Mapping[str, Mapping[str, float]] = dataclasses.field(
      default_factory=dict)
  weights_sha256: str = ""
  label_type: str = "str"
  thresholds: Mapping[str, float] = dataclasses.field(default_factory=dict)

  def __post_init__(self) -> None:
    for name, fits in (
        ("name", isinstance(self.name, str)),
        ("labels", isinstance(self.labels, list | tuple)
         and all(isinstance(label, str) for label in self.labels)
         and len(set(self.labels)) == len(self.labels) != 1),
        ("max_length", self.max_length is None or (
            type(self.max_length) is int
            and self.max_length >= SHORTEST_LENGTH)),
        ("pairs", isinstance(self.pairs, bool | None)),
        ("span", self.span is None or (
            isinstance(self.span, Mapping) and is_flat(self.span))),
        ("metrics", isinstance(self.metrics, Mapping)
         and all(map(_are_metrics, self.metrics.values()))),
        ("weights_sha256", isinstance(self.weights_sha256, str)),
        ("label_type", isinstance(self.label_type, str)
         and self.label_type in LABEL_TYPES),
        ("thresholds", isinstance(self.thresholds, Mapping) and all(
            label in self.labels and isinstance(value, float | int)
            and 0 < value < 1 for label, value in self.thresholds.items()))):
      if not fits:
        raise InputError(f"{name} is {getattr(self, name)!r}")
    object.__setattr__(self, "labels", tuple(self.labels))

  @property
  def boundaries(self) -> tuple[float, ...]:
    """The logit above which each label is predicted; () for 0 everywhere."""
    if not self.thresholds:
      return ()
    return tuple(
        math.log(threshold) - math.log1p(-threshold)
        for threshold in (self.thresholds.get(label, 0.5)
                          for label in self.labels))


def _are_metrics(values: Any) -> bool:
  return isinstance(values, Mapping) and all(
      isinstance(value, float | int) and not abs(value) > 1e300
      for value in values.values())  # NaN is a metric, too
