"""Chooses the reader for the files of an encoder."""

import pathlib
import re

from tf_adapters.checkpoints.checkpoint import Checkpoint
from tf_adapters.checkpoints.hub_saved_model import read_hub_saved_model
from tf_adapters.checkpoints.hugging_face import (
    INDEX_NAME,
    WEIGHTS_NAME,
    read_hugging_face,
    refuse_pickle,
)
from tf_adapters.checkpoints.keras_hub import (
    WEIGHTS_NAME as KERAS_HUB_NAME,
    read_keras_hub,
)
from tf_adapters.checkpoints.sources import resolve
from tf_adapters.checkpoints.tensorflow_checkpoint import (
    find_prefix,
    read_tensorflow_checkpoint,
)
from tf_adapters.errors import InputError


def open_checkpoint(source: str) -> Checkpoint:
  """Opens the checkpoint behind a source with the reader for its format.

  Raises:
    InputError: see `resolve`; or it is of no known format, or damaged.
  """
  path = resolve(source)
  if not path.is_dir():
    return _open_file(path)
  if (path / "saved_model.pb").exists():
    return read_hub_saved_model(path)
  prefix = find_prefix(path)
  if prefix is not None and not any(path.glob("*.safetensors")):
    return read_tensorflow_checkpoint(prefix)
  if (path / KERAS_HUB_NAME).exists():
    return read_keras_hub(path)
  if (path / "config.json").exists():
    return read_hugging_face(path)
  if (path / "adapter_config.json").exists():
    raise InputError(f"{path}: is an adapter file, no encoder: load_adapter "
                     "reads it, and --adapter of a tool")
  holds = ", ".join(sorted(file.name for file in path.iterdir())[:5])
  raise InputError(
      f"{path}: not a BERT that can be read: expected a TF Hub SavedModel "
      "(saved_model.pb), a TensorFlow checkpoint (bert_model.ckpt.index), a "
      "KerasHub preset (config.json, model.weights.h5) or a "
      "Hugging Face folder (config.json, model.safetensors); "
      + (f"it holds {holds}" if holds else "it is empty"))


def _open_file(path: pathlib.Path) -> Checkpoint:
  """Opens one of the files of a checkpoint, or what its files begin with.
  """
  if path.name == "saved_model.pb":
    return read_hub_saved_model(path.parent)
  if path.name == KERAS_HUB_NAME:
    return read_keras_hub(path.parent)
  if path.name in (WEIGHTS_NAME, INDEX_NAME, "config.json"):
    return read_hugging_face(path.parent)
  prefix = re.sub(r"\.(index|meta|data-\d+-of-\d+)$", "", path.name)
  if path.with_name(f"{prefix}.index").exists():
    return read_tensorflow_checkpoint(path.with_name(prefix))
  if path.suffix in (".bin", ".pt", ".pth", ".pkl"):
    raise InputError(refuse_pickle(path))
  raise InputError(
      f"{path}: not a checkpoint that can be read: expected a folder, "
      "saved_model.pb, model.safetensors or the .index file of a TensorFlow "
      "checkpoint")
