import dataclasses
import gc
import itertools
import warnings

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tf_adapters as ta
from tf_adapters.checkpoints import names
from tf_adapters.modeling import compilation
from tf_adapters.modeling.task_layers import TaskLayers
from tf_adapters.modeling.tuning import Tuning, is_layer_norm


def expected_names(tuning, everything):
  """Lists the variables that each tuning trains, spelled out."""
  def norm(name):
    return "layer_norm" in name
  pooler = ("pooler_transform/kernel", "pooler_transform/bias")
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
      "adapters-layer_norms+pooler":
          lambda n: "_adapter/" in n or n in pooler,
      "full-layer_norms": lambda n: not norm(n),
      "top_layers:1-pooler": lambda n: n.startswith("transformer/layer_2/"),
      "head+layer_norms": norm,
  }
  return {n for n in everything if n.startswith("head/") or rules[tuning](n)}


TUNINGS = ["adapters", "full", "top_layers:1", "top_layers:3", "layer_norm",
           "bias", "head"]


@pytest.mark.parametrize("tuning", [
    *TUNINGS, "adapters-layer_norms+pooler", "full-layer_norms",
    "top_layers:1-pooler", "head+layer_norms"])
def test_what_is_listed(encoder, tuning):
  model = ta.TextClassifier(encoder, ["no", "yes"])
  model.tune(tuning)
  assert set(model.tuned_variables()) == expected_names(
      tuning, model.named_variables())
  assert encoder.tuning == tuning


@pytest.mark.parametrize("tuning, jit_compile", [
    *((tuning, False) for tuning in TUNINGS),
    pytest.param("adapters", True, marks=pytest.mark.slow),
    pytest.param("full", True, marks=pytest.mark.slow)])
def test_one_step_changes_exactly_what_trains(
    hf_source, one_layer_source, batch, tuning, jit_compile):
  # Compiling takes its time for every layer, and is the same for all.
  encoder = ta.load_encoder(
      str(one_layer_source if jit_compile else hf_source),
      ta.AdapterConfig(size=8))
  model = ta.TextClassifier(encoder, ["no", "yes"])
  model.tune(tuning)
  before = {n: v.numpy() for n, v in model.named_variables().items()}
  # Decay moves kernels whose gradient is zero; of biases all get one.
  model.compile(ta.create_optimizer(0.1, 10), model.loss_function,
                jit_compile=jit_compile,
                # One graph shows as much as one of each.
                run_eagerly=tuning != "adapters" and not jit_compile)
  model.optimizer.build(model.trainable_variables)  # or it is traced twice
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


def test_freezing_does_not_depend_on_order(one_layer_source, batch):
  labels = np.array([0, 1, 1, 0])

  def trained(steps):
    encoder = ta.load_encoder(str(one_layer_source), ta.AdapterConfig(size=8))
    model = ta.TextClassifier(encoder, ["no", "yes"])
    for step in steps:
      step(model)
    return {v.name for v in model.trainable_variables}

  def tune(model):
    model.tune("bias")

  def compile_model(model):
    model.compile("adam", model.loss_function, run_eagerly=True)

  def fit(model):
    model.fit(batch, labels, verbose=0)

  def call(model):
    model(batch)

  orders = [(tune, compile_model, fit), (compile_model, tune, fit),
            (call, compile_model, fit, tune, fit)]
  results = [trained(order) for order in orders]
  assert results[0] == results[1] == results[2]


def test_tuning_again_after_a_fit_trains_the_new_choice(
    one_layer_source, batch):
  encoder = ta.load_encoder(str(one_layer_source), ta.AdapterConfig(size=8))
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


def test_the_encoder_can_be_tuned_behind_the_models_back(
    one_layer_source, batch):
  encoder = ta.load_encoder(str(one_layer_source), ta.AdapterConfig(size=8))
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


def test_layer_norms_and_pooler_by_an_explicit_choice(encoder):
  model = ta.TextClassifier(encoder, ["no", "yes"])
  model.tune("adapters", layer_norms=False, pooler=True)
  assert model.encoder.tuning == "adapters-layer_norms+pooler"
  rows = model.summary_of_tuning().rows
  assert rows["layer norms"] == (0, 7 * 2 * 32)
  assert rows["pooler"] == (32 * 32 + 32, 0)
  model.tune("adapters-layer_norms", layer_norms=True)
  assert model.encoder.tuning == "adapters+layer_norms"
  with pytest.raises(ta.InputError, match="with the layer norms frozen"):
    model.tune("layer_norm", layer_norms=False)


@pytest.mark.parametrize("layers, first", [
    (None, 0), ((0, 2), 0), ((1,), 1), ((1, 2), 1), ((2,), 2)])
