"""Small files of the published layouts, and the real ones where they are."""

import numpy as np
import pytest

from tf_adapters import InputError, load_task
from tf_adapters.data import glue

# Task -> {file: content}, as the files of the GLUE download begin.
FILES = {
    "cola": ("CoLA", {
        "train.tsv": "gj04\t1\t\tThey drank \"it\".\ngj04\t0\t*\tDrank they.\n",
        "dev.tsv": "gj04\t1\t\tShe sang.\n",
        "test.tsv": "index\tsentence\n0\tBill whistled.\n1\tIt flew.\n"}),
    "sst2": ("SST-2", {
        "train.tsv": "sentence\tlabel\nhide \t0\na moving film \t1\n",
        "dev.tsv": "sentence\tlabel\ncharming . \t1\n",
        "test.tsv": "index\tsentence\n0\tmishmash .\n"}),
    "mrpc": ("MRPC", {
        "train.tsv": "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
                     "1\t1\t2\tHe said so .\tSo he said .\r\n"
                     "0\t3\t4\t\" Lone quote .\tOther .\n",
        "dev.tsv": "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
                   "1\t5\t6\ta\tb\n",
        "test.tsv": "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
                    "0\t7\t8\tc\td\n"}),
    "stsb": ("STS-B", {
        "train.tsv": "index\tgenre\tfilename\tyear\told_index\tsource1\t"
                     "source2\tsentence1\tsentence2\tscore\n"
                     "0\tm\tf\t2012\t1\tn\tn\tA plane.\tAn air plane.\t5.000\n"
                     "1\tm\tf\t2012\t2\tn\tn\tA man.\tA dog.\t0.250\n",
        "dev.tsv": "index\tsentence1\tsentence2\tscore\n0\ta\tb\t2.5\n",
        "test.tsv": "index\tsentence1\tsentence2\n0\ta\tb\n"}),
    "qqp": ("QQP", {
        "train.tsv": "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
                     "1\t2\t3\tHow?\tWhy?\t0\n4\t5\t6\tbroken row\n"
                     "7\t8\t9\tWho?\tWho is it?\t1\n",
        "dev.tsv": "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
                   "1\t2\t3\ta?\tb?\t1\n",
        "test.tsv": "id\tquestion1\tquestion2\n0\ta?\tb?\n"}),
    "mnli": ("MNLI", {
        "train.tsv": "index\tpromptID\tpairID\tgenre\tsentence1\tsentence2\t"
                     "label1\tgold_label\n"
                     "0\t1\t1n\tgov\tp\th\tneutral\tneutral\n"
                     "1\t2\t2c\tgov\tp\th\tneutral\tcontradiction\n",
        "dev_matched.tsv": "index\tsentence1\tsentence2\tlabel1\tgold_label\n"
                           "0\tp\th\tneutral\tentailment\n",
        "dev_mismatched.tsv":
            "index\tsentence1\tsentence2\tlabel1\tgold_label\n"
            "0\tp\th\tneutral\tneutral\n1\tp\th\tneutral\tneutral\n",
        "test_matched.tsv": "index\tsentence1\tsentence2\n0\tp\th\n",
        "test_mismatched.tsv": "index\tsentence1\tsentence2\n0\tp\th\n"}),
    "qnli": ("QNLI", {
        "train.tsv": "index\tquestion\tsentence\tlabel\n"
                     "0\tq?\ts.\tentailment\n1\tq?\ts.\tnot_entailment\n",
        "dev.tsv": "index\tquestion\tsentence\tlabel\n0\tq\ts\tentailment\n",
        "test.tsv": "index\tquestion\tsentence\n0\tq?\ts.\n"}),
    "rte": ("RTE", {
        "train.tsv": "index\tsentence1\tsentence2\tlabel\n"
                     "0\ta\tb\tnot_entailment\n1\ta\tb\tentailment\n",
        "dev.tsv": "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n",
        "test.tsv": "index\tsentence1\tsentence2\n0\ta\tb\n"}),
    "wnli": ("WNLI", {
        "train.tsv": "index\tsentence1\tsentence2\tlabel\n0\ta\tb\t1\n"
                     "1\ta\tb\t0\n",
        "dev.tsv": "index\tsentence1\tsentence2\tlabel\n0\ta\tb\t0\n",
        "test.tsv": "index\tsentence1\tsentence2\n0\ta\tb\n"}),
}

# Task -> names of the labels of the training rows above, or their scores.
LABELS = {
    "cola": ["acceptable", "unacceptable"], "sst2": ["negative", "positive"],
    "mrpc": ["equivalent", "not_equivalent"], "stsb": [5.0, 0.25],
    "qqp": ["not_duplicate", "duplicate"],
    "mnli": ["neutral", "contradiction"],
    "qnli": ["entailment", "not_entailment"],
    "rte": ["not_entailment", "entailment"],
    "wnli": ["entailment", "not_entailment"],
}


def write_task(root, name):
  folder, files = FILES[name]
  (root / folder).mkdir()
  for file, content in files.items():
    (root / folder / file).write_bytes(content.encode())
  return root / folder


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
