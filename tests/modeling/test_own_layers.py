"""Subclasses of a task's model, with layers and weights of a user's own."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tf_adapters as ta
from tf_adapters.checkpoints.hub_export import export_hub

LABELS = np.array([0, 1, 0, 1])


@tf_keras.saving.register_keras_serializable("tests")
class Deep(ta.TextClassifier):
  """A layer and a weight more, made as Keras' guides do it."""

  def __init__(self, *args, **kwargs):
    super().__init__(*args, **kwargs)
    self.hidden = tf_keras.layers.Dense(8, "tanh")
    self.frozen = tf_keras.layers.Dense(2, trainable=False)
    self.bonus = self.add_weight("bonus", [2], initializer="zeros")
    self.tracker = tf_keras.metrics.Mean()

  def logits(self, outputs, input_mask, training=None):
    more = self.frozen(self.hidden(outputs["pooled_output"]))
    return super().logits(outputs, input_mask, training) + more + self.bonus


@tf_keras.saving.register_keras_serializable("tests")
class Spread(ta.TextRegressor):
  """A weight more than a regressor, which has some beside its head."""

  def __init__(self, *args, **kwargs):
    super().__init__(*args, **kwargs)
    self.bonus = self.add_weight("bonus", [1], initializer="zeros")

  def logits(self, outputs, input_mask, training=None):
    return super().logits(outputs, input_mask, training) + self.bonus


@tf_keras.saving.register_keras_serializable("tests")
class Wider(ta.BertEncoder):
  """An encoder with a layer and a weight more."""

  def __init__(self, *args, **kwargs):
    super().__init__(*args, **kwargs)
    self.gate = tf_keras.layers.Dense(self.hidden_size, "sigmoid")
    self.gate.build([None, self.hidden_size])
    self.bonus = self.add_weight("bonus", [1], initializer="zeros")

  def call(self, inputs, training=None, first_only=False):
    outputs = super().call(inputs, training, first_only)
    pooled = outputs["pooled_output"]
    outputs["pooled_output"] = pooled * self.gate(pooled) + self.bonus
    return outputs


@pytest.fixture
def encoder(one_layer_source):
  return ta.load_encoder(str(one_layer_source), ta.AdapterConfig(size=4))


@pytest.fixture
def inputs(encoder):
  return encoder.text_processor(8)(["the film", "he said", "bad", "so good"])


def own(model):
  return {weight.name: weight.numpy() for weight in model.own_weights()}


def test_layers_that_the_first_step_builds_train(encoder, inputs, tmp_path):
  model = Deep(encoder, ["a", "b"])
  model.compile(tf_keras.optimizers.Adam(0.01))
  assert list(own(model)) == ["bonus:0"]  # a layer is built when it is called
  model.fit(inputs, LABELS, verbose=0)
  before = own(model)
  assert before["bonus:0"].any()
  frozen = set(map(id, model.frozen.weights))
  assert {id(weight) for weight in model.trainable_weights} == {
      id(weight) for weight in (
          *model.tuned_variables().values(), *model.own_weights())} - frozen
  assert len(model.weights) == len({id(weight) for weight in (
      *model.trainable_weights, *model.non_trainable_weights)})
  # A .keras file says how to build them, and training goes on.
  model.save(tmp_path / "m.keras")
  again = tf_keras.models.load_model(tmp_path / "m.keras")
  np.testing.assert_array_equal(again(inputs), model(inputs))
  again.run_eagerly = True
  again.fit(inputs, LABELS, verbose=0)
  assert int(again.optimizer.iterations) == 2
  moved = {id(weight) for weight, array in zip(
      again.own_weights(), before.values()) if (weight.numpy() != array).any()}
  assert moved == {id(weight) for weight in (
      *again.hidden.weights, again.bonus)}


def test_they_train_under_every_tuning_and_are_counted(encoder, inputs):
  model = Deep(encoder, ["a", "b"])
  model(inputs)
  hidden = 32 * 8 + 8
  assert model.summary_of_tuning().rows["own layers"] == (hidden + 2, 8 * 2 + 2)
  assert model.summary_of_tuning().base == (
      ta.TextClassifier(encoder, ["a", "b"]).summary_of_tuning().base)
  model.tune("head")
  trained = {id(weight) for weight in model.trainable_weights}
  assert trained >= {id(weight) for weight in model.hidden.weights}
  model.hidden.trainable = False
  assert len(model.trainable_weights) == 3  # the head and the bonus
  model.trainable = False
  assert not model.trainable_weights


