import numpy as np
import pytest
import tf_keras

import tf_adapters as ta
from tests.modeling.methods.plain_bert import assert_computes
from tests.modeling.methods.training import trained


def flattened(encoder):
  """The encoder's arrays, with what a network makes of its weights."""
  arrays = {name: variable.numpy().astype(np.float64)
            for name, variable in encoder.named_variables().items()}
  if not encoder.method.flat:
    hidden = np.tanh(
        arrays["transformer/prefix/embeddings/value"]
        @ arrays["transformer/prefix/hidden/kernel"]
        + arrays["transformer/prefix/hidden/bias"])
    for name in [name for name in arrays if "_prefix/" in name]:
      if name.endswith("/kernel"):
        place = name.removesuffix("/kernel")
        arrays[f"{place}/value"] = (
            hidden @ arrays[name] + arrays[f"{place}/bias"])
  return arrays


@pytest.mark.parametrize("method", [
    ta.PrefixConfig(length=3, flat=True),
    ta.PrefixConfig(length=4, bottleneck_size=5, dropout=0.5, layers=(1,)),
])
def test_is_the_papers_function(hf_source, method):
  model, inputs, _ = trained(hf_source, method)
  assert_computes(model.encoder, flattened(model.encoder), inputs)


def test_exactly_its_network_and_the_head_train(one_layer_source):
  method = ta.PrefixConfig(length=3, bottleneck_size=5)
  model, _, changed = trained(one_layer_source, method)
  shared = {"embeddings/value", "hidden/kernel", "hidden/bias"}
  added = {f"transformer/prefix/{name}" for name in shared} | {
      f"transformer/layer_0/attention_prefix/{name}/{leaf}"
      for name in ("keys", "values") for leaf in ("kernel", "bias")}
  assert changed == added | {"head/kernel", "head/bias"}
  summary = model.summary_of_tuning()
  assert summary.rows["prefixes"] == (3 * 32 + 33 * 5 + 2 * 6 * 32, 0)
  flat = ta.TextClassifier(ta.load_encoder(
      one_layer_source, ta.PrefixConfig(length=3, flat=True)), "ab")
  assert flat.summary_of_tuning().rows["prefixes"] == (2 * 3 * 32, 0)


def test_what_lies_below_the_prefixes_is_the_encoders_alone(hf_source):
  encoder = ta.load_encoder(
      hf_source, ta.PrefixConfig(length=3, bottleneck_size=5, layers=(1,)))
  assert encoder.frozen_prefix == 1


def test_files_hold_keys_and_values(one_layer_source, tmp_path):
  model, inputs, _ = trained(
      one_layer_source, ta.PrefixConfig(length=7, bottleneck_size=5))
  again = ta.load_adapter(ta.save_adapter(model, tmp_path / "network"))
  assert again.encoder.method == ta.PrefixConfig(
      length=7, flat=True, bottleneck_size=5)
  assert not any("transformer/prefix/" in name
                 for name in again.named_variables())
  np.testing.assert_allclose(again(inputs), model(inputs), atol=1e-6)
  tuned = again.tuned_variables()["transformer/layer_0/attention_prefix/"
                                  "keys/value"]
  assert tuned.shape == (7, 32)


@pytest.mark.slow
def test_savedmodels_of_keras_hold_the_network(one_layer_source, tmp_path):
  model, inputs, _ = trained(
      one_layer_source, ta.PrefixConfig(length=3, bottleneck_size=5))
  model.save(tmp_path / "saved")
  again = tf_keras.models.load_model(tmp_path / "saved")
  np.testing.assert_array_equal(again(inputs), model(inputs))
  assert again.encoder.method == model.encoder.method


def test_refuses_what_cannot_be():
  for values, message in (
      ({"length": 0}, "prefix length must be an integer"),
      ({"bottleneck_size": 0}, "prefix bottleneck_size"),
      ({"dropout": 1.0}, "prefix dropout")):
    with pytest.raises(ta.InputError, match=message):
      ta.PrefixConfig(**values)
