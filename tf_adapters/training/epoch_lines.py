"""Progress of a training in a log file: a line for each epoch."""

import time
from typing import Any

import tf_keras

from tf_adapters.progress import SECONDS_BETWEEN_LINES, duration
from tf_adapters.training.run_state import Progress


class EpochLines(tf_keras.callbacks.Callback):
  """Prints a line at the end of each epoch, and every few minutes before.

  Args:
    progress: where the training stands; another callback, before this one in
      the list, keeps it.
    steps_per_epoch, epochs: of the whole training.
  """

  def __init__(self, progress: Progress, steps_per_epoch: int, epochs: int):
    super().__init__()
    self._progress = progress
    self._steps_per_epoch = steps_per_epoch
    self._epochs = epochs
    self._began = self._said = time.monotonic()
    self._steps_before = 0

  def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
    self._began = self._said = time.monotonic()
    self._steps_before = self._progress.steps

  def on_train_batch_end(
      self, batch: int, logs: dict[str, Any] | None = None) -> None:
    step = self._progress.steps % self._steps_per_epoch
    # The end of an epoch has a line of its own, with its metrics.
    if step and time.monotonic() - self._said > SECONDS_BETWEEN_LINES:
      epoch = self._progress.steps // self._steps_per_epoch
      self._say(epoch, f", step {step:,} of {self._steps_per_epoch:,}",
                logs or {})

  def on_epoch_end(
      self, epoch: int, logs: dict[str, Any] | None = None) -> None:
    self._say(epoch, "", logs or {})

  def _say(self, epoch: int, where: str, logs: dict[str, Any]) -> None:
    self._said = time.monotonic()
    values = [f"{name} {value:.4f}" for name, value in logs.items()]
    rate = float(tf_keras.backend.get_value(
        self.model.optimizer.learning_rate))
    left = self._steps_per_epoch * self._epochs - self._progress.steps
    done = self._progress.steps - self._steps_before
    times = [f"{duration(self._said - self._began)} so far"]
    if left and done:
      times.append(
          f"{duration((self._said - self._began) / done * left)} left")
    print(f"epoch {epoch + 1} of {self._epochs}{where}: "
          + ", ".join([*values, f"learning rate {rate:.2g}", *times]),
          flush=True)
