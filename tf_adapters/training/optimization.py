"""AdamW as BERT uses it, with the schedule: linear warm-up, linear decay."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras

from tf_adapters.errors import InputError
from tf_adapters.modeling.serialization import PACKAGE

# Variables whose own name is not "kernel": decay leaves these alone. Matched
# against the whole name, since replicas add "/replica_1" and Keras ":0".
_NOT_A_KERNEL = r"^(?!.*(^|/)kernel(/replica_\d+)?(:\d+)?$)"


@tf_keras.saving.register_keras_serializable(PACKAGE)
class WarmupLinearDecay(
    tf_keras.optimizers.schedules.LearningRateSchedule):
  """Rises linearly to a peak, then falls linearly to zero.

  The paper's schedule. (The released TF1 code lets the rate drop at once to
  `1 - warmup_proportion` of the peak after the warm-up, since its decay counts
  from step 0.)

  Args:
    peak: highest learning rate.
    num_train_steps: steps until zero.
    num_warmup_steps: steps until the peak.
  """

  def __init__(self, peak: float, num_train_steps: int, num_warmup_steps: int):
    self.peak = peak
    self.num_train_steps = num_train_steps
    self.num_warmup_steps = num_warmup_steps

  def __call__(self, step: tf.Tensor) -> tf.Tensor:
    step = tf.cast(step, tf.float32)
    # The first step is step 0, and must not be lost.
    rise = (step + 1.0) / max(1, self.num_warmup_steps)
    fall = (self.num_train_steps - step) / max(
        1, self.num_train_steps - self.num_warmup_steps)
    return self.peak * tf.maximum(0.0, tf.minimum(1.0, tf.minimum(rise, fall)))

  def get_config(self) -> dict[str, Any]:
    return {"peak": self.peak, "num_train_steps": self.num_train_steps,
            "num_warmup_steps": self.num_warmup_steps}


class _NumbersOfStep:
  """Numbers that are the same for all variables, made once in each step.

  In each graph, that is, and for each type: some strategies and devices update
  a variable in a function of its own.
  """

  def __init__(self) -> None:
    self._found: dict[Any, dict[str, tf.Tensor]] = {}

  def of(self, make: Callable[[tf.DType], dict[str, tf.Tensor]],
         dtype: tf.DType) -> dict[str, tf.Tensor]:
    key = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    if (key, dtype) not in self._found:
      self._found[key, dtype] = make(dtype)
    return self._found[key, dtype]

  def clear(self) -> None:
    self._found.clear()


@tf_keras.saving.register_keras_serializable(PACKAGE)
class AdamW(tf_keras.optimizers.AdamW):
  """Keras' AdamW, which decays kernels and nothing else.

  Decoupled decay of kernels only: no bias, layer norm or embedding. Other
  defaults are BERT's too (google-research/bert, optimization.py).
  """

  def __init__(self, learning_rate: Any = 1e-3, weight_decay: float = 0.01,
               epsilon: float = 1e-6, global_clipnorm: float | None = 1.0,
               name: str = "AdamW", **kwargs: Any):
    super().__init__(
        learning_rate, weight_decay=weight_decay, epsilon=epsilon,
        global_clipnorm=global_clipnorm, name=name, **kwargs)
    self._numbers = _NumbersOfStep()
    # Keras does not save this choice, so it is made here, not by the caller.
    self.exclude_from_weight_decay(var_names=[_NOT_A_KERNEL])

  def apply_gradients(self, grads_and_vars: Any, *args: Any,
                      **kwargs: Any) -> Any:
    """Keras' method, for gradients of embeddings as they are added up.

    As slices with a row for each token they have another norm, which clipping
    would go by, and shapes that a TPU has to compile for.
    """
    self._numbers.clear()
    try:
      return super().apply_gradients(
          [(None if gradient is None else tf.convert_to_tensor(gradient),
            variable) for gradient, variable in grads_and_vars],
          *args, **kwargs)
    finally:
      self._numbers.clear()

  def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
    """Keras' method, as one operation and not twenty for each variable.

    They took a quarter of the time to trace a step. The formula is the same.
    """
    if self.amsgrad:
      super().update_step(gradient, variable)
      return
    number = self._index_dict[self._var_key(variable)]
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle, m=self._momentums[number].handle,
        v=self._velocities[number].handle, grad=gradient,
        **self._numbers.of(self._numbers_of_step, variable.dtype))

  def _numbers_of_step(self, dtype: tf.DType) -> dict[str, tf.Tensor]:
    step = tf.cast(self.iterations + 1, dtype)
    beta1, beta2, epsilon = (tf.constant(number, dtype) for number in (
        self.beta_1, self.beta_2, self.epsilon))
    return {"beta1": beta1, "beta2": beta2, "epsilon": epsilon,
            "beta1_power": beta1 ** step, "beta2_power": beta2 ** step,
            "lr": tf.cast(self.learning_rate, dtype)}


def create_optimizer(
    learning_rate: float, num_train_steps: int,
    warmup_proportion: float = 0.1, weight_decay: float = 0.01,
    clip_norm: float = 1.0) -> AdamW:
  """Makes the paper's optimizer with its schedule.

  Args:
    learning_rate: the highest one.
    num_train_steps: steps of the whole training.
    warmup_proportion: part of the steps during which the rate rises.
    weight_decay: decoupled decay of kernels.
    clip_norm: gradients are scaled down to this global norm over all that
      trains.

  Raises:
    InputError: a value is out of range.

  Example:
    >>> optimizer = create_optimizer(3e-4, num_train_steps=1000)
  """
  if learning_rate <= 0:
    raise InputError(f"learning_rate must be positive, not {learning_rate}")
  if num_train_steps < 1:
    raise InputError(f"num_train_steps must be positive: {num_train_steps}")
  if not 0 <= warmup_proportion <= 1:
    raise InputError(
        f"warmup_proportion must be in [0, 1], not {warmup_proportion}")
  schedule = WarmupLinearDecay(
      learning_rate, num_train_steps, int(num_train_steps * warmup_proportion))
  return AdamW(schedule, weight_decay=weight_decay, global_clipnorm=clip_norm)
