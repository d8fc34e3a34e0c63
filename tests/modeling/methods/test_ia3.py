import numpy as np
import pytest

import tf_adapters as ta
from tests.adapters import with_random_values
from tests.modeling.methods.plain_bert import assert_computes
from tests.modeling.methods.training import TEXTS, trained

ATTENTION = ("query", "key", "value", "attention_output")


def folded(encoder):
  """The encoder's arrays with the factors in its kernels and biases."""
  arrays = {name: variable.numpy()
            for name, variable in encoder.named_variables().items()}
  for name, factor in arrays.items():
    if "_ia3/" not in name:
      continue
    _, layer, place, side, _ = name.split("/")
    target = place.removesuffix("_ia3")
    inside = "self_attention/" if target in ATTENTION else ""
    kernel, bias = (f"transformer/{layer}/{inside}{target}/{leaf}"
                    for leaf in ("kernel", "bias"))
    if side == "output_scale":
      shape = arrays[bias].shape
      arrays[bias] = arrays[bias] * factor.reshape(shape)
      arrays[kernel] = arrays[kernel] * factor.reshape(shape)
    else:
      rows = arrays[kernel].reshape(factor.size, -1) * factor[:, None]
      arrays[kernel] = rows.reshape(arrays[kernel].shape)
  return arrays


@pytest.mark.parametrize("method, places", [
    (ta.IA3Config(), 32 + 32 + 48),
    (ta.IA3Config.preset("peft"), 32 + 32 + 32 + 48),
    (ta.IA3Config.preset("adapterhub"), 32 + 32 + 48),
    (ta.IA3Config(scaled_outputs=("output", "query"), layers=(0, 1),
                  scaled_inputs=("value", "intermediate", "output")),
     32 + 32 + 32 + 32 + 48),
])
def test_is_the_papers_function(hf_source, method, places):
  encoder = ta.load_encoder(hf_source, method)
  inputs = encoder.text_processor(32)(TEXTS)
  fresh = encoder(inputs)["sequence_output"]
  np.testing.assert_array_equal(
      fresh, ta.load_encoder(hf_source)(inputs)["sequence_output"])
  assert sum(variable.shape.num_elements() for variable
             in encoder.tuned_variables().values()) == places * len(
                 method.layers or range(2))
  arrays = folded(with_random_values(encoder, stddev=0.5))
  assert_computes(encoder, arrays, inputs)
  assert np.abs(encoder(inputs)["sequence_output"] - fresh).max() > 0.1


def test_exactly_its_factors_and_the_head_train(one_layer_source):
  model, _, changed = trained(one_layer_source, ta.IA3Config.preset("peft"))
  place = "transformer/layer_0"
  assert changed == {
      f"{place}/key_ia3/output_scale/value",
      f"{place}/value_ia3/output_scale/value",
      f"{place}/attention_output_ia3/input_scale/value",
      f"{place}/output_ia3/input_scale/value", "head/kernel", "head/bias"}
  assert model.summary_of_tuning().rows["IA3"] == (3 * 32 + 48, 0)


def test_what_cannot_be_is_refused():
  for values, message in (
      ({"scaled_inputs": ("pooler",)}, "ia3 scaled_inputs must be some of"),
      ({"scaled_inputs": None, "scaled_outputs": None}, "one of them has to")):
    with pytest.raises(ta.InputError, match=message):
      ta.IA3Config(**values)


def test_survives_json():
  for preset in ta.IA3Config.PRESETS:
    method = ta.IA3Config.preset(preset, layers=(1,))
    values = method.to_dict()
    assert values.pop("method") == "ia3"
    assert ta.IA3Config.from_dict(values) == method
