"""Texts that are for many tasks: what these have in common is computed once."""

import itertools
import threading

import numpy as np
import pytest

import tf_adapters as ta
from tests.adapters import A, make

TEXTS = ["the film is good", "bad", "", "he said so, very! " * 8]


@pytest.fixture(scope="module")
def files(two_layer_source, tmp_path_factory):
  """Tasks that begin to differ in another layer each."""
  folder = tmp_path_factory.mktemp("files")
  upper = A(size=8, layers=(1,))
  rows = {
      "head": (None, "classification", "abc", "mean", "head", 32),
      "other_head": (None, "regression", "", "cls", "head", 16),
      "upper": (upper, "classification", "xy", "mean",
                "adapters-layer_norms", 32),
      "tags": (upper, "multi_label", "pqr", "mean", "adapters-layer_norms", 32),
      "words": (A(size=8, layers=(1,), positions=("output",)), "tagging", "OBI",
                "mean", "adapters-layer_norms", 12),
      "lower": (A(size=8), "classification", "uv", "mean",
                "adapters-layer_norms", 32)}
  return {name: make(two_layer_source, folder / name, *row, pairs=False,
                     seed=seed) for seed, (name, row) in enumerate(rows.items())
          }


@pytest.fixture(scope="module")
def bank(two_layer_source, files):
  return ta.AdapterBank(str(two_layer_source), files)


def flat(prediction):
  """All numbers of a prediction."""
  def numbers(value):
    if isinstance(value, dict):
      return [number for one in value.values() for number in numbers(one)]
    if isinstance(value, list | tuple):
      return [number for one in value for number in numbers(one)]
    return [] if value is None or isinstance(value, str) else [value]

  return numbers([prediction.value, prediction.probabilities])


@pytest.mark.parametrize("names, layer", [
    (["head", "other_head"], 2), (["upper", "words", "head", "tags"], 1),
    (["lower", "upper"], 0)])
@pytest.mark.parametrize("batch_size", [3, 64])
def test_predictions_are_those_of_each_task(bank, names, layer, batch_size):
  assert bank._now().only(names).tasks.lowest_own_layer(2) == layer
  found = bank.predict_tasks(TEXTS, names, batch_size)
  assert list(found) == names
  for name in names:
    expected = bank.predictions(TEXTS, name)
    assert len(found[name]) == len(TEXTS)
    for one, other in zip(found[name], expected):
      assert one.task == name
      assert isinstance(one.value, float) or one.value == other.value
      np.testing.assert_allclose(flat(one), flat(other), atol=1e-6)


def test_layers_that_tasks_share_are_computed_once(bank, monkeypatch):
  rows = []
  shared = bank._now().shared.shared_layers(
      bank._now().only(["upper", "tags", "words"]).tasks)
  below = shared.below
  monkeypatch.setattr(shared, "below", lambda inputs: (
      rows.append(len(inputs["input_mask"])), below(inputs))[1])
  bank.predict_tasks(TEXTS, ["upper", "tags"])
  assert rows == [4]
  # One of the texts is cut to another length.
  bank.predict_tasks(TEXTS, ["upper", "tags", "words"])
  assert rows == [4, 5]


def test_rows_of_one_text_share_layers_once_these_are_traced(
    bank, monkeypatch):
  names = ["upper", "tags", "words", "head"]
  rows = bank.tokenize(bank.rows(
      [TEXTS[0]] * 4 + TEXTS[1:3] + [TEXTS[0]],
      [*names, "lower", "other_head", "base"]))
  computed = []
  shared_layers = bank._now().shared.shared_layers

  def noted(tasks, wait=True):
    computed.append(shared_layers(tasks, wait))
    return computed[-1]

  monkeypatch.setattr(bank._now().shared, "shared_layers", noted)
  bank._now().shared._shared_layers = (), {}
  expected = bank.predict_rows(rows)  # nobody waits for a trace
  for thread in threading.enumerate():
    if thread.name == "trace":
      thread.join()
  found = bank.predict_rows(rows)
  assert computed[0] is None and computed[-1] is not None
  for one, other in zip(found, expected, strict=True):
    assert one.task == other.task
    np.testing.assert_allclose(np.hstack(flat(one)), np.hstack(flat(other)),
                               atol=1e-6)
  # Too few, or tasks that have no layers in common.
  computed.clear()
  bank.predict_rows(rows[:3])
  bank.predict_rows(bank.tokenize(bank.rows(
      [TEXTS[0]] * 4, ["lower", *names[:3]])))
  assert computed == [None]


def test_all_tasks_and_none(bank, files):
  assert list(bank.predict_tasks(TEXTS)) == list(files)
  assert bank.predict_tasks([], ["head"]) == {"head": []}
  assert bank.predict_tasks(TEXTS, []) == {}
  frame = bank.predict(TEXTS)
  assert frame["upper"].tolist() == bank.predict(TEXTS, "upper")
  with pytest.raises(ta.InputError, match="no task 'nothing'"):
    bank.predict_tasks(TEXTS, ["head", "nothing"])
  with pytest.raises(ta.InputError, match="list of tasks, not a single one"):
    bank.predict_tasks(TEXTS, "head")


def test_a_bank_computes_in_bfloat16(two_layer_source, files, bank):
  half = ta.AdapterBank(str(two_layer_source), files, dtype="bfloat16")
  assert (bank.dtype, half.dtype) == ("float32", "bfloat16")
  # Its adapters are in bfloat16, too, which is what they are computed in.
  wide = ta.AdapterBank(str(two_layer_source), files, dtype="bfloat16",
                        adapter_dtype="float32")
  texts, tasks = zip(*itertools.product(TEXTS, files))
  for one, other, exact in zip(*(some.predictions(texts, tasks) for some in (
      half, wide, bank))):
    assert one == other
    if exact.task != "words":
      np.testing.assert_allclose(flat(one), flat(exact), atol=0.03)
      assert flat(one) != flat(exact)
  for name, found in half.predict_tasks(
      TEXTS, ["upper", "tags", "other_head"]).items():
    for one, exact in zip(found, bank.predictions(TEXTS, name)):
      np.testing.assert_allclose(flat(one), flat(exact), atol=0.03)
  # Kernels would be compiled for each number of rows of each length.
  state = half._now()
  graph = half._tasks.state().shared.traced(state.tasks)._graph.graph
  assert not any(function.definition.attr["_XlaMustCompile"].b
                 for function in graph._functions.values())
  with pytest.raises(ta.InputError, match="dtype 'float16': encoders are off"):
    ta.AdapterBank(str(two_layer_source), dtype="float16")


def test_adapters_in_bfloat16(two_layer_source, files, bank):
  half = ta.AdapterBank(str(two_layer_source), files, adapter_dtype="bfloat16")
  sizes = [sum(
      table.numpy().nbytes for key, stack in one._now().tasks.stacks.items()
      if key.name != "head" for table in stack.tables.values()
      if table.shape.rank == 3) for one in (bank, half)]
  assert sizes[0] == 2 * sizes[1]
  for name in files:
    for one, other in zip(half.predictions(TEXTS, name),
                          bank.predictions(TEXTS, name)):
      if name.endswith("head"):
        assert one == other
      elif name != "words":
        # 8 bits of each weight; the tasks' weights are about 0.2.
        np.testing.assert_allclose(flat(one), flat(other), atol=0.02)
  with pytest.raises(ta.InputError, match="adapter_dtype must be float32 or"):
    ta.AdapterBank(str(two_layer_source), adapter_dtype="float16")
