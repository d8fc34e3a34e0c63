"""A bank that is asked without naming a task, and what it says of itself."""

import pandas as pd
import pytest

import tf_adapters as ta
from tests.adapters import TASKS, make
from tf_adapters.serving import bank_texts

TEXTS = ["good", "not bad", "the film"]


@pytest.fixture(scope="module")
def files(one_layer_source, tmp_path_factory):
  folder = tmp_path_factory.mktemp("files")
  return {name: make(one_layer_source, folder / name, *TASKS[name])
          for name in ("topic", "tags", "same")}


@pytest.fixture(scope="module")
def bank(one_layer_source, files):
  return ta.AdapterBank(
      str(one_layer_source), {name: files[name] for name in ("topic", "tags")})


def test_one_task_needs_no_name(one_layer_source, files):
  bank = ta.AdapterBank(str(one_layer_source), [files["topic"]])
  assert bank.predict(TEXTS) == bank.predict(TEXTS, "topic")
  assert bank.predictions(TEXTS) == bank.predictions(TEXTS, "topic")
  assert bank.predict_proba(TEXTS) == bank.predict_proba(TEXTS, "topic")
  assert bank.predict(TEXTS, None)[0].shape == (
      bank.predict(TEXTS, "base")[0].shape)
  assert repr(bank) == (
      f"AdapterBank on {one_layer_source}: 1 task\n  topic: classification, "
      f"{', '.join(bank.info('topic').labels)}")


def test_several_tasks_make_a_column_each(bank, monkeypatch):
  texts = pd.Series(TEXTS, index=[7, 5, 3])
  frame = bank.predict(texts)
  assert list(frame.columns) == ["topic", "tags"]
  assert frame.index.tolist() == [7, 5, 3]
  for name in bank.names():
    assert frame[name].tolist() == bank.predict(TEXTS, name)
  assert bank.predict(iter(TEXTS)).index.tolist() == [0, 1, 2]

  def nothing(name):
    raise ImportError(name)

  monkeypatch.setattr(bank_texts.importlib, "import_module", nothing)
  columns = bank.predict(TEXTS)
  assert columns.keys() == {"topic", "tags"}
  assert columns["topic"] == frame["topic"].tolist()


def test_what_has_to_be_said_is_said(bank, one_layer_source):
  for ask in (bank.predict_proba, bank.predictions):
    with pytest.raises(ta.InputError, match="which of topic, tags each text"):
      ask(TEXTS)
  empty = ta.AdapterBank(str(one_layer_source))
  with pytest.raises(ta.InputError, match="the bank has no task: add one, or"):
    empty.predict(TEXTS)
  assert repr(empty).endswith(": 0 tasks")
