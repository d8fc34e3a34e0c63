"""BERT with talking heads and gated feed-forwards as Keras layers."""

from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from tf_adapters.modeling import kernels
from tf_adapters.modeling.encoders.bert_layers import (
    BertEncoder,
    TransformerLayer,
)
from tf_adapters.modeling.encoders.sublayers import SelfAttention
from tf_adapters.modeling.encoders.transformer import TransformerConfig
from tf_adapters.modeling.layers import Attention, Normal, Projection
from tf_adapters.modeling.serialization import PACKAGE


class MixedAttention(Attention):
  """Attention whose heads are mixed before the softmax, and after it.

  Args:
    mixtures: {name: [heads, heads]}.
    *parts: as for `Attention`.
  """

  def __init__(self, mixtures: Mapping[str, tf.Tensor], *parts: Any):
    super().__init__(*parts)
    self._mixtures = mixtures

  def attend(self, key: tf.Tensor, value: tf.Tensor,
             bias: tf.Tensor) -> tf.Tensor:
    weights = self._context_weights(tf.nn.softmax(self._scores(key, bias)))
    if self._seed is not None:
      weights = kernels.dropout(weights, self._rate, self._seed)
    return tf.matmul(weights, value)

  def of_some(self, further: Iterable[tuple[tf.Tensor, tf.Tensor, tf.Tensor]],
              ) -> tf.Tensor:
    scores = self._scores(self._key, self._bias)
    weights, value = tf.nn.softmax(scores), self._value
    context = tf.matmul(self._context_weights(weights), value)
    for keys, values, own in further:
      more = self._scores(self._heads_of(keys))
      # What the softmax over both gives to these, head by head.
      share = tf.sigmoid(tf.reduce_logsumexp(more, axis=-1, keepdims=True)
                         - tf.reduce_logsumexp(scores, axis=-1, keepdims=True))
      both = tf.matmul(self._context_weights(weights * (1 - share)), value)
      both += tf.matmul(
          self._context_weights(tf.nn.softmax(more) * share),
          self._heads_of(values))
      context = tf.where(
          own[:, tf.newaxis, tf.newaxis, tf.newaxis], both, context)
    return context

  def _scores(self, key: tf.Tensor, bias: tf.Tensor | float = 0) -> tf.Tensor:
    scores = tf.matmul(self._query, key, transpose_b=True)
    return self._mixed(scores * key.shape[-1] ** -0.5, "pre_softmax_weight"
                       ) + tf.cast(bias, scores.dtype)

  def _context_weights(self, weights: tf.Tensor) -> tf.Tensor:
    return self._mixed(weights, "post_softmax_weight")

  def _mixed(self, scores: tf.Tensor, name: str) -> tf.Tensor:
    """Makes each head of all: [batch, heads, length, length]."""
    return tf.einsum("bhqk,hg->bgqk", scores, self._mixtures[name])


class TalkingHeadsAttention(SelfAttention):
  """Self-attention by `MixedAttention`."""

  def build(self, input_shape: Any = None) -> None:
    super().build(input_shape)
    heads = self.config.num_attention_heads
    self.mixtures = {
        name: self.add_weight(name=name, shape=[heads, heads],
                              initializer=Normal(stddev=0.02))
        for name in ("pre_softmax_weight", "post_softmax_weight")}

  def attention(self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor,
                attention_bias: tf.Tensor,
                training: bool | None) -> Attention:
    return MixedAttention(
        self.mixtures, query, key, value, attention_bias, self.dropout.rate,
        self.dropout.next_seed(training), training)

  def named_variables(self) -> dict[str, tf.Variable]:
    return {**super().named_variables(), **self.mixtures}


class TalkingHeadsLayer(TransformerLayer):
  """A layer whose inner feed-forward is multiplied with a linear gate."""

  attention_class = TalkingHeadsAttention

  def __init__(self, config: TransformerConfig, **kwargs: Any):
    super().__init__(config, **kwargs)
    self.gate = Projection((config.hidden_size,), (config.intermediate_size,),
                           dtype=self.dtype_policy)

  def named_layers(self) -> dict[str, tf_keras.layers.Layer]:
    return {**super().named_layers(), "gate": self.gate}

  def expand(self, expanded: tf.Tensor, hidden: tf.Tensor) -> tf.Tensor:
    return expanded * self.gate(hidden)


@tf_keras.saving.register_keras_serializable(PACKAGE)
class TalkingHeadsEncoder(BertEncoder):
  """See `BertEncoder` for the arguments and the outputs.

  Args:
    config: a `TalkingHeadsConfig`.
  """

  offers_first_only = False
  layer_class = TalkingHeadsLayer
