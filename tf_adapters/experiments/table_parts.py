"""Parts of a report's tables: cells, and notes below them."""

import dataclasses
from collections.abc import Iterable

from tf_adapters.experiments.selection import Selected, Statistics

NOTHING = "-"
PART = "*"  # behind what is not whole
PARTIAL_NOTE = f"{PART} settings or seeds are missing, or failed."


@dataclasses.dataclass(frozen=True)
class Table:
  """A table, for the eye and as numbers.

  Attributes:
    name: of its file.
    title: what it is.
    header: a cell for each column.
    rows: of cells as they are read.
    papers: how many rows there are of the paper; the last ones.
    notes: what has to be known to read it, a sentence or two each.
    csv: the same rows as numbers.
  """

  name: str
  title: str
  header: tuple[str, ...]
  rows: tuple[tuple[str, ...], ...]
  papers: int
  notes: tuple[str, ...]
  csv: str


def limits(choices: Iterable[Selected]) -> tuple[str, ...]:
  """Says where runs saw a part of the training rows only."""
  tasks: dict[str, dict[str, None]] = {}
  for choice in choices:
    limit = choice.records[0].trial.flags.get("max_train_examples")
    if limit is not None:
      tasks.setdefault(limit, {})[choice.task] = None
  return tuple(
      f"At most {int(limit):,} training rows: {', '.join(of_limit)}."
      for limit, of_limit in tasks.items())


def failures(choices: Iterable[Selected]) -> tuple[str, ...]:
  """Names seeds of chosen settings that have no score, as they failed."""
  failed = [f"{choice.label} on {choice.task}, seed {record.trial.seed}"
            for choice in choices for record in choice.failed]
  return ((f"Without a score, as they failed: {'; '.join(failed)}.",)
          if failed else ())


def partial_notes(choices: Iterable[Selected]) -> tuple[str, ...]:
  """Explains the star, where there is one, and names what failed."""
  choices = list(choices)
  return ((PARTIAL_NOTE,) * any(choice.partial for choice in choices)
          + failures(choices))


def score_cell(score: Statistics | None, partial: bool = False) -> str:
  """Writes a score with its standard error, in per cent."""
  if score is None:
    return NOTHING
  return number_cell(
      100 * score.mean, score.sem and 100 * score.sem, partial)


def number_cell(mean: float | None, sem: float | None = None,
                partial: bool = False, form: str = ".1f") -> str:
  """Writes a mean with its standard error, where it has one.

  Args:
    mean: None where there is none.
    sem: the standard error.
    partial: whether it is not whole.
    form: of the mean; the standard error has no sign.
  """
  if mean is None:
    return NOTHING
  text = f"{mean:{form}}"
  if sem is not None:
    text += f" ± {sem:{form.lstrip('+')}}"
  return text + PART * partial


def seeds_cell(scores: Iterable[Statistics]) -> str:
  """Writes of how many seeds scores are: `3`, or `2-3`."""
  seeds = sorted({score.n for score in scores})
  return "-".join(map(str, dict.fromkeys([*seeds[:1], *seeds[-1:]]))) or NOTHING


def percent_cell(value: float | None) -> str:
  """Writes a share of parameters."""
  return NOTHING if value is None else f"{value:.3g} %"


def unit_cell(text: str, unit: str) -> str:
  """Writes a text of the paper's with its unit."""
  return text if text == NOTHING else text + unit
