"""However many replicas there are, the results are those of one."""

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import types
from unittest import mock

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
import tf_keras
from hypothesis import given, settings, strategies as st

import tf_adapters as ta
from tests.conftest import (
  TINY,
  lowest,
  write_hugging_face,
  write_sentiment,
)
from tf_adapters.data.batching import Encoded, training_batches
from tf_adapters.modeling.task_layers import TaskLayers
from tf_adapters.modeling.vocabularies.wordpiece import WordpieceVocabulary
from tf_adapters.training import trainer
from tf_adapters.training.distribution import make_strategy
from tf_adapters.training.model_outputs import predict
from tf_adapters.training.prefix_cache import add_prefix_output
from tf_adapters.training.run import run
from tf_adapters.training.run_config import GlueRunConfig
from tf_adapters.training.training_config import TrainingConfig

ROOT = pathlib.Path(__file__).parents[2]
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *map(str, range(16))]
CONFIG = ta.BertConfig(
    vocab_size=20, hidden_size=8, num_hidden_layers=2,
    num_attention_heads=2, intermediate_size=12, max_position_embeddings=8,
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def trained(make, labels, strategy, layers=None, prefix_cache=False):
  """Takes a step of SGD on four texts.

  Returns:
    The tuned variables before and after it, and the step's loss and metrics.
  """
  rng = np.random.default_rng(0)
  lengths = np.array([[6], [2], [5], [4]])
  inputs = {
      "input_word_ids": rng.integers(1, 20, [4, 6]),
      "input_mask": np.arange(6) < lengths,
      "input_type_ids": np.zeros([4, 6])}
  inputs = {name: value.astype(np.int32) for name, value in inputs.items()}
  with strategy.scope():
    model = make(ta.BertEncoder(
        CONFIG, TaskLayers(CONFIG, ta.AdapterConfig(size=4, layers=layers))))
    for variable in model.named_variables().values():
      variable.assign(rng.normal(0.0, 0.5, variable.shape))
    model.tune("adapters")
    optimizer = tf_keras.optimizers.SGD(0.1)
  # As in Keras, names need no scope.
  model.compile(optimizer, metrics=["accuracy", "macro_f1"])
  with strategy.scope():
    dataset = tf.data.Dataset.from_tensors((inputs, labels))
    if prefix_cache:
      dataset = cached(model.encoder, inputs, lengths[:, 0], labels)
  before = {name: v.numpy() for name, v in model.tuned_variables().items()}
  history = model.fit(dataset, class_weight={"b": 3.0}, verbose=0).history
  return before, {
      name: v.numpy() for name, v in model.tuned_variables().items()}, history


def cached(encoder, inputs, lengths, labels):
  """One batch that starts from the output of the frozen layers."""
  ids, types = (tf.RaggedTensor.from_tensor(inputs[name], lengths)
                for name in ("input_word_ids", "input_type_ids"))
  encoded = add_prefix_output(
      Encoded(processor(), ids, types, tf.constant(labels)), encoder, 2, ".")
  return training_batches(encoded, 4, 0, range(1))


def processor():
  return ta.TextProcessor(WordpieceVocabulary(TOKENS, lower_case=True), 8)


def encoded(lengths):
  """Rows of so many random words."""
  words = np.random.default_rng(0).integers(4, 20, sum(lengths))
  ids = tf.RaggedTensor.from_row_lengths(words.astype(np.int32), lengths)
  return Encoded(processor(), ids, tf.zeros_like(ids), None)


def compare_predictions(make, strategies):
  """Outputs of rows of every length, in batches of several sizes."""
  lengths = [3, 8, 2, 5, 8, 1, 4]
  rows = encoded(lengths)
  models = []
  for strategy in strategies:
    with strategy.scope():
      models.append(make(ta.BertEncoder(
          dataclasses.replace(CONFIG, num_hidden_layers=1))))
      weights = np.random.default_rng(1)
      for variable in models[-1].named_variables().values():
        variable.assign(weights.normal(0.0, 0.5, variable.shape))
  alone = predict(models[0], rows, TrainingConfig(eval_batch_size=1))
  for batch_size in (3, 64):  # two replicas make 2 of 3
    config = TrainingConfig(eval_batch_size=batch_size)
    for model in models:
      outputs = predict(model, rows, config)
      assert len(outputs) == 7
      for one, other, length in zip(alone, outputs, lengths):
        if model.per_token:
          one, other = one[:length], other[:length]
        np.testing.assert_allclose(other, one, atol=1e-5)


def check_slots(strategy):
  """A model that was made in a scope is trained outside of it."""
  with strategy.scope():
    model = ta.TextClassifier(ta.BertEncoder(CONFIG), ["a", "b"])
  data = ta.Dataset.from_lists(["1 2", "3", "4 5", "6"], ["a", "b", "a", "b"])
  with (mock.patch.object(trainer, "_fit"),
        tempfile.TemporaryDirectory() as folder):
    trainer.train(model, data, processor(), TrainingConfig(train_batch_size=2),
                  pathlib.Path(folder), lambda *_: None)
  slots = [slot for slot in model.optimizer.variables if slot.shape.rank]
  assert len(slots) == 2 * len(model.trainable_variables)
  for slot in slots:
    assert len(strategy.experimental_local_results(slot)) == 2, slot.name


def compare():
  # Has to come before TensorFlow starts; one for all models: of two strategies
  # TensorFlow mixes up the messages.
  two_replicas = make_strategy("mirrored", num_replicas=2)
  assert two_replicas.num_replicas_in_sync == 2
  alone = make_strategy()
  assert alone.num_replicas_in_sync == 1
  names = ["a", "b", "c"]
  tags = np.full([4, 6], -1, np.int32)
  tags[0, 1:5] = [0, 1, 2, 0]
  tags[2, 1] = 1  # the second replica's only one
  texts = (lambda encoder: ta.TextClassifier(encoder, names, dropout=0.0),
           np.array([0, 1, 2, 0], np.int32))
  tokens = lambda encoder: ta.TokenTagger(encoder, names, dropout=0.0), tags
  for (make, labels), layers, prefix_cache in (
      (tokens, None, False), (texts, (1,), True)):
    before, one, said = trained(make, labels, alone, layers)
    _, two, other = trained(make, labels, two_replicas, layers, prefix_cache)
    for name, values in said.items():
      assert other[name] == pytest.approx(values, abs=1e-5), name
    assert two.keys() == one.keys()
    for name, value in one.items():
      assert np.abs(value - before[name]).max() > 1e-5, name
      np.testing.assert_allclose(two[name], value, atol=1e-6, err_msg=name)
  for make, _ in (texts, tokens):
    compare_predictions(make, (alone, two_replicas))
  check_slots(two_replicas)
  with pytest.raises(ta.InputError, match="=9: cannot be split over num_rep"):
    run(GlueRunConfig(
        output_dir="there/is/none", do_train=True, train_batch_size=9,
        distribution_strategy="mirrored", num_replicas=2))
  with pytest.raises(ta.InputError, match="num_replicas=3 comes too late"):
    make_strategy("mirrored", num_replicas=3)


def test_two_replicas_train_and_predict_as_one():
  done = subprocess.run(
      [sys.executable, "-m", "tests.training.test_replicas"], cwd=ROOT,
      capture_output=True, text=True)
  assert done.returncode == 0, done.stderr


class Replicas:
  """Gives back the input's words, a part of each batch by each replica."""

  def __init__(self, replicas, per_token):
    self.distribute_strategy = types.SimpleNamespace(
        num_replicas_in_sync=replicas)
    self.per_token = per_token
    self.shapes = set()

  def predict(self, dataset, verbose, callbacks):
    outputs = []
    for inputs in dataset.as_numpy_iterator():
      parts = np.split(inputs["input_word_ids"],  # equal ones, or an error
                       self.distribute_strategy.num_replicas_in_sync)
      self.shapes |= {part.shape for part in parts}
      outputs += parts
    if self.per_token:
      return np.concatenate(outputs)
    # No words are zeros: what a row holds, not how it was padded.
    return np.concatenate([(part * part).sum(-1) for part in outputs])


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(1, 8), min_size=1, max_size=40),
       batch_size=st.integers(1, 40), replicas=st.integers(1, 8),
       compiled=st.booleans(), per_token=st.booleans())
