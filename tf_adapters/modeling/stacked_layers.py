"""A forward pass for rows of many tasks: what a bank computes.

Weights are gathered row by row of the batch and applied as batched products, so
one pass of the encoder serves all tasks. Where they come from is the business
of `modeling.stacked`.
"""

from collections.abc import Iterable, Mapping, Sequence

import tensorflow as tf

from tf_adapters.modeling.adapter import adapter_name, layer_norm_name
from tf_adapters.modeling.config import PER_TOKEN_POOLING
from tf_adapters.modeling.encoder import BertEncoder
from tf_adapters.modeling.heads import pool
from tf_adapters.modeling.kernels import activation_function, layer_norm
from tf_adapters.modeling.layers import EPSILON
from tf_adapters.modeling.methods.bottleneck import POSITIONS, AdapterConfig
from tf_adapters.modeling.stacked import (
    HEAD,
    StackedTasks,
    StackKey,
    specs,
)

_EMBEDDING_NORM = "embeddings/layer_norm"


class BatchRows:
  """One stack, for a batch: the arrays of each row's task.

  Args:
    kind: of the stack.
    tables: its tables.
    rows: int32 [batch], the row of the tables for each row of the batch.
  """

  def __init__(self, kind: AdapterConfig | tuple[str, int] | None,
               tables: Mapping[str, tf.Tensor], rows: tf.Tensor):
    self.kind = kind
    self._tables = tables
    self._rows = rows

  def __getitem__(self, name: str) -> tf.Tensor:
    """Float32 [batch, ...]."""
    return tf.gather(self._tables[name], self._rows)


def batch_rows(keys: Sequence[StackKey], tensors: Iterable[tf.Tensor],
               task_index: tf.Tensor) -> dict[str, list[BatchRows]]:
  """{place: its stacks} for a batch.

  Args:
    keys, tensors: as those of `StackedTasks`.
    task_index: int32 [batch], the task of each row; 0 for the encoder alone.
  """
  all_rows, *tables = tensors
  left = iter(tables)
  stacks: dict[str, list[BatchRows]] = {}
  for key, rows in zip(keys, tf.unstack(
      tf.gather(all_rows, task_index, axis=1), num=len(keys))):
    stacks.setdefault(key.place, []).append(BatchRows(
        key.kind, {name: next(left) for name, _ in key.shapes}, rows))
  return stacks


class StackedLayerNorm:
  """The layer norms of a batch's rows at one place of the encoder.

  Called as `modeling.adapter.LayerNorm` is.
  """

  def __init__(self, rows: BatchRows, epsilon: float):
    self._rows = rows
    self._epsilon = epsilon

  def __call__(self, hidden: tf.Tensor) -> tf.Tensor:
    return layer_norm(hidden, self._rows["gamma"][:, tf.newaxis],
                      self._rows["beta"][:, tf.newaxis], self._epsilon)


class StackedAdapter:
  """The adapters of a batch's rows at one place of the encoder.

  Called as `modeling.adapter.Adapter` is. Adapters of one kind
  (`stacked.adapter_kind`) share a stack, and so a product. Each kind is
  computed for all rows; where a row's task is of another kind the weights are
  zeros, and what is added is zero exactly. So what a task gets does not depend
  on which others there are, not in the last bit.
  """

  def __init__(self, kinds: Sequence[BatchRows], dtype: str):
    self._kinds = kinds
    self._dtype = dtype

  def __call__(self, hidden: tf.Tensor, sublayer_input: tf.Tensor,
               training: bool | None = None) -> tf.Tensor:
    del training
    output = hidden
    for rows in self._kinds:
      output += self._added(
          rows, sublayer_input if rows.kind.parallel else hidden)
    return output

  def _added(self, rows: BatchRows, inputs: tf.Tensor) -> tf.Tensor:
    """What the adapters of one kind add to `hidden`."""
    kind = rows.kind
    activation = activation_function(kind.activation)
    if kind.layer_norm:
      inputs = layer_norm(inputs, rows["layer_norm/gamma"][:, tf.newaxis],
                          rows["layer_norm/beta"][:, tf.newaxis], EPSILON)

    def project(name, hidden):
      kernel = tf.cast(rows[f"{name}/kernel"], self._dtype)
      bias = tf.cast(rows[f"{name}/bias"], self._dtype)
      return tf.matmul(hidden, kernel) + bias[:, tf.newaxis]

    bottleneck = activation(project("down", tf.cast(inputs, self._dtype)))
    for number in range(kind.depth - 1):
      bottleneck = activation(project(f"hidden_{number}", bottleneck))
    return project("up", bottleneck)


class StackedTaskLayers:
  """Adapters and layer norms of a batch's rows: takes `TaskLayers`' place.

  Args:
    stacks: from `batch_rows`.
    epsilon: of the encoder's layer norms.
    dtype: that adapters compute in.
  """

  def __init__(self, stacks: Mapping[str, Sequence[BatchRows]],
               epsilon: float, dtype: str):
    self._stacks = stacks
    self._epsilon = epsilon
    self._dtype = dtype

  def _norm(self, place: str) -> StackedLayerNorm:
    (rows,) = self._stacks[place]
    return StackedLayerNorm(rows, self._epsilon)

  def embedding_norm(self) -> StackedLayerNorm:
    """As the method of `TaskLayers`."""
    return self._norm(_EMBEDDING_NORM)

  def layer_norm(self, layer: int, place: str) -> StackedLayerNorm:
    """As the method of `TaskLayers`."""
    return self._norm(layer_norm_name(layer, place))

  def adapter(self, layer: int, place: str) -> StackedAdapter | None:
    """As the method of `TaskLayers`."""
    kinds = self._stacks.get(adapter_name(layer, place))
    return StackedAdapter(kinds, self._dtype) if kinds else None


