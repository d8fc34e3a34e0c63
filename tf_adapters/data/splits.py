"""The examples of a split: texts with labels, in the forms that tasks have.

TensorFlow is imported where examples are encoded, and no sooner: what is wrong
with files is said without it.
"""

import dataclasses
import hashlib
import importlib
import operator
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, SupportsIndex, overload

import numpy as np

from tf_adapters.errors import InputError
from tf_adapters.modeling.label_types import label_value

if TYPE_CHECKING:
  from tf_adapters.data import batching
  from tf_adapters.modeling.text import TextProcessor


# As Python writes it: 007 is a name. So is one of more digits than it reads.
_INTEGER = re.compile(r"0|-?[1-9]\d{0,999}", re.ASCII)


class Examples(Protocol):
  """The examples of one split: what all kinds of tasks have.

  Attributes:
    labels: in whatever form, or None for a split without any.
    ids: what each example is called in predictions.
    pairs: whether examples are pairs of texts.
  """

  @property
  def labels(self) -> Any: ...

  @property
  def ids(self) -> Sequence[str]: ...

  @property
  def pairs(self) -> bool: ...

  def __len__(self) -> int: ...

  def contents(self) -> Sequence[Hashable]:
    """Returns each example without its label: equal ones are the same text."""

  def groups(self) -> Sequence[Hashable]:
    """Returns the group of each example: a group stays in one split."""

  def take(self, rows: Sequence[int] | np.ndarray) -> "Examples":
    """Returns the examples of these numbers, in this order."""

  def with_labels(self, places: Sequence[int], count: int) -> "Examples":
    """Returns the same with other numbers: label i becomes `places[i]`."""

  def check(self, text: "TextProcessor") -> None:
    """Raises InputError where the split cannot be encoded."""

  def encode(self, text: "TextProcessor") -> "batching.Encoded":
    """Tokenises the split."""


@dataclasses.dataclass(frozen=True, repr=False)
class Split:
  """Texts, or pairs of texts, with a label each.

  Attributes:
    first: the texts.
    second: the other text of each pair, or None.
    labels: int32 label numbers or float32 scores [rows], or float32 zeros and
      ones [rows, labels]; or None.
    ids: what each row is called in predictions.
    label_names: what label numbers are called, where that is known.
    label_type: what labels are to the user, one of `label_types.LABEL_TYPES`.

  Example:
    >>> len(data.train), data.train[0]
    (70, {'text': 'The invoice is wrong.', 'label': 'billing'})
    >>> data.train.to_dataframe().sample(5)
  """

  first: Sequence[str]
  second: Sequence[str] | None
  labels: np.ndarray | None
  ids: Sequence[str]
  label_names: tuple[str, ...] = ()
  label_type: str = "str"

  def __len__(self) -> int:
    return len(self.first)

  def __repr__(self) -> str:
    return f"Split({len(self):,} {'pairs' if self.pairs else 'texts'})"

  @overload
  def __getitem__(self, row: SupportsIndex) -> dict[str, Any]: ...

  @overload
  def __getitem__(self, row: slice) -> list[dict[str, Any]]: ...

  def __getitem__(self, row: SupportsIndex | slice) -> Any:
    """Returns a row: its text, the other one of a pair, its label.

    Args:
      row: its number, from 0, or from -1 at the end; or a slice of rows, of
        which a list is made.

    Raises:
      IndexError: there is no such row.
      InputError: it is no number.
    """
    if isinstance(row, slice):
      return [self[one] for one in range(*row.indices(len(self)))]
    number = _number(row)
    if not -len(self) <= number < len(self):
      raise IndexError(f"there is no row {number:,} in {len(self):,} rows")
    found = {"text": self.first[number]}
    if self.second is not None:
      found["text_pair"] = self.second[number]
    return found if self.labels is None else {
        **found, "label": self._label(self.labels[number])}

  def to_dataframe(self) -> Any:
    """Returns the rows as a DataFrame: the columns of a row, its id as index.

    Raises:
      InputError: pandas is not installed.
    """
    try:
      pandas = importlib.import_module("pandas")
    except ImportError:
      raise InputError("to_dataframe needs pandas: pip install pandas"
                       ) from None
    return pandas.DataFrame([self[row] for row in range(len(self))],
                            names_of_rows(self.ids))

  def _label(self, label: Any) -> Any:
    """Returns a label as the user's data has it, where names are known."""
    if not self.label_names:
      return label.tolist()
    if label.ndim:
      return [label_value(name, self.label_type)
              for name, has in zip(self.label_names, label) if has]
    return label_value(self.label_names[label], self.label_type)

  @property
  def pairs(self) -> bool:
    return self.second is not None

  def contents(self) -> Sequence[Hashable]:
    """Returns the texts, or pairs of them."""
    return self.first if self.second is None else list(
        zip(self.first, self.second))

  def groups(self) -> Sequence[Hashable]:
    """As `contents`."""
    return self.contents()

  def take(self, rows: Sequence[int] | np.ndarray) -> "Split":
    """Returns the rows of these numbers, in this order."""

    def pick(values: Sequence[str]) -> list[str]:
      return [values[row] for row in rows]

    return Split(
        pick(self.first), self.second and pick(self.second),
        None if self.labels is None else self.labels[rows], pick(self.ids),
        self.label_names, self.label_type)

  def with_labels(self, places: Sequence[int], count: int) -> "Split":
    """Returns the same with other numbers: label i becomes `places[i]`."""
    labels = self.labels
    if labels is None or not len(labels):
      pass  # what has no rows may have no columns
    elif labels.ndim == 2:
      sets = np.zeros([len(labels), count], labels.dtype)
      sets[:, list(places)] = labels
      labels = sets
    else:
      labels = np.array(places, labels.dtype)[labels]
    return dataclasses.replace(self, labels=labels, label_names=())

  def check(self, text: "TextProcessor") -> None:
    """Does nothing: texts of every length are cut."""

  def encode(self, text: "TextProcessor") -> "batching.Encoded":
    """Tokenises the split."""
    from tf_adapters.data import batching
    return batching.encode(text, self.first, self.second, self.labels)


