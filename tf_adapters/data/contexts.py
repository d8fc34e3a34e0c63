"""Contexts as wordpieces that keep the characters that they came from.

So an answer, a stretch of wordpieces, is always a piece of the context itself.
"""

import dataclasses
import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_adapters.data import batching
from tf_adapters.modeling.normalization import normalize
from tf_adapters.modeling.text import TextProcessor


@dataclasses.dataclass(frozen=True)
class Context:
  """A context's wordpieces.

  Attributes:
    text: the context.
    ids: wordpiece ids.
    begins, ends: the characters that each wordpiece came from.
  """

  text: str
  ids: np.ndarray
  begins: np.ndarray
  ends: np.ndarray

  def span(self, start: int, end: int) -> tuple[int, int] | None:
    """Returns the first and last wordpiece of a stretch of characters, or None.
    """
    if not len(self.ids):
      return None
    first = int(np.searchsorted(self.ends, start, side="right"))
    last = int(np.searchsorted(self.begins, end, side="left")) - 1
    return (first, last) if first <= last else None

  def place(self, first: int, last: int) -> tuple[int, int]:
    """Returns where wordpieces `first` to `last` begin and end, in characters.
    """
    return int(self.begins[first]), int(self.ends[last])


def tokenize_contexts(
    text: TextProcessor, contexts: Sequence[str]) -> list[Context]:
  """Splits contexts into wordpieces, and finds the characters of each."""
  parts = in_chunks(text.tokenize_with_offsets, contexts)
  result = []
  for context, (ids, begins, ends) in zip(contexts, parts):
    places = _characters(context)
    begins, last = places[begins], places[ends]
    # Of some vocabularies blanks belong to the wordpiece behind them.
    after = _behind_blanks(context)[begins]
    begins = np.where(after < last, after, begins)
    # Wordpieces may share a character: of the two that "½" becomes the first
    # has no bytes.
    ends = np.maximum(_kept_before(context)[last], begins + 1)
    result.append(Context(context, ids, begins, ends))
  return result


def _characters(context: str) -> np.ndarray:
  """Numbers the character of each byte of a text, and of its end."""
  numbers = np.arange(len(context) + 1)
  if context.isascii():
    return numbers
  return np.repeat(
      numbers, [*(len(character.encode()) for character in context), 1])


def _behind_blanks(context: str) -> np.ndarray:
  """Finds the first character from each one on, and the end, that is no blank.
  """
  numbers = np.arange(len(context) + 1)
  blanks = [match.start() for match in re.finditer(r"\s", context)]
  numbers[blanks] = len(context)
  return np.minimum.accumulate(numbers[::-1])[::-1]


def _kept_before(context: str) -> np.ndarray:
  """Finds where the last kept one before each character, and the end, ends.

  But for characters that no wordpiece has, such as soft hyphens.
  """
  numbers = np.arange(len(context) + 1)
  if context.isprintable():
    return numbers
  kept = [bool(normalize(character, lower_case=False, strip_accents=False))
          for character in context]
  return np.maximum.accumulate(np.where([True, *kept], numbers, 0))


def in_chunks(function: Callable[[Sequence[str]], tf.Tensor],
               texts: Sequence[str], size: int = 1024) -> list[Any]:
  """Computes a function's results for texts, row by row as numpy values."""
  result = []
  for part in batching.chunks(texts, size):
    outputs = function(tf.constant(part, tf.string))
    if isinstance(outputs, tuple):
      result += list(zip(*(_rows(output) for output in outputs)))
    else:
      result += _rows(outputs)
  return result


def _rows(output: tf.Tensor | tf.RaggedTensor) -> list[Any]:
  if not isinstance(output, tf.RaggedTensor):
    return list(output.numpy())
  values = output.values.numpy()
  return [values[start:end]
          for start, end in itertools.pairwise(output.row_splits.numpy())]
