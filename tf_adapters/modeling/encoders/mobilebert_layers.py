"""MobileBERT as Keras layers: trigrams, bottlenecks, stacked feed-forwards."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from tf_adapters.modeling.encoder import TransformerEncoder
from tf_adapters.modeling.encoders.mobilebert import (
    FEED_FORWARDS,
    MobileBertConfig,
)
from tf_adapters.modeling.encoders.sublayers import (
    SelfAttention,
    attended_by,
    close_by,
    project_by,
)
from tf_adapters.modeling.layers import (
    CompositeLayer,
    Dropout,
    Normal,
    Projection,
    variables_of,
)
from tf_adapters.modeling.methods.places import PROJECTION, SUBLAYER
from tf_adapters.modeling.serialization import PACKAGE, WeightsLayer
from tf_adapters.modeling.task_layers import LayerHooks, TaskHooks


class MobileBertEmbeddings(WeightsLayer):
  """Each word's embedding between its neighbours', projected, with positions.

  Beyond the ends of a row there are zeros. So the last word of the longest text
  sees these, and not the embedding of padding.

  Call arguments:
    word_ids, type_ids: int32 [batch, length].

  Returns:
    [batch, length, hidden_size], not yet normed.
  """

  def __init__(self, config: MobileBertConfig, **kwargs: Any):
    super().__init__(**kwargs)
    self.config = config
    self.projection = Projection(
        (3 * config.embedding_size,), (config.hidden_size,),
        dtype=self.dtype_policy)

  def build(self, input_shape: Any = None) -> None:
    config = self.config
    self.tables = {}
    for name, rows, width in (
        ("word_embeddings", config.vocab_size, config.embedding_size),
        ("position_embedding", config.max_position_embeddings,
         config.hidden_size),
        ("type_embeddings", config.type_vocab_size, config.hidden_size)):
      with tf.name_scope(name):
        self.tables[name] = self.add_weight(
            name="embeddings", shape=[rows, width],
            initializer=Normal(stddev=0.02))
    with tf.name_scope("embedding_projection"):
      self.projection.build()
    self.built = True

  def call(self, word_ids: tf.Tensor, type_ids: tf.Tensor) -> tf.Tensor:
    words = tf.gather(self.tables["word_embeddings"], word_ids)
    trigrams = tf.concat([
        tf.pad(words[:, 1:], [[0, 0], [0, 1], [0, 0]]), words,
        tf.pad(words[:, :-1], [[0, 0], [1, 0], [0, 0]])], axis=2)
    return (self.projection(trigrams)
            + self.tables["position_embedding"][:tf.shape(word_ids)[1]]
            + tf.gather(self.tables["type_embeddings"], type_ids))

  def named_variables(self) -> dict[str, tf.Variable]:
    return {**{f"{name}/embeddings": table
               for name, table in self.tables.items()},
            **variables_of({"embedding_projection": self.projection})}


class MobileBertAttention(SelfAttention):
  """Self-attention whose values are made of something wider.

  Call arguments:
    hidden: what queries and keys are made of, [batch, length, width].
    attention_bias, task: as for `SelfAttention`.
    wide: what values are made of, [batch, length, value_width].
  """

  def call(self, hidden: tf.Tensor, attention_bias: tf.Tensor,
           task: LayerHooks, training: bool | None = None,
           wide: tf.Tensor | None = None) -> tf.Tensor:
    query, key, value = (
        self.by_head(project_by(
            part, task.hook(PROJECTION, part.name), inputs, training))[0]
        for part, inputs in (
            (self.query, hidden), (self.key, hidden), (self.value, wide)))
    return attended_by(self.attention_output, hidden, self.attention(
        query, key, value, attention_bias, training), task, training)


class MobileBertLayer(CompositeLayer):
  """One layer of MobileBERT: narrow inside, as wide as BERT's at its ends.

  A method can enter behind attention, which is narrow, and at the end.

  Call arguments:
    hidden: [batch, length, hidden_size].
    attention_bias: [batch, 1, 1, length].
    task: what to take the layer's layer norms and a method's layers from.
  """

  def __init__(self, config: MobileBertConfig, **kwargs: Any):
    super().__init__(**kwargs)
    hidden, narrow = (config.hidden_size,), (config.intra_bottleneck_size,)
    wide = (config.intermediate_size,)

    def dense(inputs: tuple[int, ...], outputs: tuple[int, ...],
              activation: str = "linear") -> Projection:
      return Projection(inputs, outputs, activation=activation,
                        dtype=self.dtype_policy)

    self.self_attention = MobileBertAttention(
        config, config.intra_bottleneck_size, config.hidden_size,
        dtype=self.dtype_policy)
    self.bottlenecks = {
        "bottleneck_input": dense(hidden, narrow),
        "shared_bottleneck": dense(hidden, narrow),
        "bottleneck_output": dense(narrow, hidden)}
    self.feed_forwards = {}
    for number in range(FEED_FORWARDS):
      self.feed_forwards[f"ffn_{number}/intermediate"] = dense(
          narrow, wide, config.hidden_act)
      self.feed_forwards[f"ffn_{number}/output"] = dense(wide, narrow)
    self.dropout = Dropout(
        config.hidden_dropout_prob, dtype=self.dtype_policy)

  def projection(self, name: str) -> Projection:
    """Returns the layer of one of `places.PROJECTIONS`: of those in attention.
    """
    return self.self_attention.projection(name)

  def named_layers(self) -> dict[str, tf_keras.layers.Layer]:
    return {"self_attention": self.self_attention, **self.bottlenecks,
            **self.feed_forwards}

  def call(self, hidden: tf.Tensor, attention_bias: tf.Tensor,
           task: LayerHooks, training: bool | None = None) -> tf.Tensor:

    def close(name: str, outputs: tf.Tensor, skip: tf.Tensor,
              sublayer: str | None = None) -> tf.Tensor:
      hook = None if sublayer is None else task.hook(SUBLAYER, sublayer)
      return close_by(task.layer_norm(name), hook, outputs, skip, training)

    def narrowed(name: str) -> tf.Tensor:
      return task.layer_norm(f"{name}_layer_norm")(
          self.bottlenecks[name](hidden))

    attended = self.self_attention(
        narrowed("shared_bottleneck"), attention_bias, task,
        training=training, wide=hidden)
    narrow = close("self_attention_layer_norm", attended,
                   narrowed("bottleneck_input"), "attention")
    for number in range(FEED_FORWARDS):
      name = f"ffn_{number}"
      expanded = self.feed_forwards[f"{name}/intermediate"](
          narrow, training=training)
      narrow = close(f"{name}/layer_norm",
                     self.feed_forwards[f"{name}/output"](expanded), narrow)
    outputs = self.dropout(
        self.bottlenecks["bottleneck_output"](narrow), training=training)
    return close("output_layer_norm", outputs, hidden, "output")


@tf_keras.saving.register_keras_serializable(PACKAGE)
class MobileBertEncoder(TransformerEncoder):
  """A MobileBERT: see `BertEncoder` for the arguments and the outputs.

  Args:
    config: a `MobileBertConfig`.
  """

  def make_layers(self) -> None:
    config = self.config
    self.embeddings = MobileBertEmbeddings(config, dtype=self.dtype_policy)
    self.transformer_layers = [
        MobileBertLayer(config, dtype=self.dtype_policy)
        for _ in range(config.num_hidden_layers)]
    if config.classifier_activation:
      self.pooler = Projection((config.hidden_size,), (config.hidden_size,),
                               dtype=self.dtype_policy)
    self.dropout = Dropout(
        config.hidden_dropout_prob, dtype=self.dtype_policy)

  def wanted_inputs(self) -> dict[str, int | None]:
    return {**super().wanted_inputs(),
            "input_type_ids": self.config.type_vocab_size}

  def embed(self, inputs: Mapping[str, tf.Tensor],
            training: bool | None = None,
            task_layers: TaskHooks | None = None) -> tf.Tensor:
    hidden = self.embeddings(
        inputs["input_word_ids"], inputs["input_type_ids"])
    hidden = (task_layers or self.task_layers).layer_norm(
        "embeddings/layer_norm")(hidden)
    return self.dropout(hidden, training=training)
