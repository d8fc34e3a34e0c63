"""Reads a Hugging Face BERT folder: config.json, safetensors, a vocabulary.

Safetensors hold arrays and nothing else; pickled weights are never opened.
"""

import logging
import pathlib
from typing import Any

import numpy as np

from tf_adapters.checkpoints.bert_config import (
  HUGGING_FACE_ACTIVATIONS,
  read_bert_config,
)
from tf_adapters.checkpoints.checkpoint import Checkpoint, find_encoder
from tf_adapters.checkpoints.sentence_encoder import read_sentence_pooling
from tf_adapters.checkpoints.tensor_file import TensorFile
from tf_adapters.checkpoints.vocabulary import make_vocabulary, read_vocabulary
from tf_adapters.errors import InputError
from tf_adapters.files import MOST_BYTES, read_json
from tf_adapters.modeling.config import Vocabulary

WEIGHTS_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"

_PICKLED = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


def read_hugging_face(folder: pathlib.Path) -> Checkpoint:
  """Opens a folder as `transformers`' `BertModel.save_pretrained` writes it.

  The weights may be in several files with an index, of 16 or 32 bits, with or
  without the prefix "bert.", and without a pooler; a missing pooler becomes the
  identity, so that the pooled output is tanh of the first token's.

  Raises:
    InputError: a file is missing or damaged, or holds no BERT.
  """
  config = read_bert_config(folder / "config.json", HUGGING_FACE_ACTIVATIONS)
  files = _Safetensors(folder)
  found = find_encoder(files)
  pooler = any(name.startswith("pooler_transform/") for name in found.names)
  if not pooler:
    logging.warning(
        "%s: has no pooler: the pooled output is tanh of the first token's; "
        "pooling=auto takes the mean of all tokens' instead", folder)
  return Checkpoint(
      "Hugging Face folder", folder, files, found, config,
      _read_vocabulary(folder), identity_pooler=not pooler,
      sentence_pooling=read_sentence_pooling(folder))


class _Safetensors:
  """model.safetensors, or the files that its index names."""

  def __init__(self, folder: pathlib.Path):
    self.path = folder / WEIGHTS_NAME
    index = {}
    files = [WEIGHTS_NAME]
    if not self.path.exists():
      if not (folder / INDEX_NAME).exists():
        raise InputError(_why_no_weights(folder))
      self.path = folder / INDEX_NAME
      index = self._read_index()
      files = sorted(set(index.values()))
    self.shapes = {}
    self._files = {}
    for name in files:
      file = TensorFile(folder / name)
      self.shapes |= file.shapes
      self._files |= dict.fromkeys(file.shapes, file)
    # transformers' TensorFlow models write kernels as TensorFlow has them.
    self.transposed = not any(
        key.endswith(("/kernel", "/kernel:0")) for key in self.shapes)
    for key, name in index.items():
      if key not in self._files or self._files[key].path != folder / name:
        raise InputError(f"{self.path}: {name} has no tensor {key}")

  def _read_index(self) -> dict[str, str]:
    files = read_json(self.path).get("weight_map")
    if not isinstance(files, dict) or not files:
      raise InputError(f"{self.path}: has no weight_map")
    for name in files.values():
      if not isinstance(name, str) or pathlib.PurePath(name).name != name:
        raise InputError(
            f"{self.path}: {name!r} is not the name of a file beside it")
    return files

  def read(self, name: str) -> np.ndarray:
    return self._files[name].read(name)


def _why_no_weights(folder: pathlib.Path) -> str:
  pickled = sorted(file for pattern in _PICKLED for file in folder.glob(pattern)
                   if file.is_file())
  if pickled:
    return refuse_pickle(pickled[0])
  return f"{folder}: has no {WEIGHTS_NAME}"


def refuse_pickle(path: pathlib.Path) -> str:
  """Why pickled weights are not opened, and what to do instead."""
  return (
      f"{path}: is not opened, since pickled weights can run any code; "
      "transformers writes safe ones: "
      f"AutoModel.from_pretrained({str(path.parent)!r})"
      ".save_pretrained(NEW_FOLDER)")


