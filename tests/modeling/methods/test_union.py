import json

import numpy as np
import pytest
import tf_keras

import tf_adapters as ta
from tf_adapters.modeling.methods.table import method_from_dict

TEXTS = ["the film is good", "bad", "he said so, very!", ""]
MAM = ta.UnionConfig((
    ta.PrefixConfig(length=3, bottleneck_size=5),
    ta.AdapterConfig.preset("parallel", size=4, layers=(1, 2))))


def trained(source, method):
  """A model that was trained by two steps, and its inputs."""
  encoder = ta.load_encoder(source, method)
  model = ta.TextClassifier(encoder, ["no", "yes"], pooling="mean")
  model.compile(tf_keras.optimizers.Adam(0.05), model.loss_function,
                run_eagerly=True)
  inputs = encoder.text_processor()(TEXTS)
  for _ in range(2):
    model.train_on_batch(inputs, np.array([1, 0, 0, 1]))
  return model, inputs


def test_is_its_methods_together(hf_source):
  model, _ = trained(hf_source, MAM)
  rows = model.summary_of_tuning().rows
  assert rows["prefixes"] == (3 * 32 + 33 * 5 + 3 * 2 * 6 * 32, 0)
  assert rows["adapters"] == (2 * (2 * 4 * 32 + 4 + 32), 0)
  assert rows["layer norms"][0] == 0
  plain = ta.load_encoder(hf_source).named_variables()
  for name, variable in model.encoder.named_variables().items():
    if name in plain:
      np.testing.assert_array_equal(variable, plain[name])
    else:
      assert name in model.tuned_variables()


def test_is_saved_and_serves_beside_others(hf_source, tmp_path):
  models = {
      "mam": trained(hf_source, MAM),
      "both": trained(hf_source, ta.UnionConfig((
          ta.LoraConfig(rank=2, layers=(0,)),
          ta.CompacterConfig(size=4, init_scale=0.5)))),
      "adapters": trained(hf_source, ta.AdapterConfig(size=4, init_scale=0.5))}
  paths = {name: ta.save_adapter(model, tmp_path / name)
           for name, (model, _) in models.items()}
  again = ta.load_adapter(paths["mam"])
  assert again.encoder.method == MAM.saved()
  inputs = models["mam"][1]
  np.testing.assert_allclose(again(inputs), models["mam"][0](inputs), atol=1e-6)
  bank = ta.AdapterBank(hf_source, paths)
  rows = bank.predict_proba(
      TEXTS * 3, [name for name in paths for _ in TEXTS])
  probabilities = np.reshape([list(row.values()) for row in rows], [3, 4, 2])
  for one, (model, inputs) in zip(probabilities, models.values()):
    expected = np.exp(model(inputs).numpy())
    np.testing.assert_allclose(
        one, expected / expected.sum(-1, keepdims=True), atol=1e-6)


def test_configurations_are_those_of_its_methods():
  assert method_from_dict(json.loads(json.dumps(MAM.to_dict()))) == MAM
  assert ta.UnionConfig.preset("mam") == ta.UnionConfig()
  assert (MAM.point, MAM.first_layer) == ("3+4", 0)
  assert MAM.entered_layers(3) == (0, 1, 2)
  upper = MAM.in_layers((2,), 3)
  assert {one.layers for one in upper.methods} == {(2,)}
  assert MAM.in_layers((0,), 3).methods == (ta.PrefixConfig(
      length=3, bottleneck_size=5, layers=(0,)),)


def test_refuses_what_cannot_be():
  lora, ia3 = ta.LoraConfig(), ta.IA3Config()
  for methods, message in (
      ((), "must be configurations of methods"),
      ((MAM,), "must be configurations of methods"),
      (("lora",), "must be configurations of methods"),
      ((lora, ia3), "lora and ia3 enter at one place"),
      ((lora, ta.LoraConfig(targets=("key",))), "lora and lora enter")):
    with pytest.raises(ta.InputError, match=message):
      ta.UnionConfig(methods)
  for methods in (5, [5], ["lora"], [{"method": "union"}], [[]]):
    with pytest.raises(ta.InputError, match="union methods must be"):
      method_from_dict({"method": "union", "methods": methods})
