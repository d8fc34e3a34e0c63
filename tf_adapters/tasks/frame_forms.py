"""What goes out as it came in: Series with their index, lists, DataFrames.

pandas is used where it is installed, and not needed.
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_adapters.data.frames import plain
from tf_adapters.errors import InputError


def table(columns: Mapping[Any, Sequence[Any] | np.ndarray],
          index: Any = None) -> Any:
  """A DataFrame, or a list of dicts where there is no pandas.

  Args:
    columns: name -> values.
    index: of the rows; None for their numbers.
  """
  try:
    pandas = importlib.import_module("pandas")
  except ImportError:
    return [dict(zip(columns, row)) for row in zip(*columns.values())]
  return pandas.DataFrame(dict(columns), index=index)


def like(values: Sequence[Any], given: Any, name: str) -> Any:
  """Values as a Series where one was given, with its index; else a list.

  Args:
    values: one for each row.
    given: what the texts came in.
    name: of the Series.
  """
  index = index_of(given)
  if index is None:
    return list(values)
  pandas = importlib.import_module("pandas")
  series = pandas.Series(list(values), index=index, name=name)
  return series.astype(object) if any(value is None for value in values) and (
      series.dtype.kind == "f") else series


def index_of(given: Any) -> Any:
  """The index of a Series or DataFrame of pandas; None for anything else."""
  return getattr(given, "index", None) if type(
      given).__module__.split(".")[0] == "pandas" else None


def rows_of(texts: Any, pairs: bool | None, of_words: bool) -> list[Any]:
  """The texts of whatever they came in; None for those that are missing.

  Args:
    texts: a list, an array, a Series, or for pairs a list of pairs or a
      DataFrame of two columns.
    pairs: whether each has to be a pair; None for either.
    of_words: whether each is a list of words, or a text to be split at blanks.

  Returns:
    A string for each text, a tuple of two for each pair, a list of words.

  Raises:
    InputError: they are something else; says what to give.
  """
  if isinstance(texts, str | bytes):
    raise InputError("a list of texts is wanted, not a single one: give [text]")
  if isinstance(texts, Mapping):
    raise InputError("a list of texts is wanted, not a dict: give its column "
                     "of texts")
  if hasattr(texts, "columns"):
    columns = list(texts.columns)
    if len(columns) != 1 + bool(pairs):
      wanted = "two columns, the pairs' texts" if pairs else (
          'one column, such as df["text"]')
      raise InputError(f"a DataFrame of {len(columns)} columns was given: "
                       f"{wanted} {'are' if pairs else 'is'} wanted")
    parts = [list(texts[column]) for column in columns]
    given: list[Any] = list(zip(*parts)) if pairs else parts[0]
  else:
    given = _listed(texts)
  return [_row(number, text, pairs, of_words)
          for number, text in enumerate(given)]


def _listed(texts: Any) -> list[Any]:
  if hasattr(texts, "numpy"):  # a tensor
    texts = texts.numpy()
  if isinstance(texts, np.ndarray) and texts.ndim == 2 and (
      texts.shape[1] == 1):
    texts = texts[:, 0]
  try:
    return list(texts)
  except TypeError:
    raise InputError(f"a list of texts is wanted, not {texts!r:.40}") from None


def _row(number: int, text: Any, pairs: bool | None, of_words: bool) -> Any:
  text = plain(text)
  if text is None or (isinstance(text, list) and None in text):
    return None
  if of_words:
    words = text.split() if isinstance(text, str) else text
    if isinstance(words, list) and all(
        isinstance(word, str) for word in words):
      return words
    raise InputError(f"text {number}: a list of words is wanted, not "
                     f"{text!r:.40}")
  is_pair = isinstance(text, list) and len(text) == 2 and all(
      isinstance(part, str) for part in text)
  if is_pair and pairs is not False:
    return tuple(text)
  if isinstance(text, str) and not pairs:
    return text
  wanted = ("a pair (first, second)" if pairs else
            "a text, no pair," if is_pair else "a text")
  raise InputError(f"text {number}: {wanted} is wanted, not {text!r:.40}")
