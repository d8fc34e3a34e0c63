"""Whole runs of the baseline without BERT, in this process."""

import dataclasses
import pathlib

import numpy as np
import pytest

import tf_adapters as ta
from tests.conftest import write_sentiment
from tests.text_modules import write_text_module, write_tf1_text_module
from tf_adapters.training import bookkeeping
from tf_adapters.training.run import run
from tf_adapters.training.run_checks import check
from tf_adapters.training.run_config import GlueRunConfig, SquadRunConfig
from tf_adapters.training.run_plan import check_same_run


@pytest.fixture(scope="module")
def module_config(hf_source, tmp_path_factory):
  return GlueRunConfig(
      task_name="tsv", encoder=str(hf_source), output_dir="",
      data_dir=str(write_sentiment(tmp_path_factory.mktemp("data"))),
      do_train=True, do_eval=True, text_network=True, hidden_layers=1,
      hidden_units=16, train_batch_size=8, num_train_epochs=2,
      learning_rate=0.02)


@pytest.fixture
def config(module_config, tmp_path):
  return dataclasses.replace(module_config, output_dir=str(tmp_path / "run"))


def predictions(config, name="test.tsv"):
  return pathlib.Path(config.output_dir, "predictions", name).read_text()


def test_a_run_leaves_all_but_an_adapter_file(config, tmp_path):
  first = run(config)
  assert {path.name for path in (tmp_path / "run").iterdir()} == {
      "results.json", "checkpoints", "tensorboard", "flags.flags",
      "data.json"}
  assert first["tuning"] == "network"
  assert first["metrics"]["validation"]["accuracy"] > 0.7
  layers = (32 + 1) * 16 + (16 + 1) * 2
  table = first["parameters"]["base"]
  assert table % 32 == 0
  assert (first["parameters"]["trained"],
          first["parameters"]["total"]) == (layers, layers + table)
  assert first["hyperparameters"]["network"] == {
      "hidden_layers": 1, "hidden_units": 16, "hidden_dropout": 0.1}
  # What is asked for later starts from the last checkpoint.
  later = run(dataclasses.replace(config, do_predict=True))
  assert later["steps"] == first["steps"] == 2 * 6
  assert later["metrics"] == first["metrics"]
  written = predictions(config)
  assert written.startswith("index\ttext\tlabel\tprediction\tbad\tgood\n")
  # And without one at the beginning, with the same end.
  again = dataclasses.replace(config, do_predict=True, keep_checkpoints=False,
                              output_dir=str(tmp_path / "again"))
  assert run(again)["metrics"] == first["metrics"]
  assert predictions(again) == written
  assert not (tmp_path / "again" / "checkpoints").exists()


def test_a_stopped_run_ends_with_the_same_predictions(
    config, tmp_path, monkeypatch):
  config = dataclasses.replace(
      config, tune_embedding=True, do_predict=True, save_checkpoints_steps=2)
  whole = dataclasses.replace(config, output_dir=str(tmp_path / "whole"))
  expected = run(whole)
  assert expected["tuning"] == "network+embedding"
  assert expected["parameters"]["percent"] == 100
  end = bookkeeping.Bookkeeping.on_train_batch_end

  def stop(self, batch, logs=None):
    end(self, batch, logs)
    if self._progress.steps > 7:
      raise KeyboardInterrupt

  with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
    patched.setattr(bookkeeping.Bookkeeping, "on_train_batch_end", stop)
    run(config)
  assert run(config)["metrics"] == expected["metrics"]
  assert predictions(config) == predictions(whole)


@pytest.fixture(scope="module")
def pairs_dir(tmp_path_factory):
  """Two texts, and how many words they have in common."""
  folder = tmp_path_factory.mktemp("pairs")
  rng = np.random.default_rng(1)
  for name, rows in (("train", 40), ("dev", 12), ("test", 6)):
    lines = ["text\tother\tlabel"]
    for _ in range(rows):
      one, two = rng.choice(["Good", "bad", "PLOT", "film"], [2, 2])
      lines.append(f"{' '.join(one)}\t{' '.join(two)}\t{len({*one} & {*two})}")
    (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n")
  return folder


def test_modules_embed_pairs_of_texts(config, pairs_dir, tmp_path):
  module = write_text_module(tmp_path / "module")
  config = dataclasses.replace(
      config, text_embedding=str(module), encoder=None, data_dir=str(pairs_dir),
      text_pair_column="other", problem_type="regression", do_lower_case=True,
      do_predict=True, tune_embedding=True, learning_rate=0.1,
      distribution_strategy="one_device")
  results = run(config)
  assert set(results["metrics"]["test"]) == {"spearman", "pearson"}
  assert results["hyperparameters"]["encoder"] == str(module)
  trained = (4 * 6 + 1) * 16 + 16 + 1 + 50 * 6
  assert results["parameters"]["trained"] == trained
  assert len(predictions(config).splitlines()) == 7


@pytest.mark.slow
def test_bfloat16_and_xla_run(config):
  results = run(dataclasses.replace(
      config, mixed_precision="bfloat16", jit_compile=True, hidden_layers=2,
      num_train_epochs=1))
  assert results["steps"] == 6


def test_modules_of_tf1_are_frozen(config, tmp_path):
  config = dataclasses.replace(
      config, encoder=None, num_train_epochs=1,
      text_embedding=str(write_tf1_text_module(tmp_path / "module")))
  with pytest.raises(ta.InputError, match="no variables that can be trained"):
    run(dataclasses.replace(config, tune_embedding=True))
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("changes, message", [
    (dict(do_train=False), "leaves no adapter file to go on with: give do_tra"),
    (dict(pooling="mean"), "pooling=mean has no effect with text_network=True"),
    (dict(prefix_cache=True), "prefix_cache=True has no effect with text_netw"),
    (dict(save_adapter=False), "save_adapter=False has no effect with text_"),
    (dict(tune_pooler=True), "tune_pooler=True has no effect with text_netwo"),
    (dict(text_embedding="x"), "encoder=.* has no effect with text_embedding="),
    (dict(text_embedding="x", encoder=None, jit_compile=True),
     "jit_compile=True has no effect with text_embedding=x"),
    (dict(text_embedding="x", encoder=None, tpu="local",
          distribution_strategy="tpu"), "reads strings, which no TPU can"),
    (dict(task_name="tagging"), "for task tagging, of type tagging"),
    (dict(tuning="full"), "tuning=full has no effect with text_network=True"),
    (dict(text_network=False), "hidden_units=16 has no effect with text_netw"),
    (dict(text_network=False, hidden_units=128, tune_embedding=True),
     "tune_embedding=True has no effect with text_network=False"),
])
def test_what_has_no_effect_or_no_sense_is_refused(config, changes, message):
  with pytest.raises(ta.InputError, match=message):
    check(dataclasses.replace(config, **changes))


def test_spans_are_refused():
  with pytest.raises(ta.InputError, match="not for task squad, of type span"):
    check(SquadRunConfig(text_network=True, do_train=True, output_dir="x"))


def test_the_older_spelling_is_the_same_run(tmp_path):
  old, new = (GlueRunConfig(
      task_name="demo", output_dir=str(tmp_path), do_train=True, **values)
      for values in ({"tuning": "no_bert+embedding"},
                     {"text_network": True, "tune_embedding": True}))
  assert old == new and old.network() is not None
  lines = [line.replace("--tuning=adapters", "--tuning=no_bert")
           for line in new.flag_lines() if "text_network" not in line]
  (tmp_path / "flags.flags").write_text("\n".join(lines))
  check_same_run(new, tmp_path)
