"""What many tasks own, stacked: arrays of adapters, layer norms and heads.

Arrays of the same names and shapes lie in one table, a row for each task that
has them. A set of tables never changes: another one is made beside it, so that
whoever computes with the old one goes on with the old one. What is computed
with them is the business of `modeling.stacked_layers`; which tasks there are,
and their files, that of the bank.
"""

import collections
import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tf_adapters.modeling.adapter import adapter_shapes
from tf_adapters.modeling.methods.bottleneck import AdapterConfig
from tf_adapters.modeling.tuning import is_adapter

Arrays = Mapping[str, np.ndarray]
Shapes = Mapping[str, tuple[int, ...]]

HEAD = "head"  # the place of the heads


@dataclasses.dataclass(frozen=True)
class StackKey:
  """What a stack's arrays are.

  Attributes:
    place: canonical name of an adapter or a layer norm, or `HEAD`.
    kind: what arrays at one place have to have in common to be computed as one
      product: see `adapter_kind`; pooling and padded number of labels of
      heads; None for layer norms.
    shapes: ((name below the place, shape), ...) of a task's arrays, padded.
  """

  place: str
  kind: Hashable
  shapes: tuple[tuple[str, tuple[int, ...]], ...]


@dataclasses.dataclass(frozen=True)
class TaskArrays:
  """All that a task owns.

  Attributes:
    adapters: configuration of its adapters, or None.
    pooling: of its head; "tokens" for outputs for each token.
    shapes: {canonical name: shape}: adapters, layer norms where they are the
      task's own, "head/kernel" and "head/bias".
    read: returns the arrays of these names. Asked once, and one task after
      the other, so that no more than one task's file has to be in memory.
  """

  adapters: AdapterConfig | None
  pooling: str
  shapes: Shapes
  read: Callable[[], Arrays]

  @classmethod
  def of(cls, adapters: AdapterConfig | None, pooling: str,
         arrays: Arrays) -> "TaskArrays":
    """From arrays that are in memory."""
    return cls(adapters, pooling, {
        name: array.shape for name, array in arrays.items()}, lambda: arrays)

  def stack_keys(self) -> list[StackKey]:
    """The stacks that the task has a row in."""
    below: dict[str, dict[str, tuple[int, ...]]] = collections.defaultdict(dict)
    for name, shape in self.shapes.items():
      place, part = _split(name)
      below[place][part] = shape
    hidden_size, labels = below[HEAD]["kernel"]
    padded = padded_size(labels)
    keys = [StackKey(HEAD, (self.pooling, padded), (
        ("kernel", (hidden_size, padded)), ("bias", (padded,))))]
    for place, shapes in below.items():
      if is_adapter(f"{place}/"):
        kind = adapter_kind(self.adapters)
        keys.append(StackKey(
            place, kind, tuple(adapter_shapes(kind, hidden_size).items())))
      elif place != HEAD:
        keys.append(layer_norm_key(place, shapes))
    return keys


def layer_norm_key(place: str, shapes: Shapes) -> StackKey:
  """Of the stack of the layer norms at a place of the encoder."""
  return StackKey(place, None, tuple(sorted(shapes.items())))


def _split(name: str) -> tuple[str, str]:
  """A canonical name as place and rest, which may hold slashes."""
  if is_adapter(name):
    place, _, part = name.partition("_adapter/")
    return f"{place}_adapter", part
  place, _, part = name.rpartition("/")
  return place, part


def adapter_kind(config: AdapterConfig) -> AdapterConfig:
  """What adapters have to have in common to be computed as one product.

  The size is the next one that is a power of two, or one and a half of one;
  what matters in training only, or says where adapters are, is left out.
  """
  return AdapterConfig(
      size=padded_size(config.size), activation=config.activation,
      parallel=config.parallel, depth=config.depth,
      layer_norm=config.layer_norm)


def padded_size(size: int) -> int:
  """The smallest of 8, 12, 16, 24, 32, 48, ... that is not below `size`."""
  padded = 8
  while padded < size:
    if padded * 3 // 2 >= size:
      return padded * 3 // 2
    padded *= 2
  return padded


@dataclasses.dataclass(frozen=True)
class Stack:
  """Arrays of the same names and shapes, a row for each task that has them.

  Attributes:
    tables: {name: float32 [rows, ...]}. Row 0 belongs to all tasks without
      arrays of their own: the encoder's layer norms, zeros elsewhere. Arrays
      that are smaller than a row have zeros at their ends.
    rows: int32 [1 + tasks], the row of each task; task 0 is the encoder alone.
  """

  tables: Mapping[str, tf.Tensor]
  rows: np.ndarray

  @classmethod
  def of_zeros(cls, key: StackKey, num_tasks: int) -> "Stack":
    """Of tasks none of which has arrays of its own."""
    return cls({name: tf.zeros([1, *shape]) for name, shape in key.shapes},
               np.zeros([1 + num_tasks], np.int32))

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
        stack.tables[name] for key, stack in stacks.items()
        for name, _ in key.shapes)]

  @classmethod
  def of_encoder(cls, layer_norms: Mapping[str, Arrays]) -> "StackedTasks":
    """Of no tasks, from the encoder's layer norms by canonical name."""
    return cls({
        layer_norm_key(place, {name: array.shape
                               for name, array in arrays.items()}):
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
    new = {key: {name: np.zeros([sum(own[key]), *shape], np.float32)
                 for name, shape in key.shapes} for key in keys}
    filled: dict[StackKey, int] = collections.Counter()
    for task, task_keys in zip(tasks, of_tasks):
      arrays = task.read()
      for key in task_keys:
        for name, table in new[key].items():
          array = arrays[f"{key.place}/{name}"]
          table[(filled[key], *map(slice, array.shape))] = array
        filled[key] += 1
    return StackedTasks({
        key: (self._stacks.get(key) or Stack.of_zeros(key, self.num_tasks))
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
      tf.TensorSpec([None, *shape], tf.float32)
      for key in keys for _, shape in key.shapes)]
