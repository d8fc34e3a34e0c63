"""ModernBERT as Keras layers: rotary attention, a gated feed-forward."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tf_adapters.modeling import kernels
from tf_adapters.modeling.encoder import TransformerEncoder
from tf_adapters.modeling.encoders.modernbert import ModernBertConfig
from tf_adapters.modeling.encoders.sublayers import (
    Block,
    attended_by,
    close_by,
    project_by,
)
from tf_adapters.modeling.layers import (
    Attention,
    CompositeLayer,
    Dropout,
    LinearProjection,
    Normal,
    Projection,
    project,
)
from tf_adapters.modeling.methods.method import Weights
from tf_adapters.modeling.methods.places import PROJECTION, SUBLAYER
from tf_adapters.modeling.serialization import PACKAGE, WeightsLayer
from tf_adapters.modeling.task_layers import LayerHooks, TaskHooks

_PARTS = ("query", "key", "value")


class WordEmbeddings(WeightsLayer):
  """The table of word embeddings, not yet normalised.

  Call arguments:
    word_ids: int32 [batch, length].

  Returns:
    [batch, length, hidden_size].
  """

  def __init__(self, config: ModernBertConfig, **kwargs: Any):
    super().__init__(**kwargs)
    self.config = config

  def build(self, input_shape: Any = None) -> None:
    with tf.name_scope("word_embeddings"):
      self.table = self.add_weight(
          name="embeddings",
          shape=[self.config.vocab_size, self.config.hidden_size],
          initializer=Normal(stddev=0.02))
    self.built = True

  def call(self, word_ids: tf.Tensor) -> tf.Tensor:
    return tf.gather(self.table, word_ids)

  def named_variables(self) -> dict[str, tf.Variable]:
    return {"word_embeddings/embeddings": self.table}


class Third:
  """Query, key or value of a projection that computes all three.

  A method sees it as a projection of its own.

  Args:
    joint: the projection, [inputs, 3 * outputs].
    number: which third it is.
  """

  def __init__(self, joint: Projection, number: int):
    self._joint = joint
    self._number = number

  def kernel_and_bias(self) -> Weights:
    """As those of `Projection`."""
    kernel, bias = self._joint.kernel_and_bias()
    return Weights(tf.split(kernel, 3, axis=1)[self._number],
                   tf.split(bias, 3)[self._number])

  def project(self, inputs: tf.Tensor) -> tf.Tensor:
    """As `Projection.project`."""
    return project(inputs, self.kernel_and_bias().kernel, None)

  def assign(self, kernel: np.ndarray, bias: np.ndarray) -> None:
    """As `Projection.assign`."""
    whole = self._joint.kernel_and_bias().kernel.numpy()
    size = whole.shape[1] // 3
    whole[:, self._number * size:(self._number + 1) * size] = kernel
    self._joint.assign(whole, np.tile(bias, 3))


class RotaryAttention(CompositeLayer):
  """Multi-head self-attention with rotary positions (Su et al. 2021).

  Call arguments:
    hidden: [batch, length, hidden_size].
    attention_bias: [batch, 1, 1, length], added to the attention scores.
    task: what the task has in the layer.

  Returns:
    [batch, length, hidden_size].
  """

  def __init__(self, config: ModernBertConfig, sees_all: bool, **kwargs: Any):
    super().__init__(**kwargs)
    hidden = config.hidden_size
    self.config = config
    self.window = None if sees_all else config.local_attention // 2
    self.theta = config.global_rope_theta if sees_all else (
        config.local_rope_theta)
    self.query_key_value = Projection(
        (hidden,), (3 * hidden,), use_bias=False, dtype=self.dtype_policy)
    self.attention_output = Projection(
        (hidden,), (hidden,), use_bias=False, dtype=self.dtype_policy)
    self.dropout = Dropout(config.attention_dropout, dtype=self.dtype_policy)

  def named_layers(self) -> dict[str, tf_keras.layers.Layer]:
    return {"query_key_value": self.query_key_value,
            "attention_output": self.attention_output}

  def projection(self, name: str) -> Any:
    """Returns one of the projections that a method can change."""
    if name in _PARTS:
      return Third(self.query_key_value, _PARTS.index(name))
    return self.named_layers()[name]

  def call(self, hidden: tf.Tensor, attention_bias: tf.Tensor,
           task: LayerHooks, training: bool | None = None) -> tf.Tensor:
    heads = self.config.num_attention_heads
    size = self.config.hidden_size // heads
    batch, length = tf.shape(hidden)[0], tf.shape(hidden)[1]

    def by_head(values: tf.Tensor) -> tf.Tensor:
      return tf.transpose(
          tf.reshape(values, [batch, -1, heads, size]), [0, 2, 1, 3])

    query, key, value = map(
        by_head, self._query_key_value(hidden, task, training))
    query, key = (rotate(one, self.theta) for one in (query, key))
    if self.window is not None:
      places = tf.range(length)
      is_far = tf.abs(places[:, tf.newaxis] - places) > self.window
      attention_bias += tf.where(is_far, kernels.MASKED, 0.0)
    attention = Attention(
        query, key, value, attention_bias, self.dropout.rate,
        self.dropout.next_seed(training), training)
    return attended_by(
        self.attention_output, hidden, attention, task, training)

  def _query_key_value(self, hidden: tf.Tensor, task: LayerHooks,
                       training: bool | None) -> list[tf.Tensor]:
    parts = tf.split(self.query_key_value(hidden), 3, axis=-1)
    for number, name in enumerate(_PARTS):
      hook = task.hook(PROJECTION, name)
      if hook is not None:
        third = LinearProjection(self.projection(name), hidden, parts[number])
        parts[number] = hook(hidden, third, training=training)
    return parts


def rotate(values: tf.Tensor, theta: float) -> tf.Tensor:
  """Turns pairs of numbers by angles that grow with the position.

  Number i of a vector and the one half a vector further are a pair; its angle
  is position / theta ** (2 i / size).

  Args:
    values: [batch, heads, length, size].
    theta: the base.
  """
  size = values.shape[-1]
  rates = 1.0 / theta ** (np.arange(0, size, 2, dtype=np.float32) / size)
  angles = tf.cast(tf.range(tf.shape(values)[2]), tf.float32)[
      :, tf.newaxis] * rates.astype(np.float32)
  cosines, sines = (tf.cast(function(angles), values.dtype)
                    for function in (tf.cos, tf.sin))
  first, second = tf.split(values, 2, axis=-1)
  return tf.concat([first * cosines - second * sines,
                    second * cosines + first * sines], axis=-1)


def _no_norm(hidden: tf.Tensor, added: tf.Tensor | None = None) -> tf.Tensor:
  """Takes the place of a sub-layer's layer norm where that comes first."""
  return hidden if added is None else hidden + added


