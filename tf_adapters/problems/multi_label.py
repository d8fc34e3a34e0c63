"""Any number of labels for each text or pair of texts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tf_adapters.data.cells import LABEL_SEPARATOR, list_item, write_list
from tf_adapters.problems.text_problem import TextProblem

if TYPE_CHECKING:
  import tensorflow as tf

  from tf_adapters.modeling.task_model import TaskModel
  from tf_adapters.modeling.text_encoder import TextEncoder


class MultiLabel(TextProblem):
  """Any number of labels for each text: those whose logits are positive."""

  separator = LABEL_SEPARATOR
  best_metrics = ("micro_f1", "macro_f1", "accuracy")

  def make_model(self, encoder: "TextEncoder", labels: Sequence[str] = (),
                 pooling: str = "auto",
                 dropout: float | None = None) -> "TaskModel":
    from tf_adapters.modeling.models import TextClassifier
    return TextClassifier(encoder, labels, pooling, dropout, multi_label=True)

  def decide(self, logits: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
    import tensorflow as tf
    return logits > 0, tf.sigmoid(logits)

  def value(self, predicted: Any, labels: Sequence[str]) -> tuple[str, ...]:
    return tuple(label for label, is_one in zip(labels, predicted) if is_one)

  def write(self, value: Sequence[str], separator: str | None = None) -> str:
    return write_list(value, separator or self.separator)

  def write_tensor(self, predicted: "tf.Tensor",
                   items: "tf.Tensor") -> "tf.Tensor":
    import tensorflow as tf
    return tf.strings.reduce_join(
        tf.ragged.boolean_mask(items, predicted), axis=-1,
        separator=self.separator)

  def item(self, label: str) -> str:
    return list_item(label, self.separator)

  def named(self, value: Sequence[str]) -> str:
    return ", ".join(map(repr, value)) or "no label"

  def same_labels(self, labels: Any, names: Sequence[str]) -> str:
    found = super().same_labels(labels, names)
    if not found or found.endswith("no label"):
      return found.removeprefix("the label ")
    return found.replace("the label ", "the labels ", 1)
