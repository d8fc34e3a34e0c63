"""Checkpoints as every reader returns them, and the checks of all formats.

A checkpoint has an architecture, tensors by canonical name and a vocabulary.
Nothing here knows a file format.
"""

import logging
import pathlib
from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np
import tensorflow as tf

from tf_adapters.checkpoints import names
from tf_adapters.checkpoints.vocabulary import check_vocabulary
from tf_adapters.errors import InputError, about, printable
from tf_adapters.modeling.encoders.family import EncoderConfig, EncoderFamily
from tf_adapters.modeling.encoders.table import family_of
from tf_adapters.modeling.vocabulary import Vocabulary

_POOLER_BIAS = "pooler_transform/bias"


class TensorFiles(Protocol):
  """Arrays in files, by the files' own names.

  Attributes:
    path: file or folder, for messages.
    shapes: name -> shape, known without reading any array.
    transposed: whether kernels are [outputs, inputs], as PyTorch has them.
  """

  path: pathlib.Path
  transposed: bool

  @property
  def shapes(self) -> Mapping[str, tuple[int, ...]]: ...

  def read(self, name: str) -> np.ndarray:
    """Reads one array.

    Raises:
      InputError: the file is damaged.
    """


def find_encoder(files: TensorFiles,
                 family: EncoderFamily | None = None) -> names.Found:
  """Finds an encoder among the arrays of files, as `names.find_encoder`."""
  with about(files.path):
    return names.find_encoder(files.shapes, family)


class Checkpoint:
  """Pretrained weights, complete and of the right shapes.

  Arrays are read when they are asked for, one at a time, so that they never
  have to be in memory together.

  Args:
    kind: the format, for people.
    path: file or folder, for messages.
    files: where the arrays are.
    found: which of them are the encoder's.
    config: the architecture.
    vocabulary: the vocabulary, where the format has one beside the weights.
    may_lack_pooler: whether the format may leave the pooler out, which is the
      identity then, so that the pooled output is tanh of the first token's.
    sentence_pooling: how texts are pooled, where the files are those of a
      sentence encoder.

  Attributes:
    kind, path, config, vocabulary, sentence_pooling: the same.
    family: that the files are of; `config` can be another's, of which they are
      a case.
    beside: what the files hold besides.
    lacks_pooler: whether they have no pooler, and the identity is in its place.

  Raises:
    InputError: a tensor is missing, of another shape, or too many; or the
      vocabulary has more tokens than the encoder.
  """

  def __init__(self, kind: str, path: pathlib.Path, files: TensorFiles,
               found: names.Found, config: EncoderConfig,
               vocabulary: Vocabulary | None,
               may_lack_pooler: bool = False,
               sentence_pooling: str | None = None):
    self.kind = kind
    self.path = path
    self.config = config
    self.vocabulary = vocabulary
    self.beside = found.beside
    self.family = found.family
    self.sentence_pooling = sentence_pooling
    self._files = files
    self._names = found.names
    if not config.shares_layers and (
        config.num_hidden_layers > found.num_layers):
      raise InputError(  # before names are made for layers without end
          f"{files.path}: no tensor for transformer/layer_{found.num_layers}/, "
          f"of {config.num_hidden_layers} layers")
    family = family_of(config)  # not the files', where they are a case of it
    self._shapes = family.shapes(config)
    self._as_matrix = family.as_matrix
    self._zeros = family.zeros
    self.lacks_pooler = (
        (may_lack_pooler or found.family.may_lack_pooler)
        and any(map(_is_pooler, self._shapes))
        and not any(map(_is_pooler, self._names)))
    if self.lacks_pooler and not found.family.may_lack_pooler:
      logging.warning(
          "%s: has no pooler: the pooled output is tanh of the first token's; "
          "pooling=auto takes the mean of all tokens' instead", path)
    for name, shape in self._shapes.items():
      self._check_shape(name, shape)
    for name, theirs in found.names.items():
      if name not in self._shapes:
        raise InputError(
            f"{files.path}: has a tensor {theirs}, but the encoder has only "
            f"{config.num_hidden_layers} layers")
    if found.unexpected:
      logging.warning(
          "%s: left out what no %s has: %s", files.path, found.family.title,
          printable(", ".join(found.unexpected[:5]))
          + (", ..." if len(found.unexpected) > 5 else ""))
    if vocabulary is not None:
      check_vocabulary(path, vocabulary, config)

  def _check_shape(self, name: str, shape: tuple[int, ...]) -> None:
    if self._is_filled_in(name):
      return
    if name not in self._names:
      raise InputError(f"{self._files.path}: no tensor for {name}")
    theirs = self._names[name]
    stored = tuple(self._files.shapes[theirs])
    matrix = self._as_matrix(name, shape)
    expected = [shape, matrix]
    if self._files.transposed:
      expected = [matrix[::-1] if name.endswith("/kernel") else matrix]
    if stored not in expected:
      raise InputError(
          f"{self._files.path}: {theirs} has shape {list(stored)}, expected "
          f"{list(expected[0])}")

  def _is_filled_in(self, name: str) -> bool:
    if _is_pooler(name):
      return self.lacks_pooler
    return name not in self._names and bool(
        self._zeros and self._zeros.search(name))

  def tensor(self, name: str) -> np.ndarray:
    """Reads the tensor of a canonical name: float32, in its canonical shape.

    Raises:
      InputError: it cannot be read, or is not made of finite numbers.
    """
    if self._is_filled_in(name):
      if name.endswith("/kernel"):  # of the pooler
        return np.eye(self.config.hidden_size, dtype=np.float32)
      return np.zeros(self._shapes[name], np.float32)
    theirs = self._names[name]
    array = self._files.read(theirs)
    if not tf.as_dtype(array.dtype).is_floating:
      raise InputError(
          f"{self._files.path}: {theirs} holds {array.dtype}, expected "
          "floating-point numbers")
    if self._files.transposed and name.endswith("/kernel"):
      array = array.T
    with np.errstate(over="ignore"):  # said below
      array = np.ascontiguousarray(array, np.float32).reshape(
          self._shapes[name])
    if not np.isfinite(array).all():
      raise InputError(
          f"{self._files.path}: {name} has values that are not finite")
    return array

  def tensors(self) -> Iterator[tuple[str, np.ndarray]]:
    """Yields all tensors by canonical name, in the order of `Fingerprint`."""
    for name in sorted(self._shapes):
      yield name, self.tensor(name)

  @property
  def pooler(self) -> str:
    """The state of the pooler: "trained", "never trained" or "none".

    Biases begin as zeros, and no training leaves all of them there.

    Raises:
      InputError: the biases cannot be read.
    """
    if self.lacks_pooler or _POOLER_BIAS not in self._shapes:
      return "none"
    biases = self.tensor(_POOLER_BIAS)
    return "trained" if biases.any() else "never trained"

  @property
  def pooling(self) -> str:
    """The pooling that the encoder was made for: see `modeling.heads.Head`.

    Raises:
      InputError: see `pooler`.
    """
    if self.sentence_pooling is not None:
      return self.sentence_pooling
    return "pooler" if self.pooler == "trained" else "mean"

  @property
  def num_parameters(self) -> int:
    """The number of the encoder's parameters."""
    return sum(int(np.prod(shape)) for shape in self._shapes.values())


def _is_pooler(name: str) -> bool:
  return name.startswith("pooler_transform/")
