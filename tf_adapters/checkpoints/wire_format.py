"""Scans serialized protocol buffers without parsing them as a whole.

A parser makes an object of some hundred bytes of each message, and a message
may take two bytes in a file. Here nothing is made of what nobody asks for.
"""

from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor

_LENGTH_DELIMITED = 2
_SIZES = {1: 8, 5: 4}  # wire type -> bytes


class WireFormat:
  """A reader of serialized messages.

  Args:
    most_fields: how many it looks at, of all messages that it is given.
  """

  def __init__(self, most_fields: int = 500_000):
    self._left = most_fields

  def values(self, data: bytes | memoryview, kind: Descriptor,
             path: str) -> Iterator[memoryview]:
    """Yields the values of the messages and texts in a message, in their order.

    Args:
      data: the message, serialized.
      kind: its type.
      path: the names of fields, such as "graph_def.library.function"; the last
        one is a message, text or bytes.

    Raises:
      ValueError: the message is damaged, or has more fields than any BERT's.
    """
    name, _, rest = path.partition(".")
    wanted = kind.fields_by_name[name]
    for number, value in self._fields(memoryview(data)):
      if number == wanted.number:
        if rest:
          yield from self.values(value, wanted.message_type, rest)
        else:
          yield value

  def _fields(self, data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yields the numbers and contents of fields that are not numbers."""
    place = 0
    while place < len(data):
      self._left -= 1
      if self._left < 0:
        raise ValueError("it has more parts than any BERT")
      tag, place = varint(data, place)
      wire_type = tag & 7
      if wire_type == 0:
        _, place = varint(data, place)
        continue
      if wire_type == _LENGTH_DELIMITED:
        size, place = varint(data, place)
      elif wire_type in _SIZES:
        size = _SIZES[wire_type]
      else:
        raise ValueError("damaged")
      if size > len(data) - place:
        raise ValueError("damaged: it is cut off")
      if wire_type == _LENGTH_DELIMITED:
        yield tag >> 3, data[place:place + size]
      place += size


def varint(data: bytes | memoryview, place: int) -> tuple[int, int]:
  """Reads a number of up to 64 bits, and returns where it ends, too.

  Raises:
    ValueError: there is none.
  """
  number = 0
  for shift in range(0, 64, 7):
    if place >= len(data):
      break
    byte = data[place]
    place += 1
    number |= (byte & 127) << shift
    if byte < 128:
      return number, place
  raise ValueError("damaged: a number")
