"""Publishes an object to threads that read or replace it, without a lock."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

State = TypeVar("State")


class Published(Generic[State]):
  """A state that is replaced in one step.

  Without a lock: a thread that is stopped while it holds one would stop all
  others for ever. A change is made of the state that there is, and once more
  where another change came first.
  """

  def __init__(self, state: State):
    # A state, and under "next" what it was replaced by.
    self._newest: tuple[State, dict[str, Any]] = (state, {})

  def state(self) -> State:
    """Returns the newest state."""
    return self._find()[0]

  def replace(self, make: Callable[[State], State]) -> tuple[State, State]:
    """Replaces the state by what is made of it, or leaves it as it is.

    Returns:
      The old and the new one.
    """
    while True:
      old, after = self._find()
      new: tuple[State, dict[str, Any]] = make(old), {}
      # The step: a single call, in which nothing can come.
      if after.setdefault("next", new) is new:
        self._newest = new  # the old one can go
        return old, new[0]

  def _find(self) -> tuple[State, dict[str, Any]]:
    newest = self._newest
    while newest[1]:
      newest = newest[1]["next"]
    self._newest = newest
    return newest
