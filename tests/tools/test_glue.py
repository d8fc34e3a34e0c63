"""The command line: what it takes, and what it says of mistakes."""

import json
import pathlib
import re
import subprocess
import sys

import pytest
from absl import flags
from absl.testing import flagsaver

from tests.glue_files import write_task
from tests.tools import calling
from tf_adapters.modeling.methods.bottleneck import AdapterConfig
from tf_adapters.tools import glue as tool, squad
from tf_adapters.training.unread_flags import check_all_read

ROOT = pathlib.Path(__file__).parents[2]


def call(*arguments):
  return calling.call(tool, *arguments)


@pytest.fixture
def arguments(tmp_path, hf_source):
  write_task(tmp_path, "rte")
  return [
      "--task_name=rte", f"--data_dir={tmp_path}", "--do_train",
      f"--output_dir={tmp_path / 'run'}", f"--encoder={hf_source}",
      "--max_seq_length=24"]


@pytest.mark.parametrize("more, message", [
    (["--task_name=rtee"], "task_name"),
    (["--data_dir=nowhere"], "nowhere: no such folder"),
    (["--encoder=nowhere"], "no encoder 'nowhere'"),
    (["--max_seq_length=513"], "max_seq_length"),
    (["--max_seq_length=41"], "40 wordpieces only"),
    (["--train_batch_size=0"], "train_batch_size"),
    (["--learning_rate=-1"], "learning_rate"),
    (["--tuning=top_layers:4"], "3 layers only"),
    (["--tuning=all"], "tuning must be one of"),
    (["--adapter_layers=2-x"], "'2-x' is no list of layers"),
    (["--batch_widths=32,x"], "batch_widths=32,x: expected numbers from 1 to"),
    (["--adapter_layers=7"], "adapter layer 7 does not exist"),
    (["--learning_rate=nan"], "learning_rate"),
    (["--seed=5000000000"], "seed"),
    (["--output_dir="], "output_dir must not be empty"),
    (["--distribution_strategy=tpu"], "needs --tpu"),
    (["--load_adapter=x"], "--load_adapter is for --do_eval"),
    (["--tpu=local"],
     "--tpu=local has no effect with --distribution_strategy=off"),
    (["--distribution_strategy=tpu", "--tpu=local", "--jit_compile"],
     "--jit_compile=True has no effect with --distribution_strategy=tpu"),
    (["--text_column=x"], "--text_column=x has no effect with --task_name=rte"),
    (["--task_name=tagging", "--problem_type=regression"],
     "--problem_type=regression has no effect with --task_name=tagging"),
    (["--task_name=tsv", "--label_separator=;"],
     "--label_separator=; has no effect with --problem_type=classification"),
    (["--task_name=tagging", "--pooling=mean"],
     "--pooling=mean has no effect with --task_name=tagging"),
    (["--pooling=cls", "--tune_pooler"],
     "--tune_pooler=True has no effect with --pooling=cls"),
    (["--prefix_cache"], "tuning adapters no layer below"),
    (["--prefix_cache_dir=x"],
     "--prefix_cache_dir=x has no effect with --prefix_cache=False"),
    (["--task_name=demo"], "has no effect with --task_name=demo"),
    (["--nodo_train"], "nothing to do"),
    (["--nodo_train", "--do_eval"], "does not exist"),
    (["--nodo_train", "--do_eval", "--load_adapter=x"], "not an adapter file"),
    (["stray"], "unexpected argument"),
])
def test_a_mistake_is_one_line_and_a_status(
    arguments, capsys, tmp_path, more, message):
  assert call(*arguments, *more) in (1, 2)
  error = capsys.readouterr().err
  assert error.startswith("error: ")
  assert message in error
  assert error.count("\n") == 1
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("more, message", [
    (["--pooling=mean"], "--pooling=mean has no effect with task_name=squad"),
    (["--null_score_diff_threshold=1"], "version_2_with_negative=False"),
])
def test_flags_that_squad_does_not_read_are_refused(
    tmp_path, capsys, more, message):
  assert calling.call(
      squad, "--do_train", "--train_file=nowhere.json",
      f"--output_dir={tmp_path / 'run'}", *more) == 1
  assert message in capsys.readouterr().err
  assert not (tmp_path / "run").exists()


def test_flags_that_can_not_be_parsed_are_one_line(tmp_path, capsys):
  binary = tmp_path / "binary.flags"
  binary.write_bytes(b"\xff\xfe")
  for argument in ("--adaptr_size=8", "--adapter_size=many",
                   f"--flagfile={tmp_path / 'none'}", f"--flagfile={tmp_path}",
                   f"--flagfile={binary}"):
    assert call(argument) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_missing_flags_are_named(capsys):
  assert call("--do_train") == 1
  assert "--task_name" in capsys.readouterr().err


def test_missing_columns_and_unknown_labels_are_named(
    arguments, capsys, tmp_path):
  path = tmp_path / "RTE" / "train.tsv"
  content = path.read_text()
  path.write_text(content.replace("sentence2", "sentence"))
  assert call(*arguments) == 1
  assert "no column 'sentence2'; its columns are" in capsys.readouterr().err
  path.write_text(content.replace("not_entailment", "perhaps"))
  assert call(*arguments) == 1
  assert "train.tsv:2: label 'perhaps'" in capsys.readouterr().err


