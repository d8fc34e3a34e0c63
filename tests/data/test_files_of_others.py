"""Files and tables of other programs, with what those of the tests have not."""

import dataclasses
import json
import tracemalloc

import numpy as np
import pytest
import tensorflow as tf

import tf_adapters as ta
from tf_adapters.data import labels as label_cells, squad
from tf_adapters.data.encodings import found_encoding
from tf_adapters.problems import metrics
from tf_adapters.training.own_run_config import OwnRunConfig

pd = pytest.importorskip("pandas")


@pytest.mark.parametrize("place", [0, 9, 19])
def test_a_stray_byte_does_not_make_another_encoding_of_utf_8(tmp_path, place):
  lines = [f"café number {row},{'ab'[row % 2]}".encode() for row in range(20)]
  lines.insert(place, b"it\x92s broken,a")
  path = tmp_path / "a.csv"
  path.write_bytes(b"text,label\n" + b"\n".join(lines))
  with pytest.warns(UserWarning, match=f"1 not in UTF-8 .*a.csv:{place + 2}"):
    data = ta.Dataset.from_file(path)
  assert len(data.train) == 20 and data.train.first[0].startswith("café ")
  with pytest.raises(ta.InputError, match=rf"a.csv:{place + 2}: is no UTF-8 "
                     "text: byte 0x92.*windows-1252.*on_bad_row=skip leaves"):
    ta.Dataset.from_file(path, on_bad_row="error")


@pytest.mark.parametrize("lines, encoding", [
    (["é", "ü", "ö"], "windows-1252"), (["é", "Ã¼", "ö"], "windows-1252"),
    (["Ã©", "Ã¼", "Ã¶", "é", "ü", "ö", "ä"], "windows-1252"),
    (["Ã©", "Ã¼", "Ã¶", "é"], "utf-8")])
def test_lines_that_are_utf_8_by_accident(tmp_path, lines, encoding):
  path = tmp_path / "a.csv"
  path.write_bytes("text,label\n{}".format("".join(
      f"{line},{'ab'[row % 2]}\n" for row, line in enumerate(lines)
      )).encode("windows-1252"))
  assert found_encoding(path).partition(",")[0] == encoding
  data = ta.Dataset.from_file(path)  # what was found reads it
  assert len(data.train) == len(lines) - (encoding == "utf-8")


ROWS = ["t0,a", "t1,b,extra", "t2,a", "", "t3,b", ",a", "t5,b"]


@pytest.mark.parametrize("name, content", [
    ("a.csv", "text,label\n" + "\n".join(ROWS)),
    ("a.jsonl", "\n".join(
        "no JSON" if "extra" in row else row and json.dumps(
            dict(zip(["text", "label"], row.split(",")))) for row in ROWS)),
    ("a.json", json.dumps([
        1 if "extra" in row else dict(zip(["text", "label"], row.split(",")))
        for row in filter(None, ROWS)]))])
def test_rows_are_called_by_their_numbers_in_the_file(tmp_path, name, content):
  path = tmp_path / name
  path.write_text(content)
  with pytest.warns(UserWarning, match="left out"):
    data = ta.Dataset.from_file(path)
  assert data.train.ids == ["0", "2", "3", "5"]
  assert data.train.to_dataframe().index.tolist() == [0, 2, 3, 5]


def test_sentences_are_called_by_their_numbers(tmp_path):
  words, tags = [["a", "b"], [], ["c"]], [["O", "B-X"], [], ["O"]]
  with pytest.warns(UserWarning, match="left out"):
    data = ta.Dataset.from_lists(words, tags, problem_type="tagging")
  assert data.train.ids == ["0", "2"]
  (tmp_path / "train.conll").write_text(
      "# one\na O\nb B-X\n\nc\n\n# three\n\nd O\n")
  from tf_adapters.data import tagging
  assert tagging.load(str(tmp_path), on_bad_row="skip").splits["train"].ids == [
      "0", "2"]


def test_an_index_of_numbers_as_texts_stays_one_of_rows():
  data = ta.Dataset.from_dataframe(pd.DataFrame(
      {"text": ["x", "y"], "label": ["a", "b"]}, index=["10", "11"]))
  assert data.train.ids == ["0", "1"]


