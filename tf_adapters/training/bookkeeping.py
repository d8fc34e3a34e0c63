"""Keras callbacks of a training: validation, best epoch, checkpoints, logs."""

import math
import signal
import time
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from tf_adapters.data import batching
from tf_adapters.data.dataset import Dataset
from tf_adapters.errors import InputError, say
from tf_adapters.files.by_tensorflow import writing_by_tensorflow
from tf_adapters.training import distribution, doubts
from tf_adapters.training.interruption import Interruption
from tf_adapters.training.metrics import evaluate_task
from tf_adapters.training.model_outputs import predict
from tf_adapters.training.run_state import Progress, RunState
from tf_adapters.training.training_config import TrainingConfig


def is_enough(config: TrainingConfig, progress: Progress) -> bool:
  """Returns whether no epoch has been better for long."""
  return (config.early_stopping_epochs is not None
          and progress.epochs_since_best >= config.early_stopping_epochs)


class Bookkeeping(tf_keras.callbacks.Callback):
  """Validation, the best epoch and checkpoints, while Keras trains.

  Args:
    task: the task.
    validation: name -> a split that each epoch is evaluated on.
    config: how to train.
    state: what checkpoints hold.
    interruption: whether the training was asked to stop.
    steps_per_epoch: batches of one pass.
  """

  def __init__(self, task: Dataset, validation: Mapping[str, batching.Encoded],
               config: TrainingConfig, state: RunState,
               interruption: Interruption, steps_per_epoch: int):
    super().__init__()
    self._task = task
    self._validation = validation
    self._config = config
    self._state = state
    self._progress = state.progress
    self._interruption = interruption
    self._steps_per_epoch = steps_per_epoch
    self._since = time.perf_counter()
    self._steps_before = 0  # this epoch, or what is left of it
    self._has_enough = False  # of epochs that are not better

  def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
    self._since = time.perf_counter()

  def on_epoch_begin(
      self, epoch: int, logs: dict[str, Any] | None = None) -> None:
    self._steps_before = self._progress.steps
    # Keras begins at zero, also with what is left of an epoch.
    for variable, value in zip(
        self._loss_variables(), self._progress.loss_state):
      variable.assign(value)

  def on_train_batch_end(
      self, batch: int, logs: Any = None) -> None:
    progress = self._progress
    last, progress.steps = progress.steps, self._steps_before + batch + 1
    if not math.isfinite(logs["loss"]):
      rate = float(tf_keras.backend.get_value(
          self.model.optimizer.learning_rate))
      raise InputError(self._state.not_finite(
          f"the loss, at learning rate {rate:.2g}, is"))
    self._ask_workers()
    # The end of an epoch has a checkpoint of its own, with its metrics.
    if progress.steps % self._steps_per_epoch:
      every = self._config.save_checkpoints_steps
      if self._interruption.signal or last // every < progress.steps // every:
        self._save()
      self._stop_if_asked()

  def on_epoch_end(
      self, epoch: int, logs: Any = None) -> None:
    progress = self._progress
    started = time.perf_counter()
    progress.train_seconds += started - self._since
    metrics, warnings = {}, []
    for name, encoded in self._validation.items():
      outputs = predict(self.model, encoded, self._config)
      metrics[name] = evaluate_task(
          self._task, self._task.split(name), encoded, outputs)
      warnings.append(
          doubts.of_predictions(self._task, name, encoded, outputs))
    progress.evaluated_rows = {
        split: len(encoded) for split, encoded in self._validation.items()}
    self._since = time.perf_counter()
    progress.evaluate_seconds += self._since - started
    for split, values in metrics.items():
      prefix = split.replace("validation", "val")
      logs.update({f"{prefix}_{name}": value for name, value in values.items()})
    progress.history.append(metrics)
    # A run that an older version began knows the loss of no epoch before.
    progress.losses += [None] * (
        len(progress.history) - 1 - len(progress.losses))
    progress.losses.append(float(f"{logs['loss']:.5g}"))
    is_best = "validation" in metrics and self._is_best(epoch)
    if is_best:
      progress.best_epoch = epoch
      progress.warnings = list(filter(None, warnings))
    self._save()
    if is_best:  # behind the checkpoint, from which it can be kept again
      self._state.save_best()
    self._ask_workers()
    self._stop_if_asked()
    if progress.best_epoch is not None and is_enough(self._config, progress):
      self._has_enough = True
      self.model.stop_training = True

  def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
    best = self._progress.best_epoch
    if self._has_enough and best is not None:
      # Behind the last epoch's own line, which is another callback's.
      say(f"no epoch after {best + 1} was better: the training ends")

  def _is_best(self, epoch: int) -> bool:
    if self._progress.best_epoch is None:
      return True
    metric = self._task.metrics[0]
    now, best = (self._progress.history[number]["validation"][metric]
                 for number in (epoch, self._progress.best_epoch))
    return now > best or (math.isnan(best) and not math.isnan(now))

  def _save(self) -> None:
    now = time.perf_counter()
    self._progress.train_seconds += now - self._since
    self._since = now
    self._progress.loss_state = [
        float(tf_keras.backend.get_value(variable))
        for variable in self._loss_variables()
    ] if self._progress.steps % self._steps_per_epoch else []
    self._state.save()

  def _loss_variables(self) -> list[tf.Variable]:
    """Returns the variables of an epoch's mean loss; Keras lists them too late.
    """
    return self.model.compiled_loss._total_loss_mean.variables

  def _ask_workers(self) -> None:
    """Lets all workers stop where one was asked to."""
    if distribution.any_worker(self.model.distribute_strategy,
                               self._interruption.signal is not None):
      self._interruption.signal = self._interruption.signal or signal.SIGTERM

  def _stop_if_asked(self) -> None:
    if self._interruption.signal:
      left = "nothing of this training is kept, the task is as it was before"
      if self._state.resumable:
        left = "its state is saved"
        if self._interruption.signal != signal.SIGINT:  # whose end says it
          left += (", and the same command goes on; with --overwrite it begins "
                   "anew")
      say(f"\nstopped after step {self._progress.steps}: {left}", error=True)
      self._interruption.stop()


class TensorBoard(tf_keras.callbacks.TensorBoard):
  """Keras' own; where it cannot write, that is said in a line."""

  def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
    with writing_by_tensorflow(self.log_dir):
      super().on_train_begin(logs)

  def on_epoch_end(
      self, epoch: int, logs: dict[str, Any] | None = None) -> None:
    with writing_by_tensorflow(self.log_dir):
      super().on_epoch_end(epoch, logs)

  def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
    with writing_by_tensorflow(self.log_dir):
      super().on_train_end(logs)
