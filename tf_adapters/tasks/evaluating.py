"""Evaluates a model on a split of a dataset."""

import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import seqeval.metrics.sequence_labeling

from tf_adapters.data import span_answers
from tf_adapters.data.dataset import Dataset
from tf_adapters.data.splits import names_of_rows
from tf_adapters.data.tag_schemes import OUTSIDE, entity_tags
from tf_adapters.errors import InputError
from tf_adapters.problems.metrics import evaluate as evaluate_texts
from tf_adapters.tasks.evaluation import Evaluation, calibration
from tf_adapters.tasks.evaluations import (
    ClassEvaluation,
    LabelSetEvaluation,
    NumberEvaluation,
    TagEvaluation,
)
from tf_adapters.tasks.predicting import Predictor
from tf_adapters.training.metrics import evaluate_task

Entity = tuple[str, int, int]


def evaluate(predictor: Predictor, data: Dataset, split: str) -> Evaluation:
  """Evaluates a model on a split.

  Args:
    predictor: the model.
    data: the dataset; its labels are the model's.
    split: name of one of its splits.

  Raises:
    InputError: there is no such split, it has no labels, or logits are not
      finite.
  """
  examples = data.split(split)
  if examples.labels is None:
    raise InputError(
        f"the {split} split in {data.origin} has no labels to evaluate by; "
        "predict(texts) says what the model makes of it")
  encoded = examples.encode(predictor.text)
  outputs = predictor.outputs(encoded)
  metrics = evaluate_task(data, examples, encoded, outputs)
  make = _MAKERS.get(data.problem_type, _of_others)
  return make(_Judged(
      predictor, data, split, examples, encoded, outputs, metrics))


@dataclasses.dataclass(frozen=True)
class _Judged:
  """A split, and what a model makes of it.

  Attributes:
    predictor: the model.
    data: the dataset; its labels are the model's.
    split: the split's name.
    examples: the split, as its type of problem has it.
    encoded: what the model saw of it.
    outputs: the model's, one for each row of `encoded`.
    metrics: of the split.
  """

  predictor: Predictor
  data: Dataset
  split: str
  examples: Any
  encoded: Any
  outputs: Sequence[np.ndarray]
  metrics: Mapping[str, float]

  @property
  def index(self) -> Sequence[int | str]:
    """The names of rows in their data: whole numbers, if all are such."""
    return names_of_rows(self.examples.ids)

  def texts(self) -> dict[str, Sequence[Any]]:
    """Returns the columns of whole texts."""
    columns = {"text": self.examples.first}
    return columns | (
        {"text_pair": self.examples.second} if self.examples.pairs else {})

  def decided(self) -> tuple[np.ndarray, np.ndarray]:
    """Decides predictions and scores of whole texts."""
    return self.predictor.decided(np.asarray(self.outputs))


def _surest_first(wrong: np.ndarray, confidences: np.ndarray) -> list[int]:
  """Returns the numbers of rows that are wrong, by falling confidence."""
  rows = np.flatnonzero(wrong)
  return [int(row) for row in rows[
      np.argsort(-confidences[rows], kind="stable")]]


def _of_classes(judged: _Judged) -> Evaluation:
  labels = judged.predictor.labels()
  predicted, scores = judged.decided()
  true = judged.examples.labels
  confidences = scores.max(axis=1)
  return ClassEvaluation(
      task=judged.data.name, split=judged.split, rows=len(judged.examples),
      metrics=judged.metrics,
      columns=judged.texts() | {
          "label": [labels[number] for number in true],
          "prediction": [labels[number] for number in predicted],
          "confidence": confidences.tolist()},
      wrong=_surest_first(true != predicted, confidences),
      index=judged.index,
      labels=labels, true=true, predicted=predicted, scores=scores)


def _of_label_sets(judged: _Judged) -> Evaluation:
  labels = judged.predictor.labels()
  predicted, scores = judged.decided()
  true = judged.examples.labels > 0.5
  metrics = judged.metrics
  if judged.predictor.description.thresholds:
    metrics = evaluate_texts(judged.data.metrics, true, predicted)
  # How sure it is of what it is most wrong about.
  doubts = np.where(true != predicted, np.abs(scores - true), 0.0).max(axis=1)

  def names(rows: np.ndarray) -> list[tuple[Any, ...]]:
    return [tuple(label for label, is_one in zip(labels, row) if is_one)
            for row in rows]

  return LabelSetEvaluation(
      task=judged.data.name, split=judged.split, rows=len(judged.examples),
      metrics=metrics,
      columns=judged.texts() | {
          "label": names(true), "prediction": names(predicted),
          "confidence": doubts.tolist()},
      wrong=_surest_first((true != predicted).any(axis=1), doubts),
      index=judged.index,
      labels=labels, true=true, predicted=predicted, scores=scores)


