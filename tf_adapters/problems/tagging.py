"""A label, or tag, for each word of a text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tf_adapters.data.cells import TAG_SEPARATOR
from tf_adapters.problems.problem import Problem

if TYPE_CHECKING:
  from tf_adapters.modeling.models import Encoder, TaskModel


class Tagging(Problem):
  """A label, or tag, for each word of a text."""

  outputs = "words"
  pairs = False
  separator = TAG_SEPARATOR
  best_metrics = ("entity_f1", "entity_precision", "entity_recall",
                  "token_accuracy", "macro_f1")

  def make_model(self, encoder: "Encoder", labels: Sequence[str] = (),
                 pooling: str = "auto",
                 dropout: float | None = None) -> "TaskModel":
    from tf_adapters.modeling.models import TokenTagger
    return TokenTagger(encoder, labels, dropout)
