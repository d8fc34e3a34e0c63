"""The data of a task: its problem, label names, metrics and splits.

Where the examples come from is the loaders' business; how metrics are computed
is training's. TensorFlow is imported where examples are encoded, and no sooner:
what is wrong with files is said without it.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_adapters.data import summary
from tf_adapters.data.splits import Examples, Submission, with_names
from tf_adapters.errors import InputError, names_arguments, warn
from tf_adapters.modeling import class_weight
from tf_adapters.modeling.label_types import label_name

if TYPE_CHECKING:
  import tensorflow as tf

  from tf_adapters.data import batching
  from tf_adapters.modeling.text import TextProcessor

# For those who give them as arguments.
OWN_SPLITS = ('splits of your own go in a dict, as in '
              'Dataset.from_dataframe({"train": a, "test": b})')

# What arguments are called elsewhere.
_SYNONYMS = {
    "text_column": "text", "x": "text", "text_pair_column": "text_pair",
    "label_column": "label", "target": "label", "y": "label",
    "val": "validation", "validation_split": "validation",
    "validation_fraction": "validation", "test_size": "test",
    "test_fraction": "test", "random_state": "seed", "sep": "delimiter"}
_HINTS = {
    **dict.fromkeys(("train", "train_size"), (
        f"what is not held out is trained on; {OWN_SPLITS}")),
    **dict.fromkeys(("validation_data", "val_data", "test_data"), OWN_SPLITS)}


@dataclasses.dataclass(frozen=True, repr=False)
class Dataset:
  """A task with its data; made by `load_task` or from data of your own.

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
    notes: what there is to know: rows left out, texts repeated.
    label_separator: what stands between the labels of a text, where there can
      be several.
    span: the options of tasks of that type, for their adapter files.
    files: split name -> the files that it was read from, or folders of them.
    label_type: "str", "int" or "bool", as labels were: so are predictions of a
      `TextTask`.
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
  label_type: str = "str"

  def __new__(cls, *arguments: Any, **fields: Any) -> "Dataset":
    """Says how one is made; copies and subclasses come here, too."""
    if arguments and not isinstance(arguments[0], str):
      raise InputError(
          "ta.Dataset.from_dataframe(df, text=..., label=...) makes a Dataset, "
          "and so do from_dict, from_lists, from_file and from_tf_data")
    return super().__new__(cls)

  def __post_init__(self) -> None:
    object.__setattr__(self, "notes", tuple(filter(None, self.notes)))
    object.__setattr__(self, "splits", {
        name: with_names(split, self.labels, self.label_type)
        for name, split in self.splits.items()})

  def __repr__(self) -> str:
    return summary.as_text(self)

  def _repr_html_(self) -> str:
    return summary.as_html(self)

  @classmethod
  @names_arguments(_HINTS, **_SYNONYMS)
  def from_dataframe(
      cls, df: Any, text: str = "text", *, text_pair: str | None = None,
      label: str | Sequence[str] = "label", problem_type: str | None = None,
      labels: Sequence[str | int | bool] | None = None,
      label_separator: str = ",", validation: float = 0.0, test: float = 0.0,
      seed: int = 0, on_bad_row: str = "skip",
      name: str | None = None) -> "Dataset":
    """Makes a dataset of the columns of a DataFrame.

    What labels are is what predictions of a `TextTask` are: names, integers or
    booleans. Where all are whole numbers, as 1.0 and 2.0, they are integers.

    Args:
      df: a DataFrame of pandas or polars, a dict of columns, a table of
        pyarrow, or a dataset of Hugging Face; or a dict of such, with the keys
        "train", "validation" and "test".
      text: name of the texts' column; for spans of the questions', for tagging
        of that with lists of words. Names may be in any case; where a column
        is called exactly so, it is meant.
      text_pair: name of the column of the pairs' other texts, for spans of the
        texts that hold the answers; None for single texts.
      label: name of the labels' column, or of several of zeros and ones, one
        for each label. A cell holds a label, a list of labels, a number, for
        tagging a tag for each word, for spans an answer.
      problem_type: "classification", "multi_label", "regression", "tagging" or
        "span". None: numbers with fractions are for regression, lists of words
        for tagging, other lists and several columns for multi_label, and what
        else there is for classification.
      labels: label names in order; None for those of the training rows, sorted.
      label_separator: what stands between the labels of a cell that is no list.
      validation, test: part of the rows that becomes this split, such as 0.15,
        or their number, such as 500. Each label has its share in it. Where a
        dict lacks a split, its training rows are split.
      seed: of the drawing: the same seed gives the same rows.
      on_bad_row: "skip": rows without a text or a label, and others that cannot
        be used, are left out, counted in `notes` and in a warning; "error": the
        first of them is an error. Rows are numbered from 0.
      name: of the task; None for that of the label's column.

    Raises:
      InputError: a column is missing, labels cannot be right, it cannot be
        told which type of problem it is, or there is a bad row.

    Example:
      >>> data = Dataset.from_dataframe(
      ...     df, text="ticket_text", label="team", validation=0.15, test=0.15)
      >>> data.labels
      ('billing', 'network', 'sales')
    """
    from tf_adapters.data import frame_columns, frame_tasks, frames
    return frame_tasks.load(frames.frames_of(df), frame_columns.Columns(
        text, text_pair, label, problem_type, labels, label_separator,
        validation, test, seed, on_bad_row, name))

  @classmethod
  @names_arguments(_HINTS, **_SYNONYMS)
  def from_dict(
      cls, columns: Mapping[str, Any], text: str = "text", *,
      text_pair: str | None = None, label: str | Sequence[str] = "label",
      problem_type: str | None = None,
      labels: Sequence[str | int | bool] | None = None,
      label_separator: str = ",", validation: float = 0.0, test: float = 0.0,
      seed: int = 0, on_bad_row: str = "skip",
      name: str | None = None) -> "Dataset":
    """Makes a dataset of columns by name; see `from_dataframe` for errors, too.

    Example:
      >>> Dataset.from_dict({"text": ["It works.", "It broke."],
      ...                    "label": ["good", "bad"]})
    """
    return cls.from_dataframe(
        columns, text, text_pair=text_pair, label=label,
        problem_type=problem_type, labels=labels,
        label_separator=label_separator, validation=validation, test=test,
        seed=seed, on_bad_row=on_bad_row, name=name)

  @classmethod
  @names_arguments(_HINTS, **_SYNONYMS)
  def from_lists(
      cls, texts: Iterable[Any], labels: Iterable[Any], *,
      text_pairs: Iterable[str] | None = None,
      problem_type: str | None = None, validation: float = 0.0,
      test: float = 0.0, seed: int = 0, on_bad_row: str = "skip",
      name: str = "label") -> "Dataset":
    """Makes a dataset of lists.

    Args:
      texts: the texts; for tagging lists of words.
      labels: a label for each, a list of labels, or a number.
      text_pairs: the other text of each pair.
      problem_type, validation, test, seed, on_bad_row: as for `from_dataframe`.
      name: of the task.

    Raises:
      InputError: as for `from_dataframe`.

    Example:
      >>> Dataset.from_lists(["It works.", "It broke."], ["good", "bad"])
    """
    for argument, values in (("texts", texts), ("labels", labels)):
      if isinstance(values, str | bytes):
        raise InputError(f"{argument} is a single one: expected a list")
    columns = {"text": list(texts), "label": list(labels)}
    if text_pairs is not None:
      columns["text_pair"] = list(text_pairs)
    from tf_adapters.data import frame_columns, frame_tasks, frames
    return frame_tasks.load(
        frames.frames_of(columns, "lists"), frame_columns.Columns(
            "text", None if text_pairs is None else "text_pair", "label",
            problem_type, None, ",", validation, test, seed, on_bad_row, name))

  @classmethod
  @names_arguments(_HINTS, **_SYNONYMS)
  def from_file(
      cls, path: str | os.PathLike[str], text: str = "text", *,
      text_pair: str | None = None, label: str | Sequence[str] = "label",
      problem_type: str | None = None,
      labels: Sequence[str | int | bool] | None = None,
      label_separator: str = ",", validation: float = 0.0, test: float = 0.0,
      seed: int = 0, on_bad_row: str = "skip", name: str | None = None,
      encoding: str | None = None,
      delimiter: str | None = None) -> "Dataset":
    """Reads a file of CSV, TSV, JSON lines or Parquet, or a folder of splits.

    Args:
      path: the file; its ending says what it is. Or a folder with files called
        train, validation (valid, val, dev) and test.
      text, text_pair, label, problem_type, labels, label_separator, validation,
        test, seed, on_bad_row, name: as for `from_dataframe`. Rows are called
        by the file's lines, from 1.
      encoding: of the files, such as "windows-1252". None: UTF-8 and UTF-16 are
        found; what is neither is read as windows-1252, or else latin-1, which
        `notes` say.
      delimiter: what stands between cells. None: a comma or a tab as the ending
        says, or what the header has, a semicolon for instance; `notes` say it.

    Raises:
      InputError: as for `from_dataframe`; or there is no such file, it cannot
        be read, or is of another kind.

    Example:
      >>> Dataset.from_file("tickets.csv", text="ticket_text", label="team")
    """
    from tf_adapters.data import frame_columns, frame_tasks, one_file
    if not isinstance(path, str | os.PathLike):
      raise InputError(f"a {type(path).__name__} is no path of a file: "
                       "Dataset.from_dataframe takes DataFrames")
    columns = frame_columns.Columns(
        text, text_pair, label, problem_type, labels, label_separator,
        validation, test, seed, on_bad_row, name)
    file = pathlib.Path(path).expanduser()
    task = frame_tasks.load(one_file.frames_of_path(
        file, columns.texts, encoding, delimiter, on_bad_row), columns)
    return dataclasses.replace(
        task, origin=str(file), files={split: [file] for split in task.splits})

  @classmethod
  @names_arguments(_HINTS, **_SYNONYMS)
  def from_tf_data(
      cls, dataset: "tf.data.Dataset", text: str = "text", *,
      text_pair: str | None = None, label: str = "label",
      problem_type: str | None = None, validation: float = 0.0,
      test: float = 0.0, seed: int = 0, on_bad_row: str = "skip",
      name: str | None = None) -> "Dataset":
    """Reads a tf.data.Dataset of strings to its end.

    Args:
      dataset: its elements, or batches of them, are (text, label), ((text,
        other text), label), or dicts of columns. With problem_type="tagging" a
        text is a list of words.
      text, text_pair, label: names of columns, where elements are dicts.
      problem_type, validation, test, seed, on_bad_row, name: as for
        `from_dataframe`.

    Raises:
      InputError: as for `from_dataframe`; or elements are something else, or
        without end.

    Example:
      >>> import tensorflow_datasets as tfds
      >>> Dataset.from_tf_data(tfds.load("imdb_reviews", split="train"))
    """
    from tf_adapters.data import frame_columns, frame_tasks, frames, tf_data
    values, columns = tf_data.columns_of(dataset, frame_columns.Columns(
        text, text_pair, label, problem_type, None, ",", validation, test,
        seed, on_bad_row, name))
    return frame_tasks.load(frames.frames_of(values), columns)

  @property
  def train(self) -> Examples:
    """The training split; raises InputError where there is none."""
    return self._named("train")

  @property
  def validation(self) -> Examples:
    """The validation split; raises InputError where there is none."""
    return self._named("validation")

  @property
  def test(self) -> Examples:
    """The test split; raises InputError where there is none."""
    return self._named("test")

  def _named(self, name: str) -> Examples:
    if name not in self.splits and name != "train":
      raise InputError(
          f"task {self.name}: no {name} split in {self.origin}; there is "
          f"{', '.join(self.splits)}; Dataset.from_dataframe and from_file "
          f"hold rows out for one by {name}=0.15")
    return self.split(name)

  def split(self, name: str) -> Examples:
    """Returns the split of a name.

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
      self, weights: str | Mapping[Any, float] = class_weight.BALANCED,
  ) -> dict[str, float]:
    """Returns a weight for each label: the `class_weight` of `model.fit`.

    Args:
      weights: "balanced", for labels to weigh the more the rarer they are in
        the training split; or label -> weight, 1 where there is none.

    Returns:
      {name of a label: weight}, of all labels.

    Raises:
      InputError: the task has no labels, or there is no such label.

    Example:
      >>> model.fit(task.train_dataset(text),
      ...           class_weight=task.class_weight("balanced"))
    """
    class_weight.check_labels(self.labels, self.problem_type)
    if isinstance(weights, Mapping):
      numbers = class_weight.by_number({
          label_name(label): weight for label, weight in weights.items()
      }, self.labels)
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
    """Makes training batches for `model.fit`, in another order each epoch.

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
    """Makes batches `(inputs, labels)` of every row of a split, once."""
    from tf_adapters.data import batching
    dataset, _ = batching.evaluation_batches(
        self._encoded(split, text), batch_size)
    return dataset

  def _encoded(self, name: str, text: "TextProcessor") -> "batching.Encoded":
    encoded = self.split(name).encode(text)
    if note := encoded.cut_note():
      warn(f"task {self.name}, {name}: {note}", stacklevel=3)
    return encoded
