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


def test_what_is_no_file(tmp_path):
  (tmp_path / "train.tsv").mkdir()
  with pytest.raises(ta.InputError, match="train.tsv: can not be read: Is a d"):
    ta.load_task("tsv", str(tmp_path))


def test_blanks_around_labels_do_not_count(tmp_path):
  task = ta.load_task("tsv", folder_of(
      tmp_path, train_csv="text,label\na,x \nb, y\nc,x\n"))
  assert task.labels == ("x", "y")
  assert task.split("train").labels.tolist() == [0, 1, 0]


def test_bad_rows_are_left_out_and_counted(tmp_path):
  folder = folder_of(
      tmp_path,
      train_tsv="text\tlabel\na\tx\nb\nc\ty\nd\t\ne\tx\n",
      dev_csv='text,label\n"f\nf",y\ng,z\nh,Y\ni,x,x\nj,x\n',
      test_tsv="text\tlabel\nk\tx\nl\nm\ty\n")
  task = ta.load_task("tsv", folder, on_bad_row="skip")
  assert task.split("train").first == ["a", "c", "e"]
  assert task.split("train").labels.tolist() == [0, 1, 0]
  assert task.split("validation").first == ["f\nf", "j"]
  assert task.split("test").ids == ["0", "2"]
  assert task.notes == (
      "2 rows left out: 1 of another number of columns (first: train.tsv:3), 1 "
      "without a label (first: train.tsv:5)",
      "3 rows left out: 1 of another number of columns (first: dev.csv:6), 2 "
      "with an unknown label (first: dev.csv:4)",
      "1 row left out: 1 of another number of columns (first: test.tsv:3)")
  with pytest.raises(ta.InputError, match="on_bad_row=skip leaves such rows"):
    ta.load_task("tsv", folder)
  with pytest.raises(ta.InputError, match="on_bad_row must be one of error, s"):
    ta.load_task("tsv", folder, on_bad_row="ask")


def test_cells_of_ten_megabytes(tmp_path):
  long = "long " * 2_000_000
  task = ta.load_task("tsv", folder_of(
      tmp_path, train_tsv=f"text\tlabel\n{long}\tx\nb\ty\n",
      dev_csv=f'text,label\n"{long}",x\n'))
  assert task.split("train").first[0] == long
  assert task.split("validation").first == [long]
  folder_of(tmp_path, dev_csv=f"text,label\na,{long}\n")
  with pytest.raises(ta.InputError, match="dev.csv:2: label 'long ") as caught:
    ta.load_task("tsv", str(tmp_path))
  assert len(str(caught.value)) < 3000


def test_a_split_whose_rows_are_all_bad_says_why(tmp_path):
  task = ta.load_task(
      "tsv", folder_of(tmp_path, train_tsv="text\tlabel\na\tmuch\nb\tnan\n"),
      problem_type="regression", on_bad_row="skip")
  with pytest.raises(ta.InputError, match="the train split in .* is empty; 2 "
                     "rows left out: 2 with a score that is no number"):
    task.split("train")


def test_sets_of_labels_with_unknown_ones(tmp_path):
  folder = folder_of(tmp_path, train_tsv="text\tlabel\na\tx, y\nb\t\n",
                     dev_tsv="text\tlabel\na\ty\nb\tx,z\n")
  with pytest.raises(ta.InputError, match="dev.tsv:3: label 'z' is not one of"):
    ta.load_task("tsv", folder, problem_type="multi_label")
  task = ta.load_task(
      "tsv", folder, problem_type="multi_label", on_bad_row="skip")
  assert task.split("train").labels.tolist() == [[1, 1], [0, 0]]
  assert task.split("validation").labels.tolist() == [[0, 1]]
  assert task.split("train").labels.dtype == np.float32


@pytest.mark.parametrize("files, message", [
    ({}, "expected train, validation or test"),
    ({"train_csv": "text,label\na,x\nb,y\nc,\n"}, "train.csv:4: no label"),
    ({"train_csv": "text,label\na,x\nb,x\n"}, "one label only"),
    ({"train_csv": "text,label\na,Good\nb,bad\nc,good \n"},
     "train.csv:4: label 'good' differs from 'Good' in line 2 in case only"),
    ({"train_csv": "text,label\na,x\nb,y\n", "dev_tsv": "text\tlabel\na\tX\n"},
     "dev.tsv:2: label 'X' is not one of x, y: is it 'x'?"),
    ({"train_csv": "text,label\na,\n"}, "has no rows with a label"),
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
