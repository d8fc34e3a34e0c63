"""The user's own task: .tsv or .csv files with a header."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tf_adapters.data.bad_rows import NO_TEXT, BadRows, in_line
from tf_adapters.data.cell_rows import table_rows
from tf_adapters.data.dataset import Dataset
from tf_adapters.data.encodings import UTF_8
from tf_adapters.data.folders import data_folder, find_splits
from tf_adapters.data.labels import (
  HIDDEN,
  alike,
  are_hidden,
  indicators,
  is_list,
  is_number,
  label_numbers,
  label_sets,
  scores,
  split_labels,
)
from tf_adapters.data.splits import table_split
from tf_adapters.data.tables import (
  Table,
  find_column,
  find_columns,
  places_of,
  read_header,
  read_table,
)
from tf_adapters.errors import InputError, listed

# Type of problem -> metrics, the first one selects the best epoch.
METRICS = {
    "classification": ("accuracy", "macro_f1"),
    "multi_label": ("micro_f1", "macro_f1", "accuracy"),
    "regression": ("spearman", "pearson"),
}

# Split -> what the name of its file is.
# Hugging Face's files have a number behind it, and how many there are.
SPLIT_NAMES = {split: rf"^({names})(-\d+-of-\d+)?\." for split, names in {
    "train": "train", "validation": "valid(ation)?|val|dev(el(opment)?)?",
    "test": "test"}.items()}

_TEXT_FLAGS = "text_column", "text_pair_column"
# What a text is that pandas has made of a missing one.
_MISSING = {"nan", "NaN", "None", "null", "NULL", "<NA>"}
MISSING_LABEL = "is a word for a missing one"
NUMBERS = "holds numbers alone: is it the texts' column?"
# What is counted of texts that are kept.
_ODD_TEXTS: dict[str, Callable[[str], bool]] = {
    "texts that are words for a missing one, such as 'nan'":
        _MISSING.__contains__,
    "texts in quotes, as programs write cells with quotes in them; a .tsv file "
    "keeps these (called .csv, with its tabs, it is read without)":
        lambda text: (
        len(text) > 3 and text[0] == text[-1] == '"' and '""' in text[1:-1]
        and '"' not in text[1:-1].replace('""', "")),
}
# What may stand between labels of a cell.
_LABEL_SEPARATORS = (",", ";", "|")
# Fewer labels, or rows, may well all be different.
_MANY_LABELS, _MANY_ROWS = 10, 20


def load(data_dir: str, text_column: str = "text",
         text_pair_column: str | None = None, label_column: str = "label",
         problem_type: str = "classification",
         labels: Sequence[str] | None = None, label_separator: str = ",",
         on_bad_row: str = "error", encoding: str = UTF_8) -> Dataset:
  """Loads the task that is in a folder's files.

  The files are train, validation (or valid, val, dev, devel) and test, with
  the ending .tsv (no quoting: a quotation mark is a character) or .csv (quoted
  cells). The test file may do without labels. Its rows are called by their
  numbers in the file, from 0, so that those that are left out are missed.

  Args:
    data_dir: the folder.
    text_column: name of the texts' column.
    text_pair_column: name of the column of the pairs' other texts, or None.
    label_column: name of the labels' column; with multi_label the names of
      several with commas between them, one of zeros and ones for each label.
    problem_type: one of `METRICS`.
    labels: label names in order; None takes those of the training file,
      sorted.
    label_separator: what stands between the labels of a cell, where there can
      be several.
    on_bad_row: see `BadRows`; a bad row is one of another number of columns, in
      another encoding, with a NUL byte, without a text or a label, with a label
      that the training file does not have, or with a score that is no number.
    encoding: of the files, see `encodings.read_lines`.

  Raises:
    InputError: no files, a missing column, a bad row, labels that differ in
      case only, or a column that cannot be that of the labels.
  """
  if not label_separator.strip():
    raise InputError("label_separator must not be blank")
  folder = data_folder(data_dir)
  files, unread = _find_files(folder)
  text_columns = [column for column in (text_column, text_pair_column)
                  if column is not None]
  tables = {split: read_table(
      path, BadRows(path, on_bad_row), text_columns, encoding)
            for split, path in files.items()}
  label_columns = [label_column]
  first = next(iter(tables.values()))
  if problem_type == "multi_label" and not first.has(label_column):
    label_columns = [name.strip() for name in label_column.split(",")]
  task = of_tables(tables, text_columns, label_columns, problem_type, labels,
                   label_separator)
  return dataclasses.replace(
      task, name="tsv", origin=str(folder), notes=(*task.notes, unread),
      files={split: [table.path] for split, table in tables.items()})


def of_tables(tables: Mapping[str, Table], text_columns: Sequence[str],
              label_columns: Sequence[str], problem_type: str,
              labels: Sequence[str] | None = None, label_separator: str = ",",
              order: Callable[[str], Any] | None = None) -> Dataset:
  """Makes the task that is in the tables of its splits.

  Args:
    tables: split -> its rows; the first one says which labels there are.
    text_columns: the texts' column, and that of the pairs' other texts.
    label_columns: the labels' column; with multi_label one, or several of zeros
      and ones, one for each label.
    problem_type, labels, label_separator: as for `load`.
    order: of a label's name, its place among the others; None: as they sort.

  Raises:
    InputError: as for `load`.
  """
  first = next(iter(tables.values()))  # that of "train", if there is one
  _check_columns(first.path, first.header, text_columns, [
      column for column in label_columns if first.has(column)])
  notes = [table.note for table in tables.values()]
  label_column = label_columns[0]
  if len(label_columns) > 1:
    labels = labels or _columns_names(first, label_columns)
    if {name.lower() for name in labels} != {
        name.lower() for name in label_columns}:
      raise InputError(f"columns {listed(label_columns)} are other labels "
                       f"than {listed(labels)}")
  elif labels is None and problem_type != "regression":
    found = _labels_of(first, label_column, (
        label_separator if problem_type == "multi_label" else None))
    if not found and problem_type == "multi_label":
      label_sets(first, label_column, label_separator, {})  # says why
    notes.append(_other_separator(
        first, label_separator if problem_type == "multi_label" else None,
        found))
    labels = sorted(
        _label_names(first, label_column, problem_type, found), key=order)
    notes.append(_doubts(first, text_columns, label_column, labels, found))
    _check_differ(first, label_column, found)
  notes += [f"label {name!r} {MISSING_LABEL}"
            for name in labels or () if name in _MISSING]
  numbers = {name: number for number, name in enumerate(labels or ())}

  def targets(table: Table) -> dict[int, Any]:
    if labels and len(label_columns) > 1:
      return indicators(table, labels)
    match problem_type:
      case "regression":
        return scores(table, label_column)
      case "multi_label":
        return label_sets(table, label_column, label_separator, numbers)
    return label_numbers(table, label_column, numbers)

  splits = {}
  for split, table in tables.items():
    texts = [table.column(column, flag)
             for column, flag in zip(text_columns, _TEXT_FLAGS)]
    labelled = split != "test" or all(map(table.has, label_columns))
    if split == "test" and labelled and are_hidden(
        [cell for one in label_columns for cell in table.column(one)],
        [cell for one in label_columns for cell in first.column(one)]
        if table is not first else (),
        problem_type == "multi_label" and len(label_columns) == 1):
      labelled = False
      notes.append(f"{table.path.name}: {HIDDEN}")
    rows = targets(table) if labelled else dict.fromkeys(range(len(table)))
    rows = _with_texts(table, rows, text_columns, texts)
    splits[split] = table_split(
        texts[0], texts[1] if len(texts) > 1 else None, rows,
        list(map(str, table.numbers)), labelled)
    notes += [f"{table.path.name}: column {column!r} {NUMBERS}"
              for column, cells in zip(text_columns, texts)
              if rows and all(is_number(cells[row]) for row in rows)]
    for what, is_such in _ODD_TEXTS.items():
      count = sum(any(is_such(cells[row].strip()) for cells in texts)
                  for row in rows)
      if count:
        notes.append(f"{table.path.name}: {what}: {count:,}")
  notes += [table.bad_rows.note(scored=split != "train")
            for split, table in tables.items()]
  return Dataset(
      ",".join(label_columns), problem_type, tuple(labels or ()),
      METRICS[problem_type], splits, str(first.path), notes=tuple(notes),
      label_separator=label_separator)


def _find_files(
    folder: pathlib.Path) -> tuple[dict[str, pathlib.Path], str]:
  """As `find_splits`."""
  return find_splits(
      folder, SPLIT_NAMES, (".tsv", ".csv"),
      "train, validation or test, ending in .tsv or .csv (valid, val, dev and "
      "devel are validation, too)")


def check_columns(data_dir: str, text_column: str,
                  text_pair_column: str | None, label_column: str,
                  problem_type: str, encoding: str) -> None:
  """Refuses columns that the first file lacks; reads its header alone.

  Args:
    data_dir, text_column, text_pair_column, label_column, problem_type,
    encoding: as for `load`.

  Raises:
    InputError: there is no such column, or no file; or a column is said to be
      two things.
  """
  split, path = next(iter(_find_files(data_folder(data_dir))[0].items()))
  text_columns = [column for column in (text_column, text_pair_column)
                  if column is not None]
  rows, _ = table_rows(path, text_columns, encoding)
  first = next(rows, None)
  if first is None:  # which `load` says more of
    return
  header = read_header(path, *first, encoding)
  label_columns = [label_column]
  if problem_type == "multi_label" and not places_of(header, label_column):
    label_columns = [name.strip() for name in label_column.split(",")]
  _check_columns(path, header, text_columns, [
      column for column in label_columns
      if split != "test" or places_of(header, column)])


def _check_columns(
    path: pathlib.Path, header: Sequence[str], text_columns: Sequence[str],
    label_columns: Sequence[str]) -> None:
  """Refuses columns that are not there, or are said to be two things.

  Raises:
    InputError: there is such a one.
  """
  find_columns(path, header, [
      *zip(_TEXT_FLAGS, text_columns),
      *(("label_column", name) for name in label_columns)])


def _with_texts(table: Table, rows: Mapping[int, Any], columns: Sequence[str],
                texts: Sequence[Sequence[str]]) -> dict[int, Any]:
  """Returns the rows that have all of their texts."""
  kept = {}
  for row, target in rows.items():
    empty = next((column for column, cells in zip(columns, texts)
                  if not cells[row].strip()), None)
    if empty is None:
      kept[row] = target
    else:
      table.refuse(row, NO_TEXT, f"no text in column {empty!r}")
  return kept


def _columns_names(table: Table, columns: Sequence[str]) -> list[str]:
  """Returns the names of columns, as they stand in the header."""
  return [table.header[find_column(
      table.path, table.header, column, "label_column")] for column in columns]


def _labels_of(table: Table, column: str,
               separator: str | None) -> dict[str, list[int]]:
  """Returns the labels of a column, and the rows where each stands."""
  rows: dict[str, list[int]] = {}
  for row, cell in enumerate(table.column(column, "label_column")):
    # A row without a label is no row to be learnt from.
    labels = ([cell.strip()] if separator is None
              else split_labels(cell, separator))
    for label in filter(None, labels or ()):
      rows.setdefault(label, []).append(row)
  return rows


def _other_separator(table: Table, separator: str | None,
                     found: Mapping[str, Sequence[int]]) -> str:
  """Says that labels look like several with another separator, or "".

  Args:
    table: the file.
    separator: of the labels of a cell; None where a cell has one label, which
      may well be of others: "red, blue".
    found: the labels, and the rows where each stands.

  Raises:
    InputError: cells have several, and what it separates are labels themselves.
  """
  for other in _LABEL_SEPARATORS:
    names = [name for name in found if other in name and other != separator]
    for name in names:
      parts = [part.strip() for part in name.split(other)]
      if all(part in found for part in parts):
        what = (f"label {name!r:.80} is {listed(parts)} with {other!r} between "
                "them")
        if separator is None:
          return f"{what}: problem_type=multi_label takes them apart"
        raise table.error(found[name][0], f"{what}: "
                          f"label_separator={other!r} takes them apart")
    if names and separator is not None:
      return (f"label {names[0]!r:.80} holds {other!r}: is that what separates "
              "labels? label_separator says so")
  return ""


def _label_names(table: Table, column: str, problem_type: str,
                 found: Mapping[str, Sequence[int]]) -> list[str]:
  """Returns the labels of a task, in order.

  Raises:
    InputError: they are none, one, or of another type of problem.
  """
  names = sorted(found)
  if len(names) < 2:
    wrong = (f"has one label only in column {column!r} ({names[0]!r}): nothing "
             "to learn; label_column names another column, and labels all that "
             "there can be" if names else
             f"has no rows with a label in column {column!r}: label_column "
             "names another column")
    raise InputError("; ".join(filter(None, [
        f"{table.path}: {wrong}", table.bad_rows.note()])))
  lists = [name for name in names if is_list(name)]
  if lists and problem_type == "classification":
    raise table.error(
        found[lists[0]][0], f"label {lists[0]!r:.80} is a list: "
        "problem_type=multi_label reads lists")
  if problem_type == "multi_label" and set(names) <= {"0", "1", "0.0", "1.0"}:
    raise InputError(
        f"{table.path}: column {column!r} holds 0 and 1: "
        "label_column=a,b, or label=['a', 'b'] of a Dataset, takes a column "
        "for each label, and problem_type=classification a single one")
  return names


def _check_differ(table: Table, column: str,
                  found: Mapping[str, Sequence[int]]) -> None:
  """Refuses labels that are the same for a reader.

  Raises:
    InputError: there are such; shows them with the blanks around them.
  """
  pair = alike(found)
  if pair is None:
    return
  cells = table.column(column)
  rows = [found[name][0] for name in pair[:2]]
  other, one = (cells[row] if cells[row].strip() == name else name
                for row, name in zip(rows, pair))
  raise table.error(
      rows[1], f"label {one!r} differs from {other!r} "
      f"{in_line(table.lines[rows[0]])} in {pair[2]} only: give both one name")


def _doubts(table: Table, text_columns: Sequence[str], column: str,
            names: Sequence[str], found: Mapping[str, Sequence[int]]) -> str:
  """Says that a column hardly holds labels, or "".

  Raises:
    InputError: it is certain.
  """
  rows = {row for places in found.values() for row in places}
  if len(names) < _MANY_LABELS or 4 * len(names) <= len(rows):
    return ""
  texts = [cell for text_column in text_columns
           for cell in table.column(text_column)]
  longest = sum(map(len, texts)) / max(len(texts), 1)
  cells = [cell.strip() for cell in table.column(column) if cell.strip()]
  what = f"{len(names):,} different labels in {len(rows):,} rows of {column!r}"
  if 2 * len(names) > len(rows) and (
      len(set(cells)) > len(set(texts)) or (len(rows) >= _MANY_ROWS
      and sum(map(len, cells)) / len(cells) > longest)):
    examples = listed([f"{name!r:.40}" for name in names], 2)
    raise InputError(
        f"{table.path}: {what} ({examples}): is it the texts' column, and "
        f"{text_columns[0]!r} that of the labels?")
  if len(rows) >= _MANY_ROWS and 10 * len(names) >= 9 * len(rows):
    raise InputError(
        f"{table.path}: {what}: nearly every row has one of its own, as dates "
        "and ids are, from which nothing can be learnt: name another column of "
        "labels; problem_type=regression takes numbers")
  return (f"{table.path.name}: {what}: is it the labels' column?"
          if len(rows) >= _MANY_ROWS else "")
