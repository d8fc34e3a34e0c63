"""Keras models of one task: an encoder and a head.

Ordinary subclassed models: compile, fit, evaluate, predict, save and load work
as for any other. Losses are offered here; metrics and data are elsewhere.
"""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from tf_adapters.errors import InputError
from tf_adapters.modeling.encoder import BertEncoder
from tf_adapters.modeling.heads import Head, TokenHead, choose_pooling
from tf_adapters.modeling.keras_model import KerasModel
from tf_adapters.modeling.losses import MultiLabelLoss, SpanLoss, TokenLoss
from tf_adapters.modeling.serialization import (
  PACKAGE,
  layer_config,
  layer_from,
)
from tf_adapters.modeling.text_network import TextNetwork
from tf_adapters.modeling.tuning import kind_of

Encoder = BertEncoder | TextNetwork

# What padding adds to a span's logits.
_NO_ANSWER = -1e9


@dataclasses.dataclass(frozen=True)
class TuningSummary:
  """How many parameters train and how many are frozen, by kind.

  Attributes:
    tuning: the tuning's name.
    rows: kind -> (trained, frozen).
  """

  tuning: str
  rows: Mapping[str, tuple[int, int]]

  @property
  def trained(self) -> int:
    return sum(trained for trained, _ in self.rows.values())

  @property
  def total(self) -> int:
    return sum(sum(row) for row in self.rows.values())

  @property
  def percent(self) -> float:
    """Trained parameters in per cent of all."""
    return 100 * self.trained / self.total

  @property
  def base(self) -> int:
    """Parameters that are pretrained: without adapters, network and head."""
    return sum(sum(row) for kind, row in self.rows.items()
               if kind not in ("adapters", "network", "head"))

  @property
  def percent_of_base(self) -> float:
    """Trained parameters of a task as the paper counts them (table 1)."""
    return 100 * self.trained / self.base

  def times_base(self, num_tasks: int) -> float:
    """What a number of such tasks need together, in pretrained encoders.

    As the paper counts (tables 1 and 2): one frozen encoder for all, and for
    each task what it trained; where all of the encoder is trained, as many
    encoders as tasks.
    """
    shared = any(frozen for _, frozen in self.rows.values())
    return shared + num_tasks * self.trained / self.base

  def to_dict(self) -> dict[str, Any]:
    """The counts as JSON values; `times_base` for 1, 9 and 17 tasks."""
    return {
        "trained": self.trained, "total": self.total,
        "percent": round(self.percent, 4), "base": self.base,
        "percent_of_base": round(self.percent_of_base, 4),
        "times_base": {str(count): round(self.times_base(count), 4)
                       for count in (1, 9, 17)}}

  def __str__(self) -> str:
    lines = [f"tuning: {self.tuning}",
             f"{'':20}{'trained':>14}{'frozen':>14}"]
    for kind, (trained, frozen) in self.rows.items():
      lines.append(f"{kind:20}{trained:14,}{frozen:14,}")
    lines.append(f"{'all':20}{self.trained:14,}{self.total - self.trained:14,}")
    lines.append(f"trained: {self.percent:.2f} % of {self.total:,} parameters")
    if "transformer layers" in self.rows:  # there is an encoder to share
      lines.append(
          f"as the paper counts: {self.percent_of_base:.2f} % of the encoder; "
          f"9 tasks need {self.times_base(9):.2f} encoders")
    return "\n".join(lines)

  __repr__ = __str__


