"""Adapter files of made-up tasks of every kind, and texts for them."""

import contextlib
import dataclasses
import json

import numpy as np

import tf_adapters as ta
from tf_adapters.modeling.methods.table import method_of
from tf_adapters.problems import find_problem

A = ta.AdapterConfig

# name: adapters, problem, labels, pooling, tuning, max_length, pairs
TASKS = {
    "topic": (A(size=8), "classification", "abc", "mean", "adapters", 32,
              False),
    "same": (A(size=8), "classification", "yn", "pooler", "adapters", 24, True),
    "score": (A(size=5, activation="relu", layers=(0,), scaling=2.0),
              "regression", "", "cls", "adapters", 16, None),
    "tags": (A(size=16, parallel=True), "multi_label", "pqrs", "pooler",
             "adapters-layer_norms", 32, False),
    "words": (A(size=12, depth=2, layer_norm=True), "tagging", "OBI", "mean",
              "adapters", 12, False),
    "norms": (None, "classification", "abcdefghijk", "mean", "layer_norm",
              None, None),
    "head": (None, "classification", "yn", "cls", "head", 32, None),
    "lora": (ta.LoraConfig(rank=3, alpha=6, layers=(1,), targets=(
        "query", "value", "attention_output", "output")), "classification",
             "uvw", "mean", "adapters", 32, False),
    "prefix": (ta.PrefixConfig(length=3, bottleneck_size=5, layers=(0,)),
               "classification", "pqr", "mean", "adapters", 32, False),
    "compact": (ta.CompacterConfig(size=8, layers=(1,), init_scale=0.5),
                "classification", "ab", "mean", "adapters", 32, False),
    "dora": (ta.LoraConfig(rank=2, alpha=6, dora=True, targets=(
        "value", "intermediate", "output")), "regression", "", "mean",
             "adapters", 16, False),
    "ia3": (ta.IA3Config.preset("peft", layers=(0,)), "multi_label", "gh",
            "pooler", "adapters+pooler", 32, False),
    "ia3_outputs": (ta.IA3Config.preset("adapterhub"), "classification", "gh",
                    "mean", "adapters+layer_norms", 24, True),
    "after": (A(size=48, positions=("output",), layers=(1,), input="normed",
                learned_scaling=True),
              "classification", "yn", "mean", "adapters", 32, False),
}
# Of the task "tags"; 0.5 for its other labels.
THRESHOLDS = {"p": 0.7, "q": 0.2}
TEXTS = ["the film is good", "", "bad", "he said so, very! " * 8, "ünable 😀",
         "x" * 10_000, "a\x00\x01 b\t c\n", b"not \xff\xfe good", "\udcff good"]
PAIRS = [("he said so", "so he said"), ("", ""), ("good", ""), ("", "bad"),
         ("very " * 40, "bad " * 40)]


def make(hf_source, path, adapters, problem, labels, pooling, tuning,
         max_length=32, pairs=None, seed=0, span=None):
  """Writes the adapter file of a task that has learnt something random."""
  encoder = ta.load_encoder(str(hf_source), adapters)
  encoder.tune(tuning)
  model = find_problem(problem).make_model(encoder, list(labels), pooling)
  rng = np.random.default_rng(seed)
  for variable in model.trainable_variables:
    variable.assign_add(rng.normal(0, 0.2, variable.shape))
  if set(labels) > THRESHOLDS.keys() and problem == "multi_label":
    model.task = dataclasses.replace(model.task, thresholds=THRESHOLDS)
  ta.save_adapter(model, path, max_length=max_length, pairs=pairs, span=span)
  return path


def with_random_values(encoder, seed=3, stddev=0.1):
  """Changes what the method adds, so that it does something."""
  rng = np.random.default_rng(seed)
  for name, variable in encoder.named_variables().items():
    if method_of(name):
      variable.assign_add(rng.normal(0, stddev, variable.shape))
  return encoder


def edit(path, **changes):
  """Edits an adapter_config.json by hand; ... deletes a key."""
  file = path / "adapter_config.json"
  values = {**json.loads(file.read_text()), "config_sha256": ..., **changes}
  file.write_text(json.dumps(
      {name: value for name, value in values.items() if value is not ...}))


@contextlib.contextmanager
def without(model, layers):
  """Lets the adapters of some layers add nothing for a while."""
  up = {name: variable for name, variable in model.named_variables().items()
        if "_adapter/up/" in name and int(name.split("/")[1][6:]) in layers}
  weights = {name: variable.numpy() for name, variable in up.items()}
  for variable in up.values():
    variable.assign(np.zeros(variable.shape))
  try:
    yield
  finally:
    for name, variable in up.items():
      variable.assign(weights[name])
