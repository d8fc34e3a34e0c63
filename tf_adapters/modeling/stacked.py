"""Stacks what many tasks own: arrays of methods, layer norms and heads.

Arrays of the same names and shapes lie in one table, a row for each task that
has them. A set of tables never changes: another one is made beside it, so that
whoever computes with the old one goes on with the old one. What is computed
with them is the business of `modeling.stacked_layers`; which tasks there are,
and their files, that of the bank.
"""

import collections
import dataclasses
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
from tf_adapters.modeling.tuning import is_layer_norm

Arrays = Mapping[str, np.ndarray]
Shapes = Mapping[str, tuple[int, ...]]

HEAD = "head"  # the place of the heads
POOLER = "pooler_transform"  # that of poolers of tasks
# Pooling of heads, beside `config.POOLINGS`: by a pooler of the task's own.
OWN_POOLER = "own pooler"


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
    read: returns the arrays of these names. Asked once, and one task after
      the other, so that no more than one task's file has to be in memory.
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


@dataclasses.dataclass(frozen=True)
class Stack:
  """Arrays of the same names and shapes, a row for each task that has them.

  Attributes:
    tables: {name: float32 [rows, ...]}. Row 0 belongs to all tasks without
      arrays of their own: the encoder's layer norms, neutral numbers elsewhere,
      which are zeros mostly. Arrays that are smaller than a row have zeros at
      their ends.
    rows: int32 [1 + tasks], the row of each task; task 0 is the encoder alone.
  """

  tables: Mapping[str, tf.Tensor]
  rows: np.ndarray

  @classmethod
  def neutral(cls, key: StackKey, num_tasks: int) -> "Stack":
    """Of tasks none of which has arrays of its own."""
    return cls({table.name: tf.fill([1, *table.shape], table.neutral)
                for table in key.tables}, np.zeros([1 + num_tasks], np.int32))

  def extend(self, own: Sequence[bool],
             new: dict[str, np.ndarray]) -> "Stack":
    """With more tasks, behind those there are.

    Args:
      own: which of the new tasks have arrays of their own.
      new: {name: the rows of these}; emptied on the way, so that each table
        can be let go before the next one is copied.
    """
    tables = self.tables
    rows = np.zeros([len(own)], np.int32)
    if any(own):
      first = next(iter(tables.values())).shape[0]
      rows[np.array(own)] = first + np.arange(sum(own))
      tables = {name: tf.concat([table, new.pop(name)], axis=0)
                for name, table in tables.items()}
    return Stack(tables, np.concatenate([self.rows, rows]))

  def remove(self, task: int) -> "Stack":
    """Without a task; those behind it move up by one."""
    row = self.rows[task]
    rows = np.delete(self.rows, task)
    if not row:
      return Stack(self.tables, rows)
    return Stack(
        {name: tf.concat([table[:row], table[row + 1:]], axis=0)
         for name, table in self.tables.items()},
        rows - (rows > row).astype(np.int32))


class StackedTasks:
  """The arrays of many tasks. Nothing here ever changes.

  Args:
    stacks: all stacks, of the same number of tasks.

  Attributes:
    keys: of the stacks.
    num_tasks: how many there are, without the encoder alone.
    tensors: what a graph for these keys takes: int32 [stacks, 1 + tasks], each
      stack's row of each task, and all tables in the keys' order.

  Example:
    >>> two = stacked_model.no_tasks().with_tasks([first, second])
    >>> one = two.without_task(1)  # the second one is number 1 here
  """

  def __init__(self, stacks: Mapping[StackKey, Stack]):
    self._stacks = dict(stacks)
    self.keys = tuple(stacks)
    rows = np.stack([stack.rows for stack in stacks.values()])
    self.num_tasks = rows.shape[1] - 1
    self.tensors = [tf.constant(rows), *(
        stack.tables[table.name] for key, stack in stacks.items()
        for table in key.tables)]

  @classmethod
  def of_encoder(cls, layer_norms: Mapping[str, Arrays]) -> "StackedTasks":
    """Of no tasks, from the encoder's layer norms by canonical name."""
    return cls({
        layer_norm_key(place, arrays["gamma"].shape):
        Stack({name: tf.constant(array[np.newaxis])
               for name, array in arrays.items()}, np.zeros([1], np.int32))
        for place, arrays in layer_norms.items()})

  def with_tasks(self, tasks: Sequence[TaskArrays]) -> "StackedTasks":
    """With more tasks, behind those there are.

    Tables of stacks that no new task has a row in are shared, the others are
    copied: these are in memory twice until the old tasks are dropped.
    """
    of_tasks = [frozenset(task.stack_keys()) for task in tasks]
    keys = dict.fromkeys(
        [*self.keys, *(key for task in tasks for key in task.stack_keys())])
    own = {key: [key in task_keys for task_keys in of_tasks] for key in keys}
    new = {key: {table.name: np.zeros([sum(own[key]), *table.shape], np.float32)
                 for table in key.tables} for key in keys}
    filled: dict[StackKey, int] = collections.Counter()
    for task, task_keys in zip(tasks, of_tasks):
      arrays = task.read()
      for key in task_keys:
        for name, array in task.values(key, arrays).items():
          place: tuple[int | slice, ...] = (
              filled[key], *map(slice, array.shape))
          new[key][name][place] = array
        filled[key] += 1
    return StackedTasks({
        key: (self._stacks.get(key) or Stack.neutral(key, self.num_tasks))
        .extend(own[key], new[key]) for key in keys})

  def without_task(self, task: int) -> "StackedTasks":
    """Without a task, by its number; those behind it move up by one.

    A stack goes with its last task. What is copied is as in `with_tasks`.
    """
    stacks = {key: stack.remove(task) for key, stack in self._stacks.items()}
    return StackedTasks({key: stack for key, stack in stacks.items()
                         if key.kind is None or stack.rows.any()})


def specs(keys: Sequence[StackKey]) -> list[tf.TensorSpec]:
  """Of `StackedTasks.tensors`, for any number of tasks."""
  return [tf.TensorSpec([len(keys), None], tf.int32), *(
      tf.TensorSpec([None, *table.shape], tf.float32)
      for key in keys for table in key.tables)]
