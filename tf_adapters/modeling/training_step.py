"""Training steps, made anew when other variables train.

Keras reads the trainable variables once, when a step is traced. Here tunings,
and `trainable` of any layer, can change between two steps, in a callback too;
and several models can have the same encoder.
"""

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras
from tensorflow.python.framework import ops

from tf_adapters.errors import listed, warn

# Name -> gradient, of all that were ever traced.
_GRADIENTS: dict[str, Any] = ops.gradient_registry._registry

# A weakref.ref: the model, None once it is gone.
_Reference = Callable[[], Any]


class _User(NamedTuple):
  """A model on an encoder.

  Attributes:
    model: the model.
    trained_as: what it was called when it trained the encoder; "" if it did
      not.
  """

  model: _Reference
  trained_as: str = ""


# Encoder -> its models, the one that trained last at the end.
_MODELS: weakref.WeakKeyDictionary[
    tf_keras.layers.Layer, list[_User]] = weakref.WeakKeyDictionary()


class TrainingStep:
  """The preparation of a `TaskModel` before each training step.

  Args:
    model: the model.
  """

  def __init__(self, model: Any):
    self._model: _Reference = weakref.ref(model)  # which owns this
    self._layers: list[tf_keras.layers.Layer] = []
    self._state: Any = None  # of the step as it is
    _MODELS.setdefault(model.encoder, []).insert(0, _User(self._model))

  def has_changed(self) -> bool:
    """Returns whether something else is to train than in the step as it is."""
    return self._state != self._state_now()

  def _state_now(self) -> tuple[Any, ...]:
    # Asked for in every step: to list the variables would take too long.
    model = self._model()
    return (model.optimizer, model.encoder, model.head, model.encoder.tuning,
            model.encoder.remat, [layer.trainable for layer in self._layers])

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
      with self._gradients_of_its_own():
        return function(iterator)

    return train_function

  @contextlib.contextmanager
  def _gradients_of_its_own(self) -> Iterator[None]:
    """Lets go with the model of the gradients that a trace notes.

    TensorFlow keeps each gradient of a `custom_gradient` in a graph for ever,
    and with it the graph and the weights: a search for settings in one process
    would keep an encoder for each model. Once a step is traced, nobody asks
    for them: only another thread that traces at the same time, and computes its
    gradient after the model is gone.
    """
    before = len(_GRADIENTS)
    try:
      yield
    finally:
      if len(_GRADIENTS) > before:  # no step but the first of its shapes
        names = [name for name in list(_GRADIENTS)[before:]  # as they came
                 if name.startswith("CustomGradient-")]
        weakref.finalize(
            self._model(), _forget_gradients, names).atexit = False

  def claim_encoder(self) -> None:
    """Warns where a training goes on from what another model has learned."""
    model = self._model()
    models = _MODELS.setdefault(model.encoder, [])
    user = _User(self._model, model.task.name or model.name)
    if models[-1:] == [user] or not model.encoder.tuned_variables():
      return
    names = self._trained_others()
    models[:] = [one for one in models if one.model is not self._model]
    models.append(user)
    if names:
      warn(
          f"the encoder was trained with {names}: this training begins with "
          "what was learned there, and changes what is predicted so: call "
          "load_encoder once for each model")

  def warn_of_tuning(self) -> None:
    """Warns where a tuning is another model's that has been trained, too."""
    if names := self._trained_others(alive=True):
      warn(
          f"{names} has the same encoder, and so is tuned to "
          f"'{self._model().encoder.tuning}', too: call load_encoder once for "
          "each model", stacklevel=3)

  def _trained_others(self, alive: bool = False) -> str:
    """Names other models on the encoder that have been trained.

    Args:
      alive: whether those that are gone do not count.
    """
    names = []
    for one in _MODELS.get(self._model().encoder, ()):
      other = one.model()
      if other is None:
        names += [one.trained_as] * (not alive and bool(one.trained_as))
      elif one.model is not self._model and other.is_trained:
        names.append(other.task.name or other.name)
    return listed(list(dict.fromkeys(names)), 3) if names else ""


def _forget_gradients(names: list[str]) -> None:
  for name in names:
    _GRADIENTS.pop(name, None)


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
