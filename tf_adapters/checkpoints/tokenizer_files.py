"""Reads Hugging Face's tokenizer files: vocab.txt, tokenizer.json, others.

BERT's tokenizer is the one that there is here. What a file says of it is done;
what makes another one of it is said.
"""

import dataclasses
import logging
import pathlib
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from tf_adapters.checkpoints.vocabulary import make_vocabulary, read_vocabulary
from tf_adapters.errors import InputError, about
from tf_adapters.files.reading import MOST_BYTES, read_json
from tf_adapters.modeling.vocabularies.wordpiece import WordpieceVocabulary
from tf_adapters.modeling.vocabulary import BERT_TOKENS, SpecialTokens

# Behind the vocabulary; tables of embeddings have fewer free rows.
_MOST_FREE_ROWS = 10_000


def read_tokenizer_files(
    folder: pathlib.Path) -> dict[str, dict[str, Any]]:
  """Reads a folder's files: name -> JSON values, {} if one is missing.

  Raises:
    InputError: a file is damaged.
  """
  files = {}
  for name in ("tokenizer.json", "tokenizer_config.json", "added_tokens.json",
               "special_tokens_map.json"):
    path = folder / name
    files[name] = read_json(path, MOST_BYTES) if path.exists() else {}
  return files


def read_tokenizer(folder: pathlib.Path,
                   special: SpecialTokens = BERT_TOKENS,
                   ) -> WordpieceVocabulary | None:
  """Reads the vocabulary of a Hugging Face folder, added tokens and settings.

  Args:
    folder: the folder.
    special: the special tokens of the encoder's family.

  Returns:
    None where there is no vocabulary.

  Raises:
    InputError: a file is damaged, or it is no WordPiece vocabulary.
  """
  files = read_tokenizer_files(folder)
  settings = _settings(folder, files, special)
  lower_case = settings.pop("lower_case")
  if settings["strip_accents"] is None:
    del settings["strip_accents"]  # as it goes with the casing
  path = folder / "vocab.txt"
  if path.exists():
    vocabulary = read_vocabulary(path, lower_case, special)
    _check_the_same(folder, vocabulary, files["tokenizer.json"])
  elif files["tokenizer.json"]:
    path = folder / "tokenizer.json"
    vocabulary = make_vocabulary(
        path, _tokens(path, files["tokenizer.json"]), lower_case, special)
  else:
    return None
  vocabulary = _with_added(folder, vocabulary, files)
  with about(folder):
    vocabulary = dataclasses.replace(vocabulary, **settings)
  _say_accents(folder, vocabulary, files)
  return vocabulary


def _settings(folder: pathlib.Path, files: Mapping[str, Mapping[str, Any]],
              special: SpecialTokens) -> dict[str, Any]:
  """Returns "lower_case" and others of a vocabulary; says what is not followed.
  """
  config, tokenizer = files["tokenizer_config.json"], files["tokenizer.json"]
  normalizer, others = _normalizer(tokenizer.get("normalizer"))
  # As in transformers, the configuration goes before the normalizer.
  values = {}
  for name, key, other in (
      ("lower_case", "do_lower_case", "lowercase"),
      ("strip_accents", "strip_accents", "strip_accents"),
      ("tokenize_chinese_chars", "tokenize_chinese_chars",
       "handle_chinese_chars")):
    value = config.get(key, normalizer.get(other))
    if value not in (None, True, False):
      raise InputError(f"{folder / 'tokenizer_config.json'}: {key} is "
                       f"{value!r:.50}, not a boolean")
    values[name] = value
  if values["tokenize_chinese_chars"] is None:
    values["tokenize_chinese_chars"] = True
  model = model_of(tokenizer)
  for key, value, expected in (
      ("model", model.get("type"), ("WordPiece",)),
      ("do_basic_tokenize", config.get("do_basic_tokenize"), (True,)),
      ("tokenizer_class", config.get("tokenizer_class"), (
          "BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer",
          "DistilBertTokenizerFast", "PreTrainedTokenizerFast",
          "TokenizersBackend")),
      ("word_tokenizer_type", config.get("word_tokenizer_type"), ("basic",)),
      ("clean_text", normalizer.get("clean_text"), (True,)),
      ("normalizer", ", ".join(others) or None, ()),
      ("continuing_subword_prefix", model.get("continuing_subword_prefix"),
       ("##",)),
      ("unk_token", model.get("unk_token"), (special.unknown,)),
      ("pre_tokenizer", _type(tokenizer.get("pre_tokenizer")), (
          "BertPreTokenizer",)),
      *((role, token, ()) for role, token in _unfollowed_tokens(
          files, special))):
    if value is not None and value not in expected:
      logging.warning("%s: the tokenizer is not BERT's: %s=%s is not followed",
                      folder, key, value)
  return values


