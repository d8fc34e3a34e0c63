"""Reads files of a word a line, in the manner of the CoNLL shared tasks.

What a file's columns are is found out from all of its lines, and what cannot be
told is refused: a word that is a number of its row, or a tag that is a word,
would train without a word.
"""

import collections
import dataclasses
import itertools
import pathlib
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from tf_adapters.data.bad_rows import NO_LABEL, NUL, OTHER_COLUMNS, BadRows
from tf_adapters.data.encodings import (
    UTF_8,
    check_line_ends,
    not_decoded,
    read_lines,
)
from tf_adapters.data.tag_schemes import OUTSIDE, entity_tags
from tf_adapters.errors import InputError, listed

# What stands between cells where no tab does: not the blanks of Unicode, which
# are parts of words.
_BLANKS = " \t\r\n"
_COMMENT = re.compile(r"#(?:[ \t]|$|(?:begin|end) document\b)")
_NUMBER = re.compile(r"\d+")
# In CoNLL-U: words that are written as one, "3-4", and words that are left out
# in the sentence, "5.1".
_NO_WORD = re.compile(r"\d+-\d+|\d+\.\d+")
_CONLL_U = 10  # columns
# WikiANN has the language of each word in front of it: "en:Paris".
_LANGUAGE = re.compile(r"([a-z]+(?:-[a-z]+)*):(?=.)")
# What files with a header call their columns.
_WORD_NAMES = {"word", "words", "token", "tokens", "form", "text"}
_TAG_NAMES = {"tag", "tags", "label", "labels", "ner", "ner_tag", "ner_tags",
              "pos", "upos", "iob", "bio"}
# Files with fewer lines may well be as they look.
_MANY = 3


@dataclasses.dataclass(frozen=True)
class Sentence:
  """A sentence of a file: the line of each word, the words, their tags.

  Of a table in memory a line is a `RowName`.

  Attributes:
    name: what it is called in predictions, its number in the file.
  """

  lines: Sequence[int | str]
  words: Sequence[str]
  tags: Sequence[str]
  name: str


def _cells(text: str) -> list[str]:
  if "\t" in text:
    return text.split("\t")
  return list(filter(None, text.split(" ")))


class _Row(NamedTuple):
  """A line that is not empty: all of its cells would take ten times as much."""

  line: int
  text: str
  width: int
  first: str

  @property
  def cells(self) -> list[str]:
    return _cells(self.text)


@dataclasses.dataclass(frozen=True)
class _Layout:
  """The layout of a file: its columns.

  Attributes:
    width: how many there are.
    word, tag: their places, from 0.
    numbered: whether the first one counts the words of a sentence.
    tags: that stand in rows that are certainly none but rows.
    entities: places of other columns that say where entities are.
  """

  width: int
  word: int
  tag: int
  numbered: bool
  tags: Collection[str]
  entities: Sequence[int] = ()

  def __str__(self) -> str:
    others = ", ".join(str(place + 1) for place in self.entities)
    return (f"words are column {self.word + 1}, tags column {self.tag + 1} of "
            f"{self.width}"
            + (f"; there are tags of entities in column {others}, too"
               if others else ""))


def read_sentences(
    path: pathlib.Path, bad_rows: BadRows, word_column: int | None = None,
    tag_column: int | None = None, encoding: str = UTF_8,
) -> tuple[list[Sentence], list[str]]:
  """Reads the sentences of a file, except for bad ones.

  One word a line, its cells with tabs or else blanks between them; an empty
  line, or one that begins with "-DOCSTART-", ends a sentence. Lines that begin
  with "#" in front of a sentence are comments, unless they have the cells of a
  word.

  Args:
    path: the file.
    bad_rows: takes sentences with a line without a tag, of another number of
      columns, with a NUL byte or in another encoding.
    word_column: place of the words, from 0; None: the first column, or the
      second where the first one counts the words of each sentence.
    tag_column: place of the tags, from 0; None: the last column.
    encoding: see `encodings.read_lines`.

  Returns:
    The sentences, and what there is to know of how they were read.

  Raises:
    InputError: the file cannot be read, it cannot be told which column is
      which, there is no such column, or there is a bad sentence.
  """
  blocks = list(_blocks(path, encoding))
  _check_no_header(path, blocks)
  layout = _layout(path, blocks, word_column, tag_column)
  sentences, number, left_out = [], -1, 0
  for block in blocks:
    rows = _without_comments(block, layout)
    if layout.numbered:
      words = [row for row in rows if not _NO_WORD.fullmatch(row.first)]
      left_out += len(rows) - len(words)
      rows = words
    number += bool(rows)
    cells = [row.cells for row in rows]
    fault = next(filter(None, (
        _fault(row, parts, layout, encoding)
        for row, parts in zip(rows, cells))), None)
    if fault:
      bad_rows.refuse(*fault)
    elif rows:
      sentences.append(Sentence(
          [row.line for row in rows], [parts[layout.word] for parts in cells],
          [parts[layout.tag].strip() for parts in cells], str(number)))
  notes = [f"{path.name}: {layout}"] if layout.width > 2 else []
  if left_out:
    notes.append(f"{path.name}: {left_out:,} lines of several words (3-4) or "
                 "of none (5.1) left out: the words themselves have lines")
  if languages := _languages(sentences):
    sentences = [dataclasses.replace(sentence, words=[
        word.partition(":")[2] for word in sentence.words])
                 for sentence in sentences]
    notes.append(f"{path.name}: the language in front of each word "
                 f"({listed(languages, 5)}) is no part of it")
  return sentences, notes


