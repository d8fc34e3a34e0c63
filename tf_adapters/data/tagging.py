"""Tagging tasks: a label for each word, from CoNLL-style files.

Words are labelled at their first wordpiece; the way back, from a model's
outputs to words' tags, is here too.
"""

import dataclasses
import pathlib
import re
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_adapters.data import batching
from tf_adapters.data.tables import read_text
from tf_adapters.data.tasks import Task
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

  def sample(self, count: int, seed: int) -> "TaggedSplit":
    """`count` sentences drawn by a seed, in their old order."""
    rows = batching.sample_rows(len(self), count, seed)
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
    return EncodedWords(text, word_ids, type_ids, labels, starts)


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


def load(data_dir: str | None, labels: Sequence[str] | None = None) -> Task:
  """Loads the tagging task that is in a folder's files.

  One word a line, then a tab or blanks and the tag, in the last column where
  there are more; an empty line ends a sentence. "-DOCSTART-" lines are left
  out. The files' names contain train, dev (or valid, testa) and test.

  Args:
    data_dir: the folder.
    labels: tags in order; None takes those of the training file, sorted.

  Raises:
    InputError: there are no files or several for a split, a line has no tag, or
      a tag is unknown.
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
  read = {split: _read(path) for split, path in files.items()}
  if labels is None:
    first = next(iter(read.values()))
    labels = sorted({tag for _, _, tags in first for tag in tags},
                    key=lambda tag: (tag != OUTSIDE, tag))
  if len(labels) < 2:
    raise InputError(
        f"{next(iter(files.values()))}: has one tag only ({labels[0]!r}): "
        "nothing to learn")
  numbers = {tag: number for number, tag in enumerate(labels)}
  splits = {}
  for split, sentences in read.items():
    for lines, words, tags in sentences:
      for line, word, tag in zip(lines, words, tags):
        if tag not in numbers:
          raise InputError(
              f"{files[split]}:{line}: tag {tag!r} of {word!r} is not one of "
              f"{', '.join(labels)}")
    splits[split] = TaggedSplit(
        [words for _, words, _ in sentences],
        [np.array([numbers[tag] for tag in tags], np.int32)
         for _, _, tags in sentences],
        [str(row) for row in range(len(sentences))])
  return Task(
      "tagging", "tagging", tuple(labels),
      _ENTITY_METRICS if all(map(_ENTITY_TAG.fullmatch, labels))
      else ("token_accuracy", "macro_f1"), splits, str(folder))


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


def _read(
    path: pathlib.Path) -> list[tuple[list[int], list[str], list[str]]]:
  """(lines, words, tags) of each sentence."""
  sentences = []
  numbers: list[int] = []
  words: list[str] = []
  tags: list[str] = []
  lines = read_text(path).split("\n")
  for number, line in enumerate([*lines, ""], 1):
    line = line.strip("\r")
    if not line.strip():
      if words:
        sentences.append((numbers, words, tags))
        numbers, words, tags = [], [], []
      continue
    cells = line.split("\t") if "\t" in line else line.split()
    # Comments stand before a sentence and are no two cells with a tab.
    comment = not words and line.startswith("# ") and "\t" not in line
    if cells[0] == "-DOCSTART-" or comment:
      continue
    if len(cells) < 2 or not cells[0].strip() or not cells[-1].strip():
      raise InputError(f"{path}:{number}: expected a word and its tag")
    numbers.append(number)
    words.append(cells[0])
    tags.append(cells[-1].strip())
  if not sentences:
    raise InputError(f"{path}: is empty")
  return sentences
