"""tf-adapters predict."""

import csv
import json
import os
import pathlib
import subprocess
import sys

import pytest

import tf_adapters as ta
from tests.adapters import TASKS, make
from tests.tools.calling import call
from tf_adapters import AdapterBank
from tf_adapters.tools import _flags, predict

ROOT = pathlib.Path(__file__).parents[2]
TEXTS = ["good", "not bad", "the film " * 30]


@pytest.fixture(scope="module")
def files(one_layer_source, tmp_path_factory):
  """Adapter files of two tasks, one on pairs."""
  folder = tmp_path_factory.mktemp("files")
  return {name: make(one_layer_source, folder / name, *TASKS[name])
          for name in ("topic", "same")}


@pytest.fixture
def arguments(files, tmp_path):
  (tmp_path / "in.tsv").write_text("\n".join(["review", *TEXTS, ""]))
  return [f"--adapter={files['topic']}", f"--input={tmp_path / 'in.tsv'}",
          "--text_column=review", f"--output={tmp_path / 'out.jsonl'}"]


def test_writes_what_the_bank_predicts(
    one_layer_source, files, arguments, tmp_path, capfd):
  assert call(predict, *arguments, f"--encoder={one_layer_source}") == 0
  found = [json.loads(line) for line in (
      tmp_path / "out.jsonl").read_text().splitlines()]
  bank = ta.AdapterBank(str(one_layer_source), [files["topic"]])
  assert [record["prediction"] for record in found] == bank.predict(
      TEXTS, "topic")
  out, err = capfd.readouterr()
  assert out == ""
  assert err.splitlines()[-1].startswith("3 rows, ")
  assert call(predict, *arguments) == 1
  assert (f"error: {tmp_path / 'out.jsonl'}: is there already: choose another "
          "output, or --overwrite this one") in capfd.readouterr().err


def test_computes_in_bfloat16(one_layer_source, files, arguments, tmp_path):
  assert call(predict, *arguments, "--mixed_precision=bfloat16") == 0
  found = [json.loads(line)["scores"] for line in (
      tmp_path / "out.jsonl").read_text().splitlines()]
  exact, half = (ta.AdapterBank(
      str(one_layer_source), [files["topic"]], dtype=dtype).predict_proba(TEXTS)
                 for dtype in ("float32", "bfloat16"))
  for one, other, third in zip(found, half, exact):
    assert one == pytest.approx(other, abs=1e-6)
    assert one != pytest.approx(third, abs=1e-6)


def test_from_standard_input_to_standard_output(files, arguments):
  adapters = ",".join(
      [f"mine={files['topic']}", str(files["same"])])
  lines = ['{"task": "mine", "text": "good"}', '{"task": "mine"',
           '{"task": "same", "text": "good", "to": "bad"}']
  done = subprocess.run(
      [sys.executable, "-m", "tf_adapters", "predict",
       f"--adapter={adapters}", "--input=-", "--output=-", "--format=jsonl",
       "--task_column=task", "--text_pair_column=to", "--on_bad_row=skip"],
      cwd=ROOT, input="\n".join(lines), capture_output=True, text=True,
      env={**os.environ, "PYTHONPATH": str(ROOT)})
  assert done.returncode == 0, done.stderr
  found = [json.loads(line) for line in done.stdout.splitlines()]
  assert [(record["line"], record["task"]) for record in found] == [
      (1, "mine"), (3, "same")]
  note, summary = done.stderr.splitlines()[-2:]
  assert note == ("1 row left out: 1 that are no JSON objects (first: standard "
                  "input:2)")
  assert summary.startswith("2 rows, ")


