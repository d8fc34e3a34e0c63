"""BERT as Keras layers: embeddings, Transformer layers, and the encoder."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from tf_adapters.modeling import compilation, kernels
from tf_adapters.modeling.encoder import TransformerEncoder
from tf_adapters.modeling.encoders.transformer import TransformerConfig
from tf_adapters.modeling.layers import (
    Attention,
    CompositeLayer,
    Dropout,
    LinearProjection,
    Normal,
    Projection,
    project,
)
from tf_adapters.modeling.methods.method import (
    ATTENTION,
    PROJECTION,
    SUBLAYER,
)
from tf_adapters.modeling.serialization import PACKAGE, WeightsLayer
from tf_adapters.modeling.task_layers import Hook, LayerHooks, TaskHooks

# Sub-layer -> the layer norm that closes it.
_LAYER_NORMS = {"attention": "self_attention_layer_norm",
                "output": "output_layer_norm"}


class Embeddings(WeightsLayer):
  """The sum of word, position and segment embeddings, not yet normalised.

  Call arguments:
    word_ids, type_ids: int32 [batch, length]; without type_ids there are no
      segments.

  Returns:
    [batch, length, embedding_width].
  """

  def __init__(self, config: TransformerConfig, **kwargs: Any):
    super().__init__(**kwargs)
    self.config = config

  def build(self, input_shape: Any = None) -> None:
    config = self.config
    self.tables = {}
    for name, rows in (("word_embeddings", config.vocab_size),
                       ("position_embedding", config.max_position_embeddings),
                       ("type_embeddings", config.type_vocab_size)):
      if not rows:
        continue
      with tf.name_scope(name):
        self.tables[name] = self.add_weight(
            name="embeddings", shape=[rows, config.embedding_width],
            initializer=Normal(stddev=0.02))
    self.built = True

  def call(self, word_ids: tf.Tensor,
           type_ids: tf.Tensor | None = None) -> tf.Tensor:
    length = tf.shape(word_ids)[1]
    hidden = tf.gather(self.tables["word_embeddings"], word_ids)
    if type_ids is not None:
      hidden += tf.gather(self.tables["type_embeddings"], type_ids)
    first = self.config.first_position
    return hidden + self.tables["position_embedding"][first:first + length]

  def named_variables(self) -> dict[str, tf.Variable]:
    return {f"{name}/embeddings": table for name, table in self.tables.items()}


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
    """One of those that a method can change."""
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

  def by_head(self, parts: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Queries, keys and values, each [batch, heads, length, size].

    Args:
      parts: all three as one tensor [batch, length, 3 * width], or each as one
        of its own.
    """
    heads, size = self.query.output_dims
    count = 3 // len(parts)  # in each
    by_head: list[tf.Tensor] = []
    for part in parts:
      batch, length = tf.shape(part)[0], tf.shape(part)[1]
      part = tf.reshape(part, [batch, length, count, heads, size])
      by_head += tf.unstack(tf.transpose(part, [2, 0, 3, 1, 4]), num=count)
    return by_head

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
      # What is one product would have to be cut into three, and turned. One
      # alone has the order of axes that is wanted, if no bias is in between.
      by_head = self.by_head([
          project(one, part.matrix(), None) if hook is None
          else project_by(part, hook, one, training)
          for one, part, hook in zip(
              (asking, hidden, hidden), parts, hooks)])
      return [one + part.bias[:, tf.newaxis] if hook is None else one
              for one, part, hook in zip(by_head, parts, hooks)]
    joint = project(
        hidden, tf.concat([part.matrix() for part in parts], axis=1),
        tf.concat([tf.reshape(part.bias, [-1]) for part in parts], axis=0))
    if not any(hooks):
      return self.by_head([joint])
    changed = []
    for part, hook, outputs in zip(parts, hooks, tf.split(joint, 3, axis=-1)):
      if hook is not None:
        outputs = hook(hidden, LinearProjection(part, hidden, outputs),
                       training=training)
      changed.append(outputs)
    return self.by_head(changed)


