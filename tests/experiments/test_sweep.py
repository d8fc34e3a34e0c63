"""Sweeps that run, fail, are stopped and go on.

Most trials are those of a stand-in for the trainer, which writes what a run
writes: what is tested is the sweep. One is real.
"""

import json
import os
import pathlib
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest

from tests.tools import calling
from tf_adapters.errors import InputError
from tf_adapters.experiments import trial_process
from tf_adapters.experiments.spec_file import read_spec
from tf_adapters.experiments.sweep import run_sweep
from tf_adapters.experiments.trials import expand
from tf_adapters.files import locked
from tf_adapters.tools import _flag_reader, glue, sweep as tool

PYTHON = sys.executable
ROOT = pathlib.Path(__file__).parents[2]

# Called as `python -m tf_adapters glue --flagfile=FILE`. Scores by its rate; a
# rate above 1 is an error, as long as there is no file `mended`; works as long
# as there is a file `slow`.
STAND_IN = '''#!{python} -SE
import json, os, pathlib, signal, sys, time
flag_file = pathlib.Path(sys.argv[-1].removeprefix("--flagfile="))
lines = flag_file.read_text().splitlines()
flags = dict(line[2:].split("=", 1) for line in lines)
here = pathlib.Path(__file__).parent
folder = pathlib.Path(flags["output_dir"])
rate = float(flags["learning_rate"])
def stopped(*_):
  (folder / "saved").write_text("")
  sys.exit(143)
signal.signal(signal.SIGTERM, stopped)
folder.mkdir(exist_ok=True)
(folder / "flags.flags").write_text(flag_file.read_text())
with open(here / "starts", "a") as file:
  file.write(str(folder) + " " + os.environ.get("TF_NUM_INTRAOP_THREADS", "-")
             + "\\n")
print("at work", flush=True)
while (here / "slow").exists():
  time.sleep(0.02)
if rate > 1 and not (here / "mended").exists():
  print("error: the loss is not finite", file=sys.stderr)
  sys.exit(1)
(folder / "adapter").mkdir()
(folder / "checkpoints").mkdir()
score = {{"accuracy": rate + 0.01 * int(flags["seed"])}}
(folder / "results.json").write_text(json.dumps({{
    "task": "tsv", "metrics": {{"validation": score, "test": score}},
    "steps": 3, "evaluated": True, "best_epoch": 0, "seconds": {{"total": 1.0}},
    "parameters": {{"trained": 1, "total": 2}}}}))
'''


def spec_of(folder, rates, selection_seeds=(0, 1)):
  return f"""
flags: {{data_dir: "{folder}"}}
tasks: {{mine: {{task_name: tsv}}}}
seeds: [0, 1]
selection_seeds: {list(selection_seeds)}
methods:
  a: {{learning_rate: {rates}}}
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
  """Trials become the stand-in's; returns its folder."""
  folder = tmp_path / "stand_in"
  folder.mkdir()
  script = folder / "python"
  script.write_text(STAND_IN.format(python=sys.executable))
  script.chmod(script.stat().st_mode | stat.S_IXUSR)
  monkeypatch.setattr(trial_process.sys, "executable", str(script))
  return folder


@pytest.fixture
def sweep(tmp_path):
  """Runs a sweep of these rates, two seeds each."""
  output_dir = tmp_path / "sweep"

  def run(rates, *arguments, selection_seeds=(0, 1), **changes):
    path = tmp_path / "spec.yaml"
    path.write_text(spec_of(tmp_path, rates, selection_seeds))
    spec = read_spec(path)
    trials = expand(spec, _flag_reader.FlagReader(glue), output_dir)
    return run_sweep(spec, trials, output_dir, *arguments, **changes)

  return run


def starts(stand_in):
  path = stand_in / "starts"
  return path.read_text().splitlines() if path.exists() else []


def adapters(tmp_path):
  return {path.parent.relative_to(tmp_path / "sweep" / "trials").as_posix()
          for path in (tmp_path / "sweep").rglob("adapter")}


