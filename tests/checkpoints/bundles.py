"""Writes the files of a TensorFlow checkpoint, whatever they shall claim."""

import struct

from tensorflow.core.protobuf import tensor_bundle_pb2

from tf_adapters.checkpoints.bundle_index import _crc32c


def masked_crc32c(data):
  crc = _crc32c(data)
  return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(number):
  result = b""
  while number > 127:
    result += bytes([number & 127 | 128])
    number >>= 7
  return result + bytes([number])


def block(items):
  content, restarts = b"", []
  for key, value in items:
    restarts.append(len(content))
    content += varint(0) + varint(len(key)) + varint(len(value)) + key + value
  restarts = restarts or [0]
  return content + struct.pack(
      f"<{len(restarts) + 1}I", *restarts, len(restarts))


def table(items):
  content = b""

  def put(piece):
    nonlocal content
    handle = varint(len(content)) + varint(len(piece))
    content += piece + b"\0" + struct.pack("<I", masked_crc32c(piece + b"\0"))
    return handle

  data, filters = put(block(items)), put(block([]))
  handles = filters + put(block([(items[-1][0] + b"~", data)]))
  return content + handles.ljust(40, b"\0") + struct.pack(
      "<Q", 0xDB4775248B80FB57)


def write(prefix, entries, data):
  """Writes PREFIX.index and the one data file."""
  header = tensor_bundle_pb2.BundleHeaderProto(num_shards=1)
  header.version.producer = 1
  prefix.with_name(f"{prefix.name}.index").write_bytes(table(
      [(b"", header.SerializeToString()), *sorted(
          (key.encode(), entry.SerializeToString())
          for key, entry in entries.items())]))
  prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(data)
