"""Labels of files as integers or as they stand; sets with a missing label."""

import numpy as np
import pytest

import tf_adapters as ta

pd = pytest.importorskip("pandas")


def write(path, labels):
  path.write_text("text,label\n" + "".join(
      f"text {row},{label}\n" for row, label in enumerate(labels)))
  return path


def labels_of(split):
  return [row["label"] for row in split]


@pytest.mark.parametrize("cells, labels, kind", [
    (["1.1", "1.10", "1.2"], ("1.1", "1.10", "1.2"), "str"),
    (["+1", "-1", "+1"], ("+1", "-1"), "str"),
    (["4E2", "400.0", "1"], ("1", "400.0", "4E2"), "str"),
    (["01", "1", "2"], ("01", "1", "2"), "str"),
    (["1.0", "2.0", "beta"], ("1.0", "2.0", "beta"), "str"),
    (["10.0", "2", "-1.0"], ("-1", "2", "10"), "int"),
    (["True", "False", "True"], ("False", "True"), "bool"),
    (["9" * 5000, "2", "3"], ("2", "3", "9" * 5000), "str"),
])
@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_only_integers_as_pandas_writes_them_are_integers(
    tmp_path, ending, cells, labels, kind):
  path = write(tmp_path / f"a.{ending}", cells)
  data = ta.Dataset.from_file(
      path, delimiter=",", problem_type="classification")
  assert (data.labels, data.label_type) == (labels, kind)
  as_written = [labels.index(cell.removesuffix(".0") if kind == "int" else cell)
                for cell in cells]
  assert data.train.labels.tolist() == as_written


@pytest.mark.parametrize("train, test, labels, kind", [
    (["1.0", "2.0", "beta"], ["1.0", "2.0"], ("1.0", "2.0", "beta"), "str"),
    (["1", "2"], ["2.0", "1.0"], ("1", "2"), "int"),
    (["1.0", "2.0"], ["2", "1"], ("1", "2"), "int"),
])
def test_labels_are_written_alike_in_all_splits(
    tmp_path, train, test, labels, kind):
  write(tmp_path / "train.csv", train)
  write(tmp_path / "test.csv", test)
  data = ta.Dataset.from_file(tmp_path)
  assert (data.labels, data.label_type) == (labels, kind)
  assert len(data.test) == 2 and not data.notes
  assert set(labels_of(data.test)) <= set(labels_of(data.train))


def test_a_stray_label_of_another_split_does_not_make_texts_of_integers(
    tmp_path):
  write(tmp_path / "train.csv", ["1.0", "2.0"])
  write(tmp_path / "test.csv", ["1.0", "beta"])
  with pytest.warns(UserWarning, match="1 with an unknown label"):
    data = ta.Dataset.from_file(tmp_path)
  assert labels_of(data.train) == [1, 2] and labels_of(data.test) == [1]


@pytest.mark.parametrize("cells, labels, seen", [
    (["1.0", "2.0"], ["1.0", "2.0"], ["1.0", "2.0"]),
    (["1.0", "2.0"], [1, 2], [1, 2]),
    (["1.0", "2.0"], np.array([2, 1]), [1, 2]),
    # An adapter's labels are known by their names.
    (["1.0", "2.0"], ["1", "2"], ["1", "2"]),
    (["+1", "-1"], ["-1", "+1"], ["+1", "-1"]),
    (["1.0", "beta"], ["1", "beta"], ["1", "beta"]),
])
def test_labels_that_are_given(tmp_path, cells, labels, seen):
  data = ta.Dataset.from_file(write(tmp_path / "a.csv", cells), labels=labels)
  assert labels_of(data.train) == seen
  assert data.labels == tuple(map(str, labels))


def test_labels_that_are_no_list_are_refused():
  with pytest.raises(ta.InputError, match="^labels is a single one"):
    ta.Dataset.from_dict({"text": ["x"], "label": ["y"]}, labels="ab")


def test_sets_of_integers_stay_integers():
  data = ta.Dataset.from_lists(["x", "y", "z"], [[10, 2], [], [2.0]])
  assert data.labels == ("2", "10")
  assert labels_of(data.train) == [[2, 10], [], [2]]
  assert data.train[0:1] == [{"text": "x", "label": [2, 10]}]
  assert list(data.train.to_dataframe().label) == [[2, 10], [], [2]]


@pytest.mark.parametrize("cells, names", [
    ([["a", None], ["b"], ["a"]], ("a", "b")),
    ([[1.0, np.nan], [2.0], [1.0]], ("1", "2")),
    ([[pd.NA], ["b"], ["a"]], ("a", "b")),
    ([np.array([np.nan, 1.0]), np.array([2.0]), [1]], ("1", "2")),
])
def test_a_missing_label_in_a_set_is_no_label(cells, names):
  df = pd.DataFrame({"text": list("xyz"), "label": cells})
  with pytest.warns(UserWarning, match="1 row left out: 1 without a label"):
    data = ta.Dataset.from_dataframe(df, problem_type="multi_label")
  assert data.labels == names and data.train.first == ["y", "z"]
  with pytest.raises(ta.InputError, match="^DataFrame, row 0: None in a list of"
                     " column 'label' is no label"):
    ta.Dataset.from_dataframe(
        df, problem_type="multi_label", on_bad_row="error")


@pytest.mark.parametrize(
    "cell", ["[None]", "['a', None]", "[nan]", "[1.0 nan]"])
def test_a_missing_label_in_a_written_set_is_no_label(cell):
  with pytest.warns(UserWarning, match="1 with no list of labels"):
    data = ta.Dataset.from_lists(
        ["x", "y", "z"], [cell, "['a', 'b']", "b"], problem_type="multi_label")
  assert data.labels == ("a", "b") and data.train.first == ["y", "z"]


def test_a_label_in_brackets_is_a_label():
  data = ta.Dataset.from_lists(
      ["x", "y", "z"], ["[null pointer]", "[1]", "b"],
      problem_type="multi_label")
  assert data.labels == ("1", "[null pointer]", "b")


def test_a_missing_word_is_no_word():
  words = [["he", None], ["Bob"], ["a", "b"]]
  with pytest.warns(UserWarning, match="1 sentence left out: 1 with something "
                    "else than a string"):
    data = ta.Dataset.from_lists(words, [["O", "O"], ["B"], ["O", "O"]])
  assert data.train.words == words[1:]
  with pytest.raises(ta.InputError, match="^lists, row 0: None is no word"):
    ta.Dataset.from_lists(words, [["O", "O"], ["B"], ["O", "O"]],
                          on_bad_row="error")
