"""A piece of a context that answers a question, or no answer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tf_adapters.problems.problem import Problem

if TYPE_CHECKING:
  from tf_adapters.modeling.models import Encoder, TaskModel


class Span(Problem):
  """A piece of the second text that answers the first, a question."""

  outputs = "windows"
  has_labels = False
  pairs = True
  best_metrics = ("f1", "exact_match")
  predicted_split = "validation"  # SQuAD's test split is not public

  def num_outputs(self, labels: Sequence[str]) -> int:
    return 2

  def make_model(self, encoder: "Encoder", labels: Sequence[str] = (),
                 pooling: str = "auto",
                 dropout: float | None = None) -> "TaskModel":
    from tf_adapters.modeling.models import SpanExtractor
    return SpanExtractor(encoder, dropout or 0.0)
