"""Stacks what many tasks own: arrays of methods, layer norms and heads.

Arrays of the same names and shapes lie in one table, a row for each task that
has them. A row never moves, and what a task has in it never changes: a new
task is written into rows that nobody has. So whoever computes with some tasks
goes on with them, whatever becomes of others. What is computed with the tables
is the business of `modeling.stacked_layers`; which tasks there are, and their
files, that of the bank.
"""

import collections
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_adapters.modeling.encoders.family import EncoderConfig
from tf_adapters.modeling.methods.bottleneck import padded_size
from tf_adapters.modeling.methods.method import (
    Array,
    Method,
    Place,
    Values,
    Weights,
)
from tf_adapters.modeling.slots import FreeRows, Slots
from tf_adapters.modeling.tuning import is_layer_norm

Arrays = Mapping[str, np.ndarray]
Shapes = Mapping[str, tuple[int, ...]]

HEAD = "head"  # the place of the heads
POOLER = "pooler_transform"  # that of poolers of tasks
# Pooling of heads, beside `config.POOLINGS`: by a pooler of the task's own.
OWN_POOLER = "own pooler"

# Tasks whose arrays are in memory at the same time while they are written.
_WRITTEN_AT_ONCE = 8
# Beside those of a fixed number of tasks: for tasks that were replaced or
# removed, and that a computation still has.
_SPARE_ROWS = 16
# Of a table, copied at once into a larger one.
_MOST_BYTES_AT_ONCE = 1 << 24


class Table(NamedTuple):
  """A table of a stack.

  Attributes:
    name: of the arrays, below the stack's place.
    shape: of each of them, padded.
    neutral: what they are filled with for tasks that have none.
  """

  name: str
  shape: tuple[int, ...]
  neutral: float = 0.0


@dataclasses.dataclass(frozen=True)
class StackKey:
  """What a stack's arrays are.

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


def _nothing(place: Place) -> None:
  """The weights of no encoder."""
  del place


@dataclasses.dataclass(frozen=True)
class TaskArrays:
  """All that a task owns.

  Attributes:
    config: architecture of the encoder.
    method: configuration of its method, or None.
    pooling: of its head; "tokens" for outputs for each token.
    shapes: {canonical name: shape}: the method's, layer norms and the pooler
      where they are the task's own, "head/kernel" and "head/bias".
    read: returns the arrays of these names. Asked for a few tasks at a time,
      so that not all files have to be in memory.
    weights: returns those of the encoder's projection at a place, or None.
  """

  config: EncoderConfig
  method: Method | None
  pooling: str
  shapes: Shapes
  read: Callable[[], Arrays]
  weights: Callable[[Place], Weights | None] = _nothing

  @classmethod
  def of(cls, config: EncoderConfig, method: Method | None, pooling: str,
         arrays: Arrays, weights: Callable[[Place], Weights | None] = _nothing,
         ) -> "TaskArrays":
    """From arrays that are in memory."""
    return cls(config, method, pooling, {
        name: array.shape for name, array in arrays.items()}, lambda: arrays,
        weights)

  def stack_keys(self) -> list[StackKey]:
    """The stacks that the task has a row in."""
    hidden_size, labels = self.shapes[f"{HEAD}/kernel"]
    padded = padded_size(labels)
    keys = []
    pooling = self.pooling
    if pooling == "pooler" and f"{POOLER}/kernel" in self.shapes:
      pooling = OWN_POOLER
      keys = [StackKey(POOLER, OWN_POOLER, tuple(
          Table(name, self.shapes[f"{POOLER}/{name}"])
          for name in ("kernel", "bias")))]
    keys.append(StackKey(HEAD, (pooling, padded), (
        Table("kernel", (hidden_size, padded)), Table("bias", (padded,)))))
    if self.method is not None:
      for place in self.method.places(self.config.num_hidden_layers):
        kind = self.method.at(place).kind()
        widths = self.config.widths_at(place)
        keys.append(StackKey(kind.place_name(place), kind,
                             _tables(kind, widths), place, widths))
    return keys + [
        layer_norm_key(name.removesuffix("/gamma"), shape)
        for name, shape in self.shapes.items()
        if is_layer_norm(name) and name.endswith("/gamma")]

  def values(self, key: StackKey, arrays: Arrays) -> Values:
    """The task's row of a stack: {name of a table: array}.

    Args:
      key: of the stack.
      arrays: what `read` returns.
    """
    names = (table.name for table in key.tables)
    if self.method is None or key.place is None:
      return {name: arrays[f"{key.name}/{name}"] for name in names}
    return self.method.at(key.place).as_kind(
        self.method.values_at(key.place, self.config, arrays),
        self.weights(key.place))


def layer_norm_key(name: str, shape: tuple[int, ...]) -> StackKey:
  """Of the stack of the layer norms of a canonical name."""
  return StackKey(name, None, (Table("beta", shape), Table("gamma", shape)))


def _tables(method: Method, widths: tuple[int, int]) -> tuple[Table, ...]:
  return tuple(
      Table(f"{name}/{leaf}", shape,
            part.neutral if isinstance(part, Array) else 0.0)
      for name, part in method.parts(*widths).items()
      for leaf, shape in part.shapes().items())


def gather(table: Table, handle: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
  """Rows of a table, float32 [*shape of rows, ...]; no other row is read.

  Args:
    table: what it is.
    handle: of its variable.
    rows: int32, their numbers.
  """
  found = tf.raw_ops.ResourceGather(
      resource=handle, indices=rows, dtype=tf.float32)
  found.set_shape([*rows.shape, *table.shape])
  return found


@dataclasses.dataclass(frozen=True)
class Stack:
  """Arrays of the same names and shapes, a row for each task that has them.

  Attributes:
    key: what they are.
    tables: {name: float32 [capacity, ...]}. Row 0 belongs to all tasks without
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
    """Of row 0 alone, with room for others."""
    stack = cls(key, _tables_of(key, capacity), FreeRows())
    stack.write([0], [{table.name: np.full(table.shape, table.neutral)
                       for table in key.tables}])
    return stack

  @property
  def capacity(self) -> int:
    """How many rows there are, row 0 included."""
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
    for name, table in self.tables.items():
      filled = np.zeros([len(rows), *table.shape[1:]], np.float32)
      for place, arrays in enumerate(values):
        array = arrays[name]
        where: tuple[int | slice, ...] = (place, *map(slice, array.shape))
        filled[where] = array
      tf.raw_ops.ResourceScatterUpdate(
          resource=table.handle, indices=tf.constant(rows, tf.int32),
          updates=filled)

  def with_capacity(self, capacity: int, rows: np.ndarray) -> "Stack":
    """A larger one, beside this one.

    Args:
      capacity: its rows.
      rows: those that have something in them.
    """
    tables = _tables_of(self.key, capacity)
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
  """Tables whose rows take no memory, on a CPU, before they are written."""
  return {table.name: tf.Variable(
      tf.raw_ops.Empty(shape=[capacity, *table.shape], dtype=tf.float32),
      trainable=False) for table in key.tables}