def test_the_input_s_columns_stay_beside_the_predictions(
    one_layer_source, files, tmp_path, capfd, monkeypatch):
  bank = AdapterBank(str(one_layer_source), [files["topic"]])
  monkeypatch.setattr(_flags, "load_bank", lambda dtype: bank)  # for all calls
  (tmp_path / "in.csv").write_text(
      'Id,text,prediction,task\n7,"good, so",old,x\n8,bad,older,y\n')
  (tmp_path / "in.jsonl").write_text(
      '{"text": "good, so", "Id": 7, "of": ["a"]}\n'
      '{"text": "bad", "more": null}\n')

  def predicted(source, target, *more):
    assert call(
        predict, f"--adapter={files['topic']}", f"--input={tmp_path / source}",
        f"--output={tmp_path / target}", "--overwrite", *more) == 0
    text = (tmp_path / target).read_text()
    if target.endswith("jsonl"):
      return [json.loads(line) for line in text.splitlines()]
    return list(csv.DictReader(text.splitlines()))

  first, second = predicted("in.csv", "out.csv")
  assert list(first) == ["line", "task", "prediction", "score", "Id", "text",
                         "input_prediction", "input_task"]
  assert (first["Id"], first["text"], first["input_prediction"]) == (
      "7", "good, so", "old")
  assert (second["line"], second["task"], second["input_task"]) == (
      "3", "topic", "y")
  rows = predicted("in.csv", "out.jsonl")
  assert rows[0]["prediction"] == first["prediction"]
  assert rows[1]["Id"] == "8"
  rows = predicted("in.jsonl", "out.jsonl")
  assert rows[0]["Id"] == 7 and rows[0]["of"] == ["a"]
  assert "Id" not in rows[1] and rows[1]["more"] is None
  rows = predicted("in.jsonl", "out.csv")
  assert list(rows[0])[4:] == ["text", "Id", "of"]
  assert (rows[0]["of"], rows[1]["Id"]) == ('["a"]', "")
  lean = predicted("in.csv", "out.csv", "--nokeep_columns")
  assert list(lean[0]) == ["line", "task", "prediction", "score"]
  capfd.readouterr()


def test_what_train_reads_is_read_here(
    one_layer_source, files, tmp_path, capfd, monkeypatch):
  bank = AdapterBank(str(one_layer_source), [files["topic"]])
  monkeypatch.setattr(_flags, "load_bank", lambda dtype: bank)
  rows = [{"text": "schön; good", "n": 1}, {"text": "bad é", "n": 2}]
  lines = ["text|n", *(f"{row['text']}|{row['n']}" for row in rows)]
  contents = {
      "a.csv": "\n".join(lines).encode("latin-1"),
      "b.tsv": "\n".join(lines).replace("|", "\t").encode("utf-16"),
      "c.csv": "\n".join(lines).replace("|", "~").encode(),
      "d.json": json.dumps(rows, indent=1).encode(),
      "e.jsonl": "\n".join(map(json.dumps, rows)).encode(),
      "f.parquet": b""}
  pandas = pytest.importorskip("pandas")
  pytest.importorskip("pyarrow")
  said = {}
  for name, content in contents.items():
    (tmp_path / name).write_bytes(content)
    if name == "f.parquet":
      pandas.DataFrame(rows).to_parquet(tmp_path / name)
    assert call(
        predict, f"--adapter={files['topic']}", f"--input={tmp_path / name}",
        f"--output={tmp_path / 'out.jsonl'}", "--overwrite",
        *["--delimiter=~"] * (name == "c.csv")) == 0
    said[name] = capfd.readouterr().err
    found = [json.loads(line) for line in (
        tmp_path / "out.jsonl").read_text().splitlines()]
    assert [record["text"] for record in found] == [
        row["text"] for row in rows], name
    assert [str(record["n"]) for record in found] == ["1", "2"]
    assert [record["prediction"] for record in found] == bank.predict(
        [row["text"] for row in rows])
    first = 1 if name[0] in "def" else 2
    assert [record["line"] for record in found] == [first, first + 1]
  assert "data: a.csv: is not UTF-8 and is read as windows-1252: give" in (
      said["a.csv"])
  assert "data: a.csv: '|' separates its cells" in said["a.csv"]
  assert "is read as utf-16" in said["b.tsv"]
  assert not any("data:" in said[name] for name in (
      "c.csv", "d.json", "e.jsonl", "f.parquet"))


