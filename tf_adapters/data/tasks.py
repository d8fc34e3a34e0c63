"""What a task is: its problem, label names, metrics and splits.

Where the examples come from is the loaders' business; how metrics are computed
is training's. TensorFlow is imported where examples are encoded, and no sooner:
what is wrong with files is said without it.
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tf_adapters.errors import InputError, warn
from tf_adapters.modeling import class_weight

if TYPE_CHECKING:
  import tensorflow as tf

  from tf_adapters.data import batching
  from tf_adapters.modeling.text import TextProcessor

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

  def take(self, rows: Sequence[int] | np.ndarray) -> "Examples":
    """The examples of these numbers, in this order."""

  def check(self, text: "TextProcessor") -> None:
    """Raises InputError where the split cannot be encoded."""

  def encode(self, text: "TextProcessor") -> "batching.Encoded":
    """Tokenises the split."""


@dataclasses.dataclass(frozen=True)
class Split:
  """Texts, or pairs of texts, with a label each.

  Attributes:
    first: the texts.
    second: the other text of each pair, or None.
    labels: int32 label numbers or float32 scores [rows], or float32 zeros and
      ones [rows, labels]; or None.
    ids: what each row is called in predictions.
  """

  first: Sequence[str]
  second: Sequence[str] | None
  labels: np.ndarray | None
  ids: Sequence[str]

  def __len__(self) -> int:
    return len(self.first)

  @property
  def pairs(self) -> bool:
    return self.second is not None

  def take(self, rows: Sequence[int] | np.ndarray) -> "Split":
    """The rows of these numbers, in this order."""

    def pick(values: Sequence[str]) -> list[str]:
      return [values[row] for row in rows]

    return Split(
        pick(self.first), self.second and pick(self.second),
        None if self.labels is None else self.labels[rows], pick(self.ids))

  def check(self, text: "TextProcessor") -> None:
    """Does nothing: texts of every length are cut."""

  def encode(self, text: "TextProcessor") -> "batching.Encoded":
    """Tokenises the split."""
    from tf_adapters.data import batching
    return batching.encode(text, self.first, self.second, self.labels)


@dataclasses.dataclass(frozen=True)
class Submission:
  """How a benchmark's server wants the predictions of a split.

  Attributes:
    file_name: of the file.
    labels: what each label is called there, in the order of the task's labels;
      empty for scores.
  """

  file_name: str
  labels: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Task:
  """A task with its data; made by `load_task`.

  Attributes:
    name: as `load_task` knows it.
    problem_type: one of `problems.PROBLEMS`.
    labels: label names; their places are the numbers in the data. Empty for
      regression and spans.
    metrics: names of `training.metrics`; the first one selects the best epoch.
    splits: "train", "validation", "test" and, for MNLI,
      "validation_mismatched" and "test_mismatched", as far as there are files.
    origin: where the data came from, for messages.
    submissions: split name -> how its predictions are handed in.
    notes: what there is to know of the data: rows left out, texts repeated;
      empty ones are dropped.
    label_separator: what stands between the labels of a text, where there can
      be several.
    span: the options of tasks of that type, for their adapter files.
    files: split name -> what it was read from: files, or folders with all that
      is in them.
  """

  name: str
  problem_type: str
  labels: tuple[str, ...]
  metrics: tuple[str, ...]
  splits: Mapping[str, Examples]
  origin: str
  submissions: Mapping[str, Submission] = dataclasses.field(
      default_factory=dict)
  notes: tuple[str, ...] = ()
  label_separator: str = ","
  span: Mapping[str, Any] | None = None
  files: Mapping[str, Sequence[pathlib.Path]] = dataclasses.field(
      default_factory=dict)

  def __post_init__(self) -> None:
    object.__setattr__(self, "notes", tuple(filter(None, self.notes)))

  def split(self, name: str) -> Examples:
    """The split of a name.

    Raises:
      InputError: there is none, or it is empty.
    """
    if name not in self.splits:
      raise InputError(
          f"task {self.name}: no {name} split in {self.origin}; there is "
          f"{', '.join(self.splits) or 'none at all'}")
    if not len(self.splits[name]):
      raise InputError("; ".join([
          f"task {self.name}: the {name} split in {self.origin} is empty",
          *self.notes]))
    return self.splits[name]

  def class_weight(
      self, weights: str | Mapping[str, float] = class_weight.BALANCED,
  ) -> dict[str, float]:
    """What labels weigh in a training: the `class_weight` of `model.fit`.

    Args:
      weights: "balanced", for labels to weigh the more the rarer they are in
        the training split; or label -> weight, 1 where there is none.

    Returns:
      {label: weight}, of all labels.

    Raises:
      InputError: the task has no labels, or there is no such label.

    Example:
      >>> model.fit(task.train_dataset(text),
      ...           class_weight=task.class_weight("balanced"))
    """
    class_weight.check_labels(self.labels, self.problem_type)
    if isinstance(weights, Mapping):
      numbers = class_weight.by_number(weights, self.labels)
    else:
      class_weight.check_name(weights)
      labels = self.split("train").labels
      if not isinstance(labels, np.ndarray):  # of words, by sentence
        labels = np.concatenate(labels)
      numbers = class_weight.balanced(
          labels, len(self.labels), multi_label=labels.ndim == 2)
    return dict(zip(self.labels, numbers))

  def train_dataset(self, text: "TextProcessor", batch_size: int = 32,
                    seed: int = 0) -> "tf.data.Dataset":
    """Shuffled training batches for `model.fit`, another order each epoch.

    Args:
      text: the encoder's text processor.
      batch_size: rows per batch.
      seed: of the order.

    Returns:
      Batches `(inputs, labels)`: int32 [batch, length] each of the inputs, and
      labels [batch].

    Raises:
      InputError: the task has no training split.
    """
    from tf_adapters.data import batching
    return batching.training_batches(
        self._encoded("train", text), batch_size, seed)

  def validation_dataset(self, text: "TextProcessor", batch_size: int = 64,
                         split: str = "validation") -> "tf.data.Dataset":
    """Every row of a split once, in batches `(inputs, labels)`."""
    from tf_adapters.data import batching
    dataset, _ = batching.evaluation_batches(
        self._encoded(split, text), batch_size)
    return dataset

  def _encoded(self, name: str, text: "TextProcessor") -> "batching.Encoded":
    encoded = self.split(name).encode(text)
    if note := encoded.cut_note():
      warn(f"task {self.name}, {name}: {note}", stacklevel=3)
    return encoded


def in_fixed_order(texts: Sequence[str], rows: Iterable[int]) -> list[int]:
  """Rows by a sha256 of their texts: an order that no version changes."""
  return sorted(rows, key=lambda row: (
      hashlib.sha256(texts[row].encode()).digest(), row))


def splits_of_rows(
    texts: Sequence[str], labels: Mapping[int, int] | np.ndarray,
    parts: Mapping[str, Sequence[int]]) -> dict[str, Split]:
  """Splits of single texts.

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
  """The rows of a table that have a target, as a split.

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
        np.int32 if np.issubdtype(labels.dtype, np.integer) else np.float32)

  def pick(values: Sequence[str]) -> list[str]:
    return [values[row] for row in rows]

  return Split(
      pick(first), None if second is None else pick(second), labels, pick(ids))
