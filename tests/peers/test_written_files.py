"""Files that we write load in AdapterHub and PEFT, and give equal logits there.

TF_ADAPTERS_PEER names the Python of the environment that
make_adapterhub_goldens.py and make_peft_goldens.py describe.
"""

import os
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
import safetensors.numpy

import tf_adapters as ta
from tests.adapters import with_random_values
from tests.peers import families
from tf_adapters.modeling.methods.places import PROJECTIONS
from tf_adapters.problems import find_problem

PEER = os.environ.get("TF_ADAPTERS_PEER", "")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(
    not PEER, reason="TF_ADAPTERS_PEER names no Python with torch")]

A = ta.AdapterConfig
FROZEN = "adapters-layer_norms"
# name: method, problem, labels, pooling, tuning
ADAPTERHUB = {
    "houlsby": (A(size=5), "classification", "abc", "cls", FROZEN),
    "pfeiffer": (A.preset("pfeiffer", size=4), "classification", "ab", "pooler",
                 f"{FROZEN}+pooler"),
    "both_normed": (A(size=4, input="normed", activation="gelu"),
                    "classification", "ab", "cls", FROZEN),
    "parallel": (A.preset("parallel", size=40), "multi_label", "abc", "pooler",
                 FROZEN),
    "parallel_attention": (A(size=4, parallel=True, scaling=2.0),
                           "classification", "abc", "cls", FROZEN),
    "learned": (A(size=4, learned_scaling=True, layers=(1,)), "regression", "",
                "pooler", FROZEN),
    "layer_norm": (A(size=4, layer_norm=True, layer_norm_epsilon=1e-5,
                     activation="tanh"), "regression", "", "cls",
                   f"{FROZEN}"),
    "compacter": (ta.CompacterConfig(size=8, init_scale=0.5), "classification",
                  "ab", "cls", "adapters"),
    "lora": (ta.LoraConfig(rank=3, alpha=5, rslora=True, targets=(
        "key", "intermediate", "output")), "tagging", "abc", "tokens",
             "adapters"),
    "ia3": (ta.IA3Config.preset("adapterhub"), "classification", "ab", "pooler",
            "adapters+pooler"),
    "prefix": (ta.PrefixConfig(length=3, bottleneck_size=5, layers=(1,)),
               "span", "", "tokens", "adapters"),
    "mam": (ta.UnionConfig((ta.PrefixConfig(length=3, bottleneck_size=5),
                            A.preset("parallel", size=4))), "classification",
            "ab", "cls", FROZEN),
}
# Encoders of these have no pooler here, and any in the other library.
BARE = {"bare": (ta.LoraConfig(rank=2), "classification", "abc", "pooler",
                 "adapters")}
BARE["roberta.bare"] = BARE["electra.bare"] = BARE["bare"]
ADAPTERHUB |= BARE
FAMILIES = ("bert", "roberta", "xlm-roberta", "distilbert", "electra")
# Encoders of these are 8 wide.
ADAPTERHUB |= {
    "roberta.houlsby": (A(size=3), "classification", "abc", "pooler",
                        f"{FROZEN}+pooler"),
    "roberta.ia3": (ta.IA3Config.preset("adapterhub"), "multi_label", "abc",
                    "pooler", "adapters"),
    "xlm-roberta.prefix": (ta.PrefixConfig(length=3, flat=True),
                           "classification", "ab", "cls", "adapters"),
    "distilbert.normed": (A(size=3, input="normed"), "classification", "ab",
                          "pooler", FROZEN),
    "distilbert.lora": (ta.LoraConfig(rank=2, targets=(
        "query", "value", "intermediate", "output")), "tagging", "abc",
                        "tokens", "adapters"),
    "electra.compacter": (
        ta.CompacterConfig(size=4, dimension=2, init_scale=0.5),
        "classification", "ab", "pooler", "adapters+pooler"),
}
PEFT = {
    "lora": (ta.LoraConfig(rank=3, alpha=5, rslora=True, targets=(
        "key", "intermediate", "output")), "classification", "abc", "pooler",
             "adapters"),
    "lora_tags": (ta.LoraConfig(rank=2, layers=(1,)), "tagging", "abc",
                  "tokens", "adapters"),
    "dora": (ta.LoraConfig(rank=2, dora=True), "regression", "", "pooler",
             "adapters+pooler"),
    "ia3": (ta.IA3Config(), "multi_label", "abc", "pooler", "adapters"),
    "ia3_peft": (ta.IA3Config.preset("peft", layers=(0,)), "tagging", "abc",
                 "tokens", "adapters"),
    "norms": (None, "classification", "ab", "pooler", "layer_norm"),
    "lora_norms": (ta.LoraConfig(rank=2), "classification", "ab", "pooler",
                   "adapters+layer_norms"),
    "roberta.lora": (ta.LoraConfig(rank=2, targets=PROJECTIONS),
                     "classification", "abc", "pooler", "adapters+pooler"),
    "roberta.ia3": (ta.IA3Config.preset("peft"), "span", "", "tokens",
                    "adapters"),
    "xlm-roberta.norms": (None, "tagging", "abc", "tokens", "layer_norm"),
    "distilbert.lora": (ta.LoraConfig(rank=2, targets=PROJECTIONS), "tagging",
                        "abc", "tokens", "adapters+layer_norms"),
    "electra.dora": (ta.LoraConfig(rank=2, dora=True), "tagging", "abc",
                     "tokens", "adapters"),
}


