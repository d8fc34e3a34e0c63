"""tf-adapters train: one file is enough, and what is done by itself is said."""

import json
import pathlib
import sys

import numpy as np
import pytest

from tests.conftest import WORDS
from tests.tools.calling import call
from tf_adapters.data.splitting import split_rows
from tf_adapters.errors import InputError
from tf_adapters.tools import evaluate, train
from tf_adapters.training.own_run_config import OwnRunConfig
from tf_adapters.training.run_checks import check_start


@pytest.fixture
def tickets(tmp_path, monkeypatch):
  """80 rows of two teams, in a folder that is the current one."""
  rng = np.random.default_rng(0)
  rows = ["team,ticket_text"]
  for row in range(80):
    team = ["Praise", "Complaints"][row % 4 == 0]
    words = rng.choice(WORDS[5:11], size=rng.integers(2, 9))
    rows.append(f"{team},{' '.join(words)} {team[0].lower()}")
  (tmp_path / "tickets.csv").write_text("\n".join(rows) + "\n")
  monkeypatch.chdir(tmp_path)
  return tmp_path / "tickets.csv"


def test_one_command_trains_on_one_file(
    tickets, one_layer_source, monkeypatch, capfd):
  command = ["--data=tickets.csv", "--text_column=ticket_text",
             "--label_column=team", f"--encoder={one_layer_source}",
             "--num_train_epochs=1", "--max_seq_length=24", "--do_predict"]
  assert call(train, *command) == 0
  out = capfd.readouterr().out
  assert out.startswith("output_dir: runs/tickets\n")
  assert "data: 80 rows are split by seed 0: 56 train, 12 validation, 12" in out
  folder = pathlib.Path("runs/tickets")
  results = json.loads((folder / "results.json").read_text())
  assert results["task"] == "tickets"
  assert results["metrics"].keys() == {"validation", "test"}
  assert results["evaluated_rows"] == {"validation": 12, "test": 12}
  config = json.loads((folder / "adapter/adapter_config.json").read_text())
  assert (config["task"], config["labels"]) == (
      "tickets", ["Complaints", "Praise"])
  # The rows that are predicted are those of the split, by their numbers.
  strata = [int(row % 4 == 0) for row in range(80)]
  expected = split_rows(80, {"validation": 0.15, "test": 0.15}, 0, strata)
  lines = (folder / "predictions/test.tsv").read_text().splitlines()
  assert [int(line.split("\t")[0]) for line in lines[1:]] == (
      expected["test"].tolist())

  # The commands that come next are said, as they are to be typed.
  assert out.endswith(
      "\nevaluate     tf-adapters evaluate --adapter=runs/tickets/adapter\n"
      "predict      tf-adapters predict --adapter=runs/tickets/adapter "
      "--input=new.csv --text_column=ticket_text --output=predicted.csv\n")
  # The same command has nothing to do, which needs no TensorFlow.
  with monkeypatch.context() as patch:
    patch.setitem(sys.modules, "tf_adapters.training.run", None)
    assert call(train, *command) == 0
  assert "nothing is left to do. (--overwrite begins anew)" in (
      capfd.readouterr().out)
  # Another one is refused; a wrong value first.
  for flag, message in (
      ("--encoder=minilm-l6", "did you mean minilm_l6?"),
      ("--label_column=teams", "did you mean 'team'?")):
    assert call(train, *command, flag) == 1
    assert message in capfd.readouterr().err
  assert call(train, *command, "--split_seed=1") == 1
  assert capfd.readouterr().err.endswith(
      "runs/tickets holds a run with --split_seed=0, not 1: choose another "
      "--output_dir, or begin anew with --overwrite\n")
  (folder / "mine.txt").write_text("stays")
  assert call(train, *command, "--split_seed=1", "--nodo_predict",
              "--overwrite") == 0
  again = json.loads((folder / "results.json").read_text())
  assert again["weights_sha256"] != results["weights_sha256"]
  assert not (folder / "predictions").exists()
  assert (folder / "mine.txt").read_text() == "stays"
  flags = (folder / "flags.flags").read_text()
  assert "--split_seed=1\n" in flags and "overwrite" not in flags


