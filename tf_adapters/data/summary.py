"""Shows a task's data in a few lines."""

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_adapters.errors import listed, printable

if TYPE_CHECKING:
  from tf_adapters.data.dataset import Dataset
  from tf_adapters.data.splits import Examples

_MOST_CLASSES = 8
_LONGEST = 30  # characters of a label, and ten times as many of a note


def as_text(dataset: "Dataset") -> str:
  """Writes rows, classes and notes, a line each."""
  rows = _rows(dataset)
  width = max((len(name) for name, *_ in rows), default=0)
  return "\n".join([
      _title(dataset),
      *(f"  {name:{width}}  {count}{what and ': '}{what}"
        for name, count, what in rows),
      *(f"  note: {_shortened(note, 10 * _LONGEST)}"
        for note in dataset.notes)])


def as_html(dataset: "Dataset") -> str:
  """Writes the same as a table."""
  cells = "".join(
      "<tr>" + "".join(
          f"<td style='text-align:left'>{html.escape(cell)}</td>"
          for cell in row) + "</tr>" for row in _rows(dataset))
  notes = "".join(f"<li>{html.escape(_shortened(note, 10 * _LONGEST))}</li>"
                  for note in dataset.notes)
  return (f"<b>{html.escape(_title(dataset))}</b><table>{cells}</table>"
          + (f"<ul>{notes}</ul>" if notes else ""))


def _title(dataset: "Dataset") -> str:
  labels = dataset.labels
  what = f", {len(labels)} labels" if labels else ""
  return (f"Dataset {_shortened(dataset.name, _LONGEST)}: "
          f"{dataset.problem_type}{what}")


def _rows(dataset: "Dataset") -> list[tuple[str, str, str]]:
  """Returns name, rows and classes of each split."""
  return [(name, f"{len(split):,} rows", _classes(split, dataset.labels))
          for name, split in dataset.splits.items()]


def _classes(split: "Examples", names: Sequence[str]) -> str:
  """Describes how often each label is there, or the range of the numbers."""
  labels: Any = split.labels
  if labels is None:
    return "without labels"
  if not len(split):
    return ""
  if not names:
    return (f"{labels.min():.4g} to {labels.max():.4g}, mean "
            f"{labels.mean():.4g}" if isinstance(labels, np.ndarray) else "")
  if not isinstance(labels, np.ndarray):  # of words, by sentence
    labels = np.concatenate(labels)
  counts = (labels.sum(axis=0).astype(int) if labels.ndim == 2
            else np.bincount(labels, minlength=len(names)))
  return listed([f"{_shortened(name, _LONGEST)} {count:,}"
                 for name, count in zip(names, counts)], _MOST_CLASSES)


def _shortened(text: str, most: int) -> str:
  text = printable(text)
  return text if len(text) <= most else f"{text[:most - 3]}..."
