import numpy as np
import pytest
import tensorflow as tf

from tests.reference import gelu_tanh, layer_norm
from tf_adapters import Adapter, AdapterConfig, BertConfig, InputError
from tf_adapters.modeling.layers import LayerNorm
from tf_adapters.modeling.methods.places import SUBLAYER, Place
from tf_adapters.modeling.task_layers import TaskLayers

BERT = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=3,
                  num_attention_heads=2, intermediate_size=16)


def random_hidden(size=32):
  rng = np.random.default_rng(0)
  return rng.normal(size=(2, 5, size)).astype(np.float32)


def test_is_the_papers_function():
  adapter = Adapter(AdapterConfig(size=6, init_scale=0.5), 32)
  hidden = random_hidden()
  outputs = adapter(hidden)
  rng = np.random.default_rng(1)
  for variable in adapter.named_variables().values():
    variable.assign(rng.normal(size=variable.shape))
  w = {k: v.numpy() for k, v in adapter.named_variables().items()}
  expected = hidden + gelu_tanh(
      hidden @ w["down/kernel"] + w["down/bias"]) @ w["up/kernel"] + w[
          "up/bias"]
  np.testing.assert_allclose(adapter(hidden), expected, atol=1e-4)
  assert outputs.shape == hidden.shape


@pytest.mark.parametrize("config", [
    AdapterConfig(size=6, parallel=True),
    AdapterConfig(size=6, depth=3, activation="tanh"),
    AdapterConfig(size=6, layer_norm=True, activation="linear"),
    AdapterConfig(size=6, parallel=True, depth=2, layer_norm=True,
                  activation="relu", layer_norm_epsilon=0.5),
    AdapterConfig(size=6, input="normed", scaling=4.0, activation="relu"),
    AdapterConfig(size=6, input="normed", layer_norm=True, scaling=0.5,
                  learned_scaling=True),
])
def test_variants_are_what_they_say(config):
  adapter = Adapter(config, 32)
  adapter.build()
  rng = np.random.default_rng(1)
  for variable in adapter.named_variables().values():
    variable.assign(rng.normal(size=variable.shape))
  w = {k: v.numpy() for k, v in adapter.named_variables().items()}
  hidden, seen = random_hidden(), 2 + random_hidden() ** 2
  activation = {"gelu_tanh": gelu_tanh, "tanh": np.tanh,
                "linear": lambda x: x,
                "relu": lambda x: np.maximum(x, 0)}[config.activation]
  gain = np.linspace(-1, 3, 32, dtype=np.float32)
  scaling = w["scaling/value"] if config.learned_scaling else config.scaling
  x = seen if config.parallel else hidden
  if config.input == "normed":
    x = layer_norm(seen + hidden, gain, -gain)
  if config.layer_norm:
    x = layer_norm(x, w["layer_norm/gamma"], w["layer_norm/beta"],
                   config.layer_norm_epsilon)
  for name in ["down", *(f"hidden_{i}" for i in range(config.depth - 1))]:
    x = activation(x @ w[f"{name}/kernel"] + w[f"{name}/bias"])
  np.testing.assert_allclose(
      adapter(hidden, seen, lambda x: layer_norm(x.numpy(), gain, -gain)),
      hidden + scaling * (x @ w["up/kernel"] + w["up/bias"]), rtol=1e-3,
      atol=1e-3)
  size = 2 * 6 * 32 + 32 + 6 + (config.depth - 1) * (6 * 6 + 6)
  assert adapter.count_params() == (
      size + 2 * 32 * config.layer_norm + config.learned_scaling)


def test_starts_near_the_identity():
  hidden = random_hidden()
  near = Adapter(AdapterConfig(init_scale=1e-3), 32)(hidden)
  np.testing.assert_allclose(near, hidden, atol=1e-3)
  assert np.any(near.numpy() != hidden)
  for config in (AdapterConfig(init_scale=0.0),
                 AdapterConfig(identity_init=True)):
    exact = Adapter(config, 32)
    np.testing.assert_array_equal(exact(hidden), hidden)
  assert exact.named_variables()["down/kernel"].numpy().any()


