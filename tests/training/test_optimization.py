import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tf_adapters as ta
from tf_adapters.training.optimization import AdamW, WarmupLinearDecay


def test_rises_and_falls_linearly():
  schedule = WarmupLinearDecay(1.0, num_train_steps=100, num_warmup_steps=10)
  rates = [float(schedule(step)) for step in range(101)]
  assert rates[0] == pytest.approx(0.1)
  assert rates[9] == rates[10] == pytest.approx(1.0)
  np.testing.assert_allclose(np.diff(rates[:10]), 0.1, atol=1e-6)
  np.testing.assert_allclose(np.diff(rates[10:]), -1 / 90, atol=1e-6)
  assert rates[100] == 0.0
  assert float(schedule(101)) == 0.0


@pytest.mark.parametrize("steps, warmup", [(1, 0), (1, 1), (5, 0), (5, 5)])
def test_edges_of_the_schedule_are_finite(steps, warmup):
  schedule = WarmupLinearDecay(2.0, steps, warmup)
  rates = [float(schedule(step)) for step in range(steps)]
  assert max(rates) == 2.0
  assert min(rates) > 0


def test_decays_kernels_and_nothing_else(encoder):
  """Variable by variable, with no gradient: only decay can move them."""
  model = ta.TextClassifier(encoder, ["no", "yes"])
  model.tune("full")
  rng = np.random.default_rng(0)
  for variable in model.trainable_variables:
    variable.assign(rng.normal(1, 0.1, variable.shape))
  named = model.named_variables()
  before = {name: v.numpy() for name, v in named.items()}
  optimizer = ta.create_optimizer(0.1, 10, warmup_proportion=0.0)
  optimizer.apply_gradients(
      [(tf.zeros_like(v), v) for v in model.trainable_variables])
  for name, variable in named.items():
    expected = before[name] * (1 - 0.1 * 0.01) if name.endswith(
        "/kernel") else before[name]
    np.testing.assert_allclose(variable, expected, rtol=1e-6, err_msg=name)


def test_decay_is_by_the_variable_itself_not_by_its_surroundings():
  model = tf_keras.Sequential([
      tf_keras.layers.Dense(2, name="kernel"),
      tf_keras.layers.LayerNormalization(name="kernel_norm")])
  model.build([None, 3])
  for variable in model.trainable_variables:
    variable.assign(tf.ones_like(variable))
  optimizer = AdamW(0.1, weight_decay=0.5)
  optimizer.apply_gradients(
      [(tf.zeros_like(v), v) for v in model.trainable_variables])
  decayed = [v.name for v in model.trainable_variables
             if np.any(v.numpy() != 1)]
  assert decayed == ["kernel/kernel:0"]


def test_decay_survives_saving():
  again = AdamW.from_config(AdamW(0.1).get_config())
  kernel, bias = tf.Variable(1.0, name="kernel"), tf.Variable(1.0, name="bias")
  again.apply_gradients([(0.0, kernel), (0.0, bias)])
  assert kernel.numpy() < 1.0
  assert bias.numpy() == 1.0
  schedule = ta.create_optimizer(0.3, 70).get_config()["learning_rate"]
  assert schedule["config"]["num_warmup_steps"] == 7


def test_steps_are_adams():
  """Against the formulas of Kingma and Ba, after clipping to norm 1."""
  kernel = tf.Variable([3.0, 4.0], name="kernel")
  optimizer = AdamW(0.1, weight_decay=0.0, epsilon=1e-6)
  gradient = np.array([30.0, 40.0])
  clipped = gradient / 50.0
  m = v = 0.0
  expected = np.array([3.0, 4.0])
  for step in (1, 2, 3):
    optimizer.apply_gradients([(tf.constant(gradient, tf.float32), kernel)])
    m = 0.9 * m + 0.1 * clipped
    v = 0.999 * v + 0.001 * clipped**2
    rate = 0.1 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    expected = expected - rate * m / (np.sqrt(v) + 1e-6)
    np.testing.assert_allclose(kernel, expected, rtol=1e-5)


def test_embeddings_rows_are_added_up_before_they_are_clipped():
  slices = tf.IndexedSlices(
      tf.constant([[1.0], [2.0], [1.0]]), tf.constant([2, 0, 2]), [3, 1])

  def stepped(gradient):
    table, other = tf.Variable(tf.ones([3, 1])), tf.Variable([1.0])
    optimizer = AdamW(0.1, epsilon=1.0, global_clipnorm=0.5)
    for _ in range(2):
      optimizer.apply_gradients([(gradient, table), ([1.0], other)])
    return np.concatenate([table.numpy().ravel(), other.numpy()])

  np.testing.assert_allclose(
      stepped(slices), stepped(tf.constant([[2.0], [0.0], [2.0]])), rtol=1e-6)


@pytest.mark.parametrize("arguments, message", [
    (dict(learning_rate=0.0, num_train_steps=5), "learning_rate"),
    (dict(learning_rate=1.0, num_train_steps=0), "num_train_steps"),
    (dict(learning_rate=1.0, num_train_steps=5, warmup_proportion=2.0),
     "warmup_proportion"),
])
def test_refuses_bad_values(arguments, message):
  with pytest.raises(ta.InputError, match=message):
    ta.create_optimizer(**arguments)


@pytest.mark.parametrize("amsgrad", [False, True])
def test_steps_are_those_of_keras(amsgrad):
  """Within rounding, of 1 - beta_2 above all; steps are of 0.1."""
  values = {}
  for kind in (AdamW, tf_keras.optimizers.AdamW):
    optimizer = kind(WarmupLinearDecay(0.1, 9, 2), epsilon=1e-6,
                     weight_decay=0.01, global_clipnorm=1.0, amsgrad=amsgrad)
    variable = tf.Variable(np.linspace(-1, 1, 12), name="kernel",
                           dtype=tf.float32)
    for step in range(5):
      gradient = np.random.default_rng(step).normal(0, 1, 12)
      optimizer.apply_gradients([(tf.constant(gradient, tf.float32), variable)])
    values[kind] = variable.numpy()
  np.testing.assert_allclose(*values.values(), rtol=0, atol=1e-5)
