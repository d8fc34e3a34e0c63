import csv

import numpy as np
import pytest

import tf_adapters as ta
from tf_adapters.data import own_files


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


MULTI = {"problem_type": "multi_label"}


@pytest.mark.parametrize("cells, wanted", [
    (["['neg', 'pos']", "['neg']", "[]"], [["neg", "pos"], ["neg"], []]),
    (['["a, b", "c"]', '["c"]', ""], [["a, b", "c"], ["c"], []]),
    (["['a' 'b']", "['b'\n 'c']", "b"], [["a", "b"], ["b", "c"], ["b"]]),
    (["('a', 'b')", "('b',)", "()"], [["a", "b"], ["b"], []]),
    (["{'b', 'a'}", "set()", "a"], [["a", "b"], [], ["a"]]),
    (["[1, 2]", "[2]", "[]"], [["1", "2"], ["2"], []]),
    (["[\"it's\", 'b']", "a,b", "[a]"], [["b", "it's"], ["a", "b"], ["[a]"]]),
])
def test_lists_in_cells(tmp_path, cells, wanted):
  with open(tmp_path / "train.csv", "w", newline="") as file:
    csv.writer(file).writerows(
        [("text", "label"), *((f"t{i}", cell) for i, cell in enumerate(cells))])
  task = ta.load_task("tsv", str(tmp_path), **MULTI)
  assert [[name for name, one in zip(task.labels, row) if one]
          for row in task.split("train").labels] == wanted


@pytest.mark.parametrize("cell", [
    "[0, 1, 0]", "[1. 0. 1.]", "['a', 'b'", "{'a': 1, 'b': 0}", "['a'b]",
    "[a, b]",
    "(" + "'a'  " * 3000])
def test_what_is_no_list(tmp_path, cell):
  (tmp_path / "train.tsv").write_text(f"text\tlabel\nt\tx,y\nu\t{cell}\n")
  with pytest.raises(ta.InputError, match=r"train.tsv:3: .* is no list of lab"):
    ta.load_task("tsv", str(tmp_path), **MULTI)
  task = ta.load_task("tsv", str(tmp_path), on_bad_row="skip", **MULTI)
  assert task.labels == ("x", "y")
  assert "1 with no list of labels (first: train.tsv:3)" in task.notes[0]
  (tmp_path / "train.tsv").write_text(f"text\tlabel\nu\t{cell}\n")
  with pytest.raises(ta.InputError, match=r"train.tsv:2: .* is no list of lab"):
    ta.load_task("tsv", str(tmp_path), **MULTI)


@pytest.mark.parametrize("separator, other", [
    (",", ";"), (",", "|"), (";", ",")])
def test_labels_with_another_separator(tmp_path, separator, other):
  rows = [["x", "so"], ["y", f"so{other} good"], ["z", "good"]]
  with open(tmp_path / "train.csv", "w", newline="") as file:
    csv.writer(file).writerows([["text", "label"], *rows])
  options = dict(MULTI, data_dir=str(tmp_path))
  with pytest.raises(ta.InputError, match=(
      rf"train.csv:3: label .* is so, good with '[{other}]' between them: "
      rf"label_separator='[{other}]' takes them apart")):
    ta.load_task("tsv", label_separator=separator, **options)
  assert ta.load_task("tsv", label_separator=other, **options).labels == (
      "good", "so")
  assert ta.load_task("tsv", str(tmp_path)).notes == (
      f"label 'so{other} good' is so, good with {other!r} between them: "
      "problem_type=multi_label takes them apart",)
  # They may be names.
  path = tmp_path / "train.csv"
  path.write_text(path.read_text().replace("z,good", "z,other"))
  task = ta.load_task("tsv", label_separator=separator, **options)
  assert len(task.labels) == 3
  assert f"holds {other!r}: is that what separates labels?" in task.notes[0]
  assert not ta.load_task("tsv", str(tmp_path)).notes


@pytest.mark.parametrize("options, message", [
    (dict(text_column="label"), "text_column and label_column must differ: "
     "both are column 'label'"),
    (dict(text_pair_column="Text"), "text_column and text_pair_column must"),
    (dict(text_pair_column="label"), "text_pair_column and label_column must"),
    (dict(label_column="label,LABEL", problem_type="multi_label"),
     "label_column names twice the column 'label'")])
