"""A forward pass for rows of many tasks: what a bank computes.

Weights are gathered row by row of the batch and applied as batched products, so
one pass of the encoder serves all tasks. Where they come from is the business
of `modeling.stacked`.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tf_adapters.modeling import compilation, kernels
from tf_adapters.modeling.config import PER_TOKEN_POOLING
from tf_adapters.modeling.encoder import TransformerEncoder
from tf_adapters.modeling.heads import pool
from tf_adapters.modeling.methods.parts import Array, Dense, Norm, Part
from tf_adapters.modeling.methods.places import ATTENTION, PROJECTION, Place
from tf_adapters.modeling.stack import StackKey, gather
from tf_adapters.modeling.stacked import HEAD, OWN_POOLER, StackedTasks, specs
from tf_adapters.modeling.task_layers import Hook, compute


class BatchRows:
  """One stack, for a batch: the arrays of each row's task.

  Args:
    key: of the stack.
    rows: int32 [batch], the row of the tables for each row of the batch.
    arrays: {name of a table: float32 [batch, ...]}.
  """

  def __init__(self, key: StackKey, rows: tf.Tensor,
               arrays: Mapping[str, tf.Tensor]):
    self.key = key
    self.rows = rows
    self.arrays = arrays

  def __getitem__(self, name: str) -> tf.Tensor:
    """Returns an array of each row, float32 [batch, ...]."""
    return self.arrays[name]

  @property
  def own(self) -> tf.Tensor:
    """Bool [batch]: whether a row's task has arrays of its own."""
    return self.rows > 0


def batch_rows(keys: Sequence[StackKey], tensors: Iterable[tf.Tensor],
               task_index: tf.Tensor) -> list[BatchRows]:
  """Gathers the rows of all stacks, for a batch.

  Args:
    keys, tensors: as those of `StackedTasks`.
    task_index: int32 [batch], the task of each row; 0 for the encoder alone.
  """
  all_rows, *handles = tensors
  left = iter(handles)
  return [BatchRows(key, rows, {
      table.name: gather(table, next(left), rows) for table in key.tables})
          for key, rows in zip(keys, tf.unstack(
              tf.gather(all_rows, task_index, axis=1), num=len(keys)))]


class StackedLayerNorm:
  """The layer norms of a batch's rows, called as `LayerNorm` is.

  Args:
    rows: of their stack.
    epsilon: added to variances; None to scale and shift alone.
    name: how their names in it begin.
  """

  def __init__(self, rows: BatchRows, epsilon: float | None, name: str = ""):
    self._rows = rows
    self._epsilon = epsilon
    self._name = name

  def __call__(self, hidden: tf.Tensor, added: tf.Tensor | None = None,
               training: bool | None = None) -> tf.Tensor:
    del training
    gamma, beta = (self._rows[f"{self._name}{leaf}"][:, tf.newaxis]
                   for leaf in ("gamma", "beta"))
    return kernels.layer_norm(
        hidden, gamma, beta, self._epsilon, added=added)


class StackedDense:
  """A dense layer of a batch's rows, called as `Projection` is.

  Args:
    part: what it is.
    name: how its names in the stack begin.
    rows: of the stack.
    dtype: that it computes in.
  """

  def __init__(self, part: Dense, name: str, rows: BatchRows, dtype: str):
    self._part = part
    self._name = name
    self._rows = rows
    self._dtype = dtype

  def _cast(self, leaf: str) -> tf.Tensor:
    return tf.cast(self._rows[f"{self._name}/{leaf}"], self._dtype)

  def __call__(self, inputs: tf.Tensor,
               training: bool | None = None) -> tf.Tensor:
    del training
    outputs = tf.matmul(tf.cast(inputs, self._dtype), self._cast("kernel"))
    if self._part.use_bias:
      outputs += self._cast("bias")[:, tf.newaxis]
    return kernels.activation_function(self._part.activation)(outputs)


def _stacked(name: str, part: Part, rows: BatchRows, dtype: str) -> Hook:
  """Makes a part of a method, for a batch's rows."""
  match part:
    case Dense():
      return StackedDense(part, name, rows, dtype)
    case Norm():
      return StackedLayerNorm(rows, part.epsilon, f"{name}/")
    case Array():
      return lambda: tf.cast(rows[f"{name}/value"], dtype)
  return lambda inputs, training=None: inputs  # dropout


