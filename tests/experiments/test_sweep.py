"""Sweeps that run, fail, are stopped and go on.

Most trials are those of a stand-in for the trainer, which writes what a run
writes: what is tested is the sweep. One is real.
"""

import json
import os
import pathlib
import runpy
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from tests.experiments.stand_in import (
    PYTHON,
    ROOT,
    adapters,
    real_sweep,
    spec_of,
    starts,
    tables,
    wait_for,
)
from tests.tools import calling
from tf_adapters.errors import InputError
from tf_adapters.experiments import local_runner
from tf_adapters.experiments.asha import Asha
from tf_adapters.experiments.local_runner import LocalRunner
from tf_adapters.experiments.runner import say_adopted
from tf_adapters.experiments.stopped import Stopped, remember_stopped
from tf_adapters.experiments.sweep import run_sweep
from tf_adapters.files.writing import locked
from tf_adapters.tools import sweep as tool


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

  before = tables(tmp_path)
  assert before.keys() == {
      "sweep.json", "results.csv", "selected.json", "selected.csv"}
  assert sweep([0.1, 0.3, 0.2]) == records
  assert tables(tmp_path) == before
  assert len(starts(stand_in)) == 6
  # A sweep grows by what is new.
  sweep([0.1, 0.3, 0.2, 0.4])
  assert len(starts(stand_in)) == 8
  # Who selected 0.3 may want it still.
  assert adapters(tmp_path) == {
      f"mine/learning_rate={rate}/seed={seed}"
      for rate in (0.3, 0.4) for seed in (0, 1)}


def test_only_what_is_selected_gets_the_other_seeds(
    stand_in, sweep, tmp_path, capsys):
  records = sweep([0.1, 0.3, 3.0, 0.2], selection_seeds=[1])
  assert [(record.trial.settings["learning_rate"], record.trial.seed)
          for record in records] == [
              ("0.1", 1), ("0.3", 0), ("0.3", 1), ("3.0", 1), ("0.2", 1)]
  assert len(starts(stand_in)) == 5
  out = capsys.readouterr().out
  assert "other seeds of what is selected: 5 trials, 3 of them" in out
  assert "highest" not in out
  selected, = json.loads((tmp_path / "sweep" / "selected.json").read_text())
  assert selected["scores"]["test"]["accuracy"]["n"] == 2
  assert (selected["settings_compared"], selected["settings_incomplete"]) == (
      3, 1)
  table = (tmp_path / "sweep" / "results.csv").read_text()
  # What fails is tried again, what is repeated is not.
  (stand_in / "mended").touch()
  sweep([0.1, 0.3, 0.2], selection_seeds=[1])
  assert len(starts(stand_in)) == 5
  # Before the other seeds are begun.
  assert ("\na on mine: learning_rate=0.3 is the highest that was tried: a "
          "further one may be better\nwith the other seeds of what is "
          "selected: 4 trials") in capsys.readouterr().out
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


def test_a_trial_that_can_not_be_started_has_failed(
    stand_in, sweep, tmp_path):
  log = (tmp_path / "sweep" / "trials" / "mine" / "learning_rate=0.1"
         / "seed=0.log")
  log.mkdir(parents=True)
  first, *others = sweep([0.1])
  assert first.status == "failed" and first.error.startswith(str(log))
  assert [record.status for record in others] == ["finished"]


def test_keeps_all_adapters_where_asked(stand_in, sweep, tmp_path):
  sweep([0.1, 0.2], keep_adapters=True)
  assert len(adapters(tmp_path)) == 4


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


def test_goes_on_where_a_sweep_was_killed(
    stand_in, sweep, tmp_path, capsys, monkeypatch):
  """Its trial is still at work: it is waited for, and not done twice."""
  def adopted(trial):
    say_adopted(trial)
    (stand_in / "slow").unlink()

  monkeypatch.setattr(local_runner, "say_adopted", adopted)
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
  assert {record.status for record in sweep([0.1, 0.2])} == {"finished"}
  assert "a process of an earlier sweep is at work on it" in (
      capsys.readouterr().out)
  assert len(starts(stand_in)) == 4


def test_a_trial_of_other_flags_is_named_with_a_remedy(
    stand_in, sweep, tmp_path):
  sweep([0.1])
  path = (tmp_path / "sweep" / "trials" / "mine" / "learning_rate=0.1"
          / "seed=1" / "flags.flags")
  path.write_text(path.read_text().replace(
      "--num_train_epochs=3", "--num_train_epochs=5"))
  with pytest.raises(InputError) as caught:
    sweep([0.1])
  assert str(caught.value) == (
      f"{path.parent} holds a run with num_train_epochs=5, not 3: choose "
      "another output_dir, or remove the trial's folder to run it anew")
  shutil.rmtree(path.parent)
  assert {record.status for record in sweep([0.1])} == {"finished"}


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
    run_sweep(None, [], tmp_path / "file", LocalRunner("glue"))


