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

import numpy as np
import tensorflow as tf

from tf_adapters.modeling.encoders.family import EncoderConfig
from tf_adapters.modeling.methods.bottleneck import padded_size
from tf_adapters.modeling.methods.method import Method, Weights
from tf_adapters.modeling.methods.parts import Array, Values
from tf_adapters.modeling.methods.places import Place
from tf_adapters.modeling.slots import FreeRows, Slots
from tf_adapters.modeling.stack import Stack, StackKey, Table, gather
from tf_adapters.modeling.tuning import depth_of, is_layer_norm

Arrays = Mapping[str, np.ndarray]
Shapes = Mapping[str, tuple[int, ...]]

HEAD = "head"  # the place of the heads
POOLER = "pooler_transform"  # that of poolers of tasks
# Pooling of heads, beside `config.POOLINGS`: by a pooler of the task's own.
OWN_POOLER = "own pooler"

# What matrices of methods and poolers can be held in.
ADAPTER_DTYPES = ("float32", "bfloat16")

# Tasks whose arrays are in memory at the same time while they are written.
_WRITTEN_AT_ONCE = 16
# Beside those of a fixed number of tasks: for tasks that were replaced or
# removed, and that a computation still has. Two loads of a store replace so
# many at a time.
_SPARE_ROWS = 2 * _WRITTEN_AT_ONCE


