"""The columns of a task that is made of a table, and what is done with rows."""

import dataclasses
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

from tf_adapters.data.frames import plain
from tf_adapters.data.splitting import check_part
from tf_adapters.errors import InputError


@dataclasses.dataclass(frozen=True)
class Columns:
  """The columns of a task, and what to do with its rows.

  Attributes:
    text, text_pair: the texts' columns.
    label: the labels' column, or several of zeros and ones.
    problem_type: one of `problems.PROBLEMS`; None to find it out.
    labels: label names in order; None for those that there are.
    label_separator: what stands between the labels of a cell.
    validation, test: parts of the rows that become these splits, or their
      numbers.
    seed: of the drawing.
    on_bad_row: see `BadRows`.
    name: of the task; None for that of the labels' column.

  Raises:
    InputError: a column has no name, there are several for the labels of
      another type of problem than multi_label, or a part of the rows is none.
  """

  text: str
  text_pair: str | None
  label: str | Sequence[str]
  problem_type: str | None
  labels: Sequence[Any] | None
  label_separator: str
  validation: float
  test: float
  seed: int
  on_bad_row: str
  name: str | None

  def __post_init__(self) -> None:
    for split in ("validation", "test"):
      check_part(split, getattr(self, split))
    if not self.label_separator.strip():
      raise InputError("label_separator must not be blank")
    _check_name("text", self.text)
    if self.text_pair is not None:
      _check_name("text_pair", self.text_pair)
    for name in self.label_columns:
      _check_name("label", name)
    if not self.label_columns:
      raise InputError("label names no column: it has to name one, or one for "
                       "each label")
    if len(self.label_columns) > 1 and (
        self.problem_type not in (None, "multi_label")):
      raise InputError(
          f"label names {len(self.label_columns)} columns, which "
          f"problem_type='multi_label' takes: '{self.problem_type}' takes one")
    if isinstance(self.labels, str):
      raise InputError("labels is a single one: expected a list")
    if self.labels is not None:  # an array, say, of numpy's integers
      object.__setattr__(self, "labels", list(map(plain, self.labels)))

  @property
  def texts(self) -> list[str]:
    return [column for column in (self.text, self.text_pair)
            if column is not None]

  @property
  def label_columns(self) -> list[str]:
    label: Any = self.label
    # All of a Series would be its values.
    is_one = isinstance(label, str) or not isinstance(label, Iterable) or (
        hasattr(label, "iloc"))
    return [label] if is_one else list(label)


def _check_name(argument: str, name: Any) -> None:
  if isinstance(name, str):
    return
  remedy = ('columns without a name are called "0", "1" and so on'
            if isinstance(name, Integral) else
            'two columns of text can be joined before, as in df["text"] = '
            'df.subject + " " + df.body')
  raise InputError(
      f"{argument} is a {type(name).__name__}: it has to be the name of a "
      f'column, such as "text"; {remedy}')
