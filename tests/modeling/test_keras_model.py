"""compile, fit and evaluate of every type of problem, as Keras users write it.

Nothing here is about what a model learns: steps are eager, and mostly of a rate
of zero.
"""

import warnings

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tf_adapters as ta
from tf_adapters.modeling.fit_checks import warn_of_schedule
from tf_adapters.modeling.layers import Dropout
from tf_adapters.problems import PROBLEMS, find_problem

LABELS = ("O", "B", "I")
SGD = tf_keras.optimizers.SGD


@pytest.fixture(scope="module")
def encoder(one_layer_source):
  encoder = ta.load_encoder(str(one_layer_source), ta.AdapterConfig(size=4))
  for layer in encoder.submodules:
    if isinstance(layer, Dropout):
      layer.rate = 0.0  # training steps are to say what evaluation says
  return encoder


@pytest.fixture(scope="module")
def x(encoder):
  inputs = encoder.text_processor(12)(
      ["the film is good", "bad", "he said so", "not very good"])
  return {name: value.numpy() for name, value in inputs.items()}


def labels_of(problem, x):
  rows, length = x["input_mask"].shape
  rng = np.random.default_rng(1)
  if problem == "tagging":
    labels = rng.integers(0, 3, [rows, length])
    labels[:, 0] = -1
    labels[x["input_mask"] == 0] = -1
    return labels
  return {"classification": np.array([0, 2, 1, 0]),
          "multi_label": np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]],
                                  np.float32),
          "regression": np.array([0.5, 1.0, -1.0, 3.0], np.float32),
          "span": np.array([[1, 2], [0, 0], [2, 2], [1, 3]])}[problem]


def made(problem, encoder, **options):
  model = find_problem(problem).make_model(encoder, LABELS, "mean", dropout=0.0)
  model.compile(SGD(0.0), run_eagerly=True, **options)
  return model


def losses_of(problem, model, x, y):
  """The loss of each element that has a label, and where these are."""
  logits = model(x).numpy().astype(np.float64)

  def cross_entropy(logits, labels):
    logits = logits - logits.max(-1, keepdims=True)
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return -np.take_along_axis(logs, labels[..., np.newaxis], -1)[..., 0]

  match problem:
    case "classification":
      return cross_entropy(logits, y)
    case "tagging":
      return cross_entropy(logits, np.maximum(y, 0)) * (y >= 0)
    case "span":
      return cross_entropy(logits.transpose(0, 2, 1), y)
    case "multi_label":
      return np.logaddexp(0, logits) - y * logits
  return (logits[:, 0] - y) ** 2


@pytest.mark.parametrize("problem", PROBLEMS)
def test_without_a_loss_a_model_has_its_own_and_rows_have_weights(
    problem, encoder, x):
  y = labels_of(problem, x)
  model = made(problem, encoder)
  losses = losses_of(problem, model, x, y)
  count = (y >= 0).sum() if problem == "tagging" else losses.size
  assert model.evaluate(x, y, verbose=0) == pytest.approx(
      losses.sum() / count, rel=1e-4)
  weights = np.array([0.0, 2.0, 1.0, 0.5], np.float32)
  each = weights if losses.ndim == 1 else weights[:, np.newaxis]
  expected = pytest.approx((losses * each).sum() / count, rel=1e-4)
  assert model.evaluate(x, y, sample_weight=weights, verbose=0) == expected
  dataset = tf.data.Dataset.from_tensor_slices((x, y, weights)).batch(4)
  assert model.fit(dataset, verbose=0).history["loss"][0] == expected
  if problem in ("tagging", "multi_label"):
    each = np.random.default_rng(2).random(losses.shape).astype("float32")
    assert model.evaluate(
        x, y, sample_weight=each, verbose=0) == pytest.approx(
            (losses * each).sum() / count, rel=1e-4)


WEIGHTS = {"O": 0.25, 2: 3.0}  # B has 1


@pytest.mark.parametrize("as_dataset", [False, True])
@pytest.mark.parametrize("problem", [
    "classification", "multi_label", "tagging"])
