"""Ways of Keras users with models, beside `compile` and `fit`."""

import dataclasses
import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tensorflow.python.framework import ops

import tf_adapters as ta
from tf_adapters.modeling.encoders.table import config_to_dict
from tf_adapters.modeling.heads import Head

LABELS = np.array([0, 1, 1, 0])


@pytest.fixture
def load(two_layer_source):
  return lambda method=None: ta.load_encoder(str(two_layer_source), method)


@pytest.fixture
def batch(load):
  text = load().text_processor(16)
  return text(["the film is good", "bad", "he said so", ""])


def changed(model):
  """Changes all weights, so that no two are the same."""
  generator = np.random.default_rng(0)
  for variable in model.weights:
    variable.assign_add(generator.normal(0, 0.2, variable.shape))
  return model


@pytest.mark.parametrize("name", ["w.weights.h5", "w.h5", "w"])
@pytest.mark.parametrize("method, other, message", [
    (ta.AdapterConfig(size=2, layers=(0,)), ta.AdapterConfig(
        size=2, layers=(1,)), "layer_0/attention_adapter/down/kernel"),
    (ta.LoraConfig(rank=2, targets=("query", "value")), ta.LoraConfig(
        rank=2, targets=("query", "key")), "layer_0/value_lora/a/kernel"),
    (ta.AdapterConfig(size=2), ta.AdapterConfig(size=2, layers=(1,)),
     "layer_0/attention_adapter/down/kernel")])
def test_weights_of_another_method_never_go_astray(
    load, batch, tmp_path, name, method, other, message):
  path = str(tmp_path / name)
  model = changed(ta.TextClassifier(load(method), 2))
  model.save_weights(path)
  one = ta.TextClassifier(load(other), 2)
  before = {name: variable.numpy() for name, variable
            in one.encoder.named_variables().items()}
  named = "" if name == "w" else message  # it names what it lacks
  with pytest.raises(ta.InputError, match=(
      f"{path}: .*{named}.*: the weights are another model's")):
    one.load_weights(path)
  for name, variable in one.encoder.named_variables().items():
    np.testing.assert_array_equal(variable, before[name])
  same = ta.TextClassifier(load(method), 2)
  same.load_weights(path)
  np.testing.assert_array_equal(same(batch), model(batch))


@pytest.mark.parametrize("name", ["w.weights.h5", "w.h5"])
def test_what_fits_is_no_reason_to_load_the_rest(load, tmp_path, name):
  """By Keras' `skip_mismatch` other layers' adapters would be taken."""
  path = str(tmp_path / name)
  one, other = (ta.TextClassifier(load(ta.AdapterConfig(
      size=2, layers=(layer,))), 2) for layer in (0, 1))
  for part, theirs in ((one.encoder, other.encoder), (one.head, other.head)):
    theirs._name = part.name
  one.save_weights(path)
  with pytest.raises(ta.InputError, match="the weights are another model's"):
    other.load_weights(path, skip_mismatch=True, by_name=name == "w.h5")


def test_layers_by_name_that_fit_are_loaded(load, tmp_path):
  path = str(tmp_path / "w.h5")
  one = changed(ta.TextClassifier(load(), 2))
  other = ta.TextClassifier(load(ta.LoraConfig(rank=2)), 2)
  for part, theirs in ((one.encoder, other.encoder), (one.head, other.head)):
    theirs._name = part.name
  one.save_weights(path)
  other.load_weights(path, skip_mismatch=True, by_name=True)
  np.testing.assert_array_equal(
      other.head.named_variables()["head/kernel"],
      one.head.named_variables()["head/kernel"])


def test_weights_of_a_functional_model_are_known_by_name(load, tmp_path):
  def functional(method):
    encoder = load(method)
    inputs = {name: tf_keras.Input([None], dtype=tf.int32, name=name)
              for name in ("input_word_ids", "input_mask", "input_type_ids")}
    return tf_keras.Model(inputs, tf_keras.layers.Dense(2)(
        encoder(inputs)["pooled_output"]))

  path = str(tmp_path / "w.weights.h5")
  functional(ta.AdapterConfig(size=2, layers=(0,))).save_weights(path)
  functional(ta.AdapterConfig(size=2, layers=(0,))).load_weights(path)
  with pytest.raises(ta.InputError, match="the file has transformer/layer_0/a"):
    functional(ta.AdapterConfig(size=2, layers=(1,))).load_weights(path)


def test_files_of_earlier_versions_have_no_names(load, batch, tmp_path,
                                                 monkeypatch):
  path = str(tmp_path / "w.weights.h5")
  model = changed(ta.TextClassifier(load(), 2))
  with monkeypatch.context() as earlier:
    earlier.setattr(ta.BertEncoder, "save_own_variables",
                    tf_keras.layers.Layer.save_own_variables)
    model.save_weights(path)
  again = ta.TextClassifier(load(), 2)
  again.load_weights(path)
  np.testing.assert_array_equal(again(batch), model(batch))


@tf_keras.saving.register_keras_serializable("tests")
class Mean(ta.TextClassifier):
  """A pooling of one's own."""

  def logits(self, outputs, input_mask, training=None):
    hidden = outputs["sequence_output"]
    mask = tf.cast(input_mask, tf.float32)[..., None]
    return self.head.linear(
        tf.reduce_sum(hidden * mask, 1) / tf.reduce_sum(mask, 1))


