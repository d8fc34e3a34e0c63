"""One decision for Python and for graphs, and one way to write it down."""

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from tf_adapters.problems import PROBLEMS
from tf_adapters.problems.prediction import Prediction

LABELS = ("red", "a, b", 'say "c"', "")
FUNCTIONS = {"classification": scipy.special.softmax,
             "tagging": scipy.special.softmax,
             "multi_label": lambda logits, axis: scipy.special.expit(logits),
             "regression": lambda logits, axis: logits}


def drawn(name, rows=40):
  problem = PROBLEMS[name]
  labels = LABELS if problem.has_labels else ()
  logits = np.random.default_rng(0).normal(
      0, 3, [rows, problem.num_outputs(labels)]).astype(np.float32)
  return problem, labels, logits


@pytest.mark.parametrize("name", FUNCTIONS)
def test_scores_are_their_formulas_whatever_is_behind_them(name):
  problem, _, logits = drawn(name)
  predicted, scores = problem.decided(logits)
  np.testing.assert_allclose(
      scores, FUNCTIONS[name](logits, axis=-1), rtol=1e-5)
  padded = np.pad(logits, [[0, 0], [0, 5]], constant_values=-np.inf)
  wide, wide_scores = problem.decided(padded)
  outputs = logits.shape[1]
  if name == "multi_label":
    assert not wide[:, outputs:].any()
    wide = wide[:, :outputs]
  np.testing.assert_array_equal(wide, predicted)
  np.testing.assert_allclose(wide_scores[:, :outputs], scores, rtol=1e-6)
  assert not wide_scores[:, outputs:].any()


def test_what_is_certain_has_a_probability_of_one():
  certain = np.array([[0.0, -np.inf, -np.inf]] * 9, np.float32)
  _, scores = PROBLEMS["tagging"].decided(certain)
  np.testing.assert_array_equal(scores, [[1.0, 0.0, 0.0]] * 9)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_many_rows_are_decided_part_by_part(name, monkeypatch):
  problem, _, logits = drawn(name)
  boundaries = ()
  if name == "multi_label":
    boundaries = np.random.default_rng(1).normal(0, 2, logits.shape)
  whole = problem.decided(logits, boundaries)
  monkeypatch.setattr("tf_adapters.problems.problem._DECIDED_AT_ONCE", 30)
  for one, other in zip(whole, problem.decided(logits, boundaries)):
    np.testing.assert_allclose(one, other, rtol=1e-6)
    assert one.dtype == other.dtype
  for one, other in zip(whole, problem.decided(logits[:0])):
    assert other.shape == (0, *one.shape[1:])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_graphs_write_what_python_writes(name):
  problem, labels, logits = drawn(name)
  predicted, _ = problem.decide(tf.constant(logits))
  items = tf.constant([[problem.item(label) for label in labels]
                       or [""]] * len(logits))
  written = [text.decode() for text in problem.write_tensor(
      predicted, items).numpy()]
  values = [problem.value(one, labels) for one in predicted.numpy()]
  if name == "tagging":  # written word by word
    values = [[("word", tag)] for tag in values]
  assert written == [problem.write(value) for value in values]


@pytest.mark.parametrize("name, prediction, json, table, scores", [
    ("classification", Prediction("t", "a", {"a": 0.75, "b": 0.25}),
     {"prediction": "a", "scores": {"a": 0.75, "b": 0.25}},
     {"prediction": "a", "score": 0.75}, [0.75, 0.25]),
    ("multi_label", Prediction("t", ("a", "b, c"), {"a": 1 / 3}),
     {"prediction": 'a,"b, c"', "scores": {"a": 0.333333}},
     {"prediction": 'a,"b, c"', "score": None}, [1 / 3]),
    ("regression", Prediction("t", 1 / 3, None),
     {"prediction": 0.333333, "scores": None},
     {"prediction": "0.333333", "score": None}, [1 / 3]),
    ("tagging", Prediction("t", [("he", "O")], [("he", {"O": 0.5, "B": 0.5})]),
     {"prediction": "O", "scores": [{"O": 0.5, "B": 0.5}], "words": ["he"]},
     {"prediction": "O", "score": None}, [0.5]),
    ("span", Prediction("t", "he", {"he": 0.5, "so": 0.25}, (0, 2)),
     {"prediction": "he", "scores": {"he": 0.5, "so": 0.25}},
     {"prediction": "he", "score": 0.5}, [0.5, 0.25]),
    ("span", Prediction("t", "", {}), {"prediction": "", "scores": {}},
     {"prediction": "", "score": None}, []),
])
def test_cells(name, prediction, json, table, scores):
  problem = PROBLEMS[name]
  assert problem.json_cells(prediction) == json
  assert problem.table_cells(prediction) == table
  assert problem.score_list(prediction) == scores
