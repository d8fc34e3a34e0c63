"""Whatever labels hold: what is written of them can be read again."""

import csv
import io
import json
import types

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

import tf_adapters as ta
from tests.adapters import A, make
from tf_adapters.adapter_files.card import model_card
from tf_adapters.adapter_files.info import read_info
from tf_adapters.data.cells import read_list, write_list
from tf_adapters.data.rows import write_cells, write_row
from tf_adapters.errors import say
from tf_adapters.serving.bank_texts import RowError
from tf_adapters.serving.batch_prediction import predict_file
from tf_adapters.serving.prediction_config import PredictionConfig
from tf_adapters.training import metrics, predictions

ODD = ["a\tb", "c\nd", 'say "e"', "f, g", "", " h ", "\r\n", "i\u2028j", "NA"]
# csv has no way to write NUL.
TEXTS = st.text(st.characters(exclude_categories=["Cs"],
                              exclude_characters="\0"), max_size=6)


def read(content, separator):
  """The rows of a table, as csv and as pandas read it."""
  rows = list(csv.reader(io.StringIO(content, newline=""),
                         delimiter=separator))
  frame = pd.read_csv(io.StringIO(content, newline=""), sep=separator,
                      header=None, dtype=str, keep_default_na=False,
                      skip_blank_lines=False)
  assert frame.to_numpy().tolist() == rows
  return rows


@settings(max_examples=100, deadline=None)
@given(cells=st.lists(TEXTS | st.sampled_from(ODD), min_size=2, max_size=5),
       format=st.sampled_from(["tsv", "csv"]))
def test_rows_are_read_as_they_were_written(cells, format):
  content = write_cells(format, cells) * 2
  assert read(content.decode(), {"tsv": "\t", "csv": ","}[format]) == [
      cells, cells]


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(TEXTS | st.sampled_from(ODD), max_size=5),
       separator=st.sampled_from([",", " ", ";", "|"]))
def test_lists_are_read_as_they_were_written(texts, separator):
  assert read_list(write_list(texts, separator), separator) == texts


def test_json_has_no_nan():
  with pytest.raises(ta.InputError, match="not finite"):
    write_row("jsonl", {"line": 1, "score": float("nan")})


@pytest.fixture(scope="module")
def odd_bank(one_layer_source, tmp_path_factory):
  folder = tmp_path_factory.mktemp("odd")
  return ta.AdapterBank(str(one_layer_source), {
      problem: make(one_layer_source, folder / problem, A(size=8), problem,
                    ODD, "mean", "adapters", 16, False, seed=3)
      for problem in ("classification", "multi_label", "tagging")})


@pytest.mark.parametrize("format", ["tsv", "csv", "jsonl"])
def test_files_hold_the_labels_of_the_task(odd_bank, tmp_path, format):
  texts = ["good", "bad", "the film is good", "he said so"] * 8
  tasks = [name for name in odd_bank.names() for _ in texts]
  source = tmp_path / "in.jsonl"
  source.write_text("".join(
      json.dumps({"text": text, "task": task}) + "\n"
      for text, task in zip(texts * 3, tasks)))
  output = tmp_path / f"out.{format}"
  predict_file(odd_bank, PredictionConfig(
      str(source), str(output), task_column="task", predict_batch_size=4))
  if format == "jsonl":
    written = [json.loads(line)["prediction"]
               for line in output.read_bytes().splitlines()]
  else:
    content = output.read_bytes().decode()
    header, *rows = read(content, {"tsv": "\t", "csv": ","}[format])
    assert header[2] == "prediction"
    written = [row[2] for row in rows]
  expected = odd_bank.predict(texts * 3, tasks)
  for task, text, label in zip(tasks, written, expected, strict=True):
    if task == "classification":
      assert text == label
    elif task == "multi_label":
      assert read_list(text, ",") == list(label)
    else:
      assert read_list(text, " ") == [tag for _, tag in label]


