"""The GLUE tasks and WNLI: the classic TSV folders, or tensorflow_datasets.

Label names and their order are those of tensorflow_datasets; metrics are the
GLUE benchmark's, the paper's choice of one first.
"""

import dataclasses
import logging
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_adapters.data.bad_rows import BadRows
from tf_adapters.data.dataset import Dataset
from tf_adapters.data.encodings import UTF_8
from tf_adapters.data.folders import data_folder
from tf_adapters.data.labels import label_numbers, scores
from tf_adapters.data.splits import Split, Submission, table_split
from tf_adapters.data.tables import Table, read_tsv
from tf_adapters.errors import InputError, is_terminal

_FILES = {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}
_NLI_LABELS = ("entailment", "not_entailment")


@dataclasses.dataclass(frozen=True)
class GlueTask:
  """A task as it is in GLUE's files.

  Attributes:
    folder: of the classic download.
    first, second: columns of the texts; second is None for single texts.
    label: column of the label.
    labels: names in tensorflow_datasets' order; empty for scores.
    file_labels: what they are called in the TSV files and in submissions.
    metrics: see `Dataset`.
    files: split -> file.
    width: number of columns of train and dev files without column names, where
      `first` and `label` are places; None where they have names.
    known_malformed: the published training file has rows of another number of
      columns.
  """

  folder: str
  first: str | int
  second: str | None
  label: str | int
  labels: tuple[str, ...]
  file_labels: tuple[str, ...]
  metrics: tuple[str, ...] = ("accuracy",)
  files: tuple[tuple[str, str], ...] = tuple(_FILES.items())
  width: int | None = None
  known_malformed: bool = False


TASKS = {
    "cola": GlueTask(
        "CoLA", 3, None, 1, ("unacceptable", "acceptable"), ("0", "1"),
        ("matthews_correlation", "accuracy"), width=4),
    "sst2": GlueTask(
        "SST-2", "sentence", None, "label", ("negative", "positive"),
        ("0", "1")),
    "mrpc": GlueTask(
        "MRPC", "#1 String", "#2 String", "Quality",
        ("not_equivalent", "equivalent"), ("0", "1"), ("f1", "accuracy")),
    "stsb": GlueTask(
        "STS-B", "sentence1", "sentence2", "score", (), (),
        ("spearman", "pearson")),
    "qqp": GlueTask(
        "QQP", "question1", "question2", "is_duplicate",
        ("not_duplicate", "duplicate"), ("0", "1"), ("f1", "accuracy"),
        known_malformed=True),
    "mnli": GlueTask(
        "MNLI", "sentence1", "sentence2", "gold_label",
        ("entailment", "neutral", "contradiction"),
        ("entailment", "neutral", "contradiction"),
        files=(("train", "train.tsv"),
               ("validation", "dev_matched.tsv"),
               ("validation_mismatched", "dev_mismatched.tsv"),
               ("test", "test_matched.tsv"),
               ("test_mismatched", "test_mismatched.tsv"))),
    "qnli": GlueTask(
        "QNLI", "question", "sentence", "label", _NLI_LABELS, _NLI_LABELS),
    "rte": GlueTask(
        "RTE", "sentence1", "sentence2", "label", _NLI_LABELS, _NLI_LABELS),
    "wnli": GlueTask(
        "WNLI", "sentence1", "sentence2", "label",
        ("not_entailment", "entailment"), ("0", "1")),
}

# tensorflow_datasets' names of splits -> ours.
_TFDS_SPLITS = {"train": "train", "validation": "validation", "test": "test"}
_TFDS_MNLI_SPLITS = {
    "train": "train",
    "validation_matched": "validation",
    "validation_mismatched": "validation_mismatched",
    "test_matched": "test",
    "test_mismatched": "test_mismatched",
}


def load(name: str, data_dir: str | None = None, on_bad_row: str = "error",
         encoding: str = UTF_8) -> Dataset:
  """Loads a GLUE task.

  Args:
    name: one of `TASKS`.
    data_dir: the classic folder of the task, or the folder that holds it (a
      download of all of GLUE). None: tensorflow_datasets downloads the task.
    on_bad_row: see `BadRows`. A bad row of a test file is an error in any case:
      the server wants a prediction of each.
    encoding: of the files, see `encodings.read_lines`.

  Raises:
    InputError: a file cannot be read, a column is missing, or there is a bad
      row.
  """
  glue = TASKS[name]
  notes: list[str] = []
  files: dict[str, list[pathlib.Path]] = {}
  if data_dir is None:
    origin = f"tensorflow_datasets glue/{name}"
    splits, files = _read_tfds(name, glue)
  else:
    folder = _find_folder(name, glue, data_folder(data_dir))
    origin = str(folder)
    splits = {}
    for split, file in glue.files:
      if (folder / file).exists():
        bad_rows = BadRows(folder / file, on_bad_row,
                           all_needed=split.startswith("test"))
        splits[split] = _read_split(
            split, glue, folder / file, bad_rows, encoding)
        notes.append(bad_rows.note())
        files[split] = [folder / file]
  notes += [_without_texts(split, examples)
            for split, examples in splits.items()]
  suffixes = {"test": ""}
  if name == "mnli":
    suffixes = {"test": "-m", "test_mismatched": "-mm"}
  return Dataset(
      name, "classification" if glue.labels else "regression", glue.labels,
      glue.metrics, splits, origin,
      {split: Submission(f"{glue.folder}{suffix}.tsv", glue.file_labels)
       for split, suffix in suffixes.items()},
      notes=tuple(notes), files=files)