def _nothing(place: Place) -> None:
  """Returns None: the weights of no encoder."""
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
    """Makes one of arrays that are in memory."""
    return cls(config, method, pooling, {
        name: array.shape for name, array in arrays.items()}, lambda: arrays,
        weights)

  def in_memory(self) -> "TaskArrays":
    """Reads the arrays now, and returns one that holds them."""
    arrays = self.read()
    return dataclasses.replace(self, read=lambda: arrays)

  def stack_keys(self, adapter_dtype: str = "float32") -> Sequence[StackKey]:
    """Returns the keys of the stacks that the task has a row in.

    Args:
      adapter_dtype: as for `StackedTasks`.
    """
    return _stack_keys(self.config, self.method, self.pooling,
                       tuple(self.shapes.items()), adapter_dtype)

  def values(self, key: StackKey, arrays: Arrays) -> Values:
    """Returns the task's row of a stack: {name of a table: array}.

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


@functools.lru_cache(maxsize=64)  # most tasks are of the same kind
def _stack_keys(
    config: EncoderConfig, method: Method | None, pooling: str,
    shape_of: tuple[tuple[str, tuple[int, ...]], ...], adapter_dtype: str,
) -> Sequence[StackKey]:
  """See `TaskArrays.stack_keys`."""
  shapes = dict(shape_of)
  hidden_size, labels = shapes[f"{HEAD}/kernel"]
  padded = padded_size(labels)
  keys = []
  if pooling == "pooler" and f"{POOLER}/kernel" in shapes:
    pooling = OWN_POOLER
    keys = [StackKey(POOLER, OWN_POOLER, tuple(
        _table(name, shapes[f"{POOLER}/{name}"], adapter_dtype)
        for name in ("kernel", "bias")))]
  keys.append(StackKey(HEAD, (pooling, padded), (
      Table("kernel", (hidden_size, padded)), Table("bias", (padded,)))))
  if method is not None:
    for place in method.places(config.num_hidden_layers):
      kind = method.at(place).kind()
      widths = config.widths_at(place)
      keys.append(StackKey(
          kind.place_name(place), kind,
          _tables(kind, widths, adapter_dtype), place, widths))
  return (*keys, *(
      layer_norm_key(name.removesuffix("/gamma"), shape)
      for name, shape in shapes.items()
      if is_layer_norm(name) and name.endswith("/gamma")))


def layer_norm_key(name: str, shape: tuple[int, ...]) -> StackKey:
  """Returns the key of the stack of a layer norm, by its canonical name."""
  return StackKey(name, None, (Table("beta", shape), Table("gamma", shape)))


def _tables(method: Method, widths: tuple[int, int],
            dtype: str) -> tuple[Table, ...]:
  return tuple(
      _table(f"{name}/{leaf}", shape, dtype,
             part.neutral if isinstance(part, Array) else 0.0)
      for name, part in method.parts(*widths).items()
      for leaf, shape in part.shapes().items())


def _table(name: str, shape: tuple[int, ...], dtype: str,
           neutral: float = 0.0) -> Table:
  """Describes a table.

  Matrices alone are of the type: nearly all of the memory is theirs.
  """
  return Table(name, shape, neutral, dtype if len(shape) > 1 else "float32")


@dataclasses.dataclass(frozen=True, eq=False)
class StackedTasks:
  """Some tasks, by the rows that hold their arrays. It never changes.

  Other objects of this class have the same tables, and rows of them: what is
  written there does not concern the tasks of this one.

  Attributes:
    stacks: all stacks by key; a graph is for their keys, in this order.
    rows: int32 [1 + tasks, stacks], the row of each task in each stack; 0 where
      it has none. Task 0 is the encoder alone.
    slots: of each task but task 0.
    capacity: how many tasks new stacks are to have room for; None for as many
      as there are.
    adapter_dtype: of the matrices of methods and poolers, which are nearly all
      that a task has: one of `ADAPTER_DTYPES`.

  Example:
    >>> two = stacked_model.no_tasks().with_tasks([first, second])
    >>> one = two.only([2])  # the second one is number 1 here
  """

  stacks: Mapping[StackKey, Stack]
  rows: np.ndarray
  slots: Sequence[Slots]
  capacity: int | None = None
  adapter_dtype: str = "float32"

  @classmethod
  def of_encoder(cls, layer_norms: Mapping[str, Arrays],
                 capacity: int | None = None,
                 adapter_dtype: str = "float32") -> "StackedTasks":
    """Makes stacks of no tasks, from the encoder's layer norms by name."""
    stacks = {}
    for place, arrays in layer_norms.items():
      key = layer_norm_key(place, arrays["gamma"].shape)
      stacks[key] = Stack.of_no_task(key, _new_capacity(1, capacity))
      stacks[key].write([0], [arrays])
    return cls(stacks, np.zeros([1, len(stacks)], np.int32), (), capacity,
               adapter_dtype)

  @functools.cached_property
  def keys(self) -> tuple[StackKey, ...]:
    """Of the stacks."""
    return tuple(self.stacks)

  @property
  def num_tasks(self) -> int:
    """The number of tasks, without the encoder alone."""
    return len(self.slots)

  @property
  def variables(self) -> list[tf.Variable]:
    """All tables, in the keys' order."""
    return [table for stack in self.stacks.values()
            for table in stack.tables.values()]

  @functools.cached_property
  def tensors(self) -> list[tf.Tensor]:
    """The inputs of a graph for these keys.

    Int32 [stacks, 1 + tasks], each stack's row of each task, and the handles of
    all tables in the keys' order.
    """
    return [tf.constant(self.rows.T), *(
        handle for stack in self.stacks.values() for handle in stack.handles)]

  def with_tasks(self, tasks: Sequence[TaskArrays]) -> "StackedTasks":
    """Returns stacks with more tasks, behind those there are.

    Each is written into rows that nobody has. A stack without any is copied
    into one of twice the rows, which is then in memory beside it.
    """
    of_tasks = [task.stack_keys(self.adapter_dtype) for task in tasks]
    counts = collections.Counter(key for keys in of_tasks for key in keys)
    stacks = {**self.stacks, **{
        key: Stack.of_no_task(key, _new_capacity(1 + count, self.capacity))
        for key, count in counts.items() if key not in self.stacks}}
    slots = [Slots() for _ in tasks]
    first = 1 + self.num_tasks
    rows = np.zeros([first + len(tasks), len(stacks)], np.int32)
    rows[:first, :len(self.keys)] = self.rows
    number_of = {key: number for number, key in enumerate(stacks)}
    for task, keys in enumerate(of_tasks):
      for key in keys:
        rows[first + task, number_of[key]] = slots[task].take(stacks[key].free)
    for key in counts:
      column = rows[:, number_of[key]]
      stacks[key] = stacks[key].with_room(
          1 + int(column.max()), column[:first])
    for start in range(0, len(tasks), _WRITTEN_AT_ONCE):
      written: dict[StackKey, list[tuple[int, Values]]] = (
          collections.defaultdict(list))
      for task in range(start, min(start + _WRITTEN_AT_ONCE, len(tasks))):
        arrays = tasks[task].read()
        for key in of_tasks[task]:
          written[key].append((rows[first + task, number_of[key]],
                               tasks[task].values(key, arrays)))
      for key, members in written.items():
        stacks[key].write([row for row, _ in members],
                          [values for _, values in members])
    return dataclasses.replace(
        self, stacks=stacks, rows=rows, slots=(*self.slots, *slots))

  def only(self, numbers: Sequence[int]) -> "StackedTasks":
    """Returns some of the tasks, in this order, by their numbers from 1."""
    return dataclasses.replace(
        self, rows=self.rows[[0, *numbers]],
        slots=[self.slots[number - 1] for number in numbers])

  def without_empty_stacks(self) -> "StackedTasks":
    """Leaves out stacks that no task has a row in; those of layer norms stay.

    Returns:
      This object, where there are none.
    """
    kept = [number for number, key in enumerate(self.keys)
            if key.kind is None or self.rows[:, number].any()]
    if len(kept) == len(self.keys):
      return self
    return dataclasses.replace(
        self, rows=self.rows[:, kept], stacks={
            self.keys[number]: self.stacks[self.keys[number]]
            for number in kept})

  def with_more_room(self, tasks: Sequence[TaskArrays]) -> "StackedTasks":
    """Returns the same tasks, and one of the stacks with room for others.

    Who asks until nothing changes, and lets go of what there was before, never
    has more than one stack in memory twice.

    Returns:
      This object, where all stacks that there are have room.
    """
    counts = collections.Counter(
        key for task in tasks for key in task.stack_keys(self.adapter_dtype))
    for number, (key, stack) in enumerate(self.stacks.items()):
      rows = self.rows[:, number]
      larger = stack.with_room(
          1 + int(np.count_nonzero(rows)) + counts[key], rows)
      if larger is not stack:
        return dataclasses.replace(
            self, stacks={**self.stacks, key: larger})
    return self

  def lowest_own_layer(self, num_layers: int) -> int:
    """Returns the lowest layer in which one of the tasks has arrays of its own.

    What lies below is the encoder's alone. 0 where that is nothing but, maybe,
    the embeddings; `num_layers` where poolers and heads alone are their own.

    Args:
      num_layers: of the encoder.
    """
    return min((depth_of(f"{key.name}/", num_layers)
                for number, key in enumerate(self.keys)
                if self.rows[:, number].any()), default=num_layers)

  def compact(self) -> "StackedTasks":
    """Returns the same tasks, copied into tables in which no row is free."""
    stacks, columns = {}, []
    for number, (key, stack) in enumerate(self.stacks.items()):
      rows, column = np.unique(self.rows[:, number], return_inverse=True)
      columns.append(column)
      stacks[key] = Stack(key, {
          table.name: tf.Variable(
              gather(table, stack.tables[table.name].handle, rows),
              trainable=False) for table in key.tables}, FreeRows())
    return dataclasses.replace(
        self, stacks=stacks,
        rows=np.stack(columns, axis=1).astype(np.int32))


def _new_capacity(rows: int, capacity: int | None) -> int:
  """Returns the number of rows of a new stack, some of them needed at once."""
  return max(rows, 0 if capacity is None else 1 + capacity + _SPARE_ROWS)


def specs(keys: Sequence[StackKey]) -> list[tf.TensorSpec]:
  """Returns the specs of `StackedTasks.tensors`, for any number of tasks."""
  return [tf.TensorSpec([len(keys), None], tf.int32), *(
      tf.TensorSpec([], tf.resource) for key in keys for _ in key.tables)]