def _of_numbers(judged: _Judged) -> Evaluation:
  predicted, _ = judged.decided()
  errors = np.abs(predicted - judged.examples.labels)
  return NumberEvaluation(
      task=judged.data.name, split=judged.split, rows=len(judged.examples),
      metrics=judged.metrics,
      columns=judged.texts() | {
          "label": judged.examples.labels.tolist(),
          "prediction": predicted.tolist(),
          "error": errors.tolist()},
      wrong=_surest_first(errors > 0, errors), index=judged.index,
      true=judged.examples.labels, predicted=predicted)


def _of_tags(judged: _Judged) -> Evaluation:
  labels, examples = judged.data.labels, judged.examples
  scores = [judged.predictor.decided(logits)
            for logits in judged.encoded.at_words(judged.outputs, labels)]
  predicted = [[labels[number] for number in numbers] for numbers, _ in scores]
  true = [[labels[number] for number in tags] for tags in examples.labels]
  confidences = np.concatenate([one.max(axis=1) for _, one in scores])
  flat_true, flat_predicted = ([tag for tags in part for tag in tags]
                               for part in (true, predicted))
  wrong = np.array(flat_true) != np.array(flat_predicted)
  # What is cut off is outside for certain, without having been seen.
  seen = judged.encoded.starts.flat_values.numpy() >= 0
  entities = [[_entities(labels, tags) for tags in part]
              for part in (true, predicted)]
  return TagEvaluation(
      task=judged.data.name, split=judged.split, rows=len(judged.examples),
      metrics=judged.metrics,
      columns={
          "word": [word for words in examples.words for word in words],
          "label": flat_true, "prediction": flat_predicted,
          "confidence": confidences.tolist(),
          "sentence": [" ".join(words) for words in examples.words
                       for _ in words]},
      wrong=_surest_first(wrong & seen, confidences), index=[
          name for name, words in zip(judged.index, examples.words)
          for _ in words],
      true=entities[0], predicted=entities[1],
      calibration=calibration(confidences[seen], ~wrong[seen]),
      errors=entity_errors(*entities), cut=judged.encoded.cut)


def _entities(labels: Sequence[str], tags: Sequence[str]) -> list[Entity]:
  """Returns the entities that tags mark; words with tags if they mark none."""
  scheme = entity_tags(labels)
  if not scheme.entities:
    return [(tag, place, place) for place, tag in enumerate(tags)
            if tag != OUTSIDE]
  return list(seqeval.metrics.sequence_labeling.get_entities(
      [scheme.seqevals[tag] for tag in tags]))


def entity_errors(
    true: Sequence[Sequence[Entity]], predicted: Sequence[Sequence[Entity]],
) -> dict[str, dict[str, int]]:
  """Counts the errors on entities, type by type; see `TagEvaluation`.

  Example:
    >>> entity_errors([[("PER", 0, 1)]], [[("ORG", 0, 1)]])
    {'PER': {'other type': 1}}
  """
  counts: dict[str, dict[str, int]] = collections.defaultdict(
      lambda: collections.defaultdict(int))
  for wanted, found in zip(true, predicted):
    met = set()
    for kind, first, last in wanted:
      over = [entity for entity in found
              if entity[1] <= last and entity[2] >= first]
      met |= set(over)
      counts[kind][_error((kind, first, last), over)] += 1
    for entity in found:
      if entity not in met:
        counts[entity[0]]["invented"] += 1
  return {kind: dict(errors) for kind, errors in sorted(counts.items())}


def _error(wanted: Entity, over: Sequence[Entity]) -> str:
  """Names the error on an entity, by those that have some of its words."""
  if not over:
    return "missed"
  if wanted in over:
    return "right"
  if any(entity[1:] == wanted[1:] for entity in over):
    return "other type"
  return ("other words" if any(entity[0] == wanted[0] for entity in over)
          else "both")


def _of_others(judged: _Judged) -> Evaluation:
  """Pairs the answers of spans with those that are right."""
  rows = [(question.text, judged.examples.contexts[question.context])
          for question in judged.examples.questions]
  found = judged.predictor.answers(judged.encoded, judged.outputs)
  answers = [question.answers for question in judged.examples.questions]
  confidences = np.array([one.probability or 0.0 for one in found])
  wrong = np.array([not span_answers.is_exact(one.value, right)
                    for one, right in zip(found, answers)])
  return Evaluation(
      task=judged.data.name, split=judged.split, rows=len(judged.examples),
      metrics=judged.metrics,
      columns={"question": [row[0] for row in rows],
               "context": [row[1] for row in rows], "label": answers,
               "prediction": [one.value for one in found],
               "confidence": confidences.tolist()},
      wrong=_surest_first(wrong, confidences), index=judged.index)


# Type of problem -> its evaluation.
_MAKERS: dict[str, Callable[[_Judged], Evaluation]] = {
    "classification": _of_classes,
    "multi_label": _of_label_sets,
    "regression": _of_numbers,
    "tagging": _of_tags,
}