def test_words_may_be_lists(one_layer_source, tmp_path, monkeypatch, capfd):
  tagger = make(one_layer_source, tmp_path / "words", *TASKS["words"])
  bank = AdapterBank(str(one_layer_source), [tagger])
  monkeypatch.setattr(_flags, "load_bank", lambda dtype: bank)
  (tmp_path / "a.jsonl").write_text(
      '{"tokens": ["good", "film"]}\n{"tokens": "so bad"}\n')
  (tmp_path / "a.csv").write_text(
      "tokens\n\"['good', 'film']\"\nso bad\n")
  command = [f"--adapter={tagger}", "--text_column=tokens", "--overwrite",
             f"--output={tmp_path / 'out.jsonl'}"]
  for name in ("a.jsonl", "a.csv"):
    assert call(predict, *command, f"--input={tmp_path / name}") == 0
    assert [json.loads(line)["words"] for line in (
        tmp_path / "out.jsonl").read_text().splitlines()] == [
            ["good", "film"], ["so", "bad"]]
  (tmp_path / "b.jsonl").write_text('{"tokens": ["a film"]}\n')
  assert call(predict, *command, f"--input={tmp_path / 'b.jsonl'}") == 1
  assert ("b.jsonl:1: expected a string in 'tokens': a list of words, without "
          "blanks in them, is for tagging") in capfd.readouterr().err


def test_ctrl_c_says_how_to_go_on(
    arguments, tmp_path, capfd, monkeypatch):
  def interrupted(*arguments):
    raise KeyboardInterrupt

  monkeypatch.setattr(AdapterBank, "stream_predictions", interrupted)
  assert call(predict, *arguments) == 130
  assert "the same command goes on" in capfd.readouterr().err
  monkeypatch.undo()
  assert call(predict, *arguments) == 0
  assert (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("more, message", [
    (["--input=nowhere.csv"], "nowhere.csv: cannot be read"),
    (["--text_column=text"], "in.tsv: no column 'text'; its columns are revie"),
    (["--output=out.txt"], "out.txt: its name has to end in .tsv"),
    (["--adapter="], "must name adapter files"),
    (["--adapter=a,,b"], "must name adapter files"),
    (["--adapter=nowhere"], "nowhere: not an adapter file"),
    (["--input=-"], "format must be given for standard input"),
    (["--predict_batch_size=0"], "predict_batch_size"),
    (["--on_bad_row=ask"], "on_bad_row"),
])
def test_mistakes_are_one_line(arguments, capfd, more, message):
  assert call(predict, *arguments, *more) in (1, 2)
  error = capfd.readouterr().err
  assert error.startswith("error: ")
  assert message in error
  assert error.count("\n") == 1


@pytest.mark.parametrize("more, message", [
    (["--text_column=text"], "no column 'text'"),
    (["--input=absent.csv"], "cannot be read"),
    (["--format=jsonl"], "not readable as JSON"),
])
def test_mistakes_are_found_before_the_encoder_is_loaded(
    arguments, capfd, monkeypatch, more, message):
  monkeypatch.setattr(predict, "predict_file", pytest.fail)
  monkeypatch.setattr(predict._flags, "load_bank", pytest.fail)
  assert call(predict, *arguments, *more) == 1
  assert message in capfd.readouterr().err


@pytest.mark.parametrize("flag", ["adapter", "input", "output"])
def test_missing_flags_are_named(arguments, capfd, flag):
  assert call(predict, *(
      argument for argument in arguments
      if not argument.startswith(f"--{flag}="))) == 1
  assert f"error: --{flag} must be given" in capfd.readouterr().err
