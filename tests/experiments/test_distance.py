"""Distances to full fine-tuning: their errors, against simulation."""

import dataclasses
import json
import runpy

import numpy as np
import pytest

from tests.experiments.made_up import MadeUp, write_sweep
from tests.tools import calling
from tf_adapters.experiments import distance
from tf_adapters.experiments.distance import Distance
from tf_adapters.experiments.report import make_report, write_report
from tf_adapters.tools import report as tool


def scores(values, first=0):
  return dict(enumerate(map(float, values), first))


def drawn(generator, count, common):
  """Scores of a method and of full fine-tuning, which depend on each other.

  Returns:
    The method's, of `common` seeds, and full fine-tuning's, of `count`.
  """
  shared = generator.normal(size=count)
  ours = 60 + 2 * shared + generator.normal(size=count)
  full = 61 + 3 * shared + 2 * generator.normal(size=count)
  return scores(ours[:common]), scores(full)


def test_by_hand():
  ours, full = {0: 2.0, 1: 4.0}, {0: 1.0, 1: 2.0}
  assert distance.between(ours, full) == Distance(1.5, pytest.approx(0.5))
  # Other seeds, so nothing is known of what they share: variances of 2 and 1/2.
  assert distance.between(ours, {5: 1.0, 6: 2.0}).sem == (
      pytest.approx((2 / 2 + 0.5 / 2) ** 0.5))
  assert distance.between({0: 2.0}, full) == Distance(0.5, None)
  assert distance.between({0: 2.0, 1: 2.0}, full).sem == (
      pytest.approx((0.5 / 2) ** 0.5))
  tasks = [Distance(-1.0, 0.3), Distance(0.0, 0.4)]
  assert distance.over_tasks(tasks) == Distance(-0.5, pytest.approx(0.25))
  assert distance.over_tasks([*tasks, Distance(2.0, None)]).sem is None


def test_the_error_of_the_mean_is_that_of_a_bootstrap():
  generator = np.random.default_rng(0)
  tasks = [drawn(generator, count, count) for count in (8, 5, 20)]
  formula = distance.over_tasks([distance.between(*task) for task in tasks])
  means = np.zeros(20_000)
  for ours, full in tasks:
    ours, full = (np.array(list(one.values())) for one in (ours, full))
    # Seeds are drawn again, each with both of its scores.
    seeds = generator.integers(len(ours), size=(len(means), len(ours)))
    resampled = (ours - full)[seeds].mean(1)
    # A bootstrap's variance is that of n, not n - 1.
    spread = (len(ours) / (len(ours) - 1)) ** 0.5
    means += (resampled.mean() + spread * (resampled - resampled.mean())) / 3
  assert formula.mean == pytest.approx(means.mean(), abs=0.02)
  assert formula.sem == pytest.approx(means.std(), rel=0.02)


@pytest.mark.parametrize("common", [12, 4])
def test_the_error_is_that_of_many_sweeps(common):
  """Also where full fine-tuning has seeds that the method does not have."""
  generator = np.random.default_rng(1)
  found = [distance.between(*drawn(generator, 12, common))
           for _ in range(4000)]
  mean = np.array([one.mean for one in found])
  assert mean.mean() == pytest.approx(-1, abs=0.05)
  squares = np.mean([one.sem ** 2 for one in found])
  assert squares == pytest.approx(mean.var(), rel=0.06)