class TaskModel(KerasModel):
  """What the models of all tasks share; use one of the classes below.

  Args:
    encoder: a `BertEncoder`, or for problems of whole texts a `TextNetwork`; a
      model tunes its encoder in place.
    head: the layer on top of it.

  Raises:
    InputError: the head wants outputs for each token, and the encoder has none.

  Attributes:
    problem_type: one of `config.PROBLEM_TYPES`.
    per_token: whether there are outputs for each token and not each text.
    max_length, pairs: what the texts were in training, as `save_adapter` has
      it: set by `load_adapter`, None where it is not known.
  """

  def __init__(self, encoder: Encoder, head: Head | TokenHead,
               **kwargs: Any):
    super().__init__(**kwargs)
    if head.pooling != "pooler" and not encoder.per_token:
      raise InputError(
          "a TextNetwork has one vector for each text, which pooling 'pooler' "
          f"takes, and nothing for {head.pooling!r}")
    self.encoder = encoder
    self.head = head
    self.max_length: int | None = None
    self.pairs: bool | None = None
    # Optimizer and variables of the last training, by id.
    self._trained = (None,)
    self.built = True

  def check_inputs(self, inputs: Any) -> None:
    """Raises InputError for inputs that the encoder cannot read."""
    self.encoder.check_inputs(inputs)

  def call(self, inputs: Mapping[str, tf.Tensor],
           training: bool | None = None) -> tf.Tensor:
    outputs = self.encoder(inputs, training=training)
    return self.logits(outputs, inputs["input_mask"], training)

  def logits(self, outputs: Mapping[str, tf.Tensor], input_mask: tf.Tensor,
             training: bool | None = None) -> tf.Tensor:
    """What `call` returns, from the encoder's outputs.

    Args:
      outputs: the encoder's; see `BertEncoder.close`, too.
      input_mask: int32 [batch, length].
    """
    return self.head(outputs, input_mask, training=training)

  def build(self, input_shape=None):
    """Does nothing: every variable exists from the start."""

  def tune(self, tuning: str, layer_norms: bool | None = None,
           pooler: bool | None = None) -> None:
    """Chooses what trains, beside the head: see `tuning.Tuning`.

    Can be called at any time. After a `fit` the optimizer starts anew, since
    its moments belong to the variables that were trained.

    Args:
      tuning: "adapters", "full", "top_layers:K", "layer_norm", "bias" or
        "head"; of a `TextNetwork` "no_bert" or "no_bert+embedding".
      layer_norms, pooler: True to train them, False to freeze them, whatever
        the method does with them.

    Raises:
      InputError: unknown, or impossible with this encoder.
    """
    self.encoder.tune(tuning, layer_norms, pooler)

  def make_train_function(self, force: bool = False):
    """Keras' hook before training: notices when what trains has changed."""
    variables = [id(variable) for variable in self.trainable_variables]
    optimizer, *before = self._trained
    if optimizer == id(self.optimizer) and before != variables:
      self.optimizer = self.optimizer.from_config(self.optimizer.get_config())
      force = True
    self._trained = (id(self.optimizer), *variables)
    return super().make_train_function(force)

  def named_variables(self) -> dict[str, tf.Variable]:
    """{canonical name: variable} of everything."""
    return {**self.encoder.named_variables(), **self.head.named_variables()}

  def tuned_variables(self) -> dict[str, tf.Variable]:
    """{canonical name: variable} of what trains: what an adapter file has.

    A pooler that the head does not look at gets no gradient and is left out.
    """
    tuned = {**self.encoder.tuned_variables(), **self.head.named_variables()}
    if self.head.pooling != "pooler":
      tuned = {name: variable for name, variable in tuned.items()
               if kind_of(name) != "pooler"}
    return tuned

  @property
  def trainable_weights(self) -> list[tf.Variable]:
    return list(self.tuned_variables().values()) if self.trainable else []

  @property
  def non_trainable_weights(self) -> list[tf.Variable]:
    tuned = {id(variable) for variable in self.trainable_weights}
    return [variable for variable in self.named_variables().values()
            if id(variable) not in tuned]

  def summary_of_tuning(self) -> TuningSummary:
    """Counts what trains; prints as a table."""
    tuned = self.tuned_variables()
    rows = collections.defaultdict(lambda: [0, 0])
    for name, variable in self.named_variables().items():
      rows[kind_of(name)][name not in tuned] += variable.shape.num_elements()
    return TuningSummary(
        self.encoder.tuning, {kind: tuple(row) for kind, row in rows.items()})

  def get_config(self) -> dict[str, Any]:
    return {"name": self.name, "dropout": self.head.dropout.rate,
            "encoder": layer_config(self.encoder)}

  @classmethod
  def from_config(cls, config, custom_objects=None):
    config = dict(config)
    if isinstance(config["encoder"], Mapping):
      config["encoder"] = layer_from(config["encoder"], custom_objects)
    return cls(**config)


@tf_keras.saving.register_keras_serializable(PACKAGE)
class TextClassifier(TaskModel):
  """One label of several, or any number of them, for each text or pair.

  Args:
    encoder: from `load_encoder`.
    labels: label names; a label's place is its number in the data.
    pooling: "pooler", "cls" or "mean", see `Head`; "auto" for the one that the
      encoder was made for.
    dropout: dropout rate before the linear layer. None: that of the encoder's
      hidden states.
    multi_label: whether a text can have any number of the labels. Labels are
      then rows of zeros and ones, [batch, len(labels)], and a label is
      predicted where its logit is positive.

  Call arguments:
    inputs: what the encoder takes.

  Returns:
    Logits, float32 [batch, len(labels)].

  Raises:
    InputError: fewer than two labels, or a label twice.

  Example:
    >>> model = TextClassifier(encoder, labels=["negative", "positive"])
    >>> model.compile(optimizer="adam", loss=model.loss_function,
    ...               metrics=["accuracy"])
  """

  def __init__(self, encoder: Encoder, labels: Sequence[str],
               pooling: str = "auto", dropout: float | None = None,
               multi_label: bool = False, **kwargs: Any):
    labels = _different(labels)
    super().__init__(
        encoder, _text_head(encoder, len(labels), pooling, dropout), **kwargs)
    self.labels = labels
    self.multi_label = multi_label

  @property
  def problem_type(self) -> str:
    return "multi_label" if self.multi_label else "classification"

  @property
  def loss_function(self) -> tf_keras.losses.Loss:
    if self.multi_label:
      return MultiLabelLoss()
    return tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), "labels": list(self.labels),
            "pooling": self.head.pooling, "multi_label": self.multi_label}


