"""A number for each text or pair of texts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tf_adapters.problems.problem import Problem

if TYPE_CHECKING:
  from tf_adapters.modeling.models import Encoder, TaskModel


class Regression(Problem):
  """A number for each text or pair of texts."""

  has_labels = False
  best_metrics = ("spearman", "pearson")

  def num_outputs(self, labels: Sequence[str]) -> int:
    return 1

  def make_model(self, encoder: "Encoder", labels: Sequence[str] = (),
                 pooling: str = "auto",
                 dropout: float | None = None) -> "TaskModel":
    from tf_adapters.modeling.models import TextRegressor
    return TextRegressor(encoder, pooling, dropout)
