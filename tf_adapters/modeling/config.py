"""The configurations a model is made of: BERT's, the adapters', and others.

Frozen dataclasses that validate themselves and turn into JSON and back.
Nothing here knows TensorFlow, files or flags.
"""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any, Self

from tf_adapters.errors import InputError, printable

# "gelu" is the exact, erf-based function; "gelu_tanh" its tanh approximation,
# which Google's BERTs were trained with (google-research/bert, modeling.py).
ACTIVATIONS = ("gelu", "gelu_tanh", "relu", "tanh", "swish", "linear")

# What a head sees of a text, see `heads.Head`; or each of its tokens.
POOLINGS = ("pooler", "cls", "mean")
AUTO_POOLING = "auto"  # the one that the encoder was made for
PER_TOKEN_POOLING = "tokens"


def require(condition: bool, message: str) -> None:
  if not condition:
    raise InputError(message)


def is_number(value: Any) -> bool:
  return type(value) in (int, float)


class JsonConfig:
  """What configurations share: conversion to JSON values and back."""

  def to_dict(self) -> dict[str, Any]:
    """Returns the fields as JSON values."""
    return {name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()}

  @classmethod
  def from_dict(cls, values: Mapping[str, Any]) -> Self:
    """Builds a configuration from `to_dict`'s result.

    Args:
      values: field name -> value. Names that this version does not know are
        left out with a warning, so that newer files can still be read.

    Raises:
      InputError: a value is out of range, or a required one is missing.
    """
    known = {field.name for field in dataclasses.fields(cls)}
    unknown = sorted(set(values) - known)
    if unknown:
      logging.warning(
          "%s: unknown keys left out: %s", cls.__name__,
          printable(", ".join(unknown)[:200]))
    try:
      return cls(**{key: values[key] for key in values if key in known})
    except TypeError:
      missing = [field.name for field in dataclasses.fields(cls)
                 if field.name not in values
                 and field.default is dataclasses.MISSING]
      raise InputError(
          f"{cls.__name__}: no {', '.join(missing)}" if missing else
          f"{cls.__name__}: a value has the wrong type") from None


def is_flat(values: Mapping[str, Any]) -> bool:
  """Whether values are strings, numbers and so on, or lists of them."""
  scalar = str | int | float | None
  return all(isinstance(value, scalar) or (
      isinstance(value, list | tuple)
      and all(isinstance(item, scalar) for item in value))
      for value in values.values())
