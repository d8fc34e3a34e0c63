"""A method of one's own is one class: here are three, one for each hook."""

import dataclasses
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf

import tf_adapters as ta
from tests.modeling.methods.training import TEXTS, trained
from tf_adapters.modeling.methods.method import Method
from tf_adapters.modeling.methods.parts import Array, Dense
from tf_adapters.modeling.methods.places import ATTENTION, PROJECTION
from tf_adapters.modeling.methods.table import METHODS


@dataclasses.dataclass(frozen=True)
class Gate(Method):
  """A sub-layer's output times 2 sigmoid(g), for a learned vector g."""

  name: ClassVar[str] = "gate"
  suffix: ClassVar[str] = "gate"
  row: ClassVar[str] = "gates"
  names: ClassVar[tuple[str, ...]] = ("output",)
  layers: tuple[int, ...] | None = None

  def parts(self, inputs, outputs):
    return {"gate": Array((outputs,))}

  def after_sublayer(self, layers, hidden, seen, layer_norm, training):
    return hidden * (2 * tf.sigmoid(layers["gate"]()))[:, tf.newaxis]


@dataclasses.dataclass(frozen=True)
class LowRank(Method):
  """A projection plus a product of low rank, at queries and feed-forwards."""

  name: ClassVar[str] = "low_rank"
  suffix: ClassVar[str] = "low_rank"
  hook: ClassVar[str] = PROJECTION
  row: ClassVar[str] = "low-rank products"
  names: ClassVar[tuple[str, ...]] = ("query", "intermediate", "output")
  rank: int = 2
  layers: tuple[int, ...] | None = None

  def parts(self, inputs, outputs):
    return {"a": Dense(inputs, self.rank, use_bias=False),
            "b": Dense(self.rank, outputs, stddev=0, use_bias=False)}

  def at_projection(self, layers, projection, inputs, training):
    return projection(inputs) + layers["b"](layers["a"](inputs))


@dataclasses.dataclass(frozen=True)
class Prefix(Method):
  """Keys and values of three tokens that are not there."""

  name: ClassVar[str] = "prefix"
  suffix: ClassVar[str] = "prefix"
  hook: ClassVar[str] = ATTENTION
  row: ClassVar[str] = "prefixes"
  names: ClassVar[tuple[str, ...]] = ("attention",)
  layers: tuple[int, ...] | None = None

  def parts(self, inputs, outputs):
    return {name: Array((3, inputs), stddev=0.02)
            for name in ("keys", "values")}

  def keys_and_values(self, layers, hidden, training):
    rows = tf.ones_like(hidden[:, :1, :1])
    return layers["keys"]() * rows, layers["values"]() * rows


METHODS_OF_OURS = (Gate(), LowRank(), Prefix())


@pytest.fixture(autouse=True)
def in_the_table(monkeypatch):
  for config in METHODS_OF_OURS:
    monkeypatch.setitem(METHODS, config.name, type(config))


@pytest.mark.parametrize("config", METHODS_OF_OURS)
def test_exactly_what_it_adds_trains(config, one_layer_source):
  # What is behind zeros learns in the second step.
  model, inputs, changed = trained(one_layer_source, config, steps=2)
  plain = ta.load_encoder(one_layer_source)
  added = {name for name in model.named_variables()
           if f"_{config.suffix}/" in name}
  assert changed == added | {"head/kernel", "head/bias"}
  assert len(added) == len(config.names) * len(config.parts(2, 2))
  assert config.row in str(model.summary_of_tuning())
  assert np.abs(model.encoder(inputs)["sequence_output"]
                - plain(inputs)["sequence_output"]).max() > 1e-3


def test_is_saved_and_serves_beside_bottlenecks(one_layer_source, tmp_path):
  configs = [*METHODS_OF_OURS, ta.AdapterConfig(size=4, init_scale=0.5)]
  expected = {}
  for config in configs:
    model, inputs, _ = trained(one_layer_source, config, steps=2)
    expected[config.name] = model(inputs).numpy()
    ta.save_adapter(model, tmp_path / config.name)
    again = ta.load_adapter(tmp_path / config.name)
    assert again.encoder.method == config
    np.testing.assert_array_equal(again(inputs), expected[config.name])
    if config.name == "gate":
      saved = ta.export_model(again, tmp_path / "saved")
  bank = ta.AdapterBank(one_layer_source, {
      name: tmp_path / name for name in expected})
  rows = bank.predict_proba(TEXTS * len(expected), [
      name for name in expected for _ in TEXTS])
  probabilities = np.reshape([list(row.values()) for row in rows], [-1, 4, 2])
  for one, logits in zip(probabilities, expected.values()):
    np.testing.assert_allclose(one, tf.nn.softmax(logits), atol=1e-5)
  served = tf.saved_model.load(str(saved)).signatures["single_texts"]
  np.testing.assert_allclose(
      served(text=tf.constant(TEXTS))["scores"],
      tf.nn.softmax(expected["gate"]), atol=1e-5)