def test_the_seeds_of_the_design():
  """Those of docs/results/design.md: they are enough, and no others cheaper."""
  # Standard deviations and seconds of adapters and of full fine-tuning; seeds.
  tasks = {"cola": (1.7, 1.7, 194, 361, 11), "sst2": (0.9, 0.7, 109, 155, 8),
           "mrpc": (0.5, 0.7, 293, 410, 4), "stsb": (0.2, 0.5, 169, 265, 3),
           "rte": (1.3, 4.5, 342, 401, 20)}
  variances = {task: one[0]**2 + one[1]**2 for task, one in tasks.items()}
  costs = {task: one[2] + one[3] for task, one in tasks.items()}
  seeds = distance.seeds_for(0.3, variances, costs)
  assert {task: round(count, 1) for task, count in seeds.items()} == {
      "cola": 10.7, "sst2": 7.4, "mrpc": 3.4, "stsb": 2.7, "rte": 18.1}

  def sem(counts):
    return sum(variances[task] / counts[task] for task in tasks) ** 0.5 / 5

  assert sem(seeds) == pytest.approx(0.3)
  assert sem({task: one[4] for task, one in tasks.items()}) < 0.29
  generator = np.random.default_rng(2)
  for _ in range(100):
    others = {task: count * generator.uniform(0.5, 2)
              for task, count in seeds.items()}
    # As many more of all that the error is the same.
    scale = (sem(others) / 0.3) ** 2
    assert sum(costs[task] * scale * others[task] for task in tasks) >= (
        sum(costs[task] * seeds[task] for task in tasks))


RATES = {"full": ({"tuning": "full"}, 1010), "adapters": ({}, 20),
         "lora": ({"adapter_size": "8"}, 5)}


