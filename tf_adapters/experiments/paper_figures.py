"""The figures in the tables of Houlsby et al., ICML 2019 (arXiv:1902.00751v2).

Figures of the paper alone, in per cent, to stand beside those of a sweep and
never among them: `measured` says whose they are.
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from typing import Any

FULL_LABEL = "full fine-tuning"


@dataclasses.dataclass(frozen=True)
class Column:
  """A column of a table: the score of a split of a task.

  Attributes:
    label: the paper's name.
    task: ours.
    metric: the paper's metric.
    suffix: of the split's name, where a task has several.
  """

  label: str
  task: str
  metric: str = "accuracy"
  suffix: str = ""


@dataclasses.dataclass(frozen=True)
class Row:
  """A row of a table.

  Attributes:
    label: the method.
    scores: column's label -> score.
    mean: as printed. Those of table 1 are 1.5 below the columns': probably the
      GLUE server's averages, with WNLI and the tasks' second metrics.
    total: parameters for all tasks together, in encoders, as printed.
    trained: parameters that a task trains, in per cent of an encoder.
  """

  label: str
  scores: Mapping[str, float]
  mean: float
  total: str = "-"
  trained: str = "-"


@dataclasses.dataclass(frozen=True)
class PaperTable:
  """A table.

  Attributes:
    title: what it is.
    measured: whose figures they are, on what.
    tasks: how many tasks `Row.total` is for.
    columns: of scores.
    rows: of methods.
  """

  title: str
  measured: str
  tasks: int
  columns: tuple[Column, ...]
  rows: tuple[Row, ...]


_GLUE = (
    Column("CoLA", "cola", "matthews_correlation"),
    Column("SST", "sst2"),
    Column("MRPC", "mrpc", "f1"),
    Column("STS-B", "stsb", "spearman"),
    Column("QQP", "qqp", "f1"),
    Column("MNLI-m", "mnli"),
    Column("MNLI-mm", "mnli", suffix="_mismatched"),
    Column("QNLI", "qnli"),
    Column("RTE", "rte"),
)


def _glue_row(label: str, total: str, trained: str, *scores: float,
              mean: float) -> Row:
  return Row(label, dict(zip((column.label for column in _GLUE), scores,
                             strict=True)), mean, total, trained)


TABLE_1 = PaperTable(
    "GLUE (table 1)", "paper, BERT-large, GLUE test server", 9, _GLUE, (
        _glue_row(FULL_LABEL, "9.0", "100", 60.5, 94.9, 89.3, 87.6,
                  72.1, 86.7, 85.9, 91.1, 70.1, mean=80.4),
        _glue_row("adapters (8-256)", "1.3", "3.6", 59.5, 94.0, 89.5, 86.9,
                  71.8, 84.9, 85.1, 90.7, 71.5, mean=80.0),
        _glue_row("adapters (64)", "1.2", "2.1", 56.9, 94.2, 89.6, 87.3,
                  71.8, 85.3, 84.6, 91.4, 68.8, mean=79.6)))

# Column, no-BERT baseline, full fine-tuning, top n layers, adapters.
_TEXTS: tuple[tuple[Any, ...], ...] = (
    (Column("20 newsgroups", "newsgroups"), 91.1, 92.8, 92.8, 91.7),
    (Column("airline", "airline"), 84.5, 83.6, 84.0, 84.5),
    (Column("corporate messaging", "corporate_messaging"),
     91.9, 92.5, 92.4, 92.9),
    (Column("disasters", "disasters"), 84.9, 85.3, 85.3, 84.1),
    (Column("economic news", "economic_news"), 81.1, 82.1, 78.9, 82.5),
    (Column("emotion", "emotion"), 36.3, 38.4, 37.6, 38.7),
    (Column("global warming", "global_warming"), 82.7, 84.2, 81.9, 82.7),
    (Column("political audience", "political_audience"),
     81.0, 80.9, 80.7, 79.0),
    (Column("political bias", "political_bias"), 76.8, 75.2, 76.5, 75.9),
    (Column("political message", "political_message"), 43.8, 38.9, 44.9, 44.1),
    (Column("primary emotions", "primary_emotions"), 33.5, 36.9, 38.2, 33.9),
    (Column("progressive opinion", "progressive_opinion"),
     70.6, 71.6, 75.9, 71.7),
    (Column("progressive stance", "progressive_stance"),
     54.3, 63.8, 61.5, 60.6),
    (Column("US economic performance", "us_economic_performance"),
     75.6, 75.3, 76.5, 77.3),
    (Column("customer complaints", "customer_complaints"),
     54.5, 55.9, 56.4, 55.4),
    (Column("news aggregator", "news_aggregator"), 95.2, 96.3, 96.5, 96.2),
    (Column("SMS spam", "sms_spam"), 98.5, 99.3, 99.3, 95.1),
)


def _text_row(place: int, label: str, mean: float, **parameters: str) -> Row:
  return Row(label, {row[0].label: row[place] for row in _TEXTS}, mean,
             **parameters)


TABLE_2 = PaperTable(
    "Text classification (table 2)", "paper, BERT-base, test", 17,
    tuple(row[0] for row in _TEXTS), (
        _text_row(1, "no-BERT baseline", 72.7),
        _text_row(2, FULL_LABEL, 73.7, total="17", trained="100"),
        _text_row(3, "top n layers", 74.0, total="9.9", trained="52.9"),
        _text_row(4, "adapters", 73.3, total="1.19", trained="1.14")))

# Section 3.5: label, parameters that are trained in per cent, F1.
SQUAD_MEASURED = "paper, BERT-base, validation"
SQUAD = (
    (FULL_LABEL, "100", 90.7),
    ("adapters (64)", "2", 90.4),
    ("adapters (2)", "0.1", 89.9),
)

PAPER_TABLES = {"GLUE": TABLE_1, "text classification": TABLE_2}
# Task -> what figures and tables call it, in the paper's order.
_TITLES = {column.task: column.label
           for paper in PAPER_TABLES.values() for column in paper.columns
           if not column.suffix} | {"squad": "SQuAD"}


def families(tasks: Iterable[str],
             renamed: Collection[str] = ()) -> dict[str, dict[str, str]]:
  """Puts tasks of a kind together, in the paper's order; others come last.

  Args:
    tasks: names of tasks.
    renamed: those of them that are none of the paper's, whatever their name.

  Returns:
    Family -> task -> what to call it.

  Example:
    >>> families(["rte", "mine", "mrpc"])
    {'GLUE': {'mrpc': 'MRPC', 'rte': 'RTE'}, 'other tasks': {'mine': 'mine'}}
  """
  kinds = {column.task: family for family, paper in PAPER_TABLES.items()
           for column in paper.columns if column.task not in renamed}
  titles = {task: title for task, title in _TITLES.items()
            if task not in renamed}
  places = {task: place for place, task in enumerate(titles)}
  found: dict[str, dict[str, str]] = {}
  for task in sorted(set(tasks), key=lambda task: (
      places.get(task, len(places)), task)):
    found.setdefault(kinds.get(task, "other tasks"), {})[task] = titles.get(
        task, task)
  return found
