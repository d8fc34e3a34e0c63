"""Tagging tasks: a label for each word, from CoNLL-style files.

Words are labelled at their first wordpiece; the way back, from a model's
outputs to words' tags, is here too.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tf_adapters.data import batching
from tf_adapters.data.bad_rows import UNKNOWN_LABEL, BadRows, at, in_line
from tf_adapters.data.conll import Sentence, read_sentences
from tf_adapters.data.dataset import Dataset
from tf_adapters.data.encodings import UTF_8
from tf_adapters.data.folders import data_folder, find_splits
from tf_adapters.data.labels import alike, unknown_label
from tf_adapters.data.tag_schemes import OUTSIDE, entity_tags
from tf_adapters.errors import InputError, listed
from tf_adapters.modeling.text import TextProcessor

_SPLITS = {"train": "train", "validation": "dev|valid|testa|(?<![a-z])e?val",
           "test": "(?<![a-z])test(?!a(?![a-z]))"}
_ENDINGS = ("", ".conll", ".conllu", ".txt", ".tsv", ".iob", ".iob2", ".bio",
            ".bio2", ".bioes", ".bmes", ".bieo", ".ner", ".annotated", ".train",
            ".dev", ".test", ".testa", ".testb")

ENTITY_METRICS = (
    "entity_f1", "entity_precision", "entity_recall", "token_accuracy")
TOKEN_METRICS = ("token_accuracy", "macro_f1")
# More tags than words are seldom tags.
_MANY_TAGS = 10


@dataclasses.dataclass(frozen=True, repr=False)
class TaggedSplit:
  """Sentences of words with tags.

  Attributes:
    words: the words of each sentence.
    tags: the number of each word's tag, or None.
    ids: what each sentence is called.
    label_names: what the numbers are called, where that is known.
  """

  words: Sequence[Sequence[str]]
  tags: Sequence[np.ndarray] | None
  ids: Sequence[str]
  label_names: tuple[str, ...] = ()

  def __len__(self) -> int:
    return len(self.words)

  def __repr__(self) -> str:
    return f"TaggedSplit({len(self):,} sentences)"

  pairs = False

  @property
  def labels(self) -> Sequence[np.ndarray] | None:
    return self.tags

  def contents(self) -> Sequence[Hashable]:
    """Returns the sentences."""
    return list(map(tuple, self.words))

  def groups(self) -> Sequence[Hashable]:
    """As `contents`."""
    return self.contents()

  def take(self, rows: Sequence[int] | np.ndarray) -> "TaggedSplit":
    """Returns the sentences of these numbers, in this order."""
    return TaggedSplit(
        [self.words[row] for row in rows],
        None if self.tags is None else [self.tags[row] for row in rows],
        [self.ids[row] for row in rows], self.label_names)

  def with_labels(self, places: Sequence[int], count: int) -> "TaggedSplit":
    """Returns the same with other numbers: label i becomes `places[i]`."""
    del count
    return dataclasses.replace(self, label_names=(), tags=None if (
        self.tags is None) else [
            np.array(places, np.int32)[tags] for tags in self.tags])

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

  def cut_note(self) -> str:
    """As `Encoded.cut_note`, of words."""
    words = int(tf.size(self.starts.flat_values))
    return (f"{self.cut:,} of {words:,} words stand behind the first "
            f"{self.text.max_length} wordpieces, and are not seen"
            if self.cut else "")

  def at_words(self, outputs: Sequence[np.ndarray],
               labels: Sequence[str]) -> list[np.ndarray]:
    """As the function `at_words`, of each sentence.

    Args:
      outputs: logits [length, labels] of each sentence.
      labels: the tags' names.
    """
    return [at_words(logits, np.array(starts, np.int64), labels)
            for logits, starts in zip(outputs, self.starts.to_list())]


def at_words(logits: np.ndarray, starts: np.ndarray,
             labels: Sequence[str]) -> np.ndarray:
  """Takes a model's outputs for the words of a sentence.

  Args:
    logits: [length, labels].
    starts: position of each word's first wordpiece, -1 for one that was cut
      off.
    labels: the tags' names.

  Returns:
    [words, labels]; a word that was cut off is certainly outside, or has the
    first label where there is no outside.
  """
  return np.where((starts < 0)[:, np.newaxis],
                  of_cut_off(labels).astype(logits.dtype), logits[starts])


def of_cut_off(labels: Sequence[str]) -> np.ndarray:
  """Returns outputs that stand for a word that was cut off, [labels]."""
  logits = np.full(len(labels), -np.inf, np.float32)
  logits[labels.index(OUTSIDE) if OUTSIDE in labels else 0] = 0.0
  return logits


def load(data_dir: str | None, labels: Sequence[str] | None = None,
         on_bad_row: str = "error", text_column: str = "text",
         label_column: str = "label", encoding: str = UTF_8) -> Dataset:
  """Loads the tagging task that is in a folder's files.

  See `conll.read_sentences` for the files. Their names contain train, dev (or
  valid, val, testa) and test.

  Args:
    data_dir: the folder.
    labels: tags in order; None takes those of the training file, sorted.
    on_bad_row: see `BadRows`. A row is a sentence; a bad one has a line without
      a tag, with an unknown one, of another number of columns, with a NUL byte
      or in another encoding.
    text_column: number of the words' column, from 1; "text" finds it: the
      first one, or the second where the first one counts the words.
    label_column: number of the tags' column, from 1; "label" is the last one.
    encoding: of the files, see `encodings.read_lines`.

  Returns:
    A task that is measured by its entities, where tags say where these are; its
    notes say why, where they do not.

  Raises:
    InputError: there are no files or several for a split, it cannot be told
      which column is which, there is a bad sentence, or tags differ in case
      only.
  """
  if data_dir is None:
    raise InputError("task tagging: needs data_dir, the folder of your files")
  folder = data_folder(data_dir)
  columns = (_place("text_column", text_column, "text"),
             _place("label_column", label_column, "label"))
  files, unread = find_splits(
      folder, _SPLITS, _ENDINGS,
      "names with train, dev or test in them, ending in .conll, .txt or .tsv")
  bad_rows = {split: BadRows(path, on_bad_row, "sentences")
              for split, path in files.items()}
  read, notes = {}, []
  for split, path in files.items():
    read[split], more = read_sentences(
        path, bad_rows[split], *columns, encoding)
    notes += more
  task = of_sentences(read, files, bad_rows, labels, notes)
  return dataclasses.replace(
      task, origin=str(folder), notes=(*task.notes, unread),
      files={split: [path] for split, path in files.items()})


def of_sentences(
    read: Mapping[str, Sequence[Sentence]], paths: Mapping[str, pathlib.Path],
    bad_rows: Mapping[str, BadRows], labels: Sequence[str] | None,
    notes: Sequence[str] = ()) -> Dataset:
  """Makes the task that is in the sentences of its splits.

  Args:
    read: split -> its sentences; the first one says which tags there are.
    paths: split -> what to call where they are from.
    bad_rows: split -> what takes the sentences that cannot be used.
    labels: as for `load`.
    notes: what is known of them already.

  Raises:
    InputError: as for `load`.
  """
  first = next(iter(read))
  lines = _tag_lines(read[first])
  if labels is None:
    labels = _tags(
        paths[first], read[first], lines, [*notes, bad_rows[first].note()])
  numbers = {tag: number for number, tag in enumerate(labels)}
  splits = {}
  for split, sentences in read.items():
    if not sentences and not bad_rows[split].count:
      raise InputError(f"{paths[split]}: is empty")
    known = []
    for sentence in sentences:
      place = next((place for place, tag in enumerate(sentence.tags)
                    if tag not in numbers), None)
      if place is None:
        known.append(sentence)
      else:
        bad_rows[split].refuse(
            sentence.lines[place], UNKNOWN_LABEL,
            functools.partial(_unknown_tag, sentence, place, numbers))
    splits[split] = TaggedSplit(
        [sentence.words for sentence in known],
        [np.array([numbers[tag] for tag in sentence.tags], np.int32)
         for sentence in known],
        [sentence.name for sentence in known])
  notes = [*notes, *(rows.note(scored=split != "train")
                     for split, rows in bad_rows.items())]
  entities = entity_tags(labels).entities
  if not entities:
    notes.append(_no_entities(labels, paths[first], lines))
  return Dataset(
      "tagging", "tagging", tuple(labels),
      ENTITY_METRICS if entities else TOKEN_METRICS, splits,
      str(paths[first]), notes=tuple(notes))


def _unknown_tag(sentence: Sentence, place: int, tags: Iterable[str]) -> str:
  return (f"of {sentence.words[place]!r}: "
          f"{unknown_label(sentence.tags[place], tags)}")


def _place(flag: str, column: str, found_out: str) -> int | None:
  """Returns a column's place from 0, or None for one that is to be found out.
  """
  if column == found_out:
    return None
  if not (column.isascii() and column.isdigit() and int(column)):
    raise InputError(f"task tagging: {flag} must be the number of a column, "
                     f"from 1, not {column!r}")
  return int(column) - 1


def _tag_lines(sentences: Sequence[Sentence]) -> dict[str, int | str]:
  """Returns the tags of a file, and the line where each stands first."""
  lines: dict[str, int | str] = {}
  for sentence in sentences:
    for line, tag in zip(sentence.lines, sentence.tags):
      lines.setdefault(tag, line)
  return lines


def _tags(path: pathlib.Path, sentences: Sequence[Sentence],
          lines: Mapping[str, int | str], notes: Sequence[str]) -> list[str]:
  """Returns the tags of a file, in order."""
  if pair := alike(lines):
    raise InputError(
        f"{at(path, lines[pair[1]])}: tag {pair[1]!r} differs from {pair[0]!r} "
        f"{in_line(lines[pair[0]])} in {pair[2]} only: give both one name")
  names = sorted(lines, key=lambda tag: (tag != OUTSIDE, tag))
  if len(names) < 2:
    wrong = (f"has one tag only ({names[0]!r}): nothing to learn" if names
             else "is empty")
    raise InputError("; ".join(filter(None, [f"{path}: {wrong}", *notes])))
  words = {word for sentence in sentences for word in sentence.words}
  if len(names) > max(len(words), _MANY_TAGS) or (
      entity_tags(words).entities and entity_tags(names).others):
    raise InputError(
        f"{path}: has {len(names):,} different tags ({listed(names, 3)}), but "
        f"{len(words):,} different words ({listed(sorted(words), 3)}): "
        "text_column and label_column say which column is which")
  return names


def _no_entities(labels: Sequence[str], path: pathlib.Path,
                 lines: Mapping[str, int | str]) -> str:
  """Says why a task is not measured by its entities."""
  tags = entity_tags(labels)
  what = "no entity F1; token_accuracy selects the best epoch: "
  if not tags.nearly:
    return what + (f"tags such as {listed(tags.others or labels, 3)} do not "
                   "say where entities begin (B-), go on (I-) and end")
  most = next(tag for tag in tags.seqevals if tag != OUTSIDE)
  odd = [f"{tag!r} ({at(path.name, lines[tag])})" if tag in lines
         else repr(tag) for tag in tags.others]
  return what + (f"most tags are like {most!r}, but not "
                 f"{listed(odd, 5)}: is it a mistake?")