def trials():
  for task, metric, lead in (("cola", "matthews_correlation", 0.02),
                             ("rte", "accuracy", -0.04)):
    for method, (values, trained) in RATES.items():
      for seed in range(2 if task == "cola" else 3):
        score = 0.6 + 0.01 * seed + lead * (method != "full") * (1 + seed)
        yield MadeUp(task, method, seed, values, {
            "validation": {metric: 0.5}, "test": {metric: score}}, trained)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A sweep whose RTE has three seeds, of which one selects."""
  made = list(trials())
  folder = write_sweep(tmp_path_factory.mktemp("sweep") / "glue", made,
                       {"encoder": "minilm_l6"}, selection_seeds=[0])
  path = tmp_path_factory.getbasetemp() / folder / "sweep.json"
  values = json.loads(path.read_text())
  values["spec"] |= {"seeds": [0, 1], "task_seeds": {"rte": [0, 1, 2]}}
  path.write_text(json.dumps(values))
  adapter = path.parent / made[-1].folder / "adapter"
  adapter.mkdir()
  (adapter / "adapter.safetensors").write_bytes(bytes(250_000))
  return folder


def cells(report, name):
  found, = (one for one in report.tables if one.name == name)
  return found.header, {row[0]: row[1:] for row in found.rows}


def test_tables_of_methods(folder, tmp_path):
  report = make_report([folder])
  header, rows = cells(report, "methods")
  assert header == ("method", "trained", "file", "CoLA", "RTE", "mean")
  assert rows["full"] == ("101 %", "-", "60.5 ± 0.5", "61.0 ± 0.6", "60.8")
  assert rows["lora"][:2] == ("0.5 %", "0.25 MB")
  numbers, = (one.csv for one in report.tables if one.name == "methods")
  full = dict(zip(*(line.split(",") for line in numbers.splitlines()[:2])))
  assert float(full["mean"]) == pytest.approx(60.75)
  assert float(full["mean validation"]) == pytest.approx(50)
  assert (full["rte seeds"], full["rte complete"]) == ("3", "True")
  header, rows = cells(report, "distance")
  # On CoLA 2 and 4 points; on RTE -4, -8 and -12.
  assert rows["adapters"] == (
      "2 %", "2-3", "2-3", "+3.0 ± 1.0", "-8.0 ± 2.3", "-2.50 ± 1.26")
  assert list(rows) == ["adapters", "lora", "paper: adapters (8-256)",
                        "paper: adapters (64)"]
  assert rows["paper: adapters (64)"] == (
      "2.1 %", "-", "-", "-3.6", "-1.3", "-2.45")
  write_report(report, tmp_path / "report")
  text = (tmp_path / "report" / "tables" / "distance.md").read_text()
  assert text.startswith(
      "| method | trained | seeds | of full | CoLA | RTE | mean |\n")
  page = ("Before.\n<!-- table: glue/distance -->\nold\n<!-- end of table -->\n"
          "<!-- table: other/distance -->\nold\n<!-- end of table -->\n")
  made = runpy.run_path("docs/scripts/results.py")["with_tables"](
      page, tmp_path / "report" / "tables", "glue")
  assert made == page.replace("old", f"\n{text}", 1)
  assert "seeds: 0, 1; rte 0, 1, 2; selected by 0" in (
      tmp_path / "report" / "report.md").read_text()


def test_without_full_fine_tuning_there_is_no_distance(tmp_path):
  made = make_report([write_sweep(tmp_path / "sweep", [
      trial for trial in trials() if trial.method != "full"])])
  assert [one.name for one in made.tables] == ["methods", "table1", "selected"]


def test_seeds_of_a_task_are_waited_for(tmp_path):
  made = [dataclasses.replace(trial, metrics=None)
          if (trial.task, trial.seed) == ("rte", 2) else trial
          for trial in trials()]
  report = make_report([write_sweep(
      tmp_path / "sweep", made, selection_seeds=[0])])
  _, rows = cells(report, "methods")
  # The sweep has the seeds 0 to 2 for all tasks; CoLA was given two.
  assert rows["full"][2:] == ("60.5 ± 0.5*", "60.5 ± 0.5*", "60.5*")


def test_what_one_sweep_lacks_is_no_lack_of_the_others(tmp_path):
  """Of two sweeps the second has more seeds, for its own methods alone."""
  of_methods = {
      "few": [trial for trial in trials()
              if trial.seed < 2 and trial.method != "lora"],
      "many": [trial for trial in trials() if trial.method == "lora"]}
  report = make_report([
      write_sweep(tmp_path / name, made, selection_seeds=[0, 1])
      for name, made in of_methods.items()])
  _, rows = cells(report, "methods")
  assert rows["full"][2:4] == ("60.5 ± 0.5", "60.5 ± 0.5")
  assert rows["lora"][2].endswith("*") and not rows["lora"][3].endswith("*")


def test_distances_to_half_of_full_fine_tuning_are_marked(tmp_path):
  made = [dataclasses.replace(trial, metrics=None)
          if (trial.method, trial.task, trial.seed) == ("full", "rte", 2)
          else trial for trial in trials() if trial.seed < 2
          or trial.task == "rte"]
  folder = write_sweep(tmp_path / "sweep", made, selection_seeds=[0])
  values = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
  values["spec"] |= {"seeds": [0, 1], "task_seeds": {"rte": [0, 1, 2]}}
  (tmp_path / "sweep" / "sweep.json").write_text(json.dumps(values))
  _, rows = cells(make_report([folder]), "distance")
  assert rows["lora"][1:] == (
      "2-3", "2", "+3.0 ± 1.0", "-7.5 ± 2.1*", "-2.25 ± 1.15*")


SPEC = """
tasks: {cola: {}, rte: {}, mrpc: {}}
seeds: [0, 1]
selection_seeds: [0]
methods: {full: {tuning: full}, adapters: {adapter_size: [4, 8]}}
"""


def test_a_report_can_have_all_that_a_spec_asks_for(tmp_path, capsys):
  """A sweep's folder knows what its last call took, such as one task."""
  made = [MadeUp(task, "x", 0, values, {
      "validation": {"accuracy": 0.5}, "test": {"accuracy": 0.6}})
          for task in ("cola", "rte")
          for values in ({"tuning": "full"}, {"adapter_size": "4"})]
  folder = write_sweep(tmp_path / "sweep", made[:1])
  for trial in made[1:]:
    trial.write(tmp_path / "sweep", {})
  path = tmp_path / "spec.yaml"
  path.write_text(SPEC)
  assert calling.call(tool, f"--sweep_dir={folder}", f"--spec={path}") == 0
  # Nine that select, and the second seeds of two settings on two tasks.
  assert "4 of 13 trials are finished" in capsys.readouterr().out
  text = (tmp_path / "sweep" / "report" / "tables" / "methods.md").read_text()
  assert "in part: CoLA, RTE; missing: MRPC." in text
  # A part of it, which leaves less to wait for.
  assert calling.call(tool, f"--sweep_dir={folder}", f"--spec={path}",
                      "--tasks=rte", "--methods=full") == 0
  assert "1 of 2 trials are finished" in capsys.readouterr().out
  # Trials are enough, such as those that were kept in a file.
  (tmp_path / "sweep" / "sweep.json").unlink()
  assert calling.call(tool, f"--sweep_dir={folder}", f"--spec={path}") == 0
  assert "4 of 13 trials are finished" in capsys.readouterr().out
  assert calling.call(tool, f"--sweep_dir={folder},{folder}x",
                     f"--spec={path}") == 1
  assert calling.call(tool, f"--sweep_dir={folder}", "--tasks=rte") == 1
  assert "--tasks has no effect without --spec or --preset" in (
      capsys.readouterr().err)