def test_classes_have_weights(problem, as_dataset, encoder, x):
  y = labels_of(problem, x)
  model = made(problem, encoder)
  losses = losses_of(problem, model, x, y)
  table = np.array([0.25, 1.0, 3.0])
  each = np.where(y > 0, table, 1.0) if problem == "multi_label" else (
      table[np.maximum(y, 0)])
  count = (y >= 0).sum() if problem == "tagging" else losses.size
  rows = np.array([1.0, 0.0, 2.0, 1.0], np.float32)
  column = rows if losses.ndim == 1 else rows[:, np.newaxis]
  for weights, factor in ((None, 1.0), (rows, column)):
    data = (x, y, weights)[:3 if weights is not None else 2]
    if as_dataset:
      data = (tf.data.Dataset.from_tensor_slices(data).batch(4),)
      history = model.fit(*data, class_weight=WEIGHTS, verbose=0)
    else:
      history = model.fit(
          x, y, sample_weight=weights, class_weight=WEIGHTS, verbose=0)
    assert history.history["loss"][0] == pytest.approx(
        (losses * each * factor).sum() / count, rel=1e-4)
  # They are those of this training alone, and not of an evaluation.
  plain = pytest.approx(losses.sum() / count, rel=1e-4)
  assert model.evaluate(x, y, verbose=0) == plain
  assert model.fit(x, y, verbose=0).history["loss"][0] == plain


def test_weights_of_classes_change_a_step_that_is_traced_already(encoder, x):
  model = find_problem("tagging").make_model(encoder, LABELS, dropout=0.0)
  model.compile(SGD(0.0))
  y = labels_of("tagging", x)
  first = model.train_on_batch(x, y)
  assert model.train_on_batch(
      x, y, class_weight=dict.fromkeys(LABELS, 2.0)) == pytest.approx(2 * first)


def test_balanced_classes_are_counted(encoder, x):
  y = np.array([0, 0, 0, 1])
  model = made("classification", encoder)
  losses = losses_of("classification", model, x, y)
  loss = model.train_on_batch(x, y, class_weight="balanced")
  assert loss == pytest.approx(
      (losses * np.array([4 / 6] * 3 + [2.0])).mean(), rel=1e-4)
  with pytest.raises(ta.InputError, match="task.class_weight"):
    model.fit(tf.data.Dataset.from_tensor_slices((x, y)).batch(2),
              class_weight="balanced")
  for problem in ("span", "regression"):
    with pytest.raises(ta.InputError, match="sample_weight weighs rows"):
      made(problem, encoder).fit(
          x, labels_of(problem, x), class_weight={0: 1.0})


@pytest.mark.parametrize("problem, name", [
    ("tagging", "accuracy"), ("multi_label", "acc"), ("span", "accuracy"),
    ("classification", "acc"), ("tagging", "macro_f1")])
def test_names_of_metrics_mean_what_is_right(
    problem, name, encoder, x, tmp_path):
  y = labels_of(problem, x)
  model = made(problem, encoder, metrics=[name])
  logits = model(x).numpy()
  match problem:
    case "tagging":
      right = (logits.argmax(-1) == y)[y >= 0]
    case "multi_label":
      right = (logits > 0) == (y > 0)
    case "span":
      right = (logits.argmax(1) == y).all(-1)
    case _:
      right = logits.argmax(-1) == y
  dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(3)
  history = model.fit(dataset, validation_data=(x, y), verbose=0).history
  found = history[f"val_{name}"][0]
  if name != "macro_f1":
    assert found == pytest.approx(right.mean())
  assert found == pytest.approx(history[name][0])
  model.save(tmp_path / "m.keras")
  again = tf_keras.models.load_model(tmp_path / "m.keras")
  assert again.evaluate(x, y, verbose=0)[1] == pytest.approx(found)


