"""What the graph of a SavedModel says of its architecture: read, never run.

Weights do not tell an activation, an epsilon, or, where kernels are matrices,
the number of attention heads. Operations do, whatever their names are.
"""

import pathlib
import re
from collections.abc import Iterator

import numpy as np
from google.protobuf import message
from tensorflow.core.framework import node_def_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from tf_adapters.errors import InputError
from tf_adapters.files import check_file

# Of saved_model.pb, and of Keras' notes beside it; TF Hub's have up to 30 MB.
_MOST_BYTES = 1 << 27

# The factor that no other function has than the tanh approximation of gelu.
_GELU_FACTOR = 0.044715
# Activation -> operations, or a constant, that tell it from the others.
ACTIVATION_MARKS = {
    "gelu": {"Erf", "Erfc"}, "gelu_tanh": {_GELU_FACTOR}, "relu": {"Relu"},
    "swish": {"Sigmoid"},
}
_LONGEST_CHAIN = 10  # of identities; a damaged graph may have rings


class SavedModelGraph:
  """The first meta graph in a saved_model.pb.

  Args:
    folder: the SavedModel.

  Raises:
    InputError: the file can not be read.
  """

  def __init__(self, folder: pathlib.Path):
    path = folder / "saved_model.pb"
    check_file(path, _MOST_BYTES)
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

  def hidden_act(self) -> str:
    """The activation, one of `ACTIVATION_MARKS`.

    Raises:
      InputError: there is no telling, or there are several.
    """
    marks = {node.op for node in self._nodes()}
    if any(isinstance(value := _scalar(node), float)
           and abs(value - _GELU_FACTOR) < 1e-7 for node in self._nodes()):
      marks.add(_GELU_FACTOR)
    found = [name for name, its in ACTIVATION_MARKS.items() if marks & its]
    if len(found) != 1:
      raise InputError(
          f"{self.path}: its activation can not be told from its operations: "
          f"{' or '.join(found) or 'neither gelu nor relu nor swish'}; a "
          "bert_config.json in the folder would say it")
    return found[0]

  def layer_norm_eps(self) -> float:
    """What is added to variances before the root.

    Raises:
      InputError: there is no telling, or it is not the same everywhere.
    """
    found = set()
    for graph in self._graphs:
      by_name = {node.name: node for node in graph}
      for node in graph:
        if node.op == "FusedBatchNormV3":
          found.add(_short(node.attr["epsilon"].f))
        summed = by_name.get(_source(node)) if node.op == "Rsqrt" else None
        if summed is None or summed.op not in ("Add", "AddV2"):
          continue
        for place in range(len(summed.input)):
          value = _scalar(by_name.get(_source(summed, place)))
          if isinstance(value, float):
            found.add(_short(value))
    return self._only(found, "epsilon of its layer norms")

  def num_attention_heads(self) -> int:
    """The second dimension of attention weights.

    Raises:
      InputError: there is no telling, or it is not the same everywhere.
    """
    found = set()
    for node in self._nodes():
      shapes = node.attr["_output_shapes"].list.shape
      if node.op == "Softmax" and shapes and len(shapes[0].dim) == 4 and (
          shapes[0].dim[1].size > 0):
        found.add(shapes[0].dim[1].size)
    return self._only(found, "number of attention heads")

  def _only(self, found: set, what: str):
    if len(found) != 1:
      raise InputError(
          f"{self.path}: the {what} can not be told from its operations: "
          f"{' or '.join(map(str, sorted(found))) or 'none found'}; a "
          "bert_config.json in the folder would say it")
    return found.pop()

  def normalises_first(self) -> bool:
    """Whether Keras' notes in the file say that layer norms come first."""
    notes = [node.user_object.metadata
             for node in self._meta.object_graph_def.nodes]
    keras = self.path.with_name("keras_metadata.pb")
    if keras.exists():
      check_file(keras, _MOST_BYTES)
      notes.append(keras.read_bytes().decode("utf-8", "replace"))
    return any(re.search(r'"norm_first":\s*true', note) for note in notes)

  def constant_output(self, signature: str, output: str) -> bool | float | None:
    """The value of a signature's output that is a constant, or None."""
    tensor = self._meta.signature_def[signature].outputs[output].name
    by_name = {node.name: node for node in self._graphs[0]}
    node = by_name.get(tensor.split(":")[0])
    for _ in range(_LONGEST_CHAIN):
      if node is None or node.op != "Identity":
        break
      node = by_name.get(_source(node))
    return _scalar(node)


def _scalar(node: node_def_pb2.NodeDef | None) -> bool | float | None:
  """The value of a constant that is one number, or None.

  Read field by field: a constant's shape may promise what is not in the file.
  """
  if node is None or node.op != "Const":
    return None
  tensor = node.attr["value"].tensor
  if tensor.tensor_shape.unknown_rank or tensor.tensor_shape.dim:
    return None
  if tensor.dtype == types_pb2.DT_BOOL:
    return bool(tensor.bool_val[0]) if tensor.bool_val else None
  if tensor.dtype != types_pb2.DT_FLOAT:
    return None
  if tensor.float_val:
    return float(tensor.float_val[0])
  if len(tensor.tensor_content) == np.dtype("<f4").itemsize:
    return float(np.frombuffer(tensor.tensor_content, "<f4")[0])
  return None


def _source(node: node_def_pb2.NodeDef, place: int = 0) -> str:
  """The node that an input such as "^add" or "add:0" or "add:z:0" names."""
  if place >= len(node.input):
    return ""
  return node.input[place].lstrip("^").split(":")[0]


def _short(value: float) -> float:
  """1e-12 of the nearest float32."""
  return float(str(np.float32(value)))
