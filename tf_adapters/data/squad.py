"""SQuAD v1.1 and v2.0: reading, and windows of question and context.

Every wordpiece of a context keeps the characters that it came from, so that an
answer is always a piece of the context itself. Choosing answers from a model's
outputs is training's business.
"""

import collections
import dataclasses
import itertools
import os
import pathlib
import re
from collections.abc import (
  Callable,
  Hashable,
  Iterable,
  Mapping,
  Sequence,
)
from typing import Any

import numpy as np
import tensorflow as tf

from tf_adapters.data import batching
from tf_adapters.data.bad_rows import BadRows
from tf_adapters.data.dataset import Dataset
from tf_adapters.data.encodings import UTF_8
from tf_adapters.data.squad_files import (
  WrongTypeError,
  answers_of,
  entries,
  field,
  read_paragraphs,
)
from tf_adapters.data.squad_options import SquadOptions
from tf_adapters.errors import InputError
from tf_adapters.modeling.normalization import normalize
from tf_adapters.modeling.text import TextProcessor

# What is counted and said of a file.
_NO_TEXT = "questions without text"
_MOVED = "answers moved to where their text stands"
_EMPTY_CONTEXT = "empty contexts"

# What is wrong with questions that are left out.
_OTHER_TYPE = "of another format"
_NOT_FOUND = "with no answer that stands in the context"
_NONE_GIVEN = "without an answer"
_SAME_ID = "with an id that another one has"

V1_METRICS = ("f1", "exact_match")
V2_METRICS = (*V1_METRICS, "has_answer_f1", "no_answer_f1")


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
    """Questions with their contexts."""
    return [(question.text, self.contexts[question.context])
            for question in self.questions]

  def groups(self) -> Sequence[Hashable]:
    """The contexts, each for all questions on it."""
    return [self.contexts[question.context] for question in self.questions]

  def take(self, rows: Sequence[int] | np.ndarray) -> "SquadSplit":
    """The questions of these numbers, in this order."""
    return dataclasses.replace(
        self, questions=[self.questions[row] for row in rows])

  def with_labels(self, places: Sequence[int], count: int) -> "SquadSplit":
    """The same: there are no labels that have numbers."""
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
    """Wordpieces that a window has for the context."""
    return (text.max_length - query_length
            - text.vocabulary.special.of_a_pair)

  def encode(self, text: TextProcessor) -> "EncodedWindows":
    """Tokenises and cuts into windows; see `EncodedWindows`.

    Raises:
      InputError: see `check`.
    """
    self.check(text)
    used = sorted({question.context for question in self.questions})
    contexts = dict(zip(used, _tokenize_contexts(
        text, [self.contexts[number] for number in used])))
    queries = _in_chunks(
        text.tokenize, [question.text for question in self.questions])
    rows, types, windows = [], [], []
    labels: list[tuple[int, int]] = []
    cut = 0
    for number, (question, query) in enumerate(zip(self.questions, queries)):
      query = query[:self.options.max_query_length]
      context = contexts[question.context]
      span = context.span(question) if self.labels is not None else None
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

  def span(self, question: Question) -> tuple[int, int] | None:
    """First and last wordpiece of the answer, or None."""
    if question.start is None or not len(self.ids):
      return None
    end = question.start + len(question.answers[0])
    first = int(np.searchsorted(self.ends, question.start, side="right"))
    last = int(np.searchsorted(self.begins, end, side="left")) - 1
    return (first, last) if first <= last else None

  def place(self, first: int, last: int) -> tuple[int, int]:
    """Where wordpieces `first` to `last` begin and end, in characters."""
    return int(self.begins[first]), int(self.ends[last])


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
    """Positions of an answer in the sequence; [CLS] where it is not."""
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
    """The same of each question by itself."""
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


def load(train_file: str | os.PathLike[str] | None = None,
         predict_file: str | os.PathLike[str] | None = None,
         options: SquadOptions | None = None,
         on_bad_row: str = "error", encoding: str = UTF_8) -> Dataset:
  """Loads SQuAD, or what has its format.

  Args:
    train_file: JSON with questions to train on, or None.
    predict_file: JSON with questions to answer; they are evaluated where they
      come with answers.
    options: v1.1 or v2.0, how contexts are cut, and answers chosen.
    on_bad_row: see `BadRows`. A row is a question; a bad one is not of the
      format. What published files have is left out in any case: ids that
      repeat, and in training questions whose answer is not in the context.
    encoding: of the files, see `encodings.read_lines`.

  Returns:
    A task with the splits "train" and "validation", as far as there are files.
    Its notes count what was odd in them.

  Raises:
    InputError: a file cannot be read or is of another format, there is none,
      or there is a bad question.
  """
  if train_file is None and predict_file is None:
    raise InputError("task squad: needs train_file or predict_file")
  options = options or SquadOptions()
  splits, notes, files = {}, [], {}
  for name, file in (("train", train_file), ("validation", predict_file)):
    if file is not None:
      path = pathlib.Path(file).expanduser()
      files[name] = [path]
      bad_rows = BadRows(path, on_bad_row, "questions")
      splits[name], more = of_paragraphs(
          path, read_paragraphs(path, encoding), options, name == "train",
          bad_rows)
      notes += [f"{name}: {note}" for note in more]
      notes.append(bad_rows.note())
  return Dataset(
      "squad_v2" if options.version_2 else "squad", "span", (),
      V2_METRICS if options.version_2 else V1_METRICS, splits,
      ", ".join(os.fspath(file) for file in (train_file, predict_file) if file),
      notes=tuple(notes), span=options.to_dict(), files=files)


