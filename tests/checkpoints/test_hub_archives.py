"""Archives of strangers: unpacked whole, or refused while they are small."""

import gzip
import io
import resource
import struct
import tarfile

import numpy as np
import pytest

from tf_adapters.checkpoints import hub_archives
from tf_adapters.checkpoints.hub_archives import unpack


def member(name, **fields):
  info = tarfile.TarInfo(name)
  for field, value in fields.items():
    setattr(info, field, value)
  return info


def archive_of(*members, form=tarfile.GNU_FORMAT, **fields):
  """A .tar.gz of headers, with zeros for what they are of."""
  content = io.BytesIO()
  with tarfile.open(fileobj=content, mode="w", format=form, **fields) as file:
    for info in members:
      file.addfile(info, io.BytesIO(bytes(min(info.size, 1000))))
  return gzip.compress(content.getvalue())


def zeros_behind(header, megabytes):
  """The header of a member, and what it holds: as small as gzip makes it."""
  content = io.BytesIO()
  with gzip.GzipFile(fileobj=content, mode="wb", compresslevel=1) as file:
    file.write(header)
    for _ in range(megabytes):
      file.write(bytes(1 << 20))
  return content.getvalue()


def sparse_file():
  """An old GNU header of a file that is a hole of a terabyte."""
  header = bytearray(member("hole", type=tarfile.GNUTYPE_SPARSE).tobuf(
      tarfile.GNU_FORMAT))
  header[483:495] = b"%011o\0" % (1 << 40 >> 8)
  header[148:156] = b" " * 8
  header[148:156] = b"%06o\0 " % sum(header[:512])
  return gzip.compress(bytes(header) + bytes(1024))


def with_extra_field(archive, extra):
  """The same gzip with an extra field (RFC 1952, FEXTRA)."""
  assert archive[3] == 0
  return (archive[:3] + b"\4" + archive[4:10] + struct.pack("<H", len(extra))
          + extra + archive[10:])


GOOD = archive_of(member("./variables", type=tarfile.DIRTYPE),
                  member("./variables/variables.index", size=700),
                  member("assets/vocab.txt", size=3), member("empty"))
HUGE_NAME = member("././@LongLink", type=tarfile.GNUTYPE_LONGNAME,
                   size=100 << 20).tobuf(tarfile.GNU_FORMAT)
HUGE_PAX = member("pax", type=tarfile.XHDTYPE, size=100 << 20).tobuf(
    tarfile.USTAR_FORMAT)


def in_two_members(archive):
  content = gzip.decompress(archive)
  return gzip.compress(content[:700]) + gzip.compress(content[700:])


@pytest.mark.parametrize("archive", [
    GOOD, in_two_members(GOOD), GOOD + bytes(1000),
    with_extra_field(GOOD, b"anything"),
    # Another archive in the field: what a reader that skips it would unpack.
    with_extra_field(GOOD, archive_of(member("evil", size=9))),
    gzip.compress(gzip.decompress(GOOD) + bytes(100_000)),
], ids=["plain", "two gzip members", "zeros behind", "extra field",
        "an archive in an extra field", "a long end"])
def test_an_archive_is_unpacked_as_it_is(archive, tmp_path):
  unpack(io.BytesIO(archive), tmp_path)
  assert {str(path.relative_to(tmp_path)): path.stat().st_size
          for path in tmp_path.rglob("*") if path.is_file()} == {
              "variables/variables.index": 700, "assets/vocab.txt": 3,
              "empty": 0}


def corrupt(archive, place):
  content = bytearray(archive)
  content[place] ^= 1
  return bytes(content)


