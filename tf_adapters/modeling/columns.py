"""Turns columns of texts (lists, arrays, Series, tensors) into tensors."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import tensorflow as tf

from tf_adapters.errors import InputError

# Lists of strings; also numpy arrays, Series and whatever else has rows.
Texts: TypeAlias = Iterable[str | bytes] | tf.Tensor


def as_texts(values: Texts, name: str = "text") -> tf.Tensor:
  """Makes strings [batch] of a column.

  Args:
    values: the texts; a tensor may be [batch, 1] as well.
    name: what a row is called in errors.

  Raises:
    InputError: it is no column of texts. The message names the first row that
      is none.

  Example:
    >>> as_texts(["good", "bad"]).shape
    TensorShape([2])
  """
  if tf.is_tensor(values):
    return _checked_tensor(values)
  if isinstance(values, str | bytes):
    raise InputError("expected a list of texts, not a single one")
  if isinstance(values, Mapping) or not isinstance(values, Iterable):
    raise InputError(
        f"expected a list of texts, not a {type(values).__name__}")
  dimensions = getattr(values, "ndim", 1)
  if dimensions != 1:
    columns = getattr(values, "columns", ())
    raise InputError(
        f"expected one column of texts, not {dimensions} dimensions"
        + (f": choose one of the columns {', '.join(map(str, columns))}"
           if len(columns) else ""))
  rows = list(values)
  for place, row in enumerate(rows):
    if type(row) is not str:
      _check_row(row, f"{name} {place}")
  try:
    return tf.constant(rows, tf.string, shape=[len(rows)])
  except ValueError:
    place = next(place for place, row in enumerate(rows)
                 if not _is_utf_8(row))
    raise InputError(
        f"{name} {place}: has half a character (a surrogate) in it") from None


def as_columns(first: Texts, second: Texts | None,
               ) -> tuple[tf.Tensor, tf.Tensor | None]:
  """Makes tensors of a column, and of the one of pairs' other texts or None.

  Raises:
    InputError: not columns of texts, or not of the same length.
  """
  first = as_texts(first)
  if second is not None:
    second = as_texts(second, "second text")
    _check_lengths(first, second)
  return first, second


def _check_lengths(first: tf.Tensor, second: tf.Tensor) -> None:
  """Raises InputError for columns that are not of the same length."""
  sizes = first.shape[0], second.shape[0]
  if None not in sizes and sizes[0] != sizes[1]:
    raise InputError(f"{sizes[0]} first texts, but {sizes[1]} second ones")


def _checked_tensor(values: tf.Tensor) -> tf.Tensor:
  if values.dtype != tf.string:
    raise InputError(f"expected texts, not numbers of type {values.dtype.name}")
  if values.shape.rank == 0:
    raise InputError("expected a list of texts, not a single one")
  if values.shape.rank == 2 and values.shape[1] == 1:
    return tf.squeeze(values, axis=1)
  if values.shape.rank not in (1, None):
    raise InputError(
        "expected texts of shape [batch], not "
        f"{values.shape.as_list()}: give the second texts of pairs apart")
  return values


def _check_row(row: Any, name: str) -> None:
  if isinstance(row, list | tuple) or getattr(row, "shape", ()) != ():
    raise InputError(
        f"{name}: expected a string, not a list: give all first texts, and all "
        "second ones of pairs apart")
  if not isinstance(row, str | bytes):
    raise InputError(
        f"{name}: expected a string, not {row!r:.40}: leave such rows out, or "
        "fill them")
  if not _is_utf_8(row):
    raise InputError(f"{name}: {row!r:.40} is no UTF-8: decode it first")


def _is_utf_8(row: str | bytes) -> bool:
  try:
    row.decode() if isinstance(row, bytes) else row.encode()
  except UnicodeError:
    return False
  return True
