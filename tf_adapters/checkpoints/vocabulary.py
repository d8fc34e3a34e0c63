"""Vocabularies of checkpoints: reading them, their casing, their size."""

import logging
import pathlib

from tf_adapters.errors import InputError
from tf_adapters.files import MOST_BYTES, check_file
from tf_adapters.modeling.config import BertConfig, Vocabulary


def read_vocabulary(
    path: pathlib.Path, lower_case: bool | None) -> Vocabulary:
  """Reads a vocab.txt: one wordpiece a line.

  Args:
    path: the file.
    lower_case: whether text is lower-cased; None to tell from the wordpieces:
      a cased vocabulary has many with capital letters.

  Raises:
    InputError: the file is no text, or special tokens are missing.
  """
  check_file(path, MOST_BYTES)
  try:
    lines = path.read_text(encoding="utf-8-sig").split("\n")
  except (OSError, UnicodeDecodeError) as error:
    raise InputError(f"{path}: not a vocabulary: {error}") from None
  if lines and not lines[-1]:
    lines.pop()
  return make_vocabulary(
      path, tuple(line.rstrip(" \t\r") for line in lines), lower_case)


def make_vocabulary(path: pathlib.Path, tokens: tuple[str, ...],
                    lower_case: bool | None) -> Vocabulary:
  """A vocabulary of tokens from a file; errors name the file."""
  try:
    if lower_case is None:
      lower_case = not _is_cased(tokens)
    return Vocabulary(tokens, lower_case)
  except InputError as error:
    raise InputError(f"{path}: {error}") from None


def _is_cased(tokens: tuple[str, ...]) -> bool:
  """Whether more than a stray few wordpieces are not in lower case.

  Uncased vocabularies have capitals, too: in [CLS], in words that were added;
  and capitals without a lower case, among mathematical symbols.
  """
  capital = sum(token.lower() != token for token in tokens
                if not token.startswith("["))
  return capital > len(tokens) / 200


def check_vocabulary(path: pathlib.Path, vocabulary: Vocabulary,
                     config: BertConfig) -> None:
  """Sees to it that a vocabulary and an embedding table are of one size.

  Raises:
    InputError: a token would have no embedding.
  """
  tokens, rows = len(vocabulary.tokens), config.vocab_size
  if tokens > rows:
    raise InputError(
        f"{path}: the vocabulary has {tokens} tokens, the table of word "
        f"embeddings {rows} rows")
  if tokens < rows:
    # Tables are padded to a round number in some checkpoints.
    logging.warning(
        "%s: the vocabulary has %d tokens, the table of word embeddings %d "
        "rows", path, tokens, rows)