class Strict(LocalRunner):
  """Stops what is no better than 0.2 after its first epoch, as ASHA might."""

  asha = Asha()

  def run(self, records, ended, interruption):
    good = []
    for record in records:
      rate = float(record.trial.settings["learning_rate"])
      if rate <= 0.2 and record.status == "unfinished":
        folder = pathlib.Path(record.trial.config.output_dir)
        folder.parent.mkdir(exist_ok=True, parents=True)
        remember_stopped(
            pathlib.Path(record.trial.config.output_dir), Stopped(1, rate))
        ended(record.trial, None)
      else:
        good.append(record)
    super().run(good, ended, interruption)


def test_what_is_stopped_early_does_not_compete(
    stand_in, sweep, tmp_path, capsys):
  strict = Strict("glue")

  def table():
    return json.loads((tmp_path / "sweep" / "sweep.json").read_text())["trials"]

  sweep([0.1, 0.3, 0.2, 0.4], selection_seeds=[0], runner=strict)
  out = capsys.readouterr().out
  assert ("[2/4] mine/learning_rate=0.2/seed=0: stopped after epoch 1: "
          "validation 0.2000;") in out
  assert [(trial["status"], trial["stopped"]) for trial in table()] == [
      ("stopped", {"epoch": 1, "score": 0.1}), ("finished", None),
      ("stopped", {"epoch": 1, "score": 0.2}), ("finished", None),
      ("finished", None)]
  selected, = json.loads((tmp_path / "sweep" / "selected.json").read_text())
  assert selected["settings"] == {"learning_rate": "0.4"}
  assert (selected["settings_compared"], selected["settings_incomplete"]) == (
      2, 2)
  assert len(starts(stand_in)) == 3
  before = tables(tmp_path)
  sweep([0.1, 0.3, 0.2, 0.4], selection_seeds=[0], runner=strict)
  assert "2 of them stopped" in capsys.readouterr().out
  assert len(starts(stand_in)) == 3
  assert tables(tmp_path) == before
  # Without early stopping they get what they are owed.
  sweep([0.1, 0.3, 0.2, 0.4], selection_seeds=[0])
  assert len(starts(stand_in)) == 5
  assert {trial["status"] for trial in table()} == {"finished"}
  assert not list(tmp_path.rglob("*.stopped"))


def test_a_damaged_note_of_a_stop_is_named(stand_in, sweep, tmp_path):
  sweep([0.1], selection_seeds=[0], runner=Strict("glue"))
  note, = tmp_path.rglob("*.stopped")
  for content in ('{"epoch": 1}', "nothing"):
    note.write_text(content)
    with pytest.raises(InputError, match="seed=0.stopped: "):
      sweep([0.1], selection_seeds=[0], runner=Strict("glue"))


def test_asha_is_refused_where_trials_do_not_compare(sweep, tmp_path):
  runner = LocalRunner("glue")
  runner.asha = Asha()
  with pytest.raises(InputError, match="spec.yaml: selection_seeds: 2 seeds"):
    sweep([0.1], runner=runner)
  runner.asha = Asha(grace_epochs=3)
  with pytest.raises(InputError, match="no trial evaluates after more than 3"):
    sweep([0.1], selection_seeds=[0], runner=runner)
  assert [path.name for path in (tmp_path / "sweep").iterdir()] == []


def call(*arguments):
  return calling.call(tool, *arguments)


@pytest.mark.parametrize("arguments, message", [
    (["--preset=quick"], "--output_dir must be given"),
    (["--output_dir=x"], "give either --spec or --preset"),
    (["--output_dir=x", "--preset=quick", "--spec=x"], "give either --spec or"),
    (["--output_dir=", "--preset=quick"], "output_dir must not be empty"),
    (["--output_dir=x", "--spec=nowhere.yaml"], "nowhere.yaml: cannot be"),
    (["--output_dir=x", "--preset=slow"], "quick"),
    (["--output_dir=x", "--preset=quick", "--seed=3"], "--seed: cannot be"),
    (["--output_dir=x", "--preset=quick", "--tasks=rte"], "tasks: has no rte"),
    (["--output_dir=x", "--preset=quick", "--tasks="], "must name tasks"),
    (["--output_dir=x", "--preset=quick", "--methods=full"],
     "methods: has no full; there is adapters"),
    (["--output_dir=x", "--preset=quick", "--methods="], "must name methods"),
    (["--output_dir=x", "--preset=paper_squad"], "--train_file must be given"),
    (["--output_dir=x", "--preset=quick", "--asha"],
     "--asha has no effect with --runner=processes"),
    (["--output_dir=x", "--preset=quick", "--cpus_per_trial=2"],
     "--cpus_per_trial has no effect with --runner=processes"),
    (["--output_dir=x", "--preset=quick", "--runner=ray",
      "--max_parallel_trials=2"], "has no effect with --runner=ray"),
    (["--output_dir=x", "--preset=quick", "--runner=ray",
      "--asha_grace_epochs=2"], "has no effect without --asha"),
])
def test_mistakes_are_one_line(
    tmp_path, monkeypatch, capsys, arguments, message):
  monkeypatch.chdir(tmp_path)
  assert call(*arguments) in (1, 2)
  error = capsys.readouterr().err
  assert error.startswith("error: ") and message in error
  assert error.count("\n") == 1
  assert not list(tmp_path.iterdir())


