"""Reads a tf.data.Dataset of strings into columns."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from tf_adapters.data.frame_columns import Columns
from tf_adapters.data.frames import plain
from tf_adapters.data.tables import places_of
from tf_adapters.errors import InputError

_WANTED = "(text, label), ((text, other text), label) or dicts are wanted"


def columns_of(dataset: tf.data.Dataset,
               columns: Columns) -> tuple[dict[str, list[Any]], Columns]:
  """Reads a dataset to its end.

  Args:
    dataset: see `Dataset.from_tf_data`.
    columns: what the columns are called, where elements are dicts.

  Returns:
    The values of each column, and what the columns are called: "text",
    "text_pair" and "label" where elements are tuples.

  Raises:
    InputError: its elements are something else, or have no end; or it cannot be
      told whether they are batches.
  """
  if not isinstance(dataset, tf.data.Dataset):
    raise InputError(f"a {type(dataset).__name__} is no tf.data.Dataset")
  spec = dataset.element_spec
  if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
    raise InputError("the dataset has no end: leave its repeat() out")
  if isinstance(spec, Mapping):
    names = list(map(str, spec))
    of_texts = [list(spec.values())[place]
                for place in places_of(names, columns.text)]
    rows = [{str(name): plain(_as_label(row[name], spec[name], of_texts))
             for name in spec} for row in dataset.as_numpy_iterator()]
    return _joined(rows, names, columns), columns
  if not (isinstance(spec, tuple) and len(spec) == 2):
    raise InputError(f"the dataset's elements are {spec}: {_WANTED}")
  texts = spec[0] if isinstance(spec[0], tuple) else (spec[0],)
  if len(texts) > 2 or any(
      not isinstance(one, tf.TensorSpec) or one.dtype != tf.string
      for one in texts):
    raise InputError(f"the dataset's texts are {spec[0]}: {_WANTED}")
  columns = dataclasses.replace(
      columns, text="text", label="label",
      text_pair="text_pair" if len(texts) == 2 else None)
  names = [*columns.texts, "label"]
  rows = [dict(zip(names, map(plain, (
      *tf.nest.flatten(given), _as_label(label, spec[1], texts)))))
          for given, label in dataset.as_numpy_iterator()]
  return _joined(rows, names, columns), columns


def _as_label(value: Any, spec: Any, texts: Sequence[Any]) -> Any:
  """Returns a label, or a batch of them, without an axis that texts have not.

  It has one value in Keras' datasets of two classes.
  """
  is_column = isinstance(spec, tf.TensorSpec) and spec.dtype != tf.string and (
      spec.shape[-1:] == [1]) and all(
          isinstance(text, tf.TensorSpec)
          and spec.shape.rank == text.shape.rank + 1 for text in texts)
  return value[..., 0] if is_column else value


def _joined(rows: Sequence[Mapping[str, Any]], names: Sequence[str],
            columns: Columns) -> dict[str, list[Any]]:
  """Returns the values of each column, of all batches where rows are such."""
  wanted = [names[place] for name in (*columns.texts, *columns.label_columns)
            for place in places_of(names, name)]
  if places_of(names, columns.text) and _are_batches(
      rows, wanted, columns.problem_type):
    return {name: [cell for row in rows for cell in row[name]]
            for name in names
            if all(isinstance(row[name], list) for row in rows)}
  return {name: [row[name] for row in rows] for name in names}


def _are_batches(rows: Sequence[Mapping[str, Any]], wanted: Sequence[str],
                 problem_type: str | None) -> bool:
  """Returns whether rows are batches, by the values of the wanted columns.

  Raises:
    InputError: each may as well be a sentence.
  """
  if not rows or not all(
      isinstance(row[name], list) for row in rows for name in wanted):
    return False
  if problem_type == "tagging":
    return any(isinstance(words, list) for row in rows
               for words in row[wanted[0]])
  sizes = [len(row[wanted[0]]) for row in rows]
  # All batches of batch() are as large as the first, but for the last one.
  if problem_type is None and (
      len(set(sizes[:-1])) > 1 or sizes[-1] > sizes[0]):
    raise InputError(
        f"elements of the dataset hold {min(sizes)} to {max(sizes)} of "
        f"{wanted[0]!r}: dataset.unbatch() takes batches apart, and "
        "problem_type='tagging' takes each element for a sentence")
  return True
