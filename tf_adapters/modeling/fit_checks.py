"""Checks of `fit`: callbacks, and the learning rate."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from tf_adapters.errors import InputError, warn
from tf_adapters.modeling.model_inputs import check_not_keras_3

_DEFAULT_BATCH_SIZE = 32  # Keras'
_RATE_CALLBACKS = (tf_keras.callbacks.LearningRateScheduler,
                   tf_keras.callbacks.ReduceLROnPlateau)


def check_callbacks(callbacks: Any, optimizer: Any,
                    scores: Collection[str]) -> None:
  """Refuses callbacks that would do nothing, or the opposite.

  Args:
    callbacks: what `fit` was given.
    optimizer: the model's.
    scores: metrics, by name, of which more is better and Keras does not know
      it: it takes what does not end in "acc", "accuracy" or "auc" for a loss.

  Raises:
    InputError: one is of Keras 3, sets a learning rate that is a schedule, or
      waits for the lowest score.
  """
  callbacks = as_list(callbacks)
  check_not_keras_3("callback", *callbacks)
  for callback in callbacks:
    name = type(callback).__name__
    schedule = _schedule(optimizer)
    if isinstance(callback, _RATE_CALLBACKS) and schedule is not None:
      raise InputError(
          f"callback {name}: has no effect on an optimizer whose learning rate "
          f"is a schedule ({type(schedule).__name__}): leave it out, or "
          "compile with an optimizer that has a number, such as "
          "tf_keras.optimizers.AdamW(3e-4)")
    monitor = getattr(callback, "monitor", None)
    better = getattr(callback, "monitor_op", None)
    if (isinstance(monitor, str) and better is not None
        and monitor.removeprefix("val_") in scores and better(0.0, 1.0)):
      raise InputError(
          f"callback {name}: would take the lowest {monitor} for the best: "
          f"give {name}({monitor!r}, mode='max')")


def warn_of_schedule(optimizer: Any, steps: int | None) -> None:
  """Warns where steps are to come at which the learning rate is zero.

  Args:
    optimizer: the model's.
    steps: how many are to come; None where that is not known.
  """
  schedule = _schedule(optimizer)
  if schedule is None or steps == 0:
    return
  done = int(tf_keras.backend.get_value(optimizer.iterations))

  def rate(step: int) -> float:
    return float(schedule(tf.constant(step, tf.int64)))

  # A warm-up may begin with zero.
  last = done + (steps or 2) - 1
  if rate(last) != 0 or (steps is None and rate(done) != 0):
    return
  low, high = done, last  # the first step of those at the end, by halves
  while low < high:
    middle = (low + high) // 2
    low, high = (low, middle) if rate(middle) == 0 else (middle + 1, high)
  lost = f"{last - low + 1} of the {steps}" if low > done else "all"
  warn(
      f"the learning rate's schedule ({type(schedule).__name__}) is over after "
      f"{low if low > done else 'the optimizer has done ' + str(done)} steps: "
      f"{lost} steps of this fit train nothing: compile with a new optimizer "
      "that is made for all of its steps", stacklevel=3)


def steps_to_come(x: Any, batch_size: int | None, steps_per_epoch: int | None,
                  epochs: int, validation_split: float) -> int | None:
  """Counts the steps of a `fit`; None where they cannot be known before."""
  if epochs <= 0:
    return 0
  if steps_per_epoch is None:
    if isinstance(x, tf.data.Dataset):
      steps_per_epoch = int(x.cardinality())
    elif isinstance(x, Mapping) and x:
      rows = len(next(iter(x.values()))) * (1.0 - validation_split)
      steps_per_epoch = math.ceil(
          math.floor(rows) / (batch_size or _DEFAULT_BATCH_SIZE))
    elif isinstance(x, (tf_keras.utils.Sequence, Sequence)):
      steps_per_epoch = len(x)
  if steps_per_epoch is None or steps_per_epoch < 0:
    return None
  return steps_per_epoch * epochs


def as_list(callbacks: Any) -> list[Any]:
  """Lists callbacks that are given as Keras takes them: none, one or several.
  """
  if isinstance(callbacks, (list, tuple)):
    return list(callbacks)
  return [] if callbacks is None else [callbacks]


def _schedule(
    optimizer: Any
) -> tf_keras.optimizers.schedules.LearningRateSchedule | None:
  """Returns the schedule of an optimizer's learning rate, if it has one."""
  hyper = getattr(optimizer, "_hyper", {})  # of legacy optimizers
  rate = getattr(optimizer, "_learning_rate", hyper.get("learning_rate"))
  is_schedule = isinstance(
      rate, tf_keras.optimizers.schedules.LearningRateSchedule)
  return rate if is_schedule else None
