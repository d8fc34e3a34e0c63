"""Questions on contexts, and the windows of both that a model sees."""

import dataclasses
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tf_adapters.data import batching
from tf_adapters.data.contexts import Context, in_chunks, tokenize_contexts
from tf_adapters.data.squad_options import SquadOptions
from tf_adapters.errors import InputError
from tf_adapters.modeling.text import TextProcessor


@dataclasses.dataclass(frozen=True)
class Question:
  """A question on a context.

  Attributes:
    id: what predictions call it.
    text: the question.
    context: number of its context.
    answers: texts that count as right; empty where there is no answer.
    start: where the first of them begins in the context, in characters, or
      None where there is no answer, or none is known.
  """

  id: str
  text: str
  context: int
  answers: tuple[str, ...]
  start: int | None


@dataclasses.dataclass(frozen=True, repr=False)
class SquadSplit:
  """Questions and their contexts.

  Attributes:
    contexts: the texts that are asked about.
    questions: the questions.
    options: how contexts are cut, and answers chosen.
    answered: whether it is known which answers are right.
  """

  contexts: Sequence[str]
  questions: Sequence[Question]
  options: SquadOptions
  answered: bool = True

  def __len__(self) -> int:
    return len(self.questions)

  def __repr__(self) -> str:
    return f"SquadSplit({len(self):,} questions)"

  pairs = True

  @property
  def ids(self) -> list[str]:
    return [question.id for question in self.questions]

  @property
  def labels(self) -> Sequence[Question] | None:
    return self.questions if self.answered else None

  def contents(self) -> Sequence[Hashable]:
    """Returns questions with their contexts."""
    return [(question.text, self.contexts[question.context])
            for question in self.questions]

  def groups(self) -> Sequence[Hashable]:
    """Returns the contexts, each for all questions on it."""
    return [self.contexts[question.context] for question in self.questions]

  def take(self, rows: Sequence[int] | np.ndarray) -> "SquadSplit":
    """Returns the questions of these numbers, in this order."""
    return dataclasses.replace(
        self, questions=[self.questions[row] for row in rows])

  def with_labels(self, places: Sequence[int], count: int) -> "SquadSplit":
    """Returns the same: there are no labels that have numbers."""
    del places, count
    return self

  def check(self, text: TextProcessor) -> None:
    """Raises InputError where a window leaves no room for the context."""
    room = self._room(text, self.options.max_query_length)
    if self.options.doc_stride > room:
      smaller = (f"doc_stride={room} or less" if room > 0
                 else "a smaller max_query_length")
      raise InputError(
          f"max_seq_length {text.max_length} leaves {max(room, 0)} wordpieces "
          "to a context beside questions of "
          f"{self.options.max_query_length}: fewer than doc_stride "
          f"{self.options.doc_stride}: give {smaller}, or a larger "
          "max_seq_length")

  def _room(self, text: TextProcessor, query_length: int) -> int:
    """Counts the wordpieces that a window has for the context."""
    return (text.max_length - query_length
            - text.vocabulary.special.of_a_pair)

  def encode(self, text: TextProcessor) -> "EncodedWindows":
    """Tokenises and cuts into windows; see `EncodedWindows`.

    Raises:
      InputError: see `check`.
    """
    self.check(text)
    used = sorted({question.context for question in self.questions})
    contexts = dict(zip(used, tokenize_contexts(
        text, [self.contexts[number] for number in used])))
    queries = in_chunks(
        text.tokenize, [question.text for question in self.questions])
    rows, types, windows = [], [], []
    labels: list[tuple[int, int]] = []
    cut = 0
    for number, (question, query) in enumerate(zip(self.questions, queries)):
      query = query[:self.options.max_query_length]
      context = contexts[question.context]
      span = None
      if self.labels is not None and question.start is not None:
        span = context.span(
            question.start, question.start + len(question.answers[0]))
      room = self._room(text, len(query))
      start, first_window = 0, len(labels)
      while True:
        pieces = context.ids[start:start + room]
        word_ids, type_ids, offset = text.join(query, pieces)
        window = Window(number, start, len(pieces), offset)
        rows.append(word_ids)
        types.append(type_ids)
        labels.append(window.label(span))
        windows.append(window)
        if start + room >= len(context.ids):
          break
        start += self.options.doc_stride
      cut += span is not None and not any(
          any(label) for label in labels[first_window:])
    return EncodedWindows(
        text, _ragged(rows), _ragged(types),
        None if self.labels is None else tf.constant(labels, tf.int32),
        self, tuple(windows), contexts,
        sum(len(query) > self.options.max_query_length for query in queries),
        cut=cut)


@dataclasses.dataclass(frozen=True)
class Window:
  """A stretch of a context behind a question.

  Attributes:
    question: number of the question in the split.
    start: the stretch's first wordpiece in the context.
    length: its wordpieces.
    offset: where it begins in the sequence.
  """

  question: int
  start: int
  length: int
  offset: int

  def label(self, span: tuple[int, int] | None) -> tuple[int, int]:
    """Returns an answer's positions in the sequence; [CLS] where it is not."""
    if span is None or span[0] < self.start or (
        span[1] >= self.start + self.length):
      return 0, 0
    shift = self.offset - self.start
    return span[0] + shift, span[1] + shift


@dataclasses.dataclass(frozen=True)
class EncodedWindows(batching.Encoded):
  """Windows as wordpiece ids; labels are positions of first and last token.

  Attributes:
    split: the questions.
    windows: what each row is.
    contexts: number of a context -> its wordpieces.
    cut_questions: how many questions were longer than they may be.
  """

  split: SquadSplit
  windows: tuple[Window, ...]
  contexts: Mapping[int, Context]
  cut_questions: int = 0

  def one_by_one(self) -> list["EncodedWindows"]:
    """Returns the same of each question by itself."""
    rows: list[list[int]] = [[] for _ in self.split.questions]
    for row, window in enumerate(self.windows):
      rows[window.question].append(row)
    return [EncodedWindows(
        self.text, tf.gather(self.word_ids, own), tf.gather(self.type_ids, own),
        None if self.labels is None else tf.gather(self.labels, own),
        self.split.take([number]),
        tuple(dataclasses.replace(self.windows[row], question=0)
              for row in own), self.contexts)
            for number, own in enumerate(rows)]

  def cut_note(self) -> str:
    """As `Encoded.cut_note`, of answers and questions."""
    counts = {
        "have an answer that is whole in no window": self.cut,
        f"are longer than {self.split.options.max_query_length} wordpieces, "
        "and cut": self.cut_questions}
    return "; ".join(f"{count:,} of {len(self.split):,} questions {what}"
                     for what, count in counts.items() if count)


def _ragged(rows: Sequence[np.ndarray]) -> tf.RaggedTensor:
  return tf.RaggedTensor.from_row_lengths(
      tf.constant(np.concatenate(rows), tf.int32),
      [len(row) for row in rows])
