import dataclasses
import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings, strategies as st

import tf_adapters as ta
from tf_adapters.modeling.methods.bottleneck import padded_size
from tf_adapters.modeling.methods.places import SUBLAYER, Place
from tf_adapters.modeling.stacked import (
    StackedTasks,
    TaskArrays,
)
from tf_adapters.modeling.stacked_layers import StackedTaskLayers, batch_rows

HIDDEN = 12
BERT = ta.BertConfig(
    vocab_size=9, hidden_size=HIDDEN, num_hidden_layers=1,
    num_attention_heads=2, intermediate_size=16)
PLACE = "transformer/layer_0/output_adapter"
NORM = "embeddings/layer_norm"

CONFIGS = st.builds(
    ta.AdapterConfig, size=st.integers(1, 20), positions=st.just(("output",)),
    activation=st.sampled_from(["gelu", "relu", "linear"]),
    init_scale=st.just(0.5), depth=st.integers(1, 3),
    layer_norm=st.booleans(), learned_scaling=st.booleans(),
    scaling=st.sampled_from([1.0, 4.0])).flatmap(
        lambda config: st.sampled_from([
            config, dataclasses.replace(config, parallel=True),
            dataclasses.replace(config, input="normed")]))


def no_tasks(capacity=None):
  return StackedTasks.of_encoder({NORM: {
      "gamma": np.full([HIDDEN], -1, np.float32),
      "beta": np.zeros([HIDDEN], np.float32)}}, capacity)


def head(value, labels=2):
  """A task that has a head of its own, and a layer norm where it is odd."""
  arrays = {"head/kernel": np.full([HIDDEN, labels], value),
            "head/bias": np.full([labels], value)}
  if value % 2:
    arrays |= {f"{NORM}/gamma": np.full([HIDDEN], value),
               f"{NORM}/beta": np.full([HIDDEN], value)}
  return TaskArrays.of(BERT, None, "mean", arrays)


@pytest.mark.parametrize("config", [
    ta.AdapterConfig(size=4), ta.AdapterConfig(size=3, depth=3),
    ta.AdapterConfig(size=5, layer_norm=True, parallel=True),
    ta.AdapterConfig(size=5, learned_scaling=True)])