def test_layer_norms_below_the_lowest_adapter_are_frozen(
    hf_source, layers, first):
  encoder = ta.load_encoder(
      str(hf_source), ta.AdapterConfig(size=8, layers=layers))

  def tuned_norms():
    return {name for name in encoder.tuned_variables()
            if is_layer_norm(name)}

  everything = {name for name in encoder.named_variables()
                if is_layer_norm(name)}
  assert tuned_norms() == (everything if first == 0 else {
      name for name in everything
      if name.startswith(tuple(
          f"transformer/layer_{layer}/" for layer in range(first, 3)))})
  encoder.tune("adapters", layer_norms=True)
  assert tuned_norms() == everything
  encoder.tune("adapters", layer_norms=False)
  assert not tuned_norms()


@pytest.mark.parametrize("layers, tuning, prefix", [
    (None, "adapters", 0),
    ((0, 2), "adapters", 0),
    ((1, 2), "adapters", 1),
    ((2,), "adapters", 2),
    ((2,), "adapters-layer_norms", 2),
    ((2,), "adapters+layer_norms", 0),
    ((2,), "adapters+pooler", 2),
    ((2,), "head", 2),  # the adapter is the task's, trained or not
    ((1,), "top_layers:1", 1),
    ((2,), "top_layers:2", 1),
    ("none", "full", 0),
    ("none", "full-layer_norms", 0),
    ("none", "top_layers:1", 2),
    ("none", "top_layers:2", 1),
    ("none", "top_layers:3", 0),
    ("none", "top_layers:1+layer_norms", 0),
    ("none", "layer_norm", 0),
    ("none", "bias", 0),
    ("none", "head", 3),
    ("none", "head+pooler", 3),
])
def test_the_frozen_prefix_is_the_bases_alone(
    hf_source, layers, tuning, prefix):
  adapters = (None if layers == "none"
              else ta.AdapterConfig(size=8, layers=layers))
  encoder = ta.load_encoder(str(hf_source), adapters)
  encoder.tune(tuning)
  assert encoder.frozen_prefix == prefix


def test_norms_inside_adapters_are_adapters(hf_source):
  encoder = ta.load_encoder(
      str(hf_source), ta.AdapterConfig(size=8, layer_norm=True))
  inside = {n for n in encoder.named_variables()
            if "_adapter/layer_norm/" in n}
  assert len(inside) == 12
  encoder.tune("layer_norm")
  assert not inside & set(encoder.tuned_variables())
  encoder.tune("adapters", layer_norms=False)
  assert inside <= set(encoder.tuned_variables())


