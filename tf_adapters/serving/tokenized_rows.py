"""Texts of many tasks as wordpiece ids: what a bank computes in batches.

A text of most tasks is one sequence. Where a task reads windows of a long text,
as for questions, each of them is one.
"""

import collections
import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tf_adapters.modeling.text import TextProcessor
from tf_adapters.serving.bank_texts import Row, Text

if TYPE_CHECKING:
  from tf_adapters.serving.bank_encoder import BankEncoder


# Rows of a text that are computed by themselves.
_LEAST_REPEATED = 4


@dataclasses.dataclass(frozen=True)
class TokenizedRow:
  """A text as wordpiece ids, for the task that there was when it was made.

  Attributes:
    row: the text and its task.
    word_ids, type_ids: int32 [length] of each sequence.
    starts: position of each word's first wordpiece, int64 [words], -1 for one
      that was cut off; None where a task has no outputs for words.
    words: the words then.
    windows: what `Problem.windows` makes of the text alone; None for most.
  """

  row: Row
  word_ids: Sequence[np.ndarray]
  type_ids: Sequence[np.ndarray]
  starts: np.ndarray | None = None
  words: tuple[str, ...] = ()
  windows: Any = None

  @property
  def lengths(self) -> list[int]:
    """Wordpieces of each sequence, with the special tokens."""
    return [len(word_ids) for word_ids in self.word_ids]

  @property
  def is_too_long(self) -> bool:
    """Whether the text is longer than its task takes, and was not cut."""
    return self.windows is None and (
        len(self.word_ids[0]) > self.row.max_length)

  @property
  def text(self) -> Text:
    """The text, or pair of texts, that it was made from."""
    row = self.row
    return (row.first, row.second) if row.is_pair else row.first


def tokenize(rows: Sequence[Row], shared: "BankEncoder",
             cut: bool = True) -> list[TokenizedRow]:
  """Makes wordpiece ids of texts.

  Args:
    rows: the texts, of any tasks.
    shared: how they are tokenised.
    cut: whether texts lose what is longer than their tasks take. Otherwise such
      texts have one wordpiece too many and are not to be computed.
  """
  done: list[TokenizedRow | None] = [None] * len(rows)
  windows: dict[tuple[int, int], list[int]] = collections.defaultdict(list)
  others: list[int] = []
  for number, row in enumerate(rows):
    # By what decides: tasks that are not in memory have no number of their own,
    # nor has one that was replaced.
    (windows[id(row.info), row.max_length] if row.outputs == "windows"
     else others).append(number)
  for numbers in windows.values():
    for number, made in zip(numbers, _as_windows(
        [rows[number] for number in numbers], shared)):
      done[number] = made
  if others:
    for number, made in zip(others, _as_sequences(
        [rows[number] for number in others], shared, cut)):
      done[number] = made
  return [one for one in done if one is not None]


def split_repeated(
    rows: Mapping[int, TokenizedRow]) -> tuple[list[int], list[int]]:
  """Returns the numbers of rows of the same text, and those of all others.

  Texts that few others repeat are not worth a batch of their own.

  Args:
    rows: by number.
  """
  of_text: dict[bytes, list[int]] = collections.defaultdict(list)
  for number, row in rows.items():
    of_text[b"|".join(ids.tobytes() for ids in (
        *row.word_ids, *row.type_ids))].append(number)
  repeated = [number for same in of_text.values()
              if len(same) >= _LEAST_REPEATED for number in same]
  return repeated, [number for number in rows if number not in {*repeated}]


def pad(rows: Sequence[tuple[np.ndarray, np.ndarray]], width: int,
        text: TextProcessor) -> dict[str, tf.Tensor]:
  """As `TextProcessor.pad`, of (word ids, type ids): [rows, width]."""
  padding = text.vocabulary.id_of(text.vocabulary.special.padding)
  word_ids = np.full([len(rows), width], padding, np.int32)
  mask, type_ids = np.zeros([2, len(rows), width], np.int32)
  for place, (words, types) in enumerate(rows):
    word_ids[place, :len(words)] = words
    type_ids[place, :len(words)] = types
    mask[place, :len(words)] = 1
  return {"input_word_ids": tf.constant(word_ids),
          "input_mask": tf.constant(mask),
          "input_type_ids": tf.constant(type_ids)}


def _as_sequences(rows: Sequence[Row], shared: "BankEncoder",
                  cut: bool) -> list[TokenizedRow]:
  # Each text once, however many tasks it is for.
  inputs: dict[tuple[bytes, bytes, bool, bool, int], int] = {}
  input_of = [inputs.setdefault(
      (row.first, row.second, row.is_pair, row.outputs == "words",
       row.max_length), len(inputs)) for row in rows]
  first, second, is_pair, is_words, max_length = zip(*inputs)
  firsts = tf.constant(first, tf.string)
  packed = shared.pack(
      firsts, tf.constant(second, tf.string), tf.constant(is_pair),
      tf.constant(is_words),
      tf.constant([length + (not cut) for length in max_length], tf.int32))
  word_ids, type_ids, starts = map(_split, packed)
  places = np.flatnonzero(is_words)
  words = {place: tuple(word.decode(errors="replace") for word in split)
           for place, split in zip(places.tolist(), shared.text.split_words(
               tf.gather(firsts, places)).to_list() if len(places) else [])}
  return [TokenizedRow(
      row, [word_ids[one]], [type_ids[one]],
      starts[one] if one in words else None, words.get(one, ()))
          for row, one in zip(rows, input_of)]


def _as_windows(rows: Sequence[Row],
                shared: "BankEncoder") -> list[TokenizedRow]:
  """Tokenises rows of one task that reads windows, with the same options."""
  info = rows[0].info
  assert info is not None  # the encoder alone reads no windows
  encoded = info.problem.windows(
      [(row.first.decode(errors="replace"), row.second.decode(errors="replace"))
       for row in rows],
      shared.encoder.text_processor(rows[0].max_length), info.span)
  return [TokenizedRow(row, _split(windows.word_ids), _split(windows.type_ids),
                       windows=windows)
          for row, windows in zip(rows, encoded.one_by_one())]


def _split(ragged: tf.RaggedTensor) -> list[np.ndarray]:
  """Returns the rows of a ragged tensor."""
  values, splits = ragged.values.numpy(), ragged.row_splits.numpy().tolist()
  return [values[start:end] for start, end in itertools.pairwise(splits)]
