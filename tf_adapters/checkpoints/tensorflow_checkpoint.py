"""Reads TensorFlow checkpoints: the TF1 release's and Model Garden's.

google-research/bert and what was pretrained with it (BioBERT, SciBERT, ...)
come as bert_config.json, vocab.txt and a name-based checkpoint; Model Garden
writes object-based ones.
"""

import pathlib

import tensorflow as tf

from tf_adapters.checkpoints.checkpoint import Checkpoint, find_encoder
from tf_adapters.checkpoints.encoder_config import (
    CONFIG_NAMES,
    EncoderConfigFile,
    GoogleDefaults,
    infer_config,
)
from tf_adapters.checkpoints.tensor_bundle import TensorBundle
from tf_adapters.checkpoints.vocabulary_files import find_vocabulary
from tf_adapters.errors import InputError
from tf_adapters.files.reading import MOST_BYTES, check_file


def read_tensorflow_checkpoint(prefix: pathlib.Path) -> Checkpoint:
  """Opens PREFIX.index and PREFIX.data-*, with bert_config.json beside them.

  Model Garden checkpoints can do without bert_config.json.

  Raises:
    InputError: a file is missing or damaged, or holds no encoder.
  """
  folder = prefix.parent
  bundle = TensorBundle(prefix)
  configs = [folder / name for name in CONFIG_NAMES
             if (folder / name).exists()]
  if configs:
    file = EncoderConfigFile(configs[0])
    found = find_encoder(bundle, file.family)
    config = file.config(found.family)
  else:
    found = find_encoder(bundle)
    config = infer_config(bundle, found, GoogleDefaults())
  return Checkpoint(
      "Model Garden checkpoint" if bundle.object_based else "TF1 checkpoint",
      prefix, bundle, found, config, find_vocabulary(folder, found.family))


def find_prefix(folder: pathlib.Path) -> pathlib.Path | None:
  """Finds the checkpoint in a folder: the only one, or the newest it names.

  Raises:
    InputError: there are several.
  """
  prefixes = [path.with_suffix("") for path in sorted(folder.glob("*.index"))]
  if len(prefixes) <= 1:
    return prefixes[0] if prefixes else None
  check_file(folder / "checkpoint", MOST_BYTES)
  try:
    state = tf.train.get_checkpoint_state(str(folder))
  except (ValueError, tf.errors.OpError):
    state = None
  # Only the name: the path in the file may lead anywhere.
  newest = state and folder / pathlib.Path(state.model_checkpoint_path).name
  if newest in prefixes:
    return newest
  raise InputError(
      f"{folder}: holds {len(prefixes)} checkpoints; give one of them: "
      f"{', '.join(prefix.name for prefix in prefixes[:4])}")