def stacked_heads(
    heads: Sequence[BatchRows], outputs: Mapping[str, tf.Tensor],
    input_mask: tf.Tensor) -> dict[str, tf.Tensor]:
  """The logits of heads of all poolings and numbers of labels.

  Args:
    heads: the stacks of heads.
    outputs, input_mask: as for `modeling.heads.Head`.

  Returns:
    Logits as float32, zeros behind a task's labels: "texts" [batch, labels],
    and "tokens" [batch, length, labels], as far as tasks have such outputs.
  """
  result = {}
  for what in ("texts", "tokens"):
    kinds = [rows for rows in heads
             if (rows.kind[0] == PER_TOKEN_POOLING) == (what == "tokens")]
    if kinds:
      widest = max(rows.kind[1] for rows in kinds)
      result[what] = tf.add_n([
          _widened(_logits(rows, outputs, input_mask), widest)
          for rows in kinds])
  return result


def _logits(rows: BatchRows, outputs: Mapping[str, tf.Tensor],
            input_mask: tf.Tensor) -> tf.Tensor:
  """Of the heads of one pooling and one padded number of labels."""
  pooling, _ = rows.kind
  if pooling == PER_TOKEN_POOLING:
    hidden = tf.cast(outputs["sequence_output"], tf.float32)
    return tf.matmul(hidden, rows["kernel"]) + rows["bias"][:, tf.newaxis]
  hidden = tf.cast(pool(pooling, outputs, input_mask), tf.float32)
  return tf.linalg.matvec(
      rows["kernel"], hidden, transpose_a=True) + rows["bias"]


def _widened(logits: tf.Tensor, width: int) -> tf.Tensor:
  """Zeros behind the last axis."""
  paddings = [[0, 0]] * (logits.shape.rank - 1)
  return tf.pad(logits, [*paddings, [0, width - logits.shape[-1]]])


class StackedModel:
  """An encoder and the heads of many tasks, whatever tasks there are.

  Args:
    encoder: a plain encoder.
    pooling: of the embedding that rows without a task get.

  Call arguments:
    keys, tensors: as those of the `StackedTasks`.
    inputs: what an encoder takes.
    task_index: int32 [batch]: 0 for the encoder alone, other tasks by their
      number, from 1.

  Returns:
    "embedding" [batch, hidden_size], and what `stacked_heads` returns.
  """

  def __init__(self, encoder: BertEncoder, pooling: str):
    self.encoder = encoder
    self._pooling = pooling

  def no_tasks(self) -> StackedTasks:
    """The weights of the encoder alone, to which tasks can be added."""
    layers = self.encoder.task_layers
    norms = {_EMBEDDING_NORM: layers.embedding_norm()}
    for layer in range(self.encoder.config.num_hidden_layers):
      for place in POSITIONS:
        norms[layer_norm_name(layer, place)] = layers.layer_norm(layer, place)
    return StackedTasks.of_encoder({
        name: {key: variable.numpy()
               for key, variable in norm.named_variables().items()}
        for name, norm in norms.items()})

  def __call__(self, keys: Sequence[StackKey], tensors: Iterable[tf.Tensor],
               inputs: Mapping[str, tf.Tensor],
               task_index: tf.Tensor) -> dict[str, tf.Tensor]:
    encoder = self.encoder
    stacks = batch_rows(keys, tensors, task_index)
    layers = StackedTaskLayers(
        stacks, encoder.config.layer_norm_eps,
        encoder.task_layers.compute_dtype)
    hidden = encoder.embed(inputs, training=False, task_layers=layers)
    *_, hidden = encoder.run_layers(
        range(encoder.config.num_hidden_layers), hidden, inputs,
        training=False, task_layers=layers)
    outputs = encoder.close(hidden)
    mask = inputs["input_mask"]
    return {
        "embedding": tf.cast(pool(self._pooling, outputs, mask), tf.float32),
        **stacked_heads(stacks.get(HEAD, ()), outputs, mask)}


class TracedModel:
  """A `StackedModel` as a graph, for all tasks whose stacks have these keys.

  The weights are arguments of the graph: so it needs no new trace where tasks
  come or go, and never sees tasks that are half changed.

  Args:
    model: the model.
    keys: of the tasks' stacks.
    jit_compile: whether to compile with XLA.

  Call arguments:
    tasks: the weights.
    inputs, task_index: as for the model, and so is what is returned.
  """

  def __init__(self, model: StackedModel, keys: tuple[StackKey, ...],
               jit_compile: bool = False):
    self.keys = keys
    tokens = tf.TensorSpec([None, None], tf.int32)

    def call(word_ids, mask, type_ids, task_index, *tensors):
      return model(keys, tensors, {
          "input_word_ids": word_ids, "input_mask": mask,
          "input_type_ids": type_ids}, task_index)

    self._graph = tf.function(
        call, jit_compile=jit_compile, input_signature=[
            tokens, tokens, tokens, tf.TensorSpec([None], tf.int32),
            *specs(keys)]).get_concrete_function()

  def __call__(self, tasks: StackedTasks, inputs: Mapping[str, tf.Tensor],
               task_index: tf.Tensor) -> dict[str, tf.Tensor]:
    # As a concrete function calls it, without a look at each of some hundred
    # arguments, which takes longer than a small batch.
    return self._graph.inference_fn.call_preflattened([
        inputs["input_word_ids"], inputs["input_mask"],
        inputs["input_type_ids"], task_index, *tasks.tensors,
        *self._graph.captured_inputs])
