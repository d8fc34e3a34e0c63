"""Figures of the last moments of a server: its batches and answers."""

import collections
import statistics
import time
from collections.abc import Callable, Mapping

from tf_adapters.serving.server.observer import BatchFigures

_SECONDS = 10.0  # that count as a moment


class LiveFigures:
  """An `Observer` that remembers the last seconds.

  Args:
    clock: seconds that never go back.
  """

  def __init__(self, clock: Callable[[], float] = time.monotonic):
    self._clock = clock
    # When each request was answered, and how long it took.
    self._answers: collections.deque[tuple[float, float]] = collections.deque()
    # When each batch was computed, its rows and its tasks.
    self._batches: collections.deque[tuple[float, int, int]] = (
        collections.deque())
    self._seconds_per_row = 0.0

  def tokenized(self, rows: int, seconds: float) -> None:
    del rows, seconds

  def computed(self, batch: BatchFigures) -> None:
    now = self._clock()
    self._batches.append((now, batch.rows, batch.tasks))
    while self._batches[0][0] < now - _SECONDS:
      self._batches.popleft()
    of_this = batch.seconds / batch.rows
    self._seconds_per_row += (of_this - self._seconds_per_row) * (
        0.1 if self._seconds_per_row else 1.0)

  def answered(self, tasks: Mapping[str, int], status: int,
               seconds: float) -> None:
    if tasks and status == 200:
      now = self._clock()
      self._answers.append((now, seconds))
      while self._answers[0][0] < now - _SECONDS:
        self._answers.popleft()

  def seconds_for(self, rows: int) -> float:
    """Estimates the time that so many texts take."""
    return rows * self._seconds_per_row

  def figures(self) -> dict[str, float | None]:
    """Measures the last seconds, by name; None where there is nothing to tell.
    """
    since = self._clock() - _SECONDS
    # Copies, since others may be added meanwhile.
    answers = sorted(seconds for when, seconds in list(self._answers)
                     if when >= since)
    batches = [(rows, tasks) for when, rows, tasks in list(self._batches)
               if when >= since]
    return {
        "requests_per_second": round(len(answers) / _SECONDS, 2),
        "p50_ms": _milliseconds(answers, 0.5),
        "p95_ms": _milliseconds(answers, 0.95),
        "batch_rows": _mean([rows for rows, _ in batches]),
        "batch_tasks": _mean([tasks for _, tasks in batches])}


def _milliseconds(seconds: list[float], part: float) -> float | None:
  """Returns a quantile of what is in order."""
  if not seconds:
    return None
  return round(1000 * seconds[round(part * (len(seconds) - 1))], 2)


def _mean(values: list[int]) -> float | None:
  return round(statistics.fmean(values), 2) if values else None
