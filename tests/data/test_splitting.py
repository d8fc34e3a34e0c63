"""Rows into splits: each once, each label its share, the same every time."""

import collections
import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from tf_adapters.data.dataset import Dataset
from tf_adapters.data.splits import Split
from tf_adapters.data.splitting import split_rows, split_task, strata_of
from tf_adapters.errors import InputError


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=60, max_size=200),
       st.integers(0, 9), st.floats(0.05, 0.3), st.floats(0.05, 0.3))
def test_every_row_is_in_one_split_and_labels_have_their_share(
    labels, seed, validation, test):
  fractions = {"validation": validation, "test": test}
  parts = split_rows(len(labels), fractions, seed, labels)
  assert sorted(np.concatenate(list(parts.values())).tolist()) == list(
      range(len(labels)))
  of = collections.Counter(labels)
  assert {labels[row] for row in parts["train"]} == set(labels)
  for name, fraction in fractions.items():
    assert len(parts[name]) == round(fraction * len(labels))
    found = collections.Counter(labels[row] for row in parts[name])
    for label, count in of.items():
      # One for rounding, and that which stays in the training split.
      assert abs(found[label] - fraction * count) <= 2


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 2)), max_size=90),
       st.integers(0, 9), st.floats(0.1, 0.3))
def test_rows_of_the_same_text_are_in_the_same_split(rows, seed, test):
  # Texts that repeat, some with another label, and forty that do not.
  rows = [*rows, *((100 + number, number % 3) for number in range(40))]
  texts, labels = zip(*rows)
  parts = split_rows(len(rows), {"validation": 0.1, "test": test}, seed, labels,
                     contents=texts)
  assert sorted(np.concatenate(list(parts.values())).tolist()) == list(
      range(len(rows)))
  assert {labels[row] for row in parts["train"]} == set(labels)
  found = [{texts[row] for row in part} for part in parts.values()]
  assert sum(map(len, found)) == len(set(texts))
  # No further from what is wanted than half of a text's rows.
  most = max(collections.Counter(texts).values())
  assert abs(len(parts["test"]) - test * len(rows)) <= most / 2 + 1


def test_texts_that_repeat_are_as_likely_to_be_drawn_as_others():
  """Of 200 texts half stand there five times."""
  texts = [*range(200), *[*range(100)] * 4]
  drawn = collections.Counter()
  for seed in range(40):
    parts = split_rows(len(texts), {"test": 0.2}, seed, contents=texts)
    assert abs(len(parts["test"]) - 120) <= 1
    drawn.update({texts[row] for row in parts["test"]})
  often = sum(drawn[text] for text in range(100)) / 100 / 40
  once = sum(drawn[text] for text in range(100, 200)) / 100 / 40
  assert abs(often - 0.2) < 0.02 and abs(once - 0.2) < 0.02


def test_questions_on_the_same_text_are_in_the_same_split():
  contexts = [f"he said {number}" for number in range(30)]
  data = Dataset.from_dict({
      "q": [f"what {row}" for row in range(120)],
      "c": [contexts[row % 30] for row in range(120)],
      "a": ["said"] * 120}, "q", text_pair="c",
      label="a", problem_type="span", validation=0.2, test=0.2)
  found = [{split.contexts[question.context] for question in split.questions}
           for split in data.splits.values()]
  assert [len(split) for split in data.splits.values()] == [72, 24, 24]
  assert sum(map(len, found)) == len(set.union(*found)) == 30
  assert len(data.train.contexts) == 30  # each is there, and tokenised, once
  with pytest.raises(InputError, match="rows of the same text stay together"):
    Dataset.from_dict({
        "q": ["what", "who"] * 9, "c": ["he said so"] * 18,
        "a": ["said"] * 18}, "q", text_pair="c", label="a",
        problem_type="span", test=0.2)


def test_few_texts_are_refused():
  with pytest.raises(InputError, match=r"test_fraction=0.2 of 20 rows \(2 "
                     r"different texts\) are 4, and 0 are there"):
    split_rows(20, {"test": 0.2}, 0, "ab" * 10, contents="xy" * 10)


def test_the_same_rows_every_time_and_others_by_another_seed():
  parts = split_rows(10, {"test": 0.2}, strata="aaaaabbbbb")
  assert parts["test"].tolist() == [2, 7]  # as the docstring has it
  assert parts["train"].tolist() == [0, 1, 3, 4, 5, 6, 8, 9]
  seeds = {tuple(split_rows(100, {"test": 0.2}, seed)["test"].tolist())
           for seed in range(5)}
  assert len(seeds) == 5


