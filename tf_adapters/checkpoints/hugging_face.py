"""Reads a Hugging Face BERT folder: config.json, model.safetensors, vocab.txt.

Safetensors hold arrays and nothing else; pickled weights are never opened.
"""

import json
import pathlib
from typing import Any

import numpy as np
import safetensors

from tf_adapters.checkpoints import names
from tf_adapters.checkpoints.checkpoint import Checkpoint, read_vocabulary
from tf_adapters.errors import InputError
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
      raise InputError(f"{weights}: can not be read: {error}") from None
    self._names = set(self._file.keys())
    self.vocabulary = None
    if (path / "vocab.txt").exists():
      lower_case = None
      if (path / "tokenizer_config.json").exists():
        lower_case = read_json(path / "tokenizer_config.json").get(
            "do_lower_case")
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


def read_json(path: pathlib.Path) -> dict[str, Any]:
  """Reads a JSON object, or raises an InputError that names the file."""
  try:
    values = json.loads(path.read_text(encoding="utf-8"))
  except (OSError, ValueError) as error:
    raise InputError(f"{path}: not readable as JSON: {error}") from None
  if not isinstance(values, dict):
    raise InputError(f"{path}: expected a JSON object")
  return values


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
  if activation not in _ACTIVATIONS:
    raise InputError(f"{path}: unknown hidden_act {activation!r}")
  try:
    return BertConfig.from_dict({
        "hidden_act": _ACTIVATIONS[activation],
        **{key: values[key] for key in _COPIED if key in values}})
  except InputError as error:
    raise InputError(f"{path}: {error}") from None
