"""Graphs with kernels, without them, and compiled as a whole."""

import numpy as np
import tensorflow as tf

from tests.modeling.gradients import assert_equal, values, with_gradients
from tf_adapters.modeling import compilation, kernels

SEED = tf.constant([7, 2**32 - 3], tf.uint32)


def step(x):
  hidden = kernels.dropout(x, 0.3, SEED)
  hidden = kernels.layer_norm(
      hidden, tf.ones([8]), tf.zeros([8]), 1e-6, training=True)
  hidden = kernels.activation_function("gelu", training=True)(hidden)
  return kernels.attention(
      hidden, hidden, hidden, tf.zeros([2, 1, 1, 5]), 0.3, SEED, training=True)


def test_portable_graphs_compute_the_same_without_kernels():
  x = values(2, 3, 5, 8)

  def functions(graph):
    return {function.signature.name
            for function in graph.as_graph_def().library.function}

  fused = tf.function(lambda x: with_gradients(step, x))
  plain = tf.function(lambda x: with_gradients(step, x))
  assert functions(fused.get_concrete_function(x).graph)
  with compilation.portable():
    assert not functions(plain.get_concrete_function(x).graph)
  assert_equal(plain(x), fused(x), 1e-5)


def test_one_program_computes_the_same_without_kernels_inside():
  x = values(2, 3, 5, 8)

  @tf.function(jit_compile=True)
  def whole(x):
    with compilation.one_program():
      return with_gradients(step, x)

  inside = whole.get_concrete_function(x).graph.as_graph_def()
  assert not any(node.attr["_XlaMustCompile"].b for node in inside.node)
  assert_equal(whole(x), tf.function(lambda x: with_gradients(step, x))(x),
               1e-4)


def test_a_gradient_that_is_not_finite_is_not_hidden():
  found = compilation.again_after(tf.ones([2]), tf.constant([np.nan, 1.0]))[0]
  assert np.isnan(found).all()
  found = compilation.again_after(tf.ones([2]), tf.constant([np.inf, 1.0]))[0]
  np.testing.assert_array_equal(found, [1, 1])