PEFT |= {name: BARE[name] for name in ("bare", "roberta.bare")}


def family_of(name):
  return name.partition(".")[0] if "." in name else "bert"


def logits_of(source, path, family, method, problem, labels, pooling, tuning):
  """Saves a task of random numbers; returns its logits."""
  encoder = ta.load_encoder(source, method)
  encoder.tune(tuning)
  with_random_values(encoder, stddev=0.3)
  pooling = {} if pooling == "tokens" else {"pooling": pooling}
  model = find_problem(problem).make_model(encoder, list(labels), **pooling)
  rng = np.random.default_rng(5)
  for name, variable in model.named_variables().items():
    if name.startswith("head/") or (
        encoder.trains(name) and "adapter" not in name):
      variable.assign_add(rng.normal(0, 0.2, variable.shape))
  ta.save_adapter(model, path)
  return np.asarray(model(families.our_inputs(family)))


def without_pooler(source, folder):
  """Writes an encoder without the part that masked-LM checkpoints lack."""
  shutil.copytree(source, folder)
  file = folder / "model.safetensors"
  safetensors.numpy.save_file({
      name: array for name, array in safetensors.numpy.load_file(file).items()
      if not name.startswith("pooler.")}, file)
  return folder


@pytest.mark.parametrize("library,tasks", [
    ("adapterhub", ADAPTERHUB), ("peft", PEFT)])
def test_logits(tmp_path, library, tasks):
  sources = {family: families.write_encoder(family, tmp_path / family)
             for family in FAMILIES}
  bare = {family: without_pooler(source, tmp_path / "bare" / family)
          for family, source in sources.items()}
  ours = {}
  for name, task in tasks.items():
    family = family_of(name)
    source = (bare if name in BARE else sources)[family]
    path = tmp_path / library / f"{family}.{name.rpartition('.')[2]}"
    file = tmp_path / "ours" / path.name
    ours[path.name] = logits_of(source, file, family, *task)
    ta.convert_adapter(file, path, library)
  done = subprocess.run(
      [PEER, f"tests/peers/read_{library}_files.py", tmp_path / library,
       tmp_path / "logits.npz"], capture_output=True, text=True,
      cwd=pathlib.Path(__file__).parents[2],
      env={"PYTHONPATH": ".", "PATH": os.environ["PATH"],
           "HF_HUB_OFFLINE": "1"})
  assert done.returncode == 0, done.stderr[-3000:]
  theirs = np.load(tmp_path / "logits.npz")
  for name, logits in ours.items():
    found = theirs[name]
    tokens = families.our_inputs(family_of(name))["input_mask"] == 1
    if logits.ndim == 3:
      logits, found = logits[tokens], found[tokens]
    np.testing.assert_allclose(found, logits, atol=1e-5, err_msg=name)
