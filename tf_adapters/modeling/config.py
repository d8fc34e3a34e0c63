"""Building blocks of configurations: options with bounds and help, and JSON.

They are frozen dataclasses that validate themselves and turn into JSON and
back. Nothing here knows TensorFlow, files or flags.
"""

import dataclasses
import functools
import logging
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self, overload

from tf_adapters.errors import InputError, printable

# "gelu" is the exact, erf-based function; "gelu_tanh" its tanh approximation,
# which Google's BERTs were trained with (google-research/bert, modeling.py).
ACTIVATIONS = ("gelu", "gelu_tanh", "relu", "tanh", "swish", "linear")

# What a head sees of a text, see `heads.Head`; or each of its tokens.
POOLINGS = ("pooler", "cls", "mean")
AUTO_POOLING = "auto"  # the one that the encoder was made for
PER_TOKEN_POOLING = "tokens"

# Of texts in wordpieces, where nothing else is said.
DEFAULT_MAX_LENGTH = 128
# Of an encoder: adapter files have names for each. BERTs have up to 24.
MOST_LAYERS = 1000


def require(condition: bool, message: str) -> None:
  if not condition:
    raise InputError(message)


def is_number(value: Any) -> bool:
  return type(value) in (int, float)


def option(default: Any, help: str, *, least: float | None = None,
           most: float | None = None, below: float | None = None,
           choices: tuple[str, ...] = (),
           check: Callable[[Any], object] | None = None,
           parse: Callable[[str], Any] | None = None) -> Any:
  """Makes a field of a configuration with its help text and its bounds.

  The field's type is bool, int, float or str, a tuple of one of them, or None
  beside it. `check_options` holds values to it; command lines make a flag of
  it.

  Args:
    default: of the field.
    help: what it is, for a command line.
    least, most, below: bounds of a number, or of each number of a tuple;
      `below` itself is out of bounds.
    choices: the texts that it may be, or some of which a tuple has.
    check: raises InputError for a value that it cannot be.
    parse: reads the value from a text in another way than its type does.

  Example:
    >>> @dataclasses.dataclass(frozen=True)
    ... class Config:
    ...   size: int = option(64, "Width of the bottleneck.", least=1)
    ...   def __post_init__(self):
    ...     check_options(self)
  """
  return dataclasses.field(default=default, metadata={
      "help": help, "least": least, "most": most, "below": below,
      "choices": choices, "check": check, "parse": parse})


def option_of(config: Any, name: str) -> Any:
  """Makes a field with the default, the bounds and the help of another's."""
  field = config.__dataclass_fields__[name]
  return dataclasses.field(default=field.default, metadata=field.metadata)


@dataclasses.dataclass(frozen=True)
class Option:
  """The description of a configuration's field: see `option`.

  Attributes:
    kind: the type of the value, or of each part of a tuple.
    many: whether the value is a tuple.
    optional: whether it may be None.
  """

  name: str
  default: Any
  kind: type
  many: bool
  optional: bool
  help: str
  least: float | None
  most: float | None
  below: float | None
  choices: tuple[str, ...]
  check: Callable[[Any], object] | None
  parse: Callable[[str], Any] | None

  @property
  def expected(self) -> str:
    """A description of right values, to follow "must be" or "expected"."""
    if self.kind is bool:
      return "true or false"
    if self.kind is str:
      one_of = "some of" if self.many else "one of"
      return f"{one_of} {', '.join(self.choices)}" if self.choices else "text"
    high = self.most if self.below is None else self.below
    if self.many:
      return f"numbers from {self.least} to {high}, with commas between them"
    noun = "integer" if self.kind is int else "number"
    if self.least is not None and high is not None:
      return (f"{'an' if self.kind is int else 'a'} {noun} in the range "
              f"[{self.least}, {high}{']' if self.below is None else ')'}")
    if self.least is None:
      return f"a {noun}"
    return f"a {'positive' if self.least else 'non-negative'} {noun}"

  def takes(self, value: Any) -> bool:
    """Returns whether a value is of the type and within the bounds."""
    if value is None:
      return self.optional
    if not self.many:
      return self._takes(value)
    return (isinstance(value, list | tuple) and len(value) > 0
            and all(map(self._takes, value)))

  def _takes(self, value: Any) -> bool:
    if self.kind is str:
      return isinstance(value, str) and (
          not self.choices or value in self.choices)
    if self.kind is not float:
      if type(value) is not self.kind:
        return False
    elif not (is_number(value) and math.isfinite(value)):
      return False
    return ((self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below))