def test_early_stopping_goes_by_labelled_tokens(encoder, x):
  y = labels_of("tagging", x)
  model = made("tagging", encoder, metrics=["accuracy", "macro_f1"])
  stopping = tf_keras.callbacks.EarlyStopping("val_accuracy", patience=1)
  model.fit(x, y, epochs=3, validation_data=(x, y), verbose=0,
            callbacks=[stopping])
  right = (model(x).numpy().argmax(-1) == y)[y >= 0].mean()
  assert stopping.best == pytest.approx(right)
  assert stopping.stopped_epoch == 1
  for kind in (tf_keras.callbacks.EarlyStopping,
               tf_keras.callbacks.ReduceLROnPlateau):
    with pytest.raises(ta.InputError, match="mode='max'"):
      model.fit(x, y, callbacks=[kind("val_macro_f1")])
  model.fit(x, y, verbose=0, validation_data=(x, y), callbacks=[
      tf_keras.callbacks.EarlyStopping("val_macro_f1", mode="max")])


@pytest.mark.parametrize("problem, metric, refused", [
    ("regression", tf_keras.metrics.R2Score(), True),
    ("regression", tf_keras.metrics.MeanAbsoluteError(), False),
    ("multi_label", tf_keras.metrics.AUC(from_logits=True, name="area"), True),
    ("classification", tf_keras.metrics.SparseTopKCategoricalAccuracy(
        2, name="top_2"), True),
    ("classification", tf_keras.metrics.SparseCategoricalCrossentropy(
        from_logits=True), False),
])
def test_callbacks_keep_the_best_by_keras_metrics(
    problem, metric, refused, encoder, x, tmp_path):
  """Keras takes what it does not know by name for a loss."""
  y = labels_of(problem, x)
  model = made(problem, encoder, metrics=[metric])
  monitor = f"val_{metric.name}"
  checkpoint = tf_keras.callbacks.ModelCheckpoint(
      str(tmp_path / "x.weights.h5"), monitor, save_best_only=True,
      save_weights_only=True)
  if refused:
    with pytest.raises(ta.InputError, match=f"'{monitor}', mode='max'"):
      model.fit(x, y, validation_data=(x, y), callbacks=[checkpoint])
  else:
    model.fit(x, y, validation_data=(x, y), callbacks=[checkpoint], verbose=0)
    assert (tmp_path / "x.weights.h5").exists()


LOSSES = tf_keras.losses


@pytest.mark.parametrize("problem, loss", [
    ("classification", "sparse_categorical_crossentropy"),
    ("classification", LOSSES.SparseCategoricalCrossentropy()),
    ("classification", LOSSES.sparse_categorical_crossentropy),
    ("classification", LOSSES.CategoricalCrossentropy()),
    ("classification", LOSSES.BinaryCrossentropy(from_logits=True)),
    ("classification", "mse"),
    ("classification", "no such loss"),
    ("multi_label", "binary_crossentropy"),
    ("multi_label", LOSSES.BinaryCrossentropy()),
    ("multi_label", LOSSES.SparseCategoricalCrossentropy(from_logits=True)),
    ("multi_label", LOSSES.MeanSquaredError()),
    ("tagging", LOSSES.SparseCategoricalCrossentropy(from_logits=True)),
    ("tagging", "sparse_categorical_crossentropy"),
    ("span", LOSSES.SparseCategoricalCrossentropy(from_logits=True)),
    ("regression", "binary_crossentropy"),
    ("regression", LOSSES.SparseCategoricalCrossentropy(from_logits=True)),
])
def test_refuses_losses_that_cannot_be_right(problem, loss, encoder):
  model = find_problem(problem).make_model(encoder, LABELS)
  with pytest.raises(ta.InputError, match="loss=model.loss_function") as error:
    model.compile("sgd", loss)
  assert "\n" not in str(error.value)


def own_loss(y_true, y_pred):
  return tf.reduce_mean(y_pred**2, axis=-1)


@pytest.mark.parametrize("problem, loss", [
    ("classification", LOSSES.SparseCategoricalCrossentropy(from_logits=True)),
    ("classification", own_loss),
    ("multi_label", LOSSES.BinaryCrossentropy(from_logits=True)),
    ("tagging", LOSSES.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=-1)),
    ("regression", "mae"), ("regression", LOSSES.Huber()),
])
def test_takes_losses_that_are_right(problem, loss, encoder, x):
  model = find_problem(problem).make_model(encoder, LABELS, dropout=0.0)
  model.compile(SGD(0.0), loss, run_eagerly=True)
  assert np.isfinite(model.evaluate(x, labels_of(problem, x), verbose=0))


