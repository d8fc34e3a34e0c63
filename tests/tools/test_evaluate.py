"""tf-adapters evaluate: a table, mistakes and a picture, of the right rows."""

import json
import re

import pytest

from tests.tools.calling import call
from tf_adapters.tools import evaluate, train


@pytest.fixture(scope="module")
def run(tmp_path_factory, one_layer_source):
  """A run on 60 rows of one file, 9 of which it has tested on."""
  folder = tmp_path_factory.mktemp("run")
  rows = ["team,words"] + [
      f"{'AB'[row % 3 == 0]},{'good' if row % 3 else 'bad'} film {row}"
      for row in range(60)]
  (folder / "tickets.csv").write_text("\n".join(rows) + "\n")
  assert call(
      train, f"--data={folder / 'tickets.csv'}", "--text_column=words",
      "--label_column=team", f"--encoder={one_layer_source}",
      "--num_train_epochs=1", "--max_seq_length=16",
      f"--output_dir={folder / 'run'}") == 0
  return folder


def test_the_run_s_test_rows_without_data(run, capfd):
  adapter = run / "run" / "adapter"
  assert call(evaluate, f"--adapter={adapter}") == 0
  out = capfd.readouterr().out
  results = json.loads((run / "run/results.json").read_text())
  accuracy = results["metrics"]["test"]["accuracy"]
  assert f"test, 9 rows: accuracy {accuracy:.4f}" in out
  assert re.search(r"^ +A +\d", out, re.MULTILINE)
  picture = run / "run" / "evaluation.png"
  assert picture.read_bytes().startswith(b"\x89PNG")
  assert f"picture: {picture}" in out
  assert "the rows of" in out


def test_rows_that_a_run_has_trained_on_are_not_judged(
    one_layer_source, tmp_path, capfd):
  data = tmp_path / "t.csv"
  lines = [f"the film {row},{'ab'[row % 2]}" for row in range(20)]
  data.write_text("\n".join(["text,label", *lines]))

  def trained(name, *more):
    assert call(train, f"--data={data}", f"--encoder={one_layer_source}",
                "--num_train_epochs=1", "--max_seq_length=16", *more,
                f"--output_dir={tmp_path / name}") == 0
    capfd.readouterr()
    return f"--adapter={tmp_path / name / 'adapter'}"

  validated = trained("validated", "--test_fraction=0")
  assert call(evaluate, validated) == 0
  assert "that its run has validated on" in capfd.readouterr().out
  assert call(evaluate, validated) == 1
  assert "evaluation.png: is there already" in capfd.readouterr().err
  nothing = trained("nothing", "--test_fraction=0", "--validation_fraction=0",
                    "--nodo_eval")
  assert call(evaluate, nothing) == 1
  assert "has trained on all of its rows: --data" in capfd.readouterr().err
  data.write_text("\n".join(["text,label", *lines, "one more,a"]))
  assert call(evaluate, validated, "--overwrite") == 1
  assert "file has changed; --data takes another" in capfd.readouterr().err


def test_other_data_whole(run, tmp_path, capfd):
  (tmp_path / "new.tsv").write_text("words\tteam\ngood film\tB\nbad\tA\n"
                                    "bad one\tC\n")
  command = [f"--adapter={run / 'run' / 'adapter'}", "--text_column=words",
             f"--data={tmp_path / 'new.tsv'}", "--label_column=team",
             f"--output={tmp_path / 'new.svg'}",
             f"--mistakes={tmp_path / 'wrong.csv'}"]
  assert call(evaluate, *command) == 0
  out = capfd.readouterr().out
  assert "2 rows: accuracy" in out
  assert "1 row left out: 1 with an unknown label (first: new.tsv:4)" in out
  assert "<svg" in (tmp_path / "new.svg").read_text()
  header, *wrong = (tmp_path / "wrong.csv").read_text().splitlines()
  assert header == "row,text,label,prediction,confidence"
  known = {"0": "good film,B,A", "1": "bad,A,B"}
  for number, rest in (line.split(",", 1) for line in wrong):
    assert rest.startswith(known[number])
    assert f"row {number}: label" in out
  assert call(evaluate, *command) == 1
  assert "is there already: choose another output, or --overwrite" in (
      capfd.readouterr().err)


@pytest.mark.parametrize("more, message", [
    (["--output=x.jpg"], "has to end in .png, .pdf, .svg"),
    (["--output=no/x.png"], "there is no folder no"),
    (["--mistakes=x.xlsx"], "x.xlsx: its name has to end in .tsv, .csv"),
    (["--mistakes=no/x.csv"], "there is no folder no"),
    (["--data=nowhere.csv"], "nowhere.csv: no such file or folder"),
    (["--text_column=nothing"], "no column 'nothing'; its columns are team"),
    (["--adapter=nowhere"], "nowhere: not an adapter file"),
])
def test_a_mistake_is_one_line(run, tmp_path, capfd, more, message):
  assert call(evaluate, f"--adapter={run / 'run' / 'adapter'}",
              f"--output={tmp_path / 'x.png'}", *more) == 1
  error = capfd.readouterr().err
  assert message in error and error.count("\n") == 1
