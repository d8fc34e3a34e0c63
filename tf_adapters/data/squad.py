"""Reads SQuAD v1.1 and v2.0, and questions in other files as if in those.

Choosing answers from a model's outputs is the business of `span_answers`.
"""

import collections
import os
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from tf_adapters.data.bad_rows import BadRows, RowName
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
from tf_adapters.data.squad_split import Question, SquadSplit
from tf_adapters.errors import InputError

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
    path: pathlib.Path | str, paragraphs: Iterable[tuple[Any, int | str]],
    options: SquadOptions, training: bool,
    bad_rows: BadRows) -> tuple[SquadSplit, list[str]]:
  """Makes a split of the questions of paragraphs.

  Args:
    path: what to call where they are from in errors.
    paragraphs: each as it is in SQuAD's files, {"context", "qas"}, and where it
      is; of a table, where a row is one question, its line or `RowName`.
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
    of_row = isinstance(where, int | RowName)
    for place, entry in enumerate(entries(path, paragraph, "qas", str(where))):
      here = where if of_row else f"{where}.qas[{place}]"
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
  """Finds where the first answer begins, and whether it says another place.

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
  return min(found, key=lambda place: abs(place - max(start, 0))), start >= 0
