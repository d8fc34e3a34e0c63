"""Byte-level BPE by the rules of GPT-2, in plain Python.

Written from openai/gpt-2's encoder.py. Nothing here imports the package.
tests/modeling/vocabularies/make_goldens.py compares it with transformers'
tokenizers.
"""

import itertools
import math
import re
import unicodedata

_SUFFIXES = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")


def train(special, texts, size=500, normalizer=None):
  """A small tokenizer of the library `tokenizers`."""
  import tokenizers

  tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
      add_prefix_space=False)
  tokenizer.decoder = tokenizers.decoders.ByteLevel()
  if normalizer:
    tokenizer.normalizer = normalizer
  tokenizer.train_from_iterator(texts, tokenizers.trainers.BpeTrainer(
      vocab_size=size, special_tokens=special, show_progress=False,
      initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()))
  return tokenizer


class BytePairs:
  """Turns texts into ids, without special tokens.

  Args:
    vocabulary: anything with the attributes of a `BytePairsVocabulary`.
  """

  def __init__(self, vocabulary):
    self._vocabulary = vocabulary
    self._ids = {token: place for place, token in enumerate(vocabulary.tokens)}
    self._ranks = {tuple(merge.split(" ")): rank
                   for rank, merge in enumerate(vocabulary.merges)}
    # Leftmost first, and the longest of those that begin at one place.
    added = sorted(vocabulary.added, key=len, reverse=True)
    self._added = f"({'|'.join(map(re.escape, added))})" if added else None

  def ids(self, text):
    if self._vocabulary.normalization:
      text = unicodedata.normalize(self._vocabulary.normalization, text)
    parts = re.split(self._added, text) if self._added else [text]
    result = []
    for part in parts:
      if part in self._vocabulary.added:
        result.append(self._ids[part])
        continue
      if self._vocabulary.add_prefix_space and part and _kind(part[0]) != " ":
        part = f" {part}"
      for word in _words(part):
        letters = [_LETTERS[byte] for byte in word.encode()]
        result += [self._ids[token] for token in _merged(letters, self._ranks)]
    return result


def _words(text):
  """Letters, digits or signs with a blank in front of them; white space."""
  place = 0
  while place < len(text):
    suffix = next((suffix for suffix in _SUFFIXES
                   if text.startswith(suffix, place)), None)
    if suffix:
      end = place + len(suffix)
    else:
      end = place
      if text[place] == " " and _kind(text[place + 1:place + 2]) != " ":
        end += 1
      kind = _kind(text[end:end + 1])
      while end < len(text) and _kind(text[end]) == kind:
        end += 1
      # The last blank belongs to what follows.
      if kind == " " and end < len(text) and end - place > 1:
        end -= 1
    yield text[place:end]
    place = end


def _kind(character):
  """One for letters, for digits, for signs, for white space and for nothing."""
  # Unlike Python's, Unicode's white space has no separators of files.
  if not character or (character.isspace() and not (
      "\x1c" <= character <= "\x1f")):
    return " "
  kind = unicodedata.category(character)[0]
  return kind if kind in "LN" else "S"


def _merged(parts, ranks):
  """Parts of which the pair with the lowest rank becomes one, and so on."""
  while len(parts) > 1:
    pair = min(itertools.pairwise(parts),
               key=lambda pair: ranks.get(pair, math.inf))
    if pair not in ranks:
      break
    joined = []
    for part in parts:
      if joined and (joined[-1], part) == pair:
        joined[-1] += part
      else:
        joined.append(part)
    parts = joined
  return parts


def _letters():
  """A byte -> the letter that stands for it in tokens."""
  kept = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1),
          *range(ord("®"), ord("ÿ") + 1)]
  others = [byte for byte in range(256) if byte not in kept]
  return {**{byte: chr(byte) for byte in kept},
          **{byte: chr(256 + place) for place, byte in enumerate(others)}}


_LETTERS = _letters()
