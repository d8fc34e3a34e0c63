"""Observers, which a server tells of its work."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol


@dataclasses.dataclass(frozen=True)
class BatchFigures:
  """A batch that was computed.

  Attributes:
    rows: its texts.
    tokens: wordpieces, with the padding.
    tasks: how many different tasks there were.
    waits: how long each text waited before, in seconds.
    seconds: how long the batch took.
  """

  rows: int
  tokens: int
  tasks: int
  waits: Sequence[float]
  seconds: float


class Observer(Protocol):
  """Is called on the thread of the event loop, and must not take long."""

  def tokenized(self, rows: int, seconds: float) -> None:
    """Hears that texts have become wordpieces."""

  def computed(self, batch: BatchFigures) -> None:
    """Hears that a batch was computed."""

  def answered(self, tasks: Mapping[str, int], status: int,
               seconds: float) -> None:
    """Hears that a request was answered, or refused.

    Args:
      tasks: its texts of each task; none of tasks that there are not.
      status: of HTTP; 499 where the client hung up.
      seconds: since it came.
    """