def project_by(projection: Projection, hook: Hook | None, inputs: tf.Tensor,
               training: bool | None) -> tf.Tensor:
  """A projection's outputs, with what a task puts in its place."""
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


def close_by(layer_norm: Callable[[tf.Tensor], tf.Tensor], hook: Hook | None,
             outputs: tf.Tensor, skip: tf.Tensor,
             training: bool | None) -> tf.Tensor:
  """The end of a sub-layer: what a task puts behind it, the sum, the norm.

  Args:
    layer_norm: of the sum; `tf.identity` where layer norms come first.
    hook: what a task has there.
    outputs: of the sub-layer.
    skip: what is added to them.
    training: as for the layer's call.
  """
  if hook is not None:
    outputs = hook(outputs, skip, layer_norm, training=training)
  return layer_norm(skip + outputs)


class Block(CompositeLayer):
  """Attention, and a feed-forward of two projections.

  Attributes:
    self_attention: has a method `projection`.
    intermediate, output_projection: of the feed-forward.
    offers_first_only: whether a call takes `first_only`.
  """

  offers_first_only = False
  self_attention: Any
  intermediate: Projection
  output_projection: Projection

  def named_layers(self) -> dict[str, tf_keras.layers.Layer]:
    return {"self_attention": self.self_attention,
            "intermediate": self.intermediate,
            "output": self.output_projection}

  def projection(self, name: str) -> Any:
    """The layer of one of `method.PROJECTIONS`."""
    own = {"intermediate": self.intermediate, "output": self.output_projection}
    return own.get(name) or self.self_attention.projection(name)


class TransformerLayer(Block):
  """One layer of BERT: attention and feed-forward, each closed by a task.

  Each sub-layer ends with `LN(x + adapter(dropout(projection)))`, where the
  adapter and the layer norm are the task's (Houlsby et al., figure 2).

  Call arguments:
    hidden: [batch, length, hidden_size].
    attention_bias: [batch, 1, 1, length].
    task: what to take the layer's layer norms and a method's layers from.
    first_only: whether outputs are wanted for the first token alone, [batch, 1,
      hidden_size].
  """

  attention_class: type[SelfAttention] = SelfAttention
  offers_first_only = True

  def __init__(self, config: TransformerConfig, **kwargs: Any):
    super().__init__(**kwargs)
    self.self_attention = self.attention_class(
        config, dtype=self.dtype_policy)
    self.intermediate = Projection(
        (config.hidden_size,), (config.intermediate_size,),
        activation=config.hidden_act, dtype=self.dtype_policy)
    self.output_projection = Projection(
        (config.intermediate_size,), (config.hidden_size,),
        dtype=self.dtype_policy)
    self.dropout = Dropout(
        config.hidden_dropout_prob, dtype=self.dtype_policy)

  def call(self, hidden: tf.Tensor, attention_bias: tf.Tensor,
           task: LayerHooks, training: bool | None = None,
           first_only: bool = False) -> tf.Tensor:

    def close(sublayer: str, outputs: tf.Tensor, skip: tf.Tensor) -> tf.Tensor:
      return close_by(
          task.layer_norm(_LAYER_NORMS[sublayer]),
          task.hook(SUBLAYER, sublayer),
          self.dropout(outputs, training=training), skip, training)

    def projected(projection: Projection, name: str,
                  inputs: tf.Tensor) -> tf.Tensor:
      return project_by(
          projection, task.hook(PROJECTION, name), inputs, training)

    if first_only:
      first = kernels.first_token(hidden)
      attended = self.self_attention.attend(
          first, hidden, attention_bias, task, training)
      hidden = first
    else:
      attended = self.self_attention(
          hidden, attention_bias, task, training=training)
    hidden = close("attention", attended, hidden)
    expanded = self.expand(
        projected(self.intermediate, "intermediate", hidden), hidden)
    return close(
        "output", projected(self.output_projection, "output", expanded), hidden)

  def expand(self, expanded: tf.Tensor, hidden: tf.Tensor) -> tf.Tensor:
    """Makes the inputs of the output projection."""
    del hidden
    return expanded


