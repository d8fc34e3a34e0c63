"""Adapters that can be left out, and the file of the others."""

import dataclasses
import itertools

import numpy as np
import pytest
import scipy.special

import tf_adapters as ta
from tests.adapters import make, without
from tf_adapters.adapter_files.info import read_info
from tf_adapters.adapter_files.tensors import expected_shapes
from tf_adapters.errors import InputError
from tf_adapters.experiments.pruning import (
    adapter_parameters,
    prune,
    pruned_info,
    save_pruned,
    shared_layers,
)
from tf_adapters.modeling.methods.table import method_of
from tf_adapters.modeling.tuning import depth_of, is_layer_norm

A = ta.AdapterConfig
METRICS = {"validation": {"accuracy": 0.75}}


def scores(costs, full=0.9):
  """Every layer costs something of its own; notes what was asked for."""
  asked = []

  def score(removed):
    removed = list(removed)
    asked.append(removed)
    return {layers: full - sum(costs[layer] for layer in layers)
            for layers in removed}

  return score, asked


@pytest.mark.parametrize("max_loss, lowest, greedy", [
    (0.0, [], [2]),           # layer 2 gains something
    (0.01, [0], [0, 2]),      # to the limit, which floats do not hit
    (0.02, [0], [0, 2, 3]),
    (0.03, [0, 1, 2], [0, 2, 3]),
    (0.05, [0, 1, 2, 3], [0, 1, 2, 3]),
])
def test_prunes_within_the_loss(max_loss, lowest, greedy):
  costs = {0: 0.01, 1: 0.025, 2: -0.005, 3: 0.012}
  assert prune("lowest", [0, 1, 2, 3], max_loss, scores(costs)[0]) == set(
      lowest)
  assert prune("greedy", [0, 1, 2, 3], max_loss, scores(costs)[0]) == set(
      greedy)


def test_the_lowest_go_on_behind_one_that_costs_too_much():
  costs = {4: 0.05, 5: -0.045, 7: 0.5}
  assert prune("lowest", [4, 5, 7], 0.01, scores(costs)[0]) == {4, 5}
  assert prune("greedy", [4, 5, 7], 0.01, scores(costs)[0]) == {4, 5}


def test_greedy_stops_at_the_first_step_that_costs_too_much():
  score, asked = scores({0: 0.0, 1: 0.0, 2: 0.3})
  assert prune("greedy", [0, 1, 2], 0.01, score) == {0, 1}
  steps = [set(removed) for removed in asked[1:]]
  # Of equals the lowest goes first.
  assert steps == [
      {frozenset([0]), frozenset([1]), frozenset([2])},
      {frozenset([0, 1]), frozenset([0, 2])}, {frozenset([0, 1, 2])}]


# The tuning of a file, its adapters' layers, what is left out -> the tuning of
# the pruned file, and its layers.
FILES = [
    ("adapters", None, [0], "adapters+layer_norms", [1, 2]),
    ("adapters", None, [0, 1, 2], "head+layer_norms", None),
    ("adapters", [1, 2], [1], "adapters+layer_norms", [2]),
    ("adapters-layer_norms+pooler", None, [0, 2],
     "adapters-layer_norms+pooler", [1]),
]


@pytest.mark.parametrize(
    "tuning, layers, removed, pruned_tuning, pruned_layers", FILES)
