"""Weights of labels, and the metric that selects, in runs."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

import tf_adapters as ta
from tf_adapters.training.metrics import with_best_metric
from tf_adapters.training.run import run
from tf_adapters.training.run_checks import check
from tf_adapters.training.run_config import GlueRunConfig, SquadRunConfig


@pytest.fixture(scope="module")
def tickets(tmp_path_factory):
  """Texts of three labels, one of them rare."""
  folder = tmp_path_factory.mktemp("tickets")
  rng = np.random.default_rng(0)
  for name, rows in (("train", 24), ("dev", 12)):
    labels = ["good"] * (rows - 4) + ["bad", "bad", "plot", "plot"]
    lines = ["text\tlabel", *(
        f"{' '.join(rng.choice(['the', 'film', 'is'], 3))} {label}\t{label}"
        for label in labels)]
    (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n")
  return folder


@pytest.fixture(scope="module")
def config(one_layer_source, tickets):
  return GlueRunConfig(
      task_name="tsv", data_dir=str(tickets), encoder=str(one_layer_source),
      output_dir=str(tickets / "run"), do_train=True, do_eval=True,
      max_seq_length=16, num_train_epochs=3, learning_rate=1e-2,
      train_batch_size=12, adapter_size=4, class_weight="balanced",
      best_metric="macro_f1")


@pytest.mark.usefixtures("eagerly")
def test_a_run_has_both_and_keeps_to_them(config, capsys):
  results = run(config)
  assert "class weights: bad 4, good 0.4, plot 4" in capsys.readouterr().out
  assert results["hyperparameters"]["class_weight"] == "balanced"
  scores = [epoch["validation"]["macro_f1"] for epoch in results["epochs"]]
  assert results["best_epoch"] == 1 + int(np.argmax(scores))
  # What comes first is what a sweep selects by.
  written = json.loads(
      pathlib.Path(config.output_dir, "results.json").read_text())
  assert list(written["metrics"]["validation"]) == ["macro_f1", "accuracy"]
  run(config)
  assert "This run is finished" in capsys.readouterr().out
  for change in (dict(class_weight="bad:4"), dict(best_metric="accuracy")):
    with pytest.raises(ta.InputError, match="holds a run with"):
      run(dataclasses.replace(config, **change))


@pytest.mark.parametrize("changes, message", [
    (dict(class_weight="Bad:2"), "'Bad' is not one of bad, good, plot"),
    (dict(class_weight="good:0,bad:0,plot:0"), "all labels weigh 0"),
    (dict(best_metric="f1"), "for two labels"),
    (dict(best_metric="spearman"), "not for classification, which has acc"),
    (dict(best_metric="entity_f1"), "not for classification"),
    (dict(best_metric="macro_f1", eval_each_epoch=False), "no effect"),
])
def test_refuses_what_the_task_does_not_have(
    config, tmp_path, changes, message):
  config = dataclasses.replace(
      config, output_dir=str(tmp_path / "run"), **changes)
  with pytest.raises(ta.InputError, match=message):
    run(config)
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("changes", [
    dict(best_metric="accuracy"),
    dict(best_metric=None, early_stopping_epochs=1)])
def test_what_has_nothing_to_go_by_leaves_no_folder(
    config, tickets, tmp_path, changes):
  (tmp_path / "train.tsv").write_text((tickets / "train.tsv").read_text())
  config = dataclasses.replace(
      config, data_dir=str(tmp_path), output_dir=str(tmp_path / "run"),
      do_eval=False, **changes)
  with pytest.raises(ta.InputError, match="no labelled validation split"):
    run(config)
  assert not (tmp_path / "run").exists()


def test_spans_and_numbers_have_no_classes(tmp_path):
  common = dict(output_dir=str(tmp_path / "run"), do_train=True,
                class_weight="balanced")
  for config, why in (
      (SquadRunConfig(**common), "task_name=squad"),
      (GlueRunConfig(task_name="tsv", problem_type="regression", **common),
       "problem_type=regression")):
    with pytest.raises(ta.InputError, match=f"=balanced has no .* with {why}"):
      check(config)


def test_tasks_of_every_kind_count_their_labels(tmp_path):
  for name in ("train", "dev"):
    (tmp_path / f"{name}.conll").write_text(
        "the\tO\nfilm\tB-X\nis\tO\n\nbad\tO\n\n")
  task = ta.load_task("tagging", tmp_path)
  assert task.class_weight() == {"B-X": 2.0, "O": pytest.approx(2 / 3)}
  assert task.class_weight({"O": 0.5}) == {"B-X": 1.0, "O": 0.5}
  for name in ("token_accuracy", "macro_f1", "entity_recall"):
    assert with_best_metric(task, name).metrics[0] == name
  (tmp_path / "train.tsv").write_text(
      "text\tlabel\na\tx,y\nb\tx\nc\tx\nd\t\n")
  (tmp_path / "dev.tsv").write_text("text\tlabel\na\tx\n")
  task = ta.load_task("tsv", tmp_path, problem_type="multi_label")
  assert task.class_weight() == {"x": pytest.approx(1 / 3), "y": 3.0}
  with pytest.raises(ta.InputError, match="'balance'"):
    task.class_weight("balance")


def test_tags_that_are_no_entities_have_no_entity_f1(tmp_path):
  for name in ("train", "dev"):
    (tmp_path / f"{name}.conll").write_text("the\tDET\nfilm\tNOUN\n")
  task = ta.load_task("tagging", tmp_path)
  assert with_best_metric(task, "macro_f1").metrics == (
      "macro_f1", "token_accuracy")
  with pytest.raises(ta.InputError, match="for tags of entities"):
    with_best_metric(task, "entity_f1")