def test_every_row_is_predicted_once(
    lengths, batch_size, replicas, compiled, per_token):
  rows = encoded(lengths)
  model = Replicas(replicas, per_token)
  outputs = predict(model, rows, TrainingConfig(
      eval_batch_size=batch_size, jit_compile=compiled))
  assert len(outputs) == len(rows)
  for words, output in zip(rows.word_ids.numpy().tolist(), outputs):
    if per_token:
      assert output[:len(words)].tolist() == list(words)
      assert not output[len(words):].any()
    else:
      assert output == np.square(words).sum()
  if compiled:
    assert len({rows for rows, _ in model.shapes}) == 1


@pytest.mark.parametrize("flags, message", [
    (dict(num_replicas=2), "num_replicas=2 has no effect with distribution_str"
     "ategy=off"),
    (dict(num_replicas=2, distribution_strategy="one_device"), "has no effect"),
    (dict(num_replicas=2, distribution_strategy="multi_worker_mirrored"),
     "has no effect"),
    (dict(distribution_strategy="tpu"), "needs --tpu: a name"),
    (dict(distribution_strategy="multi_worker_mirrored"),
     "needs the environment variable TF_CONFIG, such as '{.*}'"),
])
def test_flags_that_make_no_sense_are_refused(
    flags, message, tmp_path, monkeypatch):
  monkeypatch.delenv("TF_CONFIG", raising=False)
  with pytest.raises(ta.InputError, match=message):
    run(GlueRunConfig(do_eval=True, output_dir=str(tmp_path / "run"), **flags))
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("change", [
    "no json", "[]", "{}", dict(task={"type": "worker", "index": 2}),
    dict(task={"type": "worker", "index": -1}), dict(task={"type": "worker"}),
    dict(task={"type": "ps", "index": 0}), dict(task=None),
    dict(cluster={"worker": ["host"]}), dict(cluster={"worker": 3}),
    dict(cluster={"worker": ["a:1", "b:1"], "ps": ["c:1"]}),
    dict(cluster={"worker": ["a:1", "b:1"], "chief": ["c:1", "d:1"]}),
])
def test_a_wrong_cluster_is_said(change, monkeypatch):
  if isinstance(change, dict):
    change = json.dumps({"cluster": {"worker": ["a:1", "b:1"]},
                         "task": {"type": "worker", "index": 0}} | change)
  monkeypatch.setenv("TF_CONFIG", change)
  with pytest.raises(ta.InputError, match="TF_CONFIG=.*: expected workers, at "
                     "most one chief, and a task that is one of them, such as"):
    make_strategy("multi_worker_mirrored")


