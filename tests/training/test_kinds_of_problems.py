"""Every type of problem: a run, `model.fit`, an adapter file, predictions."""

import csv
import dataclasses
import io
import json

import numpy as np
import pytest
import tf_keras
from official.nlp.tools import squad_evaluate_v1_1, squad_evaluate_v2_0

import tf_adapters as ta
from tf_adapters.data import squad
from tf_adapters.data.squad_options import SquadOptions
from tf_adapters.problems import PROBLEMS
from tf_adapters.problems.metrics import evaluate
from tf_adapters.training.run import run
from tf_adapters.training.run_config import GlueRunConfig, SquadRunConfig


@pytest.fixture
def multi_label_dir(tmp_path):
  rng = np.random.default_rng(0)
  for name, rows in (("train", 48), ("dev", 16), ("test", 8)):
    lines = ["text\tlabel"]
    for _ in range(rows):
      words = rng.choice(["good", "bad", "plot", "film"], 3)
      labels = sorted(set(words) & {"good", "bad"})
      lines.append(f"{' '.join(words)}\t{'; '.join(labels)}")
    (tmp_path / f"{name}.tsv").write_text("\n".join(lines) + "\n")
  return tmp_path


@pytest.fixture
def tagging_dir(tmp_path):
  rng = np.random.default_rng(0)
  for name, rows in (("train", 48), ("dev", 16), ("test", 8)):
    lines = []
    for _ in range(rows):
      for word in rng.choice(["the", "film", "good", "unable"],
                             rng.integers(1, 9)):
        lines.append(f"{word}\t{'B-work' if word == 'film' else 'O'}")
      lines.append("")
    (tmp_path / f"{name}.conll").write_text("\n".join(lines) + "\n")
  return tmp_path


def config(one_layer_source, folder, **changes):
  return GlueRunConfig(**{**dict(
      output_dir=str(folder / "run"), data_dir=str(folder),
      encoder=str(one_layer_source), do_train=True, do_eval=True,
      do_predict=True, max_seq_length=16, num_train_epochs=8,
      learning_rate=1e-2, train_batch_size=8, adapter_size=4), **changes})


def test_any_number_of_labels(one_layer_source, multi_label_dir):
  results = run(config(
      one_layer_source, multi_label_dir, task_name="tsv",
      problem_type="multi_label", label_separator=";", pooling="mean"))
  metrics = results["metrics"]["validation"]
  assert set(metrics) == {"micro_f1", "macro_f1", "accuracy"}
  assert metrics["micro_f1"] > 0.7
  lines = (multi_label_dir / "run" / "predictions" / "test.tsv").read_text()
  rows = [line.split("\t") for line in lines.splitlines()]
  assert rows[0] == ["index", "text", "label", "prediction", "bad", "good"]
  assert len(rows) == 9
  for *_, predicted, bad, good in rows[1:]:
    assert set(filter(None, predicted.split(";"))) == {
        label for label, score in zip(rows[0][4:], (bad, good))
        if float(score) > 0.5}
  model = ta.load_adapter(multi_label_dir / "run" / "adapter")
  assert model.problem_type == "multi_label"
  assert model.labels == ("bad", "good")


def test_tagging(one_layer_source, tagging_dir):
  results = run(config(one_layer_source, tagging_dir, task_name="tagging"))
  assert results["metrics"]["validation"]["entity_f1"] > 0.95
  assert set(results["metrics"]) == {"validation", "test"}
  predicted = (tagging_dir / "run" / "predictions" / "test.conll").read_text()
  true = (tagging_dir / "test.conll").read_text()
  words = [line.split("\t")[0] for line in predicted.split("\n")]
  assert words == [line.split("\t")[0] for line in true.strip().split("\n")
                   ] + [""]
  assert [line.split("\t")[:2] for line in predicted.splitlines()] == [
      line.split("\t") for line in true.strip().split("\n")]
  again = run(config(
      one_layer_source, tagging_dir, task_name="tagging", do_train=False,
      do_predict=False, output_dir=str(tagging_dir / "again"),
      load_adapter=str(tagging_dir / "run" / "adapter")))
  assert again["metrics"] == results["metrics"]
  saved = json.loads((tagging_dir / "run" / "results.json").read_text())
  assert saved["data"]["splits"] == {"train": 48, "validation": 16, "test": 8}


