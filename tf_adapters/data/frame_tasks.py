"""Makes tasks of columns of values: type of problem, labels and splits.

What is wrong with rows and labels is said as of files, by the same code.
"""

import dataclasses
import itertools
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tf_adapters.data import own_files
from tf_adapters.data.bad_rows import NO_LABEL, NO_STRING, NO_TEXT, BadRows
from tf_adapters.data.dataset import Dataset
from tf_adapters.data.frame_cells import (
    characters_fault,
    is_text,
    items_of,
    label_of_text,
    literal,
    several,
)
from tf_adapters.data.frame_columns import Columns
from tf_adapters.data.frames import Frame
from tf_adapters.data.labels import HIDDEN, UNTAGGED, are_hidden, is_list
from tf_adapters.data.splitting import split_task
from tf_adapters.data.squad_options import SquadOptions
from tf_adapters.data.tables import Table
from tf_adapters.errors import InputError, listed, warn
from tf_adapters.modeling.label_types import (
    INTEGERS,
    STRINGS,
    label_name,
    type_of_labels,
)

# Integers of fewer values are taken for labels, and so are those of which each
# stands in so many rows.
_FEW_INTEGERS, _ROWS_OF_EACH = 20, 10
# What notes say that a user of a notebook has to see: warnings, too.
_DOUBTFUL = " left out: ", own_files.MISSING_LABEL, own_files.NUMBERS, HIDDEN
_WITH_COMMA = re.compile(r"[-+]?\d+,\d+", re.ASCII)
_OTHER_WORDS = "with another number of tags than words"


def load(frames: Mapping[str, Frame], columns: Columns) -> Dataset:
  """Makes the task that is in frames.

  Args:
    frames: split -> columns of values.
    columns: which of them are what.

  Raises:
    InputError: a column is missing, the type of problem cannot be told, labels
      cannot be right, or there is a bad row that is not to be left out.
  """
  first, *_ = frames.values()
  if not first.header:
    raise InputError(f"{first.name}: is empty: it has no columns and no rows")
  for frame in frames.values():
    frame.find([
        (argument, name) for argument, name in (
            ("text", columns.text), ("text_pair", columns.text_pair),
            *(("label", name) for name in columns.label_columns))
        # What a split lacks is said where it is asked for.
        if name is not None and (frame is first or frame.has(name))])
  texts = first.column(columns.text, "text")
  if not texts:
    raise InputError(f"{first.name}: has no rows with a label: it has no rows "
                     "at all")
  labels = [first.labels(column) for column in columns.label_columns]
  if len(labels) == 1 and not _hold_words(texts) and _are_one_hot(labels[0]):
    raise InputError(
        f"{first.name}: labels are rows of 0 and 1: numpy.argmax(labels, "
        "axis=1) makes numbers of rows with a single 1, and Dataset."
        "from_dataframe takes a column for each label, label=[\"a\", \"b\"]")
  problem = columns.problem_type or _problem_of(columns, texts, labels)
  frames = {
      split: frame if frame is first else _without_hidden(
          split, frame, columns.label_columns,
          list(itertools.chain(*labels)), problem)
      for split, frame in frames.items()}
  if problem in own_files.METRICS and _hold_words(texts):
    raise InputError(
        f"{first.name}: column {columns.text!r} holds lists of words, and "
        f"problem_type={problem} is on texts: problem_type=tagging has a tag "
        "for each word")
  match problem:
    case "tagging":
      task = _tagging(frames, columns)
    case "span":
      task = _span(frames, columns)
    case _ if problem in own_files.METRICS:
      task = _of_texts(frames, columns, problem)
    case _:
      raise InputError(
          f"problem_type={problem!r} is none of "
          f"{', '.join([*own_files.METRICS, 'tagging', 'span'])}")
  task = dataclasses.replace(task, notes=(
      *(note for frame in frames.values() for note in frame.notes),
      *task.notes))
  doubtful = [note for note in task.notes if any(
      words in note for words in _DOUBTFUL)]
  if doubtful:
    warn("; ".join(doubtful), stacklevel=4)
  task = dataclasses.replace(
      task, name=columns.name or ",".join(columns.label_columns),
      origin=first.name)
  return split_task(
      task, columns.validation, columns.test, columns.seed, suffix="")


