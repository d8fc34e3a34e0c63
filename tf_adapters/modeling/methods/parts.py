"""Parts of a method: layers and arrays that it has at a place.

They are said, and not made: a model makes Keras layers of them, and a bank
stacks their arrays.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Dense:
  """A dense layer: [..., inputs] -> [..., outputs]."""

  inputs: int
  outputs: int
  activation: str = "linear"
  stddev: float = 0.02  # of the initial kernel; 0 for zeros
  use_bias: bool = True

  def shapes(self) -> dict[str, tuple[int, ...]]:
    """Returns {name: shape} of its variables."""
    return {"kernel": (self.inputs, self.outputs),
            **({"bias": (self.outputs,)} if self.use_bias else {})}


@dataclasses.dataclass(frozen=True)
class Norm:
  """A layer norm over the last axis."""

  size: int
  epsilon: float

  def shapes(self) -> dict[str, tuple[int, ...]]:
    """Returns {name: shape} of its variables."""
    return {"gamma": (self.size,), "beta": (self.size,)}


@dataclasses.dataclass(frozen=True)
class Array:
  """Numbers. Called without arguments: [1 or batch, *shape].

  Attributes:
    shape: of the numbers.
    initial: their first value, to which a Gaussian of `stddev` is added.
    neutral: what they are in a batch for rows of tasks that have none: with it
      the method has to give what it was given, to the last bit.
  """

  shape: tuple[int, ...]
  initial: float = 0.0
  stddev: float = 0.0
  neutral: float = 0.0

  def shapes(self) -> dict[str, tuple[int, ...]]:
    """Returns {name: shape} of its variable."""
    return {"value": self.shape}


@dataclasses.dataclass(frozen=True)
class Drop:
  """Dropout, in training alone."""

  rate: float

  def shapes(self) -> dict[str, tuple[int, ...]]:
    """Returns nothing: it has no variables."""
    return {}


Part = Dense | Norm | Array | Drop
# What a method computes with: {name: a layer}, each called with a tensor, or
# without one where the part is an `Array`.
Layers = Mapping[str, Callable[..., Any]]
# The values of the variables that a method has at a place, and of those that
# all its places share: {name: numpy array}.
Values = Mapping[str, Any]


def shapes_of(parts: Mapping[str, Part]) -> dict[str, tuple[int, ...]]:
  """Returns {name of a part, and of its variable: shape}.

  Example:
    >>> shapes_of({"up": Dense(8, 32, use_bias=False)})
    {'up/kernel': (8, 32)}
  """
  return {f"{name}/{leaf}": shape for name, part in parts.items()
          for leaf, shape in part.shapes().items()}