def of_paragraphs(
    path: pathlib.Path | str, paragraphs: Iterable[tuple[Any, str]],
    options: SquadOptions, training: bool,
    bad_rows: BadRows) -> tuple[SquadSplit, list[str]]:
  """The questions of paragraphs.

  Args:
    path: what to call where they are from in errors.
    paragraphs: each as it is in SQuAD's files, {"context", "qas"}, and where it
      is.
    options: how contexts are cut, and answers chosen.
    training: whether questions without an answer are of no use.
    bad_rows: takes the questions that cannot be used.

  Returns:
    The split, and what was odd, with its count.

  Raises:
    InputError: there are no questions, or there is a bad one.
  """
  counts: collections.Counter[str] = collections.Counter()
  contexts: dict[str, int] = {}  # text -> number
  questions, ids = [], set()
  answered = False
  for paragraph, where in paragraphs:
    fault = None
    try:
      context = field(paragraph, "context", str)
    except WrongTypeError as error:  # so is each question on it
      context, fault = "", WrongTypeError(f"is on a text that {error}")
    counts[_EMPTY_CONTEXT] += not fault and not context.strip()
    number = contexts.setdefault(context, len(contexts))
    for place, entry in enumerate(entries(path, paragraph, "qas", where)):
      here = f"{where}.qas[{place}]"
      try:
        if fault:
          raise fault
        identity = str(field(entry, "id", str | int))
        text = field(entry, "question", str)
        answers = answers_of(entry)
      except WrongTypeError as error:
        bad_rows.refuse(here, _OTHER_TYPE, str(error))
        continue
      if identity in ids:
        bad_rows.leave_out(here, _SAME_ID)
        continue
      ids.add(identity)
      # As in the official script, no answers at all say that there is none.
      impossible = options.version_2 and not answers and (
          "answers" in entry or bool(entry.get("is_impossible")))
      answered = answered or bool(answers) or impossible
      start, was_moved = _find(context, answers) if answers else (None, False)
      if training and start is None and not impossible:
        bad_rows.leave_out(here, _NOT_FOUND if answers else _NONE_GIVEN)
        continue
      counts[_MOVED] += was_moved
      counts[_NO_TEXT] += not text.strip()
      questions.append(Question(
          identity, text, number,
          tuple(answer for answer, _ in answers), start))
  if not questions:
    raise InputError("; ".join(filter(None, [
        f"{path}: has no questions", bad_rows.note()])))
  return SquadSplit(list(contexts), questions, options, answered), [
      f"{count:,} {what}" for what, count in (+counts).items()]


def _find(context: str,
          answers: Sequence[tuple[str, int]]) -> tuple[int | None, bool]:
  """Where the first answer begins, and whether that is not where it says.

  Offsets are often off by a few characters: the nearest occurrence is taken.
  """
  text, start = answers[0]
  if not text.strip():
    return None, False
  if start >= 0 and context[start:start + len(text)] == text:
    return start, False
  found = [match.start() for match in re.finditer(re.escape(text), context)]
  if not found:
    return None, False
  return min(found, key=lambda place: abs(place - max(start, 0))), True


def _tokenize_contexts(
    text: TextProcessor, contexts: Sequence[str]) -> list[Context]:
  parts = _in_chunks(text.tokenize_with_offsets, contexts)
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
  """For each byte of a text, and for its end, the number of its character."""
  numbers = np.arange(len(context) + 1)
  if context.isascii():
    return numbers
  return np.repeat(
      numbers, [*(len(character.encode()) for character in context), 1])


def _behind_blanks(context: str) -> np.ndarray:
  """For each character, and for the end, the first one from it on no blank."""
  numbers = np.arange(len(context) + 1)
  blanks = [match.start() for match in re.finditer(r"\s", context)]
  numbers[blanks] = len(context)
  return np.minimum.accumulate(numbers[::-1])[::-1]


def _kept_before(context: str) -> np.ndarray:
  """For each character, and for the end, where the last one before it ends.

  But for characters that no wordpiece has, such as soft hyphens.
  """
  numbers = np.arange(len(context) + 1)
  if context.isprintable():
    return numbers
  kept = [bool(normalize(character, lower_case=False, strip_accents=False))
          for character in context]
  return np.maximum.accumulate(np.where([True, *kept], numbers, 0))


def _in_chunks(function: Callable[[Sequence[str]], tf.Tensor],
               texts: Sequence[str], size: int = 1024) -> list[Any]:
  """A function's results for many texts, row by row as numpy values."""
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


def _ragged(rows: Sequence[np.ndarray]) -> tf.RaggedTensor:
  return tf.RaggedTensor.from_row_lengths(
      tf.constant(np.concatenate(rows), tf.int32),
      [len(row) for row in rows])
