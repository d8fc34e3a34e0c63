"""A task as a notebook's last line: a few lines, whatever its rows hold."""

import numpy as np

from tf_adapters.data.dataset import Dataset
from tf_adapters.data.splits import Split


def test_a_dataset_shows_rows_classes_and_what_was_left_out():
  data = Dataset(
      "mood", "classification", ("<bad>", "good"), ("accuracy",), {
          "train": Split(["a"] * 3, None, np.array([0, 1, 1], np.int32),
                         list("012")),
          "test": Split(["b"], ["c"], None, ["0"])}, "here",
      notes=("2 rows left out: 2 without a text (first: x.csv:9)",))
  assert repr(data).splitlines() == [
      "Dataset mood: classification, 2 labels",
      "  train  3 rows: <bad> 1, good 2",
      "  test   1 rows: without labels",
      "  note: 2 rows left out: 2 without a text (first: x.csv:9)"]
  page = data._repr_html_()
  assert "&lt;bad&gt; 1" in page and "<bad>" not in page
  assert repr(data.test) == "Split(1 pairs)"
  assert data.train.first is data.splits["train"].first
  assert data.train.label_names == ("<bad>", "good")


def test_a_summary_stays_short():
  labels = np.arange(1000, dtype=np.int32)
  data = Dataset("n" * 99, "classification", tuple(
      f"label number {number}" for number in labels), ("accuracy",), {
          "train": Split(["x" * 999] * 1000, None, labels, list(map(
              str, labels)))}, "here", notes=("y" * 9999,))
  assert len(repr(data)) < 800
  numbers = Dataset("n", "regression", (), ("pearson",), {
      "train": Split(["a", "b"], None, np.array([1.0, 4.0], np.float32),
                     ["0", "1"])}, "here")
  assert "1 to 4, mean 2.5" in repr(numbers)