def _read_vocabulary(folder: pathlib.Path) -> Vocabulary | None:
  settings = _TokenizerSettings(folder)
  if (folder / "vocab.txt").exists():
    return read_vocabulary(folder / "vocab.txt", settings.lower_case)
  if settings.tokenizer is not None:
    return make_vocabulary(settings.path, settings.tokens(),
                           settings.lower_case)
  return None


class _TokenizerSettings:
  """What tokenizer_config.json and tokenizer.json say, where they exist.

  BERT's tokenizer is the one that there is here; what departs from it is said.
  """

  def __init__(self, folder: pathlib.Path):
    self.path = folder / "tokenizer.json"
    self.tokenizer = None
    config = {}
    config_path = folder / "tokenizer_config.json"
    if config_path.exists():
      config = read_json(config_path)
    if self.path.exists():
      self.tokenizer = read_json(self.path, MOST_BYTES)
    tokenizer = self.tokenizer or {}
    normalizer = _bert_normalizer(tokenizer.get("normalizer"))
    self.lower_case = config.get("do_lower_case", normalizer.get("lowercase"))
    if self.lower_case not in (None, True, False):
      raise InputError(
          f"{config_path}: do_lower_case is {self.lower_case!r}, not a boolean")
    model = tokenizer.get("model")
    model = model if isinstance(model, dict) else {}
    accents = config.get("strip_accents", normalizer.get("strip_accents"))
    chinese = config.get("tokenize_chinese_chars",
                         normalizer.get("handle_chinese_chars"))
    for departs, setting in (
        (accents not in (None, bool(self.lower_case)),
         f"strip_accents={accents}"),
        (chinese is False, "tokenize_chinese_chars=false"),
        (config.get("do_basic_tokenize") is False, "do_basic_tokenize=false"),
        (not _is_berts(config.get("tokenizer_class")),
         f"tokenizer_class={config.get('tokenizer_class')}"),
        (config.get("word_tokenizer_type") not in (None, "basic"),
         f"word_tokenizer_type={config.get('word_tokenizer_type')}"),
        (model.get("continuing_subword_prefix", "##") != "##",
         f"continuing_subword_prefix={model.get('continuing_subword_prefix')}"),
        (model.get("unk_token", "[UNK]") != "[UNK]",
         f"unk_token={model.get('unk_token')}"),
        (_type(tokenizer.get("pre_tokenizer")) not in (
            None, "BertPreTokenizer"),
         f"pre_tokenizer={_type(tokenizer.get('pre_tokenizer'))}"),
    ):
      if departs:
        logging.warning(
            "%s: the tokenizer is not BERT's: %s is not followed", folder,
            setting)

  def tokens(self) -> tuple[str, ...]:
    """The vocabulary of a tokenizer.json, as newer folders have it alone."""
    model = self.tokenizer.get("model")
    ids = model.get("vocab") if isinstance(model, dict) else None
    # Older files do not say the type; those with merges are no WordPiece.
    if not isinstance(ids, dict) or "merges" in model or (
        model.get("type", "WordPiece") != "WordPiece"):
      raise InputError(f"{self.path}: not a WordPiece vocabulary")
    ids = dict(ids)
    added = self.tokenizer.get("added_tokens")
    for token in added if isinstance(added, list) else ():
      if isinstance(token, dict) and isinstance(token.get("content"), str):
        ids.setdefault(token["content"], token.get("id"))
    by_id = {number: token for token, number in ids.items()
             if type(number) is int}
    if len(by_id) != len(ids) or set(by_id) != set(range(len(ids))):
      raise InputError(f"{self.path}: its token ids are not 0, 1, 2, ...")
    return tuple(by_id[number] for number in range(len(ids)))


def _bert_normalizer(normalizer: Any) -> dict[str, Any]:
  """The settings of a BertNormalizer, also of one in a sequence."""
  if not isinstance(normalizer, dict):
    return {}
  parts = normalizer.get("normalizers")
  for part in parts if isinstance(parts, list) else [normalizer]:
    if _type(part) == "BertNormalizer":
      return part
    if _type(part) == "Lowercase":
      return {"lowercase": True}
  return {}


def _type(part: Any) -> Any:
  return part.get("type") if isinstance(part, dict) else None


def _is_berts(tokenizer_class: Any) -> bool:
  return tokenizer_class is None or tokenizer_class in (
      "BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer",
      "DistilBertTokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend")