class Last(Head):
  """A head of one's own: what the last token has."""

  def call(self, outputs, input_mask, training=None):
    return self.linear(outputs["sequence_output"][:, -1])


def test_logits_of_ones_own_see_all_tokens(load, batch):
  encoder = load()
  model = Mean(encoder, 2)
  outputs = encoder(batch)
  np.testing.assert_array_equal(
      model(batch), model.logits(outputs, batch["input_mask"]))
  model = ta.TextClassifier(encoder, 2)
  model.head = Last.from_config(model.head.get_config())
  np.testing.assert_allclose(
      model(batch), model.head.linear(outputs["sequence_output"][:, -1]),
      atol=1e-6)


@tf_keras.saving.register_keras_serializable("tests")
class Mine(tf_keras.Model):
  """A model of one's own around an encoder, as Keras' guides make it."""

  def __init__(self, encoder, **kwargs):
    super().__init__(**kwargs)
    self.encoder = encoder
    self.dense = tf_keras.layers.Dense(2)

  def call(self, inputs, training=None):
    outputs = self.encoder(inputs, training=training)
    return self.dense(outputs["pooled_output"])

  def get_config(self):
    return {**super().get_config(),
            "encoder": tf_keras.layers.serialize(self.encoder)}

  @classmethod
  def from_config(cls, config):
    return cls(tf_keras.layers.deserialize(config.pop("encoder")), **config)


@pytest.mark.parametrize("around", [Mine, lambda encoder: tf_keras.Sequential([
    ta.TextClassifier(encoder, 2), tf_keras.layers.Softmax()])])
def test_models_around_ours_come_back(load, batch, tmp_path, around):
  model = around(load(ta.LoraConfig(rank=2)))
  model(batch)
  changed(model)
  model.save(tmp_path / "m.keras")
  again = tf_keras.models.load_model(tmp_path / "m.keras")
  np.testing.assert_array_equal(again(batch), model(batch))


def test_shapes_are_known_without_a_call(load, batch):
  encoder = load()
  shapes = {name: (None, 12) for name in batch}
  found = encoder.compute_output_shape(shapes)
  assert found["sequence_output"].as_list() == [None, 12, 32]
  model = ta.TextClassifier(encoder, 2)
  assert model.compute_output_shape(shapes) == (None, 2)
  # Floats that are no placeholders are refused as ever.
  floats = {name: tf.cast(value, tf.float32) for name, value in batch.items()}
  with pytest.raises(ta.InputError, match="float32: int32 is wanted"):
    model(floats)


def test_parts_can_be_replaced_between_two_trainings(one_layer_source, batch):
  model = ta.TextClassifier(
      ta.load_encoder(str(one_layer_source), ta.LoraConfig(rank=2)), 2)
  model.compile("sgd")
  model.fit(batch, LABELS, verbose=0)
  model.head = Head.from_config(model.head.get_config())
  model.fit(batch, LABELS, verbose=0)
  assert model.head.named_variables()["head/bias"].numpy().any()
  model.encoder = ta.merge(model.encoder)
  model.compile("sgd")
  model.fit(batch, LABELS, verbose=0)
  assert set(model.tuned_variables()) == {"head/kernel", "head/bias"}


def test_a_model_that_is_gone_leaves_no_graph_behind(one_layer_source, batch):
  """A search for settings in one process makes hundreds of models."""
  def fit():
    model = ta.TextClassifier(ta.load_encoder(
        str(one_layer_source), ta.AdapterConfig(size=2)), 2)
    model.compile("sgd")
    model.fit(batch, LABELS, verbose=0)
    return weakref.ref(model.encoder.embeddings)

  before = set(ops.gradient_registry._registry)
  gone = fit()
  tf.RegisterGradient(f"Mine{id(gone)}")(lambda operation, upstream: upstream)
  tf_keras.backend.clear_session()
  gc.collect()
  assert gone() is None
  assert set(ops.gradient_registry._registry) <= before | {f"Mine{id(gone)}"}


@pytest.mark.parametrize("method", [
    ta.AdapterConfig(size=2), ta.LoraConfig(rank=2)])
def test_gradients_of_gradients(one_layer_source, batch, method):
  encoder = ta.load_encoder(str(one_layer_source), method)
  config = dataclasses.replace(encoder.config, hidden_dropout_prob=0.0,
                               attention_probs_dropout_prob=0.0)
  again = ta.BertEncoder.from_config(
      {**encoder.get_config(), "config": config_to_dict(config)})
  model = ta.TextClassifier(again, 2, dropout=0.0)
  model(batch)
  changed(model)
  found = []
  for training in (True, False):
    with tf.GradientTape() as outer:
      with tf.GradientTape() as inner:
        loss = model.loss_function(LABELS, model(batch, training=training))
      first = inner.gradient(loss, model.trainable_variables)
      penalty = tf.add_n([tf.reduce_sum(tf.square(one)) for one in first])
    found.append(outer.gradient(penalty, model.trainable_variables))
  for ours, theirs in zip(*found):
    np.testing.assert_allclose(
        tf.convert_to_tensor(ours), tf.convert_to_tensor(theirs),
        rtol=1e-3, atol=1e-5)