def test_bad_rows_end_a_run_or_are_noted_in_its_results(
    arguments, capsys, tmp_path):
  with open(tmp_path / "RTE" / "dev.tsv", "a") as file:
    file.write("1\ta\n2\ta\tb\tperhaps\n")
  with open(tmp_path / "RTE" / "train.tsv", "a") as file:
    file.write(f"2\t{'a ' * 600}\tb\tentailment\n")
  cut = "train: 1 of 3 texts are longer than 24 wordpieces, and cut"
  note = ("2 rows left out: 1 of another number of columns (first: dev.tsv:3), "
          "1 with an unknown label (first: dev.tsv:4)")
  arguments = [*arguments, "--num_train_epochs=1"]
  assert call(*arguments) == 1
  assert capsys.readouterr().err == (
      f"error: {tmp_path}/RTE/dev.tsv:3: 2 columns, expected 4; "
      "--on_bad_row=skip leaves such rows out\n")
  assert not (tmp_path / "run").exists()
  assert call(*arguments, "--on_bad_row=skip") == 0
  printed = capsys.readouterr().out
  assert printed.count(f"data: {note}\n") == 1
  assert printed.count(f"data: {cut}\n") == 1
  # Of the training a line for each epoch, as this is no terminal.
  assert printed.count("\nepoch 1 of 1: loss ") == 1
  assert not {"\b", "\r"} & set(printed)
  results = json.loads((tmp_path / "run" / "results.json").read_text())
  assert results["data"]["splits"] == {"train": 3, "validation": 1, "test": 1}
  assert results["data"]["notes"][0] == note
  assert results["data"]["notes"][-1] == cut
  # The same run on data that was damaged later.
  with open(tmp_path / "RTE" / "train.tsv", "a") as file:
    file.write("2")
  assert call(*arguments, "--nodo_train", "--do_eval") == 1
  assert "train.tsv: is not what the run in " in capsys.readouterr().err
  elsewhere = [*arguments, "--nodo_train", "--do_eval",
               f"--load_adapter={tmp_path / 'run' / 'adapter'}",
               f"--output_dir={tmp_path / 'other'}"]
  assert call(*elsewhere) == 1
  assert "train.tsv:5: 1 columns" in capsys.readouterr().err
  assert call(*elsewhere, "--on_bad_row=skip") == 0
  results = json.loads((tmp_path / "other" / "results.json").read_text())
  assert ("1 row left out: 1 of another number of columns (first: "
          "train.tsv:5)") in results["data"]["notes"]


def test_labels_unknown_to_the_adapter_are_named(
    arguments, capsys, tmp_path, hf_source):
  assert call(*arguments, "--num_train_epochs=1") == 0
  write_task(tmp_path, "mrpc")
  capsys.readouterr()
  assert call(
      "--task_name=mrpc", f"--data_dir={tmp_path}", "--do_eval",
      f"--output_dir={tmp_path / 'other'}",
      f"--load_adapter={tmp_path / 'run' / 'adapter'}") == 1
  assert ("predicts entailment, not_entailment, but task mrpc has "
          "not_equivalent, equivalent") in capsys.readouterr().err


@pytest.mark.parametrize(
    "path", sorted((ROOT / "flags").rglob("*.flags")),
    ids=lambda path: path.stem)
def test_flag_files_are_whole_runs(path):
  before = []
  if path.stem in ("tpu", "variants") or path.parent.name == "methods":
    # For any task.
    before = [f"--flagfile={ROOT}/flags/glue/mrpc.flags"]
  with flagsaver.flagsaver():
    flags.FLAGS.unparse_flags()
    flags.FLAGS(["run_glue.py", *before, f"--flagfile={path}"])
    if path.stem == "squad":
      flags.FLAGS.train_file = flags.FLAGS.predict_file = "x.json"
      config = squad.config_from_flags()
    else:
      config = tool.config_from_flags()
  check_all_read(config)
  if path.stem == "variants":
    assert config.method_config() == AdapterConfig(
        init_scale=1e-2, positions=("attention",), parallel=True, depth=2,
        layer_norm=True)
  assert config.task_name
  assert config.do_train and config.do_eval
  if path.parent.name in ("glue", "text_classification"):
    assert config.task_name == path.stem
  for line in path.read_text().splitlines():
    if line.startswith("--") and "=" not in line:
      assert re.fullmatch(r"--(no)?(do_\w+|eval_each_epoch)", line)


def test_the_scripts_start(tmp_path):
  """Both ways in, as processes of their own."""
  scripts = [
      [sys.executable, "run_glue.py", "--helpfull"],
      [sys.executable, "-m", "tf_adapters", "glue", "--help"],
      [sys.executable, "-m", "tf_adapters"],
  ]
  runs = [subprocess.run(script, cwd=ROOT, capture_output=True, text=True)
          for script in scripts]
  for done in runs[:2]:
    assert "--adapter_size" in done.stdout
    assert "Width of the adapters' bottleneck" in done.stdout
  assert runs[2].returncode == 2
  assert "glue" in runs[2].stderr
