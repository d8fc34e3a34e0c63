import h5py
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tf_adapters as ta


@pytest.fixture
def encoder(one_layer_source):
  """A fresh one of one layer: what is below a head is tested elsewhere."""
  return ta.load_encoder(str(one_layer_source), ta.AdapterConfig(size=8))


def fitted(model, batch, labels):
  model.compile(ta.create_optimizer(1e-2, 10), model.loss_function,
                metrics=["accuracy"] if model.problem_type == "classification"
                else None)
  model.fit(batch, labels, epochs=2, verbose=0)
  return model


def test_classifier_survives_saving(encoder, batch, tmp_path):
  labels = np.array([0, 1, 1, 0])
  model = fitted(ta.TextClassifier(encoder, ["no", "yes"]), batch, labels)
  model.save(tmp_path / "m.keras")
  again = tf_keras.models.load_model(tmp_path / "m.keras")
  np.testing.assert_array_equal(again.predict(batch, verbose=0),
                                model.predict(batch, verbose=0))
  assert again.labels == ("no", "yes")
  assert again.head.pooling == "pooler"
  assert again.encoder.tuning == "adapters"
  # The text processor comes along, and training goes on.
  again.encoder.text_processor(32)(["the film"])
  again.fit(batch, labels, verbose=0)
  assert int(again.optimizer.iterations) == 3


@pytest.mark.parametrize("make", [
    lambda encoder: ta.TextClassifier(encoder, ["no", "yes"], pooling="cls"),
    lambda encoder: ta.TextClassifier(encoder, ["no", "yes"], pooling="mean"),
    ta.TextRegressor], ids=["cls", "mean", "regressor"])
def test_heads_survive_saving(encoder, batch, tmp_path, make):
  model = make(encoder)
  model.compile("sgd", model.loss_function)
  outputs = model(batch)
  model.save(tmp_path / "m.keras")
  again = tf_keras.models.load_model(tmp_path / "m.keras")
  np.testing.assert_array_equal(again(batch), outputs)
  assert again.head.pooling == model.head.pooling
  assert again.labels == model.labels
  assert outputs.shape == (4, len(model.labels) or 1)


def test_weights_survive_saving(one_layer_source, encoder, batch, tmp_path):
  first = ta.TextClassifier(encoder, ["no", "yes"])
  fitted(first, batch, np.array([0, 1, 1, 0]))
  for name in ("w.weights.h5", "w.h5", "w"):
    first.save_weights(str(tmp_path / name))
    second = ta.TextClassifier(ta.load_encoder(
        str(one_layer_source), ta.AdapterConfig(size=8)), ["no", "yes"])
    assert np.any(second(batch) != first(batch))
    second.load_weights(str(tmp_path / name))
    np.testing.assert_array_equal(first(batch), second(batch), name)


def test_regression_loss_is_the_mean_squared_error(encoder, batch):
  model = ta.TextRegressor(encoder, dropout=0.0)
  labels = np.array([0.0, 1.0, 2.0, 3.0], np.float32)
  model.compile("sgd", model.loss_function)
  loss = model.evaluate(batch, labels, verbose=0)
  predicted = model.predict(batch, verbose=0)[:, 0]
  assert loss == pytest.approx(np.mean((predicted - labels) ** 2), rel=1e-5)


def test_mean_pooling_leaves_padding_out(encoder):
  text = encoder.text_processor(32)
  model = ta.TextClassifier(encoder, ["no", "yes"], pooling="mean")
  np.testing.assert_allclose(
      model(text(["the film"])), model(text(["the film"], length=32)),
      atol=1e-5)


@pytest.mark.parametrize("make, message", [
    (lambda e: ta.TextClassifier(e, ["one"]), "two or more"),
    (lambda e: ta.TextClassifier(e, ["a", "a"]), "different"),
    (lambda e: ta.TextClassifier(e, ["a", "b"], pooling="max"), "pooling"),
])
def test_refuses_bad_heads(encoder, make, message):
  with pytest.raises(ta.InputError, match=message):
    make(encoder)


def test_learns_with_plain_keras(one_layer_source, sentiment_dir):
  tf_keras.utils.set_random_seed(2)  # before the adapters are made
  encoder = ta.load_encoder(str(one_layer_source), ta.AdapterConfig(size=8))
  task = ta.load_task("tsv", data_dir=str(sentiment_dir))
  text = encoder.text_processor(24)
  model = ta.TextClassifier(encoder, task.labels)
  model.compile(
      optimizer=ta.create_optimizer(0.02, num_train_steps=120),
      loss=model.loss_function, metrics=["accuracy"])
  history = model.fit(
      task.train_dataset(text, batch_size=8), epochs=20,
      validation_data=task.validation_dataset(text), verbose=0)
  assert max(history.history["val_accuracy"]) > 0.85