@pytest.mark.parametrize("index", [["a", "b", "007"], [-1, 7, 3]])
def test_rows_of_a_data_frame_are_called_by_its_index(index):
  data = ta.Dataset.from_dataframe(pd.DataFrame(
      {"text": ["x", "y", "z"], "label": ["a", "b", "a"]}, index=index))
  assert data.train.ids == list(map(str, index))
  assert data.train.to_dataframe().index.tolist() == index


@pytest.mark.parametrize("hidden", [[-1, -1], [None, None], ["", " "],
                                    [-1.0, None]])
def test_a_test_split_whose_labels_are_hidden_has_none(hidden):
  train = {"text": list("abcd"), "label": [0, 1, 0, 1]}
  with pytest.warns(UserWarning, match="test: no row has a label, or only -1"):
    data = ta.Dataset.from_dict(
        {"train": train, "test": {"text": ["x", "y"], "label": hidden}})
  assert "test: no row has a label, or only -1" in str(data)
  assert data.test.first == ["x", "y"] and data.test.labels is None
  # One that is known tells that others are missing.
  with pytest.warns(UserWarning, match="1 rows? left out"):
    data = ta.Dataset.from_dict({
        "train": train, "test": {"text": ["x", "y"], "label": [hidden[0], 1]}})
  assert data.test.labels.tolist() == [1]


@pytest.mark.parametrize("problem, label, hidden", [
    ("tagging", [["O", "B-X"], ["O"]], [[-100, -100], [-100]]),
    ("multi_label", [["a", "b"], ["b"]], [None, None]),
    ("regression", [0.5, 1.5], [-1.0, -1.0])])
def test_hidden_labels_of_every_kind(problem, label, hidden):
  texts = [["so", "x"], ["y"]] if problem == "tagging" else ["so x", "y"]
  with pytest.warns(UserWarning, match="test: no row has a label"):
    data = ta.Dataset.from_dict({
        "train": {"text": texts, "label": label},
        "test": {"text": texts, "label": hidden}}, problem_type=problem)
  assert data.test.labels is None and len(data.test) == 2


@pytest.mark.parametrize("train, test, problem", [
    ([-1, 1, -1, 1], [-1, -1], None), (["-1", "1", "0", "1"], ["-1"] * 2, None),
    ([-0.5, 0.5, 1.0, 0.1], [-1.0, -1.0], "regression")])
def test_minus_one_may_be_a_label(train, test, problem):
  data = ta.Dataset.from_dict({
      "train": {"text": list("abcd"), "label": train},
      "test": {"text": ["x", "y"], "label": test}}, problem_type=problem)
  assert len(data.test.labels) == 2 and len(set(data.test.labels)) == 1


def test_empty_cells_of_a_file_are_sets_without_labels(tmp_path):
  for name, labels in {"train": ["a", "b", "a b"], "test": ["", ""]}.items():
    (tmp_path / f"{name}.csv").write_text("text,label\n" + "".join(
        f"text {row},{label.replace(' ', ';')}\n"
        for row, label in enumerate(labels)))
  data = ta.Dataset.from_file(
      tmp_path, problem_type="multi_label", label_separator=";")
  assert data.test.labels.tolist() == [[0, 0], [0, 0]]


def test_hidden_labels_of_columns_and_of_a_test_file_alone(tmp_path):
  (tmp_path / "train.csv").write_text("text,a,b\nx,0,1\ny,1,0\n")
  (tmp_path / "test.csv").write_text("text,a,b\nx,,\ny,,\n")
  with pytest.warns(UserWarning, match="test: no row has a label"):
    data = ta.Dataset.from_file(tmp_path, label=["a", "b"])
  assert data.test.labels is None and len(data.test) == 2
  from tf_adapters.data import own_files
  task = own_files.load(str(tmp_path), label_column="a,b",
                        problem_type="multi_label")
  assert task.splits["test"].labels is None
  (tmp_path / "train.csv").unlink()
  (tmp_path / "test.csv").write_text("text,label\nx,-1\ny,-1\n")
  task = own_files.load(str(tmp_path), labels=["a", "b"])
  assert task.splits["test"].labels is None and len(task.splits["test"]) == 2


def test_hidden_labels_in_a_folder(tmp_path):
  for name, labels in {"train": "ab", "test": ["", "-1"]}.items():
    (tmp_path / f"{name}.tsv").write_text("text\tlabel\n" + "".join(
        f"text {label}\t{label}\n" for label in labels))
  from tf_adapters.data import own_files
  task = own_files.load(str(tmp_path))
  assert task.splits["test"].labels is None
  assert any("test.tsv: no row has a label" in note for note in task.notes)


