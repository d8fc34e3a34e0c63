"""Kernels against plain operations and TensorFlow's own gradients of these."""

import numpy as np
import pytest
import tensorflow as tf

from tests.modeling.gradients import assert_equal, values, with_gradients
from tf_adapters.modeling import kernels
from tf_adapters.modeling.config import ACTIVATIONS

SEED = tf.constant([7, 2**32 - 3], tf.uint32)


def modes():
  return pytest.mark.parametrize("run", [
      lambda f: f,
      tf.function,
      lambda f: tf.function(f, jit_compile=True)],
                                 ids=["eager", "graph", "xla"])


@modes()
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_have_their_gradients(name, run):
  x = 3 * values(4, 5, 6)
  plain = kernels.activation_function(name)
  fused = kernels.activation_function(name, training=True)
  assert_equal(run(lambda x: with_gradients(fused, x))(x),
               with_gradients(plain, x), 1e-5)


def test_exact_gelu_is_tensorflows():
  x = tf.linspace(-12.0, 12.0, 10_001)
  np.testing.assert_allclose(
      kernels.activation_function("gelu")(x),
      tf.nn.gelu(x, approximate=False), atol=2e-6)


@modes()
def test_layer_norms_have_their_gradients(run):
  inputs = (2 + 3 * values(4, 5, 32), 1 + values(32, seed=1),
            values(32, seed=2))

  def norm(training):
    return lambda x, gamma, beta: kernels.layer_norm(
        x, gamma, beta, 1e-12, training=training)

  assert_equal(run(lambda *x: with_gradients(norm(True), *x))(*inputs),
               with_gradients(norm(False), *inputs), 1e-4)


@pytest.mark.parametrize("epsilon", [1e-6, None])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_layer_norms_of_sums(dtype, training, epsilon):
  hidden, added = (tf.cast(values(4, 5, 8, seed=seed), dtype)
                   for seed in range(2))
  gamma, beta = 1 + values(8, seed=2), values(8, seed=3)

  def norm(hidden, added):
    return kernels.layer_norm(hidden, gamma, beta, epsilon, training, added)

  def plain(hidden, added):
    return kernels.layer_norm(hidden + added, gamma, beta, epsilon)

  found = with_gradients(norm, hidden, added)
  assert {tensor.dtype for tensor in found} == {tf.as_dtype(dtype)}
  assert_equal([tf.cast(tensor, tf.float32) for tensor in found],
               with_gradients(plain, *(tf.cast(x, tf.float32)
                                       for x in (hidden, added))),
               1e-4 if dtype == "float32" else 0.1)


@modes()
def test_dropout_and_its_gradient_drop_the_same_values(run):
  x = values(50, 60, 7)
  dropped, gradient = run(lambda x: with_gradients(
      lambda x: kernels.dropout(x, 0.25, SEED), x))(x)
  kept = dropped.numpy() != 0
  assert kept.mean() == pytest.approx(0.75, abs=0.01)
  np.testing.assert_allclose(dropped, np.where(kept, x / 0.75, 0), rtol=1e-6)
  np.testing.assert_allclose(
      gradient, np.where(kept, 2 * x / 0.75 ** 2, 0), rtol=1e-5)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_as_many_values_are_dropped_as_the_rate_says(rate):
  ones = tf.ones([1000, 1000])
  dropped = kernels.dropout(ones, rate, SEED).numpy()
  assert (dropped == 0).mean() == pytest.approx(rate, abs=2e-3)
  assert dropped.mean() == pytest.approx(1.0, abs=5e-3)


