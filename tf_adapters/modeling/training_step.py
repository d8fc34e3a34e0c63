"""Training steps, made anew when other variables train.

Keras reads the trainable variables once, when a step is traced. Here tunings,
and `trainable` of any layer, can change between two steps, in a callback too;
and several models can have the same encoder.
"""

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
import tf_keras

from tf_adapters.errors import warn

# A weakref.ref: the model, None once it is gone.
_Reference = Callable[[], Any]

# Encoder -> its models, the one that trained last at the end.
_MODELS: weakref.WeakKeyDictionary[
    tf_keras.layers.Layer, list[_Reference]] = weakref.WeakKeyDictionary()


class TrainingStep:
  """The preparation of a `TaskModel` before each training step.

  Args:
    model: the model.
  """

  def __init__(self, model: Any):
    self._model: _Reference = weakref.ref(model)  # which owns this
    self._layers: list[tf_keras.layers.Layer] = []
    self._state: Any = None  # of the step as it is
    _MODELS.setdefault(model.encoder, []).insert(0, self._model)

  def has_changed(self) -> bool:
    """Returns whether something else is to train than in the step as it is."""
    return self._state != self._state_now()

  def _state_now(self) -> tuple[Any, ...]:
    # Asked for in every step: to list the variables would take too long.
    model = self._model()
    return (model.optimizer, model.encoder.tuning, model.encoder.remat,
            [layer.trainable for layer in self._layers])

  def prepare(self) -> None:
    """Gets the optimizer ready for the variables that are to train."""
    model = self._model()
    if _is_of_others(model.optimizer, model.trainable_variables):
      with model.distribute_strategy.scope():
        model.optimizer = _new(model.optimizer)
    # Layers of a subclass are built in the first step, and Keras then makes
    # the slots of all.
    if all(layer.built for layer in model.own_layers()):
      _make_slots(model)
    self._layers = [layer for layer in (model, *model.submodules)
                    if isinstance(layer, tf_keras.layers.Layer)]
    self._state = self._state_now()

  def checked(self, function: Callable[[Iterator[Any]], Any],
              ) -> Callable[[Iterator[Any]], Any]:
    """Makes a training function that is made anew where it has to be."""

    def train_function(iterator: Iterator[Any]) -> Any:
      if self.has_changed():
        return self._model().make_train_function()(iterator)
      return function(iterator)

    return train_function

  def claim_encoder(self) -> None:
    """Warns where a training changes what another model has learned."""
    model = self._model()
    models = _MODELS[model.encoder]
    if models[-1] is self._model or not model.encoder.tuned_variables():
      return
    others = [reference for reference in models
              if reference is not self._model and reference() is not None]
    models[:] = [*others, self._model]
    if names := self._trained_others():
      warn(
          f"this training changes the encoder that {names} was trained with, "
          "and so what it predicts: call load_encoder once for each model")

  def warn_of_tuning(self) -> None:
    """Warns where a tuning is another model's that has been trained, too."""
    if names := self._trained_others():
      warn(
          f"{names} has the same encoder, and so is tuned to "
          f"'{self._model().encoder.tuning}', too: call load_encoder once for "
          "each model", stacklevel=3)

  def _trained_others(self) -> str:
    """Names other models on the encoder that have been trained."""
    model = self._model()
    others = [other for reference in _MODELS[model.encoder]
              if (other := reference()) not in (None, model)]
    return ", ".join(other.task.name or other.name
                     for other in others if other.is_trained)


def _make_slots(model: Any) -> None:
  """Makes the optimizer's variables before a step is traced.

  TensorFlow traces a function that makes variables twice.
  """
  optimizer = _innermost(model.optimizer)
  if isinstance(optimizer, tf_keras.optimizers.Optimizer):
    with (model.distribute_strategy.scope(), tf.init_scope(),
          tf.name_scope(optimizer.name)):
      optimizer.build(model.trainable_variables)


def _innermost(optimizer: Any) -> Any:
  """Returns the optimizer in Keras' LossScaleOptimizer; others as they are."""
  return getattr(optimizer, "inner_optimizer", optimizer)


def _new(
    optimizer: tf_keras.optimizers.Optimizer) -> tf_keras.optimizers.Optimizer:
  """Makes the optimizer as it was before its first step."""
  new = optimizer.from_config(optimizer.get_config())
  # What was excluded from weight decay is no part of Keras' configuration.
  for name, value in vars(_innermost(optimizer)).items():
    if name.startswith("_exclude_from_weight_decay"):
      setattr(_innermost(new), name, value)
  return new


def _is_of_others(optimizer: tf_keras.optimizers.Optimizer,
                  variables: list[tf.Variable]) -> bool:
  """Returns whether an optimizer has slots, and those of other variables."""
  # Where Keras looks a variable up, and refuses the step if it is not there.
  # Optimizers that make slots at need, the legacy ones, have no such thing.
  slots = getattr(_innermost(optimizer), "_index_dict", None)
  return slots is not None and slots.keys() != {
      variable._unique_id for variable in variables}