def test_a_split_without_rows_takes_other_numbers():
  with pytest.warns(UserWarning, match="left out"):
    data = ta.Dataset.from_dict({
        "train": {"text": list("ab"), "label": ["x", "y"]},
        "validation": {"text": list("ab"), "label": ["z", "z"]}})
  empty = data.splits["validation"]
  assert len(empty.with_labels([1, 0], 2)) == 0


def test_sets_of_very_many_labels_take_their_own_memory():
  names = [f"label {number}" for number in range(1000)]
  frame = {"text": [f"text {row}" for row in range(2000)],
           "label": [[names[row % 999], names[-1]] for row in range(2000)]}
  tracemalloc.start()
  data = ta.Dataset.from_dict(frame, problem_type="multi_label")
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert data.train.labels.nbytes == 4 * 2000 * 1000
  assert peak < 3 * data.train.labels.nbytes
  assert data.train.labels.sum(axis=1).tolist() == [2.0] * 2000


def test_labels_that_are_left_out_are_not_compared_with_all(monkeypatch):
  def compare(*_):
    raise AssertionError

  monkeypatch.setattr(label_cells, "unknown_label", compare)
  for label in (["a", "b", "c"], [["a"], ["b", "a"], ["c"]]):
    with pytest.warns(UserWarning, match="1 with an unknown label"):
      ta.Dataset.from_dict(
          {"text": list("xyz"), "label": label}, labels=["a", "b"])


def test_names_with_apostrophes_and_blanks_that_do_not_break():
  names = ["l'avis\xa0: A", 'both \' and "', "soft\xad'", "b"]
  data = ta.Dataset.from_dict(
      {"text": list("abcd"), "label": [[name, "x"] for name in names]})
  assert data.labels == tuple(sorted([*names, "x"]))
  assert data.train.labels.sum() == 8


def test_a_single_label_of_sets_is_measured_by_itself():
  true = np.zeros([100, 1], np.float32)
  true[:5] = 1
  predicted = np.zeros_like(true)
  names = ("micro_f1", "macro_f1")
  assert metrics.evaluate(names, true, predicted) == dict.fromkeys(names, 0.0)
  predicted[:3] = 1
  assert metrics.evaluate(names, true, predicted) == pytest.approx(
      dict.fromkeys(names, 0.75))
  assert metrics.evaluate(
      ("micro_f1",), np.hstack([true, true]), np.hstack([predicted] * 2)
      ) == pytest.approx({"micro_f1": 0.75})


@pytest.mark.parametrize("batched", [True, False])
def test_labels_of_two_classes_as_keras_makes_them(batched):
  texts, labels = list("abcde"), np.array([[0], [1], [1], [0], [1]], np.float32)
  for elements in ((texts, labels), {"text": texts, "label": labels}):
    dataset = tf.data.Dataset.from_tensor_slices(elements)
    data = ta.Dataset.from_tf_data(dataset.batch(2) if batched else dataset)
    assert (data.problem_type, data.labels) == ("classification", ("0", "1"))
    assert data.train.labels.tolist() == [0, 1, 1, 0, 1]
  # Both are columns, in batches or not; or nothing is known of the texts.
  both = tf.data.Dataset.from_tensor_slices(
      ([[text] for text in texts], labels))
  unknown = tf.data.Dataset.from_tensor_slices((texts, labels)).map(
      lambda text, label: (
          tf.py_function(lambda x: x, [text], tf.string), label))
  for dataset in (both, both.batch(2), unknown):
    data = ta.Dataset.from_tf_data(dataset)
    assert data.problem_type == "classification"
    assert data.train.labels.tolist() == [0, 1, 1, 0, 1]
  # Batches of one row have an axis of one, too.
  ones = tf.data.Dataset.from_tensor_slices((texts, labels[:, 0].astype(int)))
  data = ta.Dataset.from_tf_data(ones.batch(1, drop_remainder=True))
  assert data.train.labels.tolist() == [0, 1, 1, 0, 1]
  tags = ta.Dataset.from_lists(
      [["a", "b"], ["c", "d"]], [[0, 1], [1, 0]], problem_type="tagging")
  assert tags.labels == ("0", "1")
  with pytest.raises(ta.InputError, match="rows of 0 and 1: numpy.argmax"):
    ta.Dataset.from_tf_data(tf.data.Dataset.from_tensor_slices(
        (texts, np.eye(2)[labels[:, 0].astype(int)])))