def _languages(sentences: Sequence[Sentence]) -> list[str]:
  """Finds the languages in front of all words, with a colon; [] for none."""
  words = list(itertools.chain.from_iterable(
      sentence.words for sentence in sentences))
  languages = [match[1] for match in itertools.takewhile(
      bool, map(_LANGUAGE.match, words)) if match]
  return sorted(set(languages)) if (
      len(languages) == len(words) >= _MANY) else []


def _blocks(path: pathlib.Path, encoding: str) -> Iterator[list[_Row]]:
  """Yields lines that stand together."""
  block: list[_Row] = []
  for number, line in enumerate(
      itertools.chain(read_lines(path, encoding), [""]), 1):
    if number == 1:
      check_line_ends(path, line)
    text = line.rstrip("\r\n")
    cells = _cells(text) if text.strip(_BLANKS) else ["-DOCSTART-"]
    if cells[0] != "-DOCSTART-":
      block.append(_Row(number, text, len(cells), cells[0]))
    elif block:
      yield block
      block = []


def _check_no_header(path: pathlib.Path,
                     blocks: Sequence[Sequence[_Row]]) -> None:
  """Refuses names of columns, which would be a word and a tag of their own.

  Raises:
    InputError: the first line looks like them.
  """
  if blocks:
    first = blocks[0][0]
    names = [cell.strip().lower() for cell in first.cells]
    if _WORD_NAMES & set(names) and _TAG_NAMES & set(names):
      raise InputError(
          f"{path}:{first.line}: looks like the names of columns "
          f"({listed(first.cells, 5)}): remove the line")


def _without_comments(block: Sequence[_Row], layout: _Layout) -> list[_Row]:
  """Returns a sentence without the comments in front of it."""

  def is_comment(row: _Row) -> bool:
    if layout.numbered:
      return row.text.startswith("#")
    if not _COMMENT.match(row.text):
      return False
    if row.width != layout.width:
      return True
    tag = row.cells[layout.tag].strip()
    return not ("\t" in row.text or tag in layout.tags
                or not entity_tags([tag]).others)

  return list(itertools.dropwhile(is_comment, block))


def _fault(row: _Row, cells: Sequence[str], layout: _Layout,
           encoding: str) -> tuple[Any, ...] | None:
  """Returns the arguments of `BadRows.refuse` for a word's line, or None."""
  if "\0" in row.text:
    return row.line, NUL, "has a NUL byte in it"
  if fault := not_decoded(row.text, encoding):
    return row.line, *fault
  if 1 < len(cells) != layout.width:
    return row.line, OTHER_COLUMNS, (
        f"{len(cells)} columns, expected {layout.width}")
  if len(cells) == 1 or not (
      cells[layout.word].strip(_BLANKS) and cells[layout.tag].strip()):
    return row.line, NO_LABEL, "expected a word and its tag"
  tags = cells[layout.tag].split()
  if 1 < len(tags) == len(cells[layout.word].split()) and entity_tags(
      tags).entities:
    return row.line, NO_LABEL, (
        "expected a word and its tag on each line, not a sentence and its tags")
  return None


