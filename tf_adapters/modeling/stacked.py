"""What many tasks own, stacked: adapters, layer norms and heads of a bank.

Rows of a batch may belong to different tasks: weights are gathered row by row
and applied as batched products, so one pass of the encoder serves all of them.
Which tasks there are, and their files, is the bank's business.
"""

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_adapters.modeling.adapter import (
    EPSILON,
    TaskLayers,
    adapter_name,
    adapter_shapes,
    layer_norm_name,
)
from tf_adapters.modeling.config import (
    PER_TOKEN_POOLING,
    POSITIONS,
    AdapterConfig,
)
from tf_adapters.modeling.encoder import BertEncoder
from tf_adapters.modeling.heads import pool
from tf_adapters.modeling.kernels import activation_function, layer_norm

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class TaskArrays:
  """All that a task owns.

  Attributes:
    adapters: configuration of its adapters, or None.
    pooling: of its head; "tokens" for outputs for each token.
    tensors: {canonical name: array}: adapters, layer norms where they are the
      task's own, "head/kernel" and "head/bias". Asked for once, place by place,
      so they can be read from a file then.
  """

  adapters: AdapterConfig | None
  pooling: str
  tensors: Arrays

  def under(self, prefix: str) -> Arrays | None:
    """The tensors below a name, by the rest of theirs; None without any."""
    prefix += "/"
    return {name.removeprefix(prefix): self.tensors[name]
            for name in self.tensors if name.startswith(prefix)} or None


class Stack(tf.Module):
  """Arrays of the same names and shapes, a row for each task that has them.

  Row 0 belongs to all tasks without arrays of their own. Arrays that are
  smaller than the row get zeros at their ends.

  Args:
    row_0: its arrays.
    num_tasks: how many tasks there are already, all without their own.

  Call arguments:
    task_index: int32 [batch], the number of each row's task.

  Returns:
    The arrays of each row: {name: float32 [batch, ...]}.
  """

  def __init__(self, row_0: Arrays, num_tasks: int):
    super().__init__()
    self.tables = {
        name: tf.Variable(array[np.newaxis], shape=[None, *array.shape],
                          trainable=False)
        for name, array in row_0.items()}
    self.rows = tf.Variable(
        np.zeros([num_tasks], np.int32), shape=[None], trainable=False)

  def extend(self, tasks: Sequence[Arrays | None]) -> None:
    """Adds tasks, behind those there are."""
    own = [arrays for arrays in tasks if arrays is not None]
    rows = np.zeros([len(tasks)], np.int32)
    for name, table in self.tables.items():
      rows_before = int(tf.shape(table)[0])
      new = np.zeros([len(own), *table.shape[1:]], np.float32)
      for number, arrays in enumerate(own):
        new[(number, *map(slice, arrays[name].shape))] = arrays[name]
      table.assign(tf.concat([table, new], axis=0))
    rows[[arrays is not None for arrays in tasks]] = range(
        rows_before, rows_before + len(own))
    self.rows.assign(tf.concat([self.rows, rows], axis=0))

  def remove(self, task: int) -> None:
    """Takes a task out; those behind it move up by one."""
    rows = self.rows.numpy()
    row = rows[task]
    rows = np.delete(rows, task)
    if row:
      rows[rows > row] -= 1
      for table in self.tables.values():
        table.assign(tf.concat([table[:row], table[row + 1:]], axis=0))
    self.rows.assign(rows)

  def __call__(self, task_index: tf.Tensor) -> dict[str, tf.Tensor]:
    rows = tf.gather(self.rows, task_index)
    return {name: tf.gather(table, rows)
            for name, table in self.tables.items()}


class StackedLayerNorm(tf.Module):
  """The layer norms of many tasks at one place of the encoder.

  Called as `modeling.adapter.LayerNorm` is, with a `task_index` [batch].

  Args:
    encoder: {"gamma", "beta"} of the encoder, for tasks that did not tune them.
    epsilon: added to variances.
  """

  def __init__(self, encoder: Arrays, epsilon: float):
    super().__init__()
    self.stack = Stack(encoder, num_tasks=1)
    self._epsilon = epsilon

  def __call__(self, hidden: tf.Tensor, task_index: tf.Tensor) -> tf.Tensor:
    row = self.stack(task_index)
    return layer_norm(hidden, row["gamma"][:, tf.newaxis],
                      row["beta"][:, tf.newaxis], self._epsilon)


