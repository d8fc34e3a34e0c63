"""Protocol buffers that a parser would make gigabytes of."""

import resource

import pytest
from tensorflow.core.framework import graph_pb2
from tensorflow.core.protobuf import saved_model_pb2

import tf_adapters as ta
from tf_adapters.checkpoints.saved_model_graph import SavedModelGraph
from tf_adapters.checkpoints.wire_format import WireFormat, varint

GRAPH = graph_pb2.GraphDef.DESCRIPTOR


def field(number, content):
  """A message or text as the field of another."""
  size, length = len(content), bytearray()
  while size > 127:
    length.append(size & 127 | 128)
    size >>= 7
  return bytes([number << 3 | 2, *length, size]) + content


def test_values_are_those_that_the_parser_finds():
  graph = graph_pb2.GraphDef(version=300)
  graph.versions.producer = 1 << 30
  for name in ("one", "two" * 100):
    graph.node.add(name=name, op="Add", input=["a", "b"]).attr[
        "x"].tensor.double_val.append(0.5)
    graph.library.function.add().node_def.add(name=f"in {name}")
  content = graph.SerializeToString()

  def found(path):
    return [bytes(value).decode() for value in WireFormat().values(
        content, GRAPH, path)]

  assert found("node.name") == ["one", "two" * 100]
  assert found("node.input") == ["a", "b"] * 2
  assert found("library.function.node_def.name") == [
      "in one", "in " + "two" * 100]
  assert found("library.gradient") == []


@pytest.mark.parametrize("content", [
    b"\x0a", b"\x0a\x05abc", b"\x0b", b"\x0c", b"\x80" * 12, b"\x09\0\0",
    b"\x0d", b"\x10", field(1, b"\x0a\x09abc")])
def test_damage(content):
  with pytest.raises(ValueError, match="damaged"):
    list(WireFormat().values(content, GRAPH, "node.name"))


def test_numbers():
  assert varint(b"\x96\x01", 0) == (150, 2)
  with pytest.raises(ValueError, match="damaged"):
    varint(b"\x96", 0)


def graphs(**fields):
  """A saved_model.pb with a graph of such parts."""
  return field(2, field(2, b"".join(fields.values())))


@pytest.mark.parametrize("content, message", [
    (graphs(nodes=field(1, b"") * (4 << 20)), "more parts than any BERT"),
    # Few in each function, many in all.
    (graphs(functions=field(2, field(1, field(3, b"") * 1000) * 2000)),
     "more parts than any BERT"),
    (b"\x0a\x01" * 10, "no SavedModel"),
    (b"", "no SavedModel, or an empty one"),
    (bytes(range(1, 250)), "no SavedModel, or a damaged one"),
    (graphs(node=field(1, b"\x0a\x02ab" + b"\xff")), "a damaged one"),
])
def test_graphs_that_are_refused(tmp_path, content, message):
  (tmp_path / "saved_model.pb").write_bytes(content)
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  with pytest.raises(ta.InputError, match=message) as caught:
    SavedModelGraph(tmp_path)
  assert "\n" not in str(caught.value)
  grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
  assert grown < 100_000  # kB


def test_of_a_large_node_nothing_is_kept(tmp_path):
  model = saved_model_pb2.SavedModel()
  graph = model.meta_graphs.add().graph_def
  graph.node.add(name="ours", op="Erf")
  graph.node.add(name="many", op="Relu", input=[""] * (1 << 20))
  large = graph.node.add(name="large", op="Const").attr["value"].tensor
  large.tensor_content = bytes(1 << 20)
  (tmp_path / "saved_model.pb").write_bytes(model.SerializeToString())
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  assert SavedModelGraph(tmp_path).hidden_act() == "gelu"
  grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
  assert grown < 50_000  # kB
