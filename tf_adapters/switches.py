"""Switches that are on within a block of one thread's, and off elsewhere."""

import contextlib
import contextvars
from collections.abc import Iterator


class Switch:
  """A switch, which is off at first.

  Example:
    >>> quiet = Switch("quiet")
    >>> with quiet.on():
    ...   quiet.is_on()
    True
  """

  def __init__(self, name: str):
    self._variable = contextvars.ContextVar(name, default=False)

  def is_on(self) -> bool:
    """Returns whether this thread is in a block of `on`."""
    return self._variable.get()

  @contextlib.contextmanager
  def on(self) -> Iterator[None]:
    """Puts the switch on for a block."""
    token = self._variable.set(True)
    try:
      yield
    finally:
      self._variable.reset(token)
