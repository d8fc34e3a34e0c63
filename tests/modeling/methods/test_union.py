import json

import numpy as np
import pytest

import tf_adapters as ta
from tests.modeling.methods.training import TEXTS, trained
from tf_adapters.modeling.methods.table import method_from_dict, method_of

MAM = ta.UnionConfig((
    ta.PrefixConfig(length=3, bottleneck_size=5),
    ta.AdapterConfig.preset("parallel", size=4, layers=(1,))))


def test_is_its_methods_together(hf_source):
  model, _, changed = trained(hf_source, MAM, steps=2)
  rows = model.summary_of_tuning().rows
  assert rows["prefixes"] == (3 * 32 + 33 * 5 + 2 * 2 * 6 * 32, 0)
  assert rows["adapters"] == (2 * 4 * 32 + 4 + 32, 0)
  assert rows["layer norms"][0] == 0
  assert changed == {"head/kernel", "head/bias", *(
      name for name in model.named_variables() if method_of(name))}


def test_is_saved_and_serves_beside_others(one_layer_source, tmp_path):
  mam = ta.UnionConfig((ta.PrefixConfig(length=3, bottleneck_size=5),
                        ta.AdapterConfig.preset("parallel", size=4)))
  models = {name: trained(one_layer_source, method, steps=2)
            for name, method in (
                ("mam", mam), ("both", ta.UnionConfig((
                    ta.LoraConfig(rank=2),
                    ta.CompacterConfig(size=4, init_scale=0.5)))))}
  paths = {name: ta.save_adapter(one.model, tmp_path / name)
           for name, one in models.items()}
  logits = {name: one.model(one.inputs).numpy()
            for name, one in models.items()}
  again = ta.load_adapter(paths["mam"])
  assert again.encoder.method == mam.saved()
  np.testing.assert_allclose(
      again(models["mam"].inputs), logits["mam"], atol=1e-6)
  bank = ta.AdapterBank(one_layer_source, paths)
  rows = bank.predict_proba(
      TEXTS * 2, [name for name in paths for _ in TEXTS])
  probabilities = np.reshape([list(row.values()) for row in rows], [2, 4, 2])
  for one, expected in zip(probabilities, map(np.exp, logits.values())):
    np.testing.assert_allclose(
        one, expected / expected.sum(-1, keepdims=True), atol=1e-6)


def test_configurations_are_those_of_its_methods():
  assert method_from_dict(json.loads(json.dumps(MAM.to_dict()))) == MAM
  assert ta.UnionConfig.preset("mam") == ta.UnionConfig()
  assert (MAM.point, MAM.first_layer) == ("3+4", 0)
  assert MAM.entered_layers(3) == (0, 1, 2)
  upper = MAM.in_layers((1, 2), 3)
  assert [one.layers for one in upper.methods] == [(1, 2), (1,)]
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
