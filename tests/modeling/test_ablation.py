"""Models without the adapters of some layers."""

import itertools

import numpy as np
import pytest

import tf_adapters as ta
from tests.adapters import without
from tf_adapters.modeling.ablation import AdapterAblation, count_layer_passes
from tf_adapters.problems import find_problem

LAYERS = 3  # of the tiny encoder
SPANS = [frozenset(), *(
    frozenset(range(first, last + 1))
    for first in range(LAYERS) for last in range(first, LAYERS))]


def trained(hf_source, adapters, problem="classification"):
  """A model whose adapters and layer norms have learnt something random."""
  labels = [] if problem in ("regression", "span") else ["O", "B-x", "I-x"]
  model = find_problem(problem).make_model(
      ta.load_encoder(str(hf_source), adapters), labels, pooling="mean")
  rng = np.random.default_rng(3)
  for variable in model.trainable_variables:
    variable.assign_add(rng.normal(0, 0.2, variable.shape))
  return model


@pytest.mark.parametrize("adapters, problem", [
    (ta.AdapterConfig(size=8), "classification"),
    (ta.AdapterConfig(size=4, layers=(0, 2), positions=("output",)), "tagging"),
    pytest.param(ta.AdapterConfig(size=4, parallel=True), "regression",
                 marks=pytest.mark.slow),
    pytest.param(ta.AdapterConfig(size=4, depth=2, layer_norm=True), "span",
                 marks=pytest.mark.slow),
])
def test_every_set_is_as_if_its_adapters_added_nothing(
    hf_source, batch, adapters, problem):
  model = trained(hf_source, adapters, problem)
  ablation = AdapterAblation(model)
  # All sets, stretches and others, in no order.
  sets = [frozenset(layers) for count in range(LAYERS, -1, -1)
          for layers in itertools.combinations(range(LAYERS), count)]
  outputs = ablation(batch, sets)
  assert outputs.keys() == set(sets)
  for layers in sets:
    with without(model, layers):
      np.testing.assert_allclose(
          outputs[layers], model(batch), atol=2e-6, rtol=2e-6)
  with_adapters = frozenset(adapters.layers or range(LAYERS))
  for a, b in itertools.combinations(sets, 2):
    if a & with_adapters != b & with_adapters:
      assert np.abs(outputs[a] - outputs[b]).max() > 1e-4, (a, b)
  # A graph for each layer with and without adapters, whatever the width.
  ablation(model.encoder.text_processor(32)(["the film"], ["is good"]), sets)
  assert [layer.experimental_get_tracing_count()
          for layer in ablation._run_layer.values()] == [1] * 2 * LAYERS


def test_passes_are_counted_as_they_are_run(encoder, batch):
  ablation = AdapterAblation(ta.TextRegressor(encoder, "mean"))
  run = []
  ablation._run_layer = {
      key: lambda hidden, mask, key=key: (run.append(key), hidden)[1]
      for key in ablation._run_layer}
  for sets in (SPANS, SPANS[:1], SPANS[2:5], []):
    run.clear()
    ablation(batch, sets)
    assert len(run) == count_layer_passes(LAYERS, sets)


@pytest.mark.parametrize("layers", [1, 2, 6, 12, 24])
def test_passes_of_all_stretches(layers):
  spans = [frozenset(), *(
      frozenset(range(first, last + 1))
      for first in range(layers) for last in range(first, layers))]
  assert count_layer_passes(layers, spans) == (
      layers + layers * (layers + 1) * (layers + 2) // 6)
