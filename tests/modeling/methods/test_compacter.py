import numpy as np
import pytest

import tf_adapters as ta
from tests.modeling.methods.plain_bert import assert_computes
from tests.modeling.methods.training import trained

# Large enough for the adapters to do something.
METHOD = ta.CompacterConfig(
    size=8, rank=2, activation="gelu_tanh", init_scale=0.5)


@pytest.fixture(scope="module")
def on_one_layer(one_layer_source):
  return trained(one_layer_source, METHOD)


def dense(encoder):
  """The encoder's arrays as those of an encoder with bottleneck adapters."""
  arrays = {name: variable.numpy()
            for name, variable in encoder.named_variables().items()}
  rule = arrays["transformer/compacter/rule/value"]
  for name in [name for name in arrays if name.endswith("_left/value")]:
    place = name.removesuffix("_left/value")
    adapter = place.replace("_compacter/", "_adapter/")
    left, right = arrays[name], arrays[f"{place}_right/value"]
    arrays[f"{adapter}/kernel"] = np.sum([
        np.kron(rule[k], left[k] @ right[k]) for k in range(len(rule))], axis=0)
    arrays[f"{adapter}/bias"] = arrays[f"{place}_bias/value"]
  return arrays


def test_is_the_papers_function(hf_source):
  model, inputs, _ = trained(hf_source, METHOD)
  assert_computes(model.encoder, dense(model.encoder), inputs)
  plain = ta.load_encoder(hf_source)(inputs)["sequence_output"]
  outputs = model.encoder(inputs)["sequence_output"]
  assert np.abs(outputs - plain).max() > 0.1


def test_exactly_its_factors_and_the_head_train(on_one_layer):
  added = {"transformer/compacter/rule/value"} | {
      f"transformer/layer_0/{place}_compacter/{kernel}_{part}/value"
      for place in ("attention", "output") for kernel in ("down", "up")
      for part in ("left", "right", "bias")}
  assert on_one_layer.changed == added | {"head/kernel", "head/bias"}
  summary = on_one_layer.model.summary_of_tuning()
  assert summary.rows["Compacter"] == (
      4**3 + 2 * (2 * 2 * (32 + 8) + 32 + 8), 0)
  assert summary.rows["layer norms"][0] == 0


def test_files_hold_its_factors(on_one_layer, tmp_path):
  model, inputs, _ = on_one_layer
  again = ta.load_adapter(ta.save_adapter(model, tmp_path / "compacter"))
  assert again.encoder.method == METHOD
  np.testing.assert_array_equal(again(inputs), model(inputs))


def test_shares_a_product_with_bottlenecks():
  assert METHOD.kind() == ta.AdapterConfig(size=7).kind()
  plus = ta.CompacterConfig.preset("compacter_plus_plus", size=48)
  assert plus.kind() == ta.AdapterConfig.preset(
      "pfeiffer", activation="gelu").kind()


def test_refuses_what_cannot_be(one_layer_source):
  for values, message in (
      ({"size": 9}, "dimension 4 does not divide the size 9"),
      ({"rank": 0}, "compacter rank must be an integer"),
      ({"input": "x"}, "compacter input must be one of sublayer, normed")):
    with pytest.raises(ta.InputError, match=message):
      ta.CompacterConfig(**values)
  with pytest.raises(ta.InputError, match="divide the hidden size 32"):
    ta.load_encoder(one_layer_source, ta.CompacterConfig(dimension=3))