def test_a_trial_of_other_flags_than_the_specs_is_refused(tmp_path, capsys):
  """Two calls for the same folder with other flags, one method each."""
  made = [MadeUp("cola", "x", 0, values, {
      "validation": {"accuracy": 0.5}, "test": {"accuracy": 0.6}},
                 flags={"num_train_epochs": epochs})
          for values, epochs in (({"tuning": "full"}, "8"),
                                 ({"adapter_size": "4"}, "1"))]
  folder = write_sweep(tmp_path / "sweep", made)
  path = tmp_path / "spec.yaml"
  path.write_text(f"flags: {{num_train_epochs: 8}}\n{SPEC}")
  assert calling.call(tool, f"--sweep_dir={folder}", f"--spec={path}") == 1
  assert (f"{folder}/trials/cola/adapter_size=4/seed=0: was run with "
          "num_train_epochs=1, and not with 8: report without the spec") in (
              capsys.readouterr().err)


def test_a_task_has_its_own_flags_whatever_the_last_call_took(tmp_path, capsys):
  """The sweep's file is of an earlier version, and of a call for RTE alone."""
  made = [MadeUp(task, "x", 0, {"tuning": "full"}, {
      "validation": {"accuracy": 0.5}, "test": {"accuracy": 0.6}},
                 flags={"num_train_epochs": epochs})
          for task, epochs in (("rte", "8"), ("cola", "5"))]
  folder = write_sweep(tmp_path / "sweep", made[:1], {"num_train_epochs": "8"})
  made[1].write(tmp_path / "sweep", {})
  path = tmp_path / "spec.yaml"
  path.write_text("flags: {num_train_epochs: 8}\n" + SPEC.replace(
      "cola: {}", "cola: {num_train_epochs: 5}"))
  assert calling.call(tool, f"--sweep_dir={folder}", f"--spec={path}") == 0
  assert "2 of 11 trials are finished" in capsys.readouterr().out


def test_what_the_sweep_was_given_beside_its_spec_holds(tmp_path, capsys):
  made = [MadeUp("cola", "x", 0, values, {
      "validation": {"accuracy": 0.5}, "test": {"accuracy": 0.6}},
                 flags={"encoder": "minilm_l6", "num_train_epochs": "2"})
          for values in ({"tuning": "full"}, {"adapter_size": "4"})]
  folder = write_sweep(tmp_path / "sweep", made)
  path = tmp_path / "sweep" / "sweep.json"
  values = json.loads(path.read_text())
  values["spec"]["given"] = {"encoder": "minilm_l6", "num_train_epochs": "2"}
  path.write_text(json.dumps(values))
  spec = tmp_path / "spec.yaml"
  spec.write_text(f"flags: {{num_train_epochs: 8}}\n{SPEC}")
  assert calling.call(tool, f"--sweep_dir={folder}", f"--spec={spec}",
                      "--tasks=cola") == 0
  text = (tmp_path / "sweep" / "report" / "report.md").read_text()
  # What is not yet finished is of the same encoder.
  assert "2 of 5 trials are finished" in capsys.readouterr().out
  assert "epochs=2 --encoder=minilm" in text
  assert "Methods, GLUE, " not in text
