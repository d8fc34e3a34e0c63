"""How a golden file of another library is held against a model of ours."""

from collections.abc import Callable, Mapping

import numpy as np
import tf_keras

import tf_adapters as ta
from tests.peers import families, tiny_bert


def our_inputs() -> dict[str, np.ndarray]:
  """The batch, as our models take it."""
  return families.our_inputs("bert")


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