@pytest.mark.parametrize("format", ["tsv", "csv"])
def test_records_over_several_lines_are_taken_up_again(
    odd_bank, tmp_path, monkeypatch, format):
  source, output = tmp_path / "in.jsonl", tmp_path / f"out.{format}"
  source.write_text('{"text": "good", "task": "tagging"}\n'
                    '{"text": "bad", "task": "multi_label"}\n' * 40)
  config = PredictionConfig(str(source), str(output), task_column="task",
                            predict_batch_size=2)
  predict_file(odd_bank, config)
  whole = output.read_bytes()
  assert whole.count(b"\n") > 81
  output.unlink()
  calls, stream = [], odd_bank.stream_predictions

  def stopped(*arguments):
    calls.append(arguments)
    if len(calls) == 3:
      raise KeyboardInterrupt
    return stream(*arguments)

  with monkeypatch.context() as patched:
    patched.setattr(odd_bank, "stream_predictions", stopped)
    with pytest.raises(KeyboardInterrupt):
      predict_file(odd_bank, config)
  partial = output.with_name(f"{output.name}.partial")
  with open(partial, "ab") as file:
    file.write(b'33,tagging,"torn\n')
  predict_file(odd_bank, config)
  assert output.read_bytes() == whole


def test_a_row_that_is_not_finite_is_told_with_its_line(
    one_layer_source, odd_bank, tmp_path):
  path = make(one_layer_source, tmp_path / "over", A(size=8), "classification",
              "ab", "mean", "adapters", 16, False)
  model = ta.load_adapter(path)
  model.head.linear.kernel.assign(np.where(
      model.head.linear.kernel.numpy() > 0, 3e38, -3e38))
  ta.save_adapter(model, path, max_length=16)
  bank = ta.AdapterBank(str(one_layer_source), {"over": path})
  with pytest.raises(RowError, match="text 0: task over computes numbers"):
    bank.predict(["good"], "over")
  source = tmp_path / "in.jsonl"
  source.write_text('\n{"text": "good"}\n')
  with pytest.raises(ta.InputError, match=r"in.jsonl:2: task over computes"):
    predict_file(bank, PredictionConfig(
        str(source), str(tmp_path / "out.jsonl"), on_bad_row="skip"))


def test_predictions_of_a_split_hold_the_labels_of_the_task():
  split = types.SimpleNamespace(ids=["x", 'y"'], labels=None)
  task = types.SimpleNamespace(
      name="odd", splits={"test": split}, problem_type="classification",
      submissions={}, labels=ODD, label_separator=None)
  outputs = [np.eye(len(ODD))[1], np.eye(len(ODD))[0]]
  (name, content), = predictions.prediction_files(
      task, "test", None, outputs).items()
  assert name == "test.tsv"
  header, *rows = read(content, "\t")
  assert header == ["index", "prediction", *ODD]
  assert [row[:2] for row in rows] == [["x", "c\nd"], ['y"', "a\tb"]]
  task.submissions = {"test": types.SimpleNamespace(
      file_name="X.tsv", labels=["no", "not\tso"])}
  with pytest.raises(ta.InputError, match="cannot be written for GLUE"):
    predictions.prediction_files(task, "test", None, [
        np.array([0.0, 1.0]), np.array([1.0, 0.0])])
  odd = [outputs[0], np.array([0.0, np.nan])]
  for write in (lambda: predictions.prediction_files(task, "test", None, odd),
                lambda: metrics.evaluate_task(task, split, None, odd)):
    with pytest.raises(ta.InputError, match="odd: .*not finite from row 1"):
      write()


def test_a_card_shows_names_as_they_are(odd_bank, one_layer_source, tmp_path):
  path = make(one_layer_source, tmp_path / "x", A(size=8), "classification",
              ["<b>", "a|b", "[c](http://d)", "`e`", "\x1b[31m"], "mean",
              "adapters", 16)
  info = read_info(path)
  card = model_card(info, {"head/bias": (5,)})
  (row,) = [line for line in card.splitlines() if line.startswith("| labels")]
  assert row == (r"| labels | \<b\>, a\|b, \[c\](http://d), \`e\`, "
                 r"\\x1b\[31m |")
  assert "\x1b" not in card


def test_names_do_nothing_to_a_terminal(capsys):
  say("data: a\x1b[31m label\n\u202eand another")
  say("warning: \x07", error=True)
  assert capsys.readouterr() == (
      "data: a\\x1b[31m label\n\\u202eand another\n", "warning: \\x07\n")