@pytest.mark.usefixtures("eagerly")
def test_another_kind_of_problem_is_refused(one_layer_source, tagging_dir):
  run(config(one_layer_source, tagging_dir, task_name="tagging",
             num_train_epochs=1))
  with pytest.raises(ta.InputError, match="is for tagging, but task tsv is"):
    run(config(one_layer_source, tagging_dir, task_name="tsv", do_train=False,
               output_dir=str(tagging_dir / "again"),
               load_adapter=str(tagging_dir / "run" / "adapter")))


@pytest.mark.parametrize("make", [
    lambda encoder: ta.TextClassifier(
        encoder, ["a", "b", "c"], multi_label=True),
    lambda encoder: ta.TokenTagger(encoder, ["O", "B", "I"]),
    lambda encoder: ta.SpanExtractor(encoder),
])
def test_models_survive_keras_and_adapter_files(
    make, one_layer_source, batch, tmp_path):
  model = make(ta.load_encoder(
      str(one_layer_source), ta.AdapterConfig(size=8)))
  expected = model(batch)
  model.save(tmp_path / "m.keras")
  again = tf_keras.models.load_model(tmp_path / "m.keras")
  np.testing.assert_array_equal(again(batch), expected)
  assert again.problem_type == model.problem_type
  ta.save_adapter(model, tmp_path / "adapter")
  again = ta.load_adapter(tmp_path / "adapter")
  np.testing.assert_array_equal(again(batch), expected)
  assert again.problem_type == model.problem_type


