"""Reads vocabularies of byte-level BPE: tokenizer.json, or vocab.json and
merges.txt.
"""

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tf_adapters.checkpoints.tokenizer_files import (
    model_of,
    read_tokenizer_files,
    refuse_added,
    tokens_by_id,
    warn_of_tokens,
)
from tf_adapters.errors import InputError, about
from tf_adapters.files.reading import MOST_BYTES, read_file, read_json
from tf_adapters.modeling.vocabularies.byte_pairs import BytePairsVocabulary
from tf_adapters.modeling.vocabulary import SpecialTokens, Vocabulary

_TOKENIZER = "tokenizer.json"
_VOCAB, _MERGES = "vocab.json", "merges.txt"
_BERTWEET = "bpe.codes"


def read_byte_pairs(path: pathlib.Path, lower_case: bool | None,
                    special: SpecialTokens) -> Vocabulary:
  """Reads a tokenizer.json, or a vocab.json with its merges.txt beside it.

  Args:
    path: the file.
    lower_case: not True, as there is no such.
    special: the special tokens of the encoder's family.

  Raises:
    InputError: it is damaged, or of another kind.
  """
  values = read_json(path, MOST_BYTES)
  if "model" in values:
    vocabulary = _of_tokenizer(path, values, special)
  else:
    vocabulary = _of_vocab(path, values, special, False)
  return vocabulary.with_lower_case(bool(lower_case))


def read_byte_pairs_tokenizer(folder: pathlib.Path,
                              special: SpecialTokens) -> Vocabulary | None:
  """Reads the vocabulary of a Hugging Face folder.

  Returns:
    None where there is no vocabulary.

  Raises:
    InputError: a file is damaged, or says what is not offered.
  """
  if (folder / _BERTWEET).exists():
    raise InputError(
        f"{folder / _BERTWEET}: the BPE of whole words that BERTweet-base has "
        "is not offered: it would need a kind of vocabulary of its own, and "
        "tweets that are normalised as its authors do it; BERTweet-large has "
        "RoBERTa's vocabulary")
  files = read_tokenizer_files(folder)
  warn_of_tokens(folder, files, special)
  if files[_TOKENIZER]:
    # As in transformers, the configuration goes before the pre-tokenizer.
    return _of_tokenizer(
        folder / _TOKENIZER, files[_TOKENIZER], special,
        files["tokenizer_config.json"].get("add_prefix_space"))
  path = folder / _VOCAB
  if not path.exists():
    return None
  refuse_added(folder, files, special, "is read of a tokenizer.json alone")
  prefix = files["tokenizer_config.json"].get("add_prefix_space", False)
  return _of_vocab(path, read_json(path, MOST_BYTES), special, prefix)


def _of_vocab(path: pathlib.Path, ids: Mapping[str, Any],
              special: SpecialTokens, add_prefix_space: Any,
              ) -> BytePairsVocabulary:
  merges_file = path.with_name(_MERGES)
  try:
    lines = read_file(merges_file).decode().split("\n")
  except UnicodeDecodeError as error:
    raise InputError(f"{merges_file}: no merges of BPE: {error}") from None
  merges = [line for line in lines if line and not line.startswith("#version")]
  return _made(path, tokens_by_id(path, ids), merges, special,
               add_prefix_space=add_prefix_space)


def _of_tokenizer(path: pathlib.Path, values: Mapping[str, Any],
                  special: SpecialTokens,
                  add_prefix_space: Any = None) -> BytePairsVocabulary:
  model = model_of(values)
  ids, merges = model.get("vocab"), model.get("merges")
  if model.get("type", "BPE") != "BPE" or not isinstance(ids, dict) or (
      not isinstance(merges, list)):
    raise InputError(f"{path}: not a vocabulary of byte-level BPE")
  for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix",
              "byte_fallback", "ignore_merges"):
    if model.get(key):
      raise InputError(f"{path}: {key}={model[key]!r:.50} is not offered")
  pre = _only(path, "pre_tokenizer", values.get("pre_tokenizer"),
              "pretokenizers")
  if pre.get("type") != "ByteLevel" or pre.get("use_regex") is False:
    raise InputError(f"{path}: its pre_tokenizer is {pre.get('type')!r:.50}, "
                     "not ByteLevel")
  normalizer = _only(path, "normalizer", values.get("normalizer"),
                     "normalizers").get("type", "")
  added = []
  ids = dict(ids)
  for token in values.get("added_tokens") or ():
    content = token.get("content") if isinstance(token, dict) else None
    if not isinstance(content, str) or not content:
      raise InputError(f"{path}: {token!r:.50} is no added token")
    if ids.setdefault(content, token.get("id")) != token.get("id"):
      raise InputError(f"{path}: added token {content!r:.50} has two ids")
    if content in special.all():  # never looked for in texts
      continue
    for key in ("single_word", "lstrip", "rstrip"):
      if token.get(key):
        raise InputError(f"{path}: added token {content!r:.50} has {key}, "
                         "which is not offered")
    added.append(content)
  return _made(
      path, tokens_by_id(path, ids), list(_pairs(path, merges)), special,
      add_prefix_space=pre.get("add_prefix_space", True) if (
          add_prefix_space is None) else add_prefix_space,
      normalization=normalizer, added=added)


def _only(path: pathlib.Path, name: str, part: Any,
          key: str) -> Mapping[str, Any]:
  """Returns a part of a tokenizer, or the only one of a sequence; {} for none.
  """
  parts = part.get(key, [part]) if isinstance(part, dict) else []
  if not isinstance(parts, list) or len(parts) > 1 or not all(
      isinstance(one, dict) for one in parts):
    raise InputError(f"{path}: its {name} has several parts, which are not "
                     "offered")
  return parts[0] if parts else {}


def _pairs(path: pathlib.Path, merges: Sequence[Any]) -> Iterable[str]:
  """Merges as lines: newer files have lists of two tokens."""
  for merge in merges:
    if isinstance(merge, list) and all(isinstance(one, str) for one in merge):
      merge = " ".join(merge)
    if not isinstance(merge, str):
      raise InputError(f"{path}: {merge!r:.50} is no pair of tokens")
    yield merge


def _made(path: pathlib.Path, tokens: Sequence[str], merges: Sequence[str],
          special: SpecialTokens, add_prefix_space: Any = False,
          normalization: Any = "", added: Sequence[str] = (),
          ) -> BytePairsVocabulary:
  with about(path):
    return BytePairsVocabulary(
        tuple(tokens), tuple(merges), add_prefix_space, normalization,
        tuple(added), special)
