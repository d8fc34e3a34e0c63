"""Evaluates a model on a split of a dataset."""

import collections
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import seqeval.metrics.sequence_labeling

from tf_adapters.data.dataset import Dataset
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
  make: Callable[..., Evaluation] = _MAKERS.get(
      data.problem_type, _of_others)
  return make(predictor, data, split, examples, encoded, outputs, metrics)


def _texts(examples: Any) -> dict[str, Sequence[Any]]:
  columns = {"text": examples.first}
  return columns | ({"text_pair": examples.second} if examples.pairs else {})


def _index(examples: Any) -> list[int] | None:
  """Returns the names of rows in their data, if these are numbers."""
  ids = list(examples.ids)
  return list(map(int, ids)) if all(map(str.isdecimal, ids)) else None


def _surest_first(wrong: np.ndarray, confidences: np.ndarray) -> list[int]:
  """The numbers of rows that are wrong, by falling confidence."""
  rows = np.flatnonzero(wrong)
  return [int(row) for row in rows[
      np.argsort(-confidences[rows], kind="stable")]]


def _of_classes(predictor: Predictor, data: Dataset, split: str, examples: Any,
                encoded: Any, outputs: Sequence[np.ndarray],
                metrics: Mapping[str, float]) -> Evaluation:
  labels = predictor.labels()
  predicted, scores = predictor.decided(np.asarray(outputs))
  true = examples.labels
  confidences = scores.max(axis=1)
  return ClassEvaluation(
      task=data.name, split=split, rows=len(examples), metrics=metrics,
      columns=_texts(examples) | {
          "label": [labels[number] for number in true],
          "prediction": [labels[number] for number in predicted],
          "confidence": confidences.tolist()},
      wrong=_surest_first(true != predicted, confidences),
      index=_index(examples),
      labels=labels, true=true, predicted=predicted, scores=scores)


def _of_label_sets(predictor: Predictor, data: Dataset, split: str,
                   examples: Any, encoded: Any, outputs: Sequence[np.ndarray],
                   metrics: Mapping[str, float]) -> Evaluation:
  labels = predictor.labels()
  predicted, scores = predictor.decided(np.asarray(outputs))
  true = examples.labels > 0.5
  if predictor.description.thresholds:
    metrics = evaluate_texts(data.metrics, true, predicted)
  # How sure it is of what it is most wrong about.
  doubts = np.where(true != predicted, np.abs(scores - true), 0.0).max(axis=1)

  def names(rows: np.ndarray) -> list[tuple[Any, ...]]:
    return [tuple(label for label, is_one in zip(labels, row) if is_one)
            for row in rows]

  return LabelSetEvaluation(
      task=data.name, split=split, rows=len(examples), metrics=metrics,
      columns=_texts(examples) | {
          "label": names(true), "prediction": names(predicted),
          "confidence": doubts.tolist()},
      wrong=_surest_first((true != predicted).any(axis=1), doubts),
      index=_index(examples),
      labels=labels, true=true, predicted=predicted, scores=scores)


def _of_numbers(predictor: Predictor, data: Dataset, split: str, examples: Any,
                encoded: Any, outputs: Sequence[np.ndarray],
                metrics: Mapping[str, float]) -> Evaluation:
  predicted, _ = predictor.decided(np.asarray(outputs))
  errors = np.abs(predicted - examples.labels)
  return NumberEvaluation(
      task=data.name, split=split, rows=len(examples), metrics=metrics,
      columns=_texts(examples) | {
          "label": examples.labels.tolist(), "prediction": predicted.tolist(),
          "error": errors.tolist()},
      wrong=_surest_first(errors > 0, errors), index=_index(examples),
      true=examples.labels, predicted=predicted)


def _of_tags(predictor: Predictor, data: Dataset, split: str, examples: Any,
             encoded: Any, outputs: Sequence[np.ndarray],
             metrics: Mapping[str, float]) -> Evaluation:
  labels = data.labels
  scores = [predictor.decided(logits) for logits in encoded.at_words(
      outputs, labels)]
  predicted = [[labels[number] for number in numbers] for numbers, _ in scores]
  true = [[labels[number] for number in tags] for tags in examples.labels]
  confidences = np.concatenate([one.max(axis=1) for _, one in scores])
  flat_true, flat_predicted = ([tag for tags in part for tag in tags]
                               for part in (true, predicted))
  wrong = np.array(flat_true) != np.array(flat_predicted)
  entities = [[_entities(labels, tags) for tags in part]
              for part in (true, predicted)]
  return TagEvaluation(
      task=data.name, split=split, rows=len(examples), metrics=metrics,
      columns={
          "word": [word for words in examples.words for word in words],
          "label": flat_true, "prediction": flat_predicted,
          "confidence": confidences.tolist(),
          "sentence": [" ".join(words) for words in examples.words
                       for _ in words]},
      wrong=_surest_first(wrong, confidences), true=entities[0],
      predicted=entities[1], calibration=calibration(confidences, ~wrong),
      errors=entity_errors(*entities))


def _entities(labels: Sequence[str], tags: Sequence[str]) -> list[Entity]:
  """The entities that tags mark; words with tags, where they mark none."""
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


def _of_others(predictor: Predictor, data: Dataset, split: str, examples: Any,
               encoded: Any, outputs: Sequence[np.ndarray],
               metrics: Mapping[str, float]) -> Evaluation:
  """Of spans: answers beside those that are right."""
  rows = [(question.text, examples.contexts[question.context])
          for question in examples.questions]
  found = predictor.predictions(rows)
  answers = [question.answers for question in examples.questions]
  confidences = np.array([one.probability or 0.0 for one in found])
  wrong = np.array([one.value not in (right or ("",))
                    for one, right in zip(found, answers)])
  return Evaluation(
      task=data.name, split=split, rows=len(examples), metrics=metrics,
      columns={"question": [row[0] for row in rows],
               "context": [row[1] for row in rows], "label": answers,
               "prediction": [one.value for one in found],
               "confidence": confidences.tolist()},
      wrong=_surest_first(wrong, confidences))


# Type of problem -> its evaluation.
_MAKERS: dict[str, Callable[..., Evaluation]] = {
    "classification": _of_classes,
    "multi_label": _of_label_sets,
    "regression": _of_numbers,
    "tagging": _of_tags,
}
