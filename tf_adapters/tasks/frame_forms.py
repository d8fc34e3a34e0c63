"""Returns results in the form of the input: Series, lists, DataFrames.

pandas is used where it is installed, and not needed.
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_adapters.data.frame_cells import words_of
from tf_adapters.data.frames import frames_of, plain
from tf_adapters.data.given_texts import list_of
from tf_adapters.errors import InputError


def table(columns: Mapping[Any, Sequence[Any] | np.ndarray],
          index: Any = None) -> Any:
  """Makes a DataFrame, or a list of dicts where there is no pandas.

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
  """Makes a Series of values, with its index, where one was given; else a list.

  Args:
    values: one for each row.
    given: what the texts came in.
    name: of the Series.
  """
  index = index_of(given)
  if index is None:
    return list(values)
  pandas = importlib.import_module("pandas")
  # Else pandas would make a float of None, and of all numbers beside it.
  dtype = object if any(value is None for value in values) else None
  return pandas.Series(list(values), index=index, name=name, dtype=dtype)


def index_of(given: Any) -> Any:
  """Returns the index of a Series or DataFrame of pandas; None for all else."""
  return getattr(given, "index", None) if type(
      given).__module__.split(".")[0] == "pandas" else None


def rows_of(texts: Any, pairs: bool | None, of_words: bool) -> list[Any]:
  """Returns the texts of whatever they came in; None for missing ones.

  Args:
    texts: what `list_of` takes, or a DataFrame of one column, for pairs of
      two.
    pairs: whether each has to be a pair; None for either.
    of_words: whether each is a list of words, or a text to be split at blanks.

  Returns:
    A string for each text, a tuple of two for each pair, a list of words.

  Raises:
    InputError: they are something else; says what to give.
  """
  if _is_table(texts):
    frame = frames_of(texts)["train"]
    wide = len(frame.header) == 2
    if len(frame.header) not in (1, 2) or pairs not in (None, wide):
      wanted = ("two columns, the pairs' texts, are" if pairs else
                'one column, such as df["text"], is')
      raise InputError(f"a {type(texts).__name__} of {len(frame.header)} "
                       f"columns was given: {wanted} wanted")
    columns = [frame.column(name, "text") for name in frame.header]
    given: list[Any] = list(zip(*columns)) if wide else columns[0]
  else:
    given = list_of(texts)
  return [_row(number, text, pairs, of_words)
          for number, text in enumerate(given)]


def _is_table(texts: Any) -> bool:
  return not isinstance(texts, Mapping) and (
      hasattr(texts, "columns") or hasattr(texts, "column_names"))


def _row(number: int, text: Any, pairs: bool | None, of_words: bool) -> Any:
  text = plain(text)
  if text is None or (isinstance(text, list) and None in text):
    return None
  if of_words:
    words = words_of(text) if isinstance(text, str) else text
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
