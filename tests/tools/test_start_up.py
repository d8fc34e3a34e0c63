"""Mistakes on the command line are told before anything slow is imported."""

import importlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest
from absl import flags

from tests.glue_files import write_task
from tf_adapters.tools._flag_mistakes import SYNONYMS, meant
from tf_adapters.tools._help import groups

ROOT = pathlib.Path(__file__).parents[2]
TOOLS = sorted(path.stem for path in (ROOT / "tf_adapters/tools").glob("*.py")
               if not path.stem.startswith("_"))

# Runs command lines, in a process where nothing slow can be imported.
_DRIVER = '''
import contextlib, io, json, sys

SLOW = {"tensorflow", "tf_keras", "keras", "tensorflow_text", "tensorflow_hub",
        "official", "matplotlib", "scipy", "sklearn", "ray"}

class Refuse:
  def find_spec(self, name, path=None, target=None):
    if name.split(".")[0] in SLOW:
      raise RuntimeError(f"{name} is imported")

sys.meta_path.insert(0, Refuse())
from absl import flags
from tf_adapters.__main__ import main

for arguments in json.load(sys.stdin):
  flags.FLAGS.unparse_flags()
  sys.argv = ["tf-adapters", *arguments]
  out, err = io.StringIO(), io.StringIO()
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    try:
      main()
      status = 0
    except SystemExit as stopped:
      status = stopped.code
  for flag in {name for name in flags.FLAGS if flags.FLAGS[name].present}:
    flags.FLAGS[flag].unparse()
  print(json.dumps([status, out.getvalue(), err.getvalue()]))
'''


