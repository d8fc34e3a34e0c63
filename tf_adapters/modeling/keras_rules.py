"""Losses and metrics of Keras that fit a kind of model.

Keras' own take probabilities, and labels without gaps; models give logits, and
taggers have tokens without a label. What a model's rules do not name is
refused; of a model without rules nothing is known.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

_LOGITS = {"from_logits": True}


@dataclasses.dataclass(frozen=True)
class KerasRules:
  """Rules for a kind of model: the losses and metrics that are right.

  Attributes:
    losses: what labels look like -> classes of losses for them.
    loss_functions: Keras' functions that are right as losses: those that take
      no probabilities.
    scores: metrics by name, see `keras_metrics`.
    metrics: Keras' own -> what they have to be made with.
    one_hot_metrics: the same, for labels that are one-hot.
    metric_functions: what labels look like -> Keras' functions that are right.
    why_not: why most of Keras' metrics are wrong.
    has_gaps: whether there are tokens without a label.
  """

  losses: Mapping[str, Sequence[str]]
  scores: Sequence[str] = ()
  why_not: str = ""
  loss_functions: Sequence[str] = ()
  metrics: Mapping[str, Mapping[str, Any]] = dataclasses.field(
      default_factory=dict)
  one_hot_metrics: Mapping[str, Mapping[str, Any]] = dataclasses.field(
      default_factory=dict)
  metric_functions: Mapping[str, Sequence[str]] = dataclasses.field(
      default_factory=dict)
  has_gaps: bool = False


CLASSES = KerasRules(
    losses={
        "numbers": ("SparseCategoricalCrossentropy",),
        "one-hot": ("CategoricalCrossentropy", "CategoricalFocalCrossentropy")},
    scores=("accuracy", "f1", "macro_f1", "micro_f1", "matthews_correlation"),
    why_not="the model gives logits, and labels are numbers",
    metrics={
        "SparseCategoricalAccuracy": {}, "SparseTopKCategoricalAccuracy": {},
        "SparseCategoricalCrossentropy": _LOGITS},
    one_hot_metrics={
        "CategoricalAccuracy": {}, "TopKCategoricalAccuracy": {},
        "CategoricalCrossentropy": _LOGITS, "OneHotIoU": {},
        "OneHotMeanIoU": {}, "F1Score": {"threshold": None},
        "FBetaScore": {"threshold": None}},
    metric_functions={
        "numbers": ("sparse_categorical_accuracy",
                    "sparse_top_k_categorical_accuracy"),
        "one-hot": ("categorical_accuracy", "top_k_categorical_accuracy")})

LABEL_SETS = KerasRules(
    losses={"zeros and ones": ("MultiLabelLoss", "BinaryCrossentropy",
                               "BinaryFocalCrossentropy")},
    scores=("accuracy", "micro_f1", "macro_f1"),
    why_not="the model gives logits of each label",
    metrics={"AUC": _LOGITS, "BinaryCrossentropy": _LOGITS,
             "BinaryAccuracy": {"threshold": 0.0}})

NUMBERS = KerasRules(
    losses={"scores": (
        "NumberLoss", "MeanSquaredError", "MeanAbsoluteError", "Huber",
        "LogCosh", "MeanAbsolutePercentageError",
        "MeanSquaredLogarithmicError")},
    why_not="there are no labels",
    loss_functions=(
        "mean_squared_error", "mean_absolute_error", "huber", "log_cosh",
        "mean_absolute_percentage_error", "mean_squared_logarithmic_error"),
    metrics={name: {} for name in (
        "MeanSquaredError", "RootMeanSquaredError", "MeanAbsoluteError",
        "MeanAbsolutePercentageError", "MeanSquaredLogarithmicError",
        "LogCoshError", "R2Score")},
    metric_functions={"scores": (
        "mean_squared_error", "mean_absolute_error", "log_cosh",
        "mean_absolute_percentage_error", "mean_squared_logarithmic_error")})

TAGS = KerasRules(
    losses={"numbers": ("TokenLoss", "SparseCategoricalCrossentropy")},
    scores=("accuracy", "macro_f1", "micro_f1"),
    why_not="tokens without a label have -1",
    metrics={"SparseCategoricalCrossentropy": _LOGITS | {"ignore_class": -1}},
    has_gaps=True)

SPANS = KerasRules(
    losses={"numbers": ("SpanLoss",)}, scores=("accuracy",),
    why_not="labels are positions of tokens")
