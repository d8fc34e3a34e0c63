"""A number for each text or pair of texts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_adapters.data.cells import NUMBER_DIGITS, write_number
from tf_adapters.problems.prediction import Prediction
from tf_adapters.problems.text_problem import TextProblem

if TYPE_CHECKING:
  import tensorflow as tf

  from tf_adapters.modeling.task_model import TaskModel
  from tf_adapters.modeling.text_encoder import TextEncoder


class Regression(TextProblem):
  """A number for each text or pair of texts: the only output itself."""

  has_labels = False
  best_metrics = ("spearman", "pearson")

  def num_outputs(self, labels: Sequence[str]) -> int:
    return 1

  def make_model(self, encoder: "TextEncoder", labels: Sequence[str] = (),
                 pooling: str = "auto",
                 dropout: float | None = None) -> "TaskModel":
    from tf_adapters.modeling.models import TextRegressor
    return TextRegressor(encoder, pooling, dropout)

  def decide(self, logits: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
    return logits[:, 0], logits[:, :1]

  def value(self, predicted: Any, labels: Sequence[str]) -> float:
    return float(predicted)

  def write(self, value: float, separator: str | None = None) -> str:
    return write_number(value)

  def write_tensor(self, predicted: "tf.Tensor",
                   items: "tf.Tensor") -> "tf.Tensor":
    import tensorflow as tf
    return tf.strings.as_string(  # as `write_number`
        predicted, precision=NUMBER_DIGITS, shortest=True)

  def json_cells(self, prediction: Prediction[float, None]) -> dict[str, Any]:
    return {"prediction": float(self.write(prediction.value)), "scores": None}

  def score_list(self, prediction: Prediction[float, None]) -> list[float]:
    return [prediction.value]

  def submitted(self, predicted: Any, labels: Sequence[str]) -> str:
    return f"{np.clip(predicted, 0.0, 5.0):.3f}"  # STS-B: similarity to 5

  def named(self, value: float) -> str:
    return f"{value:.4g}"  # what hardly differs is the same

  def same_labels(self, labels: Any, names: Sequence[str]) -> str:
    different = np.unique(labels)
    return f"the target {different[0]:.6g}" if len(different) == 1 else ""