def _without_hidden(split: str, frame: Frame, columns: Sequence[str],
                    known: Sequence[Any], problem: str) -> Frame:
  """Takes labels out of a test split that are not published."""
  if split != "test" or not all(map(frame.has, columns)) or not are_hidden(
      [value for column in columns for value in frame.column(column, "label")],
      known, problem == "multi_label" and frame.of_text and len(columns) == 1):
    return frame
  return frame.without(columns, f"{split}: {HIDDEN}")


def _are_one_hot(values: Sequence[Any]) -> bool:
  """Says whether labels are rows of zeros and ones, as many for each."""
  rows = [value for value in values if value is not None]
  # [0, 1] could be the names of two labels; all rows would have both then.
  return all(isinstance(row, list) and len(row) > 1 for row in rows) and (
      len({len(row) for row in rows}) == 1) and all(
          type(one) in (int, float, bool) and one in (0, 1)
          for row in rows for one in row)


def _problem_of(columns: Columns, texts: Sequence[Any],
                labels: Sequence[Sequence[Any]]) -> str:
  """Returns the type of problem that columns are of.

  Raises:
    InputError: it cannot be told.
  """
  if len(labels) > 1:
    return "multi_label"
  values = [value for value in labels[0] if value is not None]
  if any(isinstance(value, Mapping) for value in values):
    return "span"
  if any(isinstance(value, list) for value in values):
    of_words = any(isinstance(text, list) for text in texts)
    return "tagging" if of_words else "multi_label"
  if any(isinstance(value, str) and is_list(value.strip())
         for value in values):
    return "multi_label"
  if any(isinstance(value, float) and not value.is_integer()
         for value in values):
    return "regression"
  if values and all(isinstance(value, str) and _WITH_COMMA.fullmatch(value)
                    for value in values):
    raise InputError(
        f"column {columns.label!r} holds {values[0]!r}: a number is written "
        "with a point, not a comma, and then problem_type='regression' takes "
        "it; 'classification' takes it for a label, 'multi_label' for two")
  different = set(map(label_name, values))
  if type_of_labels(values) == INTEGERS and len(different) > max(
      _FEW_INTEGERS, len(values) // _ROWS_OF_EACH):
    raise InputError(
        f"column {columns.label!r} has {len(different):,} different integers "
        f"in {len(values):,} rows: problem_type='regression' takes them for "
        "numbers, 'classification' for labels")
  return "classification"


def _of_texts(frames: Mapping[str, Frame], columns: Columns,
              problem: str) -> Dataset:
  first = next(iter(frames.values()))
  label_type = _label_type(first, columns, problem)
  tables = {split: _table(frame, columns, split, problem, label_type)
            for split, frame in frames.items()}
  labels = columns.labels and list(map(label_name, columns.labels))
  order: Callable[[str], Any] | None = (
      int if label_type == INTEGERS else None)
  categories, is_ordered = first.categories(columns.label_columns[0])
  names = [label_name(name).strip() for name in categories]
  if is_ordered:
    order = names.index
  task = own_files.of_tables(
      tables, columns.texts, columns.label_columns, problem, labels,
      columns.label_separator, order)
  if problem == "regression" and not len(next(iter(task.splits.values()))):
    raise InputError(
        f"{first.name}: column {columns.label_columns[0]!r} holds no numbers: "
        "problem_type=classification takes its cells for labels; "
        + "; ".join(task.notes))
  unused = [repr(name) for name in names if name not in task.labels]
  note = (f"categories of column {columns.label_columns[0]!r} that no row has "
          f"are no labels: {listed(unused)}")
  return dataclasses.replace(task, label_type=label_type, notes=(
      *task.notes, note if unused and task.labels else ""))


def _label_type(first: Frame, columns: Columns, problem: str) -> str:
  """Returns what a task's labels are, in all of its splits.

  They are those that are given, or those of the first split.
  """
  if problem != "classification" and not _holds_sets(first, columns, problem):
    return STRINGS
  if columns.labels is not None:
    return type_of_labels(columns.labels)
  cells = first.column(columns.label_columns[0], "label")
  if first.of_text:
    cells = list(map(label_of_text, cells))
  return type_of_labels(label for cell in cells for label in several(cell)
                        if label is not None)


def _table(frame: Frame, columns: Columns, split: str, problem: str,
           label_type: str) -> Table:
  """Makes the rows of a frame, as a file would have them."""
  bad_rows = BadRows(frame.name, columns.on_bad_row)
  names = list(columns.texts)
  # A test split may do without.
  if split != "test" or all(map(frame.has, columns.label_columns)):
    names += columns.label_columns
  hints = {name: "label" for name in columns.label_columns} | {
      columns.text: "text"} | {columns.text_pair or "": "text_pair"}
  found = [frame.column(name, hints[name]) for name in names]
  if frame.of_text and problem == "classification" and (
      len(names) > len(columns.texts)):
    found[-1] = _as_labels(found[-1], columns, label_type)
  cells = [[_cell(value) for value in values] for values in found]
  is_set = (_holds_sets(frame, columns, problem)
            and len(names) > len(columns.texts))
  rows = []
  for row, values in enumerate(zip(*cells)):
    odd = next((name for name, column in zip(columns.texts, found)
                if column[row] is not None and not is_text(column[row])), None)
    if odd is not None:
      bad_rows.refuse(frame.place(row), NO_STRING, (
          f"expected a string in column {odd!r}"))
    elif is_set and found[-1][row] is None:
      bad_rows.refuse(frame.place(row), NO_LABEL, (
          f"no label in column {names[-1]!r}: [] has none of them"))
    elif is_set and None in several(found[-1][row]):
      bad_rows.refuse(frame.place(row), NO_LABEL, (
          f"None in a list of column {names[-1]!r} is no label"))
    elif fault := characters_fault("".join(values)):
      bad_rows.refuse(frame.place(row), *fault)
    else:
      rows.append(row)
  return Table(pathlib.Path(frame.name), tuple(names),
               [[column[row] for row in rows] for column in cells],
               [frame.place(row) for row in rows],
               [frame.called(row) for row in rows], bad_rows)


def _as_labels(cells: Sequence[str], columns: Columns,
               label_type: str) -> list[Any]:
  """Returns the cells of a file as the task writes its labels: 2.0 as 2.

  Where labels are given, so are only cells that are none as they stand.
  """
  values = list(map(label_of_text, cells))
  if columns.labels is None:
    return values if label_type == INTEGERS else list(cells)
  names = set(map(label_name, columns.labels))
  return [value if cell.strip() not in names and label_name(value) in names
          else cell for cell, value in zip(cells, values)]


def _holds_sets(frame: Frame, columns: Columns, problem: str) -> bool:
  """Returns whether each label cell is a set of labels, as a value.

  That of a file is a text, and an empty one is the empty set.
  """
  return (problem == "multi_label" and len(columns.label_columns) == 1
          and not frame.of_text)


def _cell(value: Any) -> str:
  if value is None:
    return ""
  if isinstance(value, list):
    return repr([label_name(one) for one in value])
  return label_name(value)


def _tagging(frames: Mapping[str, Frame], columns: Columns) -> Dataset:
  from tf_adapters.data import tagging  # needs TensorFlow
  from tf_adapters.data.conll import Sentence
  read: dict[str, list[Sentence]] = {}
  untagged: dict[str, list[Sentence]] = {}
  bad_rows = {}
  label = columns.label_columns[0]
  for split, frame in frames.items():
    bad = bad_rows[split] = BadRows(frame.name, columns.on_bad_row, "sentences")
    texts = frame.column(columns.text, "text")
    # A test split may do without.
    is_tagged = split != "test" or frame.has(label)
    sentences = (read if is_tagged else untagged).setdefault(split, [])
    for row, (words, tags) in enumerate(zip(
        texts, frame.column(label, "label") if is_tagged else texts)):
      place = frame.place(row)
      words, tags = items_of(words), items_of(tags)
      untold = next((tag for tag in tags if is_tagged and _is_no_tag(tag)), "")
      odd = next((word for word in words if not is_text(word)), "")
      words, tags = (list(map(label_name, items)) for items in (words, tags))
      if not words:
        bad.refuse(place, NO_TEXT, f"no words in column {columns.text!r}")
      elif odd != "":
        bad.refuse(place, NO_STRING, f"{odd!r:.40} is no word")
      elif untold != "":
        bad.refuse(place, NO_LABEL, f"{untold} is no tag")
      elif len(words) != len(tags):
        bad.refuse(place, _OTHER_WORDS, f"{len(words)} words, {len(tags)} tags")
      elif fault := characters_fault("".join(words)):
        bad.refuse(place, *fault)
      else:
        sentences.append(Sentence(
            [place] * len(words), words, tags, str(frame.called(row))))
    if bad.count and not sentences:
      raise InputError(f"{frame.name}: no row has a tag for each word, as "
                       f"problem_type=tagging wants: {bad.note()}")
  task = tagging.of_sentences(
      read, {split: pathlib.Path(frame.name)
             for split, frame in frames.items()}, bad_rows,
      columns.labels and list(map(label_name, columns.labels)))
  return dataclasses.replace(task, splits={**task.splits, **{
      split: tagging.TaggedSplit(
          [sentence.words for sentence in sentences], None,
          [sentence.name for sentence in sentences])
      for split, sentences in untagged.items()}})


def _is_no_tag(tag: Any) -> bool:
  """Returns whether a word has no tag: missing, or what PyTorch leaves out."""
  return tag is None or tag == UNTAGGED


def _hold_words(texts: Sequence[Any]) -> bool:
  """Returns whether texts are lists of words; all cells of a table have to be.
  """
  if any(isinstance(text, list) for text in texts):
    return True
  cells = [text for text in texts if text is not None]
  return bool(cells) and all(
      isinstance(text, str) and is_list(text.strip()) for text in cells)


def _span(frames: Mapping[str, Frame], columns: Columns) -> Dataset:
  from tf_adapters.data import squad  # needs TensorFlow
  if columns.text_pair is None:
    raise InputError("problem_type='span': text is the questions' column, and "
                     "text_pair that of the texts that answer them")
  read, notes = {}, []
  label = columns.label_columns[0]
  # A test split may do without.
  answers = {split: list(map(_answers, frame.column(label, "label")))
             for split, frame in frames.items()
             if split != "test" or frame.has(label)}
  unanswered = sum(not one for part in answers.values() for one in part)
  if unanswered:
    notes.append(f"questions without an answer, of which that is learnt: "
                 f"{unanswered:,}")
  options = SquadOptions(version_2=bool(unanswered))
  for split, frame in frames.items():
    bad_rows = BadRows(frame.name, columns.on_bad_row, "questions")
    questions: list[dict[str, Any]] = [
        {"id": frame.called(row), "question": question}
        for row, question in enumerate(
            frame.column(columns.text, "text"))]
    for question, given in zip(questions, answers.get(split, ())):
      question["answers"] = given
    paragraphs = (
        ({"context": context, "qas": [question]}, frame.place(row))
        for row, (question, context) in enumerate(zip(
            questions, frame.column(columns.text_pair, "text_pair"))))
    read[split], more = squad.of_paragraphs(
        frame.name, paragraphs, options, split == "train", bad_rows)
    notes += [*more, bad_rows.note()]
  return Dataset(
      "span", "span", (),
      squad.V2_METRICS if options.version_2 else squad.V1_METRICS, read, "",
      notes=tuple(notes), span=options.to_dict())


def _answers(cell: Any) -> list[dict[str, Any]]:
  """Returns the answers of a cell, as SQuAD's files have them.

  A cell is an answer, several, or what Hugging Face's datasets have: texts and
  the places where each begins. In tables that stands as Python writes it.
  """
  if isinstance(cell, str) and cell.lstrip().startswith("{"):
    cell = literal(cell)
  if isinstance(cell, Mapping):
    texts, starts = several(cell.get("text")), several(
        cell.get("answer_start"))
    starts += [-1] * (len(texts) - len(starts))
    return [{"text": text, "answer_start": start}
            for text, start in zip(texts, starts)]
  return [{"text": label_name(one)} for one in several(cell)
          if one is not None and one != ""]
