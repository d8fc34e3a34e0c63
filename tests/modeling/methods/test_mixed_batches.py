"""Rows of all methods in one pass."""

import types

import numpy as np
import pytest
import tensorflow as tf

import tf_adapters as ta
from tests.adapters import with_random_values
from tf_adapters.modeling.methods.places import PROJECTIONS
from tf_adapters.modeling.stacked import TaskArrays
from tf_adapters.modeling.stacked_layers import StackedModel, TracedModel

METHODS = [
    ta.LoraConfig(rank=2, targets=PROJECTIONS),
    ta.LoraConfig(rank=9, alpha=20, rslora=True, layers=(1,)),
    ta.LoraConfig(rank=3, alpha=6, dora=True, targets=PROJECTIONS),
    ta.LoraConfig(rank=12, dora=True, targets=("key", "value"), layers=(0,)),
    ta.IA3Config.preset("peft"),
    ta.IA3Config.preset("adapterhub", layers=(0,)),
    ta.AdapterConfig(size=4),
    ta.CompacterConfig(size=8, rank=2, activation="gelu_tanh", init_scale=0.5),
    None]
PREFIXES = [
    ta.PrefixConfig(length=7, bottleneck_size=4, layers=(1,)),
    ta.PrefixConfig(length=2, flat=True),
    ta.UnionConfig((ta.PrefixConfig(length=3, flat=True),
                    ta.AdapterConfig.preset("parallel", size=4)))]


@pytest.fixture(scope="module")
def served(hf_source):
  """A model of stacked tasks, the tasks, and what each one's model gives."""
  plain = ta.load_encoder(hf_source)
  inputs = plain.text_processor(16)(["the film is good", "he said so, very!"])
  tasks, expected = [], []
  for seed, method in enumerate([*METHODS, *PREFIXES]):
    encoder = with_random_values(
        ta.load_encoder(hf_source, method), seed, stddev=0.05)
    model = ta.TextClassifier(encoder, ["no", "yes"], pooling="mean")
    arrays = {name: variable.numpy()
              for name, variable in model.tuned_variables().items()
              if method is not None or name.startswith("head/")}
    tasks.append(TaskArrays.of(
        plain.config, method, "mean", arrays, plain.projection_weights))
    expected.append(model(inputs).numpy())
  return types.SimpleNamespace(
      model=StackedModel(plain, "mean"), inputs=inputs, tasks=tasks,
      expected=expected)


def repeated(inputs, times):
  return {name: tf.tile(rows, [times, 1]) for name, rows in inputs.items()}


def test_rows_are_as_their_model_alone_has_them(served):
  stacked, count = served.model, len(served.tasks)
  nothing, zeros = stacked.no_tasks(), tf.zeros([2], tf.int32)
  embedding = stacked(
      nothing.keys, nothing.tensors, served.inputs, zeros)["embedding"]
  together = nothing.with_tasks(served.tasks)
  outputs = stacked(
      together.keys, together.tensors, repeated(served.inputs, 1 + count),
      tf.repeat(tf.range(1 + count), 2))
  np.testing.assert_allclose(
      outputs["texts"][2:, :2], np.concatenate(served.expected), atol=1e-6)
  # Where there is no task, other rows' methods add nothing at all.
  alone = stacked(
      together.keys, together.tensors, served.inputs, zeros)["embedding"]
  np.testing.assert_array_equal(alone, embedding)
  np.testing.assert_allclose(outputs["embedding"][:2], embedding, atol=1e-6)


def test_prefixes_change_no_bit_of_other_rows(served):
  """In the graph that a bank computes with."""
  others = [served.tasks[0], served.tasks[6]]  # LoRA, bottlenecks
  prefixes = served.tasks[len(METHODS):]
  inputs = repeated(served.inputs, 6)

  def compute(count):
    """With so many of the prefixes; rows of the others are without a task."""
    tasks = served.model.no_tasks().with_tasks([*others, *prefixes[:count]])
    index = [place if place < 3 + count else 0 for place in range(6)]
    outputs = TracedModel(served.model, tasks.keys)(
        tasks, inputs, tf.repeat(tf.constant(index), 2))
    return [outputs[name].numpy() for name in ("embedding", "texts")]

  together = compute(3)
  for count in (0, 1):
    same = 2 * (3 + count)
    for one, other in zip(together, compute(count)):
      np.testing.assert_array_equal(one[:same], other[:same])


@pytest.mark.slow  # two models are compiled
def test_other_rows_under_xla(served):
  """As near as sums in another order are: XLA fuses each graph in its own way.

  So there rows are not the same to the last bit with prefixes beside them.
  """
  others = served.tasks[:len(METHODS)]
  rows = 2 * (1 + len(others))  # the first two are of no task
  inputs = repeated(served.inputs, 1 + len(served.tasks))

  def compute(tasks):
    tasks = served.model.no_tasks().with_tasks(tasks)
    compiled = tf.function(
        lambda tensors, *batch: served.model(tasks.keys, tensors, *batch),
        jit_compile=True)
    outputs = compiled(
        tasks.tensors, {name: array[:2 * (1 + tasks.num_tasks)]
                        for name, array in inputs.items()},
        tf.repeat(tf.range(1 + tasks.num_tasks), 2))
    return [outputs[name][:rows].numpy() for name in ("embedding", "texts")]

  for one, other in zip(compute(others), compute(served.tasks)):
    np.testing.assert_allclose(one, other, atol=2e-6)
