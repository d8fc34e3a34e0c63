"""BERT's own layers: embeddings, and Transformer layers that tasks close."""

from typing import Any

import tensorflow as tf
import tf_keras

from tf_adapters.modeling import kernels
from tf_adapters.modeling.encoders.bert import BertConfig
from tf_adapters.modeling.layers import (
    Dropout,
    Projection,
    project,
    with_prefix,
)
from tf_adapters.modeling.methods.method import (
    ATTENTION,
    PROJECTION,
    SUBLAYER,
    Place,
)
from tf_adapters.modeling.serialization import WeightsLayer
from tf_adapters.modeling.task_layers import Hook, TaskHooks


class Embeddings(WeightsLayer):
  """The sum of word, position and segment embeddings, not yet normalised.

  Call arguments:
    word_ids, type_ids: int32 [batch, length].

  Returns:
    [batch, length, hidden_size].
  """

  def __init__(self, config: BertConfig, **kwargs: Any):
    super().__init__(**kwargs)
    self.config = config

  def build(self, input_shape=None):
    config = self.config
    self.tables = {}
    for name, rows in (("word_embeddings", config.vocab_size),
                       ("position_embedding", config.max_position_embeddings),
                       ("type_embeddings", config.type_vocab_size)):
      with tf.name_scope(name):
        self.tables[name] = self.add_weight(
            name="embeddings", shape=[rows, config.hidden_size],
            initializer=tf_keras.initializers.TruncatedNormal(stddev=0.02))
    self.built = True

  def call(self, word_ids: tf.Tensor, type_ids: tf.Tensor) -> tf.Tensor:
    length = tf.shape(word_ids)[1]
    return (tf.gather(self.tables["word_embeddings"], word_ids)
            + tf.gather(self.tables["type_embeddings"], type_ids)
            + self.tables["position_embedding"][:length])

  def named_variables(self) -> dict[str, tf.Variable]:
    return {f"{name}/embeddings": table for name, table in self.tables.items()}


