"""Any number of labels for each text or pair of texts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tf_adapters.data.cells import LABEL_SEPARATOR
from tf_adapters.problems.problem import Problem

if TYPE_CHECKING:
  from tf_adapters.modeling.models import Encoder, TaskModel


class MultiLabel(Problem):
  """Any number of labels for each text: those whose logits are positive."""

  separator = LABEL_SEPARATOR
  best_metrics = ("micro_f1", "macro_f1", "accuracy")

  def make_model(self, encoder: "Encoder", labels: Sequence[str] = (),
                 pooling: str = "auto",
                 dropout: float | None = None) -> "TaskModel":
    from tf_adapters.modeling.models import TextClassifier
    return TextClassifier(encoder, labels, pooling, dropout, multi_label=True)
