"""Choosing by validation scores, on made-up results."""

import csv
import dataclasses
import io
import math

import pytest
from hypothesis import given, settings, strategies as st

from tf_adapters.experiments import selection
from tf_adapters.experiments.records import Record, results_csv
from tf_adapters.experiments.selection import select
from tf_adapters.experiments.trial_process import last_error
from tf_adapters.experiments.trials import Trial
from tf_adapters.training.run_config import GlueRunConfig


def record(rate, seed, score, test=0.5, error=None, methods=("a",), task="rte",
           trained=10, steps=5, selects=True):
  name = f"{task}/learning_rate={rate}/seed={seed}"
  trial = Trial(name, task, methods, {"learning_rate": str(rate)},
                GlueRunConfig(seed=seed, output_dir=f"x/trials/{name}"),
                selects)
  if score is None:
    return Record(trial, None, error)
  metrics = {"validation": {"accuracy": score, "macro_f1": -score}}
  if test is not None:
    metrics["test"] = {"accuracy": test, "macro_f1": test / 2}
  return Record(trial, {
      "metrics": metrics, "steps": steps, "best_epoch": 0,
      "seconds": {"total": 1.5},
      "parameters": {"trained": trained, "total": 100}})


def rates(records):
  return {(choice.task, choice.method):
          choice.settings and choice.settings["learning_rate"]
          for choice in select(records)}


def test_the_highest_mean_over_seeds_is_selected():
  records = [record(1, 0, 0.9), record(1, 1, 0.1),
             record(2, 0, 0.6, 0.3), record(2, 1, 0.8, 0.5)]
  choice, = select(records)
  assert choice.settings == {"learning_rate": "2"}
  assert (choice.metric, choice.compared, choice.incomplete) == (
      "accuracy", 2, 0)
  assert choice.reported == "test"
  test = choice.scores["test"]["accuracy"]
  assert (test.mean, test.n) == (pytest.approx(0.4), 2)
  assert test.std == pytest.approx(math.sqrt(0.02))
  assert test.sem == pytest.approx(0.1)
  assert choice.scores["validation"]["macro_f1"].mean == pytest.approx(-0.7)
  row, = csv.DictReader(io.StringIO(selection.selected_csv([choice])))
  assert (row["settings"], row["edges"]) == (
      "learning_rate=2", "learning_rate highest")
  assert float(row["reported_mean"]) == pytest.approx(0.4)
  assert float(row["validation_mean"]) == pytest.approx(0.7)
  assert (row["reported"], row["trained_parameters"]) == ("test", "10")


scores = st.floats(0, 1)


@given(st.lists(st.tuples(scores, scores, scores, scores), min_size=1,
                max_size=6), st.randoms())
@settings(max_examples=50, deadline=None)
def test_test_scores_and_order_have_no_say(rows, random):
  records = [record(rate, seed, row[seed], row[2 + seed])
             for rate, row in enumerate(rows) for seed in (0, 1)]
  expected = rates(records)
  others = [record(rate, seed, row[seed], random.random())
            for rate, row in enumerate(rows) for seed in (0, 1)]
  random.shuffle(others)
  assert rates(others) == expected
  best = max((row[0] + row[1]) / 2 for row in rows)
  assert select(records)[0].scores["validation"]["accuracy"].mean == (
      pytest.approx(best))


def test_ties_are_for_the_smaller_then_the_shorter_then_the_first():
  ties = [record(1, 0, 0.5, trained=20, steps=1), record(2, 0, 0.5, steps=9),
          record(3, 0, 0.5, steps=5), record(4, 0, 0.5, steps=5)]
  assert rates(ties) == rates(ties[::-1]) == {("rte", "a"): "3"}


@pytest.mark.parametrize("odd", [
    record(1, 1, math.nan), record(1, 1, math.inf), record(1, 1, None),
    record(1, 1, None, error="the loss is not finite")])
def test_only_settings_with_all_seeds_count(odd):
  records = [record(1, 0, 0.99), odd, record(2, 0, 0.5), record(2, 1, 0.5)]
  choice, = select(records)
  assert choice.settings == {"learning_rate": "2"}
  assert (choice.compared, choice.incomplete) == (1, 1)


