"""Checks that our models make before Keras' own methods take over.

`compile` gives names the meaning that is right for the model's problem; `fit`
and its siblings look at what they are given. What cannot be right is refused
here, in one line, and not in the middle of a trace.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import tensorflow as tf
import tf_keras

from tf_adapters.errors import InputError, warn
from tf_adapters.modeling import class_weight as weighting, keras_metrics
from tf_adapters.modeling.fit_checks import (
    as_list,
    check_callbacks,
    steps_to_come,
    warn_of_schedule,
)
from tf_adapters.modeling.keras_rules import KerasRules
from tf_adapters.modeling.losses import (
    MultiLabelLoss,
    check_loss,
    weights_of_elements,
)
from tf_adapters.modeling.model_inputs import (
    check_labels,
    check_not_keras_3,
    check_sample_weight,
    is_iterator,
    values_of,
    with_integers,
)
from tf_adapters.modeling.saving_checks import check_checkpoints
from tf_adapters.switches import Switch

_Step = Callable[[Any, Any], dict[str, tf.Tensor]]

# Whether the data of the step at hand has its weights; replicas, which are
# traced in turns, have threads of their own.
_HAS_WEIGHTS = Switch("has_weights")


def _with_class_weight(step: _Step) -> _Step:
  """Makes a `train_step` whose data has weights of labels, as in Keras.

  Whether it calls another one, which would weigh them too, or does not.
  """

  @functools.wraps(step)
  def train_step(self: "KerasModel", data: Any) -> dict[str, tf.Tensor]:
    if self._class_weight is None or _HAS_WEIGHTS.is_on():
      return step(self, data)
    x, y, sample_weight = tf_keras.utils.unpack_x_y_sample_weight(data)
    data = x, y, weights_of_elements(
        self._class_weight, y, sample_weight, self.multi_label, self.per_token)
    with _HAS_WEIGHTS.on():
      return step(self, data)

  return train_step


class KerasModel(tf_keras.Model):
  """A Keras model whose methods know its type of problem.

  Attributes:
    problem_type: the name of its type of problem.
    labels: label names; empty where there are none.
    per_token: whether there are outputs for each token and not each text.
    multi_label: whether a text can have any number of the labels.
    keras_rules: which losses and metrics of Keras are right; None: nothing is
      known.
  """

  per_token = False
  multi_label = False
  train_function: Any  # Keras'
  # What labels the loss of `compile` wants; None: not known.
  _wanted_labels: str | None = None
  # Metrics of which more is better, which Keras cannot tell from their names.
  _scores: Sequence[str] = ()
  # Weights of labels in the training at hand, and in the step that is traced.
  _class_weight: tuple[float, ...] | None = None
  _traced_class_weight: tuple[float, ...] | None = None

  @property
  def problem_type(self) -> str:
    raise NotImplementedError

  @property
  def labels(self) -> tuple[str, ...]:
    return ()

  @property
  def keras_rules(self) -> KerasRules | None:
    return None

  @property
  def loss_function(self) -> tf_keras.losses.Loss:
    """The loss that fits the model's outputs, which `compile` takes itself."""
    raise NotImplementedError

  def check_inputs(self, inputs: Any) -> None:
    """Raises InputError for inputs that the model cannot read."""
    raise NotImplementedError

  def __call__(self, inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
    inputs = with_integers(inputs)
    self.check_inputs(inputs)
    return super().__call__(inputs, *args, **kwargs)

  @property
  def default_optimizer(self) -> Any:
    """The optimizer of `compile` where none is given."""
    return "rmsprop"

  def compile(self, optimizer: Any = None, loss: Any = None,
              metrics: Any = None, loss_weights: Any = None,
              weighted_metrics: Any = None, **kwargs: Any) -> None:
    """Keras' method; what is not given is what suits the model.

    Args:
      optimizer: a name or an optimizer; None for Adam at a constant rate, see
        `default_learning_rate`. `create_optimizer` has BERT's schedule.
      loss: a name, a function or a loss. Models give logits. None for
        `loss_function`; then, without an optimizer and metrics, the accuracy is
        measured where there is such.
      metrics: names, functions or metrics. The names "accuracy", "f1",
        "macro_f1", "micro_f1" and "matthews_correlation" mean what is right
        for the model's problem, see `keras_metrics`.
      loss_weights, weighted_metrics, **kwargs: as Keras has them.

    Raises:
      InputError: the loss or a metric cannot be right for the model, or
        something is of Keras 3.
    """
    rules = self.keras_rules
    if optimizer is loss is metrics is None and rules and (
        "accuracy" in rules.scores):
      metrics = ["accuracy"]
    if optimizer is None:
      optimizer = self.default_optimizer
    check_not_keras_3("optimizer", optimizer)
    check_not_keras_3("loss", *tf.nest.flatten(loss))
    given = [metrics, weighted_metrics]
    check_not_keras_3("metric", *tf.nest.flatten(given))
    if loss is None:
      loss = self.loss_function
    kinds = [check_loss(self.keras_rules, self.problem_type, part)
             for part in tf.nest.flatten(loss)]
    wanted = kinds[0] if len(kinds) == 1 else None
    with self.distribute_strategy.scope():  # where metrics make variables
      metrics, weighted_metrics = tf.nest.map_structure(
          lambda metric: metric and keras_metrics.resolve(
              self.keras_rules, self.problem_type, len(self.labels), wanted,
              metric), given)
    super().compile(optimizer, loss, metrics, loss_weights, weighted_metrics,
                    **kwargs)
    self._wanted_labels = wanted
    self._scores = [
        metric.name for metric in tf.nest.flatten([metrics, weighted_metrics])
        if keras_metrics.is_score(self.keras_rules, metric)]

  def compile_from_config(self, config: dict[str, Any]) -> None:
    """Compiles a model that was saved, as Keras asks where it is loaded."""
    try:
      self.compile(**tf_keras.saving.deserialize_keras_object(config))
    except InputError as error:
      warn("the model is loaded without what it was compiled with: "
           f"{error}")
      return
    if isinstance(self.optimizer, tf_keras.optimizers.Optimizer):
      self.optimizer.build(self.trainable_variables)

  def fit(self, x: Any = None, y: Any = None, batch_size: int | None = None,
          epochs: int = 1, verbose: Any = "auto", callbacks: Any = None,
          validation_split: float = 0.0, validation_data: Any = None,
          shuffle: Any = True, class_weight: Any = None,
          sample_weight: Any = None, initial_epoch: int = 0,
          steps_per_epoch: int | None = None,
          **kwargs: Any) -> tf_keras.callbacks.History:
    """Keras' method.

    Args:
      x, y: inputs and labels, or a tf.data.Dataset of both.
      class_weight: label name or number -> weight, 1 where there is none; or
        "balanced". A text or a token weighs what its label weighs; of several
        labels of a text, each that it has. See `Dataset.class_weight`, too.
      sample_weight: a weight for each row; of several labels and of taggers
        also one for each label.
      batch_size, epochs, verbose, callbacks, validation_split,
        validation_data, shuffle, initial_epoch, steps_per_epoch, **kwargs: as
        Keras has them.

    Raises:
      InputError: inputs, labels, weights or callbacks cannot be right.
    """
    check_callbacks(callbacks, getattr(self, "optimizer", None), self._scores)
    check_checkpoints(as_list(callbacks), self)
    x = self._check_data(x, y, sample_weight)
    if is_iterator(validation_data):
      validation_data = self._check_data(validation_data, None, None)
    elif validation_data is not None:
      self._check_data(*tf_keras.utils.unpack_x_y_sample_weight(
          validation_data))
    self._class_weight = self._weights_of_labels(class_weight, y)
    if not self.trainable_variables:
      warn("nothing trains: trainable is off in all layers that would: turn it "
           "on before the fit, or in a callback")
    warn_of_schedule(getattr(self, "optimizer", None), steps_to_come(
        x, batch_size, steps_per_epoch, epochs - initial_epoch,
        validation_split))
    try:
      return super().fit(
          x, y, batch_size, epochs, verbose, callbacks, validation_split,
          validation_data, shuffle, sample_weight=sample_weight,
          initial_epoch=initial_epoch, steps_per_epoch=steps_per_epoch,
          **kwargs)
    finally:
      self._class_weight = None

  def evaluate(self, x: Any = None, y: Any = None,
               batch_size: int | None = None, verbose: Any = "auto",
               sample_weight: Any = None, **kwargs: Any) -> Any:
    """Keras' method; raises InputError as `fit` does."""
    if not kwargs.get("_use_cached_eval_dataset"):  # from `fit`: checked there
      check_not_keras_3("callback", *as_list(kwargs.get("callbacks")))
      x = self._check_data(x, y, sample_weight)
    return super().evaluate(x, y, batch_size, verbose, sample_weight, **kwargs)

  def predict(self, x: Any, batch_size: int | None = None,
              verbose: Any = "auto", steps: int | None = None,
              callbacks: Any = None, **kwargs: Any) -> Any:
    """Keras' method; raises InputError for inputs that cannot be read."""
    check_not_keras_3("callback", *as_list(callbacks))
    x = self._check_data(x, None, None, with_labels=False)
    return super().predict(x, batch_size, verbose, steps, callbacks, **kwargs)

  def train_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None,
                     class_weight: Any = None, **kwargs: Any) -> Any:
    """Keras' method; raises InputError as `fit` does."""
    self._check_data(x, y, sample_weight)
    self._class_weight = self._weights_of_labels(class_weight, y)
    try:
      return super().train_on_batch(x, y, sample_weight, **kwargs)
    finally:
      self._class_weight = None

  def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None,
                    **kwargs: Any) -> Any:
    """Keras' method; raises InputError as `fit` does."""
    self._check_data(x, y, sample_weight)
    return super().test_on_batch(x, y, sample_weight, **kwargs)

  def predict_on_batch(self, x: Any) -> Any:
    """Keras' method; raises InputError for inputs that cannot be read."""
    self._check_data(x, None, None, with_labels=False)
    return super().predict_on_batch(x)

  def make_train_function(self, force: bool = False) -> Any:
    """Keras' hook before training: weights of labels are part of the trace."""
    force = force or self._traced_class_weight != self._class_weight
    self._traced_class_weight = self._class_weight
    return super().make_train_function(force)

  def _keras_step(self, data: Any) -> dict[str, tf.Tensor]:
    return super().train_step(data)

  # Which subclasses can override, as in Keras.
  train_step: ClassVar[_Step] = _with_class_weight(_keras_step)

  def __init_subclass__(cls, **kwargs: Any):
    """Lets a `train_step` of a subclass find weights of labels in its data."""
    super().__init_subclass__(**kwargs)
    if cls.train_step is not KerasModel.train_step:
      cls.train_step = _with_class_weight(cls.train_step)

  def _weights_of_labels(self, class_weight: Any,
                         y: Any) -> tuple[float, ...] | None:
    """Returns the weights of a training, in the order of the labels.

    Not left to Keras, which takes the place of the largest of several labels
    for the class.
    """
    if class_weight is None:
      return None
    weighting.check_labels(self.labels, self.problem_type)
    if isinstance(class_weight, str):
      weighting.check_name(class_weight)
      labels = None if y is None else values_of(y)
      if labels is None:
        raise InputError(
            "class_weight 'balanced' counts labels, which takes arrays: for a "
            "dataset give weights by label, such as task.class_weight() has")
      if self._wanted_labels == "one-hot":
        labels = labels.argmax(axis=-1)
      weights = weighting.balanced(
          labels, len(self.labels), self.multi_label)
    elif isinstance(class_weight, Mapping):
      weights = weighting.by_number(class_weight, self.labels)
    else:
      raise InputError(f"class_weight is a {type(class_weight).__name__}: a "
                       "dict {label: weight} or 'balanced' is wanted")
    if self.multi_label and not isinstance(self.loss, MultiLabelLoss):
      raise InputError(
          "class_weight, for multi_label: the loss has one value for all "
          "labels of a text: compile with loss=model.loss_function")
    return weights

  def _check_data(self, x: Any, y: Any, sample_weight: Any,
                  with_labels: bool = True) -> Any:
    """Refuses data that cannot be right, as far as it can be seen.

    Returns:
      What to give to Keras for `x`: itself, or the batches of a generator,
      which are looked at when they are there.
    """
    check_not_keras_3("input", x)
    if is_iterator(x):
      return self._checked_batches(x, with_labels)
    given = x
    if isinstance(x, tf.data.Dataset):
      x, y, sample_weight = tf_keras.utils.unpack_x_y_sample_weight(
          x.element_spec)
    elif isinstance(x, tf_keras.utils.Sequence):
      x, y, sample_weight = tf_keras.utils.unpack_x_y_sample_weight(x[0])
    elif not (x is None or hasattr(x, "shape") or isinstance(
        x, (Mapping, Sequence, str, bytes))):
      return given  # of a kind that Keras alone knows
    self.check_inputs(x)
    if with_labels:
      check_labels(y, self._wanted_labels, self.labels, x, self.per_token)
      if self._wanted_labels is not None:
        check_sample_weight(
            sample_weight, y,
            bool(self.labels)
            and (self.per_token or isinstance(self.loss, MultiLabelLoss)))
    return given

  def _checked_batches(self, batches: Iterator[Any],
                       with_labels: bool) -> Iterator[Any]:
    """Yields the batches, each of which `_check_data` has seen."""
    for batch in batches:
      x, y, sample_weight = tf_keras.utils.unpack_x_y_sample_weight(batch)
      self._check_data(x, y, sample_weight, with_labels)
      yield batch
