"""How predictions are written: GLUE's and SQuAD's files, scores, tags."""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence

import numpy as np
import scipy.special

from tf_adapters.data import span_answers
from tf_adapters.data.batching import Encoded
from tf_adapters.data.cells import (
    LABEL_SEPARATOR,
    write_list,
    write_number,
)
from tf_adapters.data.rows import write_cells
from tf_adapters.data.tasks import Task
from tf_adapters.errors import InputError
from tf_adapters.training.metrics import check_finite


def prediction_files(task: Task, name: str, encoded: Encoded,
                     outputs: Sequence[np.ndarray]) -> dict[str, str]:
  """The files of a split's predictions.

  Args:
    task: the task.
    name: of the split.
    encoded: what the model saw of it.
    outputs: the model's, one for each row of `encoded`.

  Returns:
    {file name: content}.

  Raises:
    InputError: an output is not finite.
  """
  check_finite(task, outputs)
  split = task.splits[name]
  if task.problem_type == "tagging":
    tags = encoded.tags(outputs, task.labels)
    return {f"{name}.conll": "\n\n".join(
        "\n".join(f"{word}\t{tag}" for word, tag in zip(*sentence))
        for sentence in zip(split.words, tags)) + "\n"}
  if task.problem_type == "span":
    return _squad_files(span_answers.choose(encoded, outputs),
                        split.options.version_2)
  outputs = np.stack(outputs)
  if name in task.submissions:
    submission = task.submissions[name]
    file_name = submission.file_name
    rows = _submission(outputs, submission.labels)
    write = _plain
    header = ["index", "prediction"]
  else:
    file_name = f"{name}.tsv"
    rows = _with_scores(
        outputs, task.labels,
        (task.label_separator or LABEL_SEPARATOR)
        if task.problem_type == "multi_label" else None)
    write = functools.partial(write_cells, "tsv")
    header = ["index", "prediction", *task.labels]
  return {file_name: b"".join([write(header), *(
      write([row, *cells]) for row, cells in zip(split.ids, rows))]).decode()}


def _plain(cells: Sequence[str]) -> bytes:
  """A row of TSV as the GLUE server takes it, which knows no quotation marks.

  Raises:
    InputError: a cell cannot be written so.
  """
  line = write_cells("tsv", cells)
  if line != ("\t".join(cells) + "\n").encode():
    raise InputError(f"{cells!r:.200}: cannot be written for GLUE's server: a "
                     "cell holds a tab, a line end or a quotation mark")
  return line


def _squad_files(chosen: Mapping[str, span_answers.Answers],
                 version_2: bool) -> dict[str, str]:
  """As SQuAD's official scripts take them, and the candidates."""
  files = {
      "predictions.json": {
          name: answers.text for name, answers in chosen.items()},
      "nbest_predictions.json": {
          name: [dataclasses.asdict(answer) for answer in answers.best]
          for name, answers in chosen.items()}}
  if version_2:
    files["null_odds.json"] = {
        name: answers.null_odds for name, answers in chosen.items()}
  return {name: json.dumps(values, indent=2, ensure_ascii=False,
                           allow_nan=False) + "\n"
          for name, values in files.items()}


def _submission(
    outputs: np.ndarray, labels: Sequence[str]) -> list[list[str]]:
  """As the GLUE server takes them."""
  if labels:
    return [[labels[number]] for number in outputs.argmax(axis=-1)]
  # STS-B: similarity from 0 to 5
  return [[f"{value:.3f}"] for value in np.clip(outputs[:, 0], 0.0, 5.0)]


def _with_scores(outputs: np.ndarray, labels: Sequence[str],
                 separator: str | None) -> list[list[str]]:
  """With the probability of every label, for tasks without a server.

  Args:
    outputs: logits.
    labels: their names; none for scores.
    separator: what to put between labels where there can be several.
  """
  if not labels:
    return [[write_number(value)] for value in outputs[:, 0]]
  if separator is not None:
    scores = scipy.special.expit(outputs)
    chosen = [write_list(
        (label for label, value in zip(labels, row) if value > 0), separator)
              for row in outputs]
  else:
    scores = scipy.special.softmax(outputs, axis=-1)
    chosen = [labels[number] for number in outputs.argmax(axis=-1)]
  return [[label, *(f"{value:.6f}" for value in row)]
          for label, row in zip(chosen, scores)]