def test_ray_that_is_missing_is_named(tmp_path, monkeypatch, capsys):
  monkeypatch.delitem(
      sys.modules, "tf_adapters.experiments.ray_runner", raising=False)
  monkeypatch.setitem(sys.modules, "ray", None)
  assert call(f"--output_dir={tmp_path / 'x'}", "--preset=quick",
              "--runner=ray") == 1
  error = capsys.readouterr().err
  assert error.startswith("error: --runner=ray: ")
  assert error.endswith(": pip install -e '.[sweep]' in the checkout\n")
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


def test_one_method_leaves_the_adapters_of_others(stand_in, tmp_path):
  path = tmp_path / "spec.yaml"
  path.write_text(spec_of(tmp_path, [0.1, 0.3]) + "  b: {learning_rate: 0.1}\n")
  arguments = [f"--spec={path}", f"--output_dir={tmp_path / 'sweep'}"]
  assert call(*arguments) == 0
  selected = adapters(tmp_path)
  assert len(selected) == 4
  assert call(*arguments, "--methods=a") == 0
  assert adapters(tmp_path) == selected


@pytest.mark.slow
def test_trials_are_runs(tmp_path, one_layer_source, sentiment_dir):
  command = real_sweep(tmp_path, one_layer_source, sentiment_dir,
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
  assert any("12 of 48 training rows" in note
             for note in results["data"]["notes"])
  selected, = json.loads((tmp_path / "sweep" / "selected.json").read_text())
  assert selected["reported"] == "test"
  assert selected["settings_compared"] == 2
  assert selected["trained_parameters"] == results["parameters"]["trained"]
  assert len(adapters(tmp_path)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["processes", "ray"])
def test_a_killed_sweep_ends_with_the_same_tables(
    tmp_path, one_layer_source, sentiment_dir, runner):
  if runner == "ray":
    pytest.importorskip("ray.tune", exc_type=ImportError)

  def command(name):
    return real_sweep(tmp_path, one_layer_source, sentiment_dir,
                      f"--output_dir={tmp_path / name}",
                      "--num_train_epochs=12", "--save_checkpoints_steps=5")

  def scores(name):
    return json.loads((tmp_path / name / "selected.json").read_text())

  def log():
    return "".join(path.read_text(errors="replace") for path in sorted(
        (tmp_path / "killed").rglob("*.log")))

  subprocess.run(command("whole"), cwd=ROOT, check=True)
  for sent, status, sign in ((signal.SIGINT, 130, "epoch 2 of 12"),
                             (signal.SIGKILL, -9, "Resuming after step")):
    process = subprocess.Popen(
        [*command("killed"), f"--runner={runner}"], cwd=ROOT,
        start_new_session=True)
    wait_for(lambda process=process, sign=sign: (
        process.poll() is not None or sign in log()))
    # A terminal's Ctrl-C reaches all of Ray.
    (os.killpg if sent == signal.SIGINT else os.kill)(process.pid, sent)
    assert process.wait() == status
  assert "its state is saved" in log()
  subprocess.run(
      [*command("killed"), f"--runner={runner}"], cwd=ROOT, check=True)
  assert scores("killed") == scores("whole")


def test_kept_trials_go_on_elsewhere(stand_in, sweep, tmp_path):
  script = runpy.run_path("docs/scripts/trials.py")
  first, file = tmp_path / "sweep", tmp_path / "kept" / "trials.jsonl"
  sweep([0.1])
  assert script["keep"](first, file, str(tmp_path)) == 2
  assert str(tmp_path) not in file.read_text()
  records = sweep([0.1, 0.3])
  # Only what is new is added, and what the file has stays when it is gone.
  shutil.rmtree(first / "trials" / "mine" / "learning_rate=0.1")
  assert script["keep"](first, file, str(tmp_path)) == 4
  before = len(starts(stand_in))

  # However it is spelled; another folder is no spelling of it.
  assert script["keep"](first, file, f"{tmp_path}/") == 4
  assert str(tmp_path) not in file.read_text()
  with pytest.raises(InputError, match=f"has data_dir={tmp_path}, not other:"):
    script["keep"](first, file, "other")

  shutil.rmtree(first)
  assert script["restore"](file, first, str(tmp_path)) == 4
  assert script["restore"](file, first, str(tmp_path)) == 0
  # One that was cut off is not whole.
  results = next(first.rglob("results.json"))
  results.write_text(results.read_text()[:20])
  with locked(results.parent), pytest.raises(InputError, match="is at work"):
    script["restore"](file, first, str(tmp_path))
  assert script["restore"](file, first, str(tmp_path)) == 1
  assert sweep([0.1, 0.3]) == records
  assert len(starts(stand_in)) == before