class SelfAttention(tf_keras.layers.Layer):
  """Multi-head self-attention and the projection back to the hidden size.

  Query, key and value are three variables, as in every checkpoint, multiplied
  as one matrix: their concatenation is small beside the product.

  Call arguments:
    hidden: [batch, length, hidden_size].
    attention_bias: [batch, 1, 1, length], added to the attention scores.
    task: the `TaskHooks` of the encoder.

  Returns:
    [batch, length, hidden_size].
  """

  def __init__(self, config: BertConfig, number: int, **kwargs: Any):
    super().__init__(**kwargs)
    self.config = config
    self.number = number
    heads = config.num_attention_heads
    dims = (heads, config.hidden_size // heads)
    self.query, self.key, self.value = (
        Projection((config.hidden_size,), dims, name=name,
                   dtype=self.dtype_policy)
        for name in ("query", "key", "value"))
    self.attention_output = Projection(
        dims, (config.hidden_size,), name="attention_output",
        dtype=self.dtype_policy)
    self.dropout = Dropout(
        config.attention_probs_dropout_prob, dtype=self.dtype_policy)

  def _projections(self) -> tuple[Projection, ...]:
    return self.query, self.key, self.value, self.attention_output

  def build(self, input_shape=None):
    for layer in self._projections():
      with tf.name_scope(layer.name):
        layer.build()
    self.built = True

  def call(self, hidden: tf.Tensor, attention_bias: tf.Tensor,
           task: TaskHooks, training: bool | None = None) -> tf.Tensor:
    heads, size = self.query.output_dims
    batch, length = tf.shape(hidden)[0], tf.shape(hidden)[1]
    joint = self._query_key_value(hidden, task, training)
    joint = tf.reshape(joint, [batch, length, 3, heads, size])
    query, key, value = tf.unstack(
        tf.transpose(joint, [2, 0, 3, 1, 4]), num=3)
    hook = task.hook(Place(self.number, ATTENTION, "attention"))
    if hook is not None:
      *more, bias = hook(hidden, training=training)
      key, value = (
          tf.concat([tf.transpose(tf.reshape(
              one, [batch, -1, heads, size]), [0, 2, 1, 3]), other], axis=2)
          for one, other in zip(more, (key, value)))
      attention_bias = tf.concat(
          [bias[:, tf.newaxis, tf.newaxis], attention_bias], axis=-1)
    context = kernels.attention(
        query, key, value, attention_bias, self.dropout.rate,
        self.dropout.next_seed(training), training)
    context = tf.transpose(context, [0, 2, 1, 3])
    return project_by(
        self.attention_output,
        task.hook(Place(self.number, PROJECTION, "attention_output")),
        tf.reshape(context, [batch, length, heads * size]), training)

  def _query_key_value(self, hidden: tf.Tensor, task: TaskHooks,
                       training: bool | None) -> tf.Tensor:
    """[batch, length, 3 * hidden_size]."""
    parts = (self.query, self.key, self.value)
    joint = project(
        hidden, tf.concat([part.matrix() for part in parts], axis=1),
        tf.concat([tf.reshape(part.bias, [-1]) for part in parts], axis=0))
    hooks = [task.hook(Place(self.number, PROJECTION, part.name))
             for part in parts]
    if not any(hooks):
      return joint
    changed = []
    for part, hook, outputs in zip(parts, hooks, tf.split(joint, 3, axis=-1)):
      if hook is not None:
        # Who asks for the projection of what it was given gets what is there.
        outputs = hook(
            hidden, lambda x, part=part, outputs=outputs:
            outputs if x is hidden else part.project(x), training=training)
      changed.append(outputs)
    return tf.concat(changed, axis=-1)

  def named_variables(self) -> dict[str, tf.Variable]:
    variables = {}
    for layer in self._projections():
      variables.update(with_prefix(layer.name, layer.named_variables()))
    return variables


def project_by(projection: Projection, hook: Hook | None, inputs: tf.Tensor,
               training: bool | None) -> tf.Tensor:
  """A projection's outputs, with what a task puts in its place."""
  if hook is None:
    return projection(inputs, training=training)
  outputs = hook(inputs, projection.project, training=training)
  return kernels.activation_function(
      projection.activation, bool(training))(outputs)


class TransformerLayer(tf_keras.layers.Layer):
  """One layer of BERT: attention and feed-forward, each closed by a task.

  Each sub-layer ends with `LN(x + adapter(dropout(projection)))`, where the
  adapter and the layer norm are the task's (Houlsby et al., figure 2).

  Call arguments:
    hidden: [batch, length, hidden_size].
    attention_bias: [batch, 1, 1, length].
    task: the `TaskHooks` to take layer norms and a method's layers from.
  """

  def __init__(self, config: BertConfig, number: int, **kwargs: Any):
    super().__init__(**kwargs)
    self.number = number
    self.self_attention = SelfAttention(
        config, number, dtype=self.dtype_policy)
    self.intermediate = Projection(
        (config.hidden_size,), (config.intermediate_size,),
        activation=config.hidden_act, dtype=self.dtype_policy)
    self.output_projection = Projection(
        (config.intermediate_size,), (config.hidden_size,),
        dtype=self.dtype_policy)
    self.dropout = Dropout(
        config.hidden_dropout_prob, dtype=self.dtype_policy)

  def _named_layers(self) -> dict[str, tf_keras.layers.Layer]:
    return {"self_attention": self.self_attention,
            "intermediate": self.intermediate,
            "output": self.output_projection}

  def build(self, input_shape=None):
    for name, layer in self._named_layers().items():
      with tf.name_scope(name):
        layer.build()
    self.built = True

  def call(self, hidden: tf.Tensor, attention_bias: tf.Tensor,
           task: TaskHooks, training: bool | None = None) -> tf.Tensor:

    def close(sublayer, outputs, skip):
      outputs = self.dropout(outputs, training=training)
      layer_norm = task.layer_norm(self.number, sublayer)
      hook = task.hook(Place(self.number, SUBLAYER, sublayer))
      if hook is not None:
        outputs = hook(outputs, skip, layer_norm, training=training)
      return layer_norm(skip + outputs)

    def projected(projection, name, inputs):
      return project_by(
          projection, task.hook(Place(self.number, PROJECTION, name)), inputs,
          training)

    attended = self.self_attention(
        hidden, attention_bias, task, training=training)
    hidden = close("attention", attended, hidden)
    expanded = projected(self.intermediate, "intermediate", hidden)
    return close(
        "output", projected(self.output_projection, "output", expanded), hidden)

  def named_variables(self) -> dict[str, tf.Variable]:
    variables = {}
    for name, layer in self._named_layers().items():
      variables.update(with_prefix(name, layer.named_variables()))
    return variables
