"""Evaluations, on numbers that can be added up by hand."""

import io

import numpy as np
import pytest

from tf_adapters.tasks import evaluation_plots, mistakes
from tf_adapters.tasks.evaluating import entity_errors
from tf_adapters.tasks.evaluation import calibration
from tf_adapters.tasks.evaluations import ClassEvaluation, LabelSetEvaluation

pytest.importorskip("pandas")


def test_calibration_is_the_mean_distance_of_bins():
  found = calibration(np.array([0.95, 0.85, 0.83, 0.2, 1.0]),
                      np.array([True, True, False, False, True]))
  assert found.counts.tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 2, 2]
  # (0.2 + 2 * |0.84 - 0.5| + 2 * |0.975 - 1|) / 5
  assert found.error == pytest.approx((0.2 + 0.68 + 0.05) / 5)
  assert found.bins.rows.sum() == 5
  assert calibration(np.array([]), np.array([], bool)).error == 0.0


@pytest.fixture
def classes():
  scores = np.array([[0.9, 0.1, 0], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1],
                     [0.05, 0.9, 0.05]])
  return ClassEvaluation(
      task="t", split="test", rows=4, metrics={"accuracy": 0.5},
      columns={"text": list("abcd"), "label": [5, 6, 6, 5],
               "prediction": [5, 6, 5, 6], "confidence": scores.max(axis=1)},
      wrong=[3, 2], labels=[5, 6, 7], true=np.array([0, 1, 1, 0]),
      predicted=np.array([0, 1, 0, 1]), scores=scores)


def test_classes(classes):
  assert classes.confusion.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
  assert classes.confusion_matrix.loc[5, 6] == 1
  assert classes.per_class.to_dict("list") == {
      "label": [5, 6, 7], "rows": [2, 2, 0], "precision": [0.5, 0.5, 0.0],
      "recall": [0.5, 0.5, 0.0], "f1": [0.5, 0.5, 0.0]}
  mistakes = classes.mistakes(1)
  assert mistakes.index.tolist() == [3] and mistakes.text.tolist() == ["d"]
  lines = repr(classes).splitlines()
  assert lines[0] == "t, test, 4 rows: accuracy 0.5000"
  assert lines[-1].split() == ["7", "0", "0.000", "0.000", "0.000"]
  figure = classes.plot()
  matrix, scores, _ = figure.axes
  assert {text.get_text() for text in matrix.texts} == {"0", "1"}
  # The bars of a label are beside its row.
  assert scores.get_ylim() == matrix.get_ylim()
  bars = {one.get_label(): [(round(bar.get_y() + bar.get_height() / 2), float(
      bar.get_width())) for bar in one] for one in scores.containers}
  assert list(bars) == ["precision", "recall", "f1"]
  for places in bars.values():
    assert places == [(0, 0.5), (1, 0.5), (2, 0.0)]
  assert [text.get_text() for text in scores.texts] == ["0.50", "0.50", "0.00"]
  assert figure._repr_html_().startswith("<img src='data:image/png;base64,")


def test_many_labels_have_a_picture():
  rng = np.random.default_rng(0)
  for count, names in ((40, 40), (60, 0)):
    labels = [f"a label with a long name, number {label}"
              for label in range(count)]
    confusion = rng.integers(0, 9, [count, count])
    figure = evaluation_plots.of_classes(
        confusion, labels, {"f1": rng.random(count)},
        calibration(rng.random(9), rng.random(9) > 0.5), "t")
    matrix, scores, _ = figure.axes
    assert len(matrix.get_yticklabels()) == names
    assert not matrix.texts and not scores.texts
    assert len(scores.patches) == count


def test_labels_with_dollars_are_no_mathematics(tmp_path):
  labels = ["$", "$$", "$0-$50", "$a^b^c$"]
  figure = evaluation_plots.of_classes(
      np.eye(4, dtype=int), labels, {"f1": np.ones(4)},
      calibration(np.full(4, 0.9), np.full(4, True)), "costs $5 to $7")
  figure.savefig(tmp_path / "x.svg")
  text = (tmp_path / "x.svg").read_text()
  assert "<!-- $0-$50 -->" in text and "<!-- costs $5 to $7 -->" in text


