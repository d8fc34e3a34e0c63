"""Sweeps that Ray runs come to what processes come to.

Ray is not among what tests install: without it these are skipped.
"""

import csv
import functools
import json
import math
import os
import shutil
import signal
import subprocess
import threading
from types import SimpleNamespace

import pytest

from tests.experiments.stand_in import (
    PYTHON,
    ROOT,
    real_sweep,
    spec_of,
    starts,
    tables,
    wait_for,
    write_stand_in,
)
from tf_adapters.errors import InputError
from tf_adapters.experiments.asha import Asha
from tf_adapters.experiments.records import Record
from tf_adapters.experiments.stopped import Stopped
from tf_adapters.experiments.trials import Trial
from tf_adapters.training.run_config import GlueRunConfig

pytest.importorskip("ray.tune", exc_type=ImportError)
pytestmark = pytest.mark.slow

# Python imports it when it starts. Workers call the stand-in as their Python.
SITE = """
import sys
if any(word.endswith("default_worker.py") for word in sys.orig_argv):
  sys.executable = {script!r}
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
  """Two nodes of a CPU each, whose trials are the stand-in's."""
  from ray.cluster_utils import Cluster

  folder = tmp_path_factory.mktemp("cluster")
  (folder / "sitecustomize.py").write_text(
      SITE.format(script=str(write_stand_in(folder))))
  with pytest.MonkeyPatch.context() as monkeypatch:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{ROOT}")
    options = {"num_cpus": 1, "include_dashboard": False,
               "object_store_memory": 1 << 27}
    cluster = Cluster(True, head_node_args=options)
    cluster.add_node(**options)
  yield cluster.address, folder
  cluster.shutdown()


@pytest.fixture
def stand_in(cluster):
  """The stand-in's folder, as new."""
  _, folder = cluster
  for name in ("starts", "slow", "stuck", "mended"):
    (folder / name).unlink(missing_ok=True)
  return folder


@pytest.fixture
def on_ray(cluster, sweep, tmp_path):
  """Runs a sweep on the cluster, with one seed that selects."""
  from tf_adapters.experiments.ray_runner import RayRunner

  def run(rates, asha=None, **options):
    with RayRunner("glue", tmp_path / "sweep", cluster[0], asha=asha,
                   **options) as runner:
      return sweep(rates, selection_seeds=[1], runner=runner)

  return run


def statuses(records):
  return [record.status for record in records]


def test_the_tables_are_those_of_processes(
    stand_in, on_ray, sweep, tmp_path, monkeypatch, capfd):
  rates = [0.1, 0.3, 3.0, 0.2]
  records = on_ray(rates)
  assert statuses(records) == [
      "finished", "finished", "finished", "failed", "finished"]
  captured = capfd.readouterr()
  lines = captured.out.splitlines()
  assert [line.split(",")[0] for line in lines if line.startswith("[")] == [
      line.split(",")[0] for line in lines[1:5] + lines[6:]]
  assert "failed: the loss is not finite" in captured.out
  assert captured.err == ""
  assert {line.split()[-1] for line in starts(stand_in)} == {"1"}
  on_cluster = tables(tmp_path)
  assert len(on_cluster) == 4
  assert not (tmp_path / "sweep" / ".ray").exists()
  # What has failed is tried again, nothing else is.
  (stand_in / "mended").touch()
  assert statuses(on_ray(rates)) == ["finished"] * 6
  assert len(starts(stand_in)) == 5 + 1 + 1  # it is the best: another seed
  shutil.rmtree(tmp_path / "sweep")
  (stand_in / "mended").unlink()
  monkeypatch.setattr("sys.executable", str(stand_in / "python"))
  sweep(rates, 2, [1])
  assert tables(tmp_path) == on_cluster


