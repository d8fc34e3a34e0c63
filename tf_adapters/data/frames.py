"""Turns DataFrames, dicts and others into columns of values.

They are known by what they can do. No library is imported for them, so none is
needed.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tf_adapters.data.bad_rows import RowName
from tf_adapters.data.splits import names_of_rows
from tf_adapters.data.tables import find_columns, places_of
from tf_adapters.errors import InputError, listed

# What a split of a task may be called.
SPLITS = {"train": "train", "validation": "validation", "valid": "validation",
          "val": "validation", "dev": "validation", "test": "test"}

# Integers as Python writes them, so that names are what they were, and with no
# more digits than it reads.
_INTEGER = re.compile(r"0|-?[1-9]\d{0,999}", re.ASCII)
_NUMBER = re.compile(
    r"[-+]?(\d+\.\d*|\.\d+|0|[1-9]\d*)([eE][-+]?\d+)?", re.ASCII)
# Classes of values that are missing, in pandas.
_MISSING = {"NAType", "NaTType"}


@dataclasses.dataclass(frozen=True)
class Frame:
  """Named columns of values.

  Attributes:
    name: what to call it in messages.
    header: the columns' names.
    read: gives the values of the column with a number.
    of_text: whether all values are texts, as in a CSV file.
    places: where each row stands, its line in a file; None for its number.
    notes: on how it was read.
    index: what each row is called, by an index or its number in a file; None
      for its number here.
    row_name: says what a row is called in messages, where it has no place.
    index_names: the names of the index, which are no columns.
  """

  name: str
  header: tuple[str, ...]
  read: Callable[[int], Iterable[Any]]
  of_text: bool = False
  places: Sequence[int | str] | None = None
  notes: tuple[str, ...] = ()
  index: Sequence[int | str] | None = None
  row_name: Callable[[int], str] = "row {}".format
  index_names: tuple[str, ...] = ()

  def place(self, row: int) -> int | str:
    """Returns where a row stands, for messages: a line, or a `RowName`."""
    return (RowName(self.row_name(row)) if self.places is None
            else self.places[row])

  def called(self, row: int) -> int | str:
    """Returns the name of a row in its data."""
    return row if self.index is None else self.index[row]

  def has(self, column: str) -> bool:
    """Returns whether there is a column of that name, in any case."""
    return bool(places_of(self.header, column))

  def without(self, columns: Sequence[str], note: str) -> "Frame":
    """Returns the same without some columns, and with one more note."""
    left_out = {*self.find([("label", column) for column in columns])}
    kept = [place for place in range(len(self.header))
            if place not in left_out]
    return dataclasses.replace(
        self, header=tuple(self.header[place] for place in kept),
        read=lambda place: self.read(kept[place]), notes=(*self.notes, note))

  def find(self, columns: Sequence[tuple[str, str]]) -> list[int]:
    """Finds columns; see `tables.find_columns` for errors, too."""
    for _, column in columns:
      if column in self.index_names and not self.has(column):
        raise InputError(
            f"{self.name}: {column!r} is its index, and no column: "
            "df.reset_index() makes a column of it")
    return find_columns(self.name, self.header, columns)

  def column(self, column: str, hint: str) -> list[Any]:
    """Returns the values of a column as Python has them; None for missing ones.

    Args:
      column: its name; in any case where none is written so.
      hint: the argument that says another name, for the error.

    Raises:
      InputError: there is no such column, or there are two.
    """
    place, = self.find([(hint, column)])
    values = self.read(place)
    if isinstance(values, str | bytes) or hasattr(values, "columns") or (
        not isinstance(values, Iterable)
        or getattr(values, "ndim", None) == 0):
      raise InputError(f"{self.name}: column {column!r} is a "
                       f"{type(values).__name__}: expected a list of values")
    return [plain(value) for value in values]

  def categories(self, column: str) -> tuple[list[Any], bool]:
    """Returns the categories of a Categorical, and whether they have an order.

    None of any other column.
    """
    place, = self.find([("label", column)])
    kind = getattr(self.read(place), "dtype", None)
    return list(map(plain, getattr(kind, "categories", ()))), bool(
        getattr(kind, "ordered", False))

  def labels(self, column: str) -> list[Any]:
    """As `column`, where texts that are all numbers become numbers.

    As pandas reads them.
    """
    values = self.column(column, "label")
    return of_texts(values) if self.of_text else values


def of_texts(values: Sequence[str | None]) -> list[Any]:
  """Reads the cells of a column as integers, numbers, booleans or texts.

  Example:
    >>> of_texts(["1", "", "2"]), of_texts(["1.5"]), of_texts(["01", "2"])
    ([1, None, 2], [1.5], ['01', '2'])
  """
  cells = [value.strip() if value else None for value in values]
  there = set(filter(None, cells))
  read: Callable[[str], Any] = str
  if there <= {"True", "False"}:
    read = "True".__eq__
  elif all(_INTEGER.fullmatch(cell) for cell in there):
    read = int
  elif all(_NUMBER.fullmatch(cell) for cell in there):
    read = float
  return [read(cell) if cell else None for cell in cells]


def frames_of(data: Any, name: str = "") -> dict[str, Frame]:
  """Returns the frames of a task's splits: "train" alone where there are none.

  Args:
    data: a DataFrame of pandas or polars, a table of pyarrow, a dict of
      columns, a dataset of Hugging Face; or a dict of these by split.
    name: what to call it in messages; "" for its type's name.

  Raises:
    InputError: it is something else, or splits have other names.
  """
  if isinstance(data, Mapping) and data and all(map(_is_frame, data.values())):
    wrong = [str(name) for name in data if name not in SPLITS]
    if wrong:
      raise InputError(
          f"a dict of DataFrames is one of splits: {listed(wrong)} "
          f"{'is' if len(wrong) == 1 else 'are'} none of train, validation and "
          "test: leave it out, as in {name: data[name] for name in (\"train\", "
          "\"test\")}")
    names: dict[str, str] = {}
    for one in data:
      if (other := names.setdefault(SPLITS[one], one)) != one:
        raise InputError(f"{other!r} and {one!r} are one split: "
                         "pandas.concat makes one of both, or leave one out")
    frames = {SPLITS[name]: _frame(part, str(name))
              for name, part in data.items()}
    return {name: frames[name] for name in ("train", "validation", "test")
            if name in frames}
  return {"train": _frame(data, name or type(data).__name__)}


def plain(value: Any) -> Any:
  """Returns a value as Python has it; None for one that is missing."""
  if hasattr(value, "numpy"):  # a tensor
    value = value.numpy()
  elif hasattr(value, "as_py"):  # of pyarrow
    value = value.as_py()
  if isinstance(value, np.ndarray | np.generic):
    value = value.tolist()
  if value is None or type(value).__name__ in _MISSING or (
      isinstance(value, float) and math.isnan(value)):
    return None
  if isinstance(value, bytes):
    return value.decode(errors="replace")
  if hasattr(value, "to_list"):  # a Series in a cell, in polars
    value = value.to_list()
  if isinstance(value, Mapping):
    return {key: plain(one) for key, one in value.items()}
  if isinstance(value, set | frozenset):
    value = sorted(value, key=str)
  return list(map(plain, value)) if isinstance(value, list | tuple) else value


def _is_frame(data: Any) -> bool:
  return isinstance(data, Mapping) or (
      not isinstance(data, np.ndarray) and not hasattr(data, "collect")
      and (hasattr(data, "columns") or hasattr(data, "column_names")))


def _frame(data: Any, name: str) -> Frame:
  if isinstance(data, Mapping):
    return _frame_of_lists(data, name)
  if hasattr(data, "collect"):
    raise InputError(f"a {type(data).__name__} is no table yet: collect() "
                     "makes one of it")
  if isinstance(data, list) and data and isinstance(data[0], Mapping):
    raise InputError("a list of dicts is no table: pandas.DataFrame(rows) "
                     "makes one of it")
  if not _is_frame(data):
    raise InputError(
        f"a {type(data).__name__} is no table: a DataFrame is wanted, a dict "
        "of columns or a dataset of Hugging Face; Dataset.from_lists(texts, "
        "labels) takes lists, and Dataset.from_file a file")
  names = getattr(data, "column_names", None)
  if names is None and not hasattr(data, "columns"):  # one that only streams
    names = list(next(iter(data), {}))
  if isinstance(names, list):
    return _frame_of_columns(data, names, name)
  if getattr(data.columns, "nlevels", 1) > 1:
    raise InputError(
        f"{name}: its columns have {data.columns.nlevels} levels: df.columns = "
        '["_".join(map(str, names)) for names in df.columns] makes one of them')
  keys = list(data.columns)
  return Frame(name, tuple(map(str, keys)), lambda place: data[keys[place]],
               index=_index(data), row_name=_row_name(data),
               index_names=tuple(map(str, filter(
                   None, getattr(_index_of(data), "names", ())))))


def _index_of(data: Any) -> Any:
  """Returns the index of a DataFrame of pandas; None of anything else."""
  index = getattr(data, "index", None)
  return index if hasattr(index, "is_unique") else None


def _row_name(data: Any) -> Callable[[int], str]:
  """Names rows of a DataFrame by its index, if that tells them apart.

  Else by their number from 0, which is pandas' iloc.
  """
  index = _index_of(data)
  if index is None:
    return "row {}".format
  if not index.is_unique:
    return "iloc {}".format
  return lambda row: f"row {index[row]}"


def _index(data: Any) -> Sequence[int | str] | None:
  """Returns the index of a pandas DataFrame, or None.

  It is None if it does not name each row by a whole number or a text. Texts
  that are all numbers would be taken for these.
  """
  index = _index_of(data)
  if index is None or not index.is_unique:
    return None
  names = index.tolist()
  if all(type(name) is str for name in names):
    return names if names_of_rows(names) == names else None
  return names if all(type(name) is int for name in names) else None


def _frame_of_lists(data: Mapping[Any, Any], name: str) -> Frame:
  # A tensor's rows would be tensors, made one by one.
  columns: list[Any] = list(map(_values, data.values()))
  frame = Frame(name, tuple(map(str, data)), columns.__getitem__)
  lengths = {key: len(values) for key, values in zip(frame.header, columns)
             if hasattr(values, "__len__") and getattr(
                 values, "ndim", None) != 0}
  if len(set(lengths.values())) > 1:
    raise InputError(f"{name}: columns have to be as long as each other: "
                     + listed([f"{key!r} has {length:,} rows"
                               for key, length in lengths.items()]))
  return frame


def _values(column: Any) -> Any:
  """Returns what can be read more than once, as fast as it can be."""
  if hasattr(column, "numpy"):
    return column.numpy()
  if hasattr(column, "to_pylist"):  # of pyarrow
    return column.to_pylist()
  return list(column) if isinstance(column, Iterator) else column


def _frame_of_columns(data: Any, names: Sequence[str], name: str) -> Frame:
  """Makes a frame of a dataset of Hugging Face, or of a table of pyarrow."""
  features = getattr(data, "features", None)
  rows: list[Mapping[str, Any]] = []  # of one that only streams

  def read(place: int) -> Iterable[Any]:
    column = names[place]
    if hasattr(data, "__getitem__"):
      values = data[column]
      values = values.to_pylist() if hasattr(
          values, "to_pylist") else list(values)
    else:
      rows.extend(() if rows else data)
      values = [row.get(column) for row in rows]
    label_names = _label_names(features, column)
    return [_named(plain(value), label_names) for value in values] if (
        label_names) else values

  return Frame(name, tuple(names), read)


def _label_names(features: Any, column: str) -> Sequence[str] | None:
  """Returns the names of a column's numbers, by Hugging Face's features."""
  if not isinstance(features, Mapping):
    return None
  feature = features.get(column)
  return getattr(feature, "names", None) or getattr(
      getattr(feature, "feature", None), "names", None)


def _named(value: Any, names: Sequence[str]) -> Any:
  if isinstance(value, list):
    return [_named(one, names) for one in value]
  # -1 stands for a label that is not published.
  return names[value] if isinstance(value, int) and value >= 0 else None
