"""What a type of problem says of itself: the interface of the files here.

Command lines are checked without TensorFlow, and ask for facts of a type of
problem. So the files here import TensorFlow, SciPy and scikit-learn inside the
methods that need them. The Keras models stay in `modeling.models`, since a
Keras class cannot be defined without importing TensorFlow.
"""

import abc
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from tf_adapters.modeling.models import Encoder, TaskModel


class Problem(abc.ABC):
  """A type of problem; one object of each subclass is in `PROBLEMS`.

  Attributes:
    outputs: what the model has outputs for: "texts", "words" (each word has
      those of its first token) or "windows" (pieces of a long second text).
    has_labels: whether a task has names of labels.
    pairs: True where a text is always a pair, False where it never is; None
      where that depends on the task.
    separator: what stands between labels where a text can have several.
    best_metrics: the metrics that can select the best epoch.
    keras_metrics: what is shown while a run trains, for `compile`.
    predicted_split: the name of the splits that a run predicts begins so.
  """

  outputs = "texts"
  has_labels = True
  pairs: bool | None = None
  separator = ""
  best_metrics: Sequence[str] = ()
  keras_metrics: Sequence[str] = ()
  predicted_split = "test"

  @property
  def per_token(self) -> bool:
    """Whether the model has outputs for each token and not for each text."""
    return self.outputs != "texts"

  def takes_pairs(self, pairs: bool | None) -> bool | None:
    """Whether every text has to be a pair, or none may; None for either.

    Args:
      pairs: what is known of the task.
    """
    return pairs if self.pairs is None else self.pairs

  def num_outputs(self, labels: Sequence[str]) -> int:
    """How many outputs the head has, for each text or token."""
    return len(labels)

  @abc.abstractmethod
  def make_model(self, encoder: "Encoder", labels: Sequence[str] = (),
                 pooling: str = "auto",
                 dropout: float | None = None) -> "TaskModel":
    """The Keras model, with its loss.

    Args:
      encoder: from `load_encoder`.
      labels: label names, where the problem has any.
      pooling: see `modeling.models.TextClassifier`; not for outputs per token.
      dropout: before the head; None for the model's default.
    """
