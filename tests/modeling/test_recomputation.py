"""Layers that the backward pass computes again, and layers of one token."""

import itertools
import pathlib

import numpy as np
import pytest
import tensorflow as tf

import tf_adapters as ta
from tf_adapters.checkpoints.architecture import find_architecture
from tf_adapters.modeling import compilation
from tf_adapters.modeling.encoders.table import family_of
from tf_adapters.modeling.layers import Dropout
from tf_adapters.modeling.recomputation import recomputed
from tf_adapters.modeling.task_layers import TaskLayers

FAMILIES = pathlib.Path(__file__).parents[1] / "checkpoints" / "families"
METHODS = {
    "bottleneck": ta.AdapterConfig(size=4, dropout=0.2),
    "lora": ta.LoraConfig(rank=2, dropout=0.2),
    "prefix": ta.PrefixConfig(length=2, bottleneck_size=3),
    "ia3": ta.IA3Config(), "none": None}
LABELS = ["a", "b", "c"]


def model_of(config, method, tuning=None, dtype="float32", pooling="auto"):
  encoder = family_of(config).encoder_class()(
      config, TaskLayers(config, method, dtype=dtype), dtype=dtype)
  model = ta.TextClassifier(encoder, LABELS, pooling)
  if tuning:
    model.tune(tuning)
  rng = np.random.default_rng(0)
  for variable in model.named_variables().values():
    variable.assign_add(tf.cast(
        rng.normal(0, 0.1, variable.shape), variable.dtype))
  return model


def bert(**values):
  return ta.BertConfig(**dict(
      vocab_size=9, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
      intermediate_size=16, hidden_dropout_prob=0.4,
      attention_probs_dropout_prob=0.4) | values)


def inputs_of(model, length=6):
  ids = np.arange(2 * length, dtype=np.int32).reshape(2, length) % 7 + 1
  values = {"input_word_ids": ids, "input_mask": (ids != 5).astype(np.int32),
            "input_type_ids": ids % 2}
  return {name: tf.constant(values[name] % (most or 9))
          for name, most in model.encoder.wanted_inputs().items()}


def gradients(model, inputs):
  """The loss of a training step and its gradients, with masks as at first."""
  for layer in model.submodules:
    if isinstance(layer, Dropout):
      layer.state.seed_and_calls.assign([3, 0])
  with tf.GradientTape() as tape:
    loss = model.loss_function(tf.constant([0, 2]), model(
        inputs, training=True))
  found = tape.gradient(loss, model.trainable_variables)
  return [loss, *map(tf.convert_to_tensor, found)]


def traced(model, inputs):
  return tf.function(lambda: gradients(model, inputs))()


def assert_same_gradients(model, run=traced, rtol=1e-4, atol=1e-6):
  inputs = inputs_of(model)
  expected = run(model, inputs)
  model.encoder.remat = True
  calls = [layer.state.seed_and_calls.numpy()[1] for layer in model.submodules
           if isinstance(layer, Dropout)]
  assert sum(map(int, calls)) > 0
  found = run(model, inputs)
  for one, other, variable in zip(
      found, expected, [None, *model.trainable_variables], strict=True):
    np.testing.assert_allclose(
        one, other, rtol=rtol, atol=atol, err_msg=getattr(variable, "name", ""))
  # Masks were drawn once in a step.
  assert calls == [
      layer.state.seed_and_calls.numpy()[1] for layer in model.submodules
      if isinstance(layer, Dropout)]


@pytest.mark.parametrize("method, tuning, dtype", [
    ("bottleneck", None, "float32"),
    pytest.param("lora", None, "bfloat16", marks=pytest.mark.slow),
    pytest.param("none", "full", "mixed_bfloat16", marks=pytest.mark.slow)])
def test_gradients_are_the_same(method, tuning, dtype):
  exact = dtype == "float32"
  with compilation.portable():
    assert_same_gradients(
        model_of(bert(), METHODS[method], tuning, dtype),
        rtol=1e-4 if exact else 0.05, atol=1e-6 if exact else 2e-3)


def families():
  names = sorted(path.stem for path in FAMILIES.glob("*.npz"))
  for family, method in zip(names, itertools.cycle(METHODS)):
    if family == "mobilebert":
      method = "bottleneck"
    yield pytest.param(family, method, id=f"{family}-{method}")


