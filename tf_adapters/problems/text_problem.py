"""The base of problems on whole texts: metrics, files, doubts."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_adapters.data.rows import write_cells
from tf_adapters.errors import InputError
from tf_adapters.problems.problem import Problem

if TYPE_CHECKING:
  from tf_adapters.data.dataset import Dataset
  from tf_adapters.data.splits import Examples


class TextProblem(Problem):
  """One prediction for each text or pair of texts."""

  pipeline_tag = "text-classification"

  def evaluate(self, task: "Dataset", split: "Examples", encoded: Any,
               outputs: Sequence[np.ndarray]) -> dict[str, float]:
    from tf_adapters.problems.metrics import evaluate
    predicted, _ = self.decided(np.asarray(outputs))
    return evaluate(task.metrics, encoded.labels.numpy(), predicted)

  def files(self, task: "Dataset", name: str, encoded: Any,
            outputs: Sequence[np.ndarray]) -> dict[str, str]:
    predicted, scores = self.decided(np.asarray(outputs))
    split = task.splits[name]
    given: dict[str, Sequence[str]] = {}
    if name in task.submissions:
      submission = task.submissions[name]
      file_name, write = submission.file_name, _plain
      labels: Sequence[str] = ()
      rows = [[self.submitted(one, submission.labels)] for one in predicted]
    else:
      file_name, labels = f"{name}.tsv", task.labels
      write = functools.partial(write_cells, "tsv")
      rows = [[self.write(self.value(one, labels), task.label_separator),
               *(f"{score:.6f}" for score in row[:len(labels)])]
              for one, row in zip(predicted, scores)]
      given = self._given(task, split)
    return {file_name: b"".join([
        write(["index", *given, "prediction", *labels]),
        *(write([*before, *cells]) for *before, cells in zip(
            split.ids, *given.values(), rows)),
    ]).decode()}

  def _given(self, task: "Dataset", split: Any) -> dict[str, Sequence[str]]:
    """Returns the columns of a split with labels: its texts and what is right.
    """
    if split.labels is None:
      return {}
    columns = {"text": split.first}
    if split.second is not None:
      columns["text_pair"] = split.second
    return columns | {"label": [
        self.write(self.value(one, task.labels), task.label_separator)
        for one in split.labels]}

  def write(self, value: Any, separator: str | None = None) -> str:
    return str(value)

  def submitted(self, predicted: Any, labels: Sequence[str]) -> str:
    """Writes a prediction as a benchmark's server takes it.

    Args:
      predicted: of a text, from `decided`.
      labels: what the server calls them.
    """
    return labels[int(predicted)]

  def named(self, value: Any) -> str:
    """Names a prediction's value in a sentence."""
    return repr(value)

  def same_labels(self, labels: Any, names: Sequence[str]) -> str:
    different = np.unique(labels, axis=0)
    if len(different) > 1:
      return ""
    return f"the label {self.named(self.value(different[0], names))}"

  def same_predictions(self, encoded: Any, outputs: Sequence[np.ndarray],
                       names: Sequence[str]) -> str:
    predicted, _ = self.decided(np.asarray(outputs))
    different = {self.named(self.value(one, names)) for one in predicted}
    return different.pop() if len(different) == 1 else ""


def _plain(cells: Sequence[str]) -> bytes:
  """Writes a row of TSV for the GLUE server, which knows no quotation marks.

  Raises:
    InputError: a cell cannot be written so.
  """
  line = write_cells("tsv", cells)
  if line != ("\t".join(cells) + "\n").encode():
    raise InputError(f"{cells!r:.200}: cannot be written for GLUE's server: a "
                     "cell holds a tab, a line end or a quotation mark")
  return line
