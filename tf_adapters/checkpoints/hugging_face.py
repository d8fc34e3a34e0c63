"""Reads a Hugging Face BERT folder: config.json, model.safetensors, vocab.txt.

Safetensors hold arrays and nothing else; pickled weights are never opened.
"""

import logging
import pathlib

import numpy as np
import safetensors

from tf_adapters.checkpoints import names
from tf_adapters.checkpoints.checkpoint import Checkpoint, read_vocabulary
from tf_adapters.errors import InputError
from tf_adapters.files import read_json
from tf_adapters.modeling.config import BertConfig

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


class HuggingFace(Checkpoint):
  """A folder as `transformers`' `BertModel.save_pretrained` writes it."""

  def __init__(self, path: pathlib.Path):
    self.path = path
    self.config = _read_config(path / "config.json")
    weights = path / "model.safetensors"
    try:
      self._file = safetensors.safe_open(weights, framework="numpy")
    except (OSError, safetensors.SafetensorError) as error:
      reason = str(error)
      if _is_lfs_pointer(weights):
        reason = "it is a Git LFS pointer; `git lfs pull` fetches the weights"
      raise InputError(f"{weights}: can not be read: {reason}") from None
    self._names = set(self._file.keys())
    self.vocabulary = None
    if (path / "vocab.txt").exists():
      lower_case = _read_lower_case(path / "tokenizer_config.json")
      self.vocabulary = read_vocabulary(path / "vocab.txt", lower_case)

  def _read(self, name: str) -> np.ndarray | None:
    for theirs in names.hugging_face_names(name):
      if theirs in self._names:
        try:
          array = self._file.get_tensor(theirs)
        except safetensors.SafetensorError as error:
          raise InputError(
              f"{self.path}: {theirs} can not be read: {error}") from None
        expected = names.shapes(self.config)[name]
        if name.endswith("/kernel"):
          array = array.T  # their dense layers are [outputs, inputs]
          split = 2 if name.endswith("attention_output/kernel") else 1
          expected = (int(np.prod(expected[:split])),
                      int(np.prod(expected[split:])))
        elif name.endswith("/bias"):
          expected = (int(np.prod(expected)),)
        if array.shape != expected:
          raise InputError(
              f"{self.path}: {theirs} has shape {list(array.shape)}, "
              f"expected {list(expected)}")
        return array
    return None


def _is_lfs_pointer(path: pathlib.Path) -> bool:
  try:
    with open(path, "rb") as file:
      return file.read(20).startswith(b"version https://git-")
  except OSError:
    return False


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
  activation = values.get("hidden_act", "gelu")
  if not isinstance(activation, str) or activation not in _ACTIVATIONS:
    raise InputError(f"{path}: unknown hidden_act {activation!r}")
  try:
    return BertConfig.from_dict({
        "hidden_act": _ACTIVATIONS[activation],
        **{key: values[key] for key in _COPIED if key in values}})
  except InputError as error:
    raise InputError(f"{path}: {error}") from None


def _read_lower_case(path: pathlib.Path) -> bool | None:
  if not path.exists():
    return None
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