def options(config: Any) -> Mapping[str, Option]:
  """Returns the fields of a configuration that are made by `option`, by name.
  """
  return _options(config)


@functools.cache
def _options(config: Any) -> Mapping[str, Option]:
  found = {}
  for field in dataclasses.fields(config):
    if "help" in field.metadata:
      parts = (typing.get_args(field.type)
               if isinstance(field.type, types.UnionType) else (field.type,))
      kind, = set(parts) - {type(None)}
      many = typing.get_origin(kind) is tuple
      found[field.name] = Option(
          field.name, field.default,
          typing.get_args(kind)[0] if many else kind, many,
          type(None) in parts, **field.metadata)
  return found


def check_options(config: Any, prefix: str = "") -> None:
  """Holds the values of a configuration to their types and bounds.

  Numbers of numpy become Python's: of a grid that is searched, for instance.

  Args:
    config: the configuration. A default is not looked at: it may stand for
      what has to be given.
    prefix: what to write in front of a field's name.

  Raises:
    InputError: a value is of another type, or out of bounds.
  """
  for one in options(type(config)).values():
    given = getattr(config, one.name)
    if given is one.default:
      continue
    value = _of_python(given)
    object.__setattr__(config, one.name, value)
    if value != one.default or type(value) is not type(one.default):
      require(one.takes(value),
              f"{prefix}{one.name} must be {one.expected}, not {value!r:.50}")
      if one.check is not None and value is not None:
        one.check(value)


def _of_python(value: Any) -> Any:
  if type(value).__module__ == "numpy":  # not imported here: it takes a while
    values = value.tolist()
    return tuple(values) if isinstance(values, list) else values
  if type(value) in (list, tuple):
    return type(value)(map(_of_python, value))
  return value


def parse_layers(text: str) -> tuple[int, ...]:
  """Reads layer numbers.

  Raises:
    InputError: they are none.

  Example:
    >>> parse_layers("0,5,8-11")
    (0, 5, 8, 9, 10, 11)
  """
  layers: set[int] = set()
  for part in text.split(","):
    first, dash, last = part.partition("-")
    last = last if dash else first
    require(first.isdecimal() and last.isdecimal()
            and int(first) <= int(last) < MOST_LAYERS,
            f"{text!r} is no list of layers such as 6-11 or 0,5")
    layers.update(range(int(first), int(last) + 1))
  return tuple(sorted(layers))


class JsonConfig:
  """The base of configurations: conversion to JSON values and back."""

  # Subclasses are dataclasses, which have it.
  __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

  def to_dict(self) -> dict[str, Any]:
    """Returns the fields as JSON values."""
    return {name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()}

  @overload
  @classmethod
  def of(cls, value: Self | Mapping[str, Any]) -> Self: ...

  @overload
  @classmethod
  def of(cls, value: None) -> None: ...

  @classmethod
  def of(cls, value: Self | Mapping[str, Any] | None) -> Self | None:
    """Makes a configuration of what a constructor or `get_config` gives."""
    return cls.from_dict(value) if isinstance(value, Mapping) else value

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
  """Returns whether values are strings, numbers and so on, or lists of them."""
  scalar = str | int | float | None
  return all(isinstance(value, scalar) or (
      isinstance(value, list | tuple)
      and all(isinstance(item, scalar) for item in value))
      for value in values.values())
