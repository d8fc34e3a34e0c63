"""Reads KerasHub's presets: config.json, model.weights.h5, assets/tokenizer.

Keras calls an array by the classes of the layers that it is in, and by their
order.
"""

import pathlib
import re
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from tf_adapters.checkpoints.checkpoint import Checkpoint, find_encoder
from tf_adapters.checkpoints.encoder_config import HUGGING_FACE_ACTIVATIONS
from tf_adapters.checkpoints.vocabulary_files import read_vocabulary_file
from tf_adapters.errors import InputError, about, first_line
from tf_adapters.files.reading import Unchanged, check_file, read_json
from tf_adapters.modeling.encoders.family import EncoderConfig, EncoderFamily
from tf_adapters.modeling.encoders.table import ENCODERS
from tf_adapters.modeling.vocabulary import Vocabulary

WEIGHTS_NAME = "model.weights.h5"

# Class of a backbone -> its family, the activation and the epsilon that it has.
_BACKBONES = {
    "BertBackbone": ("bert", "gelu_new", 1e-12),
    "DistilBertBackbone": ("distilbert", "gelu", 1e-12),
    "AlbertBackbone": ("albert", "gelu_new", 1e-12),
    "ElectraBackbone": ("electra", "gelu_new", 1e-12),
    "RobertaBackbone": ("roberta", "gelu", 1e-5),
}
# KerasHub's name of a field -> Hugging Face's.
_FIELDS = {
    "vocabulary_size": "vocab_size", "vocab_size": "vocab_size",
    "num_layers": "num_hidden_layers", "num_heads": "num_attention_heads",
    "hidden_dim": "hidden_size", "intermediate_dim": "intermediate_size",
    "embedding_dim": "embedding_size", "num_segments": "type_vocab_size",
    "max_sequence_length": "max_position_embeddings",
    "num_groups": "num_hidden_groups",
    "num_inner_repetitions": "inner_group_num",
    "dropout": "hidden_dropout_prob"}
# A layer's place in the file -> the canonical one.
_PLACES = {
    "reversible_embedding": "word_embeddings",
    "position_embedding": "position_embedding",
    "embedding": "type_embeddings",
    "token_and_position_embedding/token_embedding": "word_embeddings",
    "token_and_position_embedding/position_embedding": "position_embedding",
    "layer_normalization": "embeddings/layer_norm"}
_LAYER_PLACES = {
    "_self_attention_layer/query_dense": "self_attention/query",
    "_self_attention_layer/key_dense": "self_attention/key",
    "_self_attention_layer/value_dense": "self_attention/value",
    "_self_attention_layer/output_dense": "self_attention/attention_output",
    "_self_attention_layer_norm": "self_attention_layer_norm",
    "_feedforward_intermediate_dense": "intermediate",
    "_feedforward_output_dense": "output",
    "_feedforward_layer_norm": "output_layer_norm"}
_LAYER = re.compile(r"transformer_encoder(?:_(\d{1,4}))?/(.+)")
_VARIABLE = re.compile(r"layers/(.+)/vars/([01])")
# What h5py raises of damaged files.
_UNREADABLE = (KeyError, OSError, RuntimeError, TypeError, ValueError)
_VOCABULARIES = ("vocabulary.txt", "vocabulary.spm", "vocabulary.json")


def read_keras_hub(folder: pathlib.Path) -> Checkpoint:
  """Opens a preset of KerasHub, as `save_to_preset` writes it.

  Raises:
    InputError: a file is missing or damaged, or holds no such encoder.
  """
  path = folder / "config.json"
  values = read_json(path)
  name = values.get("class_name")
  if not isinstance(name, str) or name not in _BACKBONES:
    raise InputError(f"{path}: class_name is {name!r:.50}; of KerasHub only "
                     f"{', '.join(_BACKBONES)} are read")
  family = ENCODERS[_BACKBONES[name][0]]
  with about(path):
    config = _config(name, family, values.get("config"))
  files = _Weights(folder / WEIGHTS_NAME, config)
  return Checkpoint("KerasHub preset", folder, files,
                    find_encoder(files, family), config,
                    _vocabulary(folder, family), may_lack_pooler=True)