def warn_of_tokens(folder: pathlib.Path, files: Mapping[str, Mapping[str, Any]],
                   special: SpecialTokens) -> None:
  """Says which special tokens are others than the family's."""
  for role, token in _unfollowed_tokens(files, special):
    logging.warning("%s: %s=%s is not followed", folder, role, token)


def refuse_added(folder: pathlib.Path, files: Mapping[str, Mapping[str, Any]],
                 special: SpecialTokens, why: str) -> None:
  """Refuses tokens that files add to the vocabulary's own.

  Args:
    folder, files: as `read_tokenizer_files` has them.
    special: the special tokens, which are none of these.
    why: the end of the message.

  Raises:
    InputError: there is one.
  """
  for name, token, _ in _added(files):
    content = _content(token)
    if content not in special.all():
      raise InputError(
          f"{folder / name}: added token {content!r:.50}: {why}")


def _unfollowed_tokens(files: Mapping[str, Mapping[str, Any]],
                       special: SpecialTokens) -> Iterator[tuple[str, Any]]:
  """Yields (role, token) of special tokens that are others than the family's.
  """
  for name in ("tokenizer_config.json", "special_tokens_map.json"):
    for role, token in _roles(special).items():
      theirs = _content(files[name].get(role))
      if theirs is not None and theirs != token:
        yield role, theirs


def _roles(special: SpecialTokens) -> dict[str, str]:
  """Maps the files' names of special tokens to the tokens."""
  return {"pad_token": special.padding, "unk_token": special.unknown,
          "cls_token": special.start, "sep_token": special.end,
          "mask_token": special.mask}


def _normalizer(value: Any) -> tuple[dict[str, Any], list[str]]:
  """Returns the settings of a BertNormalizer, or of parts that do the same.

  Returns:
    Them, and the types of other parts.
  """
  if not isinstance(value, dict):
    return {}, []
  parts = value.get("normalizers")
  parts = parts if isinstance(parts, list) else [value]
  types = [_type(part) for part in parts]
  if "BertNormalizer" in types:
    settings = parts[types.index("BertNormalizer")]
    known = {"BertNormalizer"}
  else:
    known = {"Lowercase", "StripAccents", "NFD"}
    settings = {"lowercase": "Lowercase" in types,
                "strip_accents": "StripAccents" in types}
  return settings, [str(kind) for kind in types if kind not in known]


def model_of(tokenizer: Mapping[str, Any]) -> Mapping[str, Any]:
  """Returns the part of a tokenizer.json that has the vocabulary; {} for none.
  """
  model = tokenizer.get("model")
  return model if isinstance(model, dict) else {}


def _check_the_same(folder: pathlib.Path, vocabulary: WordpieceVocabulary,
                    tokenizer: Mapping[str, Any]) -> None:
  """Refuses two vocabularies of which one is another checkpoint's.

  Raises:
    InputError: a token has one id in vocab.txt, another in tokenizer.json.
  """
  ids = model_of(tokenizer).get("vocab")
  for token, number in (ids if isinstance(ids, dict) else {}).items():
    if type(number) is int and 0 <= number < len(vocabulary.tokens) and (
        vocabulary.tokens[number] not in ("", token.strip())):
      raise InputError(
          f"{folder}: token {number} is {vocabulary.tokens[number]!r:.50} in "
          f"vocab.txt, {token!r:.50} in tokenizer.json: remove the file that "
          "is not this checkpoint's")


def _tokens(path: pathlib.Path,
            tokenizer: Mapping[str, Any]) -> tuple[str, ...]:
  """Returns the vocabulary of a tokenizer.json, as newer folders have it alone.
  """
  model = model_of(tokenizer)
  ids = model.get("vocab")
  # Older files do not say the type; those with merges are no WordPiece.
  if not isinstance(ids, dict) or "merges" in model or (
      model.get("type", "WordPiece") != "WordPiece"):
    raise InputError(f"{path}: not a WordPiece vocabulary")
  ids = dict(ids)
  for token in _list(tokenizer.get("added_tokens")):
    if isinstance(token, dict) and isinstance(token.get("content"), str):
      ids.setdefault(token["content"], token.get("id"))
  return tokens_by_id(path, ids)