class _ByKind(tf.Module):
  """Weights that tasks have of different kinds: a stack for each kind."""

  def __init__(self):
    super().__init__()
    self._num_tasks = 1
    self.kinds: list[Any] = []

  def _new(self, kind: Hashable, num_tasks: int) -> tf.Module:
    """A module with a `stack` of this `kind`, none of the tasks in it yet."""
    raise NotImplementedError

  def _extend(self, kinds: Sequence[Hashable],
              tasks: Sequence[Arrays | None]) -> None:
    """Adds tasks: the kind, or None, and the arrays of each one's weights."""
    there = [part.kind for part in self.kinds]
    for kind in dict.fromkeys(kinds):
      if kind is not None and kind not in there:
        self.kinds.append(self._new(kind, self._num_tasks))
    for part in self.kinds:
      part.stack.extend([arrays if kind == part.kind else None
                         for kind, arrays in zip(kinds, tasks)])
    self._num_tasks += len(tasks)

  def remove(self, task: int) -> None:
    """Takes a task out, and its kind if it was the last of it."""
    for part in self.kinds:
      part.stack.remove(task)
    self.kinds = [part for part in self.kinds if part.stack.rows.numpy().any()]
    self._num_tasks -= 1


class StackedAdapter(_ByKind):
  """The adapters of many tasks at one place of the encoder.

  Called as `modeling.adapter.Adapter` is, with a `task_index` [batch]. Adapters
  of one kind (`adapter_kind`) share a stack, and so a product. Each kind is
  computed for all rows; where a row's task is of another kind the weights are
  zeros, and what is added is zero exactly. So what a task gets does not depend
  on which others there are, not in the last bit.
  """

  def __init__(self, hidden_size: int, dtype: str):
    super().__init__()
    self._hidden_size = hidden_size
    self._dtype = dtype

  def _new(self, kind: AdapterConfig, num_tasks: int) -> "_AdapterKind":
    return _AdapterKind(kind, self._hidden_size, num_tasks, self._dtype)

  def extend(self, configs: Sequence[AdapterConfig | None],
             tasks: Sequence[Arrays | None]) -> None:
    """Adds tasks: the configuration and the arrays of each one's adapter."""
    self._extend([None if arrays is None else adapter_kind(config)
                  for config, arrays in zip(configs, tasks)], tasks)

  def __call__(self, hidden: tf.Tensor, sublayer_input: tf.Tensor,
               task_index: tf.Tensor,
               training: bool | None = None) -> tf.Tensor:
    del training
    output = hidden
    for part in self.kinds:
      output += part(
          sublayer_input if part.kind.parallel else hidden, task_index)
    return output


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


class _AdapterKind(tf.Module):
  """The adapters of one kind at one place: what they add to `hidden`."""

  def __init__(self, kind: AdapterConfig, hidden_size: int, num_tasks: int,
               dtype: str):
    super().__init__()
    self.kind = kind
    self.stack = Stack(
        {name: np.zeros(shape, np.float32)
         for name, shape in adapter_shapes(kind, hidden_size).items()},
        num_tasks)
    self._activation = activation_function(kind.activation)
    self._dtype = dtype

  def __call__(self, inputs: tf.Tensor, task_index: tf.Tensor) -> tf.Tensor:
    row = self.stack(task_index)
    if self.kind.layer_norm:
      inputs = layer_norm(inputs, row["layer_norm/gamma"][:, tf.newaxis],
                          row["layer_norm/beta"][:, tf.newaxis], EPSILON)

    def project(name, hidden):
      kernel = tf.cast(row[f"{name}/kernel"], self._dtype)
      bias = tf.cast(row[f"{name}/bias"], self._dtype)
      return tf.matmul(hidden, kernel) + bias[:, tf.newaxis]

    bottleneck = self._activation(
        project("down", tf.cast(inputs, self._dtype)))
    for number in range(self.kind.depth - 1):
      bottleneck = self._activation(project(f"hidden_{number}", bottleneck))
    return project("up", bottleneck)


class StackedTaskLayers(tf.Module):
  """The layers that many tasks own inside an encoder: see `TaskLayers`.

  Args:
    task_layers: the encoder's, for what tasks leave as it is.
  """

  config = None

  def __init__(self, task_layers: TaskLayers):
    super().__init__()
    self.layer_norms = {}
    self.adapters = {}
    bert, dtype = task_layers.bert, task_layers.compute_dtype
    norms = {"embeddings/layer_norm": task_layers.embedding_norm()}
    for layer in range(bert.num_hidden_layers):
      for place in POSITIONS:
        norms[layer_norm_name(layer, place)] = task_layers.layer_norm(
            layer, place)
        self.adapters[adapter_name(layer, place)] = StackedAdapter(
            bert.hidden_size, dtype)
    for name, norm in norms.items():
      self.layer_norms[name] = StackedLayerNorm(
          {key: variable.numpy()
           for key, variable in norm.named_variables().items()}, norm.epsilon)

  def extend(self, tasks: Sequence[TaskArrays]) -> None:
    """Adds tasks, behind those there are."""
    for name, norm in self.layer_norms.items():
      norm.stack.extend([task.under(name) for task in tasks])
    for name, adapter in self.adapters.items():
      adapter.extend([task.adapters for task in tasks],
                     [task.under(name) for task in tasks])

  def remove(self, task: int) -> None:
    """Takes a task out; those behind it move up by one."""
    for norm in self.layer_norms.values():
      norm.stack.remove(task)
    for adapter in self.adapters.values():
      adapter.remove(task)

  def embedding_norm(self) -> StackedLayerNorm:
    return self.layer_norms["embeddings/layer_norm"]

  def layer_norm(self, layer: int, place: str) -> StackedLayerNorm:
    return self.layer_norms[layer_norm_name(layer, place)]

  def adapter(self, layer: int, place: str) -> StackedAdapter | None:
    adapter = self.adapters[adapter_name(layer, place)]
    return adapter if adapter.kinds else None

  def named_variables(self) -> dict[str, tf.Variable]:
    """None that have a canonical name: a row is no variable."""
    return {}


