"""Models that have learnt a little, for the tests of methods."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras

import tf_adapters as ta

TEXTS = ["the film is good", "bad", "he said so, very!", ""]


class Trained(NamedTuple):
  """A model, inputs of `TEXTS`, and names of the variables that changed."""

  model: ta.TextClassifier
  inputs: dict[str, Any]
  changed: set[str]


def trained(source, method, steps=1):
  """A model of two classes after some steps, each on all of `TEXTS`."""
  encoder = ta.load_encoder(source, method)
  model = ta.TextClassifier(encoder, ["no", "yes"], pooling="mean")
  model.compile(tf_keras.optimizers.Adam(0.05), model.loss_function,
                run_eagerly=True)
  variables = model.named_variables()
  before = {name: variable.numpy() for name, variable in variables.items()}
  inputs = encoder.text_processor()(TEXTS)
  tf.config.run_functions_eagerly(True)  # nothing is compiled for a step
  try:
    for _ in range(steps):
      model.train_on_batch(inputs, np.array([1, 0, 0, 1]))
  finally:
    tf.config.run_functions_eagerly(False)
  return Trained(model, inputs, {
      name for name, variable in variables.items()
      if np.any(before[name] != variable)})