def test_thresholds():
  scores = np.array([[0.9, 0.2], [0.4, 0.8], [0.3, 0.6]])
  true = np.array([[True, False], [True, True], [False, False]])
  found = LabelSetEvaluation(
      task="t", split="test", rows=3, metrics={}, columns={}, wrong=[],
      labels=["a", "b"], true=true, predicted=scores > 0.5, scores=scores)
  curve = found.threshold_curve().set_index(["label", "threshold"])
  assert curve.loc[("a", 0.5)].tolist() == [1.0, 0.5, pytest.approx(2 / 3)]
  assert curve.loc[("a", 0.4)].tolist() == [1.0, 1.0, 1.0]
  best = found.best_thresholds()
  assert 0.3 < best["a"] <= 0.4 and 0.6 < best["b"] <= 0.8
  assert found.per_class.f1.tolist() == pytest.approx([2 / 3, 2 / 3])
  curves, scores, _ = found.plot().axes
  assert [name.get_text() for name in scores.get_yticklabels()] == ["a", "b"]
  assert [bar.get_width() for bar in scores.containers[-1]] == pytest.approx(
      [2 / 3, 2 / 3])
  assert "mean of 2" in curves.get_legend_handles_labels()[1]


def test_errors_of_entities():
  true = [[("PER", 0, 1), ("ORG", 3, 3), ("LOC", 5, 6)], [("PER", 0, 0)]]
  predicted = [[("PER", 0, 1), ("LOC", 3, 3), ("LOC", 5, 5)], [("ORG", 2, 2)]]
  assert entity_errors(true, predicted) == {
      "LOC": {"other words": 1}, "ORG": {"other type": 1, "invented": 1},
      "PER": {"right": 1, "missed": 1}}


def test_learning_curves_mark_the_best_epoch():
  figure = evaluation_plots.of_history(
      {"loss": [0.5, 0.3], "val_accuracy": [0.6, 0.8]}, 2, "t")
  left, right = figure.axes
  assert left.lines[0].get_ydata().tolist() == [0.5, 0.3]
  assert right.lines[-1].get_xdata() == [2, 2]
  figure.savefig(io.BytesIO())


@pytest.mark.parametrize("several", [False, True])
def test_of_a_thousand_labels_a_hundred_are_drawn(several):
  count = 1000
  true = np.repeat(np.arange(count), 1 + (np.arange(count) % 10 == 3))
  scores = np.eye(count)[true]
  common = dict(task="t", split="test", rows=len(true), metrics={}, columns={},
                wrong=[], labels=list(range(count)), scores=scores)
  if several:
    evaluation = LabelSetEvaluation(
        true=scores > 0.5, predicted=scores > 0.5, **common)
    assert evaluation.threshold_curve().f1.eq(1).all()
  else:
    evaluation = ClassEvaluation(true=true, predicted=true, **common)
  figure = evaluation.plot()
  assert "the 100 of 1,000 labels with the most rows" in (
      figure.get_suptitle())
  assert len(figure.axes[1].patches) == 300
  if not several:
    [image] = figure.axes[0].images
    assert np.array_equal(image.get_array(), np.eye(100))


def test_mistakes_are_shown_as_a_whole():
  long = "word " * 30
  assert mistakes.as_text(
      {"text": ["a", long + "end"], "label": [("x", "y"), ()],
       "prediction": ["b", "c"], "confidence": [0.5, 0.98765]},
      [1, 0], [7, 9]).splitlines() == [
          "row 9: label none, prediction c, confidence 0.9877",
          "  " + ("word " * 15).strip(), "  " + "word " * 15 + "end",
          "row 7: label x, y, prediction b, confidence 0.5", "  a"]
  assert mistakes.as_text(
      {"question": ["who"], "context": ["x" * 900], "label": [("Bob",)]}, [0],
      None).startswith("row 0: label Bob\n  question: who\n  context:")
