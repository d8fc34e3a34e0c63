"""The estimator as scikit-learn uses it: cloned, searched, in pipelines."""

import warnings

import numpy as np
import pytest
import tensorflow as tf
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks as checks

import tf_adapters as ta

TEXTS = np.array(["the film is good", "he said bad"] * 8)
LABELS = np.array(["yes", "no"] * 8)


@pytest.fixture
def estimator(one_layer_source):
  return ta.TextTaskClassifier(
      one_layer_source, adapter_size=4, pooling="mean", max_length=12, epochs=1,
      batch_size=8, learning_rate=0.05)


@pytest.fixture(autouse=True)
def all_eagerly():
  tf.config.run_functions_eagerly(True)
  yield
  tf.config.run_functions_eagerly(False)


def test_scikit_learns_own_checks(estimator):
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that it wants texts
    results = checks.check_estimator(estimator, on_skip=None, on_fail=None)
  failed = {result["check_name"]: result["exception"] for result in results
            if result["status"] == "failed"}
  assert not failed
  # All but one of them are for tables of numbers. Those that need no data:
  for check in (
      checks.check_no_attributes_set_in_init,
      checks.check_parameters_default_constructible,
      checks.check_get_params_invariance, checks.check_set_params,
      checks.check_estimator_repr, checks.check_valid_tag_types,
      checks.check_do_not_raise_errors_in_init_or_set_params,
      checks.check_mixin_order, checks.check_estimator_cloneable):
    check("TextTaskClassifier", estimator)


def test_fit_predict_clone(estimator):
  with pytest.raises(NotFittedError):
    estimator.predict(TEXTS)
  before = np.random.get_state()[1].copy()
  assert estimator.fit(TEXTS, LABELS) is estimator
  np.testing.assert_array_equal(np.random.get_state()[1], before)
  assert estimator.classes_.tolist() == ["no", "yes"]
  probabilities = estimator.predict_proba(TEXTS)
  assert probabilities.shape == (16, 2)
  np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)
  assert estimator.predict(TEXTS).tolist() == estimator.classes_[
      probabilities.argmax(axis=1)].tolist()
  # Lists and columns of one are texts as well; the seed says all.
  again = clone(estimator).fit(TEXTS.tolist(), LABELS.tolist())
  np.testing.assert_array_equal(
      again.predict_proba(TEXTS[:, np.newaxis]), probabilities)
  # Integers stay integers.
  numbers = clone(estimator).fit(TEXTS, np.array([7, 30] * 8))
  assert set(numbers.predict(TEXTS)) <= {7, 30}
  assert numbers.classes_.tolist() == [7, 30]


def test_a_training_that_is_stopped_leaves_what_was_fitted(
    estimator, monkeypatch):
  def stopped(*_, **__):
    raise KeyboardInterrupt

  train = ta.TextTask.fit
  monkeypatch.setattr(ta.TextTask, "fit", stopped)
  with pytest.raises(KeyboardInterrupt):
    estimator.fit(TEXTS, LABELS)
  with pytest.raises(NotFittedError):
    estimator.predict(TEXTS)
  monkeypatch.setattr(ta.TextTask, "fit", train)
  expected = estimator.fit(TEXTS, LABELS).predict_proba(TEXTS)
  monkeypatch.setattr(ta.TextTask, "fit", stopped)
  with pytest.raises(KeyboardInterrupt):
    estimator.fit(TEXTS, np.where(LABELS == "yes", "a", "b"))
  np.testing.assert_array_equal(estimator.predict_proba(TEXTS), expected)
  assert list(estimator.classes_) == ["no", "yes"]


def test_states_of_random_numbers_are_seeds(estimator, monkeypatch):
  seeds = []
  monkeypatch.setattr(ta.TextTask, "fit", lambda self, *_, seed, **__:
                      seeds.append(seed))
  for state in (None, np.random.RandomState(3), np.random.RandomState(3), 7):
    estimator.set_params(random_state=state).fit(TEXTS, LABELS)
  assert seeds[1] == seeds[2] != seeds[0] and seeds[3] == 7


def test_cross_validation_a_pipeline_and_a_search(estimator):
  pipeline = make_pipeline(
      FunctionTransformer(lambda texts: [text.lower() for text in texts]),
      estimator)
  scores = cross_val_score(pipeline, TEXTS, LABELS, cv=2)
  assert scores.shape == (2,) and ((scores >= 0) & (scores <= 1)).all()
  search = GridSearchCV(estimator, {"adapter_size": [2]}, cv=2)
  search.fit(TEXTS, LABELS)
  assert set(search.predict(TEXTS)) <= {"yes", "no"}
  assert search.best_estimator_.task_.model.encoder.method.size == 2


@pytest.mark.parametrize("texts, labels, message", [
    ("a text", ["a"], "a list of texts is wanted"),
    ([1, 2], ["a", "b"], "text 0: a string is wanted, not 1"),
    (np.array([["a", "b"]]), ["a"], r"not an array of shape \(1, 2\)"),
    (["a", "b"], ["x"], "2 texts, but 1 labels"),
    (["a", "b"], None, "requires y"),
    ([], [], "0 texts"),
    (["a", "b", "c"], ["x", "y ", "y"], "'y' and 'y ' differ in blanks alone"),
])
def test_what_cannot_be_right_is_refused(estimator, texts, labels, message):
  with pytest.raises(ta.InputError, match=message):
    estimator.fit(texts, labels)