def test_columns_are_one_thing_each(tmp_path, options, message):
  folder = folder_of(tmp_path, train_csv="text,label\na,x\nb,y\n")
  with pytest.raises(ta.InputError, match=message):
    ta.load_task("tsv", folder, **options)


def test_columns_whose_names_differ_in_case_alone(tmp_path):
  folder = folder_of(
      tmp_path, train_csv="text,label,LABEL,Text\na,x,p,c\nb,y,q,d\n",
      test_csv="Text\ne\n")
  columns = dict(text_column="Text", label_column="LABEL")
  task = ta.load_task("tsv", folder, **columns)
  assert task.labels == ("p", "q") and task.train.first == ["c", "d"]
  own_files.check_columns(
      folder, "Text", None, "LABEL", "classification", "utf-8")
  message = "column 'Label' may be 'label' or 'LABEL': give the name as"
  for call in (
      lambda: ta.load_task("tsv", folder, "Text", label_column="Label"),
      lambda: own_files.check_columns(
          folder, "Text", None, "Label", "classification", "utf-8")):
    with pytest.raises(ta.InputError, match=message):
      call()


def test_a_column_of_zeros_and_ones_for_each_label(tmp_path):
  folder = folder_of(
      tmp_path, train_csv="id,text,toxic,Obscene\n1,a,1,0\n2,b,0.0,True\n",
      dev_tsv="obscene\ttoxic\ttext\n0\t1\tc\n-1\t0\td\n",
      test_csv="text\ne\n")
  columns = {"label_column": "toxic,obscene", **MULTI}
  with pytest.raises(ta.InputError, match="dev.tsv:3: '-1' in column 'Obscene' "
                     "is neither 0 nor 1; on_bad_row=skip"):
    ta.load_task("tsv", folder, **columns)
  task = ta.load_task("tsv", folder, on_bad_row="skip", **columns)
  assert task.labels == ("toxic", "Obscene")
  assert task.split("train").labels.tolist() == [[1, 0], [0, 1]]
  assert task.split("validation").labels.tolist() == [[1, 0]]
  assert task.split("test").labels is None
  # An adapter's labels have an order of their own.
  task = ta.load_task("tsv", folder, on_bad_row="skip",
                      labels=("Obscene", "toxic"), **columns)
  assert task.split("train").labels.tolist() == [[0, 1], [1, 0]]
  for columns, message in (
      ("toxic,mild", "no column 'mild'; its columns are id, text, toxic, Obs"),
      ("toxic", "column 'toxic' holds 0 and 1: label_column=a,b, or label=")):
    with pytest.raises(ta.InputError, match=message):
      ta.load_task("tsv", folder, label_column=columns, **MULTI)
  with pytest.raises(ta.InputError, match="are other labels than toxic, b"):
    ta.load_task("tsv", folder, label_column="toxic,obscene",
                 labels=("toxic", "b"), **MULTI)


@pytest.mark.parametrize("header, row, columns", [
    ("v1,v2,,,", "{label},{text},,,", ("v2", "v1")),
    (",text,label", "0,{text},{label}", ("text", "label")),
    ("text,label,", "{text},{label},", ("TEXT", "Label")),
])
def test_columns_without_a_name(tmp_path, header, row, columns):
  (tmp_path / "train.csv").write_text("\n".join([header, *(
      row.format(text=text, label=label)
      for text, label in (("a", "x"), ("b", "y")))]))
  text, label = columns
  task = ta.load_task(
      "tsv", str(tmp_path), text_column=text, label_column=label)
  assert task.split("train").first == ["a", "b"]
  assert task.labels == ("x", "y") and not task.notes
  with pytest.raises(ta.InputError, match="no column ''; its columns are "):
    ta.load_task("tsv", str(tmp_path), text_column="", label_column=label)


def test_what_stands_in_columns_without_a_name_is_said(tmp_path):
  folder = folder_of(tmp_path, train_csv="text,label,\nso,x,\na,y, b\n")
  assert ta.load_task("tsv", folder).notes == (
      "train.csv: rows with something in a column without a name, which is not "
      "read: 1",)