def call(command_lines):
  """(status, standard output, standard error) of each command line."""
  done = subprocess.run(
      [sys.executable, "-c", _DRIVER], input=json.dumps(command_lines),
      cwd=ROOT, capture_output=True, text=True,
      env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"})  # without a filter
  assert done.returncode == 0, done.stderr
  return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def folder(tmp_path):
  """Data, a file that is none, and a run that was made with other flags."""
  write_task(tmp_path, "rte")
  (tmp_path / "file").write_text("")
  (tmp_path / "own").mkdir()
  (tmp_path / "own" / "train.csv").write_text("review,stars\ngood,5\n")
  (tmp_path / "run").mkdir()
  (tmp_path / "run" / "flags.flags").write_text("--learning_rate=0.001\n")
  return tmp_path


def test_help_comes_at_once():
  answers = call([[tool, "--help"] for tool in TOOLS])
  assert len(answers) == len(TOOLS) >= 10
  for status, out, err in answers:
    assert (status, err) == (0, "")
    assert "--[no]" in out or "--" in out


def test_without_a_tool_there_is_a_list_and_a_version():
  help_, version, nothing = call([["--help"], ["--version"], []])
  assert help_[0] == 0
  assert help_[1] == nothing[2]
  assert nothing[0] == 2
  for tool in TOOLS:
    assert f"\n  {tool} " in help_[1]
  assert version[0] == 0
  assert re.search(r"tensorflow \d", version[1])


def test_what_was_meant_is_said():
  wanted = {
      ("finetune",): "no tool 'finetune': train learns from data of your own",
      ("trian",): "no tool 'trian': did you mean train?",
      ("--data=x.csv",): "tf-adapters train --data=x.csv",
      ("Inspcet",): "did you mean inspect?",
      ("xyz",): "tools are train, evaluate, predict, ",
      ("--task_name=rte",): "tf-adapters glue --task_name=rte",
      ("glue", "--batch_size=8"): "mean --train_batch_size?",
      ("predict", "--batch_size=8"): "mean --predict_batch_size?",
      ("glue", "--epochs=8"): "mean --num_train_epochs?",
      ("glue", "--learning-rate=8"): "mean --learning_rate?",
      ("squad", "--max_length=8"): "mean --max_seq_length?",
      ("convert", "--model_name_or_path=x"): "mean --encoder?",
      ("convert", "--out=x"): "mean --output?",
      ("train", "--output=x"): "mean --output_dir?",
      ("train", "--adapters=x"): "mean --load_adapter?",
      ("evaluate", "--adapters=x"): "mean --adapter?",
      ("predict", "--adapters=x"): "mean --adapter?",
      ("train", "--distribution_strategy=gpu"): "did you mean mirrored?",
      ("report", "--save_dir=x"): "mean --output_dir?",
      ("inspect", "--adaptor=x"): "mean --adapter?",
      ("glue", "--task_name=mprc"): "--task_name=mprc: did you mean mrpc?",
      ("glue", "--task_name=SST-2"): "mean sst2?",
      ("glue", "--task_name=imdb"): "--task_name=imdb: expected one of cola,",
      ("sweep", "--runner=Ray"): "mean ray?",
      ("glue", "--num_train_epochs=2,5"):
          "--num_train_epochs=2,5: expected an integer in the range [1, ",
      ("glue", "--learning_rate=x"): "expected a number in the range",
      ("glue", "--do_train=maybe"): "--do_train=maybe: expected true or false",
      ("glue", "my", "data"): "values with blanks in them need quotation marks",
  }
  answers = call(list(wanted))
  for message, (status, out, err) in zip(
      wanted.values(), answers, strict=True):
    assert message in err
    assert (status, out) == (1 if "blanks" in message else 2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_synonyms_are_of_flags_that_there_are():
  names = {name for tool in TOOLS for name in _names(tool)}
  for synonym, flag_names in SYNONYMS.items():
    assert set(flag_names) <= names
    assert not any(name == synonym for name in flag_names)
  assert meant("adapter", ["load_adapter", "save_adapter"]) == "load_adapter"


def _names(tool):
  module = importlib.import_module(f"tf_adapters.tools.{tool}")
  return [flag.name for flag in flags.FLAGS.get_key_flags_for_module(module)]


def test_a_pipe_that_nobody_reads_ends_without_a_word():
  read, write = os.pipe()
  os.close(read)
  with open(write, "wb") as output:
    done = subprocess.run(
        [sys.executable, "-m", "tf_adapters", "glue", "--help"], cwd=ROOT,
        stdout=output, stderr=subprocess.PIPE)
  assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


@pytest.mark.parametrize("tool", ["glue", "inspect"])  # more than a buffer
def test_no_room_for_what_is_printed_is_one_line(tool):
  with open("/dev/full", "wb") as output:
    done = subprocess.run(
        [sys.executable, "-m", "tf_adapters", tool, "--help"], cwd=ROOT,
        stdout=output, stderr=subprocess.PIPE, text=True)
  assert (done.returncode, done.stderr) == (
      1, "error: standard output: cannot be written: No space left on device\n")


def test_closed_streams_are_nobody_elses(tmp_path):
  """Text that is printed goes to no file with the number of the stream."""
  done = subprocess.run(
      f"{sys.executable} -c 'from tf_adapters import __main__; import os; "
      "__main__._take_standard_streams(); print(1); "
      f"file = open(\"{tmp_path / 'x'}\", \"w\"); print(file.fileno() > 2); "
      "os.write(1, b\"2\")' >&- 2>{0}".format(tmp_path / "err"),
      shell=True, cwd=ROOT)
  assert done.returncode == 1
  assert (tmp_path / "x").read_text() == ""
  assert "Bad file descriptor" in (tmp_path / "err").read_text()
  help_ = subprocess.run(
      f"{sys.executable} -m tf_adapters glue --help >&-", shell=True, cwd=ROOT)
  assert help_.returncode == 0


def test_every_flag_has_its_group():
  for tool in TOOLS:
    assert "Others" not in groups(_names(tool))


def test_mistakes_are_told_at_once(folder: pathlib.Path):
  run = ["glue", "--task_name=rte", f"--data_dir={folder}", "--do_train",
         "--encoder=minilm_l6", f"--output_dir={folder / 'new'}"]
  own = [*run, "--task_name=tsv", f"--data_dir={folder / 'own'}"]
  squad = ["squad", "--do_train", f"--output_dir={folder / 'new'}"]
  mistakes = {
      (*run, "--tuning=all"): "tuning must be one of",
      (*run, "--num_train_epochs=0"): "num_train_epochs",
      (*run, "--learning_rte=1"): "learning_rte",
      (*run, "--nodo_train"):
          "nothing to do: give at least one of --do_train, --do_eval, --do_pr",
      (*run, "--tpu=local"): "tpu=local has no effect",
      (*run, "--task_name=tsv", "--encoding=utf99"):
          "encoding must be the name of one",
      (*run, "--data_dir=nowhere"): "nowhere: no such folder",
      (*run, "--task_name=tsv"): "no files: expected train, validation or test",
      (*own, "--label_column=stars"): "train.csv: no column 'text'; its "
          "columns are review, stars; --text_column says another name",
      (*own, "--text_column=Review"): "no column 'label'; its columns are",
      (*own, "--text_column=review", "--problem_type=multi_label",
       "--label_column=stars,stripes"): "no column 'stripes'; its columns are",
      (*own, "--text_column=stars", "--label_column=stars"):
          "--text_column and --label_column must differ: both are column 'star",
      (*run, f"--data_dir={folder / 'file'}"): "file: is a file: --data_dir",
      (*run, "--encoder=nowhere"): "no encoder 'nowhere'",
      (*run, "--encoder=bert-base-uncased"): "did you mean bert_base_uncased?",
      (*run, "--encoder=google/sentence-t5/st5-base/1"):
          "positions are relative",
      (*run, "--encoder=deberta-base"): "deberta is no BERT",
      (*run, "--encoder=microsoft/deberta-v3-base"):
          "is hf://microsoft/deberta-v3-base",
      (*run, "--encoder=prajjwal1/bert-tiny"):
          "a repository of the Hugging Face Hub is hf://prajjwal1/bert-tiny",
      (*run, "--encoder=google-bert/bert-base-cased"):
          "did you mean bert_base_cased?",
      (*run, "--vocab_file=nowhere"): "nowhere: cannot be read",
      (*run, f"--vocab_file={folder}"): "is a folder, expected a file",
      (*run, f"--output_dir={folder / 'file'}"): "is a file, not a folder",
      (*run, f"--output_dir={folder / 'file' / 'x'}"): "is a file",
      (*run, f"--output_dir={folder / 'run'}"): "run holds a run with",
      (*run, "--nodo_train", "--do_eval"): "new/adapter does not exist",
      (*run, "--nodo_train", "--do_eval", "--load_adapter=nowhere"):
          "nowhere: not an adapter file",
      (*squad, "--train_file=nowhere.json"): "nowhere.json: cannot be read",
      tuple(squad): "--train_file must be given",
      ("predict", "--adapter=nowhere", "--input=x.tsv", "--output=y.tsv"):
          "nowhere: not an adapter file",
      ("export", "--adapter=nowhere", "--output=x"):
          "nowhere: not an adapter file",
      ("convert", "--encoder=nowhere", "--output=x"): "no encoder 'nowhere'",
      ("inspect", "--encoder=nowhere"): "no encoder 'nowhere'",
      ("inspect", "--adapter=nowhere"): "nowhere: not an adapter file",
      ("analyse", "--adapter=nowhere", "--task_name=rte", "--output_dir=x"):
          "nowhere: not an adapter file",
      ("report", "--sweep_dir=nowhere"): "nowhere: is no sweep",
      ("sweep", "--spec=nowhere.yaml", "--output_dir=x"): "nowhere.yaml",
      ("sweep", "--preset=quick", "--output_dir=x", "--encoder=nowhere"):
          "no encoder 'nowhere'",
      ("sweep", "--preset=minilm_glue", "--output_dir=x", "--data_dir=nowhere"):
          "nowhere: no such folder",
      (*run, "--distribution_strategy=tpu"): "needs --tpu: a name",
      (*run, "--distribution_strategy=mirrored", "--num_replicas=3"):
          "--train_batch_size=32: cannot be split over --num_replicas=3",
      ("sweep", "--preset=quick", "--output_dir=x", "--asha"):
          "--asha has no effect with --runner=processes",
  }
  answers = call(list(mistakes))
  assert len(answers) == len(mistakes)
  for message, (status, out, err) in zip(mistakes.values(), answers):
    assert (status in (1, 2), out) == (True, ""), err
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
