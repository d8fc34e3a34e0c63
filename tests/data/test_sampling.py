"""Parts of splits: rows whole, none twice, the same ones for every run."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import tf_adapters as ta
from tests.glue_files import write_task
from tf_adapters.data.dataset import Dataset
from tf_adapters.data.sampling import hold_out, sample
from tf_adapters.data.splits import Split, Submission
from tf_adapters.data.tagging import TaggedSplit
from tf_adapters.training.run_config import GlueRunConfig


def split_of(rows, name="", labelled=True):
  return Split([f"{name}{row}" for row in range(rows)], None,
               np.arange(rows) if labelled else None,
               [str(row) for row in range(rows)])


def task_of(**splits):
  return Dataset(
      "t", "classification", ("a", "b"), ("accuracy",), splits, "made",
      {"test": Submission("T.tsv")})


@pytest.fixture
def tsv_dir(tmp_path):
  for name, rows in (("train", 30), ("dev", 7), ("test", 4)):
    (tmp_path / f"{name}.csv").write_text(
        "text,label\n" + "".join(f"{name}{i},{i % 3}\n" for i in range(rows)))
  return tmp_path


def test_sampling_keeps_rows_whole(tsv_dir):
  split = ta.load_task("tsv", str(tsv_dir)).split("train")
  small = sample(split, 10, seed=1)
  assert len(small) == 10
  assert small.first == sample(split, 10, seed=1).first
  assert small.first != sample(split, 10, seed=2).first
  for text, label in zip(small.first, small.labels):
    assert int(text[5:]) % 3 == label
  assert sample(split, 99, seed=1) is split


@given(st.integers(2, 300), st.floats(0.001, 0.9), st.integers(1, 9))
@settings(max_examples=50, deadline=None)
def test_rows_are_trained_on_or_held_out(rows, proportion, dev_rows):
  task = task_of(train=split_of(rows), validation=split_of(dev_rows, "dev"),
                 test=split_of(3, "test", labelled=False))
  count = round(proportion * rows)
  if not 0 < count < rows:
    with pytest.raises(ta.InputError, match="training rows are"):
      hold_out(task, proportion)
    return
  splits = hold_out(task, proportion).splits
  train, validation = splits["train"], splits["validation"]
  assert len(validation) == count
  assert sorted([*train.labels, *validation.labels]) == list(range(rows))
  for split in (train, validation):
    assert split.first == [str(label) for label in split.labels]
  assert splits["test"] is task.splits["validation"]


def test_the_same_rows_are_held_out_for_every_seed(tsv_dir):
  tasks = [GlueRunConfig(
      task_name="tsv", data_dir=str(tsv_dir), holdout=0.2, seed=seed,
      learning_rate=0.1 * (seed + 1)).load_task() for seed in range(3)]
  parts = [(task.split("train").first, task.split("validation").first)
           for task in tasks]
  assert parts[0] == parts[1] == parts[2]
  assert len(parts[0][1]) == 6
  assert tasks[0].split("test").first == [f"dev{i}" for i in range(7)]
  assert any("6 of 30 training rows" in note
             and "the labels of test (4 rows) are not used" in note
             for note in tasks[0].notes)


def test_both_dev_sets_of_mnli_become_test_sets(tmp_path):
  write_task(tmp_path, "mnli")
  task = ta.load_task("mnli", str(tmp_path))
  held_out = hold_out(task, 0.5)
  assert held_out.splits.keys() == {
      "train", "validation", "test", "test_mismatched"}
  assert held_out.splits["test"] is task.splits["validation"]
  assert held_out.splits["test_mismatched"] is (
      task.splits["validation_mismatched"])
  # Nobody hands in a dev set.
  assert not held_out.submissions


def test_tagged_sentences_are_held_out(tmp_path):
  split = TaggedSplit([["a", str(row)] for row in range(10)],
                      [np.array([0, row]) for row in range(10)],
                      list(map(str, range(10))))
  task = dataclasses.replace(
      task_of(train=split, validation=split), problem_type="tagging")
  held_out = hold_out(task, 0.3).split("validation")
  assert len(held_out) == 3
  for words, tags, name in zip(held_out.words, held_out.tags, held_out.ids):
    assert words[1] == str(tags[1]) == name


def test_rows_of_a_single_file_are_held_out(tmp_path):
  for name, rows in (("train", 20), ("test", 4)):
    (tmp_path / f"{name}.csv").write_text(
        "text,label\n" + "".join(f"{name}{i},{i % 2}\n" for i in range(rows)))
  task = GlueRunConfig(
      task_name="tsv", data_dir=str(tmp_path), holdout=0.2).load_task()
  assert {name: len(split) for name, split in task.splits.items()} == {
      "train": 16, "validation": 4, "test": 4}
  # What was for testing still is.
  assert task.split("test").first == [f"test{i}" for i in range(4)]
  assert task.notes == (
      "holdout: 4 of 20 training rows are the validation split",)
  single = task_of(train=split_of(9))
  assert len(hold_out(single, 0.5).split("validation")) == 4


@pytest.mark.parametrize("splits, message", [
    ({"validation": split_of(9)}, "no train split"),
    ({"train": split_of(9), "validation": split_of(9, labelled=False)},
     "holdout needs a labelled validation split"),
])
def test_what_can_not_be_held_out_is_named(splits, message):
  with pytest.raises(ta.InputError, match=message):
    hold_out(task_of(**splits), 0.5)
