"""Reads JSON files of questions on contexts, as SQuAD has them.

Apart from `squad`, which cuts contexts into windows and needs TensorFlow.
"""

import io
import pathlib
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any

from tf_adapters.data.encodings import decoded, is_utf_8, not_decoded
from tf_adapters.errors import InputError
from tf_adapters.files.reading import parse_json, read_file

# Of a file; SQuAD 2.0 has 42 MB.
_MOST_BYTES = 1 << 30

# What the columns of `rows_of` are called.
QUESTION, CONTEXT, ANSWERS = "question", "context", "answers"


class WrongTypeError(Exception):
  """A paragraph or a question has a value of a wrong type."""


def read_paragraphs(path: pathlib.Path,
                    encoding: str) -> Iterator[tuple[Any, str]]:
  """Yields (paragraph, where it is) of a file.

  Args:
    path: the file.
    encoding: see `encodings.read_lines`.

  Raises:
    InputError: it cannot be read, or is of another format.
  """
  content = io.BytesIO(read_file(path, _MOST_BYTES))
  lines = list(decoded(path, content, encoding))
  for number, line in enumerate(lines, 1):
    if fault := not_decoded(line, encoding):
      raise InputError(f"{path}:{number}: {'; '.join(fault[1:])}")
  yield from paragraphs_of(path, parse_json(path, "".join(lines)))


def paragraphs_of(path: pathlib.Path | str,
                  values: Any) -> Iterator[tuple[Any, str]]:
  """As `read_paragraphs`, of what a file holds."""
  for number, article in enumerate(entries(path, values, "data", "the file")):
    where = f"data[{number}]"
    for place, paragraph in enumerate(
        entries(path, article, "paragraphs", where)):
      yield paragraph, f"{where}.paragraphs[{place}]"


def is_squad(values: Any) -> bool:
  """Returns whether a JSON value is a file of SQuAD's, and not a row of yours.
  """
  data = values.get("data") if isinstance(values, Mapping) else None
  return isinstance(data, list) and any(
      isinstance(article, Mapping) and "paragraphs" in article
      for article in data)


def rows_of(path: pathlib.Path, values: Any) -> Iterator[dict[str, Any]]:
  """Yields a row for each question: the columns of Hugging Face's SQuAD.

  What is wrong with single values is not looked at.

  Args:
    path: what to call the file in errors.
    values: what it holds.

  Raises:
    InputError: a part is missing.
  """
  for paragraph, where in paragraphs_of(path, values):
    for entry in entries(path, paragraph, "qas", where):
      answers = entry.get("answers") or () if isinstance(entry, dict) else ()
      yield {"id": field_or_none(entry, "id"),
             QUESTION: field_or_none(entry, "question"),
             CONTEXT: field_or_none(paragraph, "context"),
             ANSWERS: {"text": [field_or_none(answer, "text")
                                for answer in answers],
                       "answer_start": [field_or_none(answer, "answer_start")
                                        for answer in answers]}}


def field_or_none(values: Any, key: str) -> Any:
  """Returns a value of what should be an object."""
  return values.get(key) if isinstance(values, dict) else None


def entries(path: pathlib.Path | str, values: Any, key: str,
            where: str) -> list[Any]:
  """Returns a list of a file: without it no question can be counted.

  Args:
    path: what to call the file in errors.
    values: what should have it.
    key: its name.
    where: what should have it, in words.

  Raises:
    InputError: there is none.
  """
  try:
    return field(values, key, list)
  except WrongTypeError as error:
    raise InputError(f"{path}: {where} {error}") from None


def field(values: Any, key: str, kind: type | UnionType) -> Any:
  """Returns a value of a type.

  Raises:
    WrongTypeError: there is none.
  """
  if not isinstance(values, dict) or not isinstance(values.get(key), kind):
    raise WrongTypeError(f"has no {key!r} of the right type")
  value = values[key]
  if isinstance(value, str) and not is_utf_8(value):
    raise WrongTypeError(f"has half a character in its {key!r}")
  return value


def answers_of(entry: dict[str, Any]) -> list[tuple[str, int]]:
  """Returns text and place of each answer to a question; -1 if it is unknown.

  Raises:
    WrongTypeError: they are something else.
  """
  answers = entry.get("answers") or []
  if not isinstance(answers, list):
    raise WrongTypeError("has no 'answers' of the right type")
  result = []
  for place, answer in enumerate(answers):
    try:
      text = field(answer, "text", str)
    except WrongTypeError as error:
      raise WrongTypeError(f"answers[{place}] {error}") from None
    start = answer.get("answer_start", -1)
    result.append((text, start if type(start) is int else -1))
  return result