def test_one_hot_labels_have_a_loss_of_their_own(encoder, x):
  y = np.eye(3)[labels_of("classification", x)]
  model = find_problem("classification").make_model(
      encoder, LABELS, dropout=0.0)
  model.compile(SGD(0.0), LOSSES.CategoricalCrossentropy(
      from_logits=True), metrics=["accuracy"], run_eagerly=True)
  loss, accuracy = model.evaluate(x, y, verbose=0)
  logits = model(x).numpy()
  assert accuracy == np.mean(logits.argmax(-1) == y.argmax(-1))
  assert loss == pytest.approx(losses_of(
      "classification", model, x, y.argmax(-1)).mean(), rel=1e-4)
  with pytest.raises(ta.InputError, match="one-hot"):
    model.fit(x, y.argmax(-1))


def test_a_schedule_that_is_over_is_said(encoder, x):
  y = labels_of("classification", x)
  model = find_problem("classification").make_model(
      encoder, LABELS, dropout=0.0)
  model.compile(ta.create_optimizer(1e-3, num_train_steps=4), run_eagerly=True)
  with warnings.catch_warnings():
    warnings.simplefilter("error", UserWarning)
    warnings.filterwarnings("ignore", "the encoder was trained with")
    model.fit(x, y, batch_size=2, epochs=2, verbose=0)
  with pytest.warns(UserWarning, match="all steps of this fit train nothing"):
    model.fit(x, y, verbose=0)
  model.compile(ta.create_optimizer(1e-3, num_train_steps=1), run_eagerly=True)
  with pytest.warns(UserWarning, match="over after 1 steps: 2 of the 3"):
    model.fit(x, y, epochs=3, verbose=0)
  schedules = tf_keras.optimizers.schedules
  with pytest.warns(UserWarning, match="PolynomialDecay.* 1 of the 3"):
    warn_of_schedule(SGD(schedules.PolynomialDecay(0.1, 2, 0.0)), 3)
  legacy = tf_keras.optimizers.legacy.SGD
  with pytest.warns(UserWarning, match="PolynomialDecay.* 1 of the 3"):
    warn_of_schedule(legacy(schedules.PolynomialDecay(0.1, 2, 0.0)), 3)
  warn_of_schedule(legacy(0.1), 3)
  for schedule in (schedules.ExponentialDecay(0.1, 2, 0.9),
                   schedules.PolynomialDecay(0.1, 3, 0.0), 0.0):
    warn_of_schedule(SGD(schedule), 3)


def test_a_fit_that_trains_nothing_is_said(encoder, x):
  model = made("classification", encoder)
  model.trainable = False
  with pytest.warns(UserWarning, match="nothing trains"):
    model.fit(x, labels_of("classification", x), verbose=0)
  model.trainable = True
  with warnings.catch_warnings():
    warnings.simplefilter("error", UserWarning)
    model.fit(x, labels_of("classification", x), verbose=0)


def test_an_optimizer_that_starts_anew_decays_what_it_did(
    one_layer_source, x):
  model = find_problem("classification").make_model(ta.load_encoder(
      str(one_layer_source), ta.AdapterConfig(size=4)), LABELS)
  head = model.head.named_variables()
  optimizer = tf_keras.optimizers.AdamW(0.0, weight_decay=0.5)
  optimizer.exclude_from_weight_decay(
      var_list=[head["head/kernel"]], var_names=["gamma"])
  model.compile(optimizer, run_eagerly=True)
  y = labels_of("classification", x)
  model.fit(x, y, verbose=0)
  model.tune("layer_norm")
  model.fit(x, y, verbose=0)
  gamma = model.tuned_variables()["embeddings/layer_norm/gamma"]
  assert model.optimizer is not optimizer
  assert [model.optimizer._use_weight_decay(variable) for variable in (
      head["head/kernel"], gamma, head["head/bias"])] == [False, False, True]


@pytest.mark.parametrize("callback", [
    tf_keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate),
    tf_keras.callbacks.ReduceLROnPlateau("loss")])
