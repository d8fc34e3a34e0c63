"""Reads the weights of a TF Hub BERT SavedModel (v3, v4, small_bert).

The SavedModel's graph is neither loaded nor run: the readable variable names
are in the object graph that its checkpoint carries, and name the tensors.
"""

import pathlib

import numpy as np
import tensorflow as tf
from google.protobuf import message
from tensorflow.core.protobuf import trackable_object_graph_pb2

from tf_adapters.checkpoints import names
from tf_adapters.checkpoints.checkpoint import Checkpoint, read_vocabulary
from tf_adapters.errors import InputError
from tf_adapters.modeling.config import BertConfig

# What the checkpoint reader makes of a damaged file, case by case, and the
# object graph's parser.
_UNREADABLE = (tf.errors.OpError, LookupError, RuntimeError, ValueError,
               message.DecodeError)
_LOWER_CASE_KEY = "do_lower_case/.ATTRIBUTES/VARIABLE_VALUE"


class HubSavedModel(Checkpoint):
  """A folder with saved_model.pb, variables/ and assets/vocab.txt."""

  def __init__(self, path: pathlib.Path):
    self.path = path
    try:
      self._reader = tf.train.load_checkpoint(
          str(path / "variables" / "variables"))
      graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(
          self._reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
    except _UNREADABLE as error:
      raise InputError(
          f"{path}: its variables can not be read: "
          f"{str(error).splitlines()[0]}") from None
    self._shapes = self._reader.get_variable_to_shape_map()
    self._keys = {
        attribute.full_name: attribute.checkpoint_key
        for node in graph.nodes for attribute in node.attributes}
    self.config = self._infer_config()
    self.vocabulary = None
    vocab_file = path / "assets" / "vocab.txt"
    if vocab_file.exists():
      lower_case = None
      if self._reader.has_tensor(_LOWER_CASE_KEY):
        lower_case = bool(self._reader.get_tensor(_LOWER_CASE_KEY))
      self.vocabulary = read_vocabulary(vocab_file, lower_case)

  def _shape(self, name: str) -> list[int]:
    if name not in self._keys:
      raise InputError(
          f"{self.path}: not a BERT of TF Hub's v3 or v4 format: it has no "
          f"variable {name}")
    return self._shapes[self._keys[name]]

  def _infer_config(self) -> BertConfig:
    """Everything but the activation and dropout can be told from shapes."""
    layer = "transformer/layer_0"
    vocab_size, hidden_size = self._shape("word_embeddings/embeddings")
    num_layers = 0
    while f"transformer/layer_{num_layers}/output/kernel" in self._keys:
      num_layers += 1
    query = self._shape(f"{layer}/self_attention/query/kernel")
    if len(query) != 3:
      raise InputError(
          f"{self.path}: not a BERT of TF Hub's v3 or v4 format: the query "
          f"kernel has shape {query}, expected three dimensions")
    return BertConfig(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        num_hidden_layers=num_layers,
        num_attention_heads=query[1],
        intermediate_size=self._shape(f"{layer}/intermediate/kernel")[1],
        hidden_act="gelu_tanh",
        max_position_embeddings=self._shape(
            "position_embedding/embeddings")[0],
        type_vocab_size=self._shape("type_embeddings/embeddings")[0])

  def _read(self, name: str) -> np.ndarray | None:
    key = self._keys.get(name)
    if key is None:
      return None
    expected = names.shapes(self.config)[name]
    shape = self._shapes[key]
    if tuple(shape) != expected:
      raise InputError(
          f"{self.path}: {name} has shape {shape}, expected {list(expected)}")
    try:
      return self._reader.get_tensor(key)
    except _UNREADABLE as error:
      raise InputError(
          f"{self.path}: {name} can not be read: "
          f"{str(error).splitlines()[0]}") from None