def test_metrics_of_label_sets():
  labels = np.array([[1, 0, 1], [0, 1, 0]], np.float32)
  outputs = np.array([[2.0, -1.0, -3.0], [-1.0, 1.0, 4.0]])
  predicted, _ = PROBLEMS["multi_label"].decided(outputs)
  values = evaluate(["micro_f1", "macro_f1", "accuracy"], labels, predicted)
  assert values["micro_f1"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
  assert values["macro_f1"] == pytest.approx(2 / 3)
  assert values["accuracy"] == 0.0


def test_a_label_that_is_unknown_is_named(tmp_path):
  (tmp_path / "train.tsv").write_text("text\tlabel\na\tx|y\nb\t\nc\ty\n")
  (tmp_path / "dev.tsv").write_text("text\tlabel\na\tx\nb\ty|z\n")
  with pytest.raises(ta.InputError, match=r"dev.tsv:3: label 'z' is not one"):
    ta.load_task("tsv", str(tmp_path), problem_type="multi_label",
                 label_separator="|")


@pytest.fixture
def squad_file(tmp_path):
  """Questions whose answer is the word behind the one they ask for."""
  rng = np.random.default_rng(0)
  paragraphs = []
  for number in range(40):
    words = list(rng.permutation(
        ["good", "bad", "plot", "the", "so", "very", "said"]))
    context = " ".join(words)
    place = int(rng.integers(0, 6))
    paragraphs.append({"context": context, "qas": [
        {"id": f"q{number}", "question": words[place], "answers": [{
            "text": words[place + 1],
            "answer_start": context.index(words[place + 1])}]},
        {"id": f"n{number}", "question": "film", "answers": [],
         "is_impossible": True}]})
  path = tmp_path / "squad.json"
  path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
  return path


@pytest.mark.parametrize("version_2", [False, True])
def test_squad(one_layer_source, squad_file, tmp_path, version_2):
  results = run(SquadRunConfig(
      output_dir=str(tmp_path / "run"), encoder=str(one_layer_source),
      train_file=str(squad_file), predict_file=str(squad_file),
      version_2_with_negative=version_2, do_train=True, do_eval=True,
      do_predict=True, max_seq_length=16, max_query_length=3, doc_stride=4,
      num_train_epochs=2, learning_rate=1e-2, train_batch_size=8,
      eval_each_epoch=False, tuning="full"))
  metrics = results["metrics"]["validation"]
  folder = tmp_path / "run" / "predictions"
  predictions = json.loads((folder / "predictions.json").read_text())
  dataset = json.loads(squad_file.read_text())["data"]
  if version_2:
    assert len(json.loads((folder / "null_odds.json").read_text())) == 80
    official = squad_evaluate_v2_0.evaluate(dataset, predictions)
    assert official["f1"] == pytest.approx(100 * metrics["f1"], rel=1e-14)
    assert official["NoAns_f1"] == pytest.approx(
        100 * metrics["no_answer_f1"], rel=1e-14)
    assert official["HasAns_f1"] == pytest.approx(
        100 * metrics["has_answer_f1"], rel=1e-14)
  else:
    assert not (folder / "null_odds.json").exists()
    for paragraph in dataset[0]["paragraphs"]:
      paragraph["qas"].pop()  # the other script needs answers
    official = squad_evaluate_v1_1.evaluate(dataset, predictions)
    assert (official["final_f1"], official["exact_match"]) == (
        metrics["f1"], metrics["exact_match"])
    assert "40 without an answer (first: " in str(results["data"]["notes"])
  contexts = {qa["id"]: paragraph["context"]
              for paragraph in dataset[0]["paragraphs"]
              for qa in paragraph["qas"]}
  assert all(predictions[name] in context
             for name, context in contexts.items())
  candidates = json.loads((folder / "nbest_predictions.json").read_text())
  assert set(candidates) == set(predictions)
  header, *rows = csv.reader(
      io.StringIO((folder / "validation.tsv").read_text()), delimiter="\t")
  assert header == ["index", "question", "label", "prediction"]
  assert {row[0]: row[3] for row in rows} == predictions
  again = run(SquadRunConfig(
      output_dir=str(tmp_path / "again"), predict_file=str(squad_file),
      load_adapter=str(tmp_path / "run" / "adapter"), do_eval=True,
      version_2_with_negative=version_2, max_query_length=3, doc_stride=4))
  assert again["metrics"]["validation"] == metrics


@pytest.mark.usefixtures("eagerly")
def test_questions_without_answers_choose_no_epoch(
    one_layer_source, squad_file, tmp_path):
  data = json.loads(squad_file.read_text())
  for paragraph in data["data"][0]["paragraphs"]:
    for question in paragraph["qas"]:
      del question["answers"]
      question.pop("is_impossible", None)
  asked = tmp_path / "asked.json"
  asked.write_text(json.dumps(data))
  config = SquadRunConfig(
      output_dir=str(tmp_path / "run"), encoder=str(one_layer_source),
      train_file=str(squad_file), predict_file=str(asked), do_train=True,
      do_predict=True, max_seq_length=16, max_query_length=3, doc_stride=4,
      num_train_epochs=1, train_batch_size=8, adapter_size=4)
  results = run(config)
  assert results["best_epoch"] is None
  assert results["metrics"] == {}
  assert results["data"]["splits"] == {"train": 40, "validation": 80}
  again = dataclasses.replace(config, do_train=False, train_file=None)
  for changes, message in (
      (dict(doc_stride=5), "doc_stride=4, not 5"),
      (dict(version_2_with_negative=True), "version_2_with_negative=false"),
      (dict(n_best_size=3), "n_best_size=20, not 3")):
    with pytest.raises(ta.InputError, match=message):
      run(dataclasses.replace(again, **changes))
  with pytest.raises(ta.InputError, match="nothing to evaluate"):
    run(dataclasses.replace(again, do_eval=True))
  with pytest.raises(ta.InputError, match=(
      "fewer than doc_stride 20: give doc_stride=10 or less, or a larger ma")):
    run(dataclasses.replace(
        config, doc_stride=20, output_dir=str(tmp_path / "other")))
  assert not (tmp_path / "other").exists()


@pytest.mark.usefixtures("eagerly")
def test_speed_counts_windows(one_layer_source, squad_file, tmp_path):
  results = run(SquadRunConfig(
      output_dir=str(tmp_path / "run"), encoder=str(one_layer_source),
      train_file=str(squad_file), do_train=True, num_train_epochs=1,
      train_batch_size=100, max_seq_length=10, max_query_length=3,
      doc_stride=4))
  assert results["hyperparameters"]["train_examples"] == 40
  # Contexts have seven words: more than there is room for.
  assert results["hyperparameters"]["train_rows"] == 80
  assert results["steps"] == 1
  assert results["examples_per_second"] * results["seconds"]["train"] == (
      pytest.approx(80))


def test_a_span_model_learns_in_plain_keras(one_layer_source, squad_file):
  tf_keras.utils.set_random_seed(0)
  encoder = ta.load_encoder(str(one_layer_source), ta.AdapterConfig(size=8))
  task = squad.load(str(squad_file), options=SquadOptions(
      doc_stride=4, max_query_length=3))
  model = ta.SpanExtractor(encoder)
  model.tune("full")
  model.compile(ta.create_optimizer(3e-3, 80), model.loss_function)
  history = model.fit(
      task.train_dataset(encoder.text_processor(16), batch_size=8), epochs=10,
      verbose=0).history["loss"]
  assert history[-1] < 0.9 * history[0]
