"""Reads PREFIX.index of a TensorFlow checkpoint: its tensors and their places.

TensorFlow's own reader ends the process at a shape that is none, and makes room
for whatever is promised. So an index is checked here, byte by byte, before
TensorFlow sees it. It is a table of LevelDB (doc/table_format.md there), as
TensorFlow writes it: keys in order, blocks with checksums, none compressed; the
values are `BundleEntryProto`s.
"""

import math
import pathlib
import struct
from collections.abc import Iterator, Mapping

import tensorflow as tf
from google.protobuf import message
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import tensor_bundle_pb2

from tf_adapters.checkpoints.wire_format import varint
from tf_adapters.files.reading import read_file

# That of BERT-large with its optimizer's variables has 0.2 MB.
_MOST_BYTES = 1 << 22
# Keys share their beginnings in the file; written out they can be many times
# as long.
_MOST_KEY_BYTES = 1 << 25
_MOST_ENTRY_BYTES = 1 << 12
_MOST_DIMENSIONS = 8

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
_TRAILER = struct.Struct("<BI")  # type and checksum of a block
_CRC_DELTA = 0xA282EAD8


def read_index(prefix: pathlib.Path,
               ) -> dict[str, tensor_bundle_pb2.BundleEntryProto]:
  """Reads and checks an index.

  Args:
    prefix: of the checkpoint.

  Returns:
    {key: entry} of all tensors.

  Raises:
    OSError: it is not there.
    InputError: it is no file that can be opened.
    ValueError: it is damaged, or promises what the data files do not have.
  """
  path = prefix.with_name(f"{prefix.name}.index")
  content = read_file(path, _MOST_BYTES)
  try:
    values = dict(_table(content))
    if max(map(len, values.values()), default=0) > _MOST_ENTRY_BYTES:
      raise ValueError("the index is damaged: it has an entry of no tensor")
    header = tensor_bundle_pb2.BundleHeaderProto.FromString(values.pop(b""))
    entries = {
        key.decode(): tensor_bundle_pb2.BundleEntryProto.FromString(value)
        for key, value in values.items()}
  except (IndexError, KeyError, struct.error, message.DecodeError):
    raise ValueError("the index is damaged") from None
  if header.endianness != header.LITTLE:
    raise ValueError("written on a big-endian machine")
  shards = [prefix.with_name(
      f"{prefix.name}.data-{shard:05d}-of-{header.num_shards:05d}")
      for shard in sorted({entry.shard_id for entry in entries.values()})]
  _check(entries, sum(shard.stat().st_size for shard in shards))
  return entries


def _check(entries: Mapping[str, tensor_bundle_pb2.BundleEntryProto],
           stored: int) -> None:
  """Raises ValueError for what is no tensor, and for more than is stored."""
  claimed = 0
  for key, entry in entries.items():
    sizes = [dim.size for dim in entry.shape.dim]
    if entry.slices:
      raise ValueError(f"{key} is a partitioned variable")
    if (entry.shape.unknown_rank or len(sizes) > _MOST_DIMENSIONS
        or any(size < 0 for size in sizes)
        or math.prod(max(size, 1) for size in sizes) >= 1 << 62
        or entry.dtype not in types_pb2.DataType.values()):
      raise ValueError(f"{key} has no shape or type that a tensor can have")
    # A string has a byte at least: its length.
    claimed += math.prod(sizes) * (tf.as_dtype(entry.dtype).size or 1)
  if claimed > stored:
    raise ValueError(f"the index is of {claimed:,} bytes, the data files have "
                     f"{stored:,}")


def _table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
  """Yields the keys and values of a table, in their order."""
  footer = content[-_FOOTER:]
  if struct.unpack("<Q", footer[-8:])[0] != _MAGIC:
    raise ValueError("the index is damaged, or cut off")
  _, place = _handle(footer, 0)  # of the table of filters: none
  index, _ = _handle(footer, place)
  last = None
  key_bytes = 0
  for _, handle in _entries(_block(content, index)):
    for key, value in _entries(_block(content, _handle(handle, 0)[0])):
      key_bytes += len(key)
      if key_bytes > _MOST_KEY_BYTES or (last is not None and key <= last):
        raise ValueError("the index is damaged: its keys")
      last = key
      yield key, value


def _block(content: bytes, handle: tuple[int, int]) -> bytes:
  offset, size = handle
  block = content[offset:offset + size]
  kind, checksum = _TRAILER.unpack_from(content, offset + size)
  crc = _crc32c(content[offset:offset + size + 1])
  if kind or checksum != (((crc >> 15 | crc << 17) + _CRC_DELTA) & 0xFFFFFFFF):
    raise ValueError("the index is damaged: a block's checksum")
  return block


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
  """Yields the entries of a block; its restarts have to be where entries begin.

  TensorFlow looks for a key from there: it shall not find what is not seen
  here.
  """
  (count,) = struct.unpack_from("<I", block, len(block) - 4)
  end = len(block) - 4 - 4 * count
  restarts = set(struct.unpack_from(f"<{count}I", block, end))
  key = b""
  place = 0
  while place < end:
    start = place
    shared, place = varint(block, place)
    own, place = varint(block, place)
    size, place = varint(block, place)
    if shared > len(key) or (shared and start in restarts) or (
        place + own + size > end):
      raise ValueError("the index is damaged: an entry")
    restarts.discard(start)
    key = key[:shared] + block[place:place + own]
    place += own + size
    yield key, block[place - size:place]
  if restarts - {0}:
    raise ValueError("the index is damaged: a restart")


def _handle(data: bytes, place: int) -> tuple[tuple[int, int], int]:
  """Returns ((offset, size) of a block, where the handle ends)."""
  offset, place = varint(data, place)
  size, place = varint(data, place)
  return (offset, size), place


def _crc32c_table() -> list[int]:
  table = []
  for value in range(256):
    for _ in range(8):
      value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    table.append(value)
  return table


_CRC32C = _crc32c_table()


def _crc32c(data: bytes) -> int:
  """Computes Castagnoli's checksum (RFC 3720, appendix B.4)."""
  crc = 0xFFFFFFFF
  for byte in data:
    crc = _CRC32C[(crc ^ byte) & 0xFF] ^ crc >> 8
  return crc ^ 0xFFFFFFFF
