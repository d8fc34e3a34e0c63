"""Progress of a training: its lines in a log file, and how long it takes."""

import time
from typing import Any

import tf_keras

from tf_adapters.errors import say
from tf_adapters.progress import SECONDS_BETWEEN_LINES, Pace, duration
from tf_adapters.training.run_state import Progress

# Of steps, after which it is said how long all of them take, if that is long.
_FIRST_STEPS = 10
_LONG = 180  # seconds


class EpochLines(tf_keras.callbacks.Callback):
  """Prints a line at the end of each epoch, and every few minutes before.

  After the first steps it says how long a long training takes.

  Args:
    progress: where the training stands; another callback, before this one in
      the list, keeps it.
    steps_per_epoch, epochs: of the whole training.
    shorter: how to make a short one.
    has_bar: whether Keras draws a bar, so that there are no other lines.
  """

  def __init__(self, progress: Progress, steps_per_epoch: int, epochs: int,
               shorter: str = "", has_bar: bool = False):
    super().__init__()
    self._progress = progress
    self._steps_per_epoch = steps_per_epoch
    self._epochs = epochs
    self._shorter = shorter
    self._has_bar = has_bar
    self._has_estimated = False
    self._said = self._since = time.monotonic()
    # A run that was stopped has taken time before.
    self._began = self._said - (
        progress.train_seconds + progress.evaluate_seconds)
    self._steps = self._steps_before = 0
    self._pace = Pace()
    self._validations: list[float] = []  # seconds

  def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
    self._said = self._since = time.monotonic()
    self._steps = self._steps_before = self._progress.steps

  def on_train_batch_end(
      self, batch: int, logs: dict[str, Any] | None = None) -> None:
    self._take_steps()
    if not self._has_estimated and (
        self._steps - self._steps_before >= _FIRST_STEPS):
      self._estimate()
    step = self._progress.steps % self._steps_per_epoch
    # The end of an epoch has a line of its own, with its metrics.
    if step and time.monotonic() - self._said > SECONDS_BETWEEN_LINES:
      epoch = self._progress.steps // self._steps_per_epoch
      self._say(epoch, f", step {step:,} of {self._steps_per_epoch:,}",
                logs or {})

  def on_epoch_end(
      self, epoch: int, logs: dict[str, Any] | None = None) -> None:
    self._take_steps()
    now = time.monotonic()
    self._validations.append(now - self._since)
    self._since = now
    self._say(epoch, "", logs or {})

  def _take_steps(self) -> None:
    now = time.monotonic()
    if self._progress.steps > self._steps:
      self._pace.add(self._progress.steps - self._steps, now - self._since)
      self._steps, self._since = self._progress.steps, now

  def _seconds_left(self) -> float | None:
    """Estimates the time of the rest; None where it is unknown, or none."""
    left = self._steps_per_epoch * self._epochs - self._progress.steps
    seconds = self._pace.seconds(left) if left else None
    if seconds is None:
      return None
    return seconds + -(-left // self._steps_per_epoch) * self._of_validation()

  def _of_validation(self) -> float:
    """Estimates the seconds of a validation; 0 before there was one."""
    if len(self._validations) != 1:
      return self._validations[-1] if self._validations else 0.0
    # The first one compiles, too.
    epoch = self._pace.seconds(self._steps_per_epoch) or 0.0
    return min(self._validations[0], epoch / 2)

  def _estimate(self) -> None:
    self._has_estimated = True
    left = self._seconds_left()
    if left is not None and left > _LONG:
      say(("\n" if self._has_bar else "")
          + f"training takes {duration(left)} more, by its first steps"
          + (f"; {self._shorter}" if self._shorter else ""))

  def _say(self, epoch: int, where: str, logs: dict[str, Any]) -> None:
    if self._has_bar:
      return
    self._said = time.monotonic()
    values = [f"{name} {value:.4f}" for name, value in logs.items()]
    rate = float(tf_keras.backend.get_value(
        self.model.optimizer.learning_rate))
    times = [f"{duration(self._said - self._began)} so far"]
    left = self._seconds_left()
    if left is not None and not self.model.stop_training:
      times.append(f"{duration(left)} left")
    say(f"epoch {epoch + 1} of {self._epochs}{where}: "
        + ", ".join([*values, f"learning rate {rate:.2g}", *times]))
