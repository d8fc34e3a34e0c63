"""Stops a training at Ctrl-C, or at the SIGTERM of a machine that goes away."""

import contextlib
import signal
import sys
import threading
import types
from collections.abc import Iterator

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
  """Whether this process was asked to stop.

  Attributes:
    signal: what asked for it, or None.
  """

  def __init__(self) -> None:
    self.signal: int | None = None

  def stop(self) -> None:
    """Ends the process as the signal would have, had it not been noted.

    Raises:
      KeyboardInterrupt: after Ctrl-C.
      SystemExit: after SIGTERM, with the status that shells give it.
    """
    if self.signal == signal.SIGINT:
      raise KeyboardInterrupt
    sys.exit(128 + (self.signal or 0))


@contextlib.contextmanager
def interruptions() -> Iterator[Interruption]:
  """Notes the first signal, for the block to stop where it can; a second acts.

  Threads other than the main one get no signals.

  Example:
    >>> with interruptions() as interruption:
    ...   for step in steps:
    ...     if interruption.signal:
    ...       save()
    ...       interruption.stop()
  """
  interruption = Interruption()

  def note(number: int, frame: types.FrameType | None) -> None:
    again = interruption.signal is not None
    interruption.signal = number
    if again:
      interruption.stop()

  if threading.current_thread() is not threading.main_thread():
    yield interruption
    return
  before = {number: signal.signal(number, note) for number in _SIGNALS}
  try:
    yield interruption
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


@contextlib.contextmanager
def signals_act() -> Iterator[None]:
  """Lets signals end the process, as Python does not hear them in TensorFlow.

  That is where TensorFlow waits for other workers. It catches SIGTERM itself
  from when it begins to look for them, to no effect; this takes it back.
  """
  if threading.current_thread() is not threading.main_thread():
    yield
    return
  before = {number: signal.signal(number, signal.SIG_DFL)
            for number in _SIGNALS}
  try:
    yield
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