def test_masks_of_other_seeds_and_neighbours_are_independent():
  shape, rate = tf.constant([512, 512]), tf.constant(0.5)

  def mask(*seed):
    return kernels.kept(shape, rate, tf.constant(seed, tf.uint32)).numpy()

  first = mask(1, 1)
  assert np.array_equal(first, mask(1, 1))
  others = [mask(1, 2), mask(2, 1), mask(1, 3), mask(1, 2**31 + 1),
            mask(2**32 - 1, 1), mask(0, 0)]
  # The same mask, shifted, would be a relation of seeds.
  others += [np.roll(other, shift) for other in others[:2]
             for shift in (1, 2, 512)]
  others += [np.roll(first, 1, axis=axis) for axis in (0, 1)]
  for other in others:
    assert (first == other).mean() == pytest.approx(0.5, abs=0.01)
  for axis in (0, 1):
    assert first.mean(axis=axis).std() == pytest.approx(
        0.5 / 512 ** 0.5, rel=0.15)


def reference_attention(bias, rate):
  """As in Vaswani et al., section 3.2.1, in plain operations."""

  def attention(query, key, value):
    scores = tf.einsum("bhqd,bhkd->bhqk", query, key)
    weights = tf.nn.softmax(scores / query.shape[-1] ** 0.5 + bias)
    if rate:
      kept = kernels.kept(tf.shape(weights), tf.constant(rate), SEED)
      weights = tf.where(kept, weights / (1 - rate), 0.0)
    return tf.einsum("bhqk,bhkd->bhqd", weights, value)

  return attention


@modes()
@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_attention_has_its_gradients(rate, run):
  inputs = [values(2, 3, 11, 8, seed=seed) for seed in range(3)]
  bias = tf.where(tf.range(11) < 9, 0.0, -1e9) * tf.ones([2, 1, 1, 1])

  def attention(query, key, value):
    return kernels.attention(
        query, key, value, bias, rate, SEED if rate else None, training=True)

  assert_equal(run(lambda *x: with_gradients(attention, *x))(*inputs),
               with_gradients(reference_attention(bias, rate), *inputs), 1e-5)
  assert_equal(run(lambda *x: with_gradients(
      lambda *x: kernels.attention(
          *x, bias, rate, SEED if rate else None, training=False), *x))(
              *inputs),
               with_gradients(reference_attention(bias, rate), *inputs), 1e-5)


def test_models_of_several_sizes_share_a_process():
  """Where sizes differ, a kernel is traced for all: it knows none of them."""
  for size in (8, 6, 12, 4):
    inputs = [values(2, size // 2, size + 1, size, seed=seed)
              for seed in range(3)]
    bias = tf.zeros([2, 1, 1, size + 1])

    def attention(*inputs, bias=bias):
      return kernels.attention(*inputs, bias, 0.3, SEED, training=True)

    assert_equal(with_gradients(attention, *inputs),
                 with_gradients(reference_attention(bias, 0.3), *inputs), 1e-5)

    def norm(hidden, size=size):
      return kernels.layer_norm(
          hidden, tf.ones([size]), tf.zeros([size]), 1e-6, training=True)

    def plain_norm(hidden):
      mean, variance = tf.nn.moments(hidden, [-1], keepdims=True)
      return (hidden - mean) * tf.math.rsqrt(variance + 1e-6)

    assert_equal(with_gradients(norm, inputs[0]),
                 with_gradients(plain_norm, inputs[0]), 1e-4)


def test_bfloat16_is_near_float32():
  inputs = [values(2, 3, 11, 8, seed=seed) for seed in range(3)]
  bias = tf.zeros([2, 1, 1, 11])

  def attention(*inputs):
    return kernels.attention(*inputs, bias, 0.3, SEED, training=True)

  halves = with_gradients(
      attention, *(tf.cast(x, tf.bfloat16) for x in inputs))
  for half, whole in zip(halves, with_gradients(attention, *inputs)):
    assert half.dtype == tf.bfloat16
    distance = tf.norm(tf.cast(half, tf.float32) - whole) / tf.norm(whole)
    assert distance < 0.02


def test_seeds_of_calls_differ():
  seeds = {tuple(kernels.seed_of_call(
      tf.constant(seed, tf.int64), tf.constant(call, tf.int64)).numpy())
           for seed in (0, 1, 2**31 - 1) for call in range(4)}
  assert len(seeds) == 12
  assert len({number for pair in seeds for number in pair}) == 24
