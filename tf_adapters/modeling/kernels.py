"""A transformer's steps between matrix products: one kernel for each.

TensorFlow's libraries do the large products best. Between them a step spends
its time on reading and writing memory: activations, dropout, layer norms and
attention weights. In training each of these is compiled by XLA into one pass
forward and one pass backward, inside whatever graph there is. The gradients
compute again what they need, so little is kept between the passes. Without
training most are plain operations, which TensorFlow joins to the products
before them. On TPUs all are: there the step is compiled as a whole.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_adapters.modeling import compilation

# What a masked position adds to its attention score before the softmax.
MASKED = -1e9


# Activations.


def _gelu(x: tf.Tensor) -> tf.Tensor:
  # In this form TensorFlow knows it, and joins it to the product before it.
  return 0.5 * x * (1.0 + tf.math.erf(x * 0.5 ** 0.5))


_ACTIVATIONS = {
    "gelu": _gelu,
    "gelu_tanh": lambda x: tf.nn.gelu(x, approximate=True),
    "relu": tf.nn.relu,
    "tanh": tf.nn.tanh,
    "swish": tf.nn.silu,
    "linear": tf.identity,
}


@functools.cache
def activation_function(
    name: str, training: bool = False) -> Callable[[tf.Tensor], tf.Tensor]:
  """Returns the function behind a name of `config.ACTIVATIONS`."""
  function = _ACTIVATIONS[name]
  if not training or name == "linear":
    return function
  return compilation.fused(
      lambda x: tf.cast(function(tf.cast(x, tf.float32)), x.dtype))


# Layer norms.


def _layer_norm(hidden: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor,
                epsilon: tf.Tensor) -> tf.Tensor:
  values = tf.cast(hidden, tf.float32)
  centred = values - tf.reduce_mean(values, axis=-1, keepdims=True)
  variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
  return tf.cast(
      centred * tf.math.rsqrt(variance + epsilon) * gamma + beta, hidden.dtype)


def _layer_norm_gradient(
    upstream: tf.Tensor, hidden: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor,
    epsilon: tf.Tensor) -> tuple[tf.Tensor, ...]:
  """Computes gradients of `_layer_norm` where gamma and beta are vectors."""
  del beta
  upstream, values = (
      tf.reshape(tf.cast(x, tf.float32), [-1, tf.size(gamma)])
      for x in (upstream, hidden))
  centred = values - tf.reduce_mean(values, axis=-1, keepdims=True)
  scale = tf.math.rsqrt(
      tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True) + epsilon)
  vectors, inner = centred * scale, upstream * gamma
  along = tf.reduce_mean(inner, axis=-1, keepdims=True) + vectors * (
      tf.reduce_mean(inner * vectors, axis=-1, keepdims=True))

  def summed(rows: tf.Tensor) -> tf.Tensor:
    # XLA adds up rows of a matrix that is in memory by vectors, and what it
    # would compute in the same loop number by number: four times as slowly.
    return tf.reduce_sum(compilation.barrier(rows), axis=0)

  return (tf.cast(tf.reshape((inner - along) * scale, tf.shape(hidden)),
                  hidden.dtype), summed(upstream * vectors), summed(upstream))


_fused_layer_norm = compilation.fused(
    _layer_norm, constants=1, gradient=_layer_norm_gradient)
# With a gamma and a beta for each row.
_fused_scaled_norm = compilation.fused(_layer_norm, constants=1)


def _layer_norm_of_sum(
    hidden: tf.Tensor, added: tf.Tensor, *others: tf.Tensor) -> tf.Tensor:
  # Rounded once, at the end: XLA rounds slowly, and for each use of the sum.
  values = tf.cast(hidden, tf.float32) + tf.cast(added, tf.float32)
  return tf.cast(_layer_norm(values, *others), hidden.dtype)


_fused_norm_of_sum = compilation.fused(_layer_norm_of_sum, constants=1)


@tf.custom_gradient
def _layer_norm_of_rows(
    hidden: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor,
    epsilon: tf.Tensor) -> Any:
  """Normalises rows in one program; its gradient keeps two numbers of each.

  Both sums are taken at once, and vectors are rows of a matrix, as they are for
  the products before and behind: no order of a tensor's axes is to be changed.
  """
  values = tf.cast(hidden, tf.float32)
  mean = tf.reduce_mean(values, axis=-1)
  variance = tf.reduce_mean(tf.square(values), axis=-1) - tf.square(mean)
  scale = tf.math.rsqrt(tf.maximum(variance, 0.0) + epsilon)

  def normed(values: tf.Tensor) -> tf.Tensor:
    return (values - mean[:, tf.newaxis]) * scale[:, tf.newaxis]

  def gradient(upstream: tf.Tensor) -> tuple[Any, ...]:
    vectors = normed(tf.cast(compilation.again(hidden), tf.float32))
    # What is a sum of several XLA would write in float32, twice the bytes.
    upstream = tf.cast(compilation.again(upstream), tf.float32)
    inner = upstream * gamma
    along = tf.reduce_mean(inner, axis=-1)[:, tf.newaxis] + vectors * (
        tf.reduce_mean(inner * vectors, axis=-1)[:, tf.newaxis])
    return (tf.cast((inner - along) * scale[:, tf.newaxis], hidden.dtype),
            tf.reduce_sum(upstream * vectors, axis=0),
            tf.reduce_sum(upstream, axis=0), None)

  return tf.cast(normed(values) * gamma + beta, hidden.dtype), gradient


def layer_norm(hidden: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor,
               epsilon: float | None, training: bool | None = None,
               added: tf.Tensor | None = None) -> tf.Tensor:
  """Normalises over the last axis, in float32 whatever goes in.

  Args:
    hidden: [..., size].
    gamma, beta: [size], or what broadcasts to hidden's shape.
    epsilon: added to variances; None to scale and shift alone.
    training: whether gradients will be wanted.
    added: what is added to hidden before, of its shape; None for nothing.

  Returns:
    A tensor of hidden's shape and type.
  """
  # An encoder's own can be held in bfloat16.
  gamma, beta = tf.cast(gamma, tf.float32), tf.cast(beta, tf.float32)
  if added is not None:
    if (hidden.dtype != tf.float32 and epsilon is not None
        and not training and not compilation.in_one_program()):
      return _fused_norm_of_sum(
          hidden, added, gamma, beta, tf.constant(epsilon))
    hidden += added  # which a training has to write: its gradient reads it
  if epsilon is None:
    return tf.cast(
        tf.cast(hidden, tf.float32) * gamma + beta, hidden.dtype)
  if compilation.in_one_program() and gamma.shape.rank == 1:
    rows = tf.reshape(hidden, [-1, hidden.shape[-1]])
    return tf.reshape(_layer_norm_of_rows(
        rows, gamma, beta, tf.constant(epsilon)), tf.shape(hidden))
  norm: Callable[..., tf.Tensor] = _layer_norm
  # Plain operations would write bfloat16 out in float32, and back.
  if training or hidden.dtype != tf.float32:
    norm = (_fused_layer_norm if gamma.shape.rank == beta.shape.rank == 1
            else _fused_scaled_norm)
  return norm(hidden, gamma, beta, tf.constant(epsilon))


# Dropout.


def kept(shape: tf.Tensor, rate: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
  """Chooses the values that dropout keeps: a function of the seed alone.

  The number of each value is scrambled, by the finalizer of MurmurHash3 and one
  round more, with a word of the seed before and within it, and compared with
  the rate. These few integer operations are hidden behind the memory that the
  kernel around them waits for, where TensorFlow's random generators took a
  fifth of a step.

  Args:
    shape: int32, of the tensor.
    rate: float32, the part that is dropped.
    seed: uint32 [2].

  Returns:
    bool, of that shape.
  """
  shift, xor = tf.bitwise.right_shift, tf.bitwise.bitwise_xor
  bits = _numbers(shape) * np.uint32(0x9E3779B1)
  bits = xor(bits, seed[0])
  bits = xor(bits, shift(bits, np.uint32(16))) * np.uint32(0x85EBCA6B)
  bits = xor(bits, seed[1])
  bits = xor(bits, shift(bits, np.uint32(13))) * np.uint32(0xC2B2AE35)
  bits = xor(bits, shift(bits, np.uint32(15))) * np.uint32(0x2C1B3C6D)
  bits = xor(bits, shift(bits, np.uint32(16)))
  return bits >= tf.cast(rate * 2.0 ** 32, tf.uint32)


def _numbers(shape: tf.Tensor) -> tf.Tensor:
  """Numbers the values of a tensor of a shape: uint32."""
  sizes = tf.get_static_value(shape) if compilation.in_one_program() else None
  if sizes is None:
    return tf.bitcast(
        tf.reshape(tf.range(tf.reduce_prod(shape)), shape), tf.uint32)
  # One range would be a constant of the tensor's size. These are added where
  # they are wanted.
  numbers = tf.zeros([1] * len(sizes), tf.uint32)
  for axis, size in enumerate(sizes):
    steps = np.arange(size, dtype=np.uint32) * np.uint32(
        np.prod(sizes[axis + 1:], dtype=np.uint32))
    numbers += tf.reshape(
        compilation.again(tf.constant(steps)),
        [-1] + [1] * (len(sizes) - axis - 1))
  return numbers


def _dropout(
    hidden: tf.Tensor, rate: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
  scaled = tf.cast(hidden, tf.float32) / (1.0 - rate)
  return tf.cast(
      tf.where(kept(tf.shape(hidden), rate, seed), scaled, 0.0), hidden.dtype)


_fused_dropout = compilation.fused(_dropout, constants=2)


def dropout(hidden: tf.Tensor, rate: float, seed: tf.Tensor) -> tf.Tensor:
  """Drops values and scales the others up: see `kept`."""
  if not compilation.in_one_program():
    return _fused_dropout(hidden, tf.constant(rate), seed)
  # Or XLA would write both, what is dropped and what is not, for others to drop
  # it again.
  return compilation.written(_fused_dropout(hidden, tf.constant(rate), seed))


def seed_of_call(seed: tf.Tensor, call: tf.Tensor) -> tf.Tensor:
  """Makes the seed of a mask.

  TensorFlow's generator would be hundreds of operations, each of which XLA
  compiles as a program of its own.

  Args:
    seed, call: int64 scalars: a layer's seed, and how often it was called.

  Returns:
    uint32 [2].
  """
  words = tf.constant([0x9E3779B1, 0x7F4A7C15], tf.uint32)
  for number in (seed, call):
    words = _scrambled(
        tf.bitwise.bitwise_xor(words, tf.cast(number, tf.uint32)))
  return words


def _scrambled(bits: tf.Tensor) -> tf.Tensor:
  """Puts each number through the finalizer of MurmurHash3."""
  shift, xor = tf.bitwise.right_shift, tf.bitwise.bitwise_xor
  bits = xor(bits, shift(bits, np.uint32(16))) * np.uint32(0x85EBCA6B)
  bits = xor(bits, shift(bits, np.uint32(13))) * np.uint32(0xC2B2AE35)
  return xor(bits, shift(bits, np.uint32(16)))


# Attention.


def attention(
    query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, bias: tf.Tensor,
    rate: float = 0.0, seed: tf.Tensor | None = None,
    training: bool | None = None) -> tf.Tensor:
  """Computes scaled dot-product attention with dropout of its weights.

  Args:
    query, key, value: [batch, heads, length, size].
    bias: [batch, 1, 1 or length, length], added to the scores; no gradient.
    rate, seed: of dropout, see `kept`; without a seed there is none.
    training: whether gradients will be wanted.

  Returns:
    [batch, heads, length, size].
  """
  bias = tf.cast(bias, query.dtype)
  if training and not compilation.in_portable():
    if seed is None:
      rate, seed = 0.0, tf.zeros([2], tf.uint32)
    return _attention(query, key, value, bias, tf.constant(rate), seed)
  weights = _attention_weights(query, key, bias)
  if seed is not None:
    weights = dropout(weights, rate, seed)
  return tf.matmul(weights, value)


def attention_of_some(
    query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, bias: tf.Tensor,
    further: Sequence[tuple[tf.Tensor, tf.Tensor, tf.Tensor]]) -> tf.Tensor:
  """Computes attention without training, of some rows to further keys.

  All others get what `attention` gives them, to the last bit: more keys in one
  sum would be added up in another order, though their weights were zero. So
  each part is computed for itself. Where a row has two, they share it as the
  softmax over both would have it (He et al. 2022, equation 5).

  Args:
    query, key, value, bias: as for `attention`.
    further: keys and values [batch, heads, more, size], and bool [batch]: which
      rows have them. A row has one of them at most.
  """
  scores = _attention_scores(query, key) + tf.cast(bias, query.dtype)
  weights = tf.nn.softmax(scores)
  context, total = tf.matmul(weights, value), _log_sum(scores, weights)
  for keys, values, own in further:
    scores = _attention_scores(query, keys)
    weights = tf.nn.softmax(scores)
    share = tf.cast(
        tf.sigmoid(_log_sum(scores, weights) - total), context.dtype)
    context = tf.where(
        own[:, tf.newaxis, tf.newaxis, tf.newaxis],
        context + share * (tf.matmul(weights, values) - context), context)
  return context


def _log_sum(scores: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
  """Computes log(sum(exp(scores))), float32 [..., 1], from their softmax too.
  """
  # The largest weight is exp(0) by the sum of exp(scores - the largest).
  largest, weight = (
      tf.cast(tf.reduce_max(one, axis=-1, keepdims=True), tf.float32)
      for one in (scores, weights))
  return largest - tf.math.log(weight)


def _attention_weights(
    query: tf.Tensor, key: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
  # Its softmax adds in float32.
  return tf.nn.softmax(_attention_scores(query, key) + bias)


def _attention_scores(query: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
  # The scale after the product, and then the bias: so TensorFlow joins them.
  return tf.matmul(query, key, transpose_b=True) * query.shape[-1] ** -0.5


@tf.custom_gradient
def _attention(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor,
               bias: tf.Tensor, rate: tf.Tensor, seed: tf.Tensor) -> Any:
  """Computes attention, and keeps its weights only as they are before dropout.
  """
  weights = _attention_weights(query, key, bias)
  context = tf.matmul(_compiled_dropout(weights, rate, seed), value)

  def gradient(upstream: tf.Tensor) -> tuple[Any, ...]:
    scores, dropped = _scores_gradient(
        weights, tf.matmul(upstream, value, transpose_b=True), upstream,
        context, tf.constant(query.shape[-1] ** -0.5), rate,
        compilation.again(seed))
    return (tf.matmul(scores, key),
            tf.matmul(scores, query, transpose_a=True),
            tf.matmul(dropped, upstream, transpose_a=True), None, None, None)

  return context, gradient


_compiled_dropout = compilation.compiled(_dropout)


@compilation.compiled
def _scores_gradient(
    weights: tf.Tensor, dropped_gradient: tf.Tensor, upstream: tf.Tensor,
    context: tf.Tensor, scale: tf.Tensor, rate: tf.Tensor, seed: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Computes the gradient of unscaled scores, and the dropped weights again.

  The softmax's gradient needs the mean of its outputs' gradients, weighted by
  the outputs. That is the product of the context and its gradient (Dao et al.,
  FlashAttention, 2022, appendix B.2): short vectors instead of long ones.
  """
  dtype = weights.dtype
  weights, dropped_gradient, upstream, context = (
      tf.cast(x, tf.float32)
      for x in (weights, dropped_gradient, upstream, context))
  mean = tf.reduce_sum(upstream * context, axis=-1, keepdims=True)
  factor = tf.where(
      kept(tf.shape(weights), rate, seed), 1.0 / (1.0 - rate), 0.0)
  scores = weights * (dropped_gradient * factor - mean) * scale
  return tf.cast(scores, dtype), tf.cast(weights * factor, dtype)