def test_initial_kernels_are_truncated_at_two_standard_deviations():
  adapter = Adapter(AdapterConfig(size=64, init_scale=1e-2), 384)
  adapter.build()
  for name in ("down/kernel", "up/kernel"):
    kernel = adapter.named_variables()[name].numpy()
    assert np.abs(kernel).max() <= 2e-2
    assert 0.8e-2 < kernel.std() < 0.95e-2  # of a Gaussian cut at two sigma
  for name in ("down/bias", "up/bias"):
    assert not adapter.named_variables()[name].numpy().any()


@pytest.mark.parametrize("hidden_size, size", [(32, 1), (768, 64)])
def test_has_as_many_parameters_as_the_paper_says(hidden_size, size):
  adapter = Adapter(AdapterConfig(size=size), hidden_size)
  adapter.build()
  assert adapter.count_params() == 2 * size * hidden_size + hidden_size + size


def test_comes_back_from_its_config():
  adapter = Adapter(AdapterConfig(size=4, activation="relu"), 8, name="mine")
  again = Adapter.from_config(adapter.get_config())
  assert again.config == adapter.config
  assert again.name == "mine"
  layers = TaskLayers(BERT, AdapterConfig(size=4, layers=(1,)))
  again = TaskLayers.from_config(layers.get_config())
  assert (again.config, again.method) == (layers.config, layers.method)


def test_dropout_acts_in_training_only():
  adapter = Adapter(AdapterConfig(size=16, init_scale=0.5, dropout=0.5), 32)
  hidden = random_hidden()
  np.testing.assert_array_equal(adapter(hidden), adapter(hidden))
  first = adapter(hidden, training=True)
  second = adapter(hidden, training=True)
  assert np.any(first.numpy() != second.numpy())


def test_layer_norm_is_kerass():
  import tf_keras
  ours, theirs = LayerNorm(32), tf_keras.layers.LayerNormalization(
      epsilon=1e-12)
  hidden = random_hidden() * 10 + 3
  ours.build()
  theirs.build(hidden.shape)
  rng = np.random.default_rng(2)
  for mine, other in ((ours.gamma, theirs.gamma), (ours.beta, theirs.beta)):
    mine.assign(rng.normal(size=32))
    other.assign(mine)
  np.testing.assert_allclose(ours(hidden), theirs(hidden), atol=1e-5)


def test_adapters_sit_in_the_chosen_layers_only():
  layers = TaskLayers(BERT, AdapterConfig(size=2, layers=(0, 2)))
  assert layers.hook(Place(1, SUBLAYER, "attention")) is None
  assert layers.hook(Place(2, SUBLAYER, "output")) is not None
  layers.build()
  assert {n.split("/")[1] for n in layers.named_variables()
          if "_adapter/" in n} == {"layer_0", "layer_2"}
  with pytest.raises(InputError, match="layers 0 to 2"):
    TaskLayers(BERT, AdapterConfig(layers=(3,)))


def test_adapters_sit_in_the_chosen_positions_only():
  layers = TaskLayers(BERT, AdapterConfig(size=2, positions=("output",)))
  assert layers.hook(Place(1, SUBLAYER, "attention")) is None
  assert layers.hook(Place(1, SUBLAYER, "output")) is not None
  layers = TaskLayers(BERT, AdapterConfig(
      size=2, positions=("attention",), layers=(1,)))
  layers.build()
  assert {n.rsplit("/", 2)[0] for n in layers.named_variables()
          if "_adapter/" in n} == {"transformer/layer_1/attention_adapter"}


def test_bfloat16_keeps_layer_norms_in_float32():
  norm = LayerNorm(32, dtype="mixed_bfloat16")
  hidden = tf.cast(random_hidden(), tf.bfloat16)
  outputs = norm(hidden)
  assert outputs.dtype == tf.bfloat16
  assert norm.gamma.dtype == tf.float32
  exact = LayerNorm(32)(tf.cast(hidden, tf.float32))
  # Only the last rounding is bfloat16's.
  np.testing.assert_array_equal(
      tf.cast(outputs, tf.float32), tf.cast(tf.cast(exact, tf.bfloat16),
                                            tf.float32))
