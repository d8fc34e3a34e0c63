"""Metrics by name equal scikit-learn's, and what cannot be right is refused."""

import numpy as np
import pytest
import sklearn.metrics
import tf_keras

import tf_adapters as ta
from tf_adapters.modeling import keras_metrics, keras_rules
from tf_adapters.problems.metrics import METRICS


def updated(metric, labels, logits, weights=None):
  """The metric's value after batches of unequal size."""
  for rows in (slice(0, 7), slice(7, 8), slice(8, None)):
    metric.update_state(
        labels[rows], logits[rows], None if weights is None else weights[rows])
  return float(metric.result())


def drawn(rng, problem, num_labels):
  """Labels and logits as models have them, [20, ...]."""
  if problem == "multi_label":
    return (rng.random([20, num_labels]) < 0.4).astype("float32"), (
        rng.normal(size=[20, num_labels]).astype("float32"))
  shape = [20, 5] if problem == "tagging" else [20]
  # The last label never occurs: macro F1 is of those that do.
  labels = rng.integers(0, num_labels - 1 if num_labels > 2 else 2, shape)
  logits = rng.normal(size=[*shape, num_labels]).astype("float32")
  logits[..., -1] -= 100.0 * (num_labels > 2)
  if problem == "tagging":
    labels[rng.random(shape) < 0.3] = -1
  return labels, logits


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("problem, num_labels", [
    ("classification", 2), ("classification", 5), ("tagging", 4),
    ("multi_label", 3)])
def test_scores_equal_scikit_learn_on_random_predictions(
    problem, num_labels, seed):
  rng = np.random.default_rng(seed)
  labels, logits = drawn(rng, problem, num_labels)
  weights = rng.random(20).astype("float32")
  multi_label = problem == "multi_label"
  if problem == "tagging":
    here = labels >= 0
    true, predicted = labels[here], logits.argmax(-1)[here]
    each = np.repeat(weights[:, np.newaxis], 5, axis=1)[here]
  else:
    true, each = labels, weights
    predicted = logits > 0 if multi_label else logits.argmax(-1)
  for name in keras_metrics.SCORES:
    if (name == "f1" and num_labels != 2) or (
        multi_label and name in ("f1", "matthews_correlation")):
      continue
    score = keras_metrics.LabelScore(name, num_labels, multi_label)
    assert updated(score, labels, logits) == pytest.approx(
        METRICS[name](true, predicted), abs=1e-5), name
    score.reset_state()
    weighted = updated(score, labels, logits, weights)
    if name == "matthews_correlation":
      expected = sklearn.metrics.matthews_corrcoef(
          true, predicted, sample_weight=each)
    else:
      expected = sklearn.metrics.f1_score(
          true, predicted, sample_weight=each, zero_division=0,
          average={"f1": "binary"}.get(name, name.split("_")[0]))
    assert weighted == pytest.approx(expected, abs=1e-5), name


@pytest.mark.parametrize("seed", range(3))
def test_accuracy_equals_scikit_learn_on_random_predictions(seed):
  rng = np.random.default_rng(seed)
  score = sklearn.metrics.accuracy_score
  labels, logits = drawn(rng, "tagging", 4)
  here = labels >= 0
  assert updated(
      keras_metrics.Accuracy("tagging"), labels, logits) == pytest.approx(
          score(labels[here], logits.argmax(-1)[here]))
  labels, logits = drawn(rng, "multi_label", 3)
  assert updated(
      keras_metrics.Accuracy("multi_label"), labels, logits) == pytest.approx(
          score(labels.reshape(-1) > 0, logits.reshape(-1) > 0))
  logits = rng.normal(size=[20, 3, 2]).astype("float32")
  labels, found = rng.integers(0, 3, [20, 2]), logits.argmax(1)
  assert updated(
      keras_metrics.Accuracy("span"), labels, logits) == pytest.approx(
          np.mean((labels == found).all(axis=1)))


def test_a_score_of_nothing_is_zero():
  for name in keras_metrics.SCORES:
    assert float(keras_metrics.LabelScore(name, 2).result()) == 0.0


METRICS_OF_KERAS = tf_keras.metrics
RULES = {
    "classification": keras_rules.CLASSES,
    "multi_label": keras_rules.LABEL_SETS, "span": keras_rules.SPANS,
    "regression": keras_rules.NUMBERS, "tagging": keras_rules.TAGS}


@pytest.mark.parametrize("problem, labels, metric", [
    ("classification", "numbers", "AUC"),
    ("classification", "numbers", "crossentropy"),
    ("classification", "numbers", "mse"),
    ("classification", "numbers", METRICS_OF_KERAS.Precision()),
    ("classification", "numbers", METRICS_OF_KERAS.CategoricalAccuracy()),
    ("classification", "numbers",
     METRICS_OF_KERAS.SparseCategoricalCrossentropy()),
    ("classification", "one-hot",
     METRICS_OF_KERAS.SparseCategoricalAccuracy()),
    ("classification", "numbers", "f1"),  # there are three labels
    ("classification", "numbers", "entity_f1"),
    ("multi_label", "zeros and ones", METRICS_OF_KERAS.AUC(multi_label=True)),
    ("multi_label", "zeros and ones", METRICS_OF_KERAS.BinaryAccuracy()),
    ("multi_label", "zeros and ones", "binary_accuracy"),
    ("multi_label", "zeros and ones", "categorical_accuracy"),
    ("multi_label", "zeros and ones", METRICS_OF_KERAS.Recall(thresholds=0.0)),
    ("tagging", "numbers", METRICS_OF_KERAS.SparseCategoricalAccuracy()),
    ("tagging", "numbers", "sparse_categorical_accuracy"),
    ("tagging", "numbers",
     METRICS_OF_KERAS.SparseCategoricalCrossentropy(from_logits=True)),
    ("span", "numbers", "sparse_categorical_accuracy"),
    ("regression", "scores", "accuracy"),
    ("regression", "scores", "acc"),
    ("regression", "scores", METRICS_OF_KERAS.AUC(from_logits=True)),
])
def test_refuses_metrics_that_cannot_be_right(problem, labels, metric):
  with pytest.raises(ta.InputError, match="there are .*of your own") as error:
    keras_metrics.resolve(RULES[problem], problem, 3, labels, metric)
  assert "\n" not in str(error.value)


def own(y_true, y_pred):
  return y_pred[:, 0]


@pytest.mark.parametrize("problem, labels, metric", [
    ("classification", "numbers", "sparse_categorical_accuracy"),
    ("classification", "numbers",
     METRICS_OF_KERAS.SparseTopKCategoricalAccuracy(2)),
    ("classification", "one-hot", METRICS_OF_KERAS.F1Score("macro")),
    ("classification", "one-hot", "categorical_accuracy"),
    ("classification", None, "accuracy"),
    ("multi_label", "zeros and ones",
     METRICS_OF_KERAS.AUC(multi_label=True, num_labels=3, from_logits=True)),
    ("multi_label", "zeros and ones",
     METRICS_OF_KERAS.BinaryAccuracy(threshold=0.0)),
    ("tagging", "numbers", METRICS_OF_KERAS.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=-1)),
    ("regression", "scores", "mae"),
    ("regression", "scores", METRICS_OF_KERAS.RootMeanSquaredError()),
    ("span", "numbers", own),
    ("tagging", "numbers", METRICS_OF_KERAS.MeanMetricWrapper(own)),
])
def test_takes_metrics_that_are_right(problem, labels, metric):
  resolved = keras_metrics.resolve(
      RULES[problem], problem, 3, labels, metric)
  assert resolved is metric or isinstance(metric, str)
