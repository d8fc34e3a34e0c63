"""Labels as the user's data has them: names, integers or booleans.

Models, files and banks know labels by their names, which are texts. What a user
gave as a number comes back as one.
"""

from collections.abc import Callable, Iterable
from typing import Any

from tf_adapters.errors import InputError

Label = str | int | bool

STRINGS, INTEGERS, BOOLEANS = "str", "int", "bool"

LABEL_TYPES: dict[str, Callable[[str], Label]] = {
    STRINGS: str, INTEGERS: int, BOOLEANS: lambda name: name == "True"}


def type_of_labels(labels: Iterable[Any]) -> str:
  """Returns one of `LABEL_TYPES`, by all labels; texts where these differ.

  Floats without a fraction are integers, since pandas makes floats of integers
  where one is missing.

  Example:
    >>> type_of_labels([1, 2.0]), type_of_labels([True]), type_of_labels(["1"])
    ('int', 'bool', 'str')
  """
  kinds = {_kind(label) for label in labels}
  return kinds.pop() if len(kinds) == 1 else STRINGS


def _kind(label: Any) -> str:
  if isinstance(label, bool):
    return BOOLEANS
  if isinstance(label, int) or (isinstance(label, float)
                                and label.is_integer()):
    return INTEGERS
  return STRINGS


def label_name(label: Any) -> str:
  """Returns the name of a label, whatever type it has.

  Example:
    >>> label_name(2.0), label_name(True), label_name("a")
    ('2', 'True', 'a')
  """
  kind = _kind(label)
  return str(int(label)) if kind == INTEGERS else str(label)


def label_value(name: str, label_type: str) -> Label:
  """Returns the label of a name: the inverse of `label_name`.

  Raises:
    InputError: the name is none of that type.
  """
  try:
    return LABEL_TYPES[label_type](name)
  except ValueError:
    raise InputError(f"label {name!r} is no {label_type}") from None