def test_names_and_folders_are_made_of_the_data(tmp_path):
  assert OwnRunConfig(data="a/b.csv").output_dir == "runs/b"
  assert OwnRunConfig(data="a/b.csv", name="c").output_dir == "runs/c"
  config = OwnRunConfig(data=f"{tmp_path}/", output_dir="x")
  assert (config.name, config.output_dir) == (tmp_path.name, "x")
  assert config.do_train and config.do_eval and not config.do_predict


def test_splits_that_are_files_stay(tmp_path):
  for name, rows in (("train", 20), ("test", 4)):
    (tmp_path / f"{name}.tsv").write_text("text\tlabel\n" + "".join(
        f"{name} {row}\t{row % 2}\n" for row in range(rows)))
  task = OwnRunConfig(data=str(tmp_path)).load_task()
  assert {name: len(split) for name, split in task.splits.items()} == {
      "train": 17, "validation": 3, "test": 4}
  assert task.name == tmp_path.name
  with pytest.raises(InputError, match="has a test split of its own"):
    OwnRunConfig(data=str(tmp_path), test_fraction=0.2).load_task()


def test_files_are_read_as_in_notebooks(tmp_path):
  (tmp_path / "a.csv").write_bytes(
      "text;stars\nsehr schön;2\ngut;10\n;2\nnein;2\n".encode("latin-1"))
  task = OwnRunConfig(data=str(tmp_path / "a.csv"), label_column="stars",
                      validation_fraction=0, test_fraction=0).load_task()
  assert task.split("train").first == ["sehr schön", "gut", "nein"]
  assert task.labels == ("2", "10")
  notes = "; ".join(task.notes)
  assert "read as windows-1252" in notes
  assert "';' separates its cells" in notes
  assert "1 row left out: 1 without a text (first: a.csv:4)" in notes
  (tmp_path / "b.jsonl").write_text(
      '{"text": "one", "a": 1, "b": 0}\n{"text": "two", "a": 0, "b": 1}\n')
  task = OwnRunConfig(
      data=str(tmp_path / "b.jsonl"), problem_type="multi_label",
      label_column="a,b", validation_fraction=0, test_fraction=0).load_task()
  assert task.labels == ("a", "b")
  assert task.split("train").labels.tolist() == [[1, 0], [0, 1]]


