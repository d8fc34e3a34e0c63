"""A label, or tag, for each word of a text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_adapters.data.cells import TAG_SEPARATOR, list_item, write_list
from tf_adapters.problems.classification import likeliest
from tf_adapters.problems.prediction import OfTags, Prediction, Tags
from tf_adapters.problems.problem import Problem, rounded

if TYPE_CHECKING:
  import tensorflow as tf

  from tf_adapters.data.dataset import Dataset
  from tf_adapters.data.tagging import EncodedWords, TaggedSplit
  from tf_adapters.modeling.task_model import TaskModel
  from tf_adapters.modeling.text_encoder import TextEncoder


class Tagging(Problem):
  """A label, or tag, for each word of a text: the likeliest."""

  outputs = "words"
  pairs = False
  separator = TAG_SEPARATOR
  best_metrics = ("entity_f1", "entity_precision", "entity_recall",
                  "token_accuracy", "macro_f1")
  pipeline_tag = "token-classification"

  def make_model(self, encoder: "TextEncoder", labels: Sequence[str] = (),
                 pooling: str = "auto",
                 dropout: float | None = None) -> "TaskModel":
    from tf_adapters.modeling.models import TokenTagger
    return TokenTagger(encoder, labels, dropout)

  def decide(self, logits: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
    return likeliest(logits)

  def prediction(self, task: str, labels: Sequence[str], predicted: Any,
                 scores: np.ndarray,
                 words: Sequence[str]) -> Prediction[Tags, OfTags]:
    return Prediction(
        task,
        [(word, self.value(one, labels))
         for word, one in zip(words, predicted)],
        [(word, dict(zip(labels, row)))
         for word, row in zip(words, scores.tolist())])

  def write(self, value: Tags, separator: str | None = None) -> str:
    return write_list((tag for _, tag in value), separator or self.separator)

  def item(self, label: str) -> str:
    return list_item(label, self.separator)

  def json_cells(self,
                 prediction: Prediction[Tags, OfTags]) -> dict[str, Any]:
    return {"prediction": self.write(prediction.value),
            "scores": [rounded(tags) for _, tags in prediction.probabilities],
            "words": [word for word, _ in prediction.value]}

  def score_list(self, prediction: Prediction[Tags, OfTags]) -> list[float]:
    return [tags[tag] for (_, tag), (_, tags) in zip(
        prediction.value, prediction.probabilities)]

  def tags(self, encoded: "EncodedWords", outputs: Sequence[np.ndarray],
           labels: Sequence[str]) -> list[list[str]]:
    """Returns the predicted tag of each word.

    Args:
      encoded: the sentences.
      outputs: logits [length, labels] of each.
      labels: the tags' names.

    Returns:
      Names, as many as words.
    """
    at_words = encoded.at_words(outputs, labels)
    predicted, _ = self.decided(np.concatenate(at_words))
    ends = np.cumsum([len(words) for words in at_words])
    return [[labels[number] for number in numbers]
            for numbers in np.split(predicted, ends[:-1])]

  def evaluate(self, task: "Dataset", split: "TaggedSplit",
               encoded: "EncodedWords",
               outputs: Sequence[np.ndarray]) -> dict[str, float]:
    from tf_adapters.problems.metrics import entity_metrics, token_metrics
    true = [[task.labels[tag] for tag in tags] for tags in split.labels or ()]
    predicted = self.tags(encoded, outputs, task.labels)
    values = token_metrics(true, predicted)
    if "entity_f1" in task.metrics:
      values |= entity_metrics(task.labels, true, predicted)
    return {name: values[name] for name in task.metrics}

  def files(self, task: "Dataset", name: str, encoded: "EncodedWords",
            outputs: Sequence[np.ndarray]) -> dict[str, str]:
    """Writes words with predicted tags, behind the true ones if there are any.

    As conlleval takes them.
    """
    split: Any = task.splits[name]
    columns = [split.words]
    if split.tags is not None:
      columns.append([[task.labels[tag] for tag in tags]
                      for tags in split.tags])
    columns.append(self.tags(encoded, outputs, task.labels))
    return {f"{name}.conll": "\n\n".join(
        "\n".join(map("\t".join, zip(*sentence)))
        for sentence in zip(*columns)) + "\n"}

  def same_labels(self, labels: Sequence[np.ndarray],
                  names: Sequence[str]) -> str:
    different = np.unique(np.concatenate(labels))
    return (f"the tag {names[different[0]]!r} alone"
            if len(different) == 1 else "")

  def same_predictions(self, encoded: "EncodedWords",
                       outputs: Sequence[np.ndarray],
                       names: Sequence[str]) -> str:
    different = {tag for tags in self.tags(encoded, outputs, names)
                 for tag in tags}
    return repr(different.pop()) if len(different) == 1 else ""
