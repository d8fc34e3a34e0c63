"""Chooses those of the waiting rows that are computed together.

Rows of similar length make a batch, so that little is computed on padding. The
row that is next in turn is always in it, so none waits for ever.
"""

import bisect
import itertools
from collections.abc import Sequence

from tf_adapters.serving.server.limits import ServerConfig

# What a batch costs beside its rows, in wordpieces of one: batches that differ
# by less padding than that are one.
_OF_A_BATCH = 64


def choose(sizes: Sequence[tuple[int, int]], widths: Sequence[int],
           config: ServerConfig) -> list[int]:
  """Chooses the rows of the next batch.

  Args:
    sizes: (longest sequence, number of sequences) of each row that waits, in
      the order of their turns.
    widths: that batches are padded to, in order; the last one is the longest.
    config: how much a batch may have. A single row may have more.

  Returns:
    Their numbers, the first one and others, in the order of their turns.

  Example:
    >>> choose([(8, 1), (512, 1), (7, 1)], (8, 16, 512), ServerConfig())
    [0, 2]
  """
  places = [bisect.bisect_left(widths, longest) for longest, _ in sizes]
  counts = [0] * len(widths)
  for place, (_, sequences) in zip(places, sizes):
    counts[place] += sequences
  low, high = next(part for part in _parts(widths, counts)
                   if part[0] <= places[0] <= part[1])
  chosen, sequences, width = [0], sizes[0][1], widths[places[0]]
  for number in range(1, len(sizes)):
    if len(chosen) == config.max_batch_rows:
      break
    if low <= places[number] <= high:
      wider = max(width, widths[places[number]])
      more = sequences + sizes[number][1]
      if wider * more <= config.max_batch_tokens:
        chosen.append(number)
        sequences, width = more, wider
  return chosen


def is_full(sizes: Sequence[tuple[int, int]], config: ServerConfig) -> bool:
  """Returns whether waiting rows fill a batch; `sizes` as for `choose`."""
  return len(sizes) >= config.max_batch_rows or sum(
      longest * sequences for longest, sequences in sizes
  ) >= config.max_batch_tokens


def _parts(widths: Sequence[int],
           counts: Sequence[int]) -> list[tuple[int, int]]:
  """Cuts the widths into stretches, each a batch, that cost the least.

  Args:
    widths: in order.
    counts: sequences of each width.

  Returns:
    First and last width of each stretch.
  """
  # What the widths below each one cost, and where the last stretch begins.
  best: list[tuple[float, int]] = [(0.0, 0)]
  before = [0, *itertools.accumulate(counts)]
  for end in range(1, len(widths) + 1):
    best.append(min(
        (best[start][0] + _OF_A_BATCH * (before[end] > before[start])
         + widths[end - 1] * (before[end] - before[start]), start)
        for start in range(end)))
  parts = []
  end = len(widths)
  while end:
    start = best[end][1]
    parts.append((start, end - 1))
    end = start
  return parts[::-1]
