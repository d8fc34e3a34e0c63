"""The base of the Keras models of all tasks: an encoder and a head.

Ordinary subclassed models: compile, fit, evaluate, predict, save and load work
as for any other.
"""

import collections
import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import tensorflow as tf
import tf_keras

from tf_adapters.errors import InputError, listed, printable
from tf_adapters.modeling import saving_checks
from tf_adapters.modeling.encoders.table import ENCODERS
from tf_adapters.modeling.heads import Head, TokenHead
from tf_adapters.modeling.keras_model import KerasModel
from tf_adapters.modeling.learning_rates import default_learning_rate
from tf_adapters.modeling.serialization import (
    PACKAGE,
    freeze,
    frozen_names,
    layer_config,
    layer_from,
)
from tf_adapters.modeling.task_description import TaskDescription
from tf_adapters.modeling.text_encoder import TextEncoder
from tf_adapters.modeling.training_step import TrainingStep
from tf_adapters.modeling.tuning import kind_of
from tf_adapters.modeling.tuning_summary import TuningSummary

# Keras' files name classes, and it finds those that have been imported.
for _family in ENCODERS.values():
  _family.encoder_class()


def check_is_task_model(model: object) -> None:
  """Refuses what is no model of a task, such as a `TextTask`.

  Raises:
    InputError: it is something else.
  """
  if not isinstance(model, TaskModel):
    raise InputError(f"a {type(model).__name__} is no model: a Keras model on "
                     "an encoder is wanted, task.model of a TextTask")