def family_model(tmp_path, family, method):
  path = tmp_path / "config.json"
  path.write_text(str(np.load(FAMILIES / f"{family}.npz")["config"]))
  return model_of(find_architecture(str(path))[0], METHODS[method])


@pytest.mark.slow
@pytest.mark.parametrize("family, method", families())
def test_every_family(tmp_path, family, method):
  with compilation.portable():
    assert_same_gradients(
        family_model(tmp_path, family, method), rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("family, method", families())
def test_the_first_token_of_every_family(tmp_path, family, method):
  model = family_model(tmp_path, family, method)
  inputs = inputs_of(model)
  whole, first = (model.encoder(inputs, first_only=only)
                  for only in (False, True))
  np.testing.assert_allclose(first["sequence_output"][:, :1],
                             whole["sequence_output"][:, :1], atol=1e-5)
  np.testing.assert_allclose(
      first["pooled_output"], whole["pooled_output"], atol=1e-5)


def test_the_first_token_of_bert():
  model = model_of(bert(), METHODS["prefix"])
  inputs = inputs_of(model)
  whole, first = (model.encoder(inputs, first_only=only)
                  for only in (False, True))
  assert first["sequence_output"].shape == [2, 1, 8]
  np.testing.assert_allclose(
      first["pooled_output"], whole["pooled_output"], atol=1e-6)


@pytest.mark.parametrize("pooling, queries", [("pooler", 1), ("mean", 6)])
def test_the_last_layer_computes_what_the_head_reads(pooling, queries):
  model = model_of(bert(hidden_dropout_prob=0.0,
                        attention_probs_dropout_prob=0.0),
                   ta.AdapterConfig(size=4), pooling=pooling)
  inputs = inputs_of(model)

  def whole(inputs, training):
    return model.logits(model.encoder(inputs, training=training),
                        inputs["input_mask"], training)

  def step(logits):
    with tf.GradientTape() as tape:
      loss = model.loss_function(tf.constant([0, 2]), logits(
          inputs, training=True))
    return [logits(inputs, training=False), loss, *map(
        tf.convert_to_tensor, tape.gradient(loss, model.trainable_variables))]

  for one, other in zip(tf.function(lambda: step(model))(), step(whole)):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
  weights = [node.outputs[0].shape for node in tf.function(
      model).get_concrete_function(inputs).graph.get_operations()
             if node.type == "Softmax"]
  assert weights == [[2, 2, 6, 6], [2, 2, queries, 6]]


@pytest.mark.slow
def test_steps_that_are_one_program():
  """Where XLA would keep what it has computed, unless it is hidden from it."""
  counts = []

  def run(model, inputs):

    @tf.function(jit_compile=True)
    def step():
      with compilation.one_program():
        return gradients(model, inputs)

    counts.append(sum(node.op == "Tanh" for node in nodes(
        step.get_concrete_function().graph)))
    return step()

  assert_same_gradients(model_of(bert(), METHODS["bottleneck"]), run)
  assert counts[1] > counts[0]


def nodes(graph):
  definition = graph.as_graph_def()
  yield from definition.node
  for function in definition.library.function:
    yield from function.node_def


def test_what_is_computed_again_is_kept_by_nobody():
  """By a step that `jit_compile` compiles, too."""
  weights = tf.Variable(tf.random.stateless_normal([64, 64], [1, 2]) / 8)

  def layer(hidden):
    for _ in range(8):
      hidden = tf.nn.tanh(hidden @ weights)
    return hidden

  def step(hidden, again):
    with tf.GradientTape() as tape:
      for _ in range(4):
        hidden = recomputed(layer, hidden) if again else layer(hidden)
      loss = tf.reduce_sum(hidden)
    return tape.gradient(loss, weights)

  hidden = tf.random.stateless_normal([256, 64], [3, 4])
  run = tf.function(step, jit_compile=True)
  kept, again = (run(hidden, again) for again in (False, True))
  np.testing.assert_allclose(kept, again, rtol=1e-4, atol=1e-4)
  dots = [run.experimental_get_compiler_ir(hidden, again)(
      stage="optimized_hlo").count("tanh(") for again in (False, True)]
  assert dots[1] > dots[0]
