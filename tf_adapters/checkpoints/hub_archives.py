"""Unpacks the archives of Hub handles, .tar.gz files of strangers, safely.

They are checked while they are unpacked, in one pass and by one reader, so what
was checked is what is there. A few kilobytes can claim terabytes, in memory
too: everything that an archive may take is bounded before it is taken.
"""

import gzip
import pathlib
import tarfile
import zlib
from typing import BinaryIO, Protocol, cast

# What is unpacked: a BERT-large has 1.3 GB, three times that with its
# optimizer.
MOST_BYTES = 1 << 33
# Headers, the only part that is held in memory, some of it once for every
# member; those of a BERT have some 10 kB.
_MOST_HEADER_BYTES = 1 << 18
# Weights hardly get smaller by compression, zeros a thousand times. The first
# bytes are free: a graph gets smaller by more.
_MOST_RATIO = 20
_FREE_BYTES = 1 << 28
# Of an archive that nothing comes from, and of zeros behind its end.
_MOST_IDLE_BYTES = 1 << 20
_BLOCK = 512  # tar's
_CHUNK = 1 << 20


class Stream(Protocol):
  """A source that an archive is read from, such as a response."""

  def read(self, size: int, /) -> bytes:
    """Reads some bytes; none at the end."""


def unpack(archive: Stream, folder: pathlib.Path) -> None:
  """Unpacks a .tar.gz of files and folders into an empty folder.

  Args:
    archive: its bytes, read once from first to last.
    folder: where its members go.

  Raises:
    ValueError: it is no such archive, is damaged, or holds what no model is
      made of, or too much.
    OSError: it cannot be read, or the folder not be written.
  """
  packed = _Packed(archive)
  try:
    # Of a file only what they have is asked for.
    with gzip.GzipFile(fileobj=cast(BinaryIO, packed)) as content:
      _unpack(_Unpacked(content, packed), folder)
  except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
    raise ValueError(f"no archive (.tar.gz), or a damaged one: {error}"
                     ) from None


def _unpack(content: "_Unpacked", folder: pathlib.Path) -> None:
  with tarfile.open(fileobj=cast(BinaryIO, content), mode="r:") as members:
    for member in members:
      path = pathlib.PurePosixPath(member.name)
      if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"its {member.name!r} leads out of the folder")
      if "\0" in member.name or len(member.name) > _BLOCK:
        raise ValueError(f"its {member.name[:_BLOCK]!r} is no file's name")
      if not (member.isdir() or member.isreg()) or member.issparse():
        raise ValueError(f"its {member.name!r} is neither file nor folder")
      target = folder / path
      try:
        if member.isdir():
          target.mkdir(parents=True, exist_ok=True)
        else:
          target.parent.mkdir(parents=True, exist_ok=True)
          # Two members of one name would be two files to two readers.
          with open(target, "xb") as file:
            content.copy(member.size, file)
      except (FileExistsError, NotADirectoryError):
        raise ValueError(f"it holds {member.name!r} twice") from None
  content.finish()


class _Packed:
  """The compressed bytes, counted.

  Attributes:
    count: how many were read.
    idle: how many of them since something was made of them.
  """

  def __init__(self, archive: Stream):
    self._archive = archive
    self.count = self.idle = 0

  def read(self, size: int) -> bytes:
    data = self._archive.read(size)
    self.count += len(data)
    self.idle += len(data)
    if self.idle > _MOST_IDLE_BYTES:
      raise ValueError("no archive (.tar.gz): nothing comes from its bytes")
    return data


class _Unpacked:
  """The bytes of a tar archive, as tarfile is to see them: headers alone.

  tarfile reads headers whole, whatever they claim to have, and skips what
  files hold; here that is taken out before, so that nothing is skipped.
  """

  def __init__(self, content: gzip.GzipFile, packed: _Packed):
    self._content = content
    self._packed = packed
    self._header_bytes = 0

  def read(self, size: int) -> bytes:
    self._header_bytes += size
    if size < 0 or self._header_bytes > _MOST_HEADER_BYTES:
      raise ValueError("its headers are larger than those of any BERT")
    return self._read(size)

  def tell(self) -> int:
    return self._content.tell()

  def seek(self, place: int) -> None:
    raise ValueError("a header says that it goes on elsewhere")

  def copy(self, size: int, file: BinaryIO) -> None:
    """Writes the next bytes to a file, and skips what fills their block."""
    if not 0 <= size <= MOST_BYTES - self.tell():
      raise ValueError(f"it has more than {MOST_BYTES:,} bytes when unpacked")
    left = size
    while left:
      data = self._read(min(left, _CHUNK))
      if not data:
        raise EOFError("it is cut off")
      file.write(data)
      left -= len(data)
    self._read(-size % _BLOCK)

  def finish(self) -> None:
    """Reads zeros to the end, where the checksum is."""
    end = self.tell() + _MOST_IDLE_BYTES
    while data := self._read(_CHUNK):
      if any(data) or self.tell() > end:
        raise ValueError("it goes on behind its end")

  def _read(self, size: int) -> bytes:
    data = self._content.read(size)
    self._packed.idle = 0
    if self.tell() > _FREE_BYTES + _MOST_RATIO * self._packed.count:
      raise ValueError("it gets more than any BERT when unpacked, from "
                       f"{self._packed.count:,} bytes")
    return data
