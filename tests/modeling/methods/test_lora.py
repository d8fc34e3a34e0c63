import dataclasses

import numpy as np
import pytest
import tf_keras

import tf_adapters as ta
from tests import reference
from tf_adapters.modeling.methods.method import PROJECTIONS

TEXTS = ["the film is good", "bad", "he said so, very!", ""]


def kernel_name(layer, target):
  inside = "" if target in ("intermediate", "output") else "self_attention/"
  return f"transformer/layer_{layer}/{inside}{target}/kernel"


def randomised(encoder):
  """Random values of what the method adds, so that it does something."""
  rng = np.random.default_rng(3)
  for name, variable in encoder.named_variables().items():
    if "_lora/" in name:
      variable.assign_add(rng.normal(0, 0.1, variable.shape))
  return encoder


def folded(encoder):
  """The encoder's arrays with what LoRA adds in its kernels."""
  arrays = {name: variable.numpy()
            for name, variable in encoder.named_variables().items()}
  method = encoder.method
  scale = method.alpha / (
      method.rank**0.5 if method.rslora else method.rank)
  for layer in method.layers or range(3):
    for target in method.targets:
      place = f"transformer/layer_{layer}/{target}_lora"
      name = kernel_name(layer, target)
      arrays[name] += scale * (
          arrays[f"{place}/a/kernel"] @ arrays[f"{place}/b/kernel"]
      ).reshape(arrays[name].shape)
  return arrays


@pytest.mark.parametrize("method", [
    ta.LoraConfig(),
    ta.LoraConfig(rank=3, alpha=12, targets=PROJECTIONS),
    ta.LoraConfig(rank=5, alpha=4, rslora=True, dropout=0.5, layers=(2, 0),
                  targets=("value", "key", "output")),
])
def test_is_the_papers_function(hf_source, method):
  encoder = ta.load_encoder(hf_source, method)
  inputs = encoder.text_processor(32)(TEXTS)
  plain = ta.load_encoder(hf_source)
  fresh = encoder(inputs)["sequence_output"]
  np.testing.assert_array_equal(fresh, plain(inputs)["sequence_output"])
  sequence, pooled = reference.bert(
      folded(randomised(encoder)), *(inputs[f"input_{name}"].numpy()
                                     for name in ("word_ids", "mask",
                                                  "type_ids")))
  outputs = encoder(inputs)
  mask = inputs["input_mask"].numpy() == 1
  assert np.abs(outputs["sequence_output"] - fresh).max() > 0.1
  np.testing.assert_allclose(
      outputs["sequence_output"][mask], sequence[mask], atol=1e-5)
  np.testing.assert_allclose(outputs["pooled_output"], pooled, atol=1e-5)


def test_exactly_its_products_and_the_head_train(one_layer_source):
  encoder = ta.load_encoder(one_layer_source, ta.LoraConfig(
      rank=2, targets=("query", "intermediate", "output"), dropout=0.5))
  model = ta.TextClassifier(encoder, ["no", "yes"], pooling="mean")
  model.compile(tf_keras.optimizers.Adam(0.05), model.loss_function,
                run_eagerly=True)
  before = {name: variable.numpy()
            for name, variable in model.named_variables().items()}
  for _ in range(2):  # A learns behind a B that is not zeros any more
    model.train_on_batch(
        encoder.text_processor()(TEXTS), np.array([1, 0, 0, 1]))
  changed = {name for name, variable in model.named_variables().items()
             if np.any(before[name] != variable)}
  added = {f"transformer/layer_0/{target}_lora/{name}/kernel"
           for target in ("query", "intermediate", "output") for name in "ab"}
  assert changed == added | {"head/kernel", "head/bias"}
  summary = model.summary_of_tuning()
  # Widths 32 and 48; twice 32 + 32, 32 + 48 and 48 + 32.
  assert summary.rows["LoRA"] == (2 * (64 + 80 + 80), 0)
  assert summary.rows["layer norms"][0] == 0
  assert summary.trained == 448 + 66
  assert summary.base == sum(
      array.size for name, array in before.items()
      if "_lora/" not in name and not name.startswith("head/"))


def test_begins_with_the_spread_that_peft_has():
  adapter = ta.Adapter(ta.LoraConfig(rank=64), 384, 768)
  adapter.build()
  a, b = (variable.numpy() for variable in adapter.variables)
  assert 0.8 < a.std() * (3 * 384) ** 0.5 < 0.95  # cut at two sigma
  assert (a.shape, b.shape) == ((384, 64), (64, 768))
  assert not b.any()


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
  with pytest.raises(ta.InputError, match="lora layer 3 does not exist"):
    ta.load_encoder(hf_source, ta.LoraConfig(layers=(3,)))


def test_values_come_into_order_and_survive_json():
  method = ta.LoraConfig(layers=(2, 0, 2), targets=("value", "query"))
  assert (method.layers, method.targets) == ((0, 2), ("query", "value"))
  values = method.to_dict()
  assert values.pop("method") == "lora"
  assert ta.LoraConfig.from_dict(values) == method
  assert dataclasses.replace(method, rank=4).point == "4"
