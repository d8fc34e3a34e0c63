"""Archives that TF Hub's handles lead to: looked through before unpacking.

tensorflow_hub unpacks what it gets while it gets it. It refuses links and paths
that lead out of the folder, but takes any number of bytes, in memory too: a few
kilobytes can unpack to terabytes. So an archive is fetched whole, read once
without being unpacked, and only then handed over.
"""

import contextlib
import functools
import gzip
import http.client
import pathlib
import shutil
import tarfile
import tempfile
import urllib.request
from typing import BinaryIO

import tensorflow_hub
from tensorflow_hub import compressed_module_resolver, registry, resolver

# A BERT-large has 1.3 GB, three times that with its optimizer.
MOST_BYTES = 1 << 33
# Headers, the only part that is held in memory, some of it once for every
# member; those of a BERT have some 10 kB.
_MOST_HEADER_BYTES = 1 << 18
_SECONDS_OF_SILENCE = 60


def resolve(url: str) -> str:
  """As `tensorflow_hub.resolve`, for archives of models by strangers.

  Raises:
    ValueError: the archive holds what no model is made of, or too much.
    Others: whatever tensorflow_hub, urllib, gzip and tarfile raise.
  """
  _register()
  return tensorflow_hub.resolve(url)


@functools.cache
def _register() -> None:
  # tensorflow_hub asks the newest first. There is no taking it back: whatever
  # else this process fetches is looked through, too.
  registry.resolver.add_implementation(_Resolver())


class _Resolver(compressed_module_resolver.HttpCompressedFileResolver):
  """tensorflow_hub's own, cache included, but for what comes over the wire."""

  def _call_urlopen(self, request: urllib.request.Request) -> BinaryIO:
    folder = pathlib.Path(resolver.tfhub_cache_dir(use_temp=True))
    with contextlib.ExitStack() as stack:
      archive = stack.enter_context(tempfile.TemporaryFile(dir=folder))
      with urllib.request.urlopen(
          request, context=self._context,
          timeout=_SECONDS_OF_SILENCE) as response:
        _copy(response, archive)
      _check(archive)
      archive.seek(0)
      stack.pop_all()  # it stays open
    return archive


def _copy(response: http.client.HTTPResponse, archive: BinaryIO) -> None:
  announced = int(response.headers.get("Content-Length") or 0)
  if announced > MOST_BYTES:
    raise ValueError(f"it has {announced:,} bytes, expected at most "
                     f"{MOST_BYTES:,}")
  shutil.copyfileobj(_Bounded(response, MOST_BYTES), archive)


def _check(archive: BinaryIO) -> None:
  """Raises ValueError for an archive that shall not be unpacked."""
  archive.seek(0)
  # tarfile would tell other compressions by their content; tensorflow_hub's
  # servers use this one.
  if archive.read(3) != b"\x1f\x8b\x08":
    raise ValueError("expected an archive, .tar.gz")
  archive.seek(0)
  with gzip.GzipFile(fileobj=archive) as content, tarfile.open(
      fileobj=_Bounded(content, _MOST_HEADER_BYTES), mode="r:") as members:
    for member in members:
      path = pathlib.PurePosixPath(member.name)
      if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"its {member.name!r} leads out of the folder")
      if not (member.isdir() or member.isreg()) or member.issparse():
        raise ValueError(f"its {member.name!r} is neither file nor folder")
      end = member.offset_data + member.size
      if not 0 <= member.size <= end <= MOST_BYTES:
        raise ValueError(f"its {member.name!r} ends at byte {end:,}, expected "
                         f"at most {MOST_BYTES:,}")


class _Bounded:
  """A file of which only so much can be read.

  tarfile skips what files in an archive hold, but reads headers whole.
  """

  def __init__(self, file: BinaryIO, most_bytes: int):
    self._file = file
    self._left = most_bytes

  def read(self, size: int) -> bytes:
    self._left -= size
    if size < 0 or self._left < 0:
      raise ValueError("there is more of it than of any BERT")
    return self._file.read(size)

  def seek(self, place: int) -> int:
    if not 0 <= place <= MOST_BYTES:
      raise ValueError("it goes on where there is nothing")
    return self._file.seek(place)

  def tell(self) -> int:
    return self._file.tell()