def _without_texts(name: str, split: Split) -> str:
  """Says how many rows lack a text, which published files may."""
  columns = [column for column in (split.first, split.second)
             if column is not None]
  count = sum(not all(map(str.strip, texts)) for texts in zip(*columns))
  return f"{name}: {count:,} rows without a text" if count else ""


def _find_folder(
    name: str, glue: GlueTask, data_dir: pathlib.Path) -> pathlib.Path:
  files = [file for _, file in glue.files]
  for folder in (data_dir / glue.folder, data_dir):
    if any((folder / file).exists() for file in files):
      return folder
  raise InputError(
      f"{data_dir}: no files of task {name}: expected {', '.join(files)} "
      f"there or in {glue.folder}/")


def _read_split(split: str, glue: GlueTask, path: pathlib.Path,
                bad_rows: BadRows, encoding: str) -> Split:
  test = split.startswith("test")
  table = read_tsv(
      path, bad_rows, None if test else glue.width, encoding,
      known_malformed=glue.known_malformed and split == "train")
  # CoLA's test file has a header, the others have none.
  first = "sentence" if test and glue.width else glue.first
  return table_split(
      table.column(first), table.column(glue.second) if glue.second else None,
      dict.fromkeys(range(len(table))) if test else _targets(table, glue),
      _ids(table), labelled=not test)


def _targets(table: Table, glue: GlueTask) -> dict[int, Any]:
  if not glue.labels:
    return scores(table, glue.label)
  return label_numbers(
      table, glue.label,
      {label: number for number, label in enumerate(glue.file_labels)})


def _ids(table: Table) -> list[str]:
  """Returns the server's row numbers: a column of test files, else counted."""
  for column in ("index", "id"):
    if table.has(column):
      return table.column(column)
  return list(map(str, table.numbers))


def _read_tfds(name: str, glue: GlueTask) -> tuple[
    dict[str, Split], dict[str, list[pathlib.Path]]]:
  """Reads the splits of a task, and names the files they are prepared in."""
  names = _TFDS_MNLI_SPLITS if name == "mnli" else _TFDS_SPLITS
  try:
    # Slow to import, and seldom needed.
    import tensorflow_datasets as tfds
    # Of its many attempts, each with a warning, the last one is said below.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    if not is_terminal(sys.stderr):
      tfds.disable_progress_bar()
    builder = tfds.builder(f"glue/{name}")
    builder.download_and_prepare()
    batches = {
        ours: list(tfds.as_numpy(
            builder.as_dataset(split=theirs).batch(1024)))
        for theirs, ours in names.items()}
    prepared = builder.info.splits
    files = {ours: [pathlib.Path(path) for path in prepared[theirs].filepaths]
             for theirs, ours in names.items()
             if theirs in prepared}  # tfds can make rows up, for tests
  # Whatever it is (a module that is not there, a host, a checksum, a damaged
  # file), the way out is the same.
  except Exception as error:
    reason = str(error).strip().splitlines()
    raise InputError(
        f"task {name}: tensorflow_datasets cannot prepare it "
        f"({reason[0] if reason else error!r}); give --data_dir with the "
        "classic TSV files") from None
  first, *second = builder.builder_config.text_features
  splits = {}
  for split, parts in batches.items():
    values = {key: np.concatenate([part[key] for part in parts])
              for key in parts[0]}
    order = np.argsort(values["idx"], kind="stable")  # tfds shuffles rows

    def texts(name: str, values: Mapping[str, np.ndarray] = values,
              order: np.ndarray = order) -> list[str]:
      return [text.decode() for text in values[name][order]]

    labels = None
    if not split.startswith("test"):
      labels = values["label"][order].astype(
          np.int32 if glue.labels else np.float32)
    splits[split] = Split(
        texts(first), texts(second[0]) if second else None, labels,
        [str(index) for index in values["idx"][order]])
  return splits, files
