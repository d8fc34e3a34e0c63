"""The analysis of what each layer's adapters contribute, and its files."""

import csv
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

import tf_adapters as ta
from tests.adapters import make, without
from tests.conftest import write_sentiment
from tests.tools.calling import call
from tf_adapters.adapter_files.info import read_info
from tf_adapters.data import squad, tagging
from tf_adapters.data.dataset import Dataset
from tf_adapters.data.splits import Split
from tf_adapters.data.squad_options import SquadOptions
from tf_adapters.experiments.ablation_scores import AblationScores
from tf_adapters.experiments.analysis import Pruned, layers_text
from tf_adapters.tools import analyse
from tf_adapters.training.metrics import evaluate_task
from tf_adapters.training.model_outputs import predict
from tf_adapters.training.training_config import TrainingConfig

A = ta.AdapterConfig
FILES = ["ablation.csv", "ablation.json", "ablation.pdf", "ablation.png"]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  return write_sentiment(tmp_path_factory.mktemp("sentiment"))


@pytest.fixture(scope="module")
def adapter(hf_source, data_dir):
  """An adapter file of that task, whose adapters do something or other."""
  return make(hf_source, data_dir / "adapter", A(size=8), "classification",
              ["bad", "good"], "mean", "adapters", max_length=16, seed=1)


@pytest.fixture
def call_tool(data_dir, adapter, tmp_path):
  """Calls the tool with the task's flags, and others."""
  def call_with(*flags, **changes):
    values = {"adapter": adapter, "task_name": "tsv", "data_dir": data_dir,
              "output_dir": tmp_path / "analysis", **changes}
    return call(analyse, *flags, *(f"--{name}={value}" for name, value
                                   in values.items() if value is not None))
  return call_with


def evaluate(model, task, split, batch_size=8):
  """As a run does."""
  encoded = task.split(split).encode(model.encoder.text_processor(16))
  return evaluate_task(task, task.split(split), encoded, predict(
      model, encoded, TrainingConfig(eval_batch_size=batch_size)))


def test_says_what_evaluations_say(
    call_tool, data_dir, adapter, tmp_path, capfd, request):
  pruned = tmp_path / "pruned"
  assert call_tool("--max_loss=0.2", save_pruned=pruned,
                   eval_batch_size=4) == 0
  request.getfixturevalue("eagerly")  # what it says came of graphs
  folder = tmp_path / "analysis"
  assert sorted(path.name for path in folder.iterdir()) == FILES
  found = json.loads((folder / "ablation.json").read_text())

  task = ta.load_task("tsv", str(data_dir))
  model = ta.load_adapter(adapter)
  full = evaluate(model, task, "validation")
  assert found["prunings"]["none"]["metrics"] == {
      split: evaluate(model, task, split) for split in ("validation", "test")}
  assert len(found["spans"]) == 6
  for span in found["spans"]:
    with without(model, range(span["first"], span["last"] + 1)):
      expected = evaluate(model, task, "validation")
    assert span["metrics"] == expected
    assert span["relative_change"] == pytest.approx(
        expected["accuracy"] / full["accuracy"] - 1)
  # Not that there were nothing to be seen.
  assert len({span["metrics"]["accuracy"] for span in found["spans"]}) > 1
  assert found["layer_passes_per_batch"] == {"run": 13, "one_by_one": 21}
  with open(folder / "ablation.csv", newline="") as file:
    rows = list(csv.DictReader(file))
  assert [(int(row["first"]), int(row["last"]), row["metric"],
           float(row["value"]), float(row["relative_change"]))
          for row in rows] == [
              (span["first"], span["last"], "accuracy",
               span["metrics"]["accuracy"], span["relative_change"])
              for span in found["spans"]]

  out = capfd.readouterr().out
  greedy = found["prunings"]["greedy"]
  assert greedy["layers"]
  assert found["prunings"]["greedy"]["loss"] <= 0.2 + 1e-9
  assert out.splitlines()[0].split("  ")[0] == "pruning"
  assert f"greedy   {layers_text(greedy['layers'])}  " in out
  # What was said is what the file scores.
  assert read_info(pruned).metrics == greedy["metrics"]
  model = ta.load_adapter(pruned)
  assert {split: evaluate(model, task, split)
          for split in ("validation", "test")} == greedy["metrics"]
  adapters = model.summary_of_tuning().rows.get("adapters", (0, 0))
  assert sum(adapters) == greedy["adapter_parameters"]