@pytest.mark.parametrize("labels, expected", [
    (np.array([2, 0, 1], np.int32), [2, 0, 1]),
    # Label 1 is rarer than label 0; the last row has none.
    (np.array([[1, 0], [1, 1], [1, 0], [0, 0]], np.float32), [1, 0, 1, 2]),
    (np.array([5.0, 1.0, 3.0, 2.0, 0, 9, 8, 7], np.float32),
     [1, 0, 0, 0, 0, 1, 1, 1]),
    (["B-X O"], None),
])
def test_strata_are_of_the_labels(labels, expected):
  assert strata_of(labels) == expected


@pytest.mark.parametrize("rows", [2, 3, 4, 8, 12, 20, 39, 40, 100])
def test_few_scores_can_be_split(rows):
  scores = np.random.default_rng(rows).normal(size=rows)
  strata = strata_of(scores)
  assert len(set(strata)) == min(10, max(1, rows // 4))
  parts = split_rows(rows, {"validation": 0.5}, strata=strata)
  assert len(parts["validation"]) == round(rows / 2)


def _task(**rows):
  return Dataset("t", "classification", ("a", "b"), ("accuracy",), {
      name: Split([f"{name}{row}" for row in range(count)], None,
                  np.arange(count, dtype=np.int32) % 2,
                  [str(row) for row in range(count)])
      for name, count in rows.items()}, "rows.csv",
              files={name: [f"{name}.csv"] for name in rows})


def test_a_task_gets_the_splits_that_it_has_not():
  task = split_task(_task(train=100))
  assert {name: len(split) for name, split in task.splits.items()} == {
      "train": 70, "validation": 15, "test": 15}
  assert task.notes == (
      "100 rows are split by seed 0: 70 train, 15 validation, 15 test",)
  assert dict(task.files) == {
      name: ["train.csv"] for name in ("train", "validation", "test")}
  assert len({text for split in task.splits.values()
              for text in split.first}) == 100
  half = split_task(_task(train=100, test=7), validation_fraction=0.5)
  assert {name: len(split) for name, split in half.splits.items()} == {
      "train": 50, "validation": 50, "test": 7}
  again = dataclasses.replace(task, splits={"train": Split(
      [f"text {row % 80}" for row in range(100)], None,
      np.zeros(100, np.int32), list(map(str, range(100))))})
  found = split_task(again)
  assert found.notes[-1] == (
      "100 rows are split by seed 0: 70 train, 15 validation, 15 test; rows "
      "that repeat a text of another are in its split: 20")
  assert len({*found.test.first} | {*found.train.first}) == len(
      {*found.test.first}) + len({*found.train.first})
  whole = _task(train=9)
  assert split_task(whole, 0, 0) is whole


def test_a_number_of_rows_is_a_part_as_well():
  task = split_task(_task(train=100), np.int64(7), 20)
  assert {name: len(split) for name, split in task.splits.items()} == {
      "train": 73, "validation": 7, "test": 20}
  assert collections.Counter(task.test.labels.tolist()) == {0: 10, 1: 10}
  as_part = split_task(_task(train=100), 0.07, 0.2)
  assert task.test.first == as_part.test.first


@pytest.mark.parametrize("rows, validation, test, message", [
    (dict(train=9, validation=3), 0.1, None, "has a validation split of its "
     "own: leave the fraction out"),
    (dict(train=9), 0.6, 0.4, "leave rows to train on"),
    (dict(train=3), 0.1, 0, "validation_fraction=0.1 of 3 rows are 0"),
    (dict(train=4), 0.5, 0.4, "give another fraction, or more rows"),
    (dict(train=9), 8, None, "validation_fraction=8, test_fraction=0.15 of 9 "
     "rows must leave rows to train on"),
    (dict(train=9), 8, 0, "are 8, and 7 are there, beside one of each label to "
     "train on: give another number, or more rows"),
    (dict(train=9), 2.0, 0, "numbers of rows integers: validation_fraction=2"),
    (dict(train=9), -1, 0, "numbers of rows integers: validation_fraction=-1"),
])
def test_fractions_that_cannot_be(rows, validation, test, message):
  with pytest.raises(InputError, match=message):
    split_task(_task(**rows), validation, test)
