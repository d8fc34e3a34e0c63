"""Texts that are checked, tokenised and computed in steps of their own."""

import dataclasses

import pytest
import tensorflow as tf

import tf_adapters as ta
from tests.adapters import make
from tf_adapters.data.squad_options import SquadOptions
from tf_adapters.serving.bank_state import BankState
from tf_adapters.serving.bank_texts import OutOfMemory, RowError
from tf_adapters.serving.halves import in_halves

# Without adapters: a graph that is traced soon.
HEADS = {"topic": ("classification", "abc", 16, False),
         "words": ("tagging", "OBI", 12, False),
         "answers": ("span", "", 20, True)}
TEXTS = [("the film is good", "topic"), ("he said so", "words"),
         (("is it good?", "the film is good " * 9), "answers"),
         ("bad", "topic"), ("not good", None), ("", "words")]


@pytest.fixture(scope="module")
def files(one_layer_source, tmp_path_factory):
  folder = tmp_path_factory.mktemp("rows")
  options = SquadOptions(doc_stride=4, max_query_length=6, n_best_size=3)
  return {
      name: make(one_layer_source, folder / name, None, problem, labels,
                 "cls" if problem == "classification" else "mean", "head",
                 max_length, pairs, seed,
                 options.to_dict() if problem == "span" else None)
      for seed, (name, (problem, labels, max_length, pairs)) in enumerate(
          HEADS.items())}


@pytest.fixture
def bank(one_layer_source, files):
  return ta.AdapterBank(str(one_layer_source), files)


def same(first, second):
  return repr(first.value)[:30] == repr(second.value)[:30] and (
      first.task, first.span) == (second.task, second.span)


def test_steps_give_what_all_in_one_gives(bank):
  texts, tasks = zip(*TEXTS)
  expected = bank.predictions(texts, tasks)
  rows = bank.tokenize(bank.rows(texts, tasks))
  assert rows[0].lengths == [6] and len(rows[2].lengths) > 3
  # In another order and in other batches, as a server has them.
  for order in ((0, 1, 2, 3, 4, 5), (5, 2, 0, 4, 3, 1)):
    got = bank.predict_rows([rows[number] for number in order], batch_size=2)
    assert all(same(one, expected[number])
               for one, number in zip(got, order))
  assert bank.predict_rows([]) == bank.tokenize([]) == []
  assert bank.widths == (*range(8, 40, 4), 40)


def test_questions_of_tasks_with_other_options_are_cut_by_their_own(bank):
  text = ("is it good?", "the film is good " * 9)
  (row,) = bank.rows([text], ["answers"])
  info = row.info
  rows = [row, dataclasses.replace(row, max_length=24), dataclasses.replace(
      row, info=dataclasses.replace(info, span=info.span | {"doc_stride": 2}))]
  lengths = [one.lengths for one in bank.tokenize(rows * 2)]
  # All of one number, as tasks are that are not in memory.
  assert lengths[:3] == lengths[3:] == [
      bank.tokenize([one])[0].lengths for one in rows]
  assert len({*map(len, lengths)}) == 3


def test_what_is_too_long_is_told_and_not_cut(bank):
  rows = bank.rows(["good " * 14, "good " * 15, "good " * 10, "good " * 11],
                   ["topic", "topic", "words", "words"])
  assert [row.is_too_long for row in bank.tokenize(rows, cut=False)] == [
      False, True, False, True]
  assert [row.lengths for row in bank.tokenize(rows)] == [
      [16], [16], [12], [12]]
  narrow = dataclasses.replace(rows[0], max_length=8)
  assert bank.tokenize([narrow])[0].lengths == [8]


def test_a_row_is_of_the_task_that_there_is_when_it_is_computed(bank, files):
  texts, tasks = zip(*TEXTS)
  rows = bank.tokenize(bank.rows(texts, tasks))
  bank.remove("topic")
  bank.remove("words")
  bank.add(files["answers"], "words")
  bank.add(files["words"], "new")
  got = bank.predict_rows(rows)
  assert "no task 'topic'" in str(got[0]) and "no task" in str(got[3])
  for error in (got[1], got[5]):  # it takes pairs now
    assert isinstance(error, RowError) and "is on pairs" in error.reason
  expected = bank.predictions([TEXTS[2][0], "not good"], ["answers", None])
  assert same(got[2], expected[0]) and same(got[4], expected[1])
  bank.remove("words")
  bank.add(files["topic"], "words")
  (again,) = bank.predict_rows(rows[1:2])
  assert same(again, bank.predictions(["he said so"], "words")[0])


class Fake:
  """Computes no more than so many rows at once, and some not at all."""

  def __init__(self, most, bad=()):
    self.most, self.bad, self.calls = most, bad, []

  def __call__(self, rows):
    self.calls.append(len(rows))
    if len(rows) > self.most or {*rows} & {*self.bad}:
      raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")
    return [row * 10 for row in rows]


def test_what_does_not_fit_in_memory_is_computed_in_halves():
  fake = Fake(3)
  assert in_halves(fake, range(7)) == [0, 10, 20, 30, 40, 50, 60]
  assert fake.calls == [7, 3, 4, 2, 2]
  fake = Fake(8, bad=[2])
  found = in_halves(fake, range(5))
  assert isinstance(found[2], OutOfMemory) and "\n" not in str(found[2])
  assert found[:2] + found[3:] == [0, 10, 30, 40]
  assert in_halves(fake, []) == []
  with pytest.raises(ValueError):  # no matter of memory
    in_halves(lambda rows: [int("no")], [1, 2])


def test_a_bank_computes_rows_in_halves(bank, monkeypatch):
  rows = bank.tokenize(bank.rows(["good", "the film is bad"] * 2, "topic"))
  expected = bank.predict_rows(rows)
  predict_rows = BankState.predict_rows

  def tight(state, some, batch_size, wrong):
    if len(some) > 1:
      raise MemoryError
    return predict_rows(state, some, batch_size, wrong)

  monkeypatch.setattr(BankState, "predict_rows", tight)
  for one, other in zip(bank.predict_rows(rows), expected, strict=True):
    assert one.value == other.value
