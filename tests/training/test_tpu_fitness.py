"""Demands of a TPU on a step, without a TPU: XLA translates it as a whole.

Shapes are static, there are no strings and no calls back to the host. A
`OneDeviceStrategy` stands in for TPUStrategy. That compiled steps train as
others do is tested where they are.
"""

import numpy as np
import pytest
import tensorflow as tf

import tf_adapters as ta
from tf_adapters.data.batching import training_batches
from tf_adapters.data.loading import load_task
from tf_adapters.modeling import compilation
from tf_adapters.modeling.task_layers import TaskLayers
from tf_adapters.problems import PROBLEMS, find_problem
from tf_adapters.training import distribution
from tf_adapters.training.optimization import create_optimizer
from tf_adapters.training.run import run
from tf_adapters.training.run_config import GlueRunConfig

METRICS = {"classification": ["accuracy", "macro_f1", "matthews_correlation"],
           "multi_label": ["accuracy", "micro_f1"],
           "tagging": ["accuracy", "macro_f1"], "regression": ["mae"]}
LABELS = ("no", "yes", "maybe")


@pytest.fixture
def strategy(monkeypatch):
  monkeypatch.setattr(tf.distribute, "TPUStrategy",
                      tf.distribute.OneDeviceStrategy)
  return tf.distribute.OneDeviceStrategy("CPU:0")


def labels_of(problem_type, batch):
  rows = batch["input_mask"].shape[0]
  match problem_type:
    case "regression":
      return tf.linspace(0.0, 5.0, rows)
    case "multi_label":
      return tf.ones([rows, len(LABELS)])
    case "tagging":
      return tf.where(tf.cast(batch["input_mask"], bool), 1, -1)
    case "span":
      return tf.zeros([rows, 2], tf.int32)
  return tf.range(rows) % len(LABELS)


def nodes(graph):
  """All operations of a graph and of the functions that it calls."""
  definition = graph.as_graph_def()
  yield from definition.node
  for function in definition.library.function:
    yield from function.node_def


def assert_fit_for_tpus(step, *args):
  """Translates a step, and looks for what only a host can do."""
  graph = step.get_concrete_function(*args).graph
  for node in nodes(graph):
    assert "Py" not in node.op and "HostCompute" not in node.op, node.op
    assert not node.attr["_XlaMustCompile"].b, node.name
    for attribute in node.attr.values():
      types = {attribute.type, *attribute.list.type}
      assert tf.string.as_datatype_enum not in types, node.name
  hlo = step.experimental_get_compiler_ir(*args)(stage="hlo")
  assert "<=" not in hlo  # the bound of a dynamic dimension
  assert "custom-call" not in hlo


@pytest.mark.parametrize("problem_type, dtype, tuning", [
    *(pytest.param(problem_type, "float32", "adapters",
                   marks=pytest.mark.slow) for problem_type in PROBLEMS),
    ("classification", "bfloat16", "adapters"),
    ("classification", "mixed_bfloat16", "full"),
])
def test_steps(strategy, one_layer_source, batch, problem_type, dtype, tuning):
  with strategy.scope():
    encoder = ta.load_encoder(
        str(one_layer_source), ta.AdapterConfig(size=8), dtype=dtype)
    model = find_problem(problem_type).make_model(encoder, LABELS)
    model.tune(tuning)
    model.compile(
        create_optimizer(1e-2, 10), model.loss_function,
        METRICS.get(problem_type, ["accuracy"]))
    model.optimizer.build(model.trainable_variables)

  @tf.function(jit_compile=True)
  def train(inputs, labels):
    return strategy.run(model.train_step, args=((inputs, labels),))

  @tf.function(jit_compile=True)
  def predict(inputs):
    return strategy.run(model.predict_step, args=(inputs,))

  assert_fit_for_tpus(train, batch, labels_of(problem_type, batch))
  assert_fit_for_tpus(predict, batch)


def test_a_run(strategy, monkeypatch, one_layer_source, sentiment_dir):
  monkeypatch.setattr(distribution, "make_strategy", lambda *_: strategy)
  config = GlueRunConfig(
      task_name="tsv", data_dir=str(sentiment_dir),
      encoder=str(one_layer_source), output_dir=str(sentiment_dir / "run"),
      do_train=True, do_eval=True, adapter_size=4, max_seq_length=16,
      train_batch_size=8, num_train_epochs=2, learning_rate=0.02,
      distribution_strategy="tpu", tpu="local", mixed_precision="bfloat16",
      steps_per_execution=4)
  results = run(config)
  assert results["steps"] == 12
  assert results["evaluated_rows"] == {"validation": 21, "test": 10}
  checkpoints = sentiment_dir / "run" / "checkpoints"
  assert {path.name for path in checkpoints.glob("*.index")} == {
      "ckpt-6.index", "ckpt-12.index"}


def test_batches_have_few_shapes(one_layer_source, sentiment_dir):
  encoder = ta.load_encoder(str(one_layer_source))
  task = load_task("tsv", str(sentiment_dir))
  encoded = task.split("train").encode(encoder.text_processor(16))
  shapes = {
      tuple(inputs["input_word_ids"].shape)
      for inputs, _ in training_batches(encoded, 7, 0, range(3), widths=(8,))}
  assert shapes == {(7, 8), (7, 16)}


@pytest.mark.parametrize("method", [
    ta.AdapterConfig(size=4),
    ta.LoraConfig(rank=2, targets=("query", "output"))])
def test_one_program_has_the_same_gradients(method):
  """As steps for TPUs are written, and as those for other devices are."""
  config = ta.BertConfig(
      vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
      intermediate_size=16, hidden_dropout_prob=0.0,
      attention_probs_dropout_prob=0.0)
  model = ta.TextClassifier(
      ta.BertEncoder(config, TaskLayers(config, method)), LABELS)
  rng = np.random.default_rng(0)
  for variable in model.named_variables().values():
    variable.assign_add(rng.normal(0, 0.1, variable.shape))
  ids = tf.reshape(tf.range(12) % 9, [2, 6])
  inputs = {"input_word_ids": ids, "input_type_ids": 0 * ids,
            "input_mask": tf.cast(ids != 5, tf.int32)}

  def gradients():
    with tf.GradientTape() as tape:
      loss = model.loss_function(tf.constant([0, 2]), model(
          inputs, training=True))
    return loss, *tape.gradient(loss, model.trainable_variables)

  @tf.function(jit_compile=True)
  def whole():
    with compilation.one_program():
      return gradients()

  for one, other in zip(whole(), gradients(), strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_one_program_projects_to_heads_at_once():
  """TPUs' compiler joins products of tensors, where none is reshaped."""
  config = ta.BertConfig(
      vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
      intermediate_size=16)
  encoder = ta.BertEncoder(config, TaskLayers(config, ta.AdapterConfig(size=4)))
  ids = tf.ones([2, 6], tf.int32)

  @tf.function
  def step():
    with compilation.one_program(), tf.GradientTape() as tape:
      outputs = encoder({"input_word_ids": ids, "input_type_ids": 0 * ids,
                         "input_mask": ids}, training=True)["pooled_output"]
    # The embeddings' layer norm is below all projections.
    return tape.gradient(outputs, encoder.trainable_variables)

  products = [operation.get_attr("equation").decode() for operation
              in step.get_concrete_function().graph.get_operations()
              if operation.type == "Einsum"]
  assert products.count("bln,nhs->bhls") == 3
  assert products.count("bhls,nhs->bln") == 3
