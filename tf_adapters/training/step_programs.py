"""A model's steps as programs, for the compiler of another device.

TensorFlow gives the HLO of a whole step on any machine. What it lacks without
the device are replicas: `Replicas` stands for them.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from tf_adapters.modeling import compilation
from tf_adapters.modeling.task_model import TaskModel
from tf_adapters.problems import find_problem

_DEVICE = "CPU:0"
_OneDevice: Any = type(tf.distribute.OneDeviceStrategy(_DEVICE).extended)


class _OneOfMany(_OneDevice):
  """One device, where each value that replicas share is XLA's all-reduce."""

  def __init__(self, strategy: tf.distribute.Strategy, replicas: int):
    super().__init__(strategy, _DEVICE)
    self._replicas = replicas

  @property
  def _num_replicas_in_sync(self) -> int:
    return self._replicas

  def _reduce_to(self, reduce_op: Any, value: Any, destinations: Any,
                 options: Any) -> Any:
    del destinations, options
    total = gen_xla_ops.xla_all_reduce(
        value, [list(range(self._replicas))], "Add", "CrossReplica")
    if reduce_op == tf.distribute.ReduceOp.MEAN:
      total /= self._replicas
    return total


class Replicas(tf.distribute.Strategy):
  """A strategy whose steps are those of one of several replicas.

  They can be compiled, and not run.

  Args:
    count: of the replicas.

  Example:
    >>> with Replicas(8).scope():
    ...   model = ta.TextClassifier(encoder, labels)
    ...   model.compile(...)
    >>> training_program(model, rows=4, length=128)
  """

  def __init__(self, count: int):
    super().__init__(_OneOfMany(self, count))


def training_program(model: TaskModel, rows: int, length: int) -> bytes:
  """Makes the HLO of a training step of one replica.

  Args:
    model: compiled, made under `Replicas`.
    rows: of the replica.
    length: of each, in wordpieces.
  """
  model.optimizer.build(model.trainable_variables)
  inputs = _inputs(model, rows, length)
  labels = _labels(model, rows, length)
  return _program(model, lambda inputs, labels: model.train_step(
      (inputs, labels)), inputs, labels)


def evaluation_program(model: TaskModel, rows: int, length: int) -> bytes:
  """Makes the HLO of a step that predicts: see `training_program`."""
  return _program(model, lambda inputs: model.predict_step((inputs,)),
                  _inputs(model, rows, length))


def _program(model: TaskModel, step: Callable[..., Any], *specs: Any) -> bytes:

  @tf.function(jit_compile=True, autograph=False)
  def run(*flat: Any) -> Any:
    with compilation.one_program():
      return model.distribute_strategy.run(
          step, args=tf.nest.pack_sequence_as(specs, flat))

  # It takes specifications that are in no dict.
  return run.experimental_get_compiler_ir(*tf.nest.flatten(specs))(
      stage="hlo_serialized")


def _inputs(model: TaskModel, rows: int, length: int) -> dict[str, Any]:
  return {name: tf.TensorSpec([rows, length], tf.int32, name)
          for name in model.encoder.wanted_inputs()}


def _labels(model: TaskModel, rows: int, length: int) -> tf.TensorSpec:
  outputs = find_problem(model.problem_type).outputs
  if outputs == "words":
    return tf.TensorSpec([rows, length], tf.int32)
  if outputs == "windows":
    return tf.TensorSpec([rows, 2], tf.int32)
  if model.multi_label:
    return tf.TensorSpec([rows, len(model.labels)], tf.float32)
  return tf.TensorSpec([rows], tf.int32 if model.labels else tf.float32)
