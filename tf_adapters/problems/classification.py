"""One label of several for each text or pair of texts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tf_adapters.problems.problem import Problem

if TYPE_CHECKING:
  from tf_adapters.modeling.models import Encoder, TaskModel


class Classification(Problem):
  """One label of several for each text or pair of texts."""

  best_metrics = ("accuracy", "macro_f1", "micro_f1", "f1",
                  "matthews_correlation")
  keras_metrics = ("accuracy",)

  def make_model(self, encoder: "Encoder", labels: Sequence[str] = (),
                 pooling: str = "auto",
                 dropout: float | None = None) -> "TaskModel":
    from tf_adapters.modeling.models import TextClassifier
    return TextClassifier(encoder, labels, pooling, dropout)