def test_asha_stops_what_is_left_behind(
    stand_in, on_ray, sweep, tmp_path, monkeypatch):
  (stand_in / "stuck").touch()
  rescue = threading.Timer(1000, lambda: (stand_in / "stuck").unlink())
  rescue.start()
  # The good ones come first, as ASHA lets the first ones go on.
  rates = [0.5, 0.4, 0.1, 0.2]

  def status(records):
    return {(record.trial.settings["learning_rate"], record.trial.seed):
            record.status for record in records}

  got = status(on_ray(rates, Asha()))
  del got["0.4", 1]  # beaten, or finished when that is noticed
  assert got == {("0.5", 0): "finished", ("0.5", 1): "finished",
                 ("0.1", 1): "stopped", ("0.2", 1): "stopped"}
  assert len(starts(stand_in)) == 5
  selected, = json.loads((tmp_path / "sweep" / "selected.json").read_text())
  assert selected["settings"] == {"learning_rate": "0.5"}
  note, = tmp_path.rglob("learning_rate=0.1/seed=1.stopped")
  assert json.loads(note.read_text()) == {
      "epoch": 1, "score": pytest.approx(0.11)}
  # What is new competes with what there was; that is not started again.
  assert status(on_ray([*rates, 0.15], Asha()))["0.15", 1] == "stopped"
  assert len(starts(stand_in)) == 6
  rescue.cancel()
  (stand_in / "stuck").unlink()
  # A sweep without it runs all to their end.
  monkeypatch.setattr("sys.executable", str(stand_in / "python"))
  sweep([*rates, 0.15], 2, [1])
  after = tables(tmp_path)
  shutil.rmtree(tmp_path / "sweep")
  sweep([*rates, 0.15], 2, [1])
  assert tables(tmp_path) == after


class Competition:
  """Settings of GLUE tasks as Ray's ASHA sees them, without Ray's workers.

  Args:
    asha: the rule.
    trials: name -> methods, epochs, and scores of the epochs of an earlier
      call, if there was one. The name begins with the task.
  """

  def __init__(self, folder, asha, trials):
    from tf_adapters.experiments.ray_runner import _Asha

    records = []
    self._trials = {}
    self.asked = []
    for name, (methods, epochs, *before) in trials.items():
      output_dir = folder / name
      results = {"epochs": [{"validation": {"f1": score}} for score in before]}
      if before:
        output_dir.mkdir(parents=True)
        (output_dir / "results.json").write_text(json.dumps(results))
      task = name.split("/")[0]
      records.append(Record(
          Trial(name, task, methods, {}, GlueRunConfig(
              num_train_epochs=epochs, output_dir=str(output_dir)),
              selects="repeated" not in name), results if before else None))
      actor = SimpleNamespace(ask_to_end=SimpleNamespace(
          remote=functools.partial(self.asked.append, name)))
      self._trials[name] = SimpleNamespace(
          trial_id=f"ray's own {name}", config={"trial": {"name": name}},
          temporary_state=SimpleNamespace(ray_actor=actor))
    self.scheduler = _Asha(asha, records)
    for name, (_, _, *before) in trials.items():
      if not before:
        self.scheduler.on_trial_add(None, self._trials[name])

  def report(self, name, epoch, score):
    """Whether the trial goes on."""
    assert self.scheduler.on_trial_result(None, self._trials[name], {
        "epoch": epoch, "score": score, "ended": False}) == "CONTINUE"
    return name not in self.asked


def test_what_competes(tmp_path):
  trials = {f"rte/{name}": (("a",), 8) for name in "abcdefgh"}
  trials |= {"rte/other_method": (("b",), 8), "rte/both": (("a", "b"), 8),
             "rte/longer": (("a",), 9), "mrpc/other_task": (("a",), 8),
             "rte/repeated": (("a",), 8), "rte/short": (("a",), 1)}
  it = Competition(tmp_path, Asha(1, 2), trials)
  assert it.report("rte/a", 1, 0.8) and it.report("rte/b", 1, 0.9)
  assert not it.report("rte/c", 1, 0.7)
  assert it.report("rte/d", 1, 0.85)
  for name in ("rte/other_method", "rte/longer", "mrpc/other_task",
               "rte/repeated", "rte/short"):
    assert it.report(name, 1, 0.1)
  assert it.report("rte/both", 1, 0.2)  # is the best of b
  assert it.report("rte/a", 2, 0.8) and it.report("rte/b", 3, 0.9)
  assert not it.report("rte/d", 2, 0.8)
  assert it.report("rte/a", 8, 0.1)  # there is nothing left to stop
  assert it.report("rte/e", 1, math.nan)
  assert it.scheduler.stopped == {
      "rte/c": Stopped(1, 0.7), "rte/d": Stopped(2, 0.8)}


