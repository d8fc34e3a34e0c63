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
    flat = _with_one(
        {str(name): one for name, one in spec.items()},
        [names[place] for name in columns.texts
         for place in places_of(names, name)], columns.problem_type)
    rows = [{str(name): plain(row[name][..., 0] if str(name) in flat
                              else row[name]) for name in spec}
            for row in dataset.as_numpy_iterator()]
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
  flat = _with_one(dict(zip(names, (*texts, spec[1]))), columns.texts,
                   columns.problem_type)
  rows = [{name: plain(one[..., 0] if name in flat else one)
           for name, one in zip(names, (*tf.nest.flatten(given), label))}
          for given, label in dataset.as_numpy_iterator()]
  return _joined(rows, names, columns), columns


def _with_one(specs: Mapping[str, Any], texts: Sequence[str],
              problem_type: str | None) -> set[str]:
  """Returns the columns whose last axis has one value and is none of theirs.

  Labels have such a one in Keras' datasets of two classes; where texts have it,
  too, each is a column of a table.

  Args:
    specs: of the columns.
    texts: those of the texts.
    problem_type: where it is known: sentences can have one word.
  """
  ones = {name for name, spec in specs.items()
          if isinstance(spec, tf.TensorSpec) and spec.shape[-1:] == [1]}
  if problem_type != "tagging" and texts and ones.issuperset(texts):
    return ones
  ranks = {specs[name].shape.rank for name in texts
           if isinstance(specs[name], tf.TensorSpec)}
  return {name for name in ones.difference(texts)
          if specs[name].dtype != tf.string and (
              None in ranks or specs[name].shape.rank - 1 in ranks)}


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
