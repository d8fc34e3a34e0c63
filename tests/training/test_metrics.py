import numpy as np
import pytest

from tf_adapters.training.metrics import evaluate

LABELS = np.array([1, 1, 1, 0, 0, 1])
LOGITS = np.array([[0, 1], [0, 1], [1, 0], [1, 0], [0, 1], [0, 1]], float)
# true positives 3, false negatives 1, false positives 1, true negatives 1


@pytest.mark.parametrize("name, value", [
    ("accuracy", 4 / 6),
    ("f1", 6 / 8),
    ("macro_f1", (6 / 8 + 2 / 4) / 2),
    ("matthews_correlation", (3 * 1 - 1 * 1) / np.sqrt(4 * 4 * 2 * 2)),
])
def test_classification(name, value):
  assert evaluate([name], LABELS, LOGITS)[name] == pytest.approx(value)


def test_regression():
  labels = np.array([1.0, 2.0, 3.0, 4.0])
  outputs = np.array([[1.0], [4.0], [9.0], [16.0]])
  values = evaluate(["pearson", "spearman"], labels, outputs)
  assert values["spearman"] == pytest.approx(1.0)
  assert values["pearson"] == pytest.approx(
      np.corrcoef(labels, outputs[:, 0])[0, 1])


def test_constants_are_defined():
  same = np.ones((4, 1))
  assert evaluate(["pearson", "spearman"], np.arange(4.0), same) == {
      "pearson": 0.0, "spearman": 0.0}
  one_class = np.tile([1.0, 0.0], (6, 1))
  assert evaluate(["f1", "matthews_correlation"], LABELS, one_class) == {
      "f1": 0.0, "matthews_correlation": 0.0}
