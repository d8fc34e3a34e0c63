"""Models compute what AdapterHub 1.3 computes, and learn the same in a step.

The golden files are written by make_adapterhub_goldens.py.
"""

import pathlib
import re

import numpy as np
import pytest

import tf_adapters as ta
from tests.peers import comparing, tiny_bert

FOLDER = pathlib.Path(__file__).parent / "adapterhub"

preset = ta.AdapterConfig.preset
METHODS = {
    "houlsby": preset("adapterhub_houlsby", size=4),
    "pfeiffer": preset("pfeiffer", size=4),
    "parallel": preset("parallel", size=4),
    "scaled_parallel": preset("scaled_parallel", size=4),
    "learned_scaling": preset(
        "adapterhub_houlsby", size=4, learned_scaling=True),
    "layer_norm": preset("pfeiffer", size=4, layer_norm=True,
                         layer_norm_epsilon=1e-5, layers=(1,)),
    "prefix_flat": ta.PrefixConfig(length=3, flat=True, layers=(1,)),
    "prefix_network": ta.PrefixConfig(length=3, bottleneck_size=5),
    "compacter": ta.CompacterConfig(size=8),
    "mam": ta.UnionConfig((
        ta.PrefixConfig(length=3, bottleneck_size=5),
        preset("parallel", size=4))),
    "compacter_plus_plus": ta.CompacterConfig.preset(
        "compacter_plus_plus", size=8),
}

BOTTLENECK = re.compile(
    r"encoder\.layer\.(\d+)\.(attention\.)?output\.adapters\.task\."
    r"(?:adapter_)?(\w+?)(?:\.\d)?(?:\.(\w+))?")
OURS = {"weight": "/kernel", "bias": "/bias", "W_left": "_left/value",
        "W_right": "_right/value", "b": "_bias/value", None: "/value"}


def our_arrays(golden, when, method):
  """A golden file's arrays by canonical name, in our shapes."""
  methods = {one.suffix: one for one in getattr(method, "methods", [method])}
  prefix = methods.pop("prefix", None)
  suffix = "".join(methods)
  arrays = {}
  for name in golden:
    if not name.startswith(when):
      continue
    array, name = golden[name], name.removeprefix(when)
    if name.startswith("head."):
      arrays["head" + OURS[name[5:]]] = array.T
    elif "prefix_tunings" in name:
      arrays |= prefix_arrays(name.split(".self_prefix.")[1], array, prefix)
    elif name.endswith("phm_rule"):
      arrays["transformer/compacter/rule/value"] = array
    else:
      layer, attention, part, leaf = BOTTLENECK.fullmatch(name).groups()
      place = (f"transformer/layer_{layer}/"
               f"{'attention' if attention else 'output'}_{suffix}/")
      if part == "norm_before":
        leaf = {"weight": "gamma", "bias": "beta"}[leaf]
        arrays[f"{place}layer_norm/{leaf}"] = array
      else:
        arrays[f"{place}{part}{OURS[leaf]}"] = (
            array.T if array.ndim == 2 else array)
  return arrays


def prefix_arrays(name, array, method):
  if name == "wte.weight":
    return {"transformer/prefix/embeddings/value": array}
  leaf = OURS[name.partition(".0.")[2] or name.partition(".2.")[2] or None]
  if ".0." in name:
    return {f"transformer/prefix/hidden{leaf}": array.T}
  layers = method.layers or range(tiny_bert.CONFIG["num_hidden_layers"])
  places = [f"transformer/layer_{layer}/attention_prefix/{what}{leaf}"
            for layer in layers for what in ("keys", "values")]
  if method.flat:
    array = array.reshape(3, len(places), 32).swapaxes(0, 1)
  else:
    array = array.reshape(len(places), 32, -1).swapaxes(1, 2)
    array = array[:, 0] if leaf == "/bias" else array
  return dict(zip(places, array))


@pytest.mark.parametrize("name", METHODS)
def test_computes_and_learns_the_same(source, name):
  golden = np.load(FOLDER / f"{name}.npz")
  comparing.check(source, METHODS[name], golden, lambda when: our_arrays(
      golden, when, METHODS[name]))
