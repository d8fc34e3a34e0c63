"""The interface of a type of problem.

Command lines are checked without TensorFlow, and ask for facts of a type of
problem. So the files here import TensorFlow, SciPy and scikit-learn inside the
methods that need them. The Keras models stay in `modeling.models`, since a
Keras class cannot be defined without importing TensorFlow.
"""

import abc
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_adapters.errors import InputError
from tf_adapters.problems.prediction import OfLabels, Prediction

if TYPE_CHECKING:
  import tensorflow as tf

  from tf_adapters.data.dataset import Dataset
  from tf_adapters.modeling.task_model import TaskModel
  from tf_adapters.modeling.text import TextProcessor
  from tf_adapters.modeling.text_encoder import TextEncoder

# Logits that decisions are made of at once: their probabilities take several
# times their memory.
_DECIDED_AT_ONCE = 2 ** 22


class Problem(abc.ABC):
  """A type of problem; an object of each subclass is in `PROBLEMS`.

  Most are about whole texts: `TextProblem` has what these share, and
  `classification` is a short one to begin from.

  Attributes:
    outputs: what the model has outputs for: "texts", "words" (each word has
      those of its first token) or "windows" (pieces of a long second text).
    has_labels: whether a task has names of labels.
    pairs: True where a text is always a pair, False where it never is; None
      where that depends on the task.
    separator: what stands between labels where a text can have several.
    best_metrics: the metrics that can select the best epoch.
    keras_metrics: what is shown while a run trains, for `compile`.
    predicted_split: a run predicts the splits whose names begin so.
    pipeline_tag: what the Hugging Face Hub calls it; "" where it has no name
      for it.
  """

  outputs = "texts"
  has_labels = True
  pairs: bool | None = None
  separator = ""
  best_metrics: Sequence[str] = ()
  keras_metrics: Sequence[str] = ()
  predicted_split = "test"
  pipeline_tag = ""

  @property
  def per_token(self) -> bool:
    """Whether the model has outputs for each token and not for each text."""
    return self.outputs != "texts"

  def takes_pairs(self, pairs: bool | None) -> bool | None:
    """Returns whether every text has to be a pair, or none may; None for both.

    Args:
      pairs: what is known of the task.
    """
    return pairs if self.pairs is None else self.pairs

  def num_outputs(self, labels: Sequence[str]) -> int:
    """Returns the number of the head's outputs, for each text or token."""
    return len(labels)

  @abc.abstractmethod
  def make_model(self, encoder: "TextEncoder", labels: Sequence[str] = (),
                 pooling: str = "auto",
                 dropout: float | None = None) -> "TaskModel":
    """Makes the Keras model, with its loss.

    Args:
      encoder: from `load_encoder`.
      labels: label names, where the problem has any.
      pooling: see `modeling.models.TextClassifier`; not for outputs per token.
      dropout: before the head; None for the model's default.
    """

  def decide(self, logits: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
    """Makes decisions of logits, as TensorFlow operations; not for windows.

    The one place that says so: for Python, SavedModels, files and runs.

    Args:
      logits: [rows, outputs], of texts or of words. In a graph of many tasks
        there can be more outputs than the task has: these are -inf.

    Returns:
      What is predicted, in the form of a split's labels: label numbers [rows],
      zeros and ones [rows, labels], or numbers [rows]. And the scores [rows,
      labels], which are probabilities; or the numbers, [rows, 1].
    """
    raise NotImplementedError

  def decided(self, logits: np.ndarray,
              boundaries: np.ndarray | Sequence[float] = (),
              ) -> tuple[np.ndarray, np.ndarray]:
    """As `decide`, from and to arrays.

    Args:
      logits: as for `decide`.
      boundaries: the logits above which labels are predicted, where each is
        predicted or not: [labels] or [rows, labels]; () for 0.
    """
    import tensorflow as tf
    boundaries = np.asarray(boundaries, logits.dtype)
    results: list[np.ndarray] = []
    rows = max(1, _DECIDED_AT_ONCE // max(1, math.prod(logits.shape[1:])))
    for start in range(0, max(len(logits), 1), rows):
      part = slice(start, start + rows)
      decided = self.decide(tf.constant(logits[part]))
      if len(boundaries):
        below = boundaries[part] if boundaries.ndim > 1 else boundaries
        predicted, _ = self.decide(tf.constant(logits[part] - below))
        decided = predicted, decided[1]
      if not results:
        results = [np.empty([len(logits), *one.shape[1:]],
                            one.dtype.as_numpy_dtype) for one in decided]
      for result, one in zip(results, decided):
        result[part] = one.numpy()
    predicted, scores = results
    return predicted, scores

  def check_windows(self, text: "TextProcessor",
                    options: Mapping[str, Any] | None) -> None:
    """Refuses what `windows` cannot do.

    Args:
      text, options: as for `windows`.

    Raises:
      InputError: sequences are too short, or the options wrong.
    """
    raise NotImplementedError

  def windows(self, pairs: Sequence[tuple[str, str]], text: "TextProcessor",
              options: Mapping[str, Any] | None) -> Any:
    """Cuts pairs of texts into windows, where the model reads windows.

    Args:
      pairs: the texts.
      text: of the task's longest sequences.
      options: what the task's description says of spans.

    Returns:
      An `Encoded`, whose rows are the windows.
    """
    raise NotImplementedError

  def decide_windows(
      self, task: str, encoded: Any, outputs: Sequence[np.ndarray],
  ) -> list[Prediction[Any, Any] | None]:
    """Makes a prediction for each pair of texts, where windows are read.

    Args:
      task: the task's name.
      encoded: from `windows`.
      outputs: logits [length, outputs] of each window.

    Returns:
      A prediction for each pair; None where logits are not finite.
    """
    raise NotImplementedError

  def value(self, predicted: Any, labels: Sequence[str]) -> Any:
    """Turns a row of a split's labels back into names.

    Args:
      predicted: of one text or word: a label number, zeros and ones, a number.
      labels: label names.

    Returns:
      The value of a `Prediction`; of a word, its label.
    """
    return labels[int(predicted)]

  def prediction(self, task: str, labels: Sequence[str], predicted: Any,
                 scores: np.ndarray,
                 words: Sequence[str]) -> Prediction[Any, Any]:
    """Makes the prediction of one text.

    Args:
      task: the task's name.
      labels: label names.
      predicted, scores: of the text, from `decided`; or of each of its words.
      words: the text's, where there are outputs for words.
    """
    del words
    return Prediction(
        task, self.value(predicted, labels),
        dict(zip(labels, scores.tolist())) if labels else None)

  @abc.abstractmethod
  def write(self, value: Any, separator: str | None = None) -> str:
    """Writes a prediction's value as one text, for tables, SavedModels and Ray.

    Args:
      value: of a `Prediction`.
      separator: what to put between several labels; None for the problem's.
    """

  def write_tensor(self, predicted: "tf.Tensor",
                   items: "tf.Tensor") -> "tf.Tensor":
    """As `write`, as TensorFlow operations.

    Args:
      predicted: of each row, from `decide`.
      items: string [rows, labels], each label as `item` has it.

    Returns:
      String [rows]; of words, each word's.
    """
    import tensorflow as tf
    return tf.gather(items, predicted, batch_dims=1)

  def item(self, label: str) -> str:
    """Writes a label as `write` does."""
    return label

  def json_cells(self, prediction: Prediction[Any, Any]) -> dict[str, Any]:
    """Returns a prediction's "prediction" and "scores" in a file of JSON lines.
    """
    return {"prediction": self.write(prediction.value),
            "scores": rounded(prediction.probabilities)}

  def table_cells(self, prediction: Prediction[Any, Any]) -> dict[str, Any]:
    """Returns a prediction's "prediction" and "score" in a table."""
    score = prediction.probability
    return {"prediction": self.write(prediction.value),
            "score": None if score is None else round(score, 6)}

  def score_list(self, prediction: Prediction[Any, Any]) -> list[float]:
    """Returns a prediction's scores in a column of lists."""
    return list(prediction.probabilities.values())

  @abc.abstractmethod
  def evaluate(self, task: "Dataset", split: Any, encoded: Any,
               outputs: Sequence[np.ndarray]) -> dict[str, float]:
    """Computes the metrics of a split.

    Args:
      task: says which metrics.
      split: the examples, with labels.
      encoded: what the split's `encode` made of them.
      outputs: the model's, one for each row of `encoded`; finite.

    Returns:
      {name: value} for the task's metrics.
    """

  @abc.abstractmethod
  def files(self, task: "Dataset", name: str, encoded: Any,
            outputs: Sequence[np.ndarray]) -> dict[str, str]:
    """Makes the files of a split's predictions, {name: content}.

    Args:
      task: the task.
      name: of the split.
      encoded, outputs: as for `evaluate`.

    Raises:
      InputError: a label cannot be written as a benchmark wants it.
    """

  def same_labels(self, labels: Any, names: Sequence[str]) -> str:
    """Describes labels that are the same in all rows; "" where they differ.

    Args:
      labels: of the split.
      names: of the labels.
    """
    return ""

  def same_predictions(self, encoded: Any, outputs: Sequence[np.ndarray],
                       names: Sequence[str]) -> str:
    """As `same_labels`, of what a model predicts."""
    return ""


def check_finite(task: "Dataset", outputs: Sequence[np.ndarray]) -> None:
  """Refuses outputs that are not finite: any of them would count as label 0.

  Raises:
    InputError: one is not; its row is told.
  """
  for row, output in enumerate(outputs):
    if not np.isfinite(output).all():
      raise InputError(
          f"task {task.name}: the model computes numbers that are not finite "
          f"from row {row}: its weights are too large; train with a lower "
          "learning_rate")


def rounded(probabilities: OfLabels) -> dict[str, float]:
  return {label: round(score, 6) for label, score in probabilities.items()}