@pytest.mark.parametrize("name, content, separator", [
    ("train.csv", 'text;label\n"a; b, c";x\nd;y\n', ";"),
    ("train.csv", "sep=;\ntext;label\na; b, c;x\nd;y\n", ";"),
    ("train.csv", "n\ttext\tlabel\n1\ta; b, c\tx\n2\td\ty\n", "\t"),
    ("train.tsv", 'text,label\n"a; b, c",x\nd,y\n', ","),
    ("train.tsv", "label|text\nx|a; b, c\ny|d\n", "|"),
])
def test_the_header_tells_what_separates_cells(
    tmp_path, name, content, separator):
  (tmp_path / name).write_text(content.replace("a; b, c;", '"a; b, c";'))
  task = ta.load_task("tsv", str(tmp_path))
  assert task.split("train").first == ["a; b, c", "d"]
  assert task.labels == ("x", "y")
  assert task.notes == (f"{name}: {separator!r} separates its cells",)


def test_names_of_files(tmp_path):
  for name in ("val", "devel", "development", "valid", "VALIDATION"):
    folder = tmp_path / name
    folder.mkdir()
    for file in (f"{name}.csv", "train.CSV", "extra.csv", "notes.md"):
      (folder / file).write_text("text,label\na,x\nb,y\n")
    task = ta.load_task("tsv", str(folder))
    assert list(task.splits) == ["train", "validation"]
    assert task.notes == (f"not read in {folder}: extra.csv",)
  with pytest.raises(ta.InputError, match="is a file: data_dir is the folder"):
    ta.load_task("tsv", str(folder / "train.CSV"))


def table(rows):
  return "text,label\n" + "".join(f"{a},{b}\n" for a, b in rows)


@pytest.mark.parametrize("rows, message", [
    ([(f"team {i % 3}", f"ticket {i}") for i in range(12)],
     "12 different labels in 12 rows of 'label' .'ticket 0', 'ticket 1' and "
     "10 more.: is it the texts' column, and 'text' that of the labels"),
    ([(f"title {i}", f"a longer text on {i}") for i in range(30)],
     "30 different labels in 30 rows of 'label'"),
])
def test_labels_that_are_texts_are_refused(tmp_path, rows, message):
  for options in ({}, MULTI):
    with pytest.raises(ta.InputError, match=message):
      ta.load_task("tsv", folder_of(tmp_path, train_csv=table(rows)), **options)
  # The other way round they are not.
  ta.load_task("tsv", str(tmp_path), labels=[label for _, label in rows])


def test_labels_that_are_all_different_are_refused(tmp_path):
  def folder_with(different):
    return folder_of(tmp_path, train_csv=table(
        (f"a text on {i}", f"id{i % different}") for i in range(30)))

  with pytest.raises(ta.InputError, match="27 different labels in 30 rows of "
                     "'label': nearly every row has one of its own, as dates"):
    ta.load_task("tsv", folder_with(27))
  folder = folder_with(15)
  assert ta.load_task("tsv", folder).notes == (
      "train.csv: 15 different labels in 30 rows of 'label': is it the labels' "
      "column?",)
  with pytest.raises(ta.InputError) as caught:
    ta.load_task("tsv", folder, labels=[f"l{i}" for i in range(2000)])
  assert "not one of l0, l1" in str(caught.value)
  assert "and 1,988 more" in str(caught.value)


def test_a_file_of_another_name_is_named_with_the_remedy(tmp_path):
  (tmp_path / "mine.csv").write_text("text,label\na,b\n")
  with pytest.raises(ta.InputError, match="there is mine.csv: rename it to "
                     "train.csv, or give the file itself, as in tf-adapters "
                     "train --data=.*/mine.csv"):
    ta.load_task("tsv", tmp_path)


def test_quotes_of_csv_in_tsv_are_said(tmp_path):
  content = 'text\tlabel\n"he said ""so"""\tx\n"b"\ty\n""\tx\n'
  folder = folder_of(tmp_path, train_tsv=content)
  task = ta.load_task("tsv", folder)
  assert task.split("train").first == ['"he said ""so"""', '"b"', '""']
  (note,) = task.notes
  assert note.startswith("train.tsv: texts in quotes") and note.endswith(": 1")
  (tmp_path / "train.tsv").rename(tmp_path / "train.csv")
  task = ta.load_task("tsv", folder, on_bad_row="skip")
  assert task.split("train").first == ['he said "so"', "b"]


