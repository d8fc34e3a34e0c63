"""Sub-layers of Transformer layers, and what a task puts into them.

Self-attention as in BERT, and the steps of any sub-layer: a projection, the
attention, and the end with its layer norm. Each asks for the hook of its place.
"""

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras

from tf_adapters.modeling import compilation, kernels
from tf_adapters.modeling.encoders.transformer import TransformerConfig
from tf_adapters.modeling.layers import (
    Attention,
    CompositeLayer,
    Dropout,
    LinearProjection,
    Projection,
    project,
)
from tf_adapters.modeling.methods.places import ATTENTION, PROJECTION
from tf_adapters.modeling.task_layers import Hook, LayerHooks


class SelfAttention(CompositeLayer):
  """Multi-head self-attention and the projection back to the hidden size.

  Query, key and value are three variables, as in every checkpoint, multiplied
  as one matrix: their concatenation is small beside the product.

  Args:
    config: the architecture.
    width: of the inputs and outputs; None for the hidden size.
    value_width: of what values are made of, where that is another one.

  Call arguments:
    hidden: [batch, length, width].
    attention_bias: [batch, 1, 1, length], added to the attention scores.
    task: what the task has in the layer.

  Returns:
    [batch, length, width].
  """

  def __init__(self, config: TransformerConfig, width: int | None = None,
               value_width: int | None = None, **kwargs: Any):
    super().__init__(**kwargs)
    self.config = config
    heads = config.num_attention_heads
    width = width or config.hidden_size
    dims = (heads, width // heads)
    self.query, self.key, self.value = (
        Projection((size,), dims, name=name, dtype=self.dtype_policy)
        for name, size in (("query", width), ("key", width),
                           ("value", value_width or width)))
    self.attention_output = Projection(
        dims, (width,), name="attention_output", dtype=self.dtype_policy)
    self.dropout = Dropout(
        config.attention_probs_dropout_prob, dtype=self.dtype_policy)

  def named_layers(self) -> dict[str, tf_keras.layers.Layer]:
    return {layer.name: layer for layer in (
        self.query, self.key, self.value, self.attention_output)}

  def projection(self, name: str) -> Projection:
    """Returns one of the projections that a method can change."""
    return self.named_layers()[name]

  def call(self, hidden: tf.Tensor, attention_bias: tf.Tensor,
           task: LayerHooks, training: bool | None = None) -> tf.Tensor:
    return self.attend(hidden, hidden, attention_bias, task, training)

  def attend(self, asking: tf.Tensor, hidden: tf.Tensor,
             attention_bias: tf.Tensor, task: LayerHooks,
             training: bool | None) -> tf.Tensor:
    """Computes what a call does, for some tokens that attend to all.

    Args:
      asking: of those tokens, [batch, some, width].
      hidden, attention_bias, task, training: as for a call.

    Returns:
      [batch, some, width].
    """
    query, key, value = self.query_key_value(hidden, task, training, asking)
    return attended_by(self.attention_output, asking, self.attention(
        query, key, value, attention_bias, training), task, training)

  def by_head(self, outputs: tf.Tensor, count: int = 1) -> list[tf.Tensor]:
    """Splits outputs of projections by heads.

    Args:
      outputs: [batch, length, count * width].
      count: of the projections.

    Returns:
      Of each projection [batch, heads, length, size].
    """
    heads, size = self.query.output_dims
    batch, length = tf.shape(outputs)[0], tf.shape(outputs)[1]
    outputs = tf.reshape(outputs, [batch, length, count, heads, size])
    return tf.unstack(tf.transpose(outputs, [2, 0, 3, 1, 4]), num=count)

  def attention(self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor,
                attention_bias: tf.Tensor,
                training: bool | None) -> Attention:
    """Returns the attention of queries, keys and values, to be computed."""
    return Attention(
        query, key, value, attention_bias, self.dropout.rate,
        self.dropout.next_seed(training), training)

  def query_key_value(self, hidden: tf.Tensor, task: LayerHooks,
                      training: bool | None,
                      asking: tf.Tensor | None = None) -> list[tf.Tensor]:
    """Computes queries, keys and values, each [batch, heads, length, size].

    Args:
      hidden, task, training: as for a call.
      asking: what queries are made of; None for `hidden`.
    """
    asking = hidden if asking is None else asking
    parts = (self.query, self.key, self.value)
    hooks = [task.hook(PROJECTION, part.name) for part in parts]
    if asking is not hidden or compilation.in_one_program():
      # What is one product would have to be cut into three, and turned.
      return [
          self._projected(part, one) if hook is None
          else self.by_head(project_by(part, hook, one, training))[0]
          for one, part, hook in zip((asking, hidden, hidden), parts, hooks)]
    joint = project(
        hidden, tf.concat([part.matrix() for part in parts], axis=1),
        tf.concat([tf.reshape(part.bias, [-1]) for part in parts], axis=0))
    if not any(hooks):
      return self.by_head(joint, 3)
    changed = []
    for part, hook, outputs in zip(parts, hooks, tf.split(joint, 3, axis=-1)):
      if hook is not None:
        outputs = hook(hidden, LinearProjection(part, hidden, outputs),
                       training=training)
      changed.append(outputs)
    return [self.by_head(outputs)[0] for outputs in changed]

  def _projected(self, part: Projection, inputs: tf.Tensor) -> tf.Tensor:
    """Returns a projection's outputs, [batch, heads, length, size].

    The product has the order of axes that is wanted, if no bias is in between.
    """
    if compilation.in_one_program():
      # A product of tensors, not of matrices: with these XLA would write the
      # gradient of the outputs to memory, and not join the two products.
      outputs = tf.einsum("bln,nhs->bhls", inputs, part.kernel)
    else:
      outputs, = self.by_head(project(inputs, part.matrix(), None))
    return outputs + part.bias[:, tf.newaxis]


def project_by(projection: Projection, hook: Hook | None, inputs: tf.Tensor,
               training: bool | None) -> tf.Tensor:
  """Computes a projection, with what a task puts in its place."""
  if hook is None:
    return projection(inputs, training=training)
  outputs = hook(inputs, LinearProjection(projection), training=training)
  return kernels.activation_function(
      projection.activation, bool(training))(outputs)


def attended_by(projection: Projection, hidden: tf.Tensor,
                attention: Attention, task: LayerHooks,
                training: bool | None) -> tf.Tensor:
  """Computes attention, or a task's in its place, and projects the outputs.

  Args:
    projection: of the outputs of all heads.
    hidden: what queries, keys and values are made of, [batch, length, width].
    attention: of these.
    task, training: as for the layer's call.
  """
  hook = task.hook(ATTENTION, "attention")
  context = attention() if hook is None else hook(
      hidden, attention, training=training)
  shape = tf.shape(hidden)
  return project_by(
      projection, task.hook(PROJECTION, "attention_output"),
      tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [
          shape[0], shape[1], math.prod(projection.input_dims)]), training)


