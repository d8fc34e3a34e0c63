"""Small files of the published layouts, and the real ones where they are."""

import numpy as np
import pytest

from tests.glue_files import FILES, write_task
from tf_adapters import InputError, load_task
from tf_adapters.data import glue

# Task -> names of the labels of the training rows of FILES, or their scores.
LABELS = {
    "cola": ["acceptable", "unacceptable"], "sst2": ["negative", "positive"],
    "mrpc": ["equivalent", "not_equivalent"], "stsb": [5.0, 0.25],
    "qqp": ["not_duplicate", "duplicate"],
    "mnli": ["neutral", "contradiction"],
    "qnli": ["entailment", "not_entailment"],
    "rte": ["not_entailment", "entailment"],
    "wnli": ["entailment", "not_entailment"],
}


@pytest.mark.parametrize("name", sorted(FILES))
def test_reads_the_published_layout(tmp_path, name):
  folder = write_task(tmp_path, name)
  task = load_task(name, data_dir=str(tmp_path))
  assert task.name == name
  train = task.split("train")
  if name == "stsb":
    assert task.problem_type == "regression"
    assert train.labels.tolist() == LABELS[name]
    assert train.labels.dtype == np.float32
  else:
    assert [task.labels[n] for n in train.labels] == LABELS[name]
  assert (train.second is None) == (name in ("cola", "sst2"))
  test = task.split("test")
  assert test.labels is None
  assert list(test.ids) == [str(row) for row in range(len(test))]
  assert len(task.split("validation")) == 1
  # The task's own folder will do, too.
  assert load_task(name, data_dir=str(folder)).splits.keys() == (
      task.splits.keys())


def test_covers_every_task():
  assert set(FILES) == set(glue.TASKS)


def test_mnli_has_two_of_validation_and_test(tmp_path):
  write_task(tmp_path, "mnli")
  task = load_task("mnli", data_dir=str(tmp_path))
  assert list(task.splits) == [
      "train", "validation", "validation_mismatched", "test",
      "test_mismatched"]
  assert len(task.split("validation_mismatched")) == 2
  assert {s.file_name for s in task.submissions.values()} == {
      "MNLI-m.tsv", "MNLI-mm.tsv"}


def test_texts_are_kept_to_the_letter(tmp_path):
  write_task(tmp_path, "mrpc")
  train = load_task("mrpc", data_dir=str(tmp_path)).split("train")
  assert train.first == ["He said so .", '" Lone quote .']
  assert train.second == ["So he said .", "Other ."]


def test_qqps_broken_rows_are_counted(tmp_path):
  write_task(tmp_path, "qqp")
  task = load_task("qqp", data_dir=str(tmp_path))
  assert len(task.split("train")) == 2
  assert task.notes == (
      "1 row left out: 1 of another number of columns (first: train.tsv:3)",)


def test_bad_rows_are_left_out_and_counted_but_for_test_files(tmp_path):
  folder = write_task(tmp_path, "rte")
  with open(folder / "train.tsv", "ab") as file:
    file.write(b"2\ta\tb\tentailment\tc\n3\ta\t\xff\tentailment\n"
               b"4\ta\tb\tEntailment\n5\ta\tb\t entailment\n6\ta\tb\t")
  with pytest.raises(InputError, match="train.tsv:4: 5 columns, expected 4;"):
    load_task("rte", data_dir=str(tmp_path))
  task = load_task("rte", data_dir=str(tmp_path), on_bad_row="skip")
  assert task.split("train").labels.tolist() == [1, 0, 0]
  assert task.notes == (
      "4 rows left out: 1 of another number of columns (first: train.tsv:4), 1 "
      "not in UTF-8 (first: train.tsv:5), 1 with an unknown label (first: "
      "train.tsv:6), 1 without a label (first: train.tsv:8)",)
  with open(folder / "test.tsv", "a") as file:
    file.write("1\ta\n")
  with pytest.raises(InputError, match="test.tsv:3: 2 columns, expected 3; all "
                     "rows of this file have to be predicted"):
    load_task("rte", data_dir=str(tmp_path), on_bad_row="skip")


