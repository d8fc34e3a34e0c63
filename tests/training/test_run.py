"""Whole runs on a tiny encoder, in this process."""

import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

import tf_adapters as ta
from tests.conftest import write_sentiment
from tests.glue_files import write_task
from tf_adapters.data import batching
from tf_adapters.tools import glue, squad
from tf_adapters.training import bookkeeping, model_outputs, trainer
from tf_adapters.training.run import run
from tf_adapters.training.run_config import GlueRunConfig, SquadRunConfig
from tf_adapters.training.run_folder import read_epochs
from tf_adapters.training.unread_flags import (
  check_all_read,
  unread_method_flags,
)


@pytest.fixture(scope="module")
def module_config(one_layer_source, tmp_path_factory):
  return GlueRunConfig(
      task_name="tsv", encoder=str(one_layer_source), output_dir="",
      data_dir=str(write_sentiment(tmp_path_factory.mktemp("data"))),
      do_train=True, do_eval=True, adapter_size=4, max_seq_length=24,
      train_batch_size=8, num_train_epochs=3, learning_rate=0.02)


@pytest.fixture
def config(module_config, tmp_path):
  return dataclasses.replace(module_config, output_dir=str(tmp_path / "run"))


@pytest.fixture(scope="module")
def whole(module_config, tmp_path_factory):
  """A run that nothing happens to: to be looked at alone."""
  config = dataclasses.replace(
      module_config, output_dir=str(tmp_path_factory.mktemp("whole") / "run"))
  run(config)
  return config


@pytest.fixture
def trained(config, whole):
  """The results of such a run, which is in its folder."""
  shutil.copytree(whole.output_dir, config.output_dir)
  return results_of(config)


def results_of(config):
  return json.loads(
      pathlib.Path(config.output_dir, "results.json").read_text())


def tensors(config, name="adapter"):
  return safetensors.numpy.load_file(
      f"{config.output_dir}/{name}/adapter.safetensors")


def assert_same(one, two):
  assert one.keys() == two.keys()
  for name in one:
    np.testing.assert_array_equal(one[name], two[name], name)


def test_writes_what_the_readme_says(config, tmp_path, capsys):
  results = run(dataclasses.replace(config, do_predict=True))
  output_dir = tmp_path / "run"
  assert {p.name for p in output_dir.iterdir()} == {
      "results.json", "adapter", "predictions", "checkpoints", "tensorboard",
      "flags.flags", "data.json"}
  assert results_of(config) == results
  assert results["task"] == "tsv"
  assert results["tuning"] == "adapters"
  assert results["steps"] == 3 * 6
  assert set(results["metrics"]) == {"validation", "test"}
  assert set(results["metrics"]["validation"]) == {"accuracy", "macro_f1"}
  assert set(results["seconds"]) == {"load", "train", "evaluate", "total"}
  assert results["examples_per_second"] > 0
  parameters = results["parameters"]
  assert parameters["percent"] == pytest.approx(
      100 * parameters["trained"] / parameters["total"], abs=1e-3)
  assert results["hyperparameters"]["learning_rate"] == 0.02
  assert results["hyperparameters"]["adapter"]["size"] == 4
  assert "tensorflow" in results["versions"]
  lines = (output_dir / "predictions" / "test.tsv").read_text().splitlines()
  assert lines[0] == "index\ttext\tlabel\tprediction\tbad\tgood"
  assert len(lines) == 11
  index, text, right, label, *scores = lines[1].split("\t")
  assert right == text.split()[-1]  # as `sentiment_dir` has it
  assert (index, label) == ("0", ["bad", "good"][np.argmax(
      [float(s) for s in scores])])
  out = capsys.readouterr().out
  assert "trained:" in out
  assert str(output_dir / "adapter") in out
  # The flag file is a run that can be repeated.
  flags = (output_dir / "flags.flags").read_text().splitlines()
  assert "--learning_rate=0.02" in flags
  assert "--do_predict=true" in flags