class StackedMethods:
  """The methods at one place for a batch's rows: see `TaskHooks.hook`.

  Tasks of one kind (`Method.kind`) share a stack, and so a product. Each kind
  is computed for all rows; where a row's task is of another kind the arrays are
  neutral, and nothing is changed. So what a task gets does not depend on which
  others there are, not in the last bit.

  Args:
    kinds: the stacks of the place.
    dtype: that is computed in.
  """

  def __init__(self, kinds: Sequence[BatchRows], dtype: str):
    self._hooks = [
        functools.partial(compute, rows.key.kind, {
            name: _stacked(name, part, rows, dtype) for name, part
            in rows.key.kind.parts(*rows.key.widths).items()})
        for rows in kinds]
    self._kinds = kinds
    self._hook = kinds[0].key.kind.hook

  def __call__(self, inputs: tf.Tensor, beside: Any = None,
               layer_norm: Hook | None = None,
               training: bool | None = None) -> Any:
    if self._hook == ATTENTION:
      return beside.of_some([
          (*hook(inputs, lambda *both: both, training=training), rows.own)
          for hook, rows in zip(self._hooks, self._kinds)])
    if self._hook == PROJECTION:
      for hook in self._hooks:
        beside = functools.partial(hook, beside=beside, training=training)
      return beside(inputs)
    for hook in self._hooks:
      inputs = hook(inputs, beside, layer_norm, training=training)
    return inputs


class StackedTaskLayers:
  """The methods and layer norms of the tasks of a batch's rows: `TaskHooks`.

  Args:
    stacks: from `batch_rows`.
    epsilon: of the encoder's layer norms.
    dtype: that methods compute in.
  """

  def __init__(self, stacks: Iterable[BatchRows], epsilon: float | None,
               dtype: str):
    self._norms = {}
    self._kinds: dict[Place, list[BatchRows]] = {}
    for rows in stacks:
      if rows.key.place is not None:
        self._kinds.setdefault(rows.key.place, []).append(rows)
      elif rows.key.kind is None:
        self._norms[rows.key.name] = StackedLayerNorm(rows, epsilon)
    self._dtype = dtype

  def layer_norm(self, name: str) -> StackedLayerNorm:
    """As the method of `TaskHooks`."""
    return self._norms[name]

  def hook(self, place: Place) -> StackedMethods | None:
    """As the method of `TaskHooks`."""
    kinds = self._kinds.get(place)
    return StackedMethods(kinds, self._dtype) if kinds else None


class StackedPooler:
  """The poolers of a batch's rows, called as an encoder's is.

  Args:
    rows: of their stack.
    dtype: that they compute in.
  """

  def __init__(self, rows: BatchRows, dtype: str):
    self._rows = rows
    self._dtype = dtype

  def __call__(self, hidden: tf.Tensor) -> tf.Tensor:
    kernel, bias = (tf.cast(self._rows[name], self._dtype)
                    for name in ("kernel", "bias"))
    return tf.linalg.matvec(
        kernel, tf.cast(hidden, self._dtype), transpose_a=True) + bias


def stacked_heads(
    heads: Sequence[BatchRows], outputs: Mapping[str, tf.Tensor],
    input_mask: tf.Tensor) -> dict[str, tf.Tensor]:
  """Computes the logits of heads of all poolings and numbers of labels.

  Args:
    heads: the stacks of heads.
    outputs: as for `modeling.heads.Head`, and `OWN_POOLER`: what rows have by
      poolers of their own.
    input_mask: as for `modeling.heads.Head`.

  Returns:
    Logits as float32, zeros behind a task's labels: "texts" [batch, labels],
    and "tokens" [batch, length, labels], as far as tasks have such outputs.
  """
  result = {}
  for what in ("texts", "tokens"):
    kinds = [rows for rows in heads
             if (rows.key.kind[0] == PER_TOKEN_POOLING) == (what == "tokens")]
    if kinds:
      widest = max(rows.key.kind[1] for rows in kinds)
      result[what] = tf.add_n([
          _widened(_logits(rows, outputs, input_mask), widest)
          for rows in kinds])
  return result


def _logits(rows: BatchRows, outputs: Mapping[str, tf.Tensor],
            input_mask: tf.Tensor) -> tf.Tensor:
  """Computes those of one pooling and one padded number of labels."""
  pooling, _ = rows.key.kind
  if pooling == PER_TOKEN_POOLING:
    hidden = tf.cast(outputs["sequence_output"], tf.float32)
    return tf.matmul(hidden, rows["kernel"]) + rows["bias"][:, tf.newaxis]
  hidden = tf.cast(
      outputs[OWN_POOLER] if pooling == OWN_POOLER
      else pool(pooling, outputs, input_mask), tf.float32)
  return tf.linalg.matvec(
      rows["kernel"], hidden, transpose_a=True) + rows["bias"]


