"""Two replicas train as one does on the same global batch."""

import pathlib
import subprocess
import sys

import numpy as np
import tensorflow as tf
import tf_keras

import tf_adapters as ta
from tf_adapters.data.batching import Encoded, training_batches
from tf_adapters.modeling.adapter import TaskLayers
from tf_adapters.modeling.config import Vocabulary
from tf_adapters.training.prefix_cache import add_prefix_output

ROOT = pathlib.Path(__file__).parents[2]


TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *map(str, range(16))]


def trained(make, labels, strategy, layers=None, prefix_cache=False):
  """(tuned variables before a step of SGD on four texts, and after it)."""
  config = ta.BertConfig(
      vocab_size=20, hidden_size=8, num_hidden_layers=2,
      num_attention_heads=2, intermediate_size=12, max_position_embeddings=8,
      hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
  rng = np.random.default_rng(0)
  lengths = np.array([[6], [2], [5], [4]])
  inputs = {
      "input_word_ids": rng.integers(1, 20, [4, 6]),
      "input_mask": np.arange(6) < lengths,
      "input_type_ids": np.zeros([4, 6])}
  inputs = {name: value.astype(np.int32) for name, value in inputs.items()}
  with strategy.scope():
    model = make(ta.BertEncoder(
        config, TaskLayers(config, ta.AdapterConfig(size=4, layers=layers))))
    for variable in model.named_variables().values():
      variable.assign(rng.normal(0.0, 0.5, variable.shape))
    model.tune("adapters")
    model.compile(tf_keras.optimizers.SGD(0.1), model.loss_function)
    dataset = tf.data.Dataset.from_tensors((inputs, labels))
    if prefix_cache:
      dataset = cached(model.encoder, inputs, lengths[:, 0], labels)
  before = {name: v.numpy() for name, v in model.tuned_variables().items()}
  model.fit(dataset, verbose=0)
  return before, {
      name: v.numpy() for name, v in model.tuned_variables().items()}


def cached(encoder, inputs, lengths, labels):
  """One batch that starts from the output of the frozen layers."""
  text = ta.TextProcessor(Vocabulary(TOKENS, lower_case=True), 8)
  ids, types = (tf.RaggedTensor.from_tensor(inputs[name], lengths)
                for name in ("input_word_ids", "input_type_ids"))
  encoded = add_prefix_output(
      Encoded(text, ids, types, tf.constant(labels)), encoder, 2, ".")
  return training_batches(encoded, 4, 0, range(1))


def compare():
  # Has to come before TensorFlow starts.
  tf.config.set_logical_device_configuration(
      tf.config.list_physical_devices("CPU")[0],
      [tf.config.LogicalDeviceConfiguration()] * 2)
  # One for all models: of two strategies TensorFlow mixes up the messages.
  alone = tf.distribute.get_strategy()
  two_replicas = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
  assert two_replicas.num_replicas_in_sync == 2
  names = ["a", "b", "c"]
  tags = np.full([4, 6], -1, np.int32)
  tags[0, 1:5] = [0, 1, 2, 0]
  tags[2, 1] = 1  # the second replica's only one
  texts = (lambda encoder: ta.TextClassifier(encoder, names, dropout=0.0),
           np.array([0, 1, 2, 0], np.int32))
  tokens = lambda encoder: ta.TokenTagger(encoder, names, dropout=0.0), tags
  for (make, labels), layers, prefix_cache in (
      (texts, None, False), (tokens, None, False), (texts, (1,), True)):
    before, one = trained(make, labels, alone, layers)
    _, two = trained(make, labels, two_replicas, layers, prefix_cache)
    assert two.keys() == one.keys()
    for name, value in one.items():
      assert np.abs(value - before[name]).max() > 1e-5, name
      np.testing.assert_allclose(two[name], value, atol=1e-6, err_msg=name)


def test_two_replicas_train_as_one():
  done = subprocess.run(
      [sys.executable, "-m", "tests.training.test_replicas"], cwd=ROOT,
      capture_output=True, text=True)
  assert done.returncode == 0, done.stderr


if __name__ == "__main__":
  compare()