def test_callbacks_of_the_rate_need_a_rate(callback, encoder, x):
  y = labels_of("classification", x)
  model = find_problem("classification").make_model(encoder, LABELS)
  model.compile(ta.create_optimizer(1e-3, 9), run_eagerly=True)
  with pytest.raises(ta.InputError, match="schedule.*AdamW"):
    model.fit(x, y, callbacks=[callback])
  model.compile(tf_keras.optimizers.AdamW(1e-3), run_eagerly=True)
  model.fit(x, y, callbacks=[callback], verbose=0)


@pytest.mark.skipif(tf.keras.__version__ == tf_keras.__version__,
                    reason="tf.keras is tf_keras")
def test_objects_of_keras_3_are_named(encoder, x):
  y = labels_of("classification", x)
  keras = tf.keras
  model = find_problem("classification").make_model(encoder, LABELS)
  for options in ({"optimizer": keras.optimizers.Adam()},
                  {"loss": keras.losses.SparseCategoricalCrossentropy()},
                  {"loss": [keras.losses.CategoricalCrossentropy()]},
                  {"metrics": ["accuracy", keras.metrics.AUC()]},
                  {"weighted_metrics": keras.metrics.Mean()}):
    with pytest.raises(ta.InputError, match="of Keras 3"):
      model.compile(**options)
  model.compile(run_eagerly=True)

  class Own(keras.callbacks.Callback):
    pass

  for way in (lambda: model.fit(x, y, callbacks=[Own()]),
              lambda: model.evaluate(x, y, callbacks=[Own()]),
              lambda: model.predict(x, callbacks=Own()),
              lambda: ta.load_encoder("there/is/none", dtype=(
                  keras.mixed_precision.Policy("mixed_bfloat16")))):
    with pytest.raises(ta.InputError, match="(Own|DTypePolicy): is of Keras 3"):
      way()
  inputs = {name: keras.Input([None], dtype="int32") for name in x}
  for layer in (model, encoder):
    with pytest.raises(ta.InputError, match="tf_keras's Input"):
      layer(inputs)


def with_own_step(base, calls_ours):
  """A class with the `train_step` of Keras' guides, or one that calls ours."""

  class Own(base):
    def train_step(self, data):
      if calls_ours:
        return super().train_step(data)
      x, y, weights = tf_keras.utils.unpack_x_y_sample_weight(data)
      return {"loss": self.compute_loss(
          y=y, y_pred=self(x), sample_weight=weights)}

  return Own


@pytest.mark.parametrize("problem", ["classification", "tagging"])
@pytest.mark.parametrize("calls_ours", [True, False])
def test_a_train_step_of_ones_own_gets_class_weights(
    one_layer_source, x, problem, calls_ours):
  base = type(made(problem, ta.load_encoder(str(one_layer_source))))
  labels, losses = labels_of(problem, x), []
  for kind in (base, with_own_step(base, calls_ours)):
    model = kind(ta.load_encoder(str(one_layer_source)), LABELS, dropout=0.0)
    variables = model.head.named_variables()
    variables["head/kernel"].assign(tf.zeros_like(variables["head/kernel"]))
    variables["head/bias"].assign([0.0, 1.0, 2.0])
    model.compile(SGD(0.0), run_eagerly=True, metrics=[])
    both = model.fit(x, labels, class_weight={"B": 7.0}, verbose=0,
                     sample_weight=np.array([1.0, 2.0, 1.0, 1.0]))
    one = model.train_on_batch(x, labels, class_weight={"B": 7.0})
    none = model.fit(x, labels, verbose=0)
    losses.append([both.history["loss"][0], one, none.history["loss"][0]])
  np.testing.assert_allclose(losses[1], losses[0], rtol=1e-6)
  assert len(set(losses[0])) == 3


def test_a_step_is_traced_once(encoder, x):

  class Counted(ta.TextClassifier):
    """Counts how often Python sees its step."""

    steps = 0

    def train_step(self, data):
      self.steps += 1
      return super().train_step(data)

  model = Counted(encoder, LABELS, "mean")
  model.compile("adam", metrics=["accuracy"])
  model.fit(x, labels_of("classification", x), epochs=2, verbose=0)
  assert model.steps == 1
  assert model.optimizer.iterations == 2