def test_seeds_that_do_not_select_have_no_say():
  def repeated(*given):
    one = record(*given)
    return dataclasses.replace(
        one, trial=dataclasses.replace(one.trial, selects=False))

  records = [record(1, 0, 0.6), record(2, 0, 0.5), repeated(1, 1, 0.2, 0.1),
             repeated(2, 1, 0.9), repeated(1, 2, None), repeated(1, 3, 0.4)]
  choice, = select(records)
  assert choice.settings == {"learning_rate": "1"}
  assert choice.compared == 2
  assert choice.scores["validation"]["accuracy"].mean == pytest.approx(0.4)
  assert choice.scores["validation"]["accuracy"].n == 3
  assert (choice.validation.mean, choice.validation.n) == (0.6, 1)
  row, = csv.DictReader(io.StringIO(selection.selected_csv([choice])))
  assert (row["validation_mean"], row["validation_n"]) == ("0.6", "1")
  trials = [one.trial for one in records]
  assert selection.repetitions(trials, records[:2]) == [
      trials[2], trials[4], trials[5]]


@pytest.mark.parametrize("rates, edges", [
    ((1, 2), {"learning_rate": "highest"}),
    ((2, 3), {"learning_rate": "lowest"}), ((1, 2, 3), {}), ((2,), {})])
def test_a_choice_at_the_end_of_its_grid_is_told(rates, edges):
  # What diverged was tried, too.
  choice, = select([record(rate, 0, {1: 0.1, 2: 0.9, 3: None}[rate], error="x")
                    for rate in rates])
  assert choice.edges == choice.to_dict()["edges"] == edges
  assert selection.edge_lines([choice]) == [
      f"a on rte: learning_rate=2 is the {end} that was tried"
      for end in edges.values()]


def test_an_end_is_among_settings_that_are_the_same_otherwise():
  def tried(size, rate, score):
    one = record(rate, 0, score)
    settings = {"adapter_size": size, "learning_rate": rate, "layers": "1,2"}
    name = f"rte/{size}-{rate}/seed=0"
    return dataclasses.replace(one, trial=dataclasses.replace(
        one.trial, name=name, settings=settings))

  choice, = select([tried("8", "1e-3", 0.5), tried("8", "3e-3", 0.6),
                    tried("8", "0.01", 0.5), tried("64", "1e-3", 0.4)])
  assert (choice.settings["learning_rate"], choice.edges) == ("3e-3", {})
  choice, = select([tried("8", "1e-3", 0.7), tried("8", "3e-3", 0.6),
                    tried("64", "1e-3", 0.4)])
  assert choice.edges == {"learning_rate": "lowest", "adapter_size": "lowest"}


def test_there_is_nothing_below_zero():
  def tried(dropout, score):
    one = record(dropout, 0, score)
    return dataclasses.replace(one, trial=dataclasses.replace(
        one.trial, settings={"lora_dropout": str(dropout)}))

  assert select([tried(0.0, 0.9), tried(0.1, 0.8)])[0].edges == {}
  assert select([tried(0.0, 0.8), tried(0.1, 0.9)])[0].edges == {
      "lora_dropout": "highest"}


def test_encoders_choose_for_themselves():
  def on(encoder, rate, score, seed=0):
    one = record(f"{rate}-{encoder}", seed, score, selects=seed == 0)
    return dataclasses.replace(one, trial=dataclasses.replace(
        one.trial, settings={"encoder": encoder, "learning_rate": str(rate)}))

  records = [on("large", 1, 0.9), on("large", 2, 0.8), on("small", 1, 0.3),
             on("small", 2, 0.4)]
  assert [(choice.settings["encoder"], choice.settings["learning_rate"])
          for choice in select(records)] == [("large", "1"), ("small", "2")]
  others = [on(encoder, rate, None, 1)
            for encoder in ("large", "small") for rate in (1, 2)]
  assert selection.repetitions(
      [one.trial for one in others], records) == [
          others[0].trial, others[3].trial]
  assert [one.trial.name for one in selection.unselected(records)] == [
      "rte/learning_rate=2-large/seed=0", "rte/learning_rate=1-small/seed=0"]