def test_what_earlier_calls_brought_competes(tmp_path):
  it = Competition(tmp_path, Asha(1, 4), {
      "rte/a": (("a",), 4, 0.9, 0.8, 0.7, 0.9), "rte/b": (("a",), 4, 0.5),
      "rte/c": (("a",), 4), "rte/d": (("a",), 4)})
  assert not it.report("rte/c", 1, 0.6)
  assert it.report("rte/d", 1, 0.95)
  # It starts again, as its worker was lost.
  it.scheduler.on_trial_add(None, it._trials["rte/c"])
  assert it.scheduler.stopped == {}


def test_a_signal_ends_trials_softly(stand_in, on_ray, tmp_path, capfd):
  (stand_in / "slow").touch()

  def stop():
    wait_for(lambda: len(starts(stand_in)) == 2)
    os.kill(os.getpid(), signal.SIGINT)

  thread = threading.Thread(target=stop)
  thread.start()
  with pytest.raises(KeyboardInterrupt):
    on_ray([0.1, 0.3, 0.2])
  thread.join()
  assert capfd.readouterr().err == (
      "stopping 2 trials, which save their state; once more ends them at once\n"
      "stopped with 3 trials left; the same command goes on\n")
  assert len(list(tmp_path.rglob("saved"))) == 2
  assert len(starts(stand_in)) == 2
  (stand_in / "slow").unlink()
  assert statuses(on_ray([0.1, 0.3, 0.2])) == ["finished"] * 4


def test_goes_on_where_a_sweep_was_killed(
    cluster, stand_in, on_ray, tmp_path):
  path = tmp_path / "spec.yaml"
  path.write_text(spec_of(tmp_path, [0.1, 0.3, 0.2], [1]))
  (stand_in / "slow").touch()
  killed = subprocess.Popen(
      [PYTHON, "-m", "tf_adapters", "sweep", f"--spec={path}", "--runner=ray",
       f"--ray_address={cluster[0]}", f"--output_dir={tmp_path / 'sweep'}"],
      cwd=ROOT)
  wait_for(lambda: len(starts(stand_in)) == 2 or killed.poll() is not None)
  killed.kill()
  killed.wait()
  (stand_in / "slow").unlink()
  assert statuses(on_ray([0.1, 0.3, 0.2])) == ["finished"] * 4
  assert not (tmp_path / "sweep" / ".ray").exists()


def test_a_cluster_that_can_not_is_refused(
    stand_in, on_ray, tmp_path, monkeypatch):
  with pytest.raises(InputError, match="has cpus_per_trial=2 and gpus_per_tri"):
    on_ray([0.1], cpus_per_trial=2)
  monkeypatch.setattr(
      "tf_adapters.experiments.ray_trial.missing_folders",
      lambda folders: [str(folders[0])])
  with pytest.raises(InputError, match=r"does not see .*sweep/\.ray/\w+: the "):
    on_ray([0.1])
  assert not starts(stand_in)
  assert not (tmp_path / "sweep" / ".ray").exists()


def test_wrong_addresses_are_refused(tmp_path):
  from tf_adapters.experiments.ray_runner import RayRunner

  for address in ("ray://127.0.0.1:10001", "127.0.0.1", "127.0.0.1:1",
                  "127.0.0.1:99999"):
    with pytest.raises(InputError, match=f"ray_address {address}: "), RayRunner(
        "glue", tmp_path, address):
      pass


def test_trials_are_runs(tmp_path, hf_source, sentiment_dir):
  def table(*arguments):
    shutil.rmtree(tmp_path / "sweep", ignore_errors=True)
    subprocess.run(
        real_sweep(tmp_path, hf_source, sentiment_dir,
                   f"--output_dir={tmp_path / 'sweep'}",
                   "--num_train_epochs=2", *arguments), cwd=ROOT, check=True)
    content = tables(tmp_path)
    lines = content.pop("results.csv").decode().splitlines()
    rows = list(csv.DictReader(lines))
    for row in rows:
      assert float(row.pop("seconds")) > 0
    return content, rows

  assert table("--runner=ray") == table("--max_parallel_trials=2")