def _widened(logits: tf.Tensor, width: int) -> tf.Tensor:
  """Puts zeros behind the last axis."""
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

  def __init__(self, encoder: TransformerEncoder, pooling: str):
    self.encoder = encoder
    self._pooling = pooling

  def no_tasks(self, capacity: int | None = None,
               adapter_dtype: str = "float32") -> StackedTasks:
    """Returns the weights of the encoder alone, to which tasks can be added.

    Args:
      capacity, adapter_dtype: as for `StackedTasks`.
    """
    return StackedTasks.of_encoder({
        name: {key: variable.numpy()
               for key, variable in norm.named_variables().items()}
        for name, norm in self.encoder.task_layers.layer_norms.items()},
        capacity, adapter_dtype)

  def __call__(self, keys: Sequence[StackKey], tensors: Iterable[tf.Tensor],
               inputs: Mapping[str, tf.Tensor],
               task_index: tf.Tensor) -> dict[str, tf.Tensor]:
    return self.outputs(batch_rows(keys, tensors, task_index), inputs)

  def outputs(self, stacks: Sequence[BatchRows],
              inputs: Mapping[str, tf.Tensor], hidden: tf.Tensor | None = None,
              first: int = 0) -> dict[str, tf.Tensor]:
    """As a call, of what `batch_rows` gives.

    Args:
      stacks: from `batch_rows`.
      inputs: what an encoder takes; the mask alone where there is `hidden`.
      hidden: what layer `first` sees; None to begin with the embeddings.
      first: number of the first layer to compute.
    """
    encoder = self.encoder
    layers = StackedTaskLayers(
        stacks, encoder.config.layer_norm_eps,
        encoder.task_layers.compute_dtype)
    if hidden is None:
      hidden = encoder.embed(inputs, training=False, task_layers=layers)
    *_, hidden = hidden, *encoder.run_layers(
        range(first, encoder.config.num_hidden_layers), hidden, inputs,
        training=False, task_layers=layers)
    outputs = encoder.close(hidden, layers)
    for rows in stacks:
      if rows.key.kind == OWN_POOLER:
        outputs[OWN_POOLER] = encoder.pooled(
            outputs["sequence_output"],
            StackedPooler(rows, encoder.compute_dtype))
    mask = inputs["input_mask"]
    return {
        "embedding": tf.cast(pool(self._pooling, outputs, mask), tf.float32),
        **stacked_heads([rows for rows in stacks if rows.key.name == HEAD],
                        outputs, mask)}


class TracedModel:
  """A `StackedModel` as a graph, for all tasks whose stacks have these keys.

  The tables are arguments of the graph: so it needs no new trace where tasks
  come or go, or where tables grow.

  Args:
    model: the model.
    keys: of the tasks' stacks.
    jit_compile: whether to compile with XLA all that follows the look-up of
      each row's arrays. So what is compiled does not depend on how large the
      tables are, which XLA would read as a whole.

  Call arguments:
    tasks: the tasks.
    inputs, task_index: as for the model, and so is what is returned.
  """

  def __init__(self, model: StackedModel, keys: tuple[StackKey, ...],
               jit_compile: bool = False):
    self.keys = keys
    tokens = tf.TensorSpec([None, None], tf.int32)

    def outputs(inputs: Mapping[str, tf.Tensor],
                stacks: Sequence[tuple[tf.Tensor, Mapping[str, tf.Tensor]]],
                ) -> dict[str, tf.Tensor]:
      return model.outputs([BatchRows(key, *stack)
                            for key, stack in zip(keys, stacks)], inputs)

    if jit_compile:
      outputs = tf.function(outputs, autograph=False, jit_compile=True)

    def call(word_ids: tf.Tensor, mask: tf.Tensor, type_ids: tf.Tensor,
             task_index: tf.Tensor,
             *tensors: tf.Tensor) -> dict[str, tf.Tensor]:
      return outputs({
          "input_word_ids": word_ids, "input_mask": mask,
          "input_type_ids": type_ids}, [
              (rows.rows, rows.arrays)
              for rows in batch_rows(keys, tensors, task_index)])

    with compilation.without_kernels():
      self._graph = tf.function(
          call, autograph=False, input_signature=[
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