class ModernBertLayer(Block):
  """One layer of ModernBERT: each sub-layer sees a layer norm of the stream.

  What a sub-layer gives is added to the stream. A task's adapter stands between
  the two: `x + adapter(sub-layer(LN(x)))`.

  Call arguments:
    hidden: [batch, length, hidden_size].
    attention_bias: [batch, 1, 1, length].
    task: what to take the layer's layer norms and a method's layers from.
  """

  def __init__(self, config: ModernBertConfig, number: int, **kwargs: Any):
    super().__init__(**kwargs)
    # The embeddings' layer norm stands in front of the first one.
    self.normalises = number > 0
    self.self_attention = RotaryAttention(
        config, config.sees_all(number), dtype=self.dtype_policy)
    self.intermediate = Projection(
        (config.hidden_size,), (2 * config.intermediate_size,), use_bias=False,
        dtype=self.dtype_policy)
    self.output_projection = Projection(
        (config.intermediate_size,), (config.hidden_size,), use_bias=False,
        dtype=self.dtype_policy)
    self.activation = config.hidden_act
    self.attention_dropout = Dropout(
        config.attention_dropout, dtype=self.dtype_policy)
    self.mlp_dropout = Dropout(config.mlp_dropout, dtype=self.dtype_policy)

  def call(self, hidden: tf.Tensor, attention_bias: tf.Tensor,
           task: LayerHooks, training: bool | None = None) -> tf.Tensor:

    def add(sublayer: str, outputs: tf.Tensor, stream: tf.Tensor) -> tf.Tensor:
      # No layer norm follows: what would see it sees the stream instead.
      return close_by(_no_norm, task.hook(SUBLAYER, sublayer), outputs,
                      stream, training)

    seen = hidden
    if self.normalises:
      seen = task.layer_norm("self_attention_layer_norm")(hidden)
    attended = self.self_attention(
        seen, attention_bias, task, training=training)
    hidden = add("attention", self.attention_dropout(
        attended, training=training), hidden)
    seen = task.layer_norm("output_layer_norm")(hidden)
    expanded, gate = tf.split(project_by(
        self.intermediate, task.hook(PROJECTION, "intermediate"), seen,
        training), 2, axis=-1)
    expanded = gate * kernels.activation_function(
        self.activation, bool(training))(expanded)
    outputs = project_by(
        self.output_projection, task.hook(PROJECTION, "output"),
        self.mlp_dropout(expanded, training=training), training)
    return add("output", outputs, hidden)


@tf_keras.saving.register_keras_serializable(PACKAGE)
class ModernBertEncoder(TransformerEncoder):
  """A ModernBERT whose layer norms, and what a method adds, belong to a task.

  Arguments and outputs are those of `BertEncoder`. There are no segments, and
  no pooler: the pooled output is the first token's.

  Example:
    >>> encoder = load_encoder("ModernBERT-base")  # a folder of Hugging Face
    >>> encoder(encoder.text_processor(1024)([text]))["sequence_output"]
  """

  def make_layers(self) -> None:
    config: ModernBertConfig = self.config
    self.embeddings = WordEmbeddings(config, dtype=self.dtype_policy)
    self.transformer_layers = [
        ModernBertLayer(config, number, dtype=self.dtype_policy)
        for number in range(config.num_hidden_layers)]
    self.dropout = Dropout(config.embedding_dropout, dtype=self.dtype_policy)

  def embed(self, inputs: Mapping[str, tf.Tensor],
            training: bool | None = None,
            task_layers: TaskHooks | None = None) -> tf.Tensor:
    hidden = self.embeddings(inputs["input_word_ids"])
    hidden = (task_layers or self.task_layers).layer_norm(
        "embeddings/layer_norm")(hidden)
    return self.dropout(hidden, training=training)

  def close(self, hidden: tf.Tensor,
            task_layers: TaskHooks | None = None) -> dict[str, tf.Tensor]:
    return super().close((task_layers or self.task_layers).layer_norm(
        "final_layer_norm")(hidden))