@pytest.mark.parametrize("make, message", [
    (lambda: archive_of(member("/etc/passwd", size=9)), "leads out"),
    (lambda: archive_of(member("../evil", size=9)), "leads out"),
    (lambda: archive_of(member("a/../../evil", size=9)), "leads out"),
    (lambda: archive_of(member("a", type=tarfile.SYMTYPE, linkname="/etc"),
                        member("a/evil", size=9)), "neither file nor folder"),
    (lambda: archive_of(member("a", type=tarfile.LNKTYPE, linkname="../x")),
     "neither file nor folder"),
    (lambda: archive_of(member("a", type=tarfile.CHRTYPE, devmajor=1)),
     "neither file nor folder"),
    (lambda: archive_of(member("a", type=tarfile.FIFOTYPE)),
     "neither file nor folder"),
    (lambda: archive_of(member("a", type=b"Z")), "neither file nor folder"),
    (sparse_file, "neither file nor folder"),
    (lambda: archive_of(member("a", size=9), member("./a", size=9)),
     "'a' twice|'./a' twice"),
    (lambda: archive_of(member("a", size=9), member("a/b", size=9)),
     "'a/b' twice"),
    (lambda: archive_of(member("a" * 2000, size=9)), "no file's name"),
    (lambda: gzip.compress(member("a", size=1 << 40).tobuf(
        tarfile.GNU_FORMAT)), "more than 8,589,934,592 bytes"),
    (lambda: archive_of(*(member(f"a{i}") for i in range(1000))),
     "headers are larger"),
    (lambda: zeros_behind(HUGE_NAME, 100), "headers are larger"),
    (lambda: zeros_behind(HUGE_PAX, 100), "headers are larger"),
    (lambda: archive_of(member("a", size=9), form=tarfile.PAX_FORMAT,
                        pax_headers={"comment": "x" * (1 << 19)}),
     "headers are larger"),
    (lambda: with_extra_field(zeros_behind(HUGE_PAX, 100), bytes(60_000)),
     "headers are larger"),
    (lambda: zeros_behind(member("a").tobuf() + bytes(1024), 3),
     "goes on behind its end"),
    (lambda: gzip.compress(gzip.decompress(GOOD) + b"more" * 500),
     "goes on behind its end"),
    (lambda: gzip.compress(b"")[:10] + bytes(1000), "no archive|damaged"),
    (lambda: gzip.compress(b"") * 100_000, "nothing comes from its bytes"),
    # A name in the header of the gzip that does not end.
    (lambda: GOOD[:3] + b"\10" + GOOD[4:10] + b"n" * (4 << 20),
     "nothing comes from its bytes"),
    (lambda: gzip.decompress(GOOD), "no archive"),
    (lambda: b"PK\3\4", "no archive"),
    (lambda: b"", "no archive"),
    (lambda: gzip.compress(b"no archive"), "no archive"),
    (lambda: GOOD[:-30], "no archive|damaged"),
    (lambda: corrupt(GOOD, -8), "CRC"),
    (lambda: corrupt(GOOD, -3), "no archive"),
])
def test_what_is_not_unpacked(tmp_path, make, message):
  archive = io.BytesIO(make())
  folder = tmp_path / "new"
  folder.mkdir()
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  with pytest.raises(ValueError, match=message):
    unpack(archive, folder)
  grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
  assert grown < 100_000  # kB
  assert [path.name for path in tmp_path.iterdir()] == ["new"]
  assert not any(path.is_symlink() for path in folder.rglob("*"))


def test_zeros_that_take_the_disk(tmp_path, monkeypatch):
  monkeypatch.setattr(hub_archives, "_FREE_BYTES", 1 << 20)
  with pytest.raises(ValueError, match="more than any BERT when unpacked"):
    unpack(io.BytesIO(zeros_behind(
        member("zeros", size=30 << 20).tobuf(), 30)), tmp_path)
  assert (tmp_path / "zeros").stat().st_size < 5 << 20


def test_damage_at_random_is_no_trace(tmp_path):
  rng = np.random.default_rng(0)
  refused = 0
  for number in range(200):
    content = bytearray(GOOD if number % 2 else gzip.decompress(GOOD))
    for place in rng.integers(len(content), size=rng.integers(1, 4)):
      content[place] = rng.integers(256)
    folder = tmp_path / str(number)
    folder.mkdir()
    try:
      unpack(io.BytesIO(content if number % 2 else gzip.compress(content)),
             folder)
    except ValueError:
      refused += 1
  assert refused > 100