@pytest.mark.parametrize("file, old, new, message", [
    ("train.tsv", "not_entailment", "maybe",
     r"train.tsv:2: label 'maybe' is not one of entailment, not_entailment"),
    ("dev.tsv", "\tlabel", "\tlabels", "no column 'label'"),
    ("dev.tsv", "0\ta\tb", "0\ta", "dev.tsv:2: 3 columns, expected 4"),
])
def test_says_what_is_wrong_and_where(tmp_path, file, old, new, message):
  folder = write_task(tmp_path, "rte")
  path = folder / file
  path.write_text(path.read_text().replace(old, new))
  with pytest.raises(InputError, match=message):
    load_task("rte", data_dir=str(tmp_path))


def test_scores_must_be_numbers(tmp_path):
  folder = write_task(tmp_path, "stsb")
  path = folder / "dev.tsv"
  path.write_text(path.read_text().replace("2.5", "much"))
  with pytest.raises(InputError, match="dev.tsv:2: 'much' is not a number"):
    load_task("stsb", data_dir=str(tmp_path))


def test_missing_files_are_named(tmp_path):
  with pytest.raises(InputError, match="no such folder"):
    load_task("rte", data_dir=str(tmp_path / "nowhere"))
  with pytest.raises(InputError, match="expected train.tsv, dev.tsv"):
    load_task("rte", data_dir=str(tmp_path))
  folder = write_task(tmp_path, "rte")
  (folder / "train.tsv").unlink()
  with pytest.raises(InputError, match="no train split"):
    load_task("rte", data_dir=str(tmp_path)).split("train")


def test_unknown_tasks_are_refused():
  with pytest.raises(InputError, match="did you mean mrpc"):
    load_task("mrcp")
  with pytest.raises(InputError, match="needs data_dir"):
    load_task("tsv")


@pytest.mark.parametrize("name", ["mrpc", "stsb", "mnli", "cola"])
def test_reads_tensorflow_datasets(tmp_path, monkeypatch, name):
  """tfds makes up rows of its own specification of the task."""
  import tensorflow_datasets as tfds
  monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
  with tfds.testing.mock_data(num_examples=4):
    task = load_task(name)
  assert len(task.split("train")) == 4
  assert task.split("test").labels is None
  assert (task.split("train").second is None) == (name == "cola")
  ids = [int(row) for row in task.split("validation").ids]
  assert ids == sorted(ids)
  if name == "mnli":
    assert len(task.split("validation_mismatched")) == 4
  if name != "stsb":
    info = tfds.builder(f"glue/{name}").info
    assert task.labels == tuple(info.features["label"].names)


def test_a_download_that_fails_names_the_flag(tmp_path, monkeypatch):
  import tensorflow_datasets as tfds

  def refuse(*args, **kwargs):
    raise ConnectionError("no network")

  monkeypatch.setattr(
      tfds.core.GeneratorBasedBuilder, "download_and_prepare", refuse)
  with pytest.raises(InputError, match="no network.*give --data_dir"):
    load_task("mrpc")


@pytest.mark.parametrize("name, sizes", [
    ("cola", (8551, 1043, 1063)), ("sst2", (67349, 872, 1821)),
    ("mrpc", (3668, 408, 1725)), ("stsb", (5749, 1500, 1379)),
    ("rte", (2490, 277, 3000)), ("wnli", (635, 71, 146)),
    ("qnli", (None, 5463, 5463)),
])
def test_the_published_files(real_data, name, sizes):
  task = load_task(name, data_dir=str(real_data / "glue"))
  for split, size in zip(("train", "validation", "test"), sizes):
    if size is not None:
      assert len(task.split(split)) == size
