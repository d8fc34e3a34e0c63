"""Reads TensorFlow checkpoints, old and new, as tensors by readable name.

A name-based checkpoint (TF1) says what a tensor is called; an object-based one
(TF2) has the variables' names in the object graph that it carries along. Which
of them make a BERT is not known here.
"""

import pathlib
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import message
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import trackable_object_graph_pb2

from tf_adapters.checkpoints.bundle_index import read_index
from tf_adapters.checkpoints.wire_format import WireFormat
from tf_adapters.errors import InputError, first_line
from tf_adapters.files.reading import Unchanged, check_file

# What the checkpoint reader makes of a damaged file, case by case, and the
# object graph's parser.
_UNREADABLE = (tf.errors.OpError, LookupError, RuntimeError, ValueError,
               TypeError, message.DecodeError)
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_MOST_STRING_BYTES = 1 << 23  # BERT-large with its optimizer has 0.5 MB
# Keys of optimizers' variables, which are named like those they belong to.
_OPTIMIZER = ("optimizer/", "/_variables/", "/.OPTIMIZER_SLOT/")


class TensorBundle:
  """The files PREFIX.index and PREFIX.data-*.

  Args:
    prefix: what the names of the files have in common.
    path: file or folder, for messages; the prefix without it.

  Raises:
    InputError: they cannot be read.
  """

  transposed = False

  def __init__(self, prefix: pathlib.Path, path: pathlib.Path | None = None):
    self.path = path or prefix
    if prefix.is_dir():
      # TensorFlow would follow a file in it, to wherever that says.
      raise InputError(f"{prefix}: is a folder, not a checkpoint")
    if set("*?[\\") & set(str(prefix)):
      raise InputError(
          f"{prefix}: TensorFlow cannot open files whose path has *, ?, [ or "
          "\\ in it: rename the folder")
    files = sorted(prefix.parent.glob(f"{prefix.name}.*"))
    for file in files:
      check_file(file)
    try:
      # TensorFlow opens by name what is checked here: the index now, the data
      # when it is asked for a tensor.
      self._unchanged = Unchanged(*files)
      self._entries = read_index(prefix)
      self._reader = tf.train.load_checkpoint(str(prefix))
      self._unchanged.check()
      self.object_based = _OBJECT_GRAPH in self._entries
      keys = self._keys_of_variables() if self.object_based else {
          name: name for name in self._entries}
      self.shapes: dict[str, tuple[int, ...]] = {
          name: tuple(dim.size for dim in self._entries[key].shape.dim)
          for name, key in keys.items()}
    except InputError:
      raise
    except OSError as error:
      raise InputError(f"{self.path}: its variables cannot be read: "
                       f"{error.filename}: {error.strerror}") from None
    except _UNREADABLE as error:
      raise InputError(
          f"{self.path}: its variables cannot be read: {first_line(error)}"
      ) from None
    self._keys = keys

  def _keys_of_variables(self) -> dict[str, str]:
    graph = trackable_object_graph_pb2.TrackableObjectGraph
    node = graph.TrackableObject
    keys: dict[str, str] = {}
    # Not parsed as a whole: see `wire_format`.
    for content in WireFormat().values(
        self._get(_OBJECT_GRAPH), graph.DESCRIPTOR, "nodes.attributes"):
      attribute = node.SerializedTensor.FromString(bytes(content))
      name, key = attribute.full_name, attribute.checkpoint_key
      if any(part in key for part in _OPTIMIZER) or key not in self._entries:
        continue
      if name in keys:
        name = f"{name}_{len(keys)}"  # as TensorFlow tells namesakes apart
      keys[name] = key
    return keys

  def read(self, name: str) -> np.ndarray:
    return self.read_key(self._keys[name])

  def read_key(self, key: str) -> Any:
    """Reads the tensor under a checkpoint's own key; None without it."""
    if key not in self._entries:
      return None
    try:
      return self._get(key)
    except InputError:
      raise
    except (OSError, *_UNREADABLE) as error:
      raise InputError(
          f"{self.path}: {key} cannot be read: {first_line(error)}") from None

  def _get(self, key: str) -> Any:
    """Reads an array; of a string its bytes."""
    # Strings take many times their bytes in the file. The object graph is one.
    entry = self._entries[key]
    if entry.dtype == types_pb2.DT_STRING and (
        entry.shape.dim or entry.size > _MOST_STRING_BYTES):
      raise ValueError("expected numbers, not strings")
    array = self._reader.get_tensor(key)
    self._unchanged.check()
    return array
