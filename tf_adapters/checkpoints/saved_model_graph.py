"""Reads a model's architecture from the graph of a SavedModel; runs nothing.

Weights do not tell an activation, an epsilon, or, where kernels are matrices,
the number of attention heads. Operations do, whatever their names are.
"""

import dataclasses
import itertools
import pathlib
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from google.protobuf import message
from tensorflow.core.framework import function_pb2, node_def_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from tf_adapters.checkpoints.wire_format import WireFormat
from tf_adapters.errors import InputError
from tf_adapters.files.reading import read_file

# Of saved_model.pb, and of Keras' notes beside it; TF Hub's have up to 30 MB.
_MOST_BYTES = 1 << 26

# The factor that no other function has than the tanh approximation of gelu.
_GELU_FACTOR = 0.044715
# Activation -> operations, or a constant, that tell it from the others.
ACTIVATION_MARKS: dict[str, set[str | float]] = {
    "gelu": {"Erf", "Erfc"}, "gelu_tanh": {_GELU_FACTOR}, "relu": {"Relu"},
    "swish": {"Sigmoid"},
}
_META = meta_graph_pb2.MetaGraphDef.DESCRIPTOR
_FUNCTION = function_pb2.FunctionDef.DESCRIPTOR
_LONGEST_CHAIN = 10  # of identities; a damaged graph may have rings


# All that tell something; of other nodes nothing is kept.
_OPERATIONS = {
    "Erf", "Erfc", "Relu", "Sigmoid", "Const", "Identity", "Rsqrt", "Add",
    "AddV2", "FusedBatchNormV3", "Softmax"}
# Of such a node; a constant that is larger is no single number.
_MOST_NODE_BYTES = 1 << 16


@dataclasses.dataclass(frozen=True, slots=True)
class _Node:
  """A node of a graph.

  Attributes:
    name, op: its own.
    inputs: the names of the first two nodes that it takes.
    value: of a constant that is one number; None of all else.
    epsilon: of a FusedBatchNormV3, else None.
    shape: of its first output, where the graph says it.
  """

  name: str
  op: str
  inputs: tuple[str, ...]
  value: bool | float | None
  epsilon: float | None
  shape: tuple[int, ...]

  @classmethod
  def of(cls, node: node_def_pb2.NodeDef) -> "_Node":
    shapes = node.attr["_output_shapes"].list.shape
    return cls(
        node.name, node.op,
        # An input may be "^add" or "add:0" or "add:z:0".
        tuple(name.lstrip("^").split(":")[0] for name in node.input[:2]),
        _scalar(node) if node.op == "Const" else None,
        _short(node.attr["epsilon"].f)
        if node.op == "FusedBatchNormV3" else None,
        tuple(dim.size for dim in shapes[0].dim[:5]) if shapes else ())