@pytest.mark.slow
def test_the_same_again_but_for_the_time(call_tool, tmp_path):
  contents = []
  for _ in range(2):
    assert call_tool() == 0
    files = {name: (tmp_path / "analysis" / name).read_bytes()
             for name in FILES}
    values = json.loads(files.pop("ablation.json"))
    assert values.pop("seconds").keys() == {"spans", "prunings"}
    contents.append((files, values))
  assert contents[0] == contents[1]


def write_task(kind, folder):
  """A made-up task of a kind, with a validation split."""
  rng = np.random.default_rng(0)
  words = ["the", "film", "is", "good", "bad", "plot", "unable"]
  texts = [" ".join(rng.choice(words, count)) for count in range(1, 12)]
  ids = list(map(str, range(len(texts))))
  if kind == "regression":
    return Dataset("mine", kind, (), ("pearson",), {"validation": Split(
        texts, None, rng.normal(size=len(texts)).astype(np.float32), ids)}, "")
  if kind == "multi_label":
    labels = rng.integers(0, 2, [len(texts), 3]).astype(np.float32)
    return Dataset("mine", kind, ("a", "b", "c"), ("micro_f1",), {
        "validation": Split(texts, texts[::-1], labels, ids)}, "")
  if kind == "tagging":
    lines = [f"{word} {'B-x' if word in 'film plot' else 'O'}"
             for text in texts for word in [*text.split(), ""]]
    for name in ("train", "dev"):
      (folder / f"{name}.conll").write_text("\n".join(
          line if line.split()[:-1] else "" for line in lines) + "\n")
    return tagging.load(str(folder), None, "error")
  path = folder / "dev.json"
  path.write_text(json.dumps({"data": [{"paragraphs": [
      {"context": text, "qas": [{
          "id": str(number), "question": "film", "answers": [{
              "text": text.split()[-1],
              "answer_start": text.rindex(text.split()[-1])}]}]}
      for number, text in enumerate(texts)]}]}))
  return squad.load(None, str(path), SquadOptions(
      doc_stride=3, max_query_length=3), "error")


@pytest.mark.parametrize("kind, adapters, pooling", [
    pytest.param("regression", A(size=4, parallel=True), "cls",
                 marks=pytest.mark.slow),
    pytest.param("multi_label", A(size=4, layers=(0, 2)), "pooler",
                 marks=pytest.mark.slow),
    ("tagging", A(size=4, positions=("output",)), "mean"),
    pytest.param("span", A(size=4), "mean", marks=pytest.mark.slow)])
def test_every_kind_of_task(hf_source, tmp_path, kind, adapters, pooling):
  task = write_task(kind, tmp_path)
  model = ta.load_adapter(make(
      hf_source, tmp_path / "adapter", adapters, kind, task.labels, pooling,
      "adapters", max_length=16))
  scores = AblationScores(
      model, task, model.encoder.text_processor(16), batch_size=4)
  sets = [frozenset(), frozenset([0]), frozenset([1, 2])]
  found = scores("validation", sets)
  assert list(found) == sets
  for layers in sets:
    with without(model, layers):
      assert found[layers] == pytest.approx(
          evaluate(model, task, "validation"), abs=1e-5)


def test_nothing_is_computed_twice(encoder, tmp_path, monkeypatch):
  scores = AblationScores(
      ta.TextRegressor(encoder), write_task("regression", tmp_path),
      encoder.text_processor(16), 4)
  asked = set()

  def ablation(inputs, removed):
    asked.update(removed)
    return {layers: tf.cast(inputs["input_mask"], tf.float32)[:, :1 + len(
        layers)] @ tf.ones([1 + len(layers), 1]) for layers in removed}

  monkeypatch.setattr(scores, "_ablation", ablation)
  none, one, two = frozenset(), frozenset([1]), frozenset([2])
  first = scores("validation", [none, one])
  assert asked == {none, one}
  asked.clear()
  assert scores("validation", [one, none, one]) == first
  assert not asked
  assert scores("validation", [two, none])[none] == first[none]
  assert asked == {two}


@pytest.fixture
def made_up_scores(monkeypatch):
  """Lets each layer cost a part of 0.9; returns {layer: cost}, to be filled."""
  costs = {}
  monkeypatch.setattr(
      "tf_adapters.experiments.analysis.AblationScores",
      lambda *_: lambda split, removed: {
          layers: {"accuracy": 0.9 - sum(costs[layer] for layer in layers)}
          for layers in removed})
  return costs


