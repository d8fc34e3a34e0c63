"""google-research/bert's tokenization.py in plain Python, from its rules.

What the tokenizer of the project is compared with. With `strip_accents`,
`split_chinese` and `added` it is also what Hugging Face's BertTokenizer does.
"""

import re
import unicodedata

CHINESE = [(0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF),
           (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF),
           (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)]


def is_chinese(character):
  return any(first <= ord(character) <= last for first, last in CHINESE)


def is_punctuation(character):
  if ord(character) < 128:
    return character.isprintable() and not character.isalnum() and (
        character != " ")
  return unicodedata.category(character).startswith("P")


def clean(text):
  """Without control characters, and with blanks for all white space."""
  result = []
  for character in text:
    category = unicodedata.category(character)
    if character in "\t\n\r" or category == "Zs":
      result.append(" ")
    elif category not in ("Cc", "Cf") and character != "\ufffd":
      result.append(character)
  return "".join(result)


def split_at_punctuation(word):
  pieces, is_new = [], True
  for character in word:
    if is_punctuation(character):
      pieces.append(character)
      is_new = True
    else:
      if is_new:
        pieces.append("")
      is_new = False
      pieces[-1] += character
  return pieces


def words_of(text, lower_case, strip_accents=None, split_chinese=True):
  """The basic tokenizer: normalised words and punctuation."""
  text = clean(text)
  if split_chinese:
    text = "".join(f" {c} " if is_chinese(c) else c for c in text)
  words = []
  for word in text.split():
    if lower_case:
      word = word.lower()
    if lower_case if strip_accents is None else strip_accents:
      word = "".join(c for c in unicodedata.normalize("NFD", word)
                     if unicodedata.category(c) != "Mn")
    words += split_at_punctuation(word)
  return " ".join(words).split()


def wordpieces_of(word, ids):
  """Greedily the longest wordpiece first; [UNK] for what has none."""
  if len(word) > 200:
    return [ids["[UNK]"]]
  result, start = [], 0
  while start < len(word):
    for end in range(len(word), start, -1):
      piece = ("##" if start else "") + word[start:end]
      if piece in ids:
        break
    else:
      return [ids["[UNK]"]]
    result.append(ids[piece])
    start = end
  return result


def ids_of_lines(lines):
  """A vocabulary's ids: the last of equal lines counts."""
  return {line.strip(): place for place, line in enumerate(lines)}


def tokenize(text, ids, lower_case, strip_accents=None, split_chinese=True,
             added=()):
  """Ids of a text.

  Args:
    text: the text.
    ids: token -> id.
    lower_case, strip_accents, split_chinese: how it is normalised.
    added: tokens that are taken out of the text first: leftmost first, the
      longest of those that begin at one place; where texts are lower-cased, in
      capitals too if they have none themselves.
  """
  wordpieces = {token: number for token, number in ids.items()
                if token not in added}
  result, rest, place = [], "", 0
  longest_first = sorted(added, key=len, reverse=True)

  def flush():
    return [number for word in words_of(
        rest, lower_case, strip_accents, split_chinese)
        for number in wordpieces_of(word, wordpieces)]

  while place < len(text):
    found = next((token for token in longest_first if re.match(
        re.escape(token), text[place:], re.I if lower_case
        and token == token.lower() else 0)), None)
    if found is None:
      rest += text[place]
      place += 1
    else:
      result += [*flush(), ids[found]]
      rest, place = "", place + len(found)
  return result + flush()
