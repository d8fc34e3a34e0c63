import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings, strategies as st

import tf_adapters as ta
from tf_adapters.modeling.adapter import adapter_shapes
from tf_adapters.modeling.stacked import (
    Stack,
    StackedAdapter,
    adapter_kind,
    padded_size,
)

HIDDEN = 12

CONFIGS = st.builds(
    ta.AdapterConfig, size=st.integers(1, 20),
    activation=st.sampled_from(["gelu", "relu", "linear"]),
    init_scale=st.just(0.5), parallel=st.booleans(),
    depth=st.integers(1, 3), layer_norm=st.booleans())


@pytest.mark.parametrize("config", [
    ta.AdapterConfig(size=4), ta.AdapterConfig(size=3, depth=3),
    ta.AdapterConfig(size=5, layer_norm=True, parallel=True)])
def test_shapes_are_those_of_the_variables(config):
  adapter = ta.Adapter(config, HIDDEN)
  adapter.build()
  assert adapter_shapes(config, HIDDEN) == {
      name: tuple(variable.shape)
      for name, variable in adapter.named_variables().items()}


def test_padded_sizes_waste_less_than_half():
  sizes = {padded_size(size) for size in range(1, 1000)}
  assert len(sizes) < 20
  for size in range(9, 1000):
    assert size <= padded_size(size) < 1.5 * size


@settings(max_examples=25, deadline=None)
@given(configs=st.lists(st.none() | CONFIGS, min_size=1, max_size=4),
       seed=st.integers(0, 99))
def test_every_row_gets_its_own_adapter(configs, seed):
  rng = np.random.default_rng(seed)
  adapters = [config and ta.Adapter(config, HIDDEN) for config in configs]
  stacked = StackedAdapter(HIDDEN, "float32")
  for config, adapter in zip(configs, adapters):
    arrays = None
    if adapter:
      adapter.build()
      for variable in adapter.variables:
        variable.assign(rng.normal(0, 0.5, variable.shape))
      arrays = {name: variable.numpy()
                for name, variable in adapter.named_variables().items()}
    stacked.extend([config], [arrays])
  tasks = rng.integers(0, len(configs) + 1, 7)
  hidden, skip = (tf.constant(rng.normal(0, 1, [7, 5, HIDDEN]), tf.float32)
                  for _ in range(2))
  output = stacked(hidden, skip, tf.constant(tasks, tf.int32))
  for row, task in enumerate(tasks):
    adapter = adapters[task - 1] if task else None
    expected = hidden[row:row + 1]
    if adapter:
      expected = adapter(expected, skip[row:row + 1])
    np.testing.assert_allclose(output[row], expected[0], atol=1e-5)


def test_kinds_are_told_apart_by_what_they_compute_alone():
  same = [ta.AdapterConfig(size=40), ta.AdapterConfig(
      size=48, layers=(1,), positions=("output",), dropout=0.1, init_scale=0.1)]
  assert adapter_kind(same[0]) == adapter_kind(same[1])
  others = [ta.AdapterConfig(size=40, **change) for change in (
      {}, {"depth": 2}, {"parallel": True}, {"layer_norm": True},
      {"activation": "relu"})]
  for one, two in itertools.combinations(others, 2):
    assert adapter_kind(one) != adapter_kind(two)


@settings(max_examples=50, deadline=None)
@given(steps=st.lists(st.integers(-5, 3), max_size=12))
def test_stacks_hold_what_was_added_and_not_removed(steps):
  stack = Stack({"x": np.full([2], -1, np.float32)}, num_tasks=1)
  expected = [-1.0]
  for number, step in enumerate(steps):
    if step > 0:
      own = [None if (number + i) % 3 == 0 else number + 0.1 * i
             for i in range(step)]
      stack.extend([None if value is None else {
          "x": np.full([2], value, np.float32)} for value in own])
      expected += [-1.0 if value is None else value for value in own]
    elif 1 <= -step < len(expected):
      stack.remove(-step)
      del expected[-step]
  rows = stack(tf.range(len(expected)))["x"]
  np.testing.assert_allclose(rows, np.repeat(
      np.array(expected, np.float32)[:, np.newaxis], 2, axis=1))
  # Nothing is kept of tasks that are gone.
  own = sum(value != -1.0 for value in expected)
  assert stack.tables["x"].numpy().shape[0] == own + 1