def test_what_tasks_can_share(
    call_tool, made_up_scores, hf_source, tmp_path, capfd):
  made_up_scores.update({0: 0.004, 1: 0.003, 2: 0.3})

  def lowest():
    return json.loads((tmp_path / "analysis" / "ablation.json").read_text())[
        "prunings"]["lowest"]

  frozen = make(hf_source, tmp_path / "frozen", A(size=8), "classification",
                ["bad", "good"], "mean", "adapters-layer_norms", max_length=16)
  assert call_tool(adapter=frozen) == 0
  assert (lowest()["layers"], lowest()["shared_layers"]) == ([0, 1], 2)
  assert "of the layer passes 2 tasks 33%, 4 tasks 50%, 8 tasks 58%" in (
      capfd.readouterr().out)
  assert call_tool() == 0
  assert (lowest()["layers"], lowest()["shared_layers"]) == ([0, 1], 0)
  assert "the layer norms are the task's own" in capfd.readouterr().out
  part = Pruned((0, 1), {}, 0.0, 0, shared_layers=2)
  assert part.saved_passes(num_layers=12, num_tasks=8) == pytest.approx(
      2 * 7 / (12 * 8))


@pytest.mark.parametrize("pruning, layers", [
    ("lowest", None), ("greedy", [0, 1])])
def test_saves_what_was_asked_for(call_tool, made_up_scores, tmp_path, capfd,
                                  pruning, layers):
  made_up_scores.update({0: 0.02, 1: 0.03, 2: 0.005})
  pruned = tmp_path / "pruned"
  assert call_tool(pruning=pruning, save_pruned=pruned) == (layers is None)
  if layers:
    assert read_info(pruned).adapter["layers"] == layers
    return
  assert ("error: --save_pruned: no adapters can be left out (lowest) without "
          "a loss of accuracy above --max_loss=0.01") in capfd.readouterr().err
  assert not pruned.exists()


def test_nothing_is_relative_to_nothing(call_tool, monkeypatch, capfd):
  monkeypatch.setattr(
      "tf_adapters.experiments.analysis.AblationScores",
      lambda *_: lambda split, removed: {
          layers: {"accuracy": 0.0} for layers in removed})
  assert call_tool() == 1
  assert "accuracy is 0.0000 on the validation split with all adapters" in (
      capfd.readouterr().err)


def refused(call_tool, capfd, tmp_path, message, *flags, status=1, **changes):
  assert call_tool(*flags, **changes) == status
  error = capfd.readouterr().err.splitlines()[-1]
  assert error.startswith("error: ")
  assert message in error
  assert not (tmp_path / "analysis").exists()


def test_refuses_in_a_line(call_tool, data_dir, adapter, hf_source, tmp_path,
                           task_files, capfd):
  arguments = call_tool, capfd, tmp_path
  refused(*arguments, "--adapter must be given", adapter=None)
  refused(*arguments, "--task_name must be given", task_name=None)
  refused(*arguments, "nowhere: not an adapter file", adapter="nowhere")
  for name in ("norms", "head"):
    refused(*arguments, "expected a file of adapters", adapter=task_files[name])
  refused(*arguments, "is for tagging, but task tsv is classification",
          adapter=task_files["words"])
  refused(*arguments, "label 'bad' is not one of y, n",
          adapter=task_files["same"])
  refused(*arguments, "has no effect with --task_name=rte", "--text_column=x",
          task_name="rte")
  for loss in ("-0.1", "nan", "much"):
    refused(*arguments, "max_loss", f"--max_loss={loss}", status=2)
  # One that no tool has: those of others are there once they are imported.
  refused(*arguments, "span_map", "--span_map=1", status=2)
  mine = tmp_path / "mine"
  mine.mkdir()
  (mine / "file").write_text("")
  refused(*arguments, "is no adapter file", save_pruned=mine)
  refused(*arguments, "is the adapter file to be analysed",
          save_pruned=f"{adapter}/../{adapter.name}")
  refused(*arguments, "--pruning=lowest has no effect without --save_pruned",
          pruning="lowest")
  other = tmp_path / "other"
  shutil.copytree(
      data_dir, other, ignore=shutil.ignore_patterns("adapter", "dev*"))
  refused(*arguments, "no validation split", data_dir=other)
  (tmp_path / "file").write_text("")
  assert call_tool(output_dir=tmp_path / "file") == 1
  assert "is a file, not a folder" in capfd.readouterr().err


@pytest.mark.parametrize("layers, text", [
    ([], "none"), ([3], "3"), ([0, 1, 2, 5, 7, 8], "0-2,5,7-8"),
    ({11, 10}, "10-11")])
def test_layers_as_text(layers, text):
  assert layers_text(layers) == text
