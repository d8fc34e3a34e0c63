"""Reads a Hugging Face BERT folder: config.json, safetensors, a vocabulary.

Safetensors hold arrays and nothing else; pickled weights are never opened.
"""

import logging
import pathlib
from typing import Any

import numpy as np
import safetensors

from tf_adapters.checkpoints import names
from tf_adapters.checkpoints.checkpoint import (
    Checkpoint,
    make_vocabulary,
    read_vocabulary,
    refuse_lfs_pointer,
)
from tf_adapters.errors import InputError
from tf_adapters.files import read_json
from tf_adapters.modeling.config import BertConfig, Vocabulary

WEIGHTS_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"

# Their names of activations -> ours. Hugging Face's "gelu" is the exact one.
_ACTIVATIONS = {
    "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu", "silu": "swish",
    "swish": "swish", "tanh": "tanh",
}
_COPIED = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
    "intermediate_size", "max_position_embeddings", "type_vocab_size",
    "layer_norm_eps", "hidden_dropout_prob", "attention_probs_dropout_prob",
)
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


def read_hugging_face(folder: pathlib.Path) -> Checkpoint:
  """Opens a folder as `transformers`' `BertModel.save_pretrained` writes it.

  The weights may be in several files with an index, of 16 or 32 bits, with or
  without the prefix "bert.", and without a pooler; a missing pooler becomes the
  identity, so that the pooled output is tanh of the first token's.

  Raises:
    InputError: a file is missing or damaged, or holds no BERT.
  """
  config = _read_config(folder / "config.json")
  files = _Safetensors(folder)
  try:
    found = names.find_encoder(files.shapes)
  except InputError as error:
    raise InputError(f"{files.path}: {error}") from None
  filled_in = {}
  if not any(name.startswith("pooler_transform/") for name in found.names):
    logging.warning(
        "%s: has no pooler: the pooled output is tanh of the first token's; "
        "pooling cls or mean does without it", folder)
    filled_in = {
        "pooler_transform/kernel": np.eye(config.hidden_size, dtype="f4"),
        "pooler_transform/bias": np.zeros(config.hidden_size, "f4")}
  return Checkpoint("Hugging Face folder", folder, files, found, config,
                    _read_vocabulary(folder), filled_in)


class _Safetensors:
  """model.safetensors, or the files that its index names."""

  transposed = True

  def __init__(self, folder: pathlib.Path):
    self.path = folder / WEIGHTS_NAME
    if not self.path.exists() and (folder / INDEX_NAME).exists():
      self.path = folder / INDEX_NAME
      files = sorted(set(self._read_index().values()))
    elif self.path.exists():
      files = [WEIGHTS_NAME]
    else:
      raise InputError(_why_no_weights(folder))
    self.shapes = {}
    self._files = {}
    for name in files:
      with _open(folder / name) as file:
        for key in file.keys():  # noqa: SIM118 (no dict)
          self.shapes[key] = tuple(file.get_slice(key).get_shape())
          self._files[key] = folder / name
    if self.path.name == INDEX_NAME:
      for key, name in self._read_index().items():
        if self._files.get(key) != folder / name:
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
    # Opened anew each time: a file that stays mapped would count as memory in
    # use, page by page, until all of it does.
    with _open(self._files[name]) as file:
      try:
        return file.get_tensor(name)
      except (safetensors.SafetensorError, TypeError) as error:
        raise InputError(
            f"{self._files[name]}: {name} can not be read: {error}") from None


def _open(path: pathlib.Path) -> safetensors.safe_open:
  refuse_lfs_pointer(path)
  try:
    return safetensors.safe_open(path, framework="numpy")
  except (OSError, safetensors.SafetensorError) as error:
    raise InputError(f"{path}: can not be read: {error}") from None


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


def _read_config(path: pathlib.Path) -> BertConfig:
  values = read_json(path)
  kind = values.get("model_type", "bert")
  if kind != "bert":
    raise InputError(f"{path}: model_type is {kind!r}; only 'bert' is read")
  positions = values.get("position_embedding_type", "absolute")
  if positions != "absolute":
    raise InputError(
        f"{path}: position_embedding_type is {positions!r}; BERT's is "
        "'absolute'")
  if values.get("is_decoder") or values.get("add_cross_attention"):
    raise InputError(f"{path}: is a decoder; BERT is an encoder")
  activation = values.get("hidden_act", "gelu")
  if not isinstance(activation, str) or activation not in _ACTIVATIONS:
    raise InputError(f"{path}: unknown hidden_act {activation!r}")
  try:
    return BertConfig.from_dict({
        "hidden_act": _ACTIVATIONS[activation],
        **{key: values[key] for key in _COPIED if key in values}})
  except InputError as error:
    raise InputError(f"{path}: {error}") from None


def _read_vocabulary(folder: pathlib.Path) -> Vocabulary | None:
  lower_case = None
  if (folder / "tokenizer_config.json").exists():
    lower_case = _read_lower_case(folder / "tokenizer_config.json")
  tokenizer = folder / "tokenizer.json"
  if (folder / "vocab.txt").exists():
    if lower_case is None and tokenizer.exists():
      lower_case = _normalizer(read_json(tokenizer)).get("lowercase")
    return read_vocabulary(folder / "vocab.txt", lower_case)
  if tokenizer.exists():
    return _read_tokenizer(tokenizer, lower_case)
  return None


def _read_tokenizer(
    path: pathlib.Path, lower_case: bool | None) -> Vocabulary:
  """The vocabulary in a tokenizer.json, as newer folders have it alone."""
  refuse_lfs_pointer(path)
  values = read_json(path)
  model = values.get("model")
  ids = model.get("vocab") if isinstance(model, dict) else None
  if not isinstance(ids, dict) or model.get("type") != "WordPiece":
    raise InputError(f"{path}: not a WordPiece vocabulary")
  tokens = sorted(ids, key=ids.get)
  if [ids[token] for token in tokens] != list(range(len(tokens))):
    raise InputError(f"{path}: its token ids are not 0, 1, 2, ...")
  if lower_case is None:
    lower_case = _normalizer(values).get("lowercase")
  return make_vocabulary(path, tuple(tokens), lower_case)


def _normalizer(tokenizer: dict[str, Any]) -> dict[str, Any]:
  normalizer = tokenizer.get("normalizer")
  return normalizer if isinstance(normalizer, dict) else {}


def _read_lower_case(path: pathlib.Path) -> bool | None:
  values = read_json(path)
  lower_case = values.get("do_lower_case")
  if lower_case is not None and not isinstance(lower_case, bool):
    raise InputError(f"{path}: do_lower_case is {lower_case!r}, not a boolean")
  accents = values.get("strip_accents")
  if accents is not None and accents != bool(lower_case):
    logging.warning("%s: strip_accents=%s is not followed: accents are "
                    "stripped when text is lower-cased", path, accents)
  if values.get("tokenize_chinese_chars") is False:
    logging.warning("%s: tokenize_chinese_chars=false is not followed", path)
  return lower_case
