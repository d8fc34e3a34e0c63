import numpy as np
import pytest
import tensorflow as tf

import tf_adapters as ta
from tests.adapters import with_random_values
from tf_adapters.checkpoints.hub_export import export_hub
from tf_adapters.modeling.methods.places import PROJECTIONS

TEXTS = ["the film is good", "bad", "he said so, very!", ""]


@pytest.mark.parametrize("method", [
    ta.LoraConfig(rank=3, alpha=6, targets=PROJECTIONS),
    ta.LoraConfig(rank=5, layers=(1,), rslora=True, dora=True),
    ta.IA3Config.preset("peft"), ta.IA3Config.preset("adapterhub")])
def test_a_merged_model_computes_the_same(hf_source, method, tmp_path):
  model = ta.TextClassifier(
      with_random_values(ta.load_encoder(hf_source, method), stddev=0.05),
      ["no", "yes"], dropout=0.3)
  model.encoder.tune("adapters", layer_norms=True)
  for name, variable in model.tuned_variables().items():
    if "layer_norm/" in name or name == "head/bias":
      variable.assign_add(tf.random.stateless_normal(
          variable.shape, [1, 2], stddev=0.1))
  inputs = model.encoder.text_processor(32)(TEXTS)
  before = model(inputs).numpy()
  merged = ta.merge(model)
  assert merged.encoder.method is None
  assert set(merged.tuned_variables()) == {"head/kernel", "head/bias"}
  assert (merged.head.dropout.rate, merged.task) == (0.3, model.task)
  # Float32 adds up in another order: 1e-6 of the largest logit were seen.
  np.testing.assert_allclose(
      merged(inputs), before, rtol=0, atol=3e-6 * np.abs(before).max())
  np.testing.assert_array_equal(model(inputs), before)  # as it was
  changed = merged.encoder.changed_variables()
  assert any(name.endswith("/kernel") for name in changed)
  assert not any(name.startswith("pooler") for name in changed)
  # The merged model is saved with the weights that are its own.
  again = ta.load_adapter(ta.save_adapter(merged, tmp_path / "merged"))
  np.testing.assert_array_equal(again(inputs), merged(inputs))


def test_a_merged_encoder_is_one_of_the_hub(one_layer_source, tmp_path):
  encoder = with_random_values(ta.load_encoder(
      one_layer_source, ta.LoraConfig(dora=True)), stddev=0.05)
  inputs = encoder.text_processor(32)(TEXTS)
  again = ta.load_encoder(
      export_hub(ta.merge(encoder), tmp_path / "hub", seq_length=32))
  np.testing.assert_allclose(
      again(inputs)["pooled_output"], encoder(inputs)["pooled_output"],
      atol=2e-6)


def test_refuses_what_cannot_be_merged(one_layer_source, encoder):
  with pytest.raises(ta.InputError, match="method bottleneck cannot be merged"):
    ta.merge(encoder)
  with pytest.raises(ta.InputError, match="no method to merge"):
    ta.merge(ta.load_encoder(one_layer_source))
  with pytest.raises(ta.InputError, match="a int is no model"):
    ta.merge(3)
  held = ta.load_encoder(one_layer_source, ta.LoraConfig(), dtype="bfloat16")
  with pytest.raises(ta.InputError, match="too few digits"):
    ta.merge(ta.TextClassifier(held, ["no", "yes"]))