def test_words_with_tags_and_answers(tmp_path, one_layer_source, capfd):
  rng = np.random.default_rng(0)
  rows = [list(map(str, rng.choice([*WORDS[:3], "good", "bad"], 4)))
          for _ in range(20)]
  (tmp_path / "ner.jsonl").write_text("".join(json.dumps({
      "tokens": [*words, str(row)], "tags": ["O", *(
          "B-x" if word in ("good", "bad") else "O" for word in words)]}) + "\n"
      for row, words in enumerate(rows)))
  command = [f"--data={tmp_path / 'ner.jsonl'}", "--text_column=tokens",
             "--label_column=tags", f"--encoder={one_layer_source}",
             f"--output_dir={tmp_path / 'run'}", "--num_train_epochs=1",
             "--max_seq_length=16"]
  assert call(train, *command) == 1
  assert ("holds lists of words, and --problem_type=classification is on "
          "texts: --problem_type=tagging has a tag for each word") in (
              capfd.readouterr().err)
  assert call(train, *command, "--problem_type=tagging", "--do_predict") == 0
  results = json.loads((tmp_path / "run/results.json").read_text())
  assert set(results["metrics"]["test"]) == {
      "entity_f1", "entity_precision", "entity_recall", "token_accuracy"}
  assert (tmp_path / "run/predictions/test.conll").is_file()
  assert call(evaluate, f"--adapter={tmp_path / 'run/adapter'}") == 0
  assert f"entity_f1 {results['metrics']['test']['entity_f1']:.4f}" in (
      capfd.readouterr().out)

  contexts = [f"{' '.join(words)} {row}" for row, words in enumerate(rows)]
  (tmp_path / "qa.jsonl").write_text("".join(json.dumps({
      "question": "what is so?", "context": context,
      "answers": {"text": [context.split()[1]], "answer_start": [-1]}}) + "\n"
      for context in contexts))
  config = OwnRunConfig(data=str(tmp_path / "qa.jsonl"), problem_type="span")
  assert config.default_max_seq_length == 384
  command = [f"--data={tmp_path / 'qa.jsonl'}", "--text_column=question",
             "--text_pair_column=context", "--label_column=answers",
             f"--encoder={one_layer_source}", "--num_train_epochs=1",
             "--max_seq_length=24", f"--output_dir={tmp_path / 'qa'}"]
  assert call(train, *command) == 1
  assert "qa.jsonl: holds questions and answers: --problem_type=span" in (
      capfd.readouterr().err)
  assert call(train, *command, "--problem_type=span", "--do_predict") == 0
  results = json.loads((tmp_path / "qa/results.json").read_text())
  assert set(results["metrics"]["test"]) == {"f1", "exact_match"}
  adapter = json.loads(
      (tmp_path / "qa/adapter/adapter_config.json").read_text())
  assert adapter["span"]["max_query_length"] == 6
  answers = json.loads(
      (tmp_path / "qa/predictions/predictions.json").read_text())
  assert len(answers) == 3
  assert call(evaluate, f"--adapter={tmp_path / 'qa/adapter'}") == 0
  assert f"f1 {results['metrics']['test']['f1']:.4f}" in (
      capfd.readouterr().out)
  assert OwnRunConfig(data="a").default_max_seq_length == 128


@pytest.mark.parametrize("values, message", [
    (dict(data="nowhere.csv"), "nowhere.csv: no such file or folder"),
    (dict(), "no column 'text'; its columns are team, ticket_text; "
     "--text_column says another name"),
    (dict(text_column="ticket_text"), "no column 'label'; its columns are"),
    (dict(text_column="team", label_column="ticket_text"),
     "is it the texts' column"),
    (dict(overwrite=True, do_train=False), "overwrite=True has no effect"),
    (dict(label_separator=";"), "has no effect with problem_type"),
    (dict(problem_type="tagging", text_pair_column="x"), "text_pair_column=x "
     "has no effect with problem_type=tagging"),
    (dict(problem_type="tagging", pooling="mean"), "pooling=mean has no effect "
     "with problem_type=tagging"),
    (dict(problem_type="span"), "--text_pair_column the texts that answer"),
    (dict(validation_fraction=0.95), "validation_fraction must be a number in"),
])
def test_a_mistake_is_said_at_once(tickets, one_layer_source, values, message):
  with pytest.raises(InputError, match=message):
    config = OwnRunConfig(**{
        "data": str(tickets), "encoder": str(one_layer_source), **values})
    check_start(config)
    config.load_task()


def test_without_an_encoder_a_quicker_one_is_named(
    tickets, monkeypatch, capfd):
  monkeypatch.setattr("tf_adapters.training.run.run", lambda config: None)
  assert call(train, f"--data={tickets}", "--text_column=ticket_text",
              "--label_column=team") == 0
  assert "encoder: bert_base_uncased, as none is given; --encoder=mini" in (
      capfd.readouterr().out)


def test_help_is_of_this_tool_in_groups(capfd):
  from tf_adapters.tools import glue  # which has flags of the same names
  assert call(train, "--help") == call(glue, "--help") == 0
  ours, others = capfd.readouterr().out.split("Train, evaluate and predict one")
  assert ours.index("What one needs:\n  --data: ") < ours.index("\nTraining:")
  assert "--text_column: Name of the texts' column. [default: text]" in ours
  assert "--[no]do_train: Train. [default: true]" in ours
  assert "--[no]do_train: Train.\n" in others
  assert "Task tagging: number of the words'" in others