def close_by(layer_norm: Callable[..., tf.Tensor], hook: Hook | None,
             outputs: tf.Tensor, skip: tf.Tensor,
             training: bool | None) -> tf.Tensor:
  """Ends a sub-layer: what a task puts behind it, the sum, the layer norm.

  Args:
    layer_norm: of the sum of what it is given, see `LayerNorm`.
    hook: what a task has there.
    outputs: of the sub-layer.
    skip: what is added to them.
    training: as for the layer's call.
  """
  if hook is not None:
    outputs = hook(outputs, skip, layer_norm, training=training)
  return layer_norm(skip, outputs)


class Block(CompositeLayer):
  """Attention, and a feed-forward of two projections.

  Attributes:
    self_attention: has a method `projection`.
    intermediate, output_projection: of the feed-forward.
  """

  self_attention: Any
  intermediate: Projection
  output_projection: Projection

  def named_layers(self) -> dict[str, tf_keras.layers.Layer]:
    return {"self_attention": self.self_attention,
            "intermediate": self.intermediate,
            "output": self.output_projection}

  def projection(self, name: str) -> Any:
    """Returns the layer of one of `places.PROJECTIONS`."""
    own = {"intermediate": self.intermediate, "output": self.output_projection}
    return own.get(name) or self.self_attention.projection(name)