def test_a_finished_run_is_left_alone(config, trained, tmp_path, capsys):
  adapter = (tmp_path / "run" / "adapter" / "adapter.safetensors")
  before = adapter.stat().st_mtime_ns
  assert run(config) == trained
  assert "finished" in capsys.readouterr().out
  assert adapter.stat().st_mtime_ns == before
  # Only what is new is done.
  run(dataclasses.replace(config, do_predict=True))
  assert adapter.stat().st_mtime_ns == before
  assert (tmp_path / "run" / "predictions" / "test.tsv").exists()


@pytest.mark.usefixtures("trained")
def test_another_configuration_is_refused(config):
  for change in (dict(learning_rate=0.01), dict(adapter_size=8), dict(seed=3)):
    name, value = next(iter(change.items()))
    with pytest.raises(ta.InputError, match=f"{name}=.*not {value}"):
      run(dataclasses.replace(config, **change))


def test_same_seed_same_numbers(config, whole):
  assert run(config)["metrics"] == results_of(whole)["metrics"]
  assert_same(tensors(config), tensors(whole))


@pytest.mark.parametrize("stop_after, save_steps", [
    (4, 2), (6, 100), pytest.param(11, 3, marks=pytest.mark.slow)])
def test_a_stopped_run_ends_with_the_same_numbers(
    config, whole, monkeypatch, stop_after, save_steps):
  expected = results_of(whole)
  stopped = dataclasses.replace(config, save_checkpoints_steps=save_steps)
  end = bookkeeping.Bookkeeping.on_train_batch_end

  def stop(self, batch, logs=None):
    end(self, batch, logs)
    if self._progress.steps > stop_after:
      raise KeyboardInterrupt

  monkeypatch.setattr(bookkeeping.Bookkeeping, "on_train_batch_end", stop)
  with pytest.raises(KeyboardInterrupt):
    run(stopped)
  monkeypatch.undo()
  folder = pathlib.Path(stopped.output_dir)
  assert read_epochs(folder) == expected["epochs"][:stop_after // 6]
  results = run(stopped)
  assert read_epochs(folder) == results["epochs"]
  assert results["metrics"] == expected["metrics"]
  assert results["steps"] == expected["steps"]
  assert results["epochs"] == expected["epochs"]
  assert results["losses"] == expected["losses"]
  assert_same(tensors(stopped), tensors(whole))


def test_several_steps_per_execution_change_nothing(
    config, whole, monkeypatch):
  # Executions end after 4 and 6 steps of each epoch.
  several = dataclasses.replace(
      config, steps_per_execution=4, save_checkpoints_steps=3)
  save = trainer.RunState.save
  saved = []

  def stop(self):
    save(self)
    saved.append(self.progress.steps)
    if self.progress.steps == 10:
      raise KeyboardInterrupt

  monkeypatch.setattr(trainer.RunState, "save", stop)
  with pytest.raises(KeyboardInterrupt):
    run(several)
  assert saved == [4, 6, 10]
  monkeypatch.undo()
  assert run(several)["metrics"] == results_of(whole)["metrics"]
  assert_same(tensors(several), tensors(whole))


def test_early_stopping_goes_on_where_it_was(
    config, tmp_path, monkeypatch, capsys):
  config = dataclasses.replace(
      config, num_train_epochs=9, early_stopping_epochs=2, do_eval=False)
  whole = dataclasses.replace(config, output_dir=str(tmp_path / "whole"))
  save = trainer.RunState.save

  def stop(self):
    save(self)
    if self.progress.steps == 18:
      raise KeyboardInterrupt

  def scripted(scores):
    scores = iter(scores)
    monkeypatch.setattr(bookkeeping, "evaluate_task", lambda *_: dict.fromkeys(
        ("accuracy", "macro_f1"), next(scores)))

  scripted([0.5, 0.7, 0.6, 0.7])
  expected = run(whole)
  assert (expected["steps"], expected["best_epoch"]) == (4 * 6, 2)
  [*_, after] = capsys.readouterr().out.split("epoch 4 of 9: ")
  assert after.splitlines()[1] == (
      "no epoch after 2 was better: the training ends")
  scripted([0.5, 0.7, 0.6, 0.7])
  with monkeypatch.context() as patched:
    patched.setattr(trainer.RunState, "save", stop)
    with pytest.raises(KeyboardInterrupt):
      run(config)
  assert run(config)["epochs"] == expected["epochs"]
  assert_same(tensors(config), tensors(whole))


def test_the_best_epoch_is_kept(config, monkeypatch):
  accuracies = iter([0.5, 0.9, 0.7])
  states = []
  predict = bookkeeping.predict

  def noted(model, *arguments):
    assert model.train_tf_function.experimental_get_tracing_count() == 1
    states.append(model.head.linear.bias.numpy())
    return predict(model, *arguments)

  def evaluate(task, *_):
    return {name: next(accuracies) if name == "accuracy" else 0.0
            for name in task.metrics}

  monkeypatch.setattr(bookkeeping, "predict", noted)
  monkeypatch.setattr(bookkeeping, "evaluate_task", evaluate)
  results = run(dataclasses.replace(config, do_eval=False))
  assert results["best_epoch"] == 2  # from 1
  assert len(results["losses"]) == len(results["epochs"]) == 3
  assert results["metrics"]["validation"]["accuracy"] == 0.9
  np.testing.assert_array_equal(tensors(config)["head/bias"], states[1])


def test_evaluates_a_saved_adapter_alone(config, trained, tmp_path):
  alone = GlueRunConfig(
      task_name="tsv", data_dir=config.data_dir, do_eval=True,
      output_dir=str(tmp_path / "alone"),
      load_adapter=str(tmp_path / "run" / "adapter"))
  assert run(alone)["metrics"] == trained["metrics"]
  # And without naming the adapter, in the folder that it lies in.
  (tmp_path / "run" / "results.json").unlink()
  again = run(GlueRunConfig(task_name="tsv", data_dir=config.data_dir,
                        do_eval=True, output_dir=config.output_dir))
  assert again["metrics"] == trained["metrics"]


@pytest.mark.usefixtures("eagerly")
def test_evaluates_an_adapter_from_a_notebook(config, tmp_path):
  model = ta.TextClassifier(
      ta.load_encoder(config.encoder, ta.AdapterConfig(size=4)),
      ["bad", "good"])
  ta.save_adapter(model, tmp_path / "mine")  # its max_length is not known
  alone = GlueRunConfig(task_name="tsv", data_dir=config.data_dir, do_eval=True,
                    output_dir=str(tmp_path / "alone"),
                    load_adapter=str(tmp_path / "mine"))
  with pytest.raises(ta.InputError, match="max_length 128: the encoder has"):
    run(alone)  # the default, too long for the tiny encoder
  assert run(dataclasses.replace(alone, max_seq_length=24))["evaluated"]


@pytest.mark.parametrize("name", ["tsv", "rte"])
def test_an_adapter_for_another_kind_of_task_is_refused(
    config, sentiment_dir, tmp_path, name):
  write_task(sentiment_dir, "rte")
  model = ta.TextRegressor(
      ta.load_encoder(config.encoder, ta.AdapterConfig(size=4)))
  ta.save_adapter(model, tmp_path / "mine")
  with pytest.raises(
      ta.InputError, match=f"regression, but task {name} is classification"):
    run(GlueRunConfig(task_name=name, data_dir=str(sentiment_dir), do_eval=True,
                  output_dir=str(tmp_path / "alone"),
                  load_adapter=str(tmp_path / "mine")))


@pytest.mark.usefixtures("trained")
def test_flags_that_contradict_the_adapter_are_refused(config, tmp_path):
  for name, value in (("pooling", "mean"), ("adapter_size", 8),
                      ("tuning", "full"), ("do_lower_case", False)):
    with pytest.raises(ta.InputError, match=f"made with {name}="):
      run(GlueRunConfig(
          task_name="tsv", data_dir=config.data_dir, do_eval=True,
          output_dir=str(tmp_path / "alone"),
          load_adapter=str(tmp_path / "run" / "adapter"), **{name: value}))


@pytest.mark.usefixtures("eagerly")
def test_presets_may_be_repeated_but_not_changed(config, tmp_path):
  run(dataclasses.replace(
      config, adapter_preset="pfeiffer", adapter_size=None,
      num_train_epochs=1))
  alone = GlueRunConfig(
      task_name="tsv", data_dir=config.data_dir, do_eval=True,
      output_dir=str(tmp_path / "alone"),
      load_adapter=str(tmp_path / "run" / "adapter"))
  for changes, message in (
      (dict(adapter_preset="parallel"),
       "adapter_size=48, not 384: leave adapter_preset out"),
      (dict(adapter_preset="adapterhub_houlsby"),
       "adapter_activation=relu, not swish: leave adapter_preset out"),
      (dict(adapter_preset="pfeiffer", adapter_size=16),
       "adapter_size=48, not 16: leave adapter_size out")):
    with pytest.raises(ta.InputError, match=message):
      run(dataclasses.replace(alone, **changes))
  same = dict(adapter_preset="pfeiffer", adapter_size=48)
  assert run(dataclasses.replace(alone, **same))["evaluated"]
  # In the run's own folder, too, where the size is no flag of the run.
  own = dict(load_adapter=None, output_dir=config.output_dir)
  assert run(dataclasses.replace(alone, **own, **same))["evaluated"]
  with pytest.raises(ta.InputError, match="made with adapter_size=48, not 16"):
    run(dataclasses.replace(alone, **own, adapter_size=16))


@pytest.mark.usefixtures("eagerly")
def test_adapter_flags_contradict_a_file_without_adapters(config, tmp_path):
  run(dataclasses.replace(
      config, tuning="bias", adapter_size=None, num_train_epochs=1))
  with pytest.raises(ta.InputError, match="adapter_size=None, not 8"):
    run(GlueRunConfig(
        task_name="tsv", data_dir=config.data_dir, do_eval=True,
        output_dir=config.output_dir, adapter_size=8))


@pytest.mark.usefixtures("trained")
def test_a_replaced_adapter_file_is_noticed(config, tmp_path):
  """By a finished run, and by one that has more to do."""
  adapter = tmp_path / "run" / "adapter"
  alone = GlueRunConfig(
      task_name="tsv", data_dir=config.data_dir, do_eval=True,
      output_dir=str(tmp_path / "alone"), load_adapter=str(adapter))
  first = run(alone)
  info = json.loads((adapter / "adapter_config.json").read_text())
  assert first["weights_sha256"] == info["weights_sha256"]
  model = ta.load_adapter(adapter)
  model.head.linear.bias.assign_add([1.0, 0.0])
  ta.save_adapter(model, adapter)
  for again in (alone, dataclasses.replace(alone, do_predict=True), config):
    with pytest.raises(ta.InputError, match="another adapter file than the one"
                       " that the results in .*: choose another output_dir"):
      run(again)
  shutil.rmtree(adapter)
  assert run(alone) == first


def test_predicting_later_changes_no_other_result(config, trained):
  later = run(GlueRunConfig(task_name="tsv", data_dir=config.data_dir,
                        do_predict=True, output_dir=config.output_dir))
  del trained["seconds"], later["seconds"]
  assert later == trained


@pytest.mark.usefixtures("eagerly")
def test_numbers_of_an_earlier_version_are_not_resumed_on(
    config, tmp_path, monkeypatch):
  lines = [f"the film is {word}\t{number}" for number, word in enumerate(
      ["good", "bad", "very good", "very bad"] * 4)]
  for split in ("train", "dev"):
    (tmp_path / f"{split}.tsv").write_text(
        "\n".join(["text\tlabel", *lines]) + "\n")
  config = dataclasses.replace(
      config, data_dir=str(tmp_path), problem_type="regression",
      save_checkpoints_steps=1)
  with monkeypatch.context() as patched:  # it learned them as they were
    patched.setattr(ta.TextRegressor, "adapt", lambda *_: None)
    patched.setattr(bookkeeping, "evaluate_task", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
      run(config)
  with pytest.raises(ta.InputError, match="a regression of an earlier version"):
    run(config)


@pytest.mark.usefixtures("eagerly")
def test_other_data_is_not_resumed_on(
    config, sentiment_dir, tmp_path, monkeypatch):
  config = dataclasses.replace(config, data_dir=str(sentiment_dir))
  monkeypatch.setattr(bookkeeping, "evaluate_task", lambda *_: 1 / 0)
  with pytest.raises(ZeroDivisionError):
    run(dataclasses.replace(config, save_checkpoints_steps=2))
  monkeypatch.undo()
  path = tmp_path / "train.tsv"
  path.write_text(path.read_text().replace("very", "not"))
  with pytest.raises(ta.InputError, match="train.tsv: is not what the run in"):
    run(dataclasses.replace(config, save_checkpoints_steps=2))
  # Of an older run the checkpoints alone know it.
  (tmp_path / "run" / "data.json").unlink()
  with pytest.raises(ta.InputError, match="trained on other data"):
    run(dataclasses.replace(config, save_checkpoints_steps=2))


def test_a_diverged_epoch_is_never_the_best(config, monkeypatch):
  values = iter([float("nan"), 0.5, float("nan")])
  monkeypatch.setattr(
      bookkeeping, "evaluate_task",
      lambda task, *_: dict.fromkeys(task.metrics, next(values)))
  task = ta.load_task("tsv", config.data_dir)
  model = ta.TextClassifier(ta.load_encoder(config.encoder), task.labels)
  progress = trainer.train(
      model, task, model.encoder.text_processor(24), config,
      pathlib.Path(config.output_dir), say_cut=lambda *_: None)
  assert progress.best_epoch == 1


def test_empty_splits_are_refused_before_training(
    config, sentiment_dir, tmp_path):
  config = dataclasses.replace(config, data_dir=str(sentiment_dir))
  for name, ask in (("test", "do_predict"), ("dev", "do_train")):
    kept = (tmp_path / f"{name}.tsv").read_text()
    (tmp_path / f"{name}.tsv").write_text("text\tlabel\n")
    with pytest.raises(ta.InputError, match="split in .* is empty"):
      run(dataclasses.replace(config, **{ask: True}))
    (tmp_path / f"{name}.tsv").write_text(kept)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("eagerly")
def test_checkpoints_can_go(config, tmp_path):
  run(dataclasses.replace(config, keep_checkpoints=False, do_eval=False,
                          num_train_epochs=1))
  assert not (tmp_path / "run" / "checkpoints").exists()
  assert (tmp_path / "run" / "adapter").exists()


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("name, file, predictions", [
    ("mrpc", "MRPC.tsv", {"0", "1"}),
    ("rte", "RTE.tsv", {"entailment", "not_entailment"}),
    ("cola", "CoLA.tsv", {"0", "1"}),
    ("stsb", "STS-B.tsv", None),
])
def test_predictions_are_as_the_glue_server_takes_them(
    config, tmp_path, name, file, predictions):
  write_task(tmp_path, name)
  results = run(dataclasses.replace(
      config, task_name=name, data_dir=str(tmp_path), do_predict=True,
      num_train_epochs=1, train_batch_size=2, tuning="head",
      adapter_size=None))
  assert "validation" in results["metrics"]
  lines = (tmp_path / "run" / "predictions" / file).read_text().splitlines()
  assert lines[0] == "index\tprediction"
  rows = [line.split("\t") for line in lines[1:]]
  assert [row[0] for row in rows] == [str(n) for n in range(len(rows))]
  if predictions is None:
    assert all(0 <= float(row[1]) <= 5 for row in rows)
  else:
    assert {row[1] for row in rows} <= predictions


@pytest.mark.usefixtures("eagerly")
def test_mnli_is_validated_and_predicted_twice(config, tmp_path):
  write_task(tmp_path, "mnli")
  results = run(dataclasses.replace(
      config, task_name="mnli", data_dir=str(tmp_path), do_predict=True,
      num_train_epochs=1, train_batch_size=2, tuning="head",
      adapter_size=None))
  assert set(results["metrics"]) == {"validation", "validation_mismatched"}
  assert {p.name for p in (tmp_path / "run" / "predictions").iterdir()} == {
      "MNLI-m.tsv", "MNLI-mm.tsv"}


@pytest.mark.parametrize("tuning", [
    "adapters", pytest.param("top_layers:1", marks=pytest.mark.slow)])
def test_bfloat16_and_xla_run(config, tuning):
  results = run(dataclasses.replace(
      config, mixed_precision="bfloat16", jit_compile=True, tuning=tuning,
      do_predict=True, num_train_epochs=1))
  assert results["steps"] == 6
  assert {t.dtype for t in tensors(config).values()} == {np.dtype("float32")}


def test_widths_of_batches_are_few_where_each_is_compiled(config):
  assert model_outputs.widths_of(config) == batching.WIDTHS
  for change in ({"jit_compile": True}, {"distribution_strategy": "tpu"}):
    changed = dataclasses.replace(config, **change)
    assert model_outputs.widths_of(changed) == batching.FEW_WIDTHS
    assert model_outputs.widths_of(
        dataclasses.replace(changed, batch_widths=(48,))) == (48,)


def test_padding_changes_no_metric(config, trained, tmp_path):
  padded = run(dataclasses.replace(
      config, do_train=False, batch_widths=(24,),
      load_adapter=str(tmp_path / "run" / "adapter"),
      output_dir=str(tmp_path / "padded")))["metrics"]
  for split, metrics in padded.items():
    assert metrics == pytest.approx(trained["metrics"][split], abs=1e-6)


@pytest.mark.parametrize("strategy", ["one_device", "mirrored"])
def test_strategies_of_one_replica_change_nothing(config, whole, strategy):
  results = run(dataclasses.replace(config, distribution_strategy=strategy))
  assert results["metrics"] == results_of(whole)["metrics"]
  for name, array in tensors(whole).items():
    np.testing.assert_allclose(tensors(config)[name], array, atol=1e-5)


def test_a_failed_start_leaves_no_folder(config, tmp_path):
  with pytest.raises(ta.InputError):
    run(dataclasses.replace(config, text_column="words"))
  assert not (tmp_path / "run").exists()


def test_tensorboard_has_the_metrics(whole):
  results = results_of(whole)
  scalars = {}
  for file in pathlib.Path(whole.output_dir, "tensorboard").rglob("events*"):
    for event in tf.compat.v1.train.summary_iterator(str(file)):
      for value in event.summary.value:
        if value.metadata.plugin_data.plugin_name == "scalars":
          steps = scalars.setdefault(f"{file.parent.name}/{value.tag}", {})
          steps[event.step] = float(tf.make_ndarray(value.tensor))
  assert set(scalars) == {
      "train/epoch_loss", "train/epoch_accuracy", "train/epoch_learning_rate",
      "validation/epoch_accuracy", "validation/epoch_macro_f1"}
  assert all(set(values) == {0, 1, 2} for values in scalars.values())
  losses = scalars["train/epoch_loss"]
  assert losses[2] < losses[0]
  for name in ("accuracy", "macro_f1"):
    assert [scalars[f"validation/epoch_{name}"][epoch] for epoch in range(3)
            ] == pytest.approx(
                [epoch["validation"][name] for epoch in results["epochs"]])


@pytest.mark.parametrize("tool, config", [
    (glue, GlueRunConfig), (squad, SquadRunConfig)])
def test_every_flag_is_a_field_of_the_run(tool, config):
  ours = {flag.name for flag in
          tool.flags.FLAGS.get_key_flags_for_module(tool)}
  assert ours == {field.name for field in dataclasses.fields(config)}


def test_adapter_flags_of_a_flag_file_are_no_mistake_without_adapters():
  given = {"adapter_size": 8, "adapter_init_scale": 0.01}
  config = GlueRunConfig(tuning="full", **given)
  check_all_read(config)
  assert sorted(unread_method_flags(config)) == sorted(given)
  assert not unread_method_flags(GlueRunConfig(**given))