def test_runs_each_trial_once(stand_in, sweep, tmp_path, capsys):
  records = sweep([0.1, 0.3, 0.2])
  assert [record.status for record in records] == ["finished"] * 6
  assert len(set(starts(stand_in))) == len(starts(stand_in)) == 6
  out = capsys.readouterr().out
  assert "6 trials, 0 of them finished" in out
  assert ("[6/6] mine/learning_rate=0.2/seed=1: validation accuracy 0.2100, "
          "0:00:01; 0:00:00 left") in out
  selected, = json.loads((tmp_path / "sweep" / "selected.json").read_text())
  assert selected["settings"] == {"learning_rate": "0.3"}
  assert selected["scores"]["test"]["accuracy"]["n"] == 2
  # What is not wanted any more does not fill the disk.
  assert adapters(tmp_path) == {
      f"mine/learning_rate=0.3/seed={seed}" for seed in (0, 1)}
  assert not list((tmp_path / "sweep").rglob("checkpoints"))
  log = tmp_path / "sweep" / "trials" / "mine" / "learning_rate=0.1"
  assert (log / "seed=0.log").read_text() == "at work\n"

  def tables():
    return {path.name: path.read_bytes()
            for path in (tmp_path / "sweep").iterdir() if path.is_file()}

  before = tables()
  assert before.keys() == {
      "sweep.json", "results.csv", "selected.json", "selected.csv"}
  assert sweep([0.1, 0.3, 0.2]) == records
  assert tables() == before
  assert len(starts(stand_in)) == 6
  # A sweep grows by what is new.
  sweep([0.1, 0.3, 0.2, 0.4])
  assert len(starts(stand_in)) == 8


def test_only_what_is_selected_gets_the_other_seeds(
    stand_in, sweep, tmp_path, capsys):
  records = sweep([0.1, 0.3, 3.0, 0.2], selection_seeds=[1])
  assert [(record.trial.settings["learning_rate"], record.trial.seed)
          for record in records] == [
              ("0.1", 1), ("0.3", 0), ("0.3", 1), ("3.0", 1), ("0.2", 1)]
  assert len(starts(stand_in)) == 5
  assert "other seeds of what is selected: 5 trials, 3 of them" in (
      capsys.readouterr().out)
  selected, = json.loads((tmp_path / "sweep" / "selected.json").read_text())
  assert selected["scores"]["test"]["accuracy"]["n"] == 2
  assert (selected["settings_compared"], selected["settings_incomplete"]) == (
      3, 1)
  table = (tmp_path / "sweep" / "results.csv").read_text()
  # What fails is tried again, what is repeated is not.
  (stand_in / "mended").touch()
  sweep([0.1, 0.3, 0.2], selection_seeds=[1])
  assert len(starts(stand_in)) == 5
  assert (tmp_path / "sweep" / "results.csv").read_text() == "".join(
      line for line in table.splitlines(keepends=True)
      if "rate=3.0/" not in line)


def test_failures_are_recorded_and_tried_again(
    stand_in, sweep, tmp_path, capsys):
  records = sweep([0.1, 3.0])
  assert [(record.status, record.error) for record in records] == [
      ("finished", None)] * 2 + [("failed", "the loss is not finite")] * 2
  assert "failed: the loss is not finite" in capsys.readouterr().out
  trials = json.loads((tmp_path / "sweep" / "sweep.json").read_text())["trials"]
  assert [trial["error"] for trial in trials] == [
      None, None, *["the loss is not finite"] * 2]
  (stand_in / "mended").touch()
  assert {record.status for record in sweep([0.1, 3.0])} == {"finished"}
  assert len(starts(stand_in)) == 2 + 2 * 2


