"""DeBERTa-v3 as Keras layers: attention by content and relative positions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tf_adapters.modeling import kernels
from tf_adapters.modeling.encoders.bert_layers import (
    BertEncoder,
    TransformerLayer,
)
from tf_adapters.modeling.encoders.deberta import DebertaConfig
from tf_adapters.modeling.encoders.sublayers import (
    SelfAttention,
    attended_by,
    project_by,
)
from tf_adapters.modeling.layers import (
    Attention,
    Dropout,
    LayerNorm,
    Normal,
    Projection,
    variables_of,
)
from tf_adapters.modeling.methods.places import PROJECTION
from tf_adapters.modeling.serialization import PACKAGE, WeightsLayer
from tf_adapters.modeling.task_layers import LayerHooks


def bucket_rows(config: DebertaConfig) -> np.ndarray:
  """Returns the rows of the table of relative positions, by distance.

  Distances up to half of the buckets have a row each; others share rows, the
  more the farther they are, on a logarithmic scale.

  Returns:
    int32 [2 n - 1], for distances from n - 1 down to 1 - n, where n is the
    longest text.
  """
  buckets, longest = config.position_buckets, config.longest_text
  half = buckets // 2
  distances = np.arange(longest - 1, -longest, -1)
  far = np.maximum(np.abs(distances), half).astype(np.float32)
  steps = np.log(far / np.float32(half)) / np.log(
      np.float32((config.max_relative_positions - 1) / half))
  rows = np.sign(distances) * (half + np.ceil(steps * (half - 1)))
  rows = np.where(np.abs(distances) <= half, distances, rows)
  return np.clip(rows + buckets, 0, 2 * buckets - 1).astype(np.int32)


class DebertaEmbeddings(WeightsLayer):
  """The tables of words and of relative positions.

  Call arguments:
    word_ids: int32 [batch, length].

  Returns:
    [batch, length, hidden_size], not yet normalised.
  """

  def __init__(self, config: DebertaConfig, **kwargs: Any):
    super().__init__(**kwargs)
    self.config = config
    self.norm = LayerNorm(config.hidden_size, config.layer_norm_eps,
                          dtype=self.dtype_policy)
    self._rows = bucket_rows(config)

  def build(self, input_shape: Any = None) -> None:
    self.tables = {}
    for name, rows in (
        ("word_embeddings", self.config.vocab_size),
        ("relative_embeddings", 2 * self.config.position_buckets)):
      with tf.name_scope(name):
        self.tables[name] = self.add_weight(
            name="embeddings", shape=[rows, self.config.hidden_size],
            initializer=Normal(stddev=0.02))
    with tf.name_scope("relative_embeddings/norm"):
      self.norm.build()
    self.built = True

  def call(self, word_ids: tf.Tensor) -> tf.Tensor:
    return tf.gather(self.tables["word_embeddings"], word_ids)

  def positions(self, length: tf.Tensor) -> tf.Tensor:
    """Returns the positions of distances, from length - 1 down to 1 - length.

    Returns:
      [1, 2 * length - 1, hidden_size].
    """
    middle = self.config.longest_text
    rows = tf.constant(self._rows)[middle - length:middle + length - 1]
    return self.norm(
        tf.gather(self.tables["relative_embeddings"], rows)[tf.newaxis])

  def named_variables(self) -> dict[str, tf.Variable]:
    return {**{f"{name}/embeddings": table
               for name, table in self.tables.items()},
            **variables_of({"relative_embeddings/norm": self.norm})}


class BiasedAttention(Attention):
  """Attention whose bias has a gradient."""

  def attend(self, key: tf.Tensor, value: tf.Tensor,
             bias: tf.Tensor) -> tf.Tensor:
    scores = tf.matmul(self._query, key, transpose_b=True)
    weights = tf.nn.softmax(
        scores * key.shape[-1] ** -0.5 + tf.cast(bias, scores.dtype))
    if self._seed is not None:
      weights = kernels.dropout(weights, self._rate, self._seed)
    return tf.matmul(weights, value)


class DisentangledAttention(SelfAttention):
  """Self-attention of contents to contents, and to relative positions.

  The score of a query and a key is the sum of three products: of both, of the
  query with their distance as a key, and of the key with it as a query.

  Attributes:
    positions: `DebertaEmbeddings.positions`, of the table that all layers see.
  """

  positions: Callable[[tf.Tensor], tf.Tensor]

  def __init__(self, config: DebertaConfig, **kwargs: Any):
    super().__init__(config, **kwargs)
    self.position_dropout = Dropout(
        config.hidden_dropout_prob, dtype=self.dtype_policy)

  def call(self, hidden: tf.Tensor, attention_bias: tf.Tensor,
           task: LayerHooks, training: bool | None = None) -> tf.Tensor:
    query, key, value = self.query_key_value(hidden, task, training)
    positions = self.position_dropout(
        self.positions(tf.shape(hidden)[1]), training=training)

    heads, size = self.query.output_dims

    def of_positions(part: Projection, rows: tf.Tensor) -> tf.Tensor:
      hook = task.hook(PROJECTION, part.name)
      if hook is not None:  # which may be another one for each text
        rows = tf.repeat(rows, tf.shape(hidden)[0], axis=0)
      rows = project_by(part, hook, rows, training)
      return tf.transpose(tf.reshape(
          rows, [tf.shape(rows)[0], -1, heads, size]), [0, 2, 1, 3])

    query *= 3 ** -0.5  # of three products
    to_positions = shifted(tf.matmul(
        query, of_positions(self.key, positions), transpose_b=True))
    of_keys = shifted(tf.matmul(
        key * 3 ** -0.5, of_positions(self.query, positions[:, ::-1]),
        transpose_b=True))
    bias = (to_positions + tf.linalg.matrix_transpose(of_keys)) * size ** -0.5
    bias = tf.cast(bias, tf.float32) + attention_bias
    return attended_by(self.attention_output, hidden, BiasedAttention(
        query, key, value, bias, self.dropout.rate,
        self.dropout.next_seed(training), training), task, training)


def shifted(scores: tf.Tensor) -> tf.Tensor:
  """Turns scores by distance into scores by place.

  Args:
    scores: [batch, heads, n, 2 n - 1]: of row i, and of what is j - n + 1
      behind it at j.

  Returns:
    [batch, heads, n, n]: of row i, and of what is in row j.
  """
  length = tf.shape(scores)[-2]
  shape = [tf.shape(scores)[0], scores.shape[1]]
  padded = tf.pad(scores, [[0, 0], [0, 0], [0, 0], [0, 1]])
  flat = tf.reshape(padded, [*shape, 2 * length * length])
  # Each row begins one place before the row above.
  rows = flat[..., length - 1:length - 1 + length * (2 * length - 1)]
  return tf.reshape(rows, [*shape, length, 2 * length - 1])[..., :length]


class DebertaLayer(TransformerLayer):
  """A layer of BERT with `DisentangledAttention`."""

  attention_class = DisentangledAttention


@tf_keras.saving.register_keras_serializable(PACKAGE)
class DebertaEncoder(BertEncoder):
  """A DeBERTa-v3: see `BertEncoder` for the arguments and the outputs.

  Args:
    config: a `DebertaConfig`.
  """

  offers_first_only = False
  layer_class = DebertaLayer
  embeddings_class = DebertaEmbeddings

  def make_layers(self) -> None:
    super().make_layers()
    for layer in self.transformer_layers:
      layer.self_attention.positions = self.embeddings.positions