@pytest.mark.parametrize("make, names", [
    (lambda encoder: Deep(encoder, ["a", "b"]), "deep.*/kernel, .* and 2 more"),
    (Spread, "bonus")])
def test_adapter_files_have_no_place_for_them(
    encoder, inputs, tmp_path, make, names):
  model = make(encoder)
  model(inputs)
  changed = {id(weight) for weight in model.changed_by_training()}
  assert changed >= {id(weight) for weight in model.own_weights()}
  with pytest.raises(ta.InputError, match=(
      f"alone, not {names}, which a {type(model).__name__} adds: take the "
      "model's save or save_weights")) as caught:
    ta.save_adapter(model, tmp_path / "mine")
  assert "\n" not in str(caught.value)
  assert not list(tmp_path.iterdir())
  model.save_weights(str(tmp_path / "w"))
  model.bonus.assign(tf.ones_like(model.bonus))
  model.load_weights(str(tmp_path / "w"))
  assert not model.bonus.numpy().any()


@pytest.mark.parametrize("tuning", ["adapters", "head", "full"])
def test_an_encoder_s_own_train_under_every_tuning(
    encoder, inputs, tmp_path, tuning):
  wider = Wider.from_config(encoder.get_config())
  model = ta.TextClassifier(wider, ["a", "b"])
  model.tune(tuning)
  model.compile(tf_keras.optimizers.Adam(0.01), run_eagerly=True)
  model(inputs)
  before = own(model)
  assert list(before) == list(own(wider)) and len(before) == 3
  model.fit(inputs, LABELS, verbose=0)
  assert all((own(model)[name] != array).any()
             for name, array in before.items())
  assert sum(model.summary_of_tuning().rows["own layers"]) == 32 * 32 + 32 + 1
  # Their order does not depend on what trains.
  names = [weight.name for weight in wider.weights]
  wider.trainable = False
  assert [weight.name for weight in wider.weights] == names
  assert len(model.trainable_weights) == 2  # the head's
  model.save(tmp_path / "m.keras")
  again = tf_keras.models.load_model(tmp_path / "m.keras")
  np.testing.assert_array_equal(again(inputs), model(inputs))


@tf_keras.saving.register_keras_serializable("tests")
class Called(ta.BertEncoder):
  """A layer more, which Keras builds and numbers by itself."""

  def __init__(self, *args, **kwargs):
    super().__init__(*args, **kwargs)
    self.more = tf_keras.layers.Dense(self.hidden_size)
    self.more(tf.zeros([1, self.hidden_size]))

  def call(self, inputs, training=None, first_only=False):
    outputs = super().call(inputs, training, first_only)
    outputs["pooled_output"] = self.more(outputs["pooled_output"])
    return outputs


@pytest.mark.parametrize("name", ["w.weights.h5", "w.h5", "w"])
def test_numbered_layers_are_the_same_in_the_next_model(
    encoder, inputs, tmp_path, name):
  one, other = (ta.TextClassifier(
      Called.from_config(encoder.get_config()), ["a", "b"]) for _ in range(2))
  one.save_weights(str(tmp_path / name))
  other.load_weights(str(tmp_path / name))
  np.testing.assert_array_equal(other(inputs), one(inputs))


def test_what_has_no_place_for_them_says_so(one_layer_source, tmp_path):
  encoder = ta.load_encoder(str(one_layer_source), ta.LoraConfig(rank=2))
  wider = Wider.from_config(encoder.get_config())
  plain = Wider.from_config(
      ta.load_encoder(str(one_layer_source)).get_config())
  deep, on_wider = (cls(inside, ["a", "b"]) for cls, inside in (
      (Deep, encoder), (ta.TextClassifier, wider)))
  for lost, name in (
      (lambda: ta.merge(wider), "Wider"), (lambda: ta.merge(deep), "Deep"),
      (lambda: ta.save_adapter(on_wider, tmp_path / "mine"), "Wider"),
      (lambda: export_hub(plain, tmp_path / "hub"), "Wider")):
    with pytest.raises(ta.InputError, match=(
        f"alone, not .*bonus.*, which a {name} adds: ")):
      lost()
  assert not list(tmp_path.iterdir())