def test_trials_share_the_cores(stand_in, sweep):
  cores = len(os.sched_getaffinity(0))
  sweep([0.1], 2)
  threads = {line.split()[-1] for line in starts(stand_in)}
  assert threads == {str(max(cores // 2, 1))}


def test_keeps_all_adapters_where_asked(stand_in, sweep, tmp_path):
  sweep([0.1, 0.2], keep_adapters=True)
  assert len(adapters(tmp_path)) == 4


def wait_for(condition):
  until = time.monotonic() + 300
  while not condition():
    assert time.monotonic() < until
    time.sleep(0.02)


def test_a_signal_ends_trials_softly(stand_in, sweep, tmp_path, capsys):
  (stand_in / "slow").touch()

  def stop():
    wait_for(lambda: len(starts(stand_in)) == 2)
    os.kill(os.getpid(), signal.SIGTERM)

  thread = threading.Thread(target=stop)
  thread.start()
  with pytest.raises(SystemExit) as stopped:
    sweep([0.1, 0.2], 2)
  thread.join()
  assert stopped.value.code == 128 + signal.SIGTERM
  assert "stopped with 4 trials left; the same command goes on" in (
      capsys.readouterr().err)
  assert len(list(tmp_path.rglob("saved"))) == 2
  trials = json.loads((tmp_path / "sweep" / "sweep.json").read_text())["trials"]
  assert {trial["status"] for trial in trials} == {"unfinished"}
  (stand_in / "slow").unlink()
  assert {record.status for record in sweep([0.1, 0.2])} == {"finished"}


def test_goes_on_where_a_sweep_was_killed(stand_in, sweep, tmp_path, capsys):
  """Its trial is still at work: it is waited for, and not done twice."""
  path = tmp_path / "spec.yaml"
  path.write_text(spec_of(tmp_path, [0.1, 0.2]))
  (stand_in / "slow").touch()
  killed = subprocess.Popen(
      [PYTHON, "-c", "import sys; sys.executable = sys.argv.pop()\n"
       "from tf_adapters.tools import sweep; sweep.main()", f"--spec={path}",
       f"--output_dir={tmp_path / 'sweep'}", sys.executable], cwd=ROOT)
  wait_for(lambda: starts(stand_in) or killed.poll() is not None)
  killed.kill()
  killed.wait()
  thread = threading.Timer(1.0, (stand_in / "slow").unlink)
  thread.start()
  assert {record.status for record in sweep([0.1, 0.2])} == {"finished"}
  thread.join()
  assert "a process of an earlier sweep is at work on it" in (
      capsys.readouterr().out)
  assert len(starts(stand_in)) == 4


def test_a_folder_is_for_one_sweep(stand_in, sweep, tmp_path):
  sweep([0.1])
  flags = (tmp_path / "sweep" / "trials" / "mine" / "learning_rate=0.1"
           / "seed=0" / "flags.flags")
  flags.write_text(flags.read_text().replace(
      f"--data_dir={tmp_path}", "--data_dir=other"))
  with pytest.raises(InputError, match="holds a run with data_dir=other, not"):
    sweep([0.1])
  with locked(tmp_path / "sweep"), pytest.raises(
      InputError, match="another sweep is at work in it"):
    sweep([0.1])
  (tmp_path / "file").touch()
  with pytest.raises(InputError, match="is a file, not a folder"):
    run_sweep(None, [], tmp_path / "file")


def call(*arguments):
  return calling.call(tool, *arguments)


@pytest.mark.parametrize("arguments, message", [
    (["--preset=quick"], "--output_dir must be given"),
    (["--output_dir=x"], "give either --spec or --preset"),
    (["--output_dir=x", "--preset=quick", "--spec=x"], "give either --spec or"),
    (["--output_dir=", "--preset=quick"], "output_dir must not be empty"),
    (["--output_dir=x", "--spec=nowhere.yaml"], "nowhere.yaml: can not be"),
    (["--output_dir=x", "--preset=slow"], "quick"),
    (["--output_dir=x", "--preset=quick", "--seed=3"], "--seed: can not be"),
    (["--output_dir=x", "--preset=quick", "--tasks=rte"], "tasks: has no rte"),
    (["--output_dir=x", "--preset=quick", "--tasks="], "must name tasks"),
    (["--output_dir=x", "--preset=paper_squad"], "--train_file must be given"),
])
def test_mistakes_are_one_line(
    tmp_path, monkeypatch, capsys, arguments, message):
  monkeypatch.chdir(tmp_path)
  assert call(*arguments) in (1, 2)
  error = capsys.readouterr().err
  assert error.startswith("error: ") and message in error
  assert error.count("\n") == 1
  assert not list(tmp_path.iterdir())


def test_failed_trials_are_a_status(stand_in, tmp_path, capsys):
  path = tmp_path / "spec.yaml"
  path.write_text(spec_of(tmp_path, [0.1, 3.0]))
  arguments = [f"--spec={path}", f"--output_dir={tmp_path / 'sweep'}"]
  assert call(*arguments) == 1
  captured = capsys.readouterr()
  assert "learning_rate=0.1  accuracy  0.1050 ± 0.0050" in captured.out
  assert ("error: 2 of 4 trials failed, mine/learning_rate=3.0/seed=0 first: "
          "the loss is not finite") in captured.err
  (stand_in / "mended").touch()
  assert call(*arguments) == 0


REAL = """
flags:
  encoder: "{encoder}"
  data_dir: "{data}"
  max_seq_length: 24
  train_batch_size: 8
  holdout: 0.25
tasks:
  mine: {{task_name: tsv}}
seeds: [0]
methods:
  adapters:
    adapter_size: 4
    learning_rate: [0.02, 1e-6]
"""


def real_sweep(tmp_path, hf_source, data, *more):
  path = tmp_path / "spec.yaml"
  path.write_text(REAL.format(encoder=hf_source, data=data))
  return [sys.executable, "-m", "tf_adapters", "sweep", f"--spec={path}", *more]


def test_trials_are_runs(tmp_path, hf_source, sentiment_dir):
  command = real_sweep(tmp_path, hf_source, sentiment_dir,
                       f"--output_dir={tmp_path / 'sweep'}",
                       "--max_parallel_trials=2", "--num_train_epochs=2")
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
  assert done.returncode == 0, done.stdout + done.stderr
  assert "[2/2]" in done.stdout
  folder, = (tmp_path / "sweep" / "trials" / "mine").glob("*=0.02")
  results = json.loads((folder / "seed=0" / "results.json").read_text())
  assert len(results["epochs"]) == 2
  assert results["data"]["splits"] == {
      "train": 36, "validation": 12, "test": 21}
  assert "12 of 48 training rows" in results["data"]["notes"][-1]
  selected, = json.loads((tmp_path / "sweep" / "selected.json").read_text())
  assert selected["reported"] == "test"
  assert selected["settings_compared"] == 2
  assert selected["trained_parameters"] == results["parameters"]["trained"]
  assert len(adapters(tmp_path)) == 1


@pytest.mark.slow
def test_a_killed_sweep_ends_with_the_same_tables(
    tmp_path, hf_source, sentiment_dir):
  def command(name):
    return real_sweep(tmp_path, hf_source, sentiment_dir,
                      f"--output_dir={tmp_path / name}",
                      "--num_train_epochs=12", "--save_checkpoints_steps=5")

  def scores(name):
    return json.loads((tmp_path / name / "selected.json").read_text())

  def log():
    return "".join(path.read_text(errors="replace") for path in sorted(
        (tmp_path / "killed").rglob("*.log")))

  subprocess.run(command("whole"), cwd=ROOT, check=True)
  for sent, status, sign in ((signal.SIGINT, 130, "Epoch 3/"),
                             (signal.SIGKILL, -9, "Resuming after step")):
    process = subprocess.Popen(
        command("killed"), cwd=ROOT, start_new_session=True)
    wait_for(lambda process=process, sign=sign: (
        process.poll() is not None or sign in log()))
    process.send_signal(sent)
    assert process.wait() == status
  assert "its state is saved" in log()
  subprocess.run(command("killed"), cwd=ROOT, check=True)
  assert scores("killed") == scores("whole")
