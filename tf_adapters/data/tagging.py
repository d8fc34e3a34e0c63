"""Tagging tasks: a label for each word, from CoNLL-style files.

Words are labelled at their first wordpiece; the way back, from a model's
outputs to words' tags, is here too.
"""

import dataclasses
import itertools
import pathlib
import re
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from tf_adapters.data import batching
from tf_adapters.data.bad_rows import (
    NO_LABEL,
    NO_UTF_8,
    NUL,
    UNKNOWN_LABEL,
    BadRows,
)
from tf_adapters.data.tables import check_line_ends, is_utf_8, read_lines
from tf_adapters.data.tasks import Task, alike, unknown_label
from tf_adapters.errors import InputError
from tf_adapters.modeling.text import TextProcessor

OUTSIDE = "O"

_SPLITS = {"train": "train", "validation": "dev|valid|testa",
           "test": "(?<![a-z])test"}
_ENDINGS = {"", ".conll", ".txt", ".tsv", ".iob", ".iob2", ".bio",
            ".annotated", ".train", ".dev", ".test", ".testa", ".testb"}

# Entities: tags that say where a stretch of words begins, goes on and ends.
_ENTITY_TAG = re.compile(r"O|[BIES]-.+")
_ENTITY_METRICS = (
    "entity_f1", "entity_precision", "entity_recall", "token_accuracy")


@dataclasses.dataclass(frozen=True)
class TaggedSplit:
  """Sentences of words with tags.

  Attributes:
    words: the words of each sentence.
    tags: the number of each word's tag, or None.
    ids: what each sentence is called.
  """

  words: Sequence[Sequence[str]]
  tags: Sequence[np.ndarray] | None
  ids: Sequence[str]

  def __len__(self) -> int:
    return len(self.words)

  pairs = False

  @property
  def labels(self) -> Sequence[np.ndarray] | None:
    return self.tags

  def take(self, rows: Sequence[int]) -> "TaggedSplit":
    """The sentences of these numbers, in this order."""
    return TaggedSplit(
        [self.words[row] for row in rows],
        None if self.tags is None else [self.tags[row] for row in rows],
        [self.ids[row] for row in rows])

  def check(self, text: TextProcessor) -> None:
    """Does nothing: sentences of every length are cut."""

  def encode(self, text: TextProcessor) -> "EncodedWords":
    """Tokenises the split; see `EncodedWords`."""
    words = tf.RaggedTensor.from_row_lengths(
        tf.constant([word for words in self.words for word in words],
                    tf.string),
        [len(words) for words in self.words])
    word_ids, type_ids, starts = text.pack_words(words)
    labels = None
    if self.tags is not None:
      kept = starts.flat_values.numpy() >= 0
      # Where words begin among the wordpieces of all sentences.
      places = (tf.gather(word_ids.row_starts(), starts.value_rowids())
                + tf.cast(starts.flat_values, tf.int64)).numpy()
      flat = np.full(len(word_ids.flat_values), batching.UNLABELLED, np.int32)
      flat[places[kept]] = np.concatenate(self.tags)[kept]
      labels = word_ids.with_flat_values(tf.constant(flat))
    return EncodedWords(
        text, word_ids, type_ids, labels, starts,
        cut=int(tf.math.count_nonzero(starts.flat_values < 0)))


@dataclasses.dataclass(frozen=True)
class EncodedWords(batching.Encoded):
  """Sentences as wordpiece ids; labels stand at words' first wordpieces.

  Attributes:
    starts: position of each word's first wordpiece, ragged [rows, (words)], -1
      for a word that was cut off.
  """

  starts: tf.RaggedTensor

  def tags(self, outputs: Sequence[np.ndarray],
           labels: Sequence[str]) -> list[list[str]]:
    """The predicted tag of each word.

    Args:
      outputs: logits [length, labels] of each sentence.
      labels: the tags' names.

    Returns:
      Names, as many as words: words that were cut off are outside, or of the
      first label where there is no outside.
    """
    return [[labels[number] for number in at_words(
        logits, np.array(starts, np.int64), labels).argmax(axis=-1)]
            for logits, starts in zip(outputs, self.starts.to_list())]


def at_words(logits: np.ndarray, starts: np.ndarray,
             labels: Sequence[str]) -> np.ndarray:
  """A model's outputs for the words of a sentence.

  Args:
    logits: [length, labels].
    starts: position of each word's first wordpiece, -1 for one that was cut
      off.
    labels: the tags' names.

  Returns:
    [words, labels]; a word that was cut off is certainly outside, or has the
    first label where there is no outside.
  """
  outside = labels.index(OUTSIDE) if OUTSIDE in labels else 0
  cut_off = np.full(len(labels), -np.inf, logits.dtype)
  cut_off[outside] = 0.0
  return np.where((starts < 0)[:, np.newaxis], cut_off, logits[starts])


# A sentence of a file: the line of each word, the words, their tags.
_Sentence = tuple[list[int], list[str], list[str]]


