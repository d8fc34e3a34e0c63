"""Made-up tensors, and gradients of functions of these."""

import numpy as np
import tensorflow as tf


def values(*shape, seed=0, dtype=tf.float32):
  rng = np.random.default_rng(seed)
  return tf.cast(rng.standard_normal(shape), dtype)


def with_gradients(function, *inputs):
  with tf.GradientTape() as tape:
    tape.watch(inputs)
    outputs = function(*inputs)
    loss = tf.reduce_sum(tf.cast(outputs, tf.float32) ** 2)
  return outputs, *tape.gradient(loss, inputs)


def assert_equal(results, expected, tolerance):
  for result, value in zip(results, expected, strict=True):
    assert result.dtype == value.dtype
    np.testing.assert_allclose(
        tf.cast(result, tf.float32), tf.cast(value, tf.float32),
        rtol=tolerance, atol=tolerance)