def flat_source(bert_weights, vocab_file, folder):
  """The tiny encoder without dropout: replicas would have masks of their own.
  """
  return write_hugging_face(
      folder, TINY | dict(num_hidden_layers=1, hidden_dropout_prob=0.0,
                          attention_probs_dropout_prob=0.0),
      lowest(bert_weights, 1), vocab_file)


@pytest.fixture(scope="module", params=["tsv", "mrpc"])
def base(request, bert_weights, vocab_file, tmp_path_factory):
  """A run without a strategy, on a task whose batches are not all full."""
  folder = tmp_path_factory.mktemp("runs")
  if request.param == "mrpc":
    data_dir = request.getfixturevalue("real_data") / "glue" / "MRPC"
  else:
    data_dir = write_sentiment(tmp_path_factory.mktemp("data"))
  config = GlueRunConfig(
      task_name=request.param, data_dir=str(data_dir), do_train=True,
      do_eval=True, encoder=str(flat_source(
          bert_weights, vocab_file, folder / "bert")), adapter_size=4,
      max_seq_length=24, train_batch_size=8, eval_batch_size=7,
      max_train_examples=48, num_train_epochs=3, learning_rate=0.02,
      save_checkpoints_steps=2, output_dir=str(folder / "off"))
  run(config)
  return config


