"""BERT's own layers: embeddings, and Transformer layers that tasks close."""

from typing import Any

import tensorflow as tf
import tf_keras

from tf_adapters.modeling import kernels
from tf_adapters.modeling.adapter import TaskLayers
from tf_adapters.modeling.encoders.bert import BertConfig
from tf_adapters.modeling.layers import (
    Dropout,
    Projection,
    project,
    with_prefix,
)
from tf_adapters.modeling.serialization import WeightsLayer


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

  Returns:
    [batch, length, hidden_size].
  """

  def __init__(self, config: BertConfig, **kwargs: Any):
    super().__init__(**kwargs)
    self.config = config
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
           training: bool | None = None) -> tf.Tensor:
    parts = (self.query, self.key, self.value)
    heads, size = self.query.output_dims
    joint = project(
        hidden, tf.concat([part.matrix() for part in parts], axis=1),
        tf.concat([tf.reshape(part.bias, [-1]) for part in parts], axis=0))
    batch, length = tf.shape(hidden)[0], tf.shape(hidden)[1]
    joint = tf.reshape(joint, [batch, length, 3, heads, size])
    query, key, value = tf.unstack(
        tf.transpose(joint, [2, 0, 3, 1, 4]), num=3)
    context = kernels.attention(
        query, key, value, attention_bias, self.dropout.rate,
        self.dropout.next_seed(training), training)
    context = tf.transpose(context, [0, 2, 1, 3])
    return self.attention_output(
        tf.reshape(context, [batch, length, heads * size]))

  def named_variables(self) -> dict[str, tf.Variable]:
    variables = {}
    for layer in self._projections():
      variables.update(with_prefix(layer.name, layer.named_variables()))
    return variables


class TransformerLayer(tf_keras.layers.Layer):
  """One layer of BERT: attention and feed-forward, each closed by a task.

  Each sub-layer ends with `LN(x + adapter(dropout(projection)))`, where the
  adapter and the layer norm are the task's (Houlsby et al., figure 2).

  Call arguments:
    hidden: [batch, length, hidden_size].
    attention_bias: [batch, 1, 1, length].
    task_layers: the `TaskLayers` to take adapters and layer norms from.
  """

  def __init__(self, config: BertConfig, number: int, **kwargs: Any):
    super().__init__(**kwargs)
    self.number = number
    self.self_attention = SelfAttention(config, dtype=self.dtype_policy)
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
           task_layers: TaskLayers,
           training: bool | None = None) -> tf.Tensor:

    def close(place, projection, skip):
      projection = self.dropout(projection, training=training)
      adapter = task_layers.adapter(self.number, place)
      if adapter is not None:
        projection = adapter(projection, skip, training=training)
      layer_norm = task_layers.layer_norm(self.number, place)
      return layer_norm(skip + projection)

    attended = self.self_attention(hidden, attention_bias, training=training)
    hidden = close("attention", attended, hidden)
    expanded = self.intermediate(hidden, training=training)
    return close("output", self.output_projection(expanded), hidden)

  def named_variables(self) -> dict[str, tf.Variable]:
    variables = {}
    for name, layer in self._named_layers().items():
      variables.update(with_prefix(name, layer.named_variables()))
    return variables