@tf_keras.saving.register_keras_serializable(PACKAGE)
class BertEncoder(TransformerEncoder):
  """A BERT whose layer norms, and what a method adds, belong to a task.

  It is the encoder of all families with BERT's layers: what their embeddings
  are, and whether layers share weights, is told by the configuration.

  A Keras layer with the inputs and outputs of TF Hub's BERT v4. All variables
  exist from the start; `load_encoder` makes one with pretrained weights.

  With dtype "mixed_bfloat16" it computes in bfloat16. With "bfloat16" the
  pretrained weights are held in it too, in half the memory, and cannot train;
  what a task owns stays float32: a method's layers, layer norms, the head.

  Args:
    config: the architecture.
    task_layers: what a task owns; None for a plain BERT.
    vocabulary: what the checkpoint says of text, for `text_processor`.
    origin: where the pretrained weights came from, for adapter files.
    tuning: what trains, see `tune`; the method's where there is one, else full,
      or the head alone where the weights are bfloat16.
    pooling: how the pretrained weights want texts to be pooled, which heads do
      unless they are told otherwise: see `heads.Head`.

  Call arguments:
    inputs: dict of int32 tensors [batch, length]: "input_word_ids",
      "input_mask" (1 = text, 0 = padding) and, where there are segments,
      "input_type_ids".
      "prefix_output" [batch, length, hidden_size], from the method of that
      name, takes the place of word ids and type ids: only the layers from
      `frozen_prefix` on are computed.

  Returns:
    A dict: "sequence_output" [batch, length, hidden_size], "pooled_output" and
    its alias "default" [batch, hidden_size], and "encoder_outputs", the list of
    the output of every layer that was computed.

  Raises:
    InputError: the parts do not fit one another.

  Example:
    >>> encoder = BertEncoder(BertConfig(
    ...     vocab_size=99, hidden_size=8, num_hidden_layers=2,
    ...     num_attention_heads=2, intermediate_size=16))
    >>> ids = tf.ones([1, 5], tf.int32)
    >>> encoder({"input_word_ids": ids, "input_mask": ids,
    ...          "input_type_ids": ids})["pooled_output"].shape
    TensorShape([1, 8])
  """

  layer_class: type[TransformerLayer] = TransformerLayer
  embeddings_class: type[Any] = Embeddings

  def make_layers(self) -> None:
    config: TransformerConfig = self.config
    self.embeddings = self.embeddings_class(config, dtype=self.dtype_policy)
    self.embedding_projection: Projection | None = None
    if config.embedding_width != config.hidden_size:
      self.embedding_projection = Projection(
          (config.embedding_width,), (config.hidden_size,),
          dtype=self.dtype_policy)
    layers = [self.layer_class(config, dtype=self.dtype_policy) for _ in range(
        1 if config.shares_layers else config.num_hidden_layers)]
    self.transformer_layers = [
        layers[number % len(layers)]
        for number in range(config.num_hidden_layers)]
    if config.has_pooler:
      self.pooler = Projection((config.hidden_size,), (config.hidden_size,),
                               dtype=self.dtype_policy)
    self.dropout = Dropout(
        config.hidden_dropout_prob, dtype=self.dtype_policy)

  def base_layers(self) -> dict[str, Any]:
    layers = super().base_layers()
    return layers if self.embedding_projection is None else {
        "embedding_projection": self.embedding_projection, **layers}

  def wanted_inputs(self) -> dict[str, int | None]:
    wanted, types = super().wanted_inputs(), self.config.type_vocab_size
    return {**wanted, "input_type_ids": types} if types else wanted

  def embed(self, inputs: Mapping[str, tf.Tensor],
            training: bool | None = None,
            task_layers: TaskHooks | None = None) -> tf.Tensor:
    names = ["input_word_ids"]
    if self.config.type_vocab_size:
      names.append("input_type_ids")
    hidden = self.embeddings(*(inputs[name] for name in names))
    hidden = (task_layers or self.task_layers).layer_norm(
        "embeddings/layer_norm")(hidden)
    hidden = self.dropout(hidden, training=training)
    if self.embedding_projection is not None:
      hidden = self.embedding_projection(hidden)
    return hidden
