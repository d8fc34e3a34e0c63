"""The user's own task: .tsv or .csv files with a header."""

from collections.abc import Sequence
from typing import Any

from tf_adapters.data.bad_rows import BadRows
from tf_adapters.data.encodings import UTF_8
from tf_adapters.data.folders import data_folder
from tf_adapters.data.tables import Table, read_csv, read_tsv
from tf_adapters.data.tasks import (
    Task,
    alike,
    label_numbers,
    label_sets,
    scores,
    split_labels,
    table_split,
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
         labels: Sequence[str] | None = None, label_separator: str = ",",
         on_bad_row: str = "error", encoding: str = UTF_8) -> Task:
  """Loads the task that is in a folder's files.

  The files are train, validation (or dev, or valid) and test, with the ending
  .tsv (no quoting: a quotation mark is a character) or .csv (quoted cells).
  The test file may do without labels. Its rows are called by their numbers in
  the file, from 0, so that those that are left out are missed.

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
    on_bad_row: see `BadRows`; a bad row is one of another number of columns, in
      another encoding, with a NUL byte, without a label or with one that the
      training file has not, or with a score that is no number.
    encoding: of the files, see `encodings.read_lines`.

  Raises:
    InputError: no files, a missing column, a bad row, or labels that differ in
      case only.
  """
  if not label_separator.strip():
    raise InputError("label_separator must not be blank")
  folder = data_folder(data_dir)
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
      tables[split] = read(
          paths[0], BadRows(paths[0], on_bad_row), encoding=encoding)
  if not tables:
    raise InputError(
        f"{folder}: no files: expected train, validation or test, ending in "
        ".tsv or .csv")
  if labels is None and problem_type != "regression":
    labels = _label_names(
        tables, label_column,
        label_separator if problem_type == "multi_label" else None)
  numbers = {name: number for number, name in enumerate(labels or ())}

  def targets(table: Table) -> dict[int, Any]:
    match problem_type:
      case "regression":
        return scores(table, label_column)
      case "multi_label":
        return label_sets(table, label_column, label_separator, numbers)
    return label_numbers(table, label_column, numbers)

  splits = {}
  for split, table in tables.items():
    labelled = split != "test" or table.has(label_column)
    splits[split] = table_split(
        table, table.column(text_column),
        table.column(text_pair_column) if text_pair_column else None,
        targets(table) if labelled else None, list(map(str, table.numbers)))
  notes = [table.bad_rows.note() for table in tables.values()]
  return Task(
      "tsv", problem_type, tuple(labels or ()), METRICS[problem_type], splits,
      str(folder), notes=tuple(notes),
      label_separator=label_separator)


def _label_names(tables: dict[str, Table], column: str,
                 separator: str | None) -> list[str]:
  table = next(iter(tables.values()))  # that of "train", if there is one
  rows: dict[str, int] = {}
  for row, cell in enumerate(table.column(column)):
    # A row without a label is no row to be learnt from.
    labels = ([cell.strip()] if separator is None
              else split_labels(cell, separator))
    for label in filter(None, labels):
      rows.setdefault(label, row)
  if pair := alike(rows):
    raise table.error(
        rows[pair[1]], f"label {pair[1]!r} differs from {pair[0]!r} in line "
        f"{table.lines[rows[pair[0]]]} in case only: give both one name")
  names = sorted(rows)
  if len(names) < 2:
    wrong = (f"has one label only in column {column!r} ({names[0]!r}): nothing "
             "to learn" if names else "has no rows with a label")
    raise InputError("; ".join(filter(None, [
        f"{table.path}: {wrong}", table.bad_rows.note()])))
  return names