@pytest.mark.parametrize("text, message", [
    ("adapter", "one of adapters, full"),
    ("adapters+heads", "one of"),
    ("adapters*pooler", "one of"),
    ("", "one of"),
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


BASE = ta.BertConfig(30522)
LARGE = ta.BertConfig(30522, hidden_size=1024, num_hidden_layers=24,
                      num_attention_heads=16, intermediate_size=4096)


def trained(config, tuning):
  """Trained parameters of the base: a BERT-large need not be allocated."""
  tuning = Tuning.parse(tuning)
  return sum(
      int(np.prod(shape)) for name, shape in names.shapes(config).items()
      if tuning.trains(name, config.num_hidden_layers, ta.AdapterConfig()))


@pytest.mark.parametrize("config", [BASE, LARGE], ids=["base", "large"])
def test_trained_parameters_are_closed_formulas(config):
  d, layers, wide = (config.hidden_size, config.num_hidden_layers,
                     config.intermediate_size)
  norms = (2 * layers + 1) * 2 * d
  pooler = d * d + d
  layer = 4 * (d * d + d) + 2 * d * wide + wide + d + 4 * d
  embeddings = (config.vocab_size + 512 + 2) * d
  for tuning, expected in {
      "full": embeddings + 2 * d + layers * layer + pooler,
      "top_layers:1": layer + pooler,
      "top_layers:5": 5 * layer + pooler,
      f"top_layers:{layers}": layers * layer + pooler,
      "top_layers:1-pooler": layer,
      "layer_norm": norms,
      "adapters": norms,
      "adapters-layer_norms": 0,
      "adapters+pooler": norms + pooler,
      "bias": (2 * layers + 1) * d + layers * (5 * d + wide) + d,
      "head": 0,
  }.items():
    assert trained(config, tuning) == expected, tuning


@pytest.mark.parametrize("config", [BASE, LARGE], ids=["base", "large"])
@pytest.mark.parametrize("adapters", [
    ta.AdapterConfig(size=1), ta.AdapterConfig(size=64),
    ta.AdapterConfig(size=256, layers=(3, 5)),
    ta.AdapterConfig(size=8, positions=("output",)),
    ta.AdapterConfig(size=8, depth=3), ta.AdapterConfig(layer_norm=True),
    ta.AdapterConfig(size=8, parallel=True)])
def test_adapters_parameters_are_closed_formulas(config, adapters):
  config = dataclasses.replace(config, num_hidden_layers=6)  # are enough
  d, m = config.hidden_size, adapters.size
  places = len(adapters.positions) * len(
      adapters.layers or range(config.num_hidden_layers))
  layers = TaskLayers(config, adapters)
  with tf.Graph().as_default():  # nothing is allocated
    layers.build()
    count = sum(
        variable.shape.num_elements()
        for name, variable in layers.named_variables().items()
        if "_adapter/" in name)
  assert count == places * (
      2 * m * d + d + m + (adapters.depth - 1) * (m * m + m)
      + 2 * d * adapters.layer_norm)


def test_counts_are_the_papers():
  def adapters(config, m):
    d = config.hidden_size
    return 2 * config.num_hidden_layers * (2 * m * d + d + m)

  # "About 40 k" for layer norms alone on BERT-base.
  assert trained(BASE, "layer_norm") == 38_400
  # "2 M" for size 64 on BERT-base.
  assert adapters(BASE, 64) == 2_379_264
  # 2.1 % for size 64 on BERT-large: of its parameters without embeddings; of
  # all of them it is 1.9 %.
  task = adapters(LARGE, 64) + trained(LARGE, "layer_norm") + 2 * 1024 + 2
  full = trained(LARGE, "full")
  embeddings = (30522 + 512 + 2) * 1024
  assert 100 * task / (full - embeddings) == pytest.approx(2.1, abs=0.05)
  assert 100 * task / full == pytest.approx(1.92, abs=0.01)
  # "1.2 x" for nine tasks.
  assert 1 + 9 * task / full == pytest.approx(1.2, abs=0.05)
  # The top layer of BERT-base has 7.1 M, with the pooler 7.7 M; the paper says
  # 9 M, which no choice of whole parts of BERT gives.
  assert trained(BASE, "top_layers:1-pooler") == 7_087_872
  assert trained(BASE, "top_layers:1") == 7_678_464


def test_tasks_together_in_multiples_of_the_base(encoder):
  model = ta.TextClassifier(encoder, ["no", "yes"])
  summary = model.summary_of_tuning()
  assert summary.base == sum(
      int(np.prod(shape)) for shape in names.shapes(encoder.config).values())
  assert summary.times_base(9) == pytest.approx(
      1 + 9 * summary.trained / summary.base)
  assert summary.to_dict()["times_base"]["9"] == pytest.approx(
      summary.times_base(9), abs=1e-4)


def test_full_fine_tuning_takes_an_encoder_a_task(plain_encoder):
  model = ta.TextClassifier(plain_encoder, ["no", "yes"])
  head = 2 * 32 + 2
  summary = model.summary_of_tuning()
  assert summary.times_base(9) == pytest.approx(
      9 * (summary.base + head) / summary.base)


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


@pytest.mark.parametrize("freeze, frozen", [
    (lambda model: [model.encoder.embeddings, model.head],
     ("word_embeddings", "position_embedding", "type_embeddings", "head")),
    (lambda model: [model.encoder.transformer_layers[1]],
     ("transformer/layer_1/self_attention/", "transformer/layer_1/inter",
      "transformer/layer_1/output/")),
    (lambda model: [model.encoder.task_layers.layer_norm(
        "transformer/layer_0/output_layer_norm"),
                    model.encoder.task_layers.inserted[
                        "transformer/layer_2/output_adapter"].parts["up"]],
     ("transformer/layer_0/output_layer_norm",
      "transformer/layer_2/output_adapter/up")),
    (lambda model: [model.encoder.task_layers], None),
])
def test_what_keras_freezes_does_not_train(encoder, batch, freeze, frozen):
  model = ta.TextRegressor(encoder)
  model.tune("full")
  before = model.tuned_variables().keys()
  for layer in freeze(model):
    layer.trainable = False
  frozen = frozen or tuple(encoder.task_layers.named_variables())
  expected = {name for name in before if not name.startswith(frozen)}
  assert expected == model.tuned_variables().keys() < before
  assert model.summary_of_tuning().trained == sum(
      variable.shape.num_elements() for variable in model.trainable_variables)
  values = {name: variable.numpy()
            for name, variable in model.named_variables().items()}
  model.compile("sgd", model.loss_function, run_eagerly=True)
  model.train_on_batch(batch, np.ones([4], np.float32))
  moved = {name for name, variable in model.named_variables().items()
           if (variable.numpy() != values[name]).any()}
  assert moved and moved <= expected
  again = ta.TextRegressor.from_config(model.get_config())
  assert again.tuned_variables().keys() == expected
  for layer in freeze(model):
    layer.trainable = True
  assert model.tuned_variables().keys() == before


def test_frozen_layers_below_are_a_frozen_prefix(plain_encoder):
  for layer in (plain_encoder.embeddings, plain_encoder.transformer_layers[0],
                *(plain_encoder.task_layers.layer_norm(name) for name in (
                    "embeddings/layer_norm",
                    "transformer/layer_0/self_attention_layer_norm",
                    "transformer/layer_0/output_layer_norm"))):
    assert plain_encoder.frozen_prefix == 0
    layer.trainable = False
  assert plain_encoder.frozen_prefix == 1


@pytest.mark.parametrize("legacy", [False, True])
def test_tuning_in_a_callback_acts_from_then_on(
    one_layer_source, batch, legacy):
  model = ta.TextRegressor(ta.load_encoder(str(one_layer_source)))
  model.tune("head")
  layer = model.encoder.transformer_layers[0]
  watched = {"words": model.encoder.embeddings.weights[0],
             "layer": layer.weights[0]}
  values = []

  def change(epoch, logs):
    values.append({name: v.numpy() for name, v in watched.items()})
    if epoch == 1:
      model.encoder.tune("full")
    elif epoch == 2:
      layer.trainable = False

  optimizers = tf_keras.optimizers.legacy if legacy else tf_keras.optimizers
  model.compile(
      optimizers.Adam(1e-2), model.loss_function, run_eagerly=legacy)
  model.fit(batch, np.ones([4], np.float32), epochs=4, verbose=0, callbacks=[
      tf_keras.callbacks.LambdaCallback(on_epoch_begin=change)])
  moved = [{name for name in watched if (a[name] != b[name]).any()}
           for a, b in itertools.pairwise(values)]
  assert moved == [set(), {"words", "layer"}, {"words"}]


@pytest.mark.parametrize("wrapped", [False, True])
def test_what_has_no_weight_decay_has_none_when_the_tuning_changes(
    encoder, wrapped):
  optimizer = tf_keras.optimizers.AdamW(weight_decay=0.1)
  optimizer.exclude_from_weight_decay(var_names=["bias"])
  model = ta.TextClassifier(encoder, ["no", "yes"])
  model.compile(tf_keras.mixed_precision.LossScaleOptimizer(optimizer)
                if wrapped else optimizer)
  model.make_train_function()
  model.tune("full")
  model.make_train_function()
  new = model.optimizer.inner_optimizer if wrapped else model.optimizer
  assert new is not optimizer
  assert {name for name, variable in model.tuned_variables().items()
          if not new._use_weight_decay(variable)} == {
      name for name in model.tuned_variables() if name.endswith("/bias")}


def test_a_model_that_is_gone_has_left_what_it_learned(encoder, batch):
  """As in the loops of a search or a cross-validation."""
  labels = np.array([0, 1, 1, 0])

  def fold(number):
    model = ta.TextClassifier(encoder, ["no", "yes"])
    model.task = dataclasses.replace(model.task, name=f"fold {number}")
    model.compile("sgd", run_eagerly=True)
    with compilation.portable():  # no kernels, whose compilation takes long
      model.train_on_batch(batch, labels)

  with warnings.catch_warnings():
    warnings.simplefilter("error")
    fold(1)
  gc.collect()
  with pytest.warns(UserWarning, match=(
      "the encoder was trained with fold 1: this training begins with what was "
      "learned there, .*: call load_encoder once for each model")):
    fold(2)


def test_two_trained_models_on_one_encoder_are_noted(encoder, batch):
  first, second = ta.TextRegressor(encoder), ta.TextClassifier(
      encoder, ["no", "yes"])
  first.task = dataclasses.replace(first.task, name="stars")
  labels = np.array([0, 1, 1, 0])
  for model in (first, second):
    model.compile("sgd", model.loss_function, run_eagerly=True)
  first.train_on_batch(batch, labels.astype(np.float32))
  with pytest.warns(UserWarning, match="stars has the same .* 'head', too"):
    second.tune("head")
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    second.train_on_batch(batch, labels)
  with pytest.warns(UserWarning, match="'adapters', too"):
    second.tune("adapters")
  with pytest.warns(UserWarning, match="was trained with stars: this"):
    second.train_on_batch(batch, labels)
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    second.train_on_batch(batch, labels)
  with pytest.warns(UserWarning, match="trained with text_classifier"):
    first.train_on_batch(batch, labels.astype(np.float32))
