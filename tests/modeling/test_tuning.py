import numpy as np
import pytest
import tensorflow as tf

import tf_adapters as ta
from tf_adapters.checkpoints import names
from tf_adapters.modeling.adapter import TaskLayers
from tf_adapters.modeling.tuning import Tuning


def expected_names(tuning, everything):
  """Which variables each tuning trains, spelled out."""
  def norm(name):
    return "layer_norm" in name
  rules = {
      "adapters": lambda n: "_adapter/" in n or norm(n),
      "full": lambda n: True,
      "top_layers:1": lambda n: n.startswith(
          ("transformer/layer_2/", "pooler_transform/")),
      "top_layers:3": lambda n: n.startswith(
          ("transformer/", "pooler_transform/")),
      "layer_norm": norm,
      "bias": lambda n: n.endswith(("/bias", "/beta")),
      "head": lambda n: False,
  }
  return {n for n in everything if n.startswith("head/") or rules[tuning](n)}


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("tuning", [
    "adapters", "full", "top_layers:1", "top_layers:3", "layer_norm", "bias",
    "head"])
def test_one_step_changes_exactly_what_trains(
    encoder, batch, tuning, jit_compile):
  model = ta.TextClassifier(encoder, ["no", "yes"])
  model.tune(tuning)
  before = {n: v.numpy() for n, v in model.named_variables().items()}
  # Decay moves kernels whose gradient is zero; of biases all get one.
  model.compile(ta.create_optimizer(0.1, 10), model.loss_function,
                jit_compile=jit_compile)
  model.fit(batch, np.array([0, 1, 1, 0]), verbose=0)
  changed = {n for n, v in model.named_variables().items()
             if np.any(v.numpy() != before[n])}
  expected = expected_names(tuning, before)
  # Keys' biases shift all scores of a query alike: the softmax drops them.
  indifferent = {n for n in before if n.endswith("key/bias")}
  assert changed <= expected
  assert expected - changed <= indifferent
  assert {id(v) for v in model.trainable_variables} == {
      id(model.named_variables()[n]) for n in expected}


def test_adapter_berts_recipe_is_the_default(encoder):
  assert encoder.tuning == "adapters"
  frozen = set(encoder.named_variables()) - set(encoder.tuned_variables())
  assert "pooler_transform/kernel" in frozen
  assert "word_embeddings/embeddings" in frozen
  assert "embeddings/layer_norm/gamma" in encoder.tuned_variables()


def test_freezing_does_not_depend_on_order(hf_source, batch):
  labels = np.array([0, 1, 1, 0])

  def trained(steps):
    encoder = ta.load_encoder(str(hf_source), ta.AdapterConfig(size=8))
    model = ta.TextClassifier(encoder, ["no", "yes"])
    for step in steps:
      step(model)
    return {v.name for v in model.trainable_variables}

  def tune(model):
    model.tune("bias")

  def compile_model(model):
    model.compile("adam", model.loss_function)

  def fit(model):
    model.fit(batch, labels, verbose=0)

  def call(model):
    model(batch)

  orders = [(tune, compile_model, fit), (compile_model, tune, fit),
            (call, compile_model, fit, tune, fit)]
  results = [trained(order) for order in orders]
  assert results[0] == results[1] == results[2]


def test_tuning_again_after_a_fit_trains_the_new_choice(encoder, batch):
  model = ta.TextClassifier(encoder, ["no", "yes"])
  model.compile(ta.create_optimizer(0.1, 10), model.loss_function)
  labels = np.array([0, 1, 1, 0])
  model.fit(batch, labels, verbose=0)
  model.tune("full")
  before = model.named_variables()["pooler_transform/kernel"].numpy()
  adapter = model.named_variables()["transformer/layer_0/output_adapter/"
                                    "down/kernel"]
  model.fit(batch, labels, verbose=0)
  after = model.named_variables()["pooler_transform/kernel"].numpy()
  assert np.any(before != after)
  model.tune("head")
  before = adapter.numpy()
  model.fit(batch, labels, verbose=0)
  np.testing.assert_array_equal(adapter, before)