class StackedTasks:
  """Some tasks, by the rows that hold their arrays. It never changes.

  Other objects of this class have the same tables, and rows of them: what is
  written there does not concern the tasks of this one.

  Args:
    stacks: all stacks.
    rows: int32 [1 + tasks, stacks], the row of each task in each stack; 0 where
      it has none. Task 0 is the encoder alone.
    slots: of each task but task 0.
    capacity: how many tasks new stacks are to have room for; None for as many
      as there are.

  Attributes:
    keys: of the stacks.
    num_tasks: how many there are, without the encoder alone.

  Example:
    >>> two = stacked_model.no_tasks().with_tasks([first, second])
    >>> one = two.only([2])  # the second one is number 1 here
  """

  def __init__(self, stacks: Mapping[StackKey, Stack], rows: np.ndarray,
               slots: Sequence[Slots], capacity: int | None = None):
    self.keys = tuple(stacks)
    self.num_tasks = len(slots)
    self._stacks = stacks
    self._rows = rows
    self._slots = slots
    self._capacity = capacity

  @classmethod
  def of_encoder(cls, layer_norms: Mapping[str, Arrays],
                 capacity: int | None = None) -> "StackedTasks":
    """Of no tasks, from the encoder's layer norms by canonical name."""
    stacks = {}
    for place, arrays in layer_norms.items():
      key = layer_norm_key(place, arrays["gamma"].shape)
      stacks[key] = Stack.of_no_task(key, _new_capacity(1, capacity))
      stacks[key].write([0], [arrays])
    return cls(stacks, np.zeros([1, len(stacks)], np.int32), (), capacity)

  @property
  def variables(self) -> list[tf.Variable]:
    """All tables, in the keys' order."""
    return [table for stack in self._stacks.values()
            for table in stack.tables.values()]

  @functools.cached_property
  def tensors(self) -> list[tf.Tensor]:
    """What a graph for these keys takes.

    Int32 [stacks, 1 + tasks], each stack's row of each task, and the handles of
    all tables in the keys' order.
    """
    return [tf.constant(self._rows.T), *(
        handle for stack in self._stacks.values() for handle in stack.handles)]

  def with_tasks(self, tasks: Sequence[TaskArrays]) -> "StackedTasks":
    """With more tasks, behind those there are.

    Each is written into rows that nobody has. A stack without any is copied
    into one of twice the rows, which is then in memory beside it.
    """
    of_tasks = [task.stack_keys() for task in tasks]
    counts = collections.Counter(key for keys in of_tasks for key in keys)
    stacks = {**self._stacks, **{
        key: Stack.of_no_task(key, _new_capacity(1 + count, self._capacity))
        for key, count in counts.items() if key not in self._stacks}}
    slots = [Slots() for _ in tasks]
    rows = np.zeros([1 + self.num_tasks + len(tasks), len(stacks)], np.int32)
    rows[:1 + self.num_tasks, :len(self.keys)] = self._rows
    number_of = {key: number for number, key in enumerate(stacks)}
    for task, keys in enumerate(of_tasks):
      for key in keys:
        rows[1 + self.num_tasks + task, number_of[key]] = slots[task].take(
            stacks[key].free)
    for key in counts:
      column = rows[:, number_of[key]]
      stacks[key] = _with_room(
          stacks[key], 1 + int(column.max()), column[:1 + self.num_tasks])
    new = rows[1 + self.num_tasks:]
    for start in range(0, len(tasks), _WRITTEN_AT_ONCE):
      written: dict[StackKey, list[tuple[int, Values]]] = (
          collections.defaultdict(list))
      for task in range(start, min(start + _WRITTEN_AT_ONCE, len(tasks))):
        arrays = tasks[task].read()
        for key in of_tasks[task]:
          written[key].append(
              (new[task, number_of[key]], tasks[task].values(key, arrays)))
      for key, members in written.items():
        stacks[key].write([row for row, _ in members],
                          [values for _, values in members])
    return StackedTasks(stacks, rows, (*self._slots, *slots), self._capacity)

  def only(self, numbers: Sequence[int]) -> "StackedTasks":
    """Some of the tasks, in this order, by their numbers from 1."""
    return StackedTasks(
        self._stacks, self._rows[[0, *numbers]],
        [self._slots[number - 1] for number in numbers], self._capacity)

  def without_empty_stacks(self) -> "StackedTasks":
    """Without stacks that no task has a row in; those of layer norms stay.

    Returns:
      This object, where there are none.
    """
    kept = [number for number, key in enumerate(self.keys)
            if key.kind is None or self._rows[:, number].any()]
    if len(kept) == len(self.keys):
      return self
    return StackedTasks(
        {self.keys[number]: self._stacks[self.keys[number]]
         for number in kept},
        self._rows[:, kept], self._slots, self._capacity)

  def with_more_room(self, tasks: Sequence[TaskArrays]) -> "StackedTasks":
    """The same tasks, and one of the stacks with room for others.

    Who asks until nothing changes, and lets go of what there was before, never
    has more than one stack in memory twice.

    Returns:
      This object, where all stacks that there are have room.
    """
    for key, count in collections.Counter(
        key for task in tasks for key in task.stack_keys()).items():
      if key in self._stacks:
        rows = self._rows[:, self.keys.index(key)]
        stack = _with_room(
            self._stacks[key], 1 + int(np.count_nonzero(rows)) + count, rows)
        if stack is not self._stacks[key]:
          return StackedTasks({**self._stacks, key: stack}, self._rows,
                              self._slots, self._capacity)
    return self

  def compact(self) -> "StackedTasks":
    """The same tasks, copied into tables in which no row is free."""
    stacks, columns = {}, []
    for number, (key, stack) in enumerate(self._stacks.items()):
      rows, column = np.unique(self._rows[:, number], return_inverse=True)
      columns.append(column)
      stacks[key] = Stack(key, {
          table.name: tf.Variable(
              gather(table, stack.tables[table.name].handle, rows),
              trainable=False) for table in key.tables}, FreeRows())
    return StackedTasks(
        stacks, np.stack(columns, axis=1).astype(np.int32), self._slots)


def _new_capacity(rows: int, capacity: int | None) -> int:
  """How many rows a new stack has, of which some are needed at once."""
  return max(rows, 0 if capacity is None else 1 + capacity + _SPARE_ROWS)


def _with_room(stack: Stack, capacity: int, rows: np.ndarray) -> Stack:
  """A stack of so many rows at least: that one, or one of twice its rows."""
  if capacity <= stack.capacity:
    return stack
  return stack.with_capacity(
      max(capacity, 2 * stack.capacity), np.unique(rows))


def specs(keys: Sequence[StackKey]) -> list[tf.TensorSpec]:
  """Of `StackedTasks.tensors`, for any number of tasks."""
  return [tf.TensorSpec([len(keys), None], tf.int32), *(
      tf.TensorSpec([], tf.resource) for key in keys for _ in key.tables)]