@pytest.mark.parametrize("kind", [ta.TextClassifier, ta.TokenTagger])
@pytest.mark.parametrize("labels", [[1, 2], np.array([0, 1]), ["a", None]])
def test_labels_are_names(plain_encoder, kind, labels):
  with pytest.raises(ta.InputError, match="names, which are strings"):
    kind(plain_encoder, labels)


def prices(batch):
  """Numbers far from 0 that the texts' first words tell."""
  words = np.asarray(batch["input_word_ids"])[:, 1].astype(np.float64)
  return 2e5 + 3e4 * (words - words.mean()) / words.std()


def test_numbers_of_any_unit_are_learned_alike(one_layer_source, batch):
  def learned(labels):
    tf_keras.utils.set_random_seed(1)
    model = ta.TextRegressor(
        ta.load_encoder(str(one_layer_source), ta.AdapterConfig(size=8)))
    model.adapt(labels)
    np.testing.assert_allclose(  # it begins in their midst
        model.predict(batch, verbose=0)[:, 0], labels.mean(),
        atol=labels.std())
    model.compile(tf_keras.optimizers.Adam(0.02), model.loss_function)
    losses = model.fit(batch, labels, epochs=20, verbose=0).history["loss"]
    return model.predict(batch, verbose=0)[:, 0], losses

  labels = prices(batch)
  predicted, losses = learned(labels)
  standard, same = learned((labels - labels.mean()) / labels.std())
  np.testing.assert_allclose(losses, same, rtol=1e-3, atol=1e-4)
  np.testing.assert_allclose(
      (predicted - labels.mean()) / labels.std(), standard, atol=1e-3)
  assert losses[-1] < 0.8 * losses[0]


def test_an_adapted_model_is_saved_and_goes_on(encoder, batch, tmp_path):
  labels = prices(batch)
  model = ta.TextRegressor(encoder)
  model.adapt(labels)
  fitted(model, batch, labels)
  before = model.predict(batch, verbose=0)
  assert abs(before.mean() - 2e5) < 1e5
  model.save(tmp_path / "m.keras")
  again = tf_keras.models.load_model(tmp_path / "m.keras")
  np.testing.assert_array_equal(again.predict(batch, verbose=0), before)
  ta.save_adapter(model, tmp_path / "prices")
  loaded = ta.load_adapter(tmp_path / "prices")
  np.testing.assert_allclose(
      loaded.predict(batch, verbose=0), before, rtol=1e-6)
  # What has learned stays what it is, and the loss is in other units.
  for one in (model, loaded):
    one.adapt(labels + 1e4)
    np.testing.assert_allclose(
        one.predict(batch, verbose=0), before, rtol=1e-6)
    assert one.loss_function.get_config()["scale"] == pytest.approx(3e4)


@pytest.mark.parametrize("way", ["w.weights.h5", "w.h5", "w", "set_weights",
                                 "checkpoint"])
def test_weights_hold_the_unit(one_layer_source, encoder, batch, tmp_path, way):
  model = ta.TextRegressor(encoder)
  model.adapt(prices(batch))
  fitted(model, batch, prices(batch))
  again = ta.TextRegressor(ta.load_encoder(
      str(one_layer_source), ta.AdapterConfig(size=8)))
  again.adapt([5.0, 7.0])
  again.compile()
  path = str(tmp_path / way)
  if way == "set_weights":
    again.set_weights(model.get_weights())
  elif way == "checkpoint":
    tf.train.Checkpoint(model=again).read(
        tf.train.Checkpoint(model=model).write(path))
  else:
    model.save_weights(path)
    with pytest.raises((OSError, tf.errors.NotFoundError)):
      again.load_weights(path + ".nowhere")
    assert again.mean == 6.0
    again.load_weights(path)
  np.testing.assert_array_equal(again(batch), model(batch))
  # The loss is in that unit, too, though `compile` came before.
  assert again.evaluate(batch, prices(batch), verbose=0) == pytest.approx(
      model.evaluate(batch, prices(batch), verbose=0))


