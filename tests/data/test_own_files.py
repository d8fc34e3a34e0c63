import numpy as np
import pytest

import tf_adapters as ta


def folder_of(tmp_path, **files):
  for name, content in files.items():
    (tmp_path / name.replace("_", ".")).write_text(content)
  return str(tmp_path)


def test_reads_csv_and_tsv_by_column(tmp_path):
  task = ta.load_task(
      "tsv", folder_of(
          tmp_path, train_csv='Review,Other,Stars\n"a, b",x,good\nc,y,bad\n',
          dev_tsv='Stars\tReview\tOther\nbad\t"q\tz\n',
          test_tsv="Review\tOther\nr\tw\n"),
      text_column="review", text_pair_column="other", label_column="stars")
  assert task.labels == ("bad", "good")
  assert task.split("train").labels.tolist() == [1, 0]
  assert task.split("train").first == ["a, b", "c"]
  assert task.split("validation").first == ['"q']
  assert task.split("test").labels is None


def test_reads_scores(tmp_path):
  task = ta.load_task(
      "tsv", folder_of(tmp_path, train_csv="text,label\na,1.5\nb,-2\n"),
      problem_type="regression")
  np.testing.assert_array_equal(task.split("train").labels, [1.5, -2.0])
  assert task.metrics[0] == "spearman"
  assert task.labels == ()


def test_labels_of_an_adapter_decide_where_they_are_given(tmp_path):
  task = ta.load_task(
      "tsv", folder_of(tmp_path, test_csv="text,label\na,yes\n"),
      labels=("no", "yes"))
  assert task.split("test").labels.tolist() == [1]
  with pytest.raises(ta.InputError, match="test.csv:2: label 'yes' is not"):
    ta.load_task("tsv", str(tmp_path), labels=("ja", "nein"))


@pytest.mark.parametrize("files, message", [
    ({}, "expected train, validation or test"),
    ({"train_csv": "text,label\na,x\nb,\n"}, "train.csv:3: no label"),
    ({"train_csv": "text,label\na,x\nb,x\n"}, "one label only"),
    ({"train_csv": "text,label\na,Good\nb,bad\nc,good \n"},
     "train.csv:4: label 'good ' differs from 'Good'"),
    ({"train_csv": 'text,label\na,x\n"b,y\nc,x\n'},
     "train.csv:3: a quoted cell does not end"),
    ({"train_csv": "text,label\n"}, "has no rows"),
    ({"train_csv": "words,label\na,x\nb,y\n"},
     "no column 'text'; its columns are words, label"),
    ({"train_csv": "text,label\na,x\nb,y\n", "dev_tsv": "text\tlabel\na\tz\n"},
     "dev.tsv:2: label 'z' is not one of x, y"),
    ({"train_csv": "text,label\na,x\n", "train_tsv": "text\tlabel\na\tx\n"},
     "both train.tsv and train.csv"),
])
def test_says_what_is_wrong_and_where(tmp_path, files, message):
  with pytest.raises(ta.InputError, match=message):
    ta.load_task("tsv", folder_of(tmp_path, **files))
