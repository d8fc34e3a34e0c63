"""BERT as Keras layers: embeddings, Transformer layers, and the encoder."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from tf_adapters.modeling import compilation
from tf_adapters.modeling.encoder import TransformerEncoder
from tf_adapters.modeling.encoders.sublayers import (
    Block,
    SelfAttention,
    close_by,
    project_by,
)
from tf_adapters.modeling.encoders.transformer import TransformerConfig
from tf_adapters.modeling.layers import Dropout, Normal, Projection
from tf_adapters.modeling.methods.places import PROJECTION, SUBLAYER
from tf_adapters.modeling.serialization import PACKAGE, WeightsLayer
from tf_adapters.modeling.task_layers import LayerHooks, TaskHooks

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
    if not first_only:
      return self._compute(
          hidden, self.self_attention(
              hidden, attention_bias, task, training=training),
          task, training)
    with compilation.without_kernels():
      first = _first_token(hidden)
      return self._compute(
          first, self.self_attention.attend(
              first, hidden, attention_bias, task, training), task, training)

  def _compute(self, hidden: tf.Tensor, attended: tf.Tensor,
               task: LayerHooks, training: bool | None) -> tf.Tensor:
    """Computes a call of what goes in and of what attention makes of it."""

    def close(sublayer: str, outputs: tf.Tensor, skip: tf.Tensor) -> tf.Tensor:
      return close_by(
          task.layer_norm(_LAYER_NORMS[sublayer]),
          task.hook(SUBLAYER, sublayer),
          self.dropout(outputs, training=training), skip, training)

    def projected(projection: Projection, name: str,
                  inputs: tf.Tensor) -> tf.Tensor:
      return project_by(
          projection, task.hook(PROJECTION, name), inputs, training)

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

  offers_first_only = True
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


def _first_token(hidden: tf.Tensor) -> tf.Tensor:
  """Takes [batch, 1, size] of [batch, length, size]."""
  _, length, size = hidden.shape
  if length is None or not compilation.in_one_program():
    return hidden[:, :1]
  # As rows of a matrix: or XLA would let the length come first, for all that
  # is computed before.
  return tf.reshape(hidden, [-1, size])[::length, tf.newaxis]
