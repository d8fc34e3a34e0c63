"""Reads a Hugging Face folder: config.json, safetensors, a vocabulary.

Safetensors hold arrays and nothing else; pickled weights are never opened.
"""

import pathlib

import numpy as np

from tf_adapters.checkpoints.checkpoint import Checkpoint, find_encoder
from tf_adapters.checkpoints.encoder_config import EncoderConfigFile
from tf_adapters.checkpoints.sentence_encoder import read_sentence_pooling
from tf_adapters.checkpoints.tensor_file import TensorFile
from tf_adapters.checkpoints.vocabulary_files import find_tokenizer
from tf_adapters.errors import InputError
from tf_adapters.files.reading import read_json

WEIGHTS_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"

_PICKLED = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


def read_hugging_face(folder: pathlib.Path) -> Checkpoint:
  """Opens a folder as `transformers`' `BertModel.save_pretrained` writes it.

  The weights may be in several files with an index, of 16 or 32 bits, with or
  without a prefix such as "bert.", and without a pooler.

  Raises:
    InputError: a file is missing or damaged, or holds no such encoder.
  """
  config = EncoderConfigFile(folder / "config.json")
  files = _Safetensors(folder)
  found = find_encoder(files, config.family)
  return Checkpoint(
      "Hugging Face folder", folder, files, found,
      config.config_of_transformers(found.family),
      find_tokenizer(folder, found.family),
      may_lack_pooler=True, sentence_pooling=read_sentence_pooling(folder))


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
    self.shapes: dict[str, tuple[int, ...]] = {}
    self._files: dict[str, TensorFile] = {}
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
  """Returns why pickled weights are not opened, and what to do instead."""
  return (
      f"{path}: is not opened, since pickled weights can run any code; "
      "transformers writes safe ones: "
      f"AutoModel.from_pretrained({str(path.parent)!r})"
      ".save_pretrained(NEW_FOLDER)")