def _config(name: str, family: EncoderFamily, values: Any) -> EncoderConfig:
  if not isinstance(values, dict):
    raise InputError("has no config")
  given = {theirs: values[ours] for ours, theirs in _FIELDS.items()
           if ours in values}
  _, given["hidden_act"], given["layer_norm_eps"] = _BACKBONES[name]
  given["attention_probs_dropout_prob"] = values.get("dropout", 0.0)
  first = getattr(family.config, "first_position", 0)
  if first and type(given.get("max_position_embeddings")) is int:
    given["max_position_embeddings"] += first
  return family.read_config(given, HUGGING_FACE_ACTIVATIONS)


def _vocabulary(folder: pathlib.Path,
                family: EncoderFamily) -> Vocabulary | None:
  settings, lower_case = folder / "tokenizer.json", None
  if settings.exists():
    values = read_json(settings).get("config")
    lower_case = values.get("lowercase") if isinstance(values, dict) else None
    if lower_case not in (None, True, False):
      raise InputError(f"{settings}: lowercase is {lower_case!r:.50}, not a "
                       "boolean")
  for name in _VOCABULARIES:
    path = folder / "assets" / "tokenizer" / name
    if path.exists():
      return read_vocabulary_file(path, lower_case, family)
  return None


class _Weights:
  """A model.weights.h5, by canonical names: `checkpoint.TensorFiles`.

  Only what lies in the file itself is read, as it stands there.
  """

  transposed = False

  def __init__(self, path: pathlib.Path, config: EncoderConfig):
    self.path = path
    self._config = config
    self.shapes: dict[str, tuple[int, ...]] = {}
    self._places: dict[str, str] = {}
    check_file(path)
    try:
      self._unchanged = Unchanged(path)
      with h5py.File(path, "r") as file:
        file.visititems(self._note)
    except InputError:
      raise
    except _UNREADABLE as error:
      raise InputError(
          f"{path}: cannot be read: {first_line(error)}") from None
    if config.family == "roberta":  # it never had segments
      self.shapes["type_embeddings/embeddings"] = (1, config.hidden_size)

  def _note(self, place: str, value: Any) -> None:
    if not isinstance(value, h5py.Dataset):
      return
    if value.external or value.is_virtual or value.dtype.kind != "f" or (
        value.id.get_storage_size() != value.nbytes):
      raise InputError(f"{self.path}: {place} is no array of floating-point "
                       "numbers as Keras writes them")
    name = self._name(place)
    self._places[name] = place
    shape = tuple(value.shape)
    first = self._first(name)
    self.shapes[name] = (shape[0] + first, *shape[1:]) if first else shape

  def _name(self, place: str) -> str:
    """Returns the canonical name; of what has none its place."""
    found = _VARIABLE.fullmatch(place)
    if not found:
      return place
    layer = _LAYER.fullmatch(found[1])
    if layer:
      ours = _LAYER_PLACES.get(layer[2])
      ours = ours and f"{self._config.layer_name(int(layer[1] or 0))}/{ours}"
    else:
      ours = self._places_at_top().get(found[1])
    if ours is None:
      return place
    leaves = ("kernel", "bias")
    if ours.endswith("layer_norm"):
      leaves = ("gamma", "beta")
    elif ours.endswith(("embeddings", "embedding")):
      leaves = ("embeddings", "")
    return f"{ours}/{leaves[int(found[2])]}"

  def _places_at_top(self) -> Mapping[str, str]:
    """Returns `_PLACES`, and the dense layers, which are counted."""
    config: Any = self._config
    dense = ["pooler_transform"]
    if config.embedding_width != config.hidden_size:
      dense.insert(0, "embedding_projection")
    return {**_PLACES, **{
        f"dense_{number}" if number else "dense": name
        for number, name in enumerate(dense)}}

  def _first(self, name: str) -> int:
    """Counts rows of the table of positions that no text sees, and no file has.
    """
    return getattr(self._config, "first_position", 0) if (
        name == "position_embedding/embeddings") else 0

  def read(self, name: str) -> np.ndarray:
    """As `TensorFiles.read`."""
    if name not in self._places:
      return np.zeros(self.shapes[name], np.float32)
    try:
      self._unchanged.check()
      with h5py.File(self.path, "r") as file:
        self._unchanged.check()
        array: np.ndarray = file[self._places[name]][...]
    except InputError:
      raise
    except _UNREADABLE as error:
      raise InputError(f"{self.path}: {name} cannot be read: "
                       f"{first_line(error)}") from None
    first = self._first(name)
    return np.pad(array, [(first, 0), (0, 0)]) if first else array
