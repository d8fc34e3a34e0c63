"""Where a checkpoint's vocabulary is, for each kind that there is."""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

from tf_adapters.checkpoints.byte_pairs_files import (
    read_byte_pairs,
    read_byte_pairs_tokenizer,
)
from tf_adapters.checkpoints.sentence_piece_files import (
    read_albert,
    read_albert_tokenizer,
    read_fairseq,
    read_fairseq_tokenizer,
    read_plain,
    read_plain_tokenizer,
)
from tf_adapters.checkpoints.tokenizer_files import model_of, read_tokenizer
from tf_adapters.checkpoints.vocabulary import read_vocabulary
from tf_adapters.errors import InputError
from tf_adapters.files.reading import MOST_BYTES, read_json
from tf_adapters.modeling.encoders.family import EncoderFamily
from tf_adapters.modeling.encoders.table import ENCODERS
from tf_adapters.modeling.vocabulary import SpecialTokens, Vocabulary


class _Files(NamedTuple):
  """The way to read a kind of vocabulary.

  Attributes:
    beside: pattern of its file's name beside a TensorFlow checkpoint.
    asset: the same in a SavedModel's assets.
    read: reads such a file, with the casing that is asked for, or None.
    read_folder: reads a Hugging Face folder; None where it has no such.
  """

  beside: str
  asset: str
  read: Callable[[pathlib.Path, bool | None, SpecialTokens], Vocabulary]
  read_folder: Callable[[pathlib.Path, SpecialTokens], Vocabulary | None]


_FILES = {
    "wordpiece": _Files(
        "vocab.txt", "*.txt", read_vocabulary, read_tokenizer),
    "byte_pairs": _Files("tokenizer.json", "tokenizer.json", read_byte_pairs,
                         read_byte_pairs_tokenizer),
    "albert": _Files("*.model", "*.model", read_albert, read_albert_tokenizer),
    "fairseq": _Files(
        "*.model", "*.model", read_fairseq, read_fairseq_tokenizer),
    "sentencepiece": _Files(
        "*.model", "*.model", read_plain, read_plain_tokenizer),
}


# What else tells a kind: names of files, and the models in a tokenizer.json.
_NAMES = {"vocab.txt": "wordpiece", "vocab.json": "byte_pairs",
          "bpe.codes": "byte_pairs", "sentencepiece.bpe.model": "fairseq",
          "spiece.model": "albert", "spm.model": "sentencepiece"}
_MODELS = {"WordPiece": "wordpiece", "BPE": "byte_pairs"}
_SENTENCE_PIECE = {"albert", "fairseq", "sentencepiece"}


def find_tokenizer(folder: pathlib.Path,
                   family: EncoderFamily) -> Vocabulary | None:
  """Reads the vocabulary of a Hugging Face folder, None where there is none.

  It can be another family's, with the special tokens of that: there are BERTs
  with the vocabulary of XLM-RoBERTa.

  Raises:
    InputError: a file is damaged, or says what is not offered.
  """
  kind = _kind_of_others(folder, family)
  if kind is not None:
    return _FILES[kind].read_folder(folder, _special_tokens(kind))
  for kind in family.vocabularies:
    vocabulary = _FILES[kind].read_folder(folder, family.special_tokens)
    if vocabulary is not None:
      return vocabulary
  return None


def _kind_of_others(folder: pathlib.Path, family: EncoderFamily) -> str | None:
  """Returns the kind of a folder's vocabulary if it is not one of the family's.

  None as well where nothing tells.
  """
  there = [kind for name, kind in _NAMES.items() if (folder / name).exists()]
  own = {*family.vocabularies}
  if own & _SENTENCE_PIECE:  # whatever its file is called
    own |= _SENTENCE_PIECE
  path = folder / "tokenizer.json"
  if not own & {*there} and path.exists():
    model = model_of(read_json(path, MOST_BYTES)).get("type")
    there += [_MODELS[model]] if model in _MODELS else []
  return there[0] if there and not own & {*there} else None


def _special_tokens(kind: str) -> SpecialTokens:
  """Returns those of the first family with vocabularies of a kind."""
  return next(family.special_tokens for family in ENCODERS.values()
              if kind in family.vocabularies)


def find_vocabulary(folder: pathlib.Path,
                    family: EncoderFamily) -> Vocabulary | None:
  """Reads the vocabulary beside a TensorFlow checkpoint; None without one.

  Raises:
    InputError: it is damaged, or there are several.
  """
  return _only(folder, family, [
      path for kind in family.vocabularies
      for path in sorted(folder.glob(_FILES[kind].beside))], None)


def find_asset(folder: pathlib.Path, family: EncoderFamily,
               lower_case: bool | None) -> Vocabulary | None:
  """Reads the vocabulary among a SavedModel's assets; None without one.

  Args:
    folder: of the assets.
    family: the encoder's.
    lower_case: whether text is lower-cased; None for what the file tells.

  Raises:
    InputError: it is damaged, or there are several.
  """
  return _only(folder, family, [
      path for kind in family.vocabularies
      for path in sorted(folder.glob(_FILES[kind].asset))], lower_case)


def _only(folder: pathlib.Path, family: EncoderFamily,
          files: list[pathlib.Path],
          lower_case: bool | None) -> Vocabulary | None:
  if len(files) > 1:
    raise InputError(
        f"{folder}: {len(files)} files that may be the vocabulary, expected "
        f"one: {', '.join(path.name for path in files[:3])}")
  return read_vocabulary_file(
      files[0], lower_case, family) if files else None


def read_vocabulary_file(path: pathlib.Path, lower_case: bool | None,
                         family: EncoderFamily) -> Vocabulary:
  """Reads a vocabulary's file: of the family's kinds, or others, by its name.

  Args:
    path: the file.
    lower_case: whether text is lower-cased; None for what the file tells.
    family: the encoder's.

  Raises:
    InputError: it is damaged, or of another kind.
  """
  kinds = [_FILES[kind] for kind in family.vocabularies]
  files = next((one for one in kinds if path.match(one.asset)), None)
  if files is None and path.name in _NAMES:
    kind = _NAMES[path.name]
    return _FILES[kind].read(path, lower_case, (
        family.special_tokens if kind in family.vocabularies
        else _special_tokens(kind)))
  return (files or kinds[0]).read(path, lower_case, family.special_tokens)