def test_shapes_are_those_of_the_variables(config):
  adapter = ta.Adapter(config, HIDDEN)
  adapter.build()
  assert config.shapes(HIDDEN, HIDDEN) == {
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
  tasks = no_tasks()
  for config, adapter in zip(configs, adapters):
    arrays = {"head/kernel": np.zeros([HIDDEN, 2]), "head/bias": np.zeros([2])}
    if adapter:
      adapter.build()
      for variable in adapter.variables:
        # Outputs of about one, of which float32 has more than five digits.
        variable.assign(rng.normal(0, 0.3, variable.shape))
      arrays |= {f"{PLACE}/{name}": variable.numpy()
                 for name, variable in adapter.named_variables().items()}
    tasks = tasks.with_tasks([TaskArrays.of(
        BERT, config, "mean", arrays)])
  index = rng.integers(0, len(configs) + 1, 7)
  hidden, skip = (tf.constant(rng.normal(0, 1, [7, 5, HIDDEN]), tf.float32)
                  for _ in range(2))
  rows = batch_rows(tasks.keys, tasks.tensors, tf.constant(index, tf.int32))
  hook = StackedTaskLayers(rows, BERT.layer_norm_eps, "float32").hook(
      Place(0, SUBLAYER, "output"))
  norm = functools.partial(tf.nn.l2_normalize, axis=-1)
  output = hook(hidden, skip, norm) if hook else hidden
  for row, task in enumerate(index):
    adapter = adapters[task - 1] if task else None
    expected = hidden[row:row + 1]
    if adapter:
      expected = adapter(expected, skip[row:row + 1], norm)
    np.testing.assert_allclose(output[row], expected[0], atol=1e-5)


def test_kinds_are_told_apart_by_what_they_compute_alone():
  same = [ta.AdapterConfig(size=40), ta.AdapterConfig(
      size=48, layers=(1,), positions=("output",), dropout=0.1, init_scale=0.1,
      identity_init=True, layer_norm_epsilon=1e-5, scaling=4.0,
      learned_scaling=True)]
  assert same[0].kind() == same[1].kind()
  others = [ta.AdapterConfig(size=40, **change) for change in (
      {}, {"depth": 2}, {"parallel": True}, {"layer_norm": True},
      {"layer_norm": True, "layer_norm_epsilon": 1e-5}, {"input": "normed"},
      {"activation": "relu"})]
  for one, two in itertools.combinations(others, 2):
    assert one.kind() != two.kind()


def assert_holds(tasks, expected):
  assert tasks.num_tasks == len(expected)
  stacks = batch_rows(tasks.keys, tasks.tensors, tf.range(len(expected) + 1))
  (norm,) = (rows for rows in stacks if rows.key.name == NORM)
  heads = [rows for rows in stacks if rows.key.name == "head"]
  np.testing.assert_allclose(norm["gamma"][:, 0], [-1, *(
      value if value % 2 else -1 for value in expected)])
  biases = sum((rows["bias"][:, 0].numpy() for rows in heads),
               np.zeros([len(expected) + 1]))
  np.testing.assert_allclose(biases, [0, *expected])


@settings(max_examples=50, deadline=None)
@given(steps=st.lists(st.tuples(st.integers(-5, 3), st.booleans()),
                      max_size=12),
       capacity=st.sampled_from([None, 4]))
def test_stacks_hold_what_was_added_and_not_removed(steps, capacity):
  tasks, expected, kept = no_tasks(capacity), [], []
  for number, (step, is_kept) in enumerate(steps):
    if is_kept:  # by someone who goes on with them
      kept.append((tasks, expected))
    if step > 0:
      own = [3 * number + i for i in range(step)]
      tasks = tasks.with_tasks(
          [head(value, 20 if value % 3 else 2) for value in own])
      expected = expected + own
    elif 0 < -step <= len(expected):
      others = [n for n in range(len(expected)) if n != -step - 1]
      tasks = tasks.only([n + 1 for n in others]).without_empty_stacks()
      expected = [expected[n] for n in others]
    if step == 3:
      tasks = tasks.with_more_room([head(1)])
  for some, values in [*kept, (tasks, expected)]:
    assert_holds(some, values)
    assert_holds(some.compact(), values)
    # Nothing is kept of tasks that are gone.
    assert {key.kind for key in some.keys if key.name == "head"} == {
        ("mean", 24 if value % 3 else 8) for value in values}


def capacities(tasks):
  return {variable.shape[0] for variable in tasks.variables[2:]}


def test_rows_are_used_again_when_nobody_has_them():
  tasks = no_tasks().with_tasks([head(2), head(4)])
  variables = tasks.variables
  assert capacities(tasks) == {3}
  tasks = tasks.only([2])
  tasks = tasks.with_tasks([head(6)])
  assert [*map(id, tasks.variables)] == [*map(id, variables)]
  held = tasks.only([1])
  tasks = tasks.only([2])
  tasks = tasks.with_tasks([head(8)])
  assert capacities(tasks) == {6}  # there was no row, so they were doubled
  tasks = tasks.with_tasks([head(10), head(12)]).only([2, 3])
  assert_holds(held, [4])
  assert_holds(tasks, [8, 10])
  assert capacities(tasks) == {6}


def test_tables_of_a_fixed_capacity_do_not_grow():
  tasks = no_tasks(capacity=3).with_tasks([head(1)])
  variables = tasks.variables
  for value in range(2, 40):
    tasks = tasks.with_tasks([head(value)])
    tasks = tasks.only(range(max(1, tasks.num_tasks - 1), tasks.num_tasks + 1))
    assert [*map(id, tasks.variables)] == [*map(id, variables)]
  assert_holds(tasks, [38, 39])


def test_what_lies_in_rows_that_nobody_has_does_not_matter():
  tasks = no_tasks().with_tasks([head(2), head(4)]).only([1])
  for table in tasks.variables[2:]:
    table.scatter_update(tf.IndexedSlices(
        tf.fill([1, *table.shape[1:]], np.nan), [2]))
  assert_holds(tasks, [2])
  compact = tasks.compact()
  assert_holds(compact, [2])
  assert all(np.isfinite(table.numpy()).all() for table in compact.variables)


def test_a_stack_that_no_new_task_has_a_row_in_is_not_copied():
  one = no_tasks().with_tasks([head(2, labels=20)])
  two = one.with_tasks([head(4)])
  shared = [tensor is other for tensor, other in zip(one.tensors[1:],
                                                     two.tensors[1:])]
  assert shared == [True] * 4
