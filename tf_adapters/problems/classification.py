"""One label of several for each text or pair of texts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tf_adapters.problems.text_problem import TextProblem

if TYPE_CHECKING:
  import tensorflow as tf

  from tf_adapters.modeling.task_model import TaskModel
  from tf_adapters.modeling.text_encoder import TextEncoder


class Classification(TextProblem):
  """One label of several for each text or pair of texts: the likeliest."""

  best_metrics = ("accuracy", "macro_f1", "micro_f1", "f1",
                  "matthews_correlation")
  keras_metrics = ("accuracy",)

  def make_model(self, encoder: "TextEncoder", labels: Sequence[str] = (),
                 pooling: str = "auto",
                 dropout: float | None = None) -> "TaskModel":
    from tf_adapters.modeling.models import TextClassifier
    return TextClassifier(encoder, labels, pooling, dropout)

  def decide(self, logits: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
    return likeliest(logits)


def likeliest(logits: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
  """Finds the largest logit, and computes the softmax of all.

  Args:
    logits: [rows, labels].

  Returns:
    Int64 [rows] and [rows, labels].
  """
  import tensorflow as tf

  # In float64: a SavedModel adds up as many odds as its widest task has, in an
  # order that depends on it. No other task may change a bit of the result.
  odds = tf.exp(tf.cast(
      logits - tf.reduce_max(logits, axis=-1, keepdims=True), tf.float64))
  return (tf.argmax(logits, axis=-1), tf.cast(
      odds / tf.reduce_sum(odds, axis=-1, keepdims=True), logits.dtype))
