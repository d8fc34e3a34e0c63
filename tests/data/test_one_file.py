"""A task in a single file, and in JSON lines."""

import re

import pytest

from tf_adapters.data import own_files
from tf_adapters.errors import InputError


@pytest.mark.parametrize("name, content", [
    ("tickets.csv", "team,text\nA,one\nB,two\nA,three\n"),
    ("tickets.TSV", "team\ttext\nA\tone\nB\ttwo\nA\tthree\n"),
    ("tickets.jsonl", '{"text": "one", "team": "A", "n": 1}\n\n'
     '{"team": "B", "text": "two"}\n{"text": "three", "team": "A"}\n'),
])
def test_one_file_is_the_training_split(tmp_path, name, content):
  (tmp_path / name).write_text(content)
  for data in (tmp_path / name, str(tmp_path / name)):
    task = own_files.load(data, label_column="team")
    assert list(task.splits) == ["train"]
    split = task.split("train")
    assert split.first == ["one", "two", "three"]
    assert split.labels.tolist() == [0, 1, 0]
    assert split.ids == ["0", "1", "2"]
    assert task.labels == ("A", "B")


@pytest.mark.parametrize("name, content, message", [
    ("a.xlsx", "x", "a.xlsx: its name has to end in .tsv, .csv, .jsonl"),
    ("a.jsonl", '{"text": "one", "label": 1}\n[1]\n',
     "a.jsonl:2: expected a JSON object"),
    ("a.json", '[{"text": "one"}]', "not one array over the whole file"),
    ("a.jsonl", '{"text": "one"}\n', "no column 'label'; its columns are text"),
    ("a.jsonl", "\n", "is empty: expected a JSON object on each line"),
])
def test_one_file_that_is_no_such_file(tmp_path, name, content, message):
  (tmp_path / name).write_text(content)
  with pytest.raises(InputError, match=re.escape(message)):
    own_files.check_columns(
        str(tmp_path / name), "text", None, "label", "classification", "utf-8")
    own_files.load(str(tmp_path / name))


def test_cells_of_json_lines(tmp_path):
  (tmp_path / "a.jsonl").write_text(
      '{"text": "one", "label": ["x", "y"]}\n{"text": "two", "label": []}\n'
      '{"text": "three", "label": ["y"]}\n{"label": ["x"], "text": null}\n')
  task = own_files.load(str(tmp_path / "a.jsonl"), problem_type="multi_label",
                        on_bad_row="skip")
  assert task.labels == ("x", "y")
  assert task.split("train").labels.tolist() == [[1, 1], [0, 0], [0, 1]]
  assert "1 without a text (first: a.jsonl:4)" in task.notes[-1]
  (tmp_path / "n.jsonl").write_text(
      '{"text": "one", "label": 1}\n{"text": "two", "label": 2.5}\n')
  task = own_files.load(str(tmp_path / "n.jsonl"), problem_type="regression")
  assert task.split("train").labels.tolist() == [1.0, 2.5]