class StackedHeads(_ByKind):
  """The heads of many tasks, of all poolings and numbers of labels.

  Call arguments:
    outputs, input_mask: as for `modeling.heads.Head`.
    task_index: int32 [batch].

  Returns:
    Logits as float32, zeros behind a task's labels: "texts" [batch, labels],
    and "tokens" [batch, length, labels] if a task has such outputs.
  """

  def __init__(self, hidden_size: int):
    super().__init__()
    self._hidden_size = hidden_size

  def _new(self, kind: tuple[str, int], num_tasks: int) -> "_HeadKind":
    return _HeadKind(kind, self._hidden_size, num_tasks)

  def extend(self, tasks: Sequence[TaskArrays]) -> None:
    """Adds tasks, behind those there are."""
    heads = [task.under("head") for task in tasks]
    self._extend([(task.pooling, padded_size(head["bias"].size))
                  for task, head in zip(tasks, heads)], heads)

  def __call__(self, outputs: Mapping[str, tf.Tensor], input_mask: tf.Tensor,
               task_index: tf.Tensor) -> dict[str, tf.Tensor]:
    result = {}
    for what in ("texts", "tokens"):
      kinds = [part for part in self.kinds
               if (part.kind[0] == PER_TOKEN_POOLING) == (what == "tokens")]
      widest = max((part.kind[1] for part in kinds), default=0)
      logits = [_widened(part(outputs, input_mask, task_index), widest)
                for part in kinds]
      if logits:
        result[what] = tf.add_n(logits)
    return result


class _HeadKind(tf.Module):
  """The heads of one pooling and one padded number of labels."""

  def __init__(self, kind: tuple[str, int], hidden_size: int, num_tasks: int):
    super().__init__()
    self.kind = kind
    labels = kind[1]
    self.stack = Stack({"kernel": np.zeros([hidden_size, labels], np.float32),
                        "bias": np.zeros([labels], np.float32)}, num_tasks)

  def __call__(self, outputs: Mapping[str, tf.Tensor], input_mask: tf.Tensor,
               task_index: tf.Tensor) -> tf.Tensor:
    row = self.stack(task_index)
    pooling, _ = self.kind
    if pooling == PER_TOKEN_POOLING:
      hidden = tf.cast(outputs["sequence_output"], tf.float32)
      return tf.matmul(hidden, row["kernel"]) + row["bias"][:, tf.newaxis]
    hidden = tf.cast(pool(pooling, outputs, input_mask), tf.float32)
    return tf.linalg.matvec(
        row["kernel"], hidden, transpose_a=True) + row["bias"]


class StackedModel(tf.Module):
  """An encoder and the heads of many tasks: all of a bank that computes.

  Args:
    encoder: a plain encoder; its task layers are replaced.
    pooling: of the embedding that rows without a task get.

  Call arguments:
    inputs: what an encoder takes, with "task_index" int32 [batch]: 0 for the
      encoder alone, other tasks by number in the order they were added.

  Returns:
    "embedding" [batch, hidden_size], and what `StackedHeads` returns.
  """

  def __init__(self, encoder: BertEncoder, pooling: str):
    super().__init__()
    encoder.task_layers = StackedTaskLayers(encoder.task_layers)
    self.encoder = encoder
    self.heads = StackedHeads(encoder.config.hidden_size)
    self._pooling = pooling

  def extend(self, tasks: Sequence[TaskArrays]) -> None:
    """Adds tasks, behind those there are."""
    self.encoder.task_layers.extend(tasks)
    self.heads.extend(tasks)

  def remove(self, task: int) -> None:
    """Takes a task out; those behind it move up by one."""
    self.encoder.task_layers.remove(task)
    self.heads.remove(task)

  def structure(self) -> tuple[Hashable, ...]:
    """Which kinds of weights there are: what a trace depends on."""
    return (*(tuple(part.kind for part in adapter.kinds) for adapter
              in self.encoder.task_layers.adapters.values()),
            tuple(part.kind for part in self.heads.kinds))

  def __call__(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    outputs = self.encoder(inputs)
    mask = inputs["input_mask"]
    return {
        "embedding": tf.cast(pool(self._pooling, outputs, mask), tf.float32),
        **self.heads(outputs, mask, inputs["task_index"])}


def _widened(logits: tf.Tensor, width: int) -> tf.Tensor:
  """Zeros behind the last axis."""
  paddings = [[0, 0]] * (logits.shape.rank - 1)
  return tf.pad(logits, [*paddings, [0, width - logits.shape[-1]]])
