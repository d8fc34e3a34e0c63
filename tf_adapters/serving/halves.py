"""Batches that do not fit in memory: computed in halves."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import tensorflow as tf

from tf_adapters.serving.bank_texts import OutOfMemory

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_halves(compute: Callable[[Sequence[Item]], list[Result]],
              items: Sequence[Item]) -> list[Result | OutOfMemory]:
  """Computes items: all at once, or in halves where memory runs out.

  Args:
    compute: returns a result for each item; may be called again for some.
    items: the items.

  Returns:
    For each item its result, or that it does not fit by itself.

  Example:
    >>> in_halves(bank_state.predict_rows, rows)
  """
  try:
    return list(compute(items))
  except (tf.errors.ResourceExhaustedError, MemoryError):
    if len(items) < 2:
      return [OutOfMemory("there is not enough memory to compute this text: "
                          "send it again later, or a shorter one")]
  # Outside of the block above: an error holds what has filled the memory.
  middle = len(items) // 2
  return [*in_halves(compute, items[:middle]),
          *in_halves(compute, items[middle:])]
