"""Compilation by XLA: kernels, whole programs, and barriers inside these.

A function of tensors can be a kernel of its own inside whatever graph there is
(`compiled`), and its gradient another one (`fused`). Graphs that others will
run have no kernels (`portable`); nor have steps that are compiled as a whole
(`one_program`). There barriers say what XLA has to compute again or to write.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from tf_adapters.switches import Switch

_PORTABLE = Switch("portable")
_ONE_PROGRAM = Switch("one_program")


def portable() -> contextlib.AbstractContextManager[None]:
  """Leaves kernels out of graphs that others will run: plain operations alone.

  Example:
    >>> with portable():
    ...   function.get_concrete_function(spec, training=True)
  """
  return _PORTABLE.on()


def without_kernels() -> contextlib.AbstractContextManager[None]:
  """Leaves kernels out where they take longer to compile than they save.

  So it is for few tokens, and for batches of so many shapes that most come
  seldom.
  """
  return contextlib.nullcontext() if in_one_program() else portable()


def in_portable() -> bool:
  """Returns whether operations are of a graph that others will run."""
  return _PORTABLE.is_on()


def one_program() -> contextlib.AbstractContextManager[None]:
  """Leaves kernels out of a step that XLA compiles as a whole, as for TPUs.

  XLA joins operations as it likes, and keeps what the backward pass would
  compute again, unless it is told that this is something else.

  Example:
    >>> @tf.function(jit_compile=True)
    ... def step(data):
    ...   with one_program():
    ...     return model.train_step(data)
  """
  return _ONE_PROGRAM.on()


def in_one_program() -> bool:
  """Returns whether operations are of a step that XLA compiles as a whole."""
  return _ONE_PROGRAM.is_on() or isinstance(
      tf.distribute.get_strategy(), tf.distribute.TPUStrategy)


def _is_xla() -> bool:
  """Returns whether operations are sure to be compiled, with operations of XLA.
  """
  # A strategy can stand in the place of TPUStrategy, without XLA.
  return _ONE_PROGRAM.is_on() or (in_one_program() and any(
      "TPU" in device for device
      in tf.distribute.get_strategy().extended.worker_devices))


# Kernels.


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
  """Compiles a function of tensors into a kernel for each set of shapes."""
  kernel = tf.function(
      function, autograph=False, jit_compile=True, reduce_retracing=True)

  def call(*inputs: tf.Tensor) -> Any:
    return (function if in_one_program() else kernel)(*inputs)

  return call


def fused(function: Callable[..., tf.Tensor], constants: int = 0,
          gradient: Callable[..., Any] | None = None,
          ) -> Callable[..., tf.Tensor]:
  """Makes one kernel of a function of tensors, and another of its gradient.

  The gradient keeps the function's inputs and nothing else.

  Args:
    function: of tensors, to one tensor; without variables and state.
    constants: how many of its last inputs have no gradient.
    gradient: a function of the output's gradient and all inputs, to those of
      the inputs; None for TensorFlow's own.
  """
  forward = compiled(function)

  def by_tape(upstream: tf.Tensor, *inputs: tf.Tensor) -> Any:
    variables = inputs[:len(inputs) - constants]
    with tf.GradientTape() as tape:
      tape.watch(variables)
      outputs = function(*inputs)
    return tape.gradient(outputs, variables, upstream)

  backward = compiled(gradient or by_tape)

  @tf.custom_gradient
  def with_gradient(*inputs: tf.Tensor) -> Any:

    def gradients(upstream: tf.Tensor) -> tuple[Any, ...]:
      return (*backward(upstream, *map(again, inputs)),
              *[None] * constants)

    return forward(*inputs), gradients

  def call(*inputs: tf.Tensor) -> tf.Tensor:
    return (function if in_portable() else with_gradient)(*inputs)

  return call


# Barriers.


@tf.RegisterGradient("XlaOptimizationBarrier")
def _barrier_gradient(
    operation: tf.Operation, *upstream: tf.Tensor) -> list[tf.Tensor]:
  """Lets gradients of gradients through, as a barrier changes nothing."""
  del operation
  return list(upstream)


def again(tensor: tf.Tensor) -> tf.Tensor:
  """Returns the same tensor, which XLA takes for another one.

  It keeps what is computed of a tensor, and would not compute it again.
  """
  if not _is_xla():
    return tensor
  return barrier(tensor)


def barrier(tensor: tf.Tensor) -> tf.Tensor:
  """Returns the same tensor, which XLA joins to nothing behind it."""
  return gen_xla_ops.xla_optimization_barrier([tensor])[0]


def again_after(
    tensor: tf.Tensor, other: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the same two, the first no sooner than the second is there.

  Results of the first are computed anew, whatever was computed of it before.
  """
  if _is_xla():
    return tuple(gen_xla_ops.xla_optimization_barrier([tensor, other]))
  # A control dependency would be lost in steps that `jit_compile` compiles, and
  # what is always zero by the rules of arithmetic. A NaN is passed on anyway.
  first = tf.cast(tf.reshape(other, [-1])[0], tensor.dtype)
  return tensor + tf.where(
      tf.math.is_nan(first), first, tf.zeros_like(first)), other


@tf.custom_gradient
def written(tensor: tf.Tensor) -> Any:
  """Returns the same tensor, which XLA has to write to memory."""
  return again(tensor), lambda upstream: upstream
