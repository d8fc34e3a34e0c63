"""The user's own task: .tsv or .csv files with a header."""

import pathlib
from collections.abc import Sequence

import numpy as np

from tf_adapters.data.tables import Table, read_csv, read_tsv
from tf_adapters.data.tasks import (
    Split,
    Task,
    label_numbers,
    label_sets,
    scores,
    split_labels,
)
from tf_adapters.errors import InputError

# Type of problem -> metrics, the first one selects the best epoch.
METRICS = {
    "classification": ("accuracy", "macro_f1"),
    "multi_label": ("micro_f1", "macro_f1", "accuracy"),
    "regression": ("spearman", "pearson"),
}

_STEMS = {"train": ("train",), "validation": ("validation", "dev", "valid"),
          "test": ("test",)}


def load(data_dir: str, text_column: str = "text",
         text_pair_column: str | None = None, label_column: str = "label",
         problem_type: str = "classification",
         labels: Sequence[str] | None = None,
         label_separator: str = ",") -> Task:
  """Loads the task that is in a folder's files.

  The files are train, validation (or dev, or valid) and test, with the ending
  .tsv (no quoting: a quotation mark is a character) or .csv (quoted cells).
  The test file may do without labels.

  Args:
    data_dir: the folder.
    text_column: name of the texts' column.
    text_pair_column: name of the column of the pairs' other texts, or None.
    label_column: name of the labels' column.
    problem_type: one of `METRICS`.
    labels: label names in order; None takes those of the training file,
      sorted.
    label_separator: what stands between the labels of a cell, where there can
      be several.

  Raises:
    InputError: no files, a missing column, a label that the training file has
      not, labels that differ in case or blanks only, or a score that is no
      number.
  """
  if not label_separator.strip():
    raise InputError("label_separator must not be blank")
  folder = pathlib.Path(data_dir)
  if not folder.is_dir():
    raise InputError(f"{folder}: no such folder")
  tables = {}
  for split, stems in _STEMS.items():
    paths = [folder / f"{stem}{ending}" for stem in stems
             for ending in (".tsv", ".csv") if
             (folder / f"{stem}{ending}").exists()]
    if len(paths) > 1:
      raise InputError(
          f"{folder}: both {paths[0].name} and {paths[1].name} could be the "
          f"{split} split")
    if paths:
      read = read_csv if paths[0].suffix == ".csv" else read_tsv
      tables[split] = read(paths[0])
  if not tables:
    raise InputError(
        f"{folder}: no files: expected train, validation or test, ending in "
        ".tsv or .csv")
  if labels is None and problem_type != "regression":
    labels = _label_names(
        tables, label_column,
        label_separator if problem_type == "multi_label" else None)
  numbers = {name: number for number, name in enumerate(labels or ())}

  def targets(table: Table) -> np.ndarray:
    match problem_type:
      case "regression":
        return scores(table, label_column)
      case "multi_label":
        return label_sets(table, label_column, label_separator, numbers)
    return label_numbers(table, label_column, numbers)

  return Task(
      "tsv", problem_type, tuple(labels or ()), METRICS[problem_type],
      {split: Split(
          table.column(text_column),
          table.column(text_pair_column) if text_pair_column else None,
          targets(table) if split != "test" or table.has(label_column)
          else None,
          [str(row) for row in range(len(table))])
       for split, table in tables.items()},
      str(folder), label_separator=label_separator)


def _label_names(tables: dict[str, Table], column: str,
                 separator: str | None) -> list[str]:
  table = next(iter(tables.values()))  # that of "train", if there is one
  cells = [[cell] if separator is None else split_labels(cell, separator)
           for cell in table.column(column)]
  rows: dict[str, int] = {}
  for row, labels in enumerate(cells):
    for label in labels:
      if not label.strip():
        raise table.error(row, f"no label in column {column!r}")
      rows.setdefault(label, row)
  names = sorted(rows)
  folded: dict[str, str] = {}
  for name in names:
    other = folded.setdefault(name.strip().casefold(), name)
    if other != name:
      raise table.error(
          rows[name], f"label {name!r} differs from {other!r} in case or "
          "blanks only")
  if len(names) < 2:
    raise InputError(
        f"{table.path}: column {column!r} has one label only ({names[0]!r}): "
        "nothing to learn" if names else f"{table.path}: has no rows")
  return names
