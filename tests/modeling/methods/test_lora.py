import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import tf_adapters as ta
from tests.adapters import with_random_values
from tests.modeling.methods.plain_bert import assert_computes
from tests.modeling.methods.training import TEXTS, trained
from tf_adapters.modeling.layers import LinearProjection, Projection
from tf_adapters.modeling.methods.places import PROJECTIONS


def kernel_name(layer, target):
  inside = "" if target in ("intermediate", "output") else "self_attention/"
  return f"transformer/layer_{layer}/{inside}{target}/kernel"


def folded(encoder):
  """The encoder's arrays with what LoRA adds in its kernels."""
  arrays = {name: variable.numpy()
            for name, variable in encoder.named_variables().items()}
  method = encoder.method
  scale = method.alpha / (
      method.rank**0.5 if method.rslora else method.rank)
  for layer in method.layers or range(2):
    for target in method.targets:
      place = f"transformer/layer_{layer}/{target}_lora"
      name = kernel_name(layer, target)
      change = scale * arrays[f"{place}/a/kernel"] @ arrays[f"{place}/b/kernel"]
      kernel = arrays[name].reshape(change.shape) + change
      if method.dora:
        kernel *= arrays[f"{place}/magnitude/value"] / np.sqrt(
            (kernel**2).sum(0))
      arrays[name] = kernel.reshape(arrays[name].shape)
  return arrays


@pytest.mark.parametrize("method", [
    ta.LoraConfig(),
    ta.LoraConfig(rank=3, alpha=12, targets=PROJECTIONS),
    ta.LoraConfig(rank=5, alpha=4, rslora=True, dropout=0.5, layers=(1,),
                  targets=("value", "key", "output")),
    ta.LoraConfig(rank=3, alpha=6, targets=PROJECTIONS, dora=True),
])
def test_is_the_papers_function(hf_source, method):
  encoder = ta.load_encoder(hf_source, method)
  inputs = encoder.text_processor(32)(TEXTS)
  plain = ta.load_encoder(hf_source)
  fresh = encoder(inputs)["sequence_output"]
  # Of DoRA the norm of W is divided by itself.
  np.testing.assert_allclose(fresh, plain(inputs)["sequence_output"],
                             rtol=0, atol=2e-6 if method.dora else 0)
  assert_computes(encoder, folded(with_random_values(encoder)), inputs)
  assert np.abs(encoder(inputs)["sequence_output"] - fresh).max() > 0.1


def test_exactly_its_products_and_the_head_train(one_layer_source):
  # A learns behind a B that is not zeros any more.
  model, _, changed = trained(one_layer_source, ta.LoraConfig(
      rank=2, targets=("query", "intermediate", "output"), dropout=0.5),
      steps=2)
  added = {f"transformer/layer_0/{target}_lora/{name}/kernel"
           for target in ("query", "intermediate", "output") for name in "ab"}
  assert changed == added | {"head/kernel", "head/bias"}
  summary = model.summary_of_tuning()
  # Widths 32 and 48; twice 32 + 32, 32 + 48 and 48 + 32.
  assert summary.rows["LoRA"] == (2 * (64 + 80 + 80), 0)
  assert summary.rows["layer norms"][0] == 0
  assert summary.trained == 448 + 66
  assert summary.base == sum(
      variable.shape.num_elements()
      for name, variable in model.named_variables().items()
      if "_lora/" not in name and not name.startswith("head/"))


def test_begins_with_the_spread_that_peft_has():
  adapter = ta.Adapter(ta.LoraConfig(rank=64), 384, 768)
  adapter.build()
  a, b = (variable.numpy() for variable in adapter.variables)
  assert 0.8 < a.std() * (3 * 384) ** 0.5 < 0.95  # cut at two sigma
  assert (a.shape, b.shape) == ((384, 64), (64, 768))
  assert not b.any()


def test_no_gradient_of_dora_goes_through_the_norm():
  method = ta.LoraConfig(rank=1, alpha=2, dora=True)
  adapter = ta.Adapter(method, 2, 1)
  projection = Projection((2,), (1,))
  for layer, values in ((projection, [[[3.0], [4.0]], [0.5]]),
                        (adapter, [[[1.0], [0.0]], [[1.0]], [10.0]])):
    layer.build()
    for variable, value in zip(layer.variables, values):
      variable.assign(value)
  with tf.GradientTape() as tape:
    output = adapter(tf.constant([[[1.0, 2.0]]]), LinearProjection(projection))
  # W + 2 B A is (5, 4); it gives 13 for (1, 2).
  norm = 41**0.5
  assert output[0, 0, 0].numpy() == pytest.approx(10 / norm * 13 + 0.5)
  of_a, of_b, of_magnitude = tape.gradient(output, adapter.trainable_variables)
  np.testing.assert_allclose(of_a[:, 0], 10 / norm * 2 * np.array([1, 2]),
                             rtol=1e-5)
  assert of_b.numpy()[0, 0] == pytest.approx(10 / norm * 2)
  assert of_magnitude.numpy()[0] == pytest.approx(13 / norm)


def test_tasks_that_differ_in_scale_and_places_share_a_product():
  method = ta.LoraConfig(rank=3, alpha=5, layers=(1,), targets=("key",))
  assert method.kind() == ta.LoraConfig(rank=8, rslora=True).kind()
  assert method.kind() != ta.LoraConfig(rank=9).kind()
  assert method.kind().scale == 1


def test_refuses_what_cannot_be(hf_source):
  for values, message in (
      ({"rank": 0}, "lora rank must be an integer"),
      ({"targets": ("pooler",)}, "lora targets must be some of query, key"),
      ({"alpha": 0.0}, "lora alpha"), ({"dropout": 1.0}, "lora dropout")):
    with pytest.raises(ta.InputError, match=message):
      ta.LoraConfig(**values)
  with pytest.raises(ta.InputError, match="lora layer 2 does not exist"):
    ta.load_encoder(hf_source, ta.LoraConfig(layers=(2,)))


def test_values_come_into_order_and_survive_json():
  method = ta.LoraConfig(layers=(2, 0, 2), targets=("value", "query"))
  assert (method.layers, method.targets) == ((0, 2), ("query", "value"))
  values = method.to_dict()
  assert values.pop("method") == "lora"
  assert ta.LoraConfig.from_dict(values) == method
  assert dataclasses.replace(method, rank=4).point == "4"
  assert dataclasses.replace(method, dora=True).curve == "DoRA"