def test_the_encoder_can_be_tuned_behind_the_models_back(encoder, batch):
  model = ta.TextClassifier(encoder, ["no", "yes"])
  model.compile(ta.create_optimizer(0.1, 10), model.loss_function)
  labels = np.array([0, 1, 1, 0])
  model.fit(batch, labels, verbose=0)
  optimizer = model.optimizer
  model.tune("adapters")  # as it was: the optimizer goes on
  model.fit(batch, labels, verbose=0)
  assert model.optimizer is optimizer
  encoder.tune("head")
  before = {n: v.numpy() for n, v in model.named_variables().items()}
  model.fit(batch, labels, verbose=0)
  changed = {n for n, v in model.named_variables().items()
             if np.any(v.numpy() != before[n])}
  assert changed == {"head/kernel", "head/bias"}


@pytest.mark.parametrize("tuning", ["full", "top_layers:1", "bias"])
def test_a_pooler_that_is_not_looked_at_does_not_train(encoder, tuning):
  model = ta.TextClassifier(encoder, ["no", "yes"], pooling="mean")
  model.tune(tuning)
  assert model.summary_of_tuning().rows["pooler"] == (0, 32 * 32 + 32)
  pooler = model.named_variables()["pooler_transform/kernel"]
  assert all(v is not pooler for v in model.trainable_variables)


def test_keras_trainable_switch_still_works(encoder):
  encoder.trainable = False
  assert not encoder.trainable_weights
  assert len(encoder.non_trainable_weights) == len(encoder.weights)
  encoder.trainable = True
  assert encoder.trainable_weights


@pytest.mark.parametrize("text, message", [
    ("adapter", "one of adapters, full"),
    ("top_layers", "one of"),
    ("top_layers:0", "positive"),
    ("top_layers:x", "positive"),
    ("full:2", "one of"),
])
def test_refuses_unknown_tunings(text, message):
  with pytest.raises(ta.InputError, match=message):
    Tuning.parse(text)


def test_refuses_what_the_encoder_can_not_do(plain_encoder):
  with pytest.raises(ta.InputError, match="needs an encoder with adapters"):
    plain_encoder.tune("adapters")
  with pytest.raises(ta.InputError, match="3 layers only"):
    plain_encoder.tune("top_layers:4")


@pytest.mark.parametrize("config, percent", [
    (ta.BertConfig(30522), 2.21),
    (ta.BertConfig(30522, hidden_size=1024, num_hidden_layers=24,
                   num_attention_heads=16, intermediate_size=4096), 1.9),
])
def test_parameter_counts_are_the_papers(config, percent):
  """Counted on shapes alone: a BERT-large need not be allocated."""
  hidden, layers, size = config.hidden_size, config.num_hidden_layers, 64
  adapters = 2 * layers * (2 * size * hidden + hidden + size)
  layer_norms = (2 * layers + 1) * 2 * hidden
  base = sum(np.prod(shape) for shape in names.shapes(config).values())
  assert {name for name in names.shapes(config) if "layer_norm" in name} == {
      name for name in names.shapes(config)
      if Tuning("layer_norm").trains(name, layers)}
  assert sum(np.prod(shape) for name, shape in names.shapes(config).items()
             if Tuning("adapters").trains(name, layers)) == layer_norms
  head = 2 * hidden + 2
  assert 100 * (adapters + layer_norms + head) / base == pytest.approx(
      percent, abs=0.05)


def test_summary_counts_what_is_there(encoder):
  model = ta.TextClassifier(encoder, ["a", "b", "c"])
  summary = model.summary_of_tuning()
  assert summary.rows["adapters"] == (6 * (2 * 8 * 32 + 32 + 8), 0)
  assert summary.rows["layer norms"] == (7 * 2 * 32, 0)
  assert summary.rows["head"] == (3 * 32 + 3, 0)
  assert summary.rows["pooler"] == (0, 32 * 32 + 32)
  assert summary.total == model.count_params()
  assert summary.trained == sum(
      int(np.prod(v.shape)) for v in model.trainable_variables)
  assert "trained" in str(summary)
  assert f"{summary.percent:.2f} %" in str(summary)


def test_task_layers_are_all_that_a_task_owns(encoder):
  owned = {id(v) for v in encoder.task_layers.named_variables().values()}
  assert owned == {id(v) for v in encoder.trainable_weights}
  assert isinstance(encoder.task_layers, TaskLayers)
  assert all(isinstance(v, tf.Variable) for v in encoder.trainable_weights)
