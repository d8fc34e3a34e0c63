"""A type of problem that the package does not know: labels that have an order.

K labels have K - 1 outputs, each of which says whether the label lies above
one of them. All that there is of it is in this file.
"""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tf_adapters as ta
from tests.adapters import TASKS, make
from tf_adapters.data.dataset import Dataset
from tf_adapters.data.splits import Split
from tf_adapters.modeling.heads import Head
from tf_adapters.modeling.task_model import TaskModel
from tf_adapters.problems import PROBLEMS, find_problem
from tf_adapters.problems.classification import Classification
from tf_adapters.training import doubts
from tf_adapters.training.metrics import evaluate_task

LABELS = ("bad", "so so", "good", "very good")
TEXTS = ["bad plot", "the film is so", "good", "very good film"]
NUMBERS = np.array([0, 1, 2, 3], np.int32)


class OrdinalModel(TaskModel):
  problem_type = "ordinal"

  def __init__(self, encoder, labels, pooling):
    super().__init__(encoder, Head(
        len(labels) - 1, encoder.hidden_size, pooling, 0.0), labels)

  @property
  def loss_function(self):
    def loss(labels, logits):
      above = tf.reshape(tf.cast(labels, tf.int32), [-1, 1]) > tf.range(
          tf.shape(logits)[1])
      return tf.nn.sigmoid_cross_entropy_with_logits(
          tf.cast(above, tf.float32), logits)
    return loss


class Ordinal(Classification):
  keras_metrics = ()

  def num_outputs(self, labels):
    return len(labels) - 1

  def make_model(self, encoder, labels=(), pooling="auto", dropout=None):
    return OrdinalModel(encoder, labels, pooling)

  def decide(self, logits):
    above = tf.pad(tf.sigmoid(logits), [[0, 0], [1, 0]], constant_values=1.0)
    return (tf.math.count_nonzero(logits > 0, axis=1),
            above - tf.pad(above[:, 1:], [[0, 0], [0, 1]]))


@pytest.fixture(autouse=True)
def ordinal(monkeypatch):
  monkeypatch.setitem(PROBLEMS, "ordinal", Ordinal())


def test_one_file_is_enough(one_layer_source, tmp_path):
  tf_keras.utils.set_random_seed(0)
  encoder = ta.load_encoder(str(one_layer_source), ta.AdapterConfig(size=8))
  model = find_problem("ordinal").make_model(encoder, LABELS, "mean")
  inputs = encoder.text_processor(16)(TEXTS)
  model.compile(ta.create_optimizer(3e-2, 60))
  losses = model.fit(inputs, NUMBERS, epochs=60, verbose=0).history["loss"]
  assert losses[-1] < losses[0] / 4
  assert model.summary_of_tuning().rows["head"] == (3 * (32 + 1), 0)

  path = tmp_path / "mood"
  ta.save_adapter(model, path, max_length=16, pairs=False)
  again = ta.load_adapter(path)
  logits = model.predict(inputs, verbose=0)
  np.testing.assert_array_equal(again.predict(inputs, verbose=0), logits)
  task = Dataset("mood", "ordinal", LABELS, ("accuracy",), {
      "test": Split(TEXTS, None, NUMBERS, list("abcd"))}, "here")
  encoded = task.split("test").encode(encoder.text_processor(16))
  assert evaluate_task(task, task.split("test"), encoded, logits) == {
      "accuracy": 1.0}
  assert doubts.of_predictions(task, "test", encoded, logits) is None

  bank = ta.AdapterBank(str(one_layer_source), [path, make(
      one_layer_source, tmp_path / "topic", *TASKS["topic"])])
  texts, tasks = TEXTS * 2, ["mood"] * 4 + ["topic"] * 4
  predicted = bank.predict(texts, tasks)
  assert predicted[:4] == list(LABELS)
  assert predicted[4:] == bank.predict(TEXTS, "topic")
  scores = bank.predictions(texts, tasks)[0].probabilities
  assert tuple(scores) == LABELS
  assert sum(scores.values()) == pytest.approx(1.0)

  served = tf.saved_model.load(str(bank.export(tmp_path / "served")))
  outputs = served.signatures["single_texts"](
      text=tf.constant(texts), task=tf.constant(tasks))
  assert [label.decode() for label in outputs["label"].numpy()] == predicted
  np.testing.assert_allclose(outputs["scores"][0], list(scores.values()),
                             atol=1e-5)
