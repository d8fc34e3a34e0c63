"""Takes the texts out of lists, DataFrames and other containers.

Things are known by what they can do. No library is imported for them.
"""

from collections.abc import Iterable, Mapping, Set as AbstractSet
from typing import Any

import numpy as np

from tf_adapters.data.dataset import Dataset
from tf_adapters.errors import InputError


def list_of(values: Any, what: str = "texts") -> list[Any]:
  """Lists values: texts, pairs of them, or what else there is of each.

  Args:
    values: a list, an array, a Series, a column of pyarrow or polars, a
      tensor, a tf.data.Dataset of strings, a split of a `Dataset`, a generator
      and so on.
    what: they are, for messages.

  Raises:
    InputError: it is a single one, a table, or has no order or no end; says
      what to give.
  """
  wanted = f"expected a list of {what}, not"
  if isinstance(values, Dataset):
    raise InputError(f"{wanted} a Dataset: give one of its splits, such as "
                     "data.test")
  if hasattr(values, "contents"):  # a split
    return list(values.contents())
  if hasattr(values, "element_spec"):
    return _of_tf_data(values, wanted)
  if isinstance(values, Mapping) or (
      hasattr(values, "columns") or hasattr(values, "column_names")):
    # All of them would give the names of their columns.
    raise InputError(
        f"{wanted} a {type(values).__name__}: give one column, such as "
        'df["text"], or list(zip(df["first"], df["second"])) for pairs')
  if hasattr(values, "to_pylist"):  # pyarrow's
    values = values.to_pylist()
  if hasattr(values, "numpy"):  # a tensor
    values = values.numpy()
  if isinstance(values, np.ndarray):
    if values.ndim == 2 and values.shape[1] == 1:
      values = values[:, 0]
    values = values.tolist()  # rows of two become pairs
  if isinstance(values, str | bytes):
    raise InputError(f"{wanted} a single one: give [{what.removesuffix('s')}]")
  if isinstance(values, AbstractSet):
    raise InputError(f"{wanted} a {type(values).__name__}, which has no order")
  if not isinstance(values, Iterable):
    raise InputError(f"{wanted} {values!r:.40}")
  return list(values)


def _of_tf_data(dataset: Any, wanted: str) -> list[Any]:
  """Returns the strings of a tf.data.Dataset, one by one or in batches."""
  spec = dataset.element_spec
  if getattr(spec, "dtype", None) != "string" or spec.shape.rank not in (0, 1):
    raise InputError(
        f"{wanted} a dataset of {spec}: give one of strings, such as "
        "dataset.map(lambda text, label: text)")
  if int(dataset.cardinality()) == -1:
    raise InputError(f"{wanted} a dataset without end: leave its repeat() out")
  if not spec.shape.rank:
    return list(dataset.as_numpy_iterator())
  return [text for batch in dataset.as_numpy_iterator() for text in batch]