def names_of_rows(ids: Sequence[str]) -> Sequence[int | str]:
  """Returns what rows are called in their data: integers, if all are such."""
  return (list(map(int, ids)) if all(map(_INTEGER.fullmatch, ids))
          else list(ids))


def _number(row: SupportsIndex) -> int:
  """Returns the number of a row; raises InputError where it is none."""
  try:
    # Booleans are numbers to Python, and a choice of rows to numpy.
    if not isinstance(row, bool):
      return operator.index(row)
  except TypeError:
    pass
  raise InputError(
      f"a row is named by its number, not by {row!r:.40}: take([0, 2]) makes a "
      'split of several rows, and to_dataframe()["text"] is a column')


@dataclasses.dataclass(frozen=True)
class Submission:
  """The form in which a benchmark's server wants the predictions of a split.

  Attributes:
    file_name: of the file.
    labels: what each label is called there, in the order of the task's labels;
      empty for scores.
  """

  file_name: str
  labels: tuple[str, ...] = ()


def in_fixed_order(texts: Sequence[str], rows: Iterable[int]) -> list[int]:
  """Sorts rows by a sha256 of their texts: no version changes that order."""
  return sorted(rows, key=lambda row: (
      hashlib.sha256(texts[row].encode()).digest(), row))


def splits_of_rows(
    texts: Sequence[str], labels: Mapping[int, int] | np.ndarray,
    parts: Mapping[str, Sequence[int]]) -> dict[str, Split]:
  """Makes splits of single texts.

  Args:
    texts: of all rows.
    labels: label number of a row.
    parts: split name -> its rows.
  """
  return {name: Split(
      [texts[row] for row in rows], None,
      np.array([labels[row] for row in rows], np.int32),
      [str(row) for row in rows]) for name, rows in parts.items()}


def table_split(first: Sequence[str], second: Sequence[str] | None,
                targets: Mapping[int, Any], ids: Sequence[str],
                labelled: bool = True) -> Split:
  """Makes a split of the rows of a table that have a target.

  Args:
    first, second: the texts of a table.
    targets: row -> label number, score or zeros and ones; or anything.
    ids: what each row of the table is called.
    labelled: whether the split has labels, the targets.
  """
  rows = list(targets)
  labels = None
  if labelled:
    labels = np.array(list(targets.values()))
    labels = labels.astype(
        np.int32 if np.issubdtype(labels.dtype, np.integer) else np.float32,
        copy=False)

  def pick(values: Sequence[str]) -> list[str]:
    return [values[row] for row in rows]

  return Split(
      pick(first), None if second is None else pick(second), labels, pick(ids))


def with_names(split: Any, labels: Sequence[str], label_type: str) -> Examples:
  """Makes a split say what its labels are called, wherever it goes.

  Args:
    split: of any type of problem.
    labels: names, in the order of their numbers.
    label_type: see `Split`.
  """
  names = {name: value for name, value in (
      ("label_names", tuple(labels)), ("label_type", label_type))
      if getattr(split, name, value) != value}
  return split if not names or split.labels is None else (
      dataclasses.replace(split, **names))