@tf_keras.saving.register_keras_serializable(PACKAGE)
class TextRegressor(TaskModel):
  """One number for each text or pair of texts.

  Args:
    encoder: from `load_encoder`.
    pooling: "pooler", "cls" or "mean", see `Head`; "auto" for the one that the
      encoder was made for.
    dropout: dropout rate before the linear layer. None: that of the encoder's
      hidden states.

  Call arguments:
    inputs: what the encoder takes.

  Returns:
    float32 [batch, 1].

  Example:
    >>> model = TextRegressor(encoder, pooling="mean")
    >>> model.compile(optimizer="adam", loss=model.loss_function)
  """

  problem_type = "regression"

  def __init__(self, encoder: Encoder, pooling: str = "auto",
               dropout: float | None = None, **kwargs: Any):
    super().__init__(encoder, _text_head(encoder, 1, pooling, dropout),
                     **kwargs)

  @property
  def loss_function(self) -> tf_keras.losses.Loss:
    return tf_keras.losses.MeanSquaredError()

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), "pooling": self.head.pooling}


@tf_keras.saving.register_keras_serializable(PACKAGE)
class TokenTagger(TaskModel):
  """One label of several for each token.

  Args:
    encoder: from `load_encoder`.
    labels: label names, such as "O", "B-person", "I-person".
    dropout: dropout rate before the linear layer. None: that of the encoder's
      hidden states.

  Call arguments:
    inputs: what the encoder takes.

  Returns:
    Logits, float32 [batch, length, len(labels)].

  Raises:
    InputError: fewer than two labels, or a label twice.

  Example:
    >>> model = TokenTagger(encoder, labels=["O", "B-name", "I-name"])
    >>> model.compile(optimizer="adam", loss=model.loss_function)
  """

  problem_type = "tagging"
  per_token = True

  def __init__(self, encoder: Encoder, labels: Sequence[str],
               dropout: float | None = None, **kwargs: Any):
    labels = _different(labels)
    super().__init__(encoder, _token_head(encoder, len(labels), dropout),
                     **kwargs)
    self.labels = labels

  @property
  def loss_function(self) -> tf_keras.losses.Loss:
    return TokenLoss()

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), "labels": list(self.labels)}


@tf_keras.saving.register_keras_serializable(PACKAGE)
class SpanExtractor(TaskModel):
  """A span of the second text that answers the first, a question.

  Args:
    encoder: from `load_encoder`.
    dropout: dropout rate before the linear layer; BERT's code has none.

  Call arguments:
    inputs: what the encoder takes: pairs of question and context.

  Returns:
    Logits of an answer's first and last token, float32 [batch, length, 2];
    very low at padding. The first token, [CLS], stands for "no answer".

  Example:
    >>> model = SpanExtractor(encoder)
    >>> model.compile(optimizer="adam", loss=model.loss_function)
  """

  problem_type = "span"
  per_token = True

  def __init__(self, encoder: Encoder, dropout: float = 0.0,
               **kwargs: Any):
    super().__init__(encoder, _token_head(encoder, 2, dropout), **kwargs)

  def logits(self, outputs: Mapping[str, tf.Tensor], input_mask: tf.Tensor,
             training: bool | None = None) -> tf.Tensor:
    logits = super().logits(outputs, input_mask, training)
    padding = 1.0 - tf.cast(input_mask, tf.float32)
    return logits + (padding * _NO_ANSWER)[:, :, tf.newaxis]

  @property
  def loss_function(self) -> tf_keras.losses.Loss:
    return SpanLoss()


def make_model(problem_type: str, encoder: Encoder,
               labels: Sequence[str] = (), pooling: str = "auto",
               dropout: float | None = None) -> TaskModel:
  """The model for a type of problem.

  Args:
    problem_type: one of `config.PROBLEM_TYPES`.
    encoder: from `load_encoder`.
    labels: label names, for problems that have any.
    pooling: for problems of whole texts, see `TextClassifier`.
    dropout: before the head; None for the model's default.
  """
  options = {} if dropout is None else {"dropout": dropout}
  match problem_type:
    case "regression":
      return TextRegressor(encoder, pooling, **options)
    case "tagging":
      return TokenTagger(encoder, labels, **options)
    case "span":
      return SpanExtractor(encoder, **options)
  return TextClassifier(encoder, labels, pooling,
                        multi_label=problem_type == "multi_label", **options)


def _different(labels: Sequence[str]) -> tuple[str, ...]:
  labels = tuple(labels)
  if len(labels) < 2 or len(set(labels)) < len(labels):
    raise InputError(
        f"a classifier needs two or more different labels, not {labels}")
  return labels


def _text_head(encoder: Encoder, units: int, pooling: str,
               dropout: float | None) -> Head:
  return Head(units, encoder.hidden_size,
              choose_pooling(pooling, encoder.pooling),
              _dropout(encoder, dropout), dtype=encoder.dtype_policy)


def _token_head(encoder: Encoder, units: int,
                dropout: float | None) -> TokenHead:
  return TokenHead(units, encoder.hidden_size,
                   _dropout(encoder, dropout), dtype=encoder.dtype_policy)


def _dropout(encoder: Encoder, dropout: float | None) -> float:
  return encoder.hidden_dropout_prob if dropout is None else dropout