def test_columns_of_pyarrow_and_of_generators():
  pa = pytest.importorskip("pyarrow")
  texts, labels = list("abcde"), pa.array([1, 0, 1, None, 0])
  with pytest.warns(UserWarning, match="1 row left out: 1 without a label"):
    data = ta.Dataset.from_dict({"text": texts, "label": labels})
  assert (data.labels, data.label_type) == (("0", "1"), "int")
  table = pa.table({"t": texts, "l": ["x", "y", "x", "y", "x"]})
  data = ta.Dataset.from_lists(table["t"], table["l"])
  assert data.labels == ("x", "y") and data.train.first == texts
  data = ta.Dataset.from_dict({"text": (text for text in texts),
                               "label": (label for label in "xyxyx")})
  assert data.labels == ("x", "y") and data.train.first == texts


def test_numbers_with_a_comma_are_no_labels_before_that_is_said(tmp_path):
  path = tmp_path / "a.csv"
  path.write_text("text;label\n" + "".join(
      f"text {row};{row % 4},5\n" for row in range(40)))
  with pytest.raises(ta.InputError, match="holds '0,5': .* with a point"):
    ta.Dataset.from_file(path)
  data = ta.Dataset.from_file(path, problem_type="classification")
  assert data.labels == ("0,5", "1,5", "2,5", "3,5")


def test_splits_as_hugging_face_calls_their_files(tmp_path):
  pytest.importorskip("pyarrow")
  for name in ("train-00000-of-00001", "test-00000-of-00001"):
    pd.DataFrame({"text": list("abcd"), "label": [0, 1, 0, 1]}).to_parquet(
        tmp_path / f"{name}.parquet")
  assert ta.Dataset.from_file(tmp_path).splits.keys() == {"train", "test"}
  (tmp_path / "train-00001-of-00002.parquet").touch()
  with pytest.raises(ta.InputError, match="both train-0.* could be the train"):
    ta.Dataset.from_file(tmp_path)


def test_two_names_of_one_split_are_refused():
  part = {"text": list("ab"), "label": [0, 1]}
  with pytest.raises(ta.InputError, match="'val' and 'dev' are one split"):
    ta.Dataset.from_dict({"train": part, "val": part, "dev": part})


def test_answers_without_a_place_are_not_moved():
  for answer, is_moved in (({"text": "she"}, False),
                           ({"text": "she", "answer_start": 5}, True)):
    question = {"id": "1", "question": "who?", "answers": [answer]}
    split, notes = squad.of_paragraphs(
        "a", [({"context": "so she said", "qas": [question]}, 1)],
        squad.SquadOptions(), True, squad.BadRows("a"))
    assert split.questions[0].start == 3
    assert ("moved" in str(notes)) == is_moved


def test_nothing_separates_no_labels(tmp_path):
  for separator in ("", " "):
    with pytest.raises(ta.InputError, match="label_separator must not be bl"):
      ta.Dataset.from_dict({"text": list("ab"), "label": ["x", "y"]},
                           label_separator=separator)


def test_json_has_no_delimiter(tmp_path):
  path = tmp_path / "a.jsonl"
  path.write_text('{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n')
  with pytest.raises(ta.InputError, match="a.jsonl: has no cells that a delim"):
    ta.Dataset.from_file(path, delimiter=";")
  assert len(ta.Dataset.from_file(path).train) == 2


def test_a_seed_of_splits_that_are_not_drawn_is_refused(tmp_path):
  content = "text,label\n" + "".join(
      f"text {row},{'ab'[row % 2]}\n" for row in range(20))
  for name in ("train", "validation", "test"):
    (tmp_path / f"{name}.csv").write_text(content)
  for data, options in ((tmp_path, {}), (tmp_path / "train.csv", {
      "validation_fraction": 0.0, "test_fraction": 0.0})):
    config = OwnRunConfig(data=str(data), **options)
    assert config.load_task().splits
    with pytest.raises(ta.InputError, match="split_seed=5 has no effect"):
      dataclasses.replace(config, split_seed=5).load_task()
  assert OwnRunConfig(data=str(tmp_path / "train.csv"), split_seed=5).load_task(
      ).splits.keys() == {"train", "validation", "test"}
