"""A piece of a context that answers a question, or no answer."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_adapters.data.rows import write_cells
from tf_adapters.data.squad_options import SquadOptions
from tf_adapters.errors import InputError
from tf_adapters.problems.prediction import OfLabels, Prediction
from tf_adapters.problems.problem import Problem

if TYPE_CHECKING:
  from tf_adapters.data.dataset import Dataset
  from tf_adapters.data.span_answers import Answers
  from tf_adapters.data.squad_split import EncodedWindows, SquadSplit
  from tf_adapters.modeling.task_model import TaskModel
  from tf_adapters.modeling.text import TextProcessor
  from tf_adapters.modeling.text_encoder import TextEncoder


class Span(Problem):
  """A piece of the second text that answers the first, a question.

  How answers are chosen is `data.span_answers`' business.
  """

  outputs = "windows"
  has_labels = False
  pairs = True
  best_metrics = ("f1", "exact_match")
  predicted_split = "validation"  # SQuAD's test split is not public
  pipeline_tag = "question-answering"

  def num_outputs(self, labels: Sequence[str]) -> int:
    return 2

  def make_model(self, encoder: "TextEncoder", labels: Sequence[str] = (),
                 pooling: str = "auto",
                 dropout: float | None = None) -> "TaskModel":
    from tf_adapters.modeling.models import SpanExtractor
    return SpanExtractor(encoder, dropout or 0.0)

  def check_windows(self, text: "TextProcessor",
                    options: Mapping[str, Any] | None) -> None:
    from tf_adapters.data.squad_split import SquadSplit
    try:
      SquadSplit([], [], SquadOptions.from_dict(options or {})).check(
          text)
    except InputError as error:
      raise InputError(f"span: {error}") from None

  def windows(self, pairs: Sequence[tuple[str, str]], text: "TextProcessor",
              options: Mapping[str, Any] | None) -> "EncodedWindows":
    from tf_adapters.data.squad_split import Question, SquadSplit
    return SquadSplit(
        [context for _, context in pairs],
        [Question(str(number), question, number, (), None)
         for number, (question, _) in enumerate(pairs)],
        SquadOptions.from_dict(options or {}), answered=False).encode(text)

  def decide_windows(
      self, task: str, encoded: "EncodedWindows",
      outputs: Sequence[np.ndarray],
  ) -> list[Prediction[str, OfLabels] | None]:
    odd = {window.question for window, output in zip(encoded.windows, outputs)
           if not np.isfinite(output).all()}
    return [None if number in odd else _prediction(task, answers)
            for number, answers in enumerate(
                _choose(encoded, outputs).values())]

  def write(self, value: str, separator: str | None = None) -> str:
    return value

  def evaluate(self, task: "Dataset", split: "SquadSplit",
               encoded: "EncodedWindows",
               outputs: Sequence[np.ndarray]) -> dict[str, float]:
    from tf_adapters.data import span_answers
    values = span_answers.evaluate(
        split.questions, {name: answers.text for name, answers in _choose(
            encoded, outputs).items()}, split.options.version_2)
    return {name: values[name] for name in task.metrics}

  def files(self, task: "Dataset", name: str, encoded: "EncodedWindows",
            outputs: Sequence[np.ndarray]) -> dict[str, str]:
    """As SQuAD's official scripts take them, the candidates, and a table."""
    chosen = _choose(encoded, outputs)
    files: dict[str, Any] = {
        "predictions.json": {
            name: answers.text for name, answers in chosen.items()},
        "nbest_predictions.json": {
            name: [{"text": answer.text, "score": answer.score,
                    "probability": answer.probability}
                   for answer in answers.best]
            for name, answers in chosen.items()}}
    if encoded.split.options.version_2:
      files["null_odds.json"] = {
          name: answers.null_odds for name, answers in chosen.items()}
    return {name: json.dumps(values, indent=2, ensure_ascii=False,
                             allow_nan=False) + "\n"
            for name, values in files.items()} | {
                f"{name}.tsv": _table(encoded.split, chosen)}


def _table(split: "SquadSplit", chosen: Mapping[str, "Answers"]) -> str:
  """Makes a table of questions, right answers where they are known, and ours.
  """
  rows: list[list[Any]] = [
      ["index", "question", *["label"] * split.answered, "prediction"]]
  rows += [[question.id, question.text,
            *[list(question.answers)] * split.answered,
            chosen[question.id].text] for question in split.questions]
  return b"".join(write_cells("tsv", cells) for cells in rows).decode()


def _choose(encoded: "EncodedWindows",
            outputs: Sequence[np.ndarray]) -> dict[str, "Answers"]:
  from tf_adapters.data import span_answers
  return span_answers.choose(encoded, outputs)


def _prediction(task: str, answers: "Answers") -> Prediction[str, OfLabels]:
  place = next(((answer.start, answer.end) for answer in answers.best
                if answer.text == answers.text != ""), None)
  return Prediction(
      task, answers.text,
      {answer.text: answer.probability for answer in answers.best}, place)
