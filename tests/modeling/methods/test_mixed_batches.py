"""Rows of all methods in one pass."""

import numpy as np
import tensorflow as tf

import tf_adapters as ta
from tests.adapters import with_random_values
from tf_adapters.modeling.methods.method import PROJECTIONS
from tf_adapters.modeling.stacked import TaskArrays
from tf_adapters.modeling.stacked_layers import StackedModel

METHODS = [
    ta.LoraConfig(rank=2, targets=PROJECTIONS),
    ta.LoraConfig(rank=9, alpha=20, rslora=True, layers=(1, 2)),
    ta.LoraConfig(rank=3, alpha=6, dora=True, targets=PROJECTIONS),
    ta.LoraConfig(rank=12, dora=True, targets=("key", "value"), layers=(0,)),
    ta.IA3Config.preset("peft"),
    ta.IA3Config.preset("adapterhub", layers=(0, 2)),
    ta.AdapterConfig(size=4),
    None]


def test_rows_are_as_their_model_alone_has_them(hf_source):
  plain = ta.load_encoder(hf_source)
  stacked = StackedModel(plain, "mean")
  inputs = plain.text_processor(16)(["the film is good", "he said so, very!"])
  nothing = stacked.no_tasks()
  zeros = tf.zeros([2], tf.int32)
  embedding = stacked(nothing.keys, nothing.tensors, inputs, zeros)["embedding"]
  tasks, expected = [], []
  for seed, method in enumerate(METHODS):
    encoder = with_random_values(
        ta.load_encoder(hf_source, method), seed, stddev=0.05)
    model = ta.TextClassifier(encoder, ["no", "yes"], pooling="mean")
    arrays = {name: variable.numpy()
              for name, variable in model.tuned_variables().items()
              if method is not None or name.startswith("head/")}
    tasks.append(TaskArrays.of(
        plain.config, method, "mean", arrays, plain.projection_weights))
    expected.append(model(inputs))
  together = nothing.with_tasks(tasks)
  batch = {name: tf.tile(rows, [1 + len(METHODS), 1])
           for name, rows in inputs.items()}
  outputs = stacked(
      together.keys, together.tensors, batch,
      tf.repeat(tf.range(1 + len(METHODS)), 2))
  np.testing.assert_allclose(
      outputs["texts"][2:, :2], np.concatenate(expected), atol=1e-6)
  # Where there is no task, other rows' methods add nothing at all.
  alone = stacked(
      together.keys, together.tensors, inputs, zeros)["embedding"]
  np.testing.assert_array_equal(alone, embedding)
  np.testing.assert_allclose(outputs["embedding"][:2], embedding, atol=1e-6)