def _layout(path: pathlib.Path, blocks: Sequence[Sequence[_Row]],
            word: int | None, tag: int | None) -> _Layout:
  """Finds out what the columns of a file are.

  Raises:
    InputError: it cannot be told, or there is no such column.
  """
  plain: Sequence[Sequence[_Row]] = [
      [row for row in block if not row.text.startswith("#")]
      for block in blocks]
  if not any(plain):
    plain = blocks
  widths = collections.Counter(
      max(row.width, 2) for row in itertools.chain(*plain))
  width = max(widths, key=widths.__getitem__, default=2)
  rows = [[row for row in block if row.width == width] for block in plain]
  rows = list(filter(None, rows))
  for name, place in (("text_column", word), ("label_column", tag)):
    if rows and place is not None and place >= width:
      raise InputError(f"{path}:{rows[0][0].line}: has no column {place + 1}: "
                       f"{name} must be one of its {width}")
  numbered = word is None and _is_numbered(path, width, rows)
  if word is None:
    _check_not_the_same(path, width, rows)
    word = int(numbered)
  if tag is None:
    if numbered and width == _CONLL_U:
      raise InputError(
          f"{path}: has the columns of CoNLL-U: label_column says which one "
          "holds the tags: 4 for parts of speech (UPOS), 5 for a language's "
          "own (XPOS), 8 for relations (DEPREL)")
    tag = width - 1
    values = _values(width, rows)
    entities = _others_with_entities(path, values, word)
    return _Layout(width, word, tag, numbered, values[tag], entities)
  return _Layout(width, word, tag, numbered, _values(width, rows)[tag])


def _values(width: int, rows: Sequence[Sequence[_Row]]) -> list[set[str]]:
  """Collects the values of each column, but for those of possible comments."""
  values: list[set[str]] = [set() for _ in range(width)]
  for row in itertools.chain(*rows):
    if not row.text.startswith("#"):
      for column, cell in zip(values, row.cells):
        column.add(cell.strip())
  return values


def _others_with_entities(path: pathlib.Path, values: Sequence[Collection[str]],
                          word: int) -> list[int]:
  """Returns the places of columns, but the last, that say where entities are.

  Raises:
    InputError: there are such, and the last one is something else.
  """
  others = [place for place, column in enumerate(values[:-1])
            if place != word and OUTSIDE in column
            and entity_tags(column).entities]
  last = entity_tags(sorted(values[-1]))
  if others and last.others and not last.nearly:
    raise InputError(
        f"{path}: column {others[-1] + 1} has tags of entities, and the last "
        f"one something else ({listed(last.others, 3)}): label_column says "
        "which one holds the tags")
  return others


def _is_numbered(path: pathlib.Path, width: int,
                 rows: Sequence[Sequence[_Row]]) -> bool:
  """Returns whether the first column counts the words of each sentence.

  Raises:
    InputError: it holds numbers that do not, or there is no column of words
      beside it.
  """
  first = [[row.first for row in block] for block in rows]
  cells = list(itertools.chain(*first))
  numbers = sum(bool(_NUMBER.fullmatch(cell) or _NO_WORD.fullmatch(cell))
                for cell in cells)
  if len(cells) < 2 or numbers < 0.9 * len(cells):
    return False
  wrong = next(filter(None, map(_out_of_order, rows)), None)
  if width == 2:
    if wrong or max(map(len, first)) < _MANY:
      return False  # a text of numbers
    raise InputError(f"{path}:{rows[0][0].line}: column 1 counts the words, "
                     "and there is no column of words")
  if wrong:
    raise InputError(
        f"{path}:{wrong.line}: column 1 holds numbers, and {wrong.first!r} "
        "does not count the words of the sentence: say which column the words "
        "are in, such as text_column=2")
  return True


def _out_of_order(block: Sequence[_Row]) -> _Row | None:
  """Returns the first row that is not numbered as it should be."""
  expected = None
  for row in block:
    if _NO_WORD.fullmatch(row.first):
      continue
    if not _NUMBER.fullmatch(row.first):
      return row
    number = int(row.first)
    if number != expected and (expected is not None or number > 1):
      return row
    expected = number + 1
  return None


def _check_not_the_same(path: pathlib.Path, width: int,
                        rows: Sequence[Sequence[_Row]]) -> None:
  """Refuses a first column that says what a sentence is from.

  Raises:
    InputError: the lines of each sentence begin with the same cell.
  """
  long = [block for block in rows if len(block) >= _MANY]
  if width > 2 and len(long) >= _MANY and all(
      len({row.first for row in block}) == 1 for block in long):
    raise InputError(
        f"{path}:{long[0][0].line}: column 1 is {long[0][0].first!r} in "
        "each line of the sentence: say which column the words are in, such "
        "as text_column=2")
