"""Holds arrays of many tasks in tables, with a row for each task.

Which tasks there are, and which rows they have, is the business of
`modeling.stacked`.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_adapters.modeling.methods.parts import Values
from tf_adapters.modeling.methods.places import Place
from tf_adapters.modeling.slots import FreeRows

# Of a table, copied at once into a larger one.
_MOST_BYTES_AT_ONCE = 1 << 24


class Table(NamedTuple):
  """A table of a stack.

  Attributes:
    name: of the arrays, below the stack's place.
    shape: of each of them, padded.
    neutral: what they are filled with for tasks that have none.
    dtype: what they are held in.
  """

  name: str
  shape: tuple[int, ...]
  neutral: float = 0.0
  dtype: str = "float32"


@dataclasses.dataclass(frozen=True)
class StackKey:
  """The key of a stack: a description of its arrays.

  Attributes:
    name: how their canonical names begin.
    kind: what arrays at one place have to have in common to be computed as one
      product: see `Method.kind`; pooling and padded number of labels of heads;
      `OWN_POOLER` of poolers; None for layer norms.
    tables: of the stack.
    place: where the method enters, if they are a method's.
    widths: of what goes in and out there.
  """

  name: str
  kind: Any  # hashable
  tables: tuple[Table, ...]
  place: Place | None = None
  widths: tuple[int, ...] = ()

  def __hash__(self) -> int:
    return self._hash

  # Once: keys are looked up for each task that is taken in.
  @functools.cached_property
  def _hash(self) -> int:
    return hash((self.name, self.kind, self.tables, self.place, self.widths))


def gather(table: Table, handle: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
  """Takes rows of a table, [*shape of rows, ...]; no other row is read.

  Args:
    table: what it is.
    handle: of its variable.
    rows: int32, their numbers.
  """
  found = tf.raw_ops.ResourceGather(
      resource=handle, indices=rows, dtype=table.dtype)
  found.set_shape([*rows.shape, *table.shape])
  return found


@dataclasses.dataclass(frozen=True)
class Stack:
  """Arrays of the same names and shapes, a row for each task that has them.

  Attributes:
    key: what they are.
    tables: {name: [capacity, ...]}. Row 0 belongs to all tasks without
      arrays of their own: the encoder's layer norms, neutral numbers elsewhere,
      which are zeros mostly. Arrays that are smaller than a row have zeros at
      their ends. What a row holds that no task has is not known.
    free: which rows these are, of this stack and of larger ones that take its
      place.
  """

  key: StackKey
  tables: Mapping[str, tf.Variable]
  free: FreeRows

  @classmethod
  def of_no_task(cls, key: StackKey, capacity: int) -> "Stack":
    """Makes a stack of row 0 alone, with room for others."""
    stack = cls(key, _tables_of(key, capacity), FreeRows())
    stack.write([0], [{table.name: np.full(table.shape, table.neutral)
                       for table in key.tables}])
    return stack

  @property
  def capacity(self) -> int:
    """The number of rows, row 0 included."""
    return next(iter(self.tables.values())).shape[0]

  @functools.cached_property
  def handles(self) -> list[tf.Tensor]:
    """Of the tables' variables."""
    return [table.handle for table in self.tables.values()]

  def write(self, rows: Sequence[int], values: Sequence[Values]) -> None:
    """Writes rows that nobody computes with, and no others.

    Args:
      rows: their numbers.
      values: for each of them {name of a table: array}.
    """
    numbers = tf.constant(rows, tf.int32)
    for table, handle in zip(self.key.tables, self.handles):
      filled = np.zeros([len(rows), *table.shape],
                        tf.as_dtype(table.dtype).as_numpy_dtype)
      for place, arrays in enumerate(values):
        array = arrays[table.name]
        where: tuple[int | slice, ...] = (place, *map(slice, array.shape))
        filled[where] = array
      tf.raw_ops.ResourceScatterUpdate(
          resource=handle, indices=numbers, updates=filled)

  def with_room(self, capacity: int, rows: np.ndarray) -> "Stack":
    """Returns a stack of so many rows at least: this or one twice as large.

    Args:
      capacity: how many rows there have to be.
      rows: those that tasks have.
    """
    if capacity <= self.capacity:
      return self
    rows = np.unique(rows)
    tables = _tables_of(self.key, max(capacity, 2 * self.capacity))
    for table in self.key.tables:
      size = max(1, _MOST_BYTES_AT_ONCE // max(1, 4 * int(
          np.prod(table.shape))))
      for start in range(0, len(rows), size):
        numbers = tf.constant(rows[start:start + size])
        tf.raw_ops.ResourceScatterUpdate(
            resource=tables[table.name].handle, indices=numbers,
            updates=gather(table, self.tables[table.name].handle, numbers))
    return Stack(self.key, tables, self.free)


def _tables_of(key: StackKey, capacity: int) -> dict[str, tf.Variable]:
  """Makes tables whose rows take no memory, on a CPU, before they are written.
  """
  return {table.name: tf.Variable(
      tf.raw_ops.Empty(shape=[capacity, *table.shape], dtype=table.dtype),
      trainable=False) for table in key.tables}
