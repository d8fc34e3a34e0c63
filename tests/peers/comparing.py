"""Compares a golden file of another library with a model of ours."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf
import tf_keras

import tf_adapters as ta
from tests.peers import families, tiny_bert
from tf_adapters.adapter_files.opening import AdapterFile
from tf_adapters.adapter_files.tensors import expected_shapes
from tf_adapters.modeling.stacked import TaskArrays
from tf_adapters.modeling.stacked_layers import StackedModel


def our_inputs() -> dict[str, np.ndarray]:
  """The batch, as our models take it."""
  return families.our_inputs("bert")


def in_one_batch(encoder, files: Sequence[AdapterFile],
                 inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
  """Logits of files on an encoder, each for all inputs, from one batch.

  As a bank does it, which would make a graph of it first. Outputs are padded.
  """
  model = StackedModel(encoder, "cls")
  tasks = model.no_tasks().with_tasks([TaskArrays(
      encoder.config, file.info.method, file.info.pooling,
      expected_shapes(file.info), file.tensors, encoder.projection_weights)
      for file in files])
  rows = len(inputs["input_mask"])
  outputs = model(
      tasks.keys, tasks.tensors,
      {name: tf.constant(np.tile(array, (len(files), 1)))
       for name, array in inputs.items()},
      tf.repeat(tf.range(1, len(files) + 1), rows))
  return [outputs["tokens" if file.info.problem.per_token else "texts"][
      number * rows:(number + 1) * rows].numpy()
          for number, file in enumerate(files)]


def check(source, method, golden: Mapping[str, np.ndarray],
          our_arrays: Callable[[str], Mapping[str, np.ndarray]]):
  """Compares outputs, and what a step of SGD makes of the weights, to 1e-5.

  Args:
    source: the tiny BERT.
    method: the configuration that is the other library's.
    golden: what `torch_step.write_golden` wrote.
    our_arrays: returns what trains by canonical name, in our shapes: "before/"
      the step or "after/" it.

  Returns:
    What the method's variables of a fresh model are: {canonical name: array}.
  """
  encoder = ta.load_encoder(source, method)
  encoder.tune("adapters-layer_norms")
  model = ta.TextClassifier(encoder, ["a", "b", "c"], pooling="cls")
  tuned = model.tuned_variables()
  fresh = {name: variable.numpy() for name, variable in tuned.items()}
  before = our_arrays("before/")
  assert before.keys() == tuned.keys()
  for variable, array in before.items():
    assert tuned[variable].shape == array.shape, variable
    tuned[variable].assign(array)
  inputs = our_inputs()
  np.testing.assert_allclose(model(inputs), golden["logits"], atol=1e-5)
  mask = inputs["input_mask"] == 1
  np.testing.assert_allclose(
      encoder(inputs)["sequence_output"][mask],
      golden["sequence_output"][mask], atol=1e-5)
  model.compile(tf_keras.optimizers.SGD(tiny_bert.LEARNING_RATE),
                model.loss_function, run_eagerly=True)
  model.train_on_batch(inputs, tiny_bert.LABELS)
  for variable, array in our_arrays("after/").items():
    assert np.abs(array - before[variable]).max() > 1e-3
    np.testing.assert_allclose(
        tuned[variable], array, atol=1e-5, err_msg=variable)
  return fresh
