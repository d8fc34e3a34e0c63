"""Mistakes for the eye: whole texts, where a table would cut them."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from tf_adapters.errors import printable

# Columns that hold texts: the others are facts about them.
_TEXTS = ("text", "text_pair", "question", "context", "sentence")
_WIDTH = 80  # characters of a line
_LONGEST = 800  # characters of a text


def as_text(columns: Mapping[str, Sequence[Any]], rows: Sequence[int],
            index: Sequence[int | str] | None) -> str:
  """Describes mistakes: the facts in one line, and below them the texts.

  Args:
    columns: name -> a value for each row.
    rows: the numbers of the rows that are wrong.
    index: what each row is called in its data; None for its number.

  Example:
    >>> print(as_text({"text": ["so bad"], "label": ["bad"],
    ...                "prediction": ["good"]}, [0], None))
    row 0: label bad, prediction good
      so bad
  """
  texts = [name for name in columns if name in _TEXTS]
  lines = []
  for row in rows:
    facts = ", ".join(f"{name} {_cell(values[row])}"
                      for name, values in columns.items() if name not in texts)
    lines.append(f"row {row if index is None else index[row]}: {facts}")
    for name in texts:
      text = _cell(columns[name][row])
      if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}..."
      lines += textwrap.wrap(
          text if len(texts) == 1 else f"{name}: {text}", _WIDTH,
          initial_indent="  ", subsequent_indent="  ")
  return "\n".join(lines)


def _cell(value: Any) -> str:
  if isinstance(value, float):
    return f"{value:.4g}"
  if isinstance(value, tuple | list):
    return ", ".join(map(_cell, value)) or "none"
  return printable(str(value))