class SavedModelGraph:
  """The first meta graph in a saved_model.pb.

  It is not parsed as a whole: see `wire_format`.

  Args:
    folder: the SavedModel.

  Raises:
    InputError: the file cannot be read.
  """

  def __init__(self, folder: pathlib.Path):
    self.path = folder / "saved_model.pb"
    self._content = read_file(self.path, _MOST_BYTES)
    reader = WireFormat()
    try:
      meta = next(reader.values(
          self._content, saved_model_pb2.SavedModel.DESCRIPTOR, "meta_graphs"))
      self._graphs = [
          _nodes(reader.values(meta, _META, "graph_def.node")), *(
              _nodes(reader.values(function, _FUNCTION, "node_def"))
              for function in reader.values(
                  meta, _META, "graph_def.library.function"))]
      self._outputs = _outputs(reader.values(meta, _META, "signature_def"))
    except StopIteration:
      raise InputError(
          f"{self.path}: cannot be read: no SavedModel, or an empty one"
      ) from None
    except (message.DecodeError, ValueError) as error:
      raise InputError(
          f"{self.path}: cannot be read: no SavedModel, or a damaged one: "
          f"{error}") from None

  def hidden_act(self) -> str:
    """Returns the activation, one of `ACTIVATION_MARKS`.

    Raises:
      InputError: there is no telling, or there are several.
    """
    nodes = list(itertools.chain(*self._graphs))
    marks: set[str | float] = {node.op for node in nodes}
    if any(isinstance(node.value, float)
           and abs(node.value - _GELU_FACTOR) < 1e-7 for node in nodes):
      marks.add(_GELU_FACTOR)
    found = [name for name, its in ACTIVATION_MARKS.items() if marks & its]
    if len(found) != 1:
      raise InputError(  # which gets the folder's name
          "its activation cannot be told from its operations: "
          f"{' or '.join(found) or 'neither gelu nor relu nor swish'}; a "
          "bert_config.json in the folder would say it")
    return found[0]

  def layer_norm_eps(self) -> float:
    """Returns the number that is added to variances before the root.

    Raises:
      InputError: there is no telling, or it is not the same everywhere.
    """
    found = set()
    for graph in self._graphs:
      by_name = {node.name: node for node in graph}
      for node in graph:
        if node.op == "FusedBatchNormV3":
          found.add(node.epsilon)
        if node.op != "Rsqrt":
          continue
        for summed in filter(None, map(by_name.get, node.inputs)):
          if summed.op in ("Add", "AddV2"):
            found |= {_short(source.value) for source in filter(
                None, map(by_name.get, summed.inputs))
                if isinstance(source.value, float)}
    return self._only(found, "epsilon of its layer norms")

  def num_layers(self) -> int:
    """Counts how often attention weights are computed, layer after layer.

    Raises:
      InputError: they are not.
    """
    # Where a layer is called it is in the graph of its caller, too.
    most = max(sum(node.op == "Softmax" for node in graph)
               for graph in self._graphs)
    return self._only({most} - {0}, "number of layers")

  def num_attention_heads(self) -> int:
    """Returns the second dimension of attention weights.

    Raises:
      InputError: there is no telling, or it is not the same everywhere.
    """
    found = {node.shape[1] for node in itertools.chain(*self._graphs)
             if node.op == "Softmax" and len(node.shape) == 4
             and node.shape[1] > 0}
    return self._only(found, "number of attention heads")

  def _only(self, found: set[Any], what: str) -> Any:
    if len(found) != 1:
      raise InputError(
          f"the {what} cannot be told from its operations: "
          f"{' or '.join(map(str, sorted(found))) or 'none found'}; a "
          "bert_config.json in the folder would say it")
    return found.pop()

  def normalises_first(self) -> bool:
    """Returns whether Keras' notes say that layer norms come first."""
    notes = [self._content]
    keras = self.path.with_name("keras_metadata.pb")
    if keras.exists():
      notes.append(read_file(keras, _MOST_BYTES))
    return any(re.search(rb'"norm_first":\s*true', note) for note in notes)

  def constant_output(self, signature: str, output: str) -> bool | float | None:
    """Returns the value of a signature's output that is a constant, or None."""
    by_name = {node.name: node for node in self._graphs[0]}
    node = by_name.get(self._outputs.get((signature, output), ""))
    for _ in range(_LONGEST_CHAIN):
      if node is None or node.op != "Identity" or not node.inputs:
        break
      node = by_name.get(node.inputs[0])
    return node.value if node is not None else None


def _nodes(serialized: Iterable[memoryview]) -> list[_Node]:
  """Returns those of `_OPERATIONS` among NodeDefs."""
  nodes = (node_def_pb2.NodeDef.FromString(bytes(node))
           for node in serialized if len(node) <= _MOST_NODE_BYTES)
  return [_Node.of(node) for node in nodes if node.op in _OPERATIONS]


def _outputs(serialized: Iterable[memoryview]) -> dict[tuple[str, str], str]:
  """Returns {(signature, output): node} of a map of SignatureDefs."""
  signatures = [
      meta_graph_pb2.MetaGraphDef.SignatureDefEntry.FromString(bytes(entry))
      for entry in serialized if len(entry) <= _MOST_NODE_BYTES]
  return {(signature.key, name): tensor.name.split(":")[0]
          for signature in signatures
          for name, tensor in signature.value.outputs.items()}


def _scalar(node: node_def_pb2.NodeDef) -> bool | float | None:
  """Returns the value of a constant that is one number, or None.

  Read field by field: a constant's shape may promise what is not in the file.
  """
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


def _short(value: float) -> float:
  """Writes 1e-12 for the nearest float32."""
  return float(str(np.float32(value)))
