"""Models compute what PEFT 0.21 computes, and learn the same in a step.

The golden files are written by make_peft_goldens.py.
"""

import pathlib
import re

import numpy as np
import pytest

import tf_adapters as ta
from tests.peers import comparing, tiny_bert
from tf_adapters.modeling.methods.places import PROJECTIONS

FOLDER = pathlib.Path(__file__).parent / "peft"

METHODS = {
    "lora": ta.LoraConfig(rank=2, alpha=2),
    "lora_all": ta.LoraConfig(rank=4, alpha=2, targets=PROJECTIONS),
    "rslora": ta.LoraConfig(rank=4, alpha=3, rslora=True, layers=(1,),
                            targets=("key", "value")),
    "dora": ta.LoraConfig(rank=2, alpha=2, dora=True),
    "dora_all": ta.LoraConfig(
        rank=2, alpha=6, dora=True, targets=PROJECTIONS),
    "ia3": ta.IA3Config.preset("peft"),
    "ia3_outputs": ta.IA3Config.preset("adapterhub"),
}

NAME = re.compile(
    r"base_model\.model\.encoder\.layer\.(\d+)\.(.+)\."
    r"(lora_A|lora_B|lora_magnitude_vector|ia3_l)\.default(?:\.weight)?")
TARGETS = {
    **{f"attention.self.{name}": name for name in ("query", "key", "value")},
    "attention.output.dense": "attention_output",
    "intermediate.dense": "intermediate", "output.dense": "output"}
PARTS = {"lora_A": "lora/a/kernel", "lora_B": "lora/b/kernel",
         "lora_magnitude_vector": "lora/magnitude/value"}


def our_name(name, shape):
  """The canonical name of a parameter of PEFT's."""
  if name.startswith("head."):
    return {"head.weight": "head/kernel", "head.bias": "head/bias"}[name]
  layer, target, part = NAME.fullmatch(name).groups()
  if part == "ia3_l":  # [outputs, 1], or [1, inputs]
    side = "output" if shape[1] == 1 else "input"
    ours = f"ia3/{side}_scale/value"
  else:
    ours = PARTS[part]
  return f"transformer/layer_{layer}/{TARGETS[target]}_{ours}"


def our_arrays(golden, when):
  """A golden file's arrays by canonical name, in our shapes."""
  arrays = {}
  for name in golden:
    if name.startswith(when):
      array = golden[name]
      ours = our_name(name.removeprefix(when), array.shape)
      arrays[ours] = (
          array.reshape(-1) if ours.endswith("/value") else array.T)
  return arrays


@pytest.mark.parametrize("name", METHODS)
def test_computes_and_learns_the_same(source, name):
  golden = np.load(FOLDER / f"{name}.npz")
  fresh = comparing.check(source, METHODS[name], golden,
                          lambda when: our_arrays(golden, when))
  # Those of the golden file have something added.
  for theirs in golden:
    if theirs.startswith("before/") and "magnitude" in theirs:
      array, theirs = golden[theirs], theirs.removeprefix("before/")
      np.testing.assert_allclose(
          fresh[our_name(theirs, array.shape)],
          array - tiny_bert.draw(theirs, array.shape), atol=1e-5)
