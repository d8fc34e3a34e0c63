"""What a task is: its problem, label names, metrics and splits.

Where the examples come from is the loaders' business; how metrics are computed
is training's. TensorFlow is imported where examples are encoded, and no sooner:
what is wrong with files is said without it.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_adapters.data import summary
from tf_adapters.data.splits import Examples, Submission
from tf_adapters.errors import InputError, warn
from tf_adapters.modeling import class_weight

if TYPE_CHECKING:
  import tensorflow as tf

  from tf_adapters.data import batching
  from tf_adapters.modeling.text import TextProcessor


@dataclasses.dataclass(frozen=True, repr=False)
class Dataset:
  """A task with its data; made by `load_task` or from data of one's own.

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

  def __repr__(self) -> str:
    return summary.as_text(self)

  def _repr_html_(self) -> str:
    return summary.as_html(self)

  @property
  def train(self) -> Examples:
    """The training split; raises InputError where there is none."""
    return self.split("train")

  @property
  def validation(self) -> Examples:
    """The validation split; raises InputError where there is none."""
    return self.split("validation")

  @property
  def test(self) -> Examples:
    """The test split; raises InputError where there is none."""
    return self.split("test")

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

  def test_dataset(self, text: "TextProcessor",
                   batch_size: int = 64) -> "tf.data.Dataset":
    """The test split, as `validation_dataset`; shortest texts first."""
    return self.validation_dataset(text, batch_size, "test")

  def _encoded(self, name: str, text: "TextProcessor") -> "batching.Encoded":
    encoded = self.split(name).encode(text)
    if note := encoded.cut_note():
      warn(f"task {self.name}, {name}: {note}", stacklevel=3)
    return encoded
