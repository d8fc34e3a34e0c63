"""Predicts texts: a model's outputs, and the decisions made of them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_adapters.data.splits import Split
from tf_adapters.errors import InputError
from tf_adapters.modeling.label_types import Label, label_value
from tf_adapters.modeling.task_description import TaskDescription
from tf_adapters.modeling.task_model import TaskModel
from tf_adapters.modeling.text_layer import TextLayer
from tf_adapters.problems import find_problem
from tf_adapters.problems.prediction import Prediction
from tf_adapters.training.model_outputs import predict
from tf_adapters.training.training_config import TrainingConfig


@dataclasses.dataclass(frozen=True)
class Predictor:
  """A model with what turns texts into its inputs.

  Attributes:
    model: the Keras model.
    text: the text processor.
    batch_size: texts in a batch.
  """

  model: TaskModel
  text: TextLayer
  batch_size: int = 64

  @property
  def description(self) -> TaskDescription:
    return self.model.task

  def labels(self) -> list[Label]:
    """Returns the labels as the user knows them, in the order of the outputs.
    """
    return [label_value(name, self.description.label_type)
            for name in self.model.labels]

  def predictions(self, rows: Sequence[Any]) -> list[Prediction[Any, Any]]:
    """Predicts each text, see `Prediction`; labels are names.

    Args:
      rows: strings, pairs of them, or lists of words, as the problem has it.

    Raises:
      InputError: logits are not finite.
    """
    if not rows:
      return []
    problem = find_problem(self.model.problem_type)
    labels, name = self.model.labels, self.description.name
    if problem.outputs == "windows":
      windows = problem.windows(rows, self.text, self.description.span)
      return self.answers(windows, self.outputs(windows))
    if problem.outputs == "words":
      from tf_adapters.data.tagging import TaggedSplit
      encoded = TaggedSplit(rows, None, _ids(rows)).encode(self.text)
      logits = encoded.at_words(self.outputs(encoded), labels)
      return [problem.prediction(
          name, labels, *problem.decided(_checked(one, row)), words)
              for row, (one, words) in enumerate(zip(logits, rows))]
    predicted, scores = self.decided(self.logits(rows))
    return [problem.prediction(name, labels, one, score, ())
            for one, score in zip(predicted, scores)]

  def answers(self, windows: Any,
              outputs: Sequence[np.ndarray]) -> list[Prediction[Any, Any]]:
    """Chooses the answers to questions.

    Args:
      windows: of `Problem.windows`.
      outputs: the model's for each.

    Raises:
      InputError: logits are not finite.
    """
    found = find_problem(self.model.problem_type).decide_windows(
        self.description.name, windows, outputs)
    return [_finite(row, one) for row, one in enumerate(found)]

  def logits(self, rows: Sequence[Any]) -> np.ndarray:
    """Computes the model's outputs for whole texts, [rows, outputs].

    Some of them can be pairs, where a task does not say what it takes.
    """
    is_pair = np.array([isinstance(row, tuple) for row in rows], bool)
    logits: dict[int, np.ndarray] = {}
    for kind in (False, True):
      places = np.flatnonzero(is_pair == kind).tolist()
      if places:
        alike = [rows[place] for place in places]
        first, second = zip(*alike) if kind else (alike, None)
        split = Split(first, second, None, _ids(alike))
        logits |= zip(places, self.outputs(split.encode(self.text)))
    return _checked(np.array([logits[place] for place in sorted(logits)]), None)

  def decided(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `Problem.decided`, by the task's own thresholds where it has some."""
    return find_problem(self.model.problem_type).decided(
        logits, self.description.boundaries)

  def outputs(self, encoded: Any) -> Sequence[np.ndarray]:
    """Computes the model's outputs for each row of `encoded`."""
    return predict(
        self.model, encoded, TrainingConfig(eval_batch_size=self.batch_size))


def _ids(rows: Sequence[Any]) -> list[str]:
  return list(map(str, range(len(rows))))


def _checked(logits: np.ndarray, row: int | None) -> np.ndarray:
  # A word that was cut off has -inf for all labels but one.
  bad = np.flatnonzero(np.isnan(logits).any(axis=-1))
  if len(bad):
    raise InputError(_not_finite(int(bad[0]) if row is None else row))
  return logits


def _finite(row: int, one: Prediction[Any, Any] | None) -> Prediction[Any, Any]:
  if one is None:
    raise InputError(_not_finite(row))
  return one


def _not_finite(row: int) -> str:
  return (f"text {row}: the model computes numbers that are not finite: train "
          "with a lower learning_rate")
