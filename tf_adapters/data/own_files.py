"""The user's own task: .tsv or .csv files with a header."""

import pathlib
from collections.abc import Sequence

from tf_adapters.data.tables import Table, read_csv, read_tsv
from tf_adapters.data.tasks import Split, Task, label_numbers, scores
from tf_adapters.errors import InputError

_STEMS = {"train": ("train",), "validation": ("validation", "dev", "valid"),
          "test": ("test",)}


def load(data_dir: str, text_column: str = "text",
         text_pair_column: str | None = None, label_column: str = "label",
         problem_type: str = "classification",
         labels: Sequence[str] | None = None) -> Task:
  """Loads the task that is in a folder's files.

  The files are train, validation (or dev, or valid) and test, with the ending
  .tsv (no quoting: a quotation mark is a character) or .csv (quoted cells).
  The test file may do without labels.

  Args:
    data_dir: the folder.
    text_column: name of the texts' column.
    text_pair_column: name of the column of the pairs' other texts, or None.
    label_column: name of the labels' column.
    problem_type: "classification" or "regression".
    labels: label names in order; None takes those of the training file,
      sorted.

  Raises:
    InputError: no files, a missing column, a label that the training file has
      not, labels that differ in case or blanks only, or a score that is no
      number.
  """
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
  regression = problem_type == "regression"
  if labels is None and not regression:
    labels = _label_names(tables, label_column)
  numbers = {name: number for number, name in enumerate(labels or ())}

  def read_split(split: str, table: Table) -> Split:
    targets = None
    if split != "test" or table.has(label_column):
      targets = (scores(table, label_column) if regression
                 else label_numbers(table, label_column, numbers))
    return Split(
        table.column(text_column),
        table.column(text_pair_column) if text_pair_column else None,
        targets, [str(row) for row in range(len(table.rows))])

  return Task(
      "tsv", problem_type, tuple(labels or ()),
      ("spearman", "pearson") if regression else ("accuracy", "macro_f1"),
      {split: read_split(split, table) for split, table in tables.items()},
      str(folder))


def _label_names(tables: dict[str, Table], column: str) -> list[str]:
  table = tables.get("train") or next(iter(tables.values()))
  cells = table.column(column)
  for row, cell in enumerate(cells):
    if not cell.strip():
      raise table.error(row, f"no label in column {column!r}")
  names = sorted(set(cells))
  folded: dict[str, str] = {}
  for name in names:
    other = folded.setdefault(name.strip().casefold(), name)
    if other != name:
      raise table.error(
          cells.index(name), f"label {name!r} differs from {other!r} in case "
          "or blanks only")
  if len(names) < 2:
    raise InputError(
        f"{table.path}: column {column!r} has one label only ({names[0]!r}): "
        "nothing to learn" if names else f"{table.path}: has no rows")
  return names