def test_rows_without_a_text_are_bad_rows(tmp_path):
  folder = folder_of(
      tmp_path, train_csv="text,to,label\na,b,x\n\u3000,c,y\nd,,x\ne,nan,y\n",
      test_csv="text,to\n,a\nb,c\n")
  with pytest.raises(ta.InputError, match="train.csv:3: no text in column"):
    ta.load_task("tsv", folder, text_pair_column="to")
  task = ta.load_task(
      "tsv", folder, text_pair_column="to", on_bad_row="skip")
  assert task.split("train").first == ["a", "e"]
  assert task.split("test").ids == ["1"]
  assert task.notes == (
      "train.csv: texts that are words for a missing one, such as 'nan': 1",
      "2 rows left out: 2 without a text (first: train.csv:3)",
      "1 row left out: 1 without a text (first: test.csv:2)")
  (tmp_path / "train.csv").write_text("text,label\na,x\nb,nan\n")
  (tmp_path / "test.csv").unlink()
  assert ta.load_task("tsv", folder).notes == (
      "label 'nan' is a word for a missing one",)


@pytest.mark.parametrize("cell, remedy", [
    ("3,5", ": write a point, not a comma"), ("nan", ""), ("inf", ""),
    ("1_0", ""), ("\u0663", ""), ("1,000,5", ""), ("1e99", "")])
def test_what_is_no_score(tmp_path, cell, remedy):
  folder = folder_of(tmp_path, train_tsv=f"text\tlabel\na\t1\nb\t{cell}\n")
  with pytest.raises(ta.InputError) as caught:
    ta.load_task("tsv", folder, problem_type="regression")
  assert f"train.tsv:3: {cell!r} is not a number of any use{remedy};" in str(
      caught.value)


def test_what_is_no_file(tmp_path):
  (tmp_path / "train.tsv").mkdir()
  with pytest.raises(ta.InputError, match="train.tsv: cannot be read: Is a d"):
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
      "with an unknown label (first: dev.csv:4); scores are of the other rows "
      "alone",
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
     "train.csv:4: label 'good ' differs from 'Good' in line 2 in case only"),
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
     "both train.csv and train.tsv"),
    ({"train_csv": "text,label\na,1\nb,0\nc,1.0\n"},
     "train.csv:4: label '1.0' differs from '1' in line 2 in writing only"),
    ({"train_csv": "text,label\na,é\nb,e\u0301\n"},
     "train.csv:3: label .* differs from 'é' in line 2 in writing only"),
    ({"train_csv": "text,label\na,1\nb,0\n", "dev_csv": "text,label\na,0.0\n"},
     "dev.csv:2: label '0.0' is not one of 0, 1: is it '0'?"),
    ({"train_csv": "text,label\na,x\n ,y\n"},
     "train.csv:3: no text in column 'text'; on_bad_row=skip leaves such rows"),
    ({"train_csv": "words,team\na,x\nb,y\n"},
     "no column 'text'; its columns are words, team; text_column says another"),
    ({"train_csv": "text,team\na,x\nb,y\n"},
     "no column 'label'; its columns are text, team; label_column says anoth"),
    ({"train_csv": "words;team\na,x;y\nb;x\n"},
     "no column 'text'; its columns are words, team"),
    ({"reviews_csv": "text,label\na,x\n", "b_xlsx": "PK"},
     "ending in .tsv or .csv .*devel.*; there is b.xlsx, reviews.csv"),
    ({"train_csv": "text,label\na,\"['x', 'y']\"\nb,x\n"},
     r"train.csv:2: label .* is a list: problem_type=multi_label reads lists"),
    ({"train_csv": 'text,label\na,[2]\nb,"[1, 2]"\n'},
     r"train.csv:3: label '\[1, 2\]' is a list: problem_type=multi_label"),
    ({"train_csv": "text,label\na,x\nb,y\nc,x\u200b\n"},
     "train.csv:4: label .* differs from 'x' in line 2 in writing only"),
    ({"train_csv": "text,label\na,so  so\nb,y\nc,so so\n"},
     "train.csv:4: label 'so so' differs from 'so  so' in line 2 in writing"),
])
def test_says_what_is_wrong_and_where(tmp_path, files, message):
  with pytest.raises(ta.InputError, match=message):
    ta.load_task("tsv", folder_of(tmp_path, **files))
