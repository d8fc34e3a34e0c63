"""Datasets of what users have: DataFrames, dicts, lists, files, tf.data."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

import tf_adapters as ta
from tf_adapters.training.own_run_config import OwnRunConfig

pd = pytest.importorskip("pandas")


def values(split, data):
  return [data.labels[number] for number in split.labels]


def test_a_data_frame_with_messy_rows():
  df = pd.DataFrame({
      "Ticket": ["no bill", None, "slow net", "  ", "a\0b", "late", "why"],
      "team": ["billing", "billing", "network ", "sales", "sales", None,
               "billing"]}, index=list("abcdefg"))
  with pytest.warns(UserWarning, match="4 rows left out: 1 with a NUL byte "
                    r"\(first: DataFrame, row e\), 1 without a label \(first: "
                    r"DataFrame, row f\), 2 without a text \(first: "
                    r"DataFrame, row b\)"):
    data = ta.Dataset.from_dataframe(df, text="ticket", label="team")
  assert data.name == "team" and data.labels == ("billing", "network", "sales")
  assert data.train.first == ["no bill", "slow net", "why"]
  assert values(data.train, data) == ["billing", "network", "billing"]
  assert data.train.ids == ["a", "c", "g"]
  with pytest.raises(ta.InputError, match="DataFrame, row e: has a NUL byte"):
    ta.Dataset.from_dataframe(
        df, text="Ticket", label="team", on_bad_row="error")


@pytest.mark.parametrize("labels, names, kind", [
    ([10, 2, 2], ("2", "10"), "int"),
    ([1.0, 0.0, 1.0], ("0", "1"), "int"),
    ([True, False, True], ("False", "True"), "bool"),
    (["1", "0", "1"], ("0", "1"), "str"),
    (pd.Categorical(["b", "a", "b"]), ("a", "b"), "str"),
])
def test_labels_stay_what_they_are(labels, names, kind):
  data = ta.Dataset.from_dataframe(pd.DataFrame(
      {"text": ["a", "b", "c"], "label": labels}))
  assert (data.problem_type, data.labels, data.label_type) == (
      "classification", names, kind)
  assert values(data.train, data) == [
      str(int(one)) if kind == "int" else str(one) for one in labels]


def test_weights_are_of_labels_and_not_of_their_numbers():
  data = ta.Dataset.from_lists(["a", "b", "c"], [1, 2, 3])
  assert data.class_weight({1: 5.0}) == {"1": 5.0, "2": 1.0, "3": 1.0}
  assert data.class_weight({"3": 0.5})["3"] == 0.5
  with pytest.raises(ta.InputError, match="'0' is not one of 1, 2, 3"):
    data.class_weight({0: 2.0})


def test_whole_numbers_of_a_file_are_integers(tmp_path):
  """As pandas writes them where one is missing."""
  path = tmp_path / "a.csv"
  pd.DataFrame({"text": list("abcd"), "label": [10.0, 2.0, None, 2.0]}).to_csv(
      path, index=False)
  assert "10.0" in path.read_text()
  with pytest.warns(UserWarning, match="1 row left out: 1 without a label"):
    data = ta.Dataset.from_file(path)
  assert data.labels == ("2", "10") and data.label_type == "int"
  assert [row["label"] for row in data.train] == [10, 2, 2]


def test_sets_of_labels_that_are_missing_are_not_empty_sets():
  df = pd.DataFrame({"text": list("abcd"), "label": [
      [10, 2], None, [], [2]]})
  with pytest.warns(UserWarning, match="1 row left out: 1 without a label"):
    data = ta.Dataset.from_dataframe(df)
  assert data.problem_type == "multi_label" and data.label_type == "int"
  assert data.labels == ("2", "10")
  assert data.train.labels.tolist() == [[1, 1], [0, 0], [1, 0]]
  with pytest.raises(ta.InputError, match=r"row 1: no label in column 'label':"
                     r" \[\] has none"):
    ta.Dataset.from_dataframe(df, on_bad_row="error")


@pytest.mark.parametrize("tag", [None, -100])
def test_words_without_a_tag(tag):
  df = pd.DataFrame({"text": [["a", "b"], ["c", "d"]],
                     "label": [["O", "B-x"], ["O", tag]]})
  with pytest.raises(ta.InputError, match=f"row 1: {tag} is no tag"):
    ta.Dataset.from_dataframe(df, on_bad_row="error")


def test_the_type_of_problem_is_found_out():
  texts = ["the film", "a plot", "he said"]
  of = ta.Dataset.from_lists
  data = of(texts, [["x", "y"], [], ("y",)])
  assert data.problem_type == "multi_label"
  assert data.train.labels.tolist() == [[1, 1], [0, 0], [0, 1]]
  data = of(texts, np.array([0.5, 2, 3], np.float32))
  assert data.problem_type == "regression"
  assert data.train.labels.tolist() == [0.5, 2.0, 3.0]
  data = of([["he", "said"], ["Bob"]], [["O", "O"], ["B-x"]])
  assert data.problem_type == "tagging"
  assert [tags.tolist() for tags in data.train.tags] == [[0, 0], [1]]
  data = of(texts, ["yes", "no", "no"], text_pairs=texts[::-1])
  assert data.train.pairs and data.train.second[0] == "he said"
  columns = {"text": texts, "a": [1, 0, 1], "b": [False, True, True]}
  data = ta.Dataset.from_dict(columns, label=["a", "b"])
  assert data.labels == ("a", "b")
  assert data.train.labels.tolist() == [[1, 0], [0, 1], [1, 1]]
  data = ta.Dataset.from_dict({
      "question": ["who", "what"], "context": ["He is Bob.", "A cat sat."],
      "answers": ["Bob", {"text": ["cat"], "answer_start": [2]}]},
      text="question", text_pair="context", label="answers")
  assert data.problem_type == "span"
  assert [one.start for one in data.train.questions] == [6, 2]


TWICE = {"text": [f"a{row}" for row in range(40)], "label": list("xy") * 20,
         "LABEL": list("pqrs") * 10, "Text": [f"Z{row}" for row in range(40)]}


def _written(folder, name):
  df = pd.DataFrame(TWICE)
  if name == "frame":
    return df
  path = folder / name
  df.to_csv(path, index=False) if name == "a.csv" else df.to_json(
      path, orient="records", lines=True)
  return path


@pytest.mark.parametrize("source", ["frame", "a.csv", "a.jsonl"])
def test_a_column_whose_name_is_written_so_is_meant(tmp_path, source):
  given = _written(tmp_path, source)
  load = (ta.Dataset.from_dataframe if source == "frame"
          else ta.Dataset.from_file)
  data = load(given, text="Text", label="LABEL")
  assert data.labels == tuple("pqrs") and data.train.first[0] == "Z0"
  assert load(given).labels == ("x", "y")
  data = load(given, text="text", text_pair="Text", label="label")
  assert (data.train.first[1], data.train.second[1]) == ("a1", "Z1")
  with pytest.raises(ta.InputError, match="'Label' may be 'label' or 'LABEL'"):
    load(given, label="Label")
  with pytest.raises(ta.InputError, match="text and text_pair must differ: both"
                     " are column 'Text'"):
    load(given, text="Text", text_pair="Text")
  if source != "frame":
    config = OwnRunConfig(data=str(given), text_column="Text",
                          label_column="LABEL", validation_fraction=0,
                          test_fraction=0)
    assert config.load_task().labels == tuple("pqrs")
    with pytest.raises(ta.InputError, match="'TEXT' may be 'text' or 'Text'"):
      dataclasses.replace(config, text_column="TEXT").load_task()


def test_columns_of_tags_and_answers_by_their_names():
  data = ta.Dataset.from_dict({
      "Words": [["no"]], "words": [["he", "said"]], "TAGS": [["X"]],
      "tags": [["O", "B"]]}, text="words", label="tags")
  assert data.train.words == [["he", "said"]]
  data = ta.Dataset.from_dict({
      "Q": ["no"], "q": ["who"], "C": ["x"], "c": ["He is Bob."], "A": ["x"],
      "a": ["Bob"]}, text="q", text_pair="c", label="a", problem_type="span")
  assert data.train.questions[0].start == 6


@pytest.mark.parametrize("columns, arguments, message", [
    ({"a": ["x"], "label": ["y"]}, {}, "dict: no column 'text'; its columns "
     "are a, label; text says another name"),
    ({"text": ["x", "y"], "label": ["y"]}, {}, "'text' has 2 rows, 'label' "
     "has 1 rows"),
    ({"text": list("abc"), "label": ["y", "y", "y"]}, {}, "one label only"),
    ({"text": list("abc"), "label": ["y", "Y", "n"]}, {}, "differs from"),
    ({"text": "abc", "label": ["y", "n", "n"]}, {}, "expected a list"),
    ({"text": list("abc") * 20, "label": range(60)}, {}, "60 different "
     "integers in 60 rows: problem_type='regression' takes them"),
    ({"text": ["x"], "label": ["y"]}, {"label": "text"}, "must differ"),
    ({"text": ["x", "y"], "label": ["y", "n"]}, {"problem_type": "sorting"},
     "'sorting' is none of classification"),
    ({"train": {"text": ["x"]}, "holdout": {"text": ["y"]}}, {}, "holdout is "
     "none of train, validation and test"),
])
def test_what_cannot_be_right_is_refused_in_one_line(
    columns, arguments, message):
  with pytest.raises(ta.InputError, match=message) as caught:
    ta.Dataset.from_dict(columns, **arguments)
  assert "\n" not in str(caught.value)


def test_what_is_no_table_is_refused_with_the_remedy():
  with pytest.raises(ta.InputError, match="a list is no table: .*from_lists"):
    ta.Dataset.from_dataframe(["a", "b"])


def test_splits_by_fraction_and_by_name():
  texts = [f"text {number}" for number in range(40)]
  columns = pd.DataFrame({"text": texts, "label": list("aaab") * 10})
  data = ta.Dataset.from_dataframe(columns, validation=0.2, test=0.2, seed=1)
  assert {name: len(split) for name, split in data.splits.items()} == {
      "train": 24, "validation": 8, "test": 8}
  assert sorted(values(data.test, data)) == ["a"] * 6 + ["b"] * 2
  with pytest.raises(ta.InputError, match="^validation=0.001 of 40 rows are"):
    ta.Dataset.from_dataframe(columns, validation=0.001)
  data = ta.Dataset.from_dataframe({
      "train": columns, "dev": columns[:5], "test": columns[["text"]]})
  assert list(data.splits) == ["train", "validation", "test"]
  assert data.test.labels is None and len(data.validation) == 5
  data = ta.Dataset.from_dataframe(
      {"train": columns, "test": columns[:5]}, validation=0.1)
  assert {name: len(split) for name, split in data.splits.items()} == {
      "train": 36, "validation": 4, "test": 5}
  data = ta.Dataset.from_lists(texts, list("aaab") * 10, validation=3, test=5)
  assert [len(split) for split in data.splits.values()] == [32, 3, 5]


@pytest.mark.parametrize("index, place, other", [
    (range(100, 140), "row 107", "row 101"),
    (pd.date_range("2026", periods=40), "row 2026-01-08 00:00:00",
     "row 2026-01-02 00:00:00"),
    ([*range(20), *range(20)], "iloc 7", "iloc 1"),
    (None, "row 7", "row 1"),  # of a dict
])
def test_a_row_has_one_name_in_messages(index, place, other):
  columns = {"text": [f"a {row}" for row in range(40)],
             "label": ["x", "y"] * 20}
  columns["label"][7] = "Y "
  df = columns if index is None else pd.DataFrame(columns, index=list(index))
  name = type(df).__name__
  with pytest.raises(ta.InputError) as caught:
    ta.Dataset.from_dataframe(df)
  assert str(caught.value) == (f"{name}, {place}: label 'Y ' differs from 'y' "
                               f"in {other} in case only: give both one name")
  columns["label"][7], columns["text"][7] = "y", None
  df = columns if index is None else pd.DataFrame(columns, index=list(index))
  with pytest.warns(UserWarning, match=rf"\(first: {name}, {place}\)"):
    ta.Dataset.from_dataframe(df)


def test_rows_of_tags_and_answers_are_named_alike():
  with pytest.raises(ta.InputError, match="^dict, row 0: tag 'o' differs from "
                     "'O' in row 0 in case only"):
    ta.Dataset.from_dict({"w": [["a", "b"], ["c"]], "t": [["O", "o"], ["O"]]},
                         "w", label="t")
  with pytest.warns(UserWarning, match=r"\(first: dict, row 0\)"):
    ta.Dataset.from_dict({"q": ["w", "v"], "c": ["he is", "a"],
                          "a": ["zz", "a"]}, "q", text_pair="c", label="a",
                         problem_type="span")


def test_columns_that_are_exchanged_are_the_first_that_is_said():
  texts = [f"a text {row}" for row in range(40)]
  texts[3:5] = "Good", "good"
  with pytest.raises(ta.InputError, match="40 rows of 'text' .* is it the texts"
                     "' column, and 'label' that of the labels"):
    ta.Dataset.from_dict({"text": texts, "label": ["x", "y"] * 20},
                         text="label", label="text")


def test_what_is_doubtful_is_a_warning(tmp_path):
  columns = {"text": list(range(20)), "label": ["nan", "b"] * 10}
  with pytest.warns(UserWarning, match="label 'nan' is a word for a missing one"
                    ".*'text' holds numbers alone: is it the texts' column"):
    ta.Dataset.from_dict(columns)
  pd.DataFrame(columns).replace("nan", "a").to_csv(tmp_path / "a.csv")
  with pytest.warns(UserWarning, match="holds numbers alone"):
    ta.Dataset.from_file(tmp_path / "a.csv")


def test_a_split_shows_its_rows():
  df = pd.DataFrame({"text": ["a", None, "c"], "b": ["x", "y", "z"],
                     "label": [2, 1, 1]}, index=[7, 8, 9])
  with pytest.warns(UserWarning, match="without a text"):
    split = ta.Dataset.from_dataframe({"train": df, "test": df[["text", "b"]]},
                                      text_pair="b")
  train = split.train
  assert len(train) == 2 and train[1] == {
      "text": "c", "text_pair": "z", "label": 1}
  assert train.to_dataframe().equals(df.loc[[7, 9], ["text", "b", "label"]]
                                     .rename(columns={"b": "text_pair"}))
  assert split.test[0] == {"text": "a", "text_pair": "x"}
  assert [row["label"] for row in train] == [2, 1]
  sets = ta.Dataset.from_lists(["a", "b"], [["x", "y"], []]).train
  assert list(sets.to_dataframe().label) == [["x", "y"], []]
  numbers = ta.Dataset.from_lists(["a", "b"], [0.5, 2.0]).train
  assert numbers.take([1])[0] == {"text": "b", "label": 2.0}


def test_rows_by_slices_and_numbers():
  split = ta.Dataset.from_lists(["a", "b", "c"], ["x", "y", "x"]).train
  rows = list(split)
  for one in (slice(0, 2), slice(None, None, -1), slice(-2, None),
              slice(5, 9)):
    assert split[one] == rows[one]
  for one in (2, -1, -3, np.int64(1), tf.constant(2)):
    assert split[one] == rows[one]
  for one in (3, -4):
    with pytest.raises(IndexError, match=f"no row {one} in 3 rows"):
      split[one]
  for one in ([0, 1], np.array([0, 1]), "text", True, np.True_, 1.0, None):
    with pytest.raises(ta.InputError, match="a row is named by its number, not"
                       r".*take\(\[0, 2\]\) makes"):
      split[one]


@pytest.mark.parametrize("arguments, message", [
    ({"text": "0", "label": 1}, "label is a int: .* are called \"0\", \"1\""),
    ({"text": "0", "label": [1, 2]}, "label is a int: .* are called \"0\""),
    ({"text": 0, "label": "1"}, "text is a int: .* are called \"0\", \"1\""),
    ({"text": np.int64(0), "label": "1"}, "text is a int64: .* are called"),
    ({"text": "0", "label": "1", "text_pair": 2}, "text_pair is a int: "),
    ({"text": "0", "label": None}, "label is a NoneType: it has to be"),
    ({"text": None, "label": "1"}, "text is a NoneType: it has to be"),
    ({"text": "0", "label": []}, "label names no column"),
    ({"text": "0", "label": ["1", "2"], "problem_type": "classification"},
     "label names 2 columns, which problem_type='multi_label' takes: "),
    ({"text": ["0", "2"], "label": "1"}, "text is a list: .* can be joined"),
])
def test_columns_have_names(tmp_path, arguments, message):
  df = pd.DataFrame([["a", 1, "d"], ["b", 0, "e"], ["c", 1, "f"]])
  path = tmp_path / "a.csv"
  df.to_csv(path, index=False)
  rows = tf.data.Dataset.from_tensor_slices(
      {str(name): df[name].to_list() for name in df})
  for load, given in ((ta.Dataset.from_dataframe, df),
                      (ta.Dataset.from_file, path),
                      (ta.Dataset.from_tf_data, rows)):
    with pytest.raises(ta.InputError, match=f"^{message}"):
      load(given, **arguments)
    assert load(given, text="0", label="1").labels == ("0", "1")


def test_the_labels_of_a_categorical():
  names = ["low", "none", "high"]
  df = pd.DataFrame({"text": ["a", "b", "c"], "label": pd.Categorical(
      ["low", "high", "low"], categories=names, ordered=True)})
  data = ta.Dataset.from_dataframe(df)
  assert data.labels == ("low", "high")
  assert data.train.labels.tolist() == [0, 1, 0]
  assert data.notes == ("categories of column 'label' that no row has are no "
                        "labels: 'none'",)
  df["label"] = df.label.cat.as_unordered()
  assert ta.Dataset.from_dataframe(df).labels == ("high", "low")


class OfHuggingFace:
  """A stand-in for `datasets.Dataset`, with all that is asked of one."""

  column_names = ["sentence", "label"]

  class Names:
    names = ["neg", "pos"]

  features = {"label": Names}

  def __getitem__(self, column):
    return {"sentence": ["good", "bad", "so"], "label": [1, 0, -1]}[column]


def test_a_dataset_of_hugging_face_names_its_labels():
  with pytest.warns(UserWarning, match="1 without a label"):
    data = ta.Dataset.from_dataframe(OfHuggingFace(), text="sentence")
  assert data.labels == ("neg", "pos")
  assert values(data.train, data) == ["pos", "neg"]


def test_a_tf_data_dataset():
  texts, labels = ["a", "b", "c"], [1, 0, 1]
  rows = tf.data.Dataset.from_tensor_slices((texts, labels))
  for dataset in (rows, rows.batch(2)):
    data = ta.Dataset.from_tf_data(dataset)
    assert data.train.first == texts and data.train.labels.tolist() == labels
  data = ta.Dataset.from_tf_data(tf.data.Dataset.from_tensor_slices(
      ((texts, texts), ["x", "y", "x"])))
  assert data.train.second == texts and data.labels == ("x", "y")
  data = ta.Dataset.from_tf_data(tf.data.Dataset.from_tensor_slices(
      {"t": texts, "l": labels}), text="t", label="l")
  assert data.label_type == "int"
  with pytest.raises(ta.InputError, match="has no end"):
    ta.Dataset.from_tf_data(rows.repeat())


ROWS = [("so, good", 1), ("bad\u00e9", 0), ("é", 1)]


@pytest.mark.parametrize("name, content, notes", [
    ("a.csv", 'text,label\n"so, good",1\nbadé,0\né,1\n', []),
    ("a.csv", "label;text\n1;so, good\n0;badé\n1;é\n", ["';' separates"]),
    ("a.tsv", "text\tlabel\nso, good\t1\nbadé\t0\né\t1\n".encode("latin-1"),
     ["read as windows-1252"]),
    ("a.csv", "text\tlabel\nso, good\t1\nbadé\t0\né\t1\n".encode("utf-16"),
     ["read as utf-16", "separates"]),
    ("a.jsonl", "".join(json.dumps({"text": text, "label": label}) + "\n"
                        for text, label in ROWS), []),
    ("a.json", json.dumps([{"text": text, "label": label}
                           for text, label in ROWS], indent=1), []),
])
def test_files(tmp_path, name, content, notes):
  path = tmp_path / name
  path.write_bytes(content if isinstance(content, bytes) else content.encode())
  data = ta.Dataset.from_file(path)
  assert data.train.first == [text for text, _ in ROWS]
  assert data.train.labels.tolist() == [1, 0, 1] and data.label_type == "int"
  for note in notes:
    assert note in repr(data)
  assert data.files == {"train": [path]}


SQUAD = {"version": "1", "data": [{"title": "t", "paragraphs": [
    {"context": "He is Bob.", "qas": [
        {"id": "x", "question": "who", "answers": [
            {"text": "Bob", "answer_start": 6}]},
        {"id": "y", "question": "when", "answers": []}]}]}]}


@pytest.mark.parametrize("indent", [None, 1])
def test_squad_s_own_files(tmp_path, indent):
  path = tmp_path / "squad.json"
  path.write_text(json.dumps(SQUAD, indent=indent))
  data = ta.Dataset.from_file(path, "question", text_pair="context",
                              label="answers")
  assert data.problem_type == "span" and data.span["version_2"]
  assert [(one.text, one.answers, one.start) for one in data.train.questions
          ] == [("who", ("Bob",), 6), ("when", (), None)]
  assert data.notes == (
      "questions without an answer, of which that is learnt: 1",)


def test_answers_in_a_table_and_a_test_split_without(tmp_path):
  (tmp_path / "train.csv").write_text(
      "question,context,answers\nwho,He is Bob.,"
      "\"{'text': ['Bob'], 'answer_start': [6]}\"\nwhat,A cat sat.,cat\n")
  (tmp_path / "test.csv").write_text("question,context\nwho,It is Al.\n")
  data = ta.Dataset.from_file(
      tmp_path, "question", text_pair="context", label="answers",
      problem_type="span")
  assert [one.start for one in data.train.questions] == [6, 2]
  assert data.test.labels is None and not data.span["version_2"]


def test_words_without_tags_in_a_test_split():
  data = ta.Dataset.from_dict({
      "train": {"text": [["he", "said"], ["Bob"]], "tags": [["O", "O"], ["B"]]},
      "test": {"text": [["so", "he"]]}}, label="tags")
  assert data.test.words == [["so", "he"]] and data.test.labels is None


def test_json_of_columns_is_refused_with_the_remedy(tmp_path):
  path = tmp_path / "a.json"
  frame = pd.DataFrame({"text": ["a", "b"], "label": ["x", "y"]})
  frame.to_json(path)
  with pytest.raises(ta.InputError, match="orient='records', lines=True"):
    ta.Dataset.from_file(path)
  frame.to_json(path, indent=1)
  with pytest.raises(ta.InputError, match="one JSON object, expected one for"):
    ta.Dataset.from_file(path)
  frame.to_json(path, orient="records", lines=True)
  assert len(ta.Dataset.from_file(path).train) == 2


def test_parquet_and_a_folder(tmp_path):
  pytest.importorskip("pyarrow")
  df = pd.DataFrame(ROWS, columns=["text", "label"])
  df.to_parquet(tmp_path / "train.parquet")
  (tmp_path / "dev.jsonl").write_text('{"text": "a", "label": 0}\nnot\n')
  with pytest.warns(UserWarning, match=r"no JSON objects \(first: dev.jsonl:2"):
    data = ta.Dataset.from_file(tmp_path)
  assert data.train.labels.tolist() == [1, 0, 1]
  assert data.validation.labels.tolist() == [0]


@pytest.mark.parametrize("name, message", [
    ("a.xlsx", "is a spreadsheet: save it as CSV"),
    ("a.csv.gz", "is packed: unpack it"),
    ("a.doc", "has to end in .csv"),
])
def test_files_that_are_not_read(tmp_path, name, message):
  (tmp_path / name).write_bytes(b"x")
  with pytest.raises(ta.InputError, match=message):
    ta.Dataset.from_file(tmp_path / name)
  with pytest.raises(ta.InputError, match="no such file"):
    ta.Dataset.from_file(tmp_path / "missing.csv")


def test_a_delimiter_that_is_given(tmp_path):
  (tmp_path / "a.csv").write_text("text~label\na,b~x\nc~y\n")
  data = ta.Dataset.from_file(tmp_path / "a.csv", delimiter="~")
  assert data.train.first == ["a,b", "c"]
  with pytest.raises(ta.InputError, match="one character"):
    ta.Dataset.from_file(tmp_path / "a.csv", delimiter="::")
