"""What the graph of a SavedModel says of its architecture: read, never run.

Weights do not tell an activation, an epsilon, or, where kernels are matrices,
the number of attention heads. Operations do, whatever their names are.
"""

import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from google.protobuf import message
from tensorflow.core.framework import node_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from tf_adapters.checkpoints.checkpoint import refuse_lfs_pointer
from tf_adapters.errors import InputError

# The factor that no other function has than the tanh approximation of gelu.
_GELU_FACTOR = 0.044715


class SavedModelGraph:
  """The first meta graph in a saved_model.pb.

  Args:
    folder: the SavedModel.

  Raises:
    InputError: the file can not be read.
  """

  def __init__(self, folder: pathlib.Path):
    path = folder / "saved_model.pb"
    refuse_lfs_pointer(path)
    try:
      content = path.read_bytes()
      model = saved_model_pb2.SavedModel.FromString(content)
      self._meta: meta_graph_pb2.MetaGraphDef = model.meta_graphs[0]
    except OSError as error:
      raise InputError(f"{path}: can not be read: {error.strerror}") from None
    except (message.DecodeError, IndexError):
      raise InputError(
          f"{path}: can not be read: no SavedModel, or a damaged one"
      ) from None
    self.path = path
    self._graphs = [list(self._meta.graph_def.node), *(
        list(function.node_def)
        for function in self._meta.graph_def.library.function)]

  def _nodes(self) -> Iterator[node_def_pb2.NodeDef]:
    for graph in self._graphs:
      yield from graph

  def hidden_act(self) -> str | None:
    """The activation, one of `ACTIVATIONS`; None if there is no telling."""
    operations = {node.op for node in self._nodes()}
    if operations & {"Erf", "Erfc"}:
      return "gelu"
    if any(abs(value - _GELU_FACTOR) < 1e-7 for value in self._scalars()):
      return "gelu_tanh"
    if "Relu" in operations:
      return "relu"
    return None

  def layer_norm_eps(self) -> float | None:
    """What is added to variances before the root; None without any."""
    for graph in self._graphs:
      by_name = {node.name: node for node in graph}
      for node in graph:
        if node.op == "FusedBatchNormV3":
          return _short(node.attr["epsilon"].f)
        if node.op != "Rsqrt":
          continue
        summed = by_name.get(_source(node.input[0]))
        for name in summed.input if summed is not None else ():
          constant = by_name.get(_source(name))
          if constant is not None and constant.op == "Const":
            return _short(_array(constant).item())
    return None

  def num_attention_heads(self) -> int | None:
    """The second dimension of attention weights; None if it is not said."""
    for node in self._nodes():
      shapes = node.attr["_output_shapes"].list.shape
      if node.op == "Softmax" and shapes and len(shapes[0].dim) == 4 and (
          shapes[0].dim[1].size > 0):
        return shapes[0].dim[1].size
    return None

  def normalises_first(self) -> bool:
    """Whether Keras' notes in the file say that layer norms come first."""
    folder = self.path.parent
    notes = [node.user_object.metadata
             for node in self._meta.object_graph_def.nodes]
    keras = folder / "keras_metadata.pb"
    if keras.exists():
      notes.append(keras.read_bytes().decode("utf-8", "replace"))
    return any('"norm_first": true' in note for note in notes)

  def constant_output(self, signature: str, output: str) -> np.ndarray | None:
    """The value of a signature's output that is a constant, or None."""
    tensor = self._meta.signature_def[signature].outputs[output].name
    by_name = {node.name: node for node in self._graphs[0]}
    node = by_name.get(_source(tensor))
    while node is not None and node.op == "Identity":
      node = by_name.get(_source(node.input[0]))
    if node is None or node.op != "Const":
      return None
    return _array(node)

  def _scalars(self) -> Iterator[float]:
    for node in self._nodes():
      if node.op == "Const" and not (
          node.attr["value"].tensor.tensor_shape.dim) and (
          node.attr["dtype"].type in (tf.float32, tf.bfloat16, tf.float16)):
        yield float(_array(node).item())


def _array(node: node_def_pb2.NodeDef) -> np.ndarray:
  return tf.make_ndarray(node.attr["value"].tensor)


def _source(name: str) -> str:
  """The node that an input such as "^add" or "add:0" or "add:z:0" names."""
  return name.lstrip("^").split(":")[0]


def _short(value: float) -> float:
  """1e-12 of the nearest float32."""
  return float(str(np.float32(value)))
