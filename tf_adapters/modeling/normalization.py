"""BERT's normalisation of text, as a table for tensorflow_text's normalizer.

What google-research/bert tokenization.py does to a text before wordpieces are
looked for, character by character: `_clean_text`, `_tokenize_chinese_chars`,
lower-casing and `_run_strip_accents`. tensorflow_text's own table departs from
it (it folds cases and compatibility characters: "ß" becomes "ss", "…" three
dots, and the sigma at a word's end another one). So the table is made here,
from Python's Unicode data as in the original, in the form that
`FastBertNormalizer` reads: a flatbuffer with a trie of the characters that
change.
"""

import functools
import unicodedata
from collections.abc import Callable, Iterator

import flatbuffers
import numpy as np

# CJK ideographs as in google-research/bert: each is a word of its own. Hangul,
# Hiragana and Katakana are not among them.
_CHINESE = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F))
# What takes their place where they are to be letters like others, since
# tensorflow_text always splits at them: characters for private use.
_FIRST_ALIAS = 0xF0000

# No character in these ranges changes: unassigned planes, and private use.
_UNCHANGED = ((0xD800, 0xF8FF), (0x323B0, 0xDFFFF), (0xE1000, 0x10FFFF))

_CHANGES = 1 << 30  # set in the values of a trie
_IS_LEAF = 1 << 31


def normalize(character: str, lower_case: bool, strip_accents: bool) -> str:
  """Normalizes a character as BERT does; "" for one that it drops.

  Example:
    >>> normalize("É", lower_case=True, strip_accents=True)
    'e'
  """
  category = unicodedata.category(character)
  if category == "Zs" or character in "\t\n\r\u2028\u2029":
    return " "
  if category in ("Cc", "Cf") or character == "\ufffd":
    return ""
  if lower_case:
    character = character.lower()
  if strip_accents:
    character = "".join(
        part for part in unicodedata.normalize("NFD", character)
        if unicodedata.category(part) != "Mn")
  return character


def alias(text: str) -> str:
  """Makes a text whose CJK ideographs are no words of their own.

  Of normalised texts and of the vocabulary alike.
  """
  return "".join(_alias(character) for character in text)


def _alias(character: str) -> str:
  code, place = ord(character), _FIRST_ALIAS
  for first, last in _CHINESE:
    if first <= code <= last:
      return chr(place + code - first)
    place += last - first + 1
  return character


@functools.lru_cache(maxsize=4)
def normalizer_model(lower_case: bool, strip_accents: bool,
                     split_chinese: bool = True) -> np.ndarray:
  """Makes a model for `tf_text.FastBertNormalizer`.

  Args:
    lower_case: whether texts are lower-cased.
    strip_accents: whether they lose their accents: what is of category Mn in
      their canonical decomposition.
    split_chinese: whether CJK ideographs are words of their own; if not, texts
      are `alias`ed.

  Returns:
    A flatbuffer: uint8 [bytes].
  """

  def change(character: str) -> str:
    text = normalize(character, lower_case, strip_accents)
    return text if split_chinese else alias(text)

  return character_model(change, lower_case)


def character_model(change: Callable[[str], str],
                    lower_case: bool = False) -> np.ndarray:
  """Makes a model for `tf_text.FastBertNormalizer` of a change of characters.

  Args:
    change: what becomes of a character; "" where it is dropped.
    lower_case: what the model says of itself.

  Returns:
    A flatbuffer: uint8 [bytes].
  """
  values, pool = {}, bytearray()
  places: dict[str, int] = {}
  for character in _characters():
    text = change(character)
    if text != character:
      data = text.encode()
      if text not in places:
        places[text] = len(pool)
        pool += data
      values[character] = _CHANGES | places[text] << 6 | len(data)
  zero = values.pop("\0", 0)
  builder = flatbuffers.Builder()
  trie = builder.CreateNumpyVector(_trie(values))
  strings = builder.CreateByteVector(bytes(pool))
  builder.StartObject(4)
  builder.PrependBoolSlot(0, lower_case, False)
  builder.PrependUOffsetTRelativeSlot(1, trie, 0)
  builder.PrependInt32Slot(2, zero, 0)
  builder.PrependUOffsetTRelativeSlot(3, strings, 0)
  builder.Finish(builder.EndObject())
  return np.frombuffer(bytes(builder.Output()), np.uint8)


def _characters() -> Iterator[str]:
  """Yields the characters that may change."""
  code = 0
  for first, last in _UNCHANGED:
    yield from map(chr, range(code, first))
    code = last + 1


def _trie(values: dict[str, int]) -> np.ndarray:
  """Makes a double-array trie in the units of darts-clone: UTF-8 -> value.

  A unit holds the byte that leads to it, and what its place is to be xored with
  for the place of its children (or of its value). All that follow a byte lie in
  64 units of their own, since only bytes from 0x80 to 0xBF follow another;
  values lie behind them.
  """
  nodes = {b"": 0}  # what leads to a node -> where its children's units begin
  used = 256
  for character in values:
    key = character.encode()
    for length in range(1, len(key)):
      if key[:length] not in nodes:
        nodes[key[:length]] = used
        used += 64
  leaves = {value: used + number
            for number, value in enumerate(dict.fromkeys(values.values()))}
  units = np.zeros([used + len(leaves)], np.uint32)
  units[used:] = [_IS_LEAF | value for value in leaves]

  def place(key: bytes) -> int:
    return nodes[key[:-1]] + (key[-1] & 0x3F if len(key) > 1 else key[-1])

  for key, begin in nodes.items():
    if key:  # the root's children lie at its own place
      units[place(key)] = key[-1] | (place(key) ^ begin ^ 0x80) << 10
  for character, value in values.items():
    key = character.encode()
    units[place(key)] = (
        key[-1] | 1 << 8 | (place(key) ^ leaves[value]) << 10)
  return units