def test_a_pruned_file_is_the_model_without_these_adapters(
    hf_source, batch, tmp_path, tuning, layers, removed, pruned_tuning,
    pruned_layers):
  path = make(hf_source, tmp_path / "full", A(size=4, layers=layers),
              "classification", "yn", "pooler", tuning, max_length=24,
              pairs=True)
  model = ta.load_adapter(path)
  removed = frozenset(removed)
  pruned = tmp_path / "pruned"
  save_pruned(model, read_info(path), removed, pruned, METRICS)

  with without(model, removed):
    expected = model(batch)
  loaded = ta.load_adapter(pruned)
  np.testing.assert_allclose(loaded(batch), expected, atol=1e-6)
  # Not that it would not have mattered.
  assert np.abs(model(batch) - expected).max() > 1e-3

  info, before = read_info(pruned), read_info(path)
  assert info.tuning == pruned_tuning
  assert info.metrics == METRICS
  assert (info.adapter and info.adapter["layers"]) == pruned_layers
  for name in ("task", "labels", "pooling", "max_length", "pairs", "encoder"):
    assert getattr(info, name) == getattr(before, name)
  assert adapter_parameters(model, removed) == sum(
      variable.shape.num_elements()
      for name, variable in loaded.named_variables().items()
      if method_of(name))
  assert shared_layers(model, removed) == lowest_of_its_own(loaded)


def lowest_of_its_own(model):
  """Counts the layers below the first that differs from the encoder's."""
  base = ta.load_encoder(model.encoder.origin.source).named_variables()
  return min((depth_of(name, 3)
              for name, variable in model.encoder.named_variables().items()
              if name not in base or not np.array_equal(variable, base[name])),
             default=3)


@pytest.mark.parametrize("tuning", [
    "adapters", "adapters+pooler", "adapters-layer_norms",
    "adapters+layer_norms", "adapters+layer_norms-pooler"])
def test_a_pruned_file_has_all_else_that_was_tuned(task_files, tuning):
  info = dataclasses.replace(read_info(task_files["same"]), tuning=tuning)
  sets = [layers for count in range(1, 4)
          for layers in itertools.combinations(range(3), count)]
  for layers, removed in itertools.product(sets, sets):
    if not set(removed) <= set(layers):
      continue
    full = dataclasses.replace(info, adapter=A(layers=layers).to_dict())
    pruned = pruned_info(full, frozenset(removed))
    before, after = expected_shapes(full), expected_shapes(pruned)
    left_out = {name for name in before if method_of(name)
                and depth_of(name, 3) in removed}
    assert left_out
    assert before.keys() - after.keys() == left_out
    # Nothing but layer norms, as they are in the encoder.
    assert all(map(is_layer_norm, after.keys() - before.keys()))


@pytest.mark.slow
def test_a_pruned_file_is_one_of_a_bank(hf_source, tmp_path):
  path = make(hf_source, tmp_path / "full", A(size=8), "classification", "abc",
              "mean", "adapters")
  model = ta.load_adapter(path)
  texts = ["the film is good"] * 2
  names, expected = ["some", "none"], []
  for name, removed in zip(names, ([0, 1], [0, 1, 2])):
    save_pruned(
        model, read_info(path), frozenset(removed), tmp_path / name, {})
    with without(model, removed):
      expected.append(model(model.encoder.text_processor(32)(texts))[0])
  bank = ta.AdapterBank(
      str(hf_source), {name: tmp_path / name for name in names})
  found = [list(scores.values()) for scores in bank.predict_proba(texts, names)]
  np.testing.assert_allclose(
      found, scipy.special.softmax(expected, axis=1), atol=1e-6)


def test_replaces_adapter_files_alone(hf_source, tmp_path):
  path = make(hf_source, tmp_path / "full", A(size=4), "classification", "yn",
              "mean", "adapters")
  model, info = ta.load_adapter(path), read_info(path)
  for _ in range(2):
    save_pruned(model, info, frozenset([0]), tmp_path / "pruned", METRICS)
  (tmp_path / "mine").mkdir()
  (tmp_path / "mine" / "file").write_text("")
  with pytest.raises(InputError, match="is no adapter file"):
    save_pruned(model, info, frozenset([0]), tmp_path / "mine", METRICS)
  assert {path.name for path in (tmp_path / "pruned").iterdir()} == {
      "adapter.safetensors", "adapter_config.json", "README.md"}
  assert sorted(path.name for path in tmp_path.iterdir()) == [
      "full", "mine", "pruned"]