def test_seeds_that_failed_are_known():
  choice, = select([record(1, 0, 0.9), record(1, 1, None, error="not finite",
                                              selects=False),
                    record(1, 2, None, selects=False)])
  assert [one.trial.seed for one in choice.failed] == [1]


def test_nothing_may_be_complete():
  records = [record(1, 0, 0.9), record(1, 1, None, error="x")]
  choice, = select(records)
  assert choice.settings is None
  assert choice.to_dict()["scores"] == {}
  assert selection.selected_csv([choice]).splitlines()[1].startswith("rte,a,,,")
  assert "none is complete" in selection.selected_table([choice])[1]
  assert not selection.unselected(records)


def test_without_seeds_that_select_nothing_is_complete():
  choice, = select([record(1, 0, 0.9, selects=False)])
  assert choice.settings is None


def test_one_seed_has_no_standard_error():
  choice, = select([record(1, 0, 0.9, test=None)])
  score = choice.scores["validation"]["accuracy"]
  assert (score.mean, score.std, score.sem, score.n) == (0.9, None, None, 1)
  # Hidden test labels: the scores are those that were chosen by, and say so.
  assert choice.reported == "validation"


def test_without_a_validation_split_nothing_is_chosen():
  one = record(1, 0, 0.9)
  one = dataclasses.replace(one, results={
      **one.results, "metrics": {"test": {"accuracy": 1.0}}})
  assert rates([one]) == {("rte", "a"): None}


def test_methods_and_tasks_choose_for_themselves():
  records = [record(1, 0, 0.9, methods=("a", "b")), record(2, 0, 0.95),
             record(3, 0, 0.1, task="cola")]
  assert rates(records) == {
      ("cola", "a"): "3", ("rte", "a"): "2", ("rte", "b"): "1"}
  # What one method does not want is still another's.
  assert not selection.unselected(records)
  records.append(record(4, 0, 0.2))
  assert [one.trial.name for one in selection.unselected(records)] == [
      "rte/learning_rate=4/seed=0"]


@given(st.lists(scores, min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_what_is_dropped_on_the_way_is_not_wanted_later(values):
  dropped = set()
  for count in range(1, len(values) + 1):
    records = [record(rate, 0, score if rate < count else None)
               for rate, score in enumerate(values)]
    dropped |= {one.trial.name for one in selection.unselected(records)}
  assert not dropped & {one.trial.name for choice in select(records)
                        for one in choice.records}


def test_results_have_a_line_for_each_trial():
  records = [record(1, 0, 0.9, methods=("a", "b")),
             record(1, 1, None, error="no, not this"), record(2, 0, None)]
  rows = list(csv.DictReader(io.StringIO(results_csv(records))))
  assert [row["status"] for row in rows] == [
      "finished", "failed", "unfinished"]
  assert [row["learning_rate"] for row in rows] == ["1", "1", "2"]
  assert [row["seed"] for row in rows] == ["0", "1", "0"]
  assert rows[0]["methods"] == "a;b"
  assert rows[0]["validation/accuracy"] == "0.9"
  assert rows[0]["test/macro_f1"] == "0.25"
  assert (rows[0]["trained_parameters"], rows[0]["total_parameters"]) == (
      "10", "100")
  assert rows[0]["folder"] == "trials/rte/learning_rate=1/seed=0"
  assert rows[1]["validation/accuracy"] == ""


@pytest.mark.parametrize("log, line", [
    (b"", "it said nothing"), (b"a\n\n", "a"), (b"1%\r2%\b\b\bMemoryError\n",
                                                "MemoryError"),
    (b"error: no such file\nwarning\n", "no such file"),
    (b"x" * 99999 + b"\n\xff end", "\ufffd end")])
def test_the_last_error_of_a_log(tmp_path, log, line):
  (tmp_path / "log").write_bytes(b"error: an earlier one\n" + log)
  assert last_error(tmp_path / "log", 22) == line