def load(data_dir: str | None, labels: Sequence[str] | None = None,
         on_bad_row: str = "error") -> Task:
  """Loads the tagging task that is in a folder's files.

  One word a line, then a tab or blanks and the tag, in the last column where
  there are more; an empty line ends a sentence. "-DOCSTART-" lines are left
  out. The files' names contain train, dev (or valid, testa) and test.

  Args:
    data_dir: the folder.
    labels: tags in order; None takes those of the training file, sorted.
    on_bad_row: see `BadRows`. A row is a sentence; a bad one has a line without
      a tag, with an unknown one, with a NUL byte or of no UTF-8.

  Raises:
    InputError: there are no files or several for a split, there is a bad
      sentence, or tags differ in case only.
  """
  if data_dir is None:
    raise InputError("task tagging: needs data_dir, the folder of your files")
  folder = pathlib.Path(data_dir)
  if not folder.is_dir():
    raise InputError(f"{folder}: no such folder")
  files = _find(folder)
  if not files:
    raise InputError(
        f"{folder}: no files: expected names with train, dev or test in them, "
        "ending in .conll, .txt or .tsv")
  bad_rows = {split: BadRows(path, on_bad_row, "sentences")
              for split, path in files.items()}
  read = {split: list(_read(path, bad_rows[split]))
          for split, path in files.items()}
  if labels is None:
    first = next(iter(read))
    labels = _tags(files[first], read[first], bad_rows[first])
  numbers = {tag: number for number, tag in enumerate(labels)}
  splits = {}
  for split, sentences in read.items():
    if not sentences and not bad_rows[split].count:
      raise InputError(f"{files[split]}: is empty")
    known = []
    for lines, words, tags in sentences:
      place = next((place for place, tag in enumerate(tags)
                    if tag not in numbers), None)
      if place is None:
        known.append((words, tags))
      else:
        bad_rows[split].refuse(
            lines[place], UNKNOWN_LABEL,
            f"of {words[place]!r}: {unknown_label(tags[place], numbers)}")
    splits[split] = TaggedSplit(
        [words for words, _ in known],
        [np.array([numbers[tag] for tag in tags], np.int32)
         for _, tags in known],
        [str(row) for row in range(len(known))])
  return Task(
      "tagging", "tagging", tuple(labels),
      _ENTITY_METRICS if all(map(_ENTITY_TAG.fullmatch, labels))
      else ("token_accuracy", "macro_f1"), splits, str(folder),
      notes=tuple(rows.note() for rows in bad_rows.values()))


def _tags(path: pathlib.Path, sentences: Sequence[_Sentence],
          bad_rows: BadRows) -> list[str]:
  """The tags of a file, in order."""
  lines: dict[str, int] = {}
  for places, _, tags in sentences:
    for line, tag in zip(places, tags):
      lines.setdefault(tag, line)
  if pair := alike(lines):
    raise InputError(
        f"{path}:{lines[pair[1]]}: tag {pair[1]!r} differs from {pair[0]!r} in "
        f"line {lines[pair[0]]} in case only: give both one name")
  names = sorted(lines, key=lambda tag: (tag != OUTSIDE, tag))
  if len(names) < 2:
    wrong = (f"has one tag only ({names[0]!r}): nothing to learn" if names
             else "is empty")
    raise InputError("; ".join(filter(None, [
        f"{path}: {wrong}", bad_rows.note()])))
  return names


def _find(folder: pathlib.Path) -> dict[str, pathlib.Path]:
  paths = [path for path in sorted(folder.iterdir())
           if path.is_file() and path.suffix in _ENDINGS]
  files = {}
  for split, pattern in _SPLITS.items():
    found = [path for path in paths if re.search(pattern, path.name.lower())
             and path not in files.values()]
    if len(found) > 1:
      raise InputError(
          f"{folder}: both {found[0].name} and {found[1].name} could be the "
          f"{split} split")
    if found:
      files[split] = found[0]
  return files


def _read(path: pathlib.Path, bad_rows: BadRows) -> Iterator[_Sentence]:
  """The sentences of a file, but for bad ones."""
  sentence: _Sentence = [], [], []
  fault = None
  for number, line in enumerate(itertools.chain(read_lines(path), [""]), 1):
    if number == 1:
      check_line_ends(path, line)
    line = line.rstrip("\r\n")
    if not line.strip():
      if fault:
        bad_rows.refuse(*fault)
      elif sentence[0]:
        yield sentence
      sentence, fault = ([], [], []), None
      continue
    cells = line.split("\t") if "\t" in line else line.split()
    # Comments stand before a sentence and are no two cells with a tab.
    comment = (not sentence[0] and line.startswith("# ")
               and "\t" not in line)
    if cells[0] == "-DOCSTART-" or comment:
      continue
    fault = fault or _fault(number, line, cells)
    for part, value in zip(sentence, (number, cells[0], cells[-1].strip())):
      part.append(value)


def _fault(line: int, text: str,
           cells: Sequence[str]) -> tuple[int, str, str] | None:
  """What `BadRows.refuse` is told of a word's line, or None."""
  if "\0" in text:
    return line, NUL, "has a NUL byte in it"
  if not is_utf_8(text):
    return line, NO_UTF_8, "is no UTF-8 text"
  if len(cells) < 2 or not cells[0].strip() or not cells[-1].strip():
    return line, NO_LABEL, "expected a word and its tag"
  return None
