"""Vocabularies of checkpoints: reading them, their casing, their size."""

import functools
import io
import logging
import pathlib

from tf_adapters.errors import InputError, about
from tf_adapters.files.reading import read_file
from tf_adapters.modeling.encoders.family import EncoderConfig
from tf_adapters.modeling.normalization import normalize
from tf_adapters.modeling.vocabularies.wordpiece import WordpieceVocabulary
from tf_adapters.modeling.vocabulary import (
    BERT_TOKENS,
    SpecialTokens,
    Vocabulary,
)


def read_vocabulary(
    path: pathlib.Path, lower_case: bool | None,
    special: SpecialTokens = BERT_TOKENS,
) -> WordpieceVocabulary:
  """Reads a vocab.txt as google-research/bert does: one wordpiece a line.

  White space around it does not belong to it, and empty lines count.

  Args:
    path: the file.
    lower_case: whether text is lower-cased; None to tell from the wordpieces,
      and whether it keeps its accents then.
    special: the special tokens of the encoder's family.

  Raises:
    InputError: the file is no text, or special tokens are missing.
  """
  content = read_file(path)
  try:
    # As a text file has them, lines end with any of \n, \r\n and \r.
    lines = io.TextIOWrapper(
        io.BytesIO(content), "utf-8-sig").read().split("\n")
  except UnicodeDecodeError as error:
    raise InputError(f"{path}: not a vocabulary: {error}") from None
  tokens = [line.strip() for line in lines]
  while tokens and not tokens[-1]:  # which have no embeddings
    tokens.pop()
  return make_vocabulary(path, tuple(tokens), lower_case, special)


def make_vocabulary(path: pathlib.Path, tokens: tuple[str, ...],
                    lower_case: bool | None,
                    special: SpecialTokens) -> WordpieceVocabulary:
  """Makes a vocabulary of tokens from a file; errors name the file."""
  with about(path):
    if lower_case is not None or _is_reached(tokens, strip_accents=True):
      return WordpieceVocabulary(
          tokens, lower_case is not False, special=special)
    # Texts that were lower-cased, in letters that keep their marks.
    if _is_reached(tokens, strip_accents=False):
      return WordpieceVocabulary(tokens, lower_case=True, strip_accents=False,
                                 special=special)
    return WordpieceVocabulary(tokens, lower_case=False, special=special)


def _is_reached(tokens: tuple[str, ...], strip_accents: bool) -> bool:
  """Returns whether lower-casing leaves all but a few stray wordpieces as is.

  Where it takes accents away too, a vocabulary with accents, vowel signs or
  Hangul syllables cannot be reached, whether or not its letters have a case.
  Uncased vocabularies have capitals: in [CLS], and in words that were added.
  """
  normalized = functools.lru_cache(maxsize=None)(
      lambda character: normalize(character, True, strip_accents))
  out_of_reach = sum(
      "".join(map(normalized, token)) != token for token in tokens
      if not token.startswith("["))
  return out_of_reach <= len(tokens) / 200


def check_vocabulary(path: pathlib.Path, vocabulary: Vocabulary,
                     config: EncoderConfig) -> None:
  """Sees to it that a vocabulary and an embedding table are of one size.

  Raises:
    InputError: a token would have no embedding.
  """
  tokens, rows = len(vocabulary.tokens), config.vocab_size
  if tokens > rows:
    added = len(vocabulary.added)
    raise InputError(
        f"{path}: the vocabulary has {tokens} tokens"
        + (f", of which {added} are added ones" if added else "")
        + f", the table of word embeddings {rows} rows")
  if tokens < rows:
    # Tables are padded to a round number in some checkpoints.
    logging.warning(
        "%s: the vocabulary has %d tokens, the table of word embeddings %d "
        "rows", path, tokens, rows)
