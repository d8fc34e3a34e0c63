"""BERT as Keras layers: embeddings, Transformer layers, and the encoder."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from tf_adapters.modeling import kernels
from tf_adapters.modeling.encoder import TransformerEncoder
from tf_adapters.modeling.encoders.bert import BERT, BertConfig
from tf_adapters.modeling.layers import (
    Attention,
    Dropout,
    LinearProjection,
    Normal,
    Projection,
    project,
    variables_of,
)
from tf_adapters.modeling.methods.method import (
    ATTENTION,
    PROJECTION,
    SUBLAYER,
    Place,
)
from tf_adapters.modeling.serialization import PACKAGE, WeightsLayer
from tf_adapters.modeling.task_layers import Hook, TaskHooks

# Sub-layer -> the layer norm that closes it.
_LAYER_NORMS = {"attention": "self_attention_layer_norm",
                "output": "output_layer_norm"}


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

  def build(self, input_shape: Any = None) -> None:
    config = self.config
    self.tables = {}
    for name, rows in (("word_embeddings", config.vocab_size),
                       ("position_embedding", config.max_position_embeddings),
                       ("type_embeddings", config.type_vocab_size)):
      with tf.name_scope(name):
        self.tables[name] = self.add_weight(
            name="embeddings", shape=[rows, config.hidden_size],
            initializer=Normal(stddev=0.02))
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

  def projections(self) -> tuple[Projection, ...]:
    """Those that a method can change."""
    return self.query, self.key, self.value, self.attention_output

  def build(self, input_shape: Any = None) -> None:
    for layer in self.projections():
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
    attention = Attention(
        query, key, value, attention_bias, self.dropout.rate,
        self.dropout.next_seed(training), training)
    hook = task.hook(Place(self.number, ATTENTION, "attention"))
    context = attention() if hook is None else hook(
        hidden, attention, training=training)
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
        outputs = hook(hidden, LinearProjection(part, hidden, outputs),
                       training=training)
      changed.append(outputs)
    return tf.concat(changed, axis=-1)

  def named_variables(self) -> dict[str, tf.Variable]:
    return variables_of({layer.name: layer for layer in self.projections()})


def project_by(projection: Projection, hook: Hook | None, inputs: tf.Tensor,
               training: bool | None) -> tf.Tensor:
  """A projection's outputs, with what a task puts in its place."""
  if hook is None:
    return projection(inputs, training=training)
  outputs = hook(inputs, LinearProjection(projection), training=training)
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

  def projection(self, name: str) -> Projection:
    """The layer of one of `method.PROJECTIONS`."""
    inside = {layer.name: layer for layer in self.self_attention.projections()}
    return {**inside, "intermediate": self.intermediate,
            "output": self.output_projection}[name]

  def _named_layers(self) -> dict[str, tf_keras.layers.Layer]:
    return {"self_attention": self.self_attention,
            "intermediate": self.intermediate,
            "output": self.output_projection}

  def build(self, input_shape: Any = None) -> None:
    for name, layer in self._named_layers().items():
      with tf.name_scope(name):
        layer.build()
    self.built = True

  def call(self, hidden: tf.Tensor, attention_bias: tf.Tensor,
           task: TaskHooks, training: bool | None = None) -> tf.Tensor:

    def close(sublayer: str, outputs: tf.Tensor, skip: tf.Tensor) -> tf.Tensor:
      outputs = self.dropout(outputs, training=training)
      layer_norm = task.layer_norm(
          f"transformer/layer_{self.number}/{_LAYER_NORMS[sublayer]}")
      hook = task.hook(Place(self.number, SUBLAYER, sublayer))
      if hook is not None:
        outputs = hook(outputs, skip, layer_norm, training=training)
      return layer_norm(skip + outputs)

    def projected(projection: Projection, name: str,
                  inputs: tf.Tensor) -> tf.Tensor:
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
    return variables_of(self._named_layers())


@tf_keras.saving.register_keras_serializable(PACKAGE)
class BertEncoder(TransformerEncoder):
  """A BERT whose layer norms, and what a method adds, belong to a task.

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
      "input_mask" (1 = text, 0 = padding) and "input_type_ids".
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

  family = BERT.name

  def make_layers(self) -> None:
    config = self.config
    self.embeddings = Embeddings(config, dtype=self.dtype_policy)
    self.transformer_layers = [
        TransformerLayer(config, number, dtype=self.dtype_policy)
        for number in range(config.num_hidden_layers)]
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