class TaskModel(KerasModel):
  """The base of the models of all tasks; see `models`.

  Args:
    encoder: from `load_encoder`, or for problems of whole texts a
      `TextNetwork`; a model tunes its encoder in place.
    head: the layer on top of it.
    labels: label names, in the order of the head's outputs, where it has any.

  Raises:
    InputError: the head wants outputs for each token, and the encoder has none.

  Attributes:
    problem_type: the name of its type of problem.
    per_token: whether there are outputs for each token and not each text.
    task: what the model knows of its task, a `TaskDescription`: it is saved
      with the model, by Keras and by `save_adapter`, and read by exports.
    labels: the task's label names.
  """

  def __init__(self, encoder: TextEncoder, head: Head | TokenHead,
               labels: Sequence[str] = (), **kwargs: Any):
    super().__init__(**kwargs)
    if head.pooling != "pooler" and not encoder.per_token:
      raise InputError(
          f"a {type(encoder).__name__} has one vector for each text, which "
          f"pooling 'pooler' takes, and nothing for {head.pooling!r}")
    self.encoder = encoder
    self.head = head
    self._task = TaskDescription(labels=tuple(labels))
    self._training_step = TrainingStep(self)
    self.built = True

  @property
  def task(self) -> TaskDescription:
    return self._task

  @task.setter
  def task(self, task: TaskDescription) -> None:
    if task.labels != self._task.labels:
      raise InputError(
          f"the task's labels are {', '.join(task.labels) or 'none'}, but the "
          f"model's {', '.join(self._task.labels) or 'none'}")
    self._task = task

  @property
  def labels(self) -> tuple[str, ...]:
    return self._task.labels

  @property
  def default_optimizer(self) -> tf_keras.optimizers.Optimizer:
    return tf_keras.optimizers.Adam(default_learning_rate(self))

  def __repr__(self) -> str:
    task, encoder = self.task, self.encoder
    what = [repr(task.name)] if task.name else []
    what += [f"labels {listed(list(self.labels), 5)}"] if self.labels else []
    origin = f" on {encoder.origin.source}" if encoder.origin else ""
    summary = self.summary_of_tuning()
    what += [f"{encoder.tuning}{origin}",
             f"{summary.trained:,} of {summary.total:,} parameters train"]
    return printable(f"<{type(self).__name__}: {'; '.join(what)}>")

  def check_inputs(self, inputs: Any) -> None:
    """Raises InputError for inputs that the encoder cannot read."""
    self.encoder.check_inputs(inputs)

  # As in encoders: heads do not look at what tensors hold either.
  @tf.autograph.experimental.do_not_convert
  def call(self, inputs: Mapping[str, tf.Tensor],
           training: bool | None = None) -> tf.Tensor:
    beside = {}
    if self._reads_first_only():
      beside["first_only"] = True
    outputs = self.encoder(inputs, training=training, **beside)
    return self.logits(outputs, inputs["input_mask"], training)

  def _reads_first_only(self) -> bool:
    """Returns whether nothing looks at other tokens than the first.

    A user's own `logits` or head may do so.
    """
    return (self.encoder.per_token and self.head.reads_first_only and all(
        part.__module__.startswith(f"{PACKAGE}.")
        for part in (type(self).logits, type(self.head))))

  def logits(self, outputs: Mapping[str, tf.Tensor], input_mask: tf.Tensor,
             training: bool | None = None) -> tf.Tensor:
    """Computes what `call` returns, from the encoder's outputs.

    Args:
      outputs: the encoder's; see `TransformerEncoder.close`, too.
      input_mask: int32 [batch, length].
    """
    return self.head(outputs, input_mask, training=training)

  def build(self, input_shape: Any = None) -> None:
    """Does nothing: every variable of ours exists from the start."""

  def get_build_config(self) -> dict[str, Any] | None:
    """Keras' hook: what the layers of a subclass were built for."""
    layers = [layer.get_build_config() for layer in self.own_layers()]
    return {"layers": layers} if any(layers) else None

  def build_from_config(self, config: Mapping[str, Any]) -> None:
    """Keras' hook, before it reads the weights of a .keras file."""
    for layer, built in zip(self.own_layers(), config["layers"], strict=True):
      if built and not layer.built:
        layer.build_from_config(built)

  def save(self, filepath: str | os.PathLike[str], overwrite: bool = True,
           save_format: str | None = None, **kwargs: Any) -> None:
    """Keras' method; raises InputError for what could not be loaded."""
    saving_checks.check_save(filepath, save_format)
    super().save(filepath, overwrite, save_format, **kwargs)

  def save_weights(self, filepath: str | os.PathLike[str],
                   overwrite: bool = True, save_format: str | None = None,
                   options: Any = None) -> None:
    """Keras' method; raises InputError for what could not be loaded."""
    saving_checks.check_save_weights(filepath, self, save_format)
    super().save_weights(
        filepath, overwrite, save_format=save_format, options=options)

  def load_weights(self, filepath: str | os.PathLike[str],
                   **kwargs: Any) -> Any:
    """Keras' method; raises InputError for weights of another model."""
    saving_checks.check_load_weights(
        filepath, self, kwargs.get("by_name", False))
    return super().load_weights(filepath, **kwargs)

  def tune(self, tuning: str, layer_norms: bool | None = None,
           pooler: bool | None = None) -> None:
    """Chooses what trains, beside the head: see `tuning.Tuning`.

    Can be called at any time, by a callback in a `fit` too. Where the optimizer
    has trained others it starts anew, with its schedule, since its moments
    belong to those. What was trained before stays in the model, and in the
    files that it is saved to. A layer whose `trainable` is off does not train
    under any tuning.

    Args:
      tuning: "adapters", "full", "top_layers:K", "layer_norm", "bias" or
        "head"; of a `TextNetwork` "network" or "network+embedding".
      layer_norms, pooler: True to train them, False to freeze them, whatever
        the method does with them.

    Raises:
      InputError: unknown, or impossible with this encoder.
    """
    before = self.encoder.tuning
    self.encoder.tune(tuning, layer_norms, pooler)
    if self.encoder.tuning != before:
      self._training_step.warn_of_tuning()

  def make_train_function(self, force: bool = False) -> Any:
    """Keras' hook before a training: its steps go by what trains then."""
    if self._training_step.has_changed():
      self._training_step.prepare()
      force = True
    before = self.train_function
    if super().make_train_function(force) is not before:
      self.train_function = self._training_step.checked(self.train_function)
    self._training_step.claim_encoder()
    return self.train_function

  @property
  def is_trained(self) -> bool:
    """Whether the head has learned: its bias, zeros at first, has moved."""
    return bool(tf.reduce_any(self.head.named_variables()["head/bias"] != 0))

  def adapt(self, labels: Any) -> None:
    """Gets ready to learn labels of the training split: only numbers need it.
    """
    del labels

  def saved_head(self) -> dict[str, np.ndarray]:
    """Returns the head by canonical name, as adapter files have it."""
    return {name: variable.numpy()
            for name, variable in self.head.named_variables().items()}

  def named_variables(self) -> dict[str, tf.Variable]:
    """Returns {canonical name: variable} of everything."""
    return {**self.encoder.named_variables(), **self.head.named_variables()}

  def tuned_variables(self) -> dict[str, tf.Variable]:
    """Returns {canonical name: variable} of what trains now.

    What the tuning says and no layer's `trainable` forbids. A pooler that the
    head does not look at gets no gradient and is left out.
    """
    trainable = {id(variable) for variable in super().trainable_weights}
    return {name: variable for name, variable in self.named_variables().items()
            if id(variable) in trainable
            and (self.head.pooling == "pooler" or kind_of(name) != "pooler")}

  def own_weights(self) -> list[tf.Variable]:
    """Returns the weights that a subclass has beside encoder and head."""
    metrics = [metric for metric in self.submodules
               if isinstance(metric, tf_keras.metrics.Metric)]
    known = {id(variable) for variable in (
        *self.named_variables().values(),
        *(variable for metric in metrics for variable in metric.weights))}
    return [weight for weight in self.weights if id(weight) not in known]

  def own_layers(self) -> list[tf_keras.layers.Layer]:
    """Returns the layers that a subclass has beside encoder and head."""
    return [layer for layer in self.layers
            if layer is not self.encoder and layer is not self.head]

  def changed_by_training(self) -> list[tf.Variable]:
    """Returns the variables that `adapt` and a training change."""
    variables = {**self.head.named_variables(), **self.tuned_variables()}
    return [*variables.values(), *self.own_weights()]

  @property
  def trainable_weights(self) -> list[tf.Variable]:
    named = {id(variable) for variable in self.named_variables().values()}
    return [*self.tuned_variables().values(),
            *(weight for weight in super().trainable_weights
              if id(weight) not in named)]

  @property
  def non_trainable_weights(self) -> list[tf.Variable]:
    trainable = {id(weight) for weight in self.trainable_weights}
    return [weight for weight in self.weights if id(weight) not in trainable]

  def summary_of_tuning(self) -> TuningSummary:
    """Counts what trains; prints as a table."""
    tuned = self.tuned_variables()
    rows: dict[str, list[int]] = collections.defaultdict(lambda: [0, 0])
    for name, variable in self.named_variables().items():
      rows[kind_of(name)][name not in tuned] += variable.shape.num_elements()
    trainable = {id(weight) for weight in self.trainable_weights}
    for weight in self.own_weights():
      rows["own layers"][id(weight) not in trainable] += (
          weight.shape.num_elements())
    return TuningSummary(
        self.encoder.tuning,
        {kind: (trained, frozen) for kind, (trained, frozen) in rows.items()})

  def get_config(self) -> dict[str, Any]:
    return {"name": self.name, "dropout": self.head.dropout.rate,
            "encoder": layer_config(self.encoder), "task": self.task.to_dict(),
            "frozen": frozen_names(self.head)}

  @classmethod
  def from_config(cls, config: Mapping[str, Any],
                  custom_objects: Mapping[str, type] | None = None) -> Self:
    config = dict(config)
    if isinstance(config["encoder"], Mapping):
      config["encoder"] = layer_from(config["encoder"], custom_objects)
    # Version 0.1 wrote neither.
    task, frozen = config.pop("task", None), config.pop("frozen", ())
    model = cls(**config)
    if task is not None:
      model.task = TaskDescription.from_dict(task)
    freeze(model.head, frozen)
    return model
