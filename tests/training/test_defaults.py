"""Learning rates and epochs that nobody asked for."""

import dataclasses
import pathlib
import types

import pytest

import tf_adapters as ta
from tf_adapters.experiments.asha import Asha
from tf_adapters.modeling.encoders.bert import BertConfig
from tf_adapters.modeling.learning_rates import LEARNING_RATES
from tf_adapters.modeling.tuning import NETWORK, TUNINGS
from tf_adapters.training import trainer
from tf_adapters.training.run import run
from tf_adapters.training.run_config import GlueRunConfig
from tf_adapters.training.run_plan import of_older_run
from tf_adapters.training.training_config import TrainingConfig


def model(encoder, tuning):
  classifier = ta.TextClassifier(encoder, ["no", "yes"])
  classifier.tune(tuning)
  return classifier


@pytest.mark.parametrize("tuning, rate", [
    ("adapters", 1e-3), ("adapters-layer_norms+pooler", 1e-3), ("full", 1e-4),
    ("top_layers:2", 3e-4), ("layer_norm", 3e-3), ("bias", 3e-3),
    ("head", 3e-3)])
def test_small_encoders_learn_faster(encoder, tuning, rate):
  assert ta.default_learning_rate(model(encoder, tuning)) == rate


def test_bert_base_gets_the_paper_s_rates(encoder):
  classifier = model(encoder, "adapters")
  wide = BertConfig(**{**encoder.config.to_dict(), "hidden_size": 768})
  encoder.config = wide
  assert ta.default_learning_rate(classifier) == 3e-4
  classifier.tune("full")
  assert ta.default_learning_rate(classifier) == 3e-5


def test_every_tuning_has_a_rate():
  # With adapters it is the method's.
  assert {name.partition(":")[0] for name in (*TUNINGS, NETWORK)} == {
      *LEARNING_RATES, "adapters"}


def test_a_method_has_its_own_rate(one_layer_source):
  prefix = ta.PrefixConfig(length=2, bottleneck_size=4)
  union = ta.UnionConfig((prefix, ta.AdapterConfig(size=4)))
  for method, rates in ((ta.IA3Config(), (3e-3, 1e-2)),
                        (prefix, prefix.learning_rates),
                        (union, ta.AdapterConfig().learning_rates)):
    assert method.learning_rates == rates
    encoder = ta.load_encoder(one_layer_source, method)
    assert ta.default_learning_rate(model(encoder, "adapters")) == rates[1]
    assert ta.default_learning_rate(model(encoder, "bias")) == 3e-3


@pytest.mark.parametrize("steps, epochs", [
    (1, 50), (6, 50), (9, 34), (43, 7), (99, 4), (100, 3), (10_000, 3)])
def test_few_steps_get_more_epochs(steps, epochs):
  assert ta.default_epochs(steps) == epochs


def test_what_is_asked_for_is_done(encoder):
  config = TrainingConfig(train_batch_size=8)
  classifier = model(encoder, "adapters")
  settled = trainer.settled(config, classifier, rows=70)
  assert (settled.learning_rate, settled.num_train_epochs) == (1e-3, 38)
  asked = dataclasses.replace(config, learning_rate=0.5, num_train_epochs=1)
  assert trainer.settled(asked, classifier, rows=70) == asked


def test_asha_wants_to_know_the_epochs():
  config = GlueRunConfig(do_train=True)
  trials = [types.SimpleNamespace(config=config, selects=True)]
  spec = types.SimpleNamespace(source="spec.yaml", selection_seeds=(0,))
  with pytest.raises(ta.InputError, match="spec.yaml: .*num_train_epochs"):
    Asha().check(spec, trials)
  assert not Asha().stops(trials[0])


@pytest.mark.usefixtures("eagerly")
def test_a_run_says_and_keeps_what_it_took(
    one_layer_source, sentiment_dir, tmp_path, capsys):
  config = GlueRunConfig(
      task_name="tsv", encoder=str(one_layer_source), do_train=True,
      data_dir=str(sentiment_dir), output_dir=str(tmp_path / "run"),
      adapter_size=4, max_seq_length=8, num_train_epochs=1)
  results = run(config)
  assert results["hyperparameters"]["learning_rate"] == 1e-3
  assert results["hyperparameters"]["pooling"] == "pooler"
  assert "1 epochs of 1 steps, learning rate 0.001" in capsys.readouterr().out
  assert run(config) == results
  with pytest.raises(ta.InputError, match="without learning_rate, not with"):
    run(dataclasses.replace(config, learning_rate=0.01))
  # An older version has begun it, whose defaults were others.
  flags = pathlib.Path(config.output_dir, "flags.flags")
  flags.write_text(flags.read_text().replace("auto", "pooler") + (
      "--learning_rate=0.0003\n"))
  assert run(config) == results
  older = of_older_run(config, pathlib.Path(config.output_dir))
  assert (older.pooling, older.learning_rate) == ("pooler", 3e-4)
  assert older.num_train_epochs == 1