def start(config, log, environment=None):
  """The command line."""
  return subprocess.Popen(
      [sys.executable, "run_glue.py", *config.flag_lines()], cwd=ROOT,
      env=os.environ | (environment or {}), stdout=log, stderr=log)


def clusters():
  """TF_CONFIG of each of two workers on this machine."""
  with contextlib.ExitStack() as stack:
    sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
    for one in sockets:
      one.bind(("127.0.0.1", 0))
    hosts = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
  return [{"TF_CONFIG": json.dumps({
      "cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}
      })} for index in range(2)]


def assert_same(base, config, replicas):
  one, other = (json.loads(pathlib.Path(
      c.output_dir, "results.json").read_text()) for c in (base, config))
  assert other["hyperparameters"]["replicas"] == replicas
  rows = {"tsv": {"validation": 21, "test": 10}, "mrpc": {"validation": 408}}
  assert rows[base.task_name].items() <= other["evaluated_rows"].items()
  assert other["evaluated_rows"] == one["evaluated_rows"]
  for mine, theirs in zip(one["epochs"], other["epochs"], strict=True):
    assert theirs["validation"] == pytest.approx(mine["validation"], abs=1e-6)
  for split, metrics in one["metrics"].items():
    assert other["metrics"][split] == pytest.approx(metrics, abs=1e-6)
  one, other = (safetensors.numpy.load_file(
      f"{c.output_dir}/adapter/adapter.safetensors") for c in (base, config))
  for name, array in one.items():
    np.testing.assert_allclose(other[name], array, atol=1e-4, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("strategy, replicas", [
    ("one_device", 1), ("mirrored", 2), ("multi_worker_mirrored", 2)])
def test_every_strategy_comes_to_the_same(base, strategy, replicas):
  folder = pathlib.Path(base.output_dir).with_name(strategy)
  config = dataclasses.replace(
      base, distribution_strategy=strategy, output_dir=str(folder),
      num_replicas=2 if strategy == "mirrored" else None)
  if strategy == "one_device":
    run(config)
  else:
    environments = (
        clusters() if strategy == "multi_worker_mirrored" else [None])
    with open(f"{folder}.log", "w+") as log:
      workers = [start(config, log, each) for each in environments]
      assert [worker.wait() for worker in workers] == [0] * len(workers), (
          pathlib.Path(log.name).read_text())
  assert_same(base, config, replicas)


@pytest.mark.slow
@pytest.mark.parametrize("base", ["tsv"], indirect=True)
def test_a_worker_that_is_killed_can_come_back(base):
  folder = pathlib.Path(base.output_dir).with_name("killed")
  config = dataclasses.replace(
      base, distribution_strategy="multi_worker_mirrored",
      output_dir=str(folder))
  environments = clusters()
  with open(f"{folder}.log", "w+") as log:
    workers = [start(config, log, each) for each in environments]
    try:
      while not list(folder.glob("checkpoints/ckpt-*.index")):
        assert [worker.poll() for worker in workers] == [None, None]
        time.sleep(0.05)
      workers[1].kill()
      assert workers[1].wait() == -signal.SIGKILL
      workers[1] = start(config, log, environments[1])
      assert [worker.wait() for worker in workers] == [0, 0]
    finally:
      for worker in workers:
        worker.kill()
  text = pathlib.Path(log.name).read_text()
  assert "worker 1 was lost: starting again, to wait for it" in text
  assert "Resuming after step" in text
  assert_same(base, config, 2)


if __name__ == "__main__":
  compare()