@pytest.mark.parametrize("name", ["w.weights.h5", "w.h5", "w"])
def test_weights_of_earlier_versions_have_no_unit(
    encoder, batch, tmp_path, name):
  model = ta.TextRegressor(encoder)
  outputs = model(batch)
  path = tmp_path / name
  if name == "w":
    tf.train.Checkpoint(encoder=encoder, head=model.head).write(str(path))
  else:
    model.save_weights(path)
    with h5py.File(path, "a") as file:
      if name == "w.h5":
        file["top_level_model_weights"].clear()
        file["top_level_model_weights"].attrs["weight_names"] = []
      else:
        file["vars"].clear()
  model.adapt(prices(batch))
  model.load_weights(path)
  np.testing.assert_array_equal(model(batch), outputs)
  assert (model.mean, model.scale) == (0.0, 1.0)
  assert len(model.non_trainable_weights) == len(model.weights) - len(
      model.trainable_weights)


@pytest.mark.parametrize("ours, theirs, message", [
    (ta.AdapterConfig(size=8), ta.LoraConfig(rank=2),
     "has no transformer/layer_0/attention_adapter/down/kernel, "),
    (None, ta.LoraConfig(rank=2),
     "has transformer/layer_0/query_lora/a/kernel, .* which the model has not"),
    (ta.LoraConfig(rank=2), None, "has no transformer/layer_0/query_lora")])
def test_a_checkpoint_of_another_method_is_refused(
    one_layer_source, batch, tmp_path, ours, theirs, message):
  """Keras would take the head alone, and say nothing."""
  model, other = (
      ta.TextClassifier(ta.load_encoder(str(one_layer_source), method), 2)
      for method in (ours, theirs))
  outputs = model(batch)
  if theirs:
    other.save_weights(str(tmp_path / "w"))
  else:
    other(batch)
    other.save(tmp_path / "w", save_format="tf")
  with pytest.raises(ta.InputError, match=message) as caught:
    model.load_weights(str(tmp_path / "w"))
  assert "load them into one of the same method" in str(caught.value)
  assert "\n" not in str(caught.value)
  np.testing.assert_array_equal(model(batch), outputs)


def test_numbers_are_float32_under_every_policy(one_layer_source, batch):
  tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
  try:
    model = ta.TextRegressor(
        ta.load_encoder(str(one_layer_source), ta.AdapterConfig(size=8)))
    model.adapt(prices(batch))
    model.compile(run_eagerly=True)
    losses = model.fit(batch, prices(batch), epochs=2, verbose=0)
    assert model.encoder.compute_dtype == "bfloat16"
    assert model(batch).dtype == tf.float32
    assert np.isfinite(losses.history["loss"]).all()
  finally:
    tf_keras.mixed_precision.set_global_policy("float32")


def test_a_loss_can_be_given_to_two_models(one_layer_source):
  first, second = (ta.TextRegressor(ta.load_encoder(str(one_layer_source)))
                   for _ in range(2))
  loss = first.loss_function
  loss.reduction = "sum"
  for model, labels in ((first, [0.0, 2.0]), (second, [0.0, 2000.0])):
    model.compile("adam", loss)
    model.adapt(labels)
  values = [float(model.loss([3000.0], [[1000.0]])) for model in (
      first, second)]
  assert values == [4e6, 4.0]
  assert second.loss.reduction == "sum"


def test_adapt_after_compile(one_layer_source, batch):
  losses = []
  for adapts_first in (True, False):
    tf_keras.utils.set_random_seed(1)
    model = ta.TextRegressor(
        ta.load_encoder(str(one_layer_source), ta.AdapterConfig(size=8)))
    steps = [lambda model=model: model.adapt(prices(batch)),
             lambda model=model: model.compile(
                 tf_keras.optimizers.Adam(0.02), model.loss_function)]
    for step in steps if adapts_first else steps[::-1]:
      step()
    losses.append(model.fit(
        batch, prices(batch), epochs=2, verbose=0).history["loss"])
  np.testing.assert_allclose(*losses, rtol=1e-5)
  assert losses[0][0] < 3  # of labels around 200,000


def test_adapt_to_what_are_no_numbers(encoder):
  model = ta.TextRegressor(encoder)
  for labels in ([], [1.0, np.nan], [np.inf]):
    with pytest.raises(ta.InputError, match="labels are finite numbers"):
      model.adapt(labels)
  model.adapt([3.0, 3.0])
  assert (model.mean, model.scale) == (3.0, 1.0)
  model.adapt([0.1, 0.1, 0.1])  # whose mean is rounded
  assert model.scale == 1.0
