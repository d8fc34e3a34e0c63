"""Reads a tf.data.Dataset of strings into columns."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tf_adapters.data.frames import plain
from tf_adapters.errors import InputError

_WANTED = "(text, label), ((text, other text), label) or dicts are wanted"


def is_named(dataset: tf.data.Dataset) -> bool:
  """Returns whether elements are dicts, whose columns have names of their own.
  """
  return isinstance(dataset.element_spec, Mapping)


def columns_of(dataset: tf.data.Dataset) -> dict[str, list[Any]]:
  """Returns a dataset's columns: "text", "text_pair" and "label", or its own.

  Args:
    dataset: see `Dataset.from_tf_data`.

  Raises:
    InputError: its elements are something else, or have no end.
  """
  if not isinstance(dataset, tf.data.Dataset):
    raise InputError(f"a {type(dataset).__name__} is no tf.data.Dataset")
  spec = dataset.element_spec
  if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
    raise InputError("the dataset has no end: leave its repeat() out")
  if isinstance(spec, Mapping):
    if isinstance(spec.get("text"), tf.TensorSpec) and (
        spec["text"].shape.rank == 1):
      dataset = dataset.unbatch()
    rows = [dict(row) for row in dataset.as_numpy_iterator()]
    return {name: [plain(row[name]) for row in rows] for name in spec}
  if not (isinstance(spec, tuple) and len(spec) == 2):
    raise InputError(f"the dataset's elements are {spec}: {_WANTED}")
  texts = spec[0] if isinstance(spec[0], tuple) else (spec[0],)
  if len(texts) > 2 or any(
      not isinstance(one, tf.TensorSpec) or one.dtype != tf.string
      for one in texts):
    raise InputError(f"the dataset's texts are {spec[0]}: {_WANTED}")
  if texts[0].shape.rank == 1 and spec[1].shape.rank:
    dataset = dataset.unbatch()
  columns: dict[str, list[Any]] = {name: [] for name in (
      ("text", "text_pair", "label") if len(texts) == 2 else ("text", "label"))}
  for given, label in dataset.as_numpy_iterator():
    for name, value in zip(columns, (
        *(given if len(texts) == 2 else (given,)), label)):
      columns[name].append(plain(value))
  return columns
