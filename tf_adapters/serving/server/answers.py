"""A prediction as callers of each protocol know it."""

import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.data.tag_schemes import entity_tags
from tf_adapters.problems.prediction import Prediction
from tf_adapters.serving.bank_texts import BASE
from tf_adapters.serving.server.asked import Answer, Text

# What stands between the blanks of TensorFlow's `strings.split`.
_WORD = re.compile("[^ \t\n\v\f\r]+")


def as_pipeline(answer: Answer, text: Text, top_k: int | None) -> Any:
  """Returns a prediction as Hugging Face's pipelines have it.

  Args:
    answer: of the text.
    text: what it is of.
    top_k: how many labels to name; None for all.

  Returns:
    [{"label", "score"}, ...], best first; of several labels with "predicted",
    whether the task gives this one. [{"entity_group", "score", "word", "start",
    "end"}, ...] for tags, {"answer", "score", "start", "end"} for questions,
    {"score"} for numbers, an embedding as a list.
  """
  prediction, info = answer.prediction, answer.info
  value, probabilities = prediction.value, prediction.probabilities
  if isinstance(value, np.ndarray):
    return value.tolist()
  if info is None or isinstance(value, float):
    return {"score": value}
  if info.problem.outputs == "words":
    return _entities(prediction, info, text if isinstance(text, str) else "")
  if info.problem.outputs == "windows":
    start, end = prediction.span or (0, 0)
    return {"answer": value, "score": probabilities.get(value, 0.0),
            "start": start, "end": end}
  scores = sorted(probabilities.items(), key=lambda item: -item[1])[:top_k]
  if isinstance(value, tuple):
    return [{"label": label, "score": score, "predicted": label in value}
            for label, score in scores]
  return [{"label": label, "score": score} for label, score in scores]


def _entities(prediction: Prediction[Any, Any], info: AdapterInfo,
              text: str) -> list[dict[str, Any]]:
  """Entities, where a task's tags say where they begin; else each word."""
  tags = entity_tags(info.labels)
  words = [(tag, probabilities[tag], match.start(), match.end())
           for (_, tag), (_, probabilities), match in zip(
               prediction.value, prediction.probabilities,
               _WORD.finditer(text), strict=True)]
  groups: list[tuple[str, list[tuple[str, float, int, int]]]] = []
  if not tags.entities:
    groups = [(word[0], [word]) for word in words]
  else:
    is_open = False
    for word in words:
      place, _, kind = tags.seqevals[word[0]].partition("-")
      if place == "O":
        is_open = False
        continue
      if not (is_open and place in "IE" and groups[-1][0] == kind):
        groups.append((kind, []))
      groups[-1][1].append(word)
      is_open = place in "BI"
  return [{"entity_group": kind,
           "score": statistics.fmean(score for _, score, _, _ in members),
           "word": text[members[0][2]:members[-1][3]],
           "start": members[0][2], "end": members[-1][3]}
          for kind, members in groups]


def tensor_names(task: str) -> tuple[str, ...]:
  """Returns the names in `as_tensors` of a task."""
  return ("embedding",) if task == BASE else ("label", "scores", "label_names")


def as_tensors(answers: Sequence[Answer],
               task: str) -> Mapping[str, list[Any]]:
  """Returns predictions of one task as a SavedModel of it has them.

  Returns:
    {name: a value for each text}, see `tensor_names`.
  """
  return dict(zip(tensor_names(task), map(list, zip(*map(
      _tensors, answers))) if answers else [[], [], []]))


def _tensors(answer: Answer) -> tuple[Any, ...]:
  prediction, info = answer.prediction, answer.info
  if info is None:
    return (prediction.value.tolist(),)
  return (info.problem.write(prediction.value), _scores(prediction, info),
          _names(prediction, info))


def _scores(prediction: Prediction[Any, Any],
            info: AdapterInfo) -> list[float]:
  value, probabilities = prediction.value, prediction.probabilities
  if isinstance(value, float):
    return [value]
  if info.problem.outputs == "words":
    return [0.0] * len(info.labels)
  if info.problem.outputs == "windows":
    return [probabilities.get(value, 0.0)]
  return list(probabilities.values())


def _names(prediction: Prediction[Any, Any], info: AdapterInfo) -> list[str]:
  if info.problem.outputs == "windows":
    return [prediction.value]
  return list(info.labels) or [""]