def tokens_by_id(path: pathlib.Path, ids: Mapping[str, Any]) -> tuple[str, ...]:
  """Returns tokens in the order of their ids.

  Raises:
    InputError: the ids have gaps.
  """
  by_id = {number: token for token, number in ids.items()
           if type(number) is int}
  if len(by_id) != len(ids) or set(by_id) != set(range(len(ids))):
    raise InputError(f"{path}: its token ids are not 0, 1, 2, ...")
  return tuple(by_id[number] for number in range(len(ids)))


def _with_added(folder: pathlib.Path, vocabulary: WordpieceVocabulary,
                files: Mapping[str, Mapping[str, Any]]) -> WordpieceVocabulary:
  """Returns the vocabulary with the tokens that files beside it add to it."""
  tokens = list(vocabulary.tokens)
  special = _roles(vocabulary.special).values()
  added: dict[str, int] = {}
  caseless = []
  for name, token, number in _added(files):
    path = folder / name
    content = _content(token)
    if content in special:  # never looked for, as in google-research/bert
      continue
    if not isinstance(content, str) or not content:
      raise InputError(f"{path}: {token!r:.50} is no added token")
    if isinstance(token, dict) and token.get("single_word"):
      raise InputError(
          f"{path}: added token {content!r:.50} is for whole words alone "
          "(single_word), which is not offered")
    if number is None and content in added:
      number = added[content]
    elif number is None and content in tokens:
      number = vocabulary.id_of(content)
    if type(number) is not int or not (
        0 <= number < len(vocabulary.tokens) + _MOST_FREE_ROWS):
      raise InputError(
          f"{path}: added token {content!r:.50} has "
          + ("no id" if number is None else f"id {number!r:.20}")
          + f", beside the vocabulary's {len(vocabulary.tokens):,} tokens")
    tokens += [""] * (number + 1 - len(tokens))
    # Rows that nothing uses get another name in some folders.
    if added.get(content, number) != number or (
        tokens[number] not in ("", content)
        and not tokens[number].startswith("[unused")):
      raise InputError(f"{path}: added token {content!r:.50} has id {number}, "
                       "which is another token's")
    tokens[number] = content
    if content not in added and content != content.lower() and isinstance(
        token, dict) and token.get("normalized"):
      caseless.append(content)
    added[content] = number
  return dataclasses.replace(
      vocabulary, tokens=tuple(tokens), added=tuple(added),
      caseless=tuple(caseless))


def _say_accents(folder: pathlib.Path, vocabulary: WordpieceVocabulary,
                 files: Mapping[str, Mapping[str, Any]]) -> None:
  """Says which added tokens would be found without their accents elsewhere."""
  for _, token, _ in _added(files):
    content = _content(token)
    if (isinstance(token, dict) and token.get("normalized")
        and vocabulary.strips_accents and any(
            map(unicodedata.combining, unicodedata.normalize("NFD", content)))):
      logging.warning("%s: added token %.50r is found with its accents alone",
                      folder, content)


def _added(files: Mapping[str, Mapping[str, Any]]) -> Iterator[
    tuple[str, Any, Any]]:
  """Yields (file, added token or a description of one, its id if it says that).
  """
  for token in _list(files["tokenizer.json"].get("added_tokens")):
    yield ("tokenizer.json", token,
           token.get("id") if isinstance(token, dict) else None)
  decoder = files["tokenizer_config.json"].get("added_tokens_decoder")
  for number, token in (decoder if isinstance(decoder, dict) else {}).items():
    yield ("tokenizer_config.json", token,
           int(number) if number.isdecimal() else number)
  for token, number in files["added_tokens.json"].items():
    yield "added_tokens.json", token, number
  # Whose ids are told elsewhere, so that they come last.
  for name in ("tokenizer_config.json", "special_tokens_map.json"):
    for token in _list(files[name].get("additional_special_tokens")):
      yield name, token, None


def _content(token: Any) -> Any:
  """Returns a token's text: it stands for itself, or in a description."""
  return token.get("content") if isinstance(token, dict) else token


def _list(value: Any) -> list[Any]:
  return value if isinstance(value, list) else []


def _type(part: Any) -> Any:
  return part.get("type") if isinstance(part, dict) else None
