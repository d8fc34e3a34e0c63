"""Pretrained embeddings for a `TextNetwork`: of words, or of whole texts."""

import hashlib
import os
import pathlib
from typing import Any

import tensorflow as tf
import tf_keras

from tf_adapters.checkpoints.loading import open_encoder
from tf_adapters.checkpoints.sources import resolve
from tf_adapters.errors import InputError, first_line
from tf_adapters.modeling.fingerprints import Fingerprint
from tf_adapters.modeling.origin import Origin
from tf_adapters.modeling.serialization import assign
from tf_adapters.modeling.text_network import TextEmbedding, WordEmbedding

_TABLE = "word_embeddings/embeddings"


def load_word_embedding(encoder_source: str | os.PathLike[str],
                        vocab_file: str | os.PathLike[str] | None = None,
                        lower_case: bool | None = None) -> WordEmbedding:
  """Reads the word embeddings of a BERT, and nothing else of it.

  Args:
    encoder_source, vocab_file, lower_case: as for `load_encoder`.

  Raises:
    InputError: as `load_encoder`; or there is no vocabulary.

  Example:
    >>> network = TextNetwork(load_word_embedding("minilm_l6"))
  """
  pretrained = open_encoder(encoder_source, vocab_file, lower_case)
  if pretrained.vocabulary is None:
    raise InputError(
        f"{encoder_source}: comes without a vocabulary: --vocab_file gives "
        "one, --do_lower_case its casing (vocab_file, lower_case)")
  table = pretrained.checkpoint.tensor(_TABLE)
  fingerprint = Fingerprint(pretrained.config)
  fingerprint.add(_TABLE, table)
  size, width = table.shape
  embedding = WordEmbedding(
      pretrained.vocabulary, size, width,
      fingerprint.origin(pretrained.source, {}), dtype="float32")
  assign(embedding.table, table)
  return embedding


def load_text_embedding(source: str | os.PathLike[str],
                        lower_case: bool = False) -> TextEmbedding:
  """Loads a TF Hub module that makes vectors of texts.

  Such as nnlm-en-dim128, Wiki-words-250 or universal-sentence-encoder. Unlike
  the encoders that are only read, the module's graph is run, so it has to be
  trusted as a program is.

  Args:
    source: a TF Hub or Kaggle Models URL or handle, such as
      "google/nnlm-en-dim128/2"; or a local folder: a SavedModel that is called
      with strings [batch] and returns floats [batch, size]; or a TF1 module,
      which cannot train.
    lower_case: whether texts are lower-cased first.

  Raises:
    InputError: the source cannot be found, or is no such module.

  Example:
    >>> network = TextNetwork(
    ...     load_text_embedding("google/nnlm-en-dim128/2"), pairs=True)
  """
  source = os.fspath(source)
  path = resolve(source, "text embedding")
  if path.name == "saved_model.pb":
    path = path.parent
  if not (path / "saved_model.pb").exists():
    raise InputError(f"{path}: no text embedding: expected the folder of a "
                     "SavedModel (saved_model.pb)")
  try:
    module = _keras_layer(path)
    vectors = _call(module, tf.constant(["a text", ""]))
  except (OSError, ValueError, TypeError, LookupError, AttributeError,
          RuntimeError, tf.errors.OpError) as error:
    raise InputError(f"{path}: no text embedding: it cannot be called with "
                     f"texts: {first_line(error)[:200]}") from None
  shape: Any = getattr(vectors, "shape", None)
  if not (tf.is_tensor(vectors) and vectors.dtype.is_floating
          and shape.rank == 2 and shape[0] == 2 and shape[1]):
    raise InputError(f"{path}: no text embedding: of two texts it makes "
                     f"{shape or type(vectors).__name__}, expected floats "
                     "[2, size]")
  return TextEmbedding(module, shape[1], lower_case, _can_train(module, path),
                       Origin(source, _sha256(path)), dtype="float32")


def _keras_layer(path: pathlib.Path) -> tf_keras.layers.Layer:
  # As in `sources`: only those need tensorflow_hub who ask for it.
  import tensorflow_hub as hub
  return hub.KerasLayer(str(path), name="module")


def _call(module: tf_keras.layers.Layer, texts: tf.Tensor) -> Any:
  """Calls a module on texts, in the scope of any strategy."""
  strategy = tf.distribute.get_strategy()
  # Not by `module()`, whose errors are Keras' own with the reason behind.
  outputs = strategy.run(module.call, args=(texts,))
  return strategy.experimental_local_results(outputs)[0]


def _can_train(module: tf_keras.layers.Layer, path: pathlib.Path) -> bool:
  module.trainable = True
  has_weights = bool(module.trainable_weights)
  module.trainable = False
  # Of the TF1 format a hub.KerasLayer raises when it is called to train.
  return has_weights and not (path / "tfhub_module.pb").exists()


def _sha256(folder: pathlib.Path) -> str:
  """Computes a sha256 over all files of a SavedModel."""
  digest = hashlib.sha256()
  for path in sorted(folder.rglob("*")):
    if path.is_file():
      with open(path, "rb") as file:
        content = hashlib.file_digest(file, "sha256").digest()
      digest.update(
          f"{path.relative_to(folder).as_posix()}\n".encode() + content)
  return digest.hexdigest()
