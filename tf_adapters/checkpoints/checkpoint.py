"""What every reader returns: an architecture, tensors by canonical name, a
vocabulary. Also the fingerprint, which is a function of these alone.
"""

import abc
import hashlib
import pathlib

import numpy as np

from tf_adapters.checkpoints import names
from tf_adapters.errors import InputError
from tf_adapters.modeling.config import BertConfig, Vocabulary


class Checkpoint(abc.ABC):
  """Pretrained BERT weights in some file format, read tensor by tensor.

  Attributes:
    path: the folder, for messages.
    config: the architecture.
    vocabulary: the vocabulary, where the format has one beside the weights.
  """

  path: pathlib.Path
  config: BertConfig
  vocabulary: Vocabulary | None

  @abc.abstractmethod
  def _read(self, name: str) -> np.ndarray | None:
    """The tensor of a canonical name in whatever shape, or None."""

  def tensor(self, name: str) -> np.ndarray:
    """The tensor of a canonical name: float32, in its canonical shape.

    Raises:
      InputError: it is missing, has another number of elements, or has values
        that are not finite.
    """
    shape = names.shapes(self.config)[name]
    array = self._read(name)
    if array is None:
      raise InputError(f"{self.path}: no tensor for {name}")
    if array.size != np.prod(shape, dtype=np.int64):
      raise InputError(
          f"{self.path}: {name} has shape {list(array.shape)}, "
          f"expected {list(shape)}")
    array = array.astype(np.float32, copy=False).reshape(shape)
    if not np.all(np.isfinite(array)):
      raise InputError(f"{self.path}: {name} has values that are not finite")
    return array


class Fingerprint:
  """sha256 over an encoder's pretrained tensors and its architecture.

  Fed one tensor at a time, in sorted order of the names, so that the weights
  never have to be in memory together.
  """

  def __init__(self, config: BertConfig):
    self._hash = hashlib.sha256(
        f"{config.hidden_act} {config.layer_norm_eps!r}".encode())

  def add(self, name: str, array: np.ndarray) -> None:
    """Adds a float32 tensor."""
    self._hash.update(f"\n{name} {list(array.shape)}\n".encode())
    self._hash.update(np.ascontiguousarray(array, "<f4").data)

  def hexdigest(self) -> str:
    return self._hash.hexdigest()


def read_vocabulary(
    path: pathlib.Path, lower_case: bool | None) -> Vocabulary:
  """Reads a vocab.txt: one wordpiece a line.

  Args:
    path: the file.
    lower_case: whether text is lower-cased; None to tell from the wordpieces:
      a cased vocabulary has some that begin with a capital letter.

  Raises:
    InputError: the file is no text, or special tokens are missing.
  """
  try:
    lines = path.read_text(encoding="utf-8").split("\n")
  except (OSError, UnicodeDecodeError) as error:
    raise InputError(f"{path}: not a vocabulary: {error}") from None
  if lines and not lines[-1]:
    lines.pop()
  tokens = tuple(line.removesuffix("\r") for line in lines)
  if lower_case is None:
    lower_case = not any(token[:1].isupper() for token in tokens)
  try:
    return Vocabulary(tokens, lower_case)
  except InputError as error:
    raise InputError(f"{path}: {error}") from None
