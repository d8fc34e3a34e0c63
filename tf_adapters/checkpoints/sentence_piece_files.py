"""Reads models of SentencePiece, and what Hugging Face's files say of them."""

import base64
import pathlib
from collections.abc import Mapping
from typing import Any

from tf_adapters.checkpoints.tokenizer_files import (
    read_tokenizer_files,
    refuse_added,
    warn_of_tokens,
)
from tf_adapters.errors import InputError, about
from tf_adapters.files.reading import read_file
from tf_adapters.modeling.vocabularies.sentence_piece import (
    AlbertVocabulary,
    FairseqVocabulary,
    PlainVocabulary,
)
from tf_adapters.modeling.vocabulary import SpecialTokens, Vocabulary

# Names of a model's file in folders of Hugging Face.
_NAMES = ("spiece.model", "spm.model", "sentencepiece.bpe.model",
          "30k-clean.model")


def read_albert(path: pathlib.Path, lower_case: bool | None,
                special: SpecialTokens) -> AlbertVocabulary:
  """Reads a model of SentencePiece, to be used by ALBERT's rules.

  Args:
    path: the file.
    lower_case: whether text is lower-cased; None for yes.
    special: the special tokens of the encoder's family.

  Raises:
    InputError: it is no model, or lacks special tokens.
  """
  model = _base64(path)
  with about(path):
    return AlbertVocabulary(model, lower_case is not False, special=special)


def read_plain(path: pathlib.Path, lower_case: bool | None,
               special: SpecialTokens) -> PlainVocabulary:
  """Reads a model of SentencePiece, to be used as it is, as DeBERTa-v3's.

  Args and raises as `read_fairseq`.
  """
  return _read(PlainVocabulary, path, lower_case, special)


def read_fairseq(path: pathlib.Path, lower_case: bool | None,
                 special: SpecialTokens) -> PlainVocabulary:
  """Reads a model of SentencePiece, to be used with fairseq's ids.

  Args:
    path, special: as for `read_albert`.
    lower_case: not True, as there is no such.

  Raises:
    InputError: it is no model, or lacks special tokens.
  """
  return _read(FairseqVocabulary, path, lower_case, special)


def read_albert_tokenizer(folder: pathlib.Path,
                          special: SpecialTokens) -> Vocabulary | None:
  """Reads the vocabulary of a Hugging Face folder of an ALBERT.

  Returns:
    None where there is no vocabulary.

  Raises:
    InputError: a file is damaged, or says what is not offered.
  """
  files = read_tokenizer_files(folder)
  path = _model_file(folder, files)
  if path is None:
    return None
  config = files["tokenizer_config.json"]
  settings = {}
  for key, default in (("do_lower_case", True), ("keep_accents", False),
                       ("remove_space", True)):
    settings[key] = config.get(key, default)
    if type(settings[key]) is not bool:
      raise InputError(f"{folder / 'tokenizer_config.json'}: {key} is "
                       f"{settings[key]!r:.50}, not a boolean")
  if not settings["remove_space"]:
    raise InputError(f"{folder / 'tokenizer_config.json'}: remove_space=false "
                     "is not offered")
  _check_tokens(folder, files, special)
  model = _base64(path)
  with about(path):
    return AlbertVocabulary(model, settings["do_lower_case"],
                            settings["keep_accents"], special)


def read_plain_tokenizer(folder: pathlib.Path,
                         special: SpecialTokens) -> Vocabulary | None:
  """Reads the vocabulary of a Hugging Face folder of a DeBERTa-v3.

  Returns and raises as `read_albert_tokenizer`.
  """
  path = _of_folder(folder, special)
  return None if path is None else read_plain(path, None, special)


def read_fairseq_tokenizer(folder: pathlib.Path,
                           special: SpecialTokens) -> Vocabulary | None:
  """Reads the vocabulary of a Hugging Face folder of an XLM-RoBERTa.

  Returns and raises as `read_albert_tokenizer`.
  """
  path = _of_folder(folder, special)
  return None if path is None else read_fairseq(path, None, special)


def _read(
    kind: type[PlainVocabulary], path: pathlib.Path, lower_case: bool | None,
    special: SpecialTokens) -> PlainVocabulary:
  model = _base64(path)
  with about(path):
    return kind(model, special).with_lower_case(bool(lower_case))


def _of_folder(folder: pathlib.Path,
               special: SpecialTokens) -> pathlib.Path | None:
  """Reads a folder's model that is to see texts as they stand; None without."""
  files = read_tokenizer_files(folder)
  path = _model_file(folder, files)
  if path is not None:
    for key in ("do_lower_case", "split_by_punct"):
      if files["tokenizer_config.json"].get(key):
        raise InputError(f"{folder / 'tokenizer_config.json'}: {key}=true is "
                         "not offered")
    _check_tokens(folder, files, special)
  return path


def _base64(path: pathlib.Path) -> str:
  return base64.b64encode(read_file(path)).decode()


def _model_file(folder: pathlib.Path, files: Mapping[str, Mapping[str, Any]],
                ) -> pathlib.Path | None:
  path = next((folder / name for name in _NAMES if (folder / name).exists()),
              None)
  if path is None and files["tokenizer.json"]:
    raise InputError(
        f"{folder}: tokenizer.json is not read here; expected the model of "
        f"SentencePiece that it was made of: {', '.join(_NAMES[:3])}")
  return path


def _check_tokens(folder: pathlib.Path, files: Mapping[str, Mapping[str, Any]],
                  special: SpecialTokens) -> None:
  """Refuses added tokens; says where special tokens are others."""
  warn_of_tokens(folder, files, special)
  refuse_added(folder, files, special,
               "SentencePiece with added tokens is not offered")
