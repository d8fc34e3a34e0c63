"""Hub URLs, from a server on this machine that answers as TF Hub does."""

import gzip
import http.server
import io
import tarfile
import threading

import pytest

import tf_adapters as ta
from tf_adapters.checkpoints import hub_archives


class _Hub(http.server.BaseHTTPRequestHandler):
  """Redirects a handle to a compressed SavedModel, as TF Hub to Kaggle."""

  archive = b""
  requests = []

  def do_GET(self):
    type(self).requests.append(self.path)
    path, _, query = self.path.partition("?")
    if path == "/tensorflow/bert/4" and "tf-hub-format=compressed" in query:
      self.send_response(302)
      self.send_header("Location", "/models/tensorflow/bert/4.tgz")
      self.end_headers()
    elif path == "/models/tensorflow/bert/4.tgz":
      self._answer(self.archive)
    elif path == "/cut/4":
      self._answer(self.archive[:len(self.archive) // 2])
    elif path == "/endless/4":
      self.send_response(200)
      self.send_header("Content-Length", str(1 << 40))
      self.end_headers()
    elif path == "/page/4":
      self._answer(b"<html>Sorry</html>")
    else:
      self.send_error(404)

  def _answer(self, content):
    self.send_response(200)
    self.send_header("Content-Length", str(len(content)))
    self.end_headers()
    self.wfile.write(content)

  def log_message(self, *arguments):
    pass


@pytest.fixture
def server(sources, tmp_path, monkeypatch):
  monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
  content = io.BytesIO()
  with tarfile.open(fileobj=content, mode="w:gz") as archive:
    archive.add(sources["hub_v4"], arcname=".")
  _Hub.archive, _Hub.requests = content.getvalue(), []
  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def url(server, path):
  return f"http://127.0.0.1:{server.server_port}/{path}"


def test_a_url_is_fetched_once_and_then_used_offline(server, sources):
  source = url(server, "tensorflow/bert/4")
  encoder = ta.load_encoder(source)
  assert encoder.origin.source == source
  assert encoder.origin.fingerprint == ta.load_encoder(
      str(sources["hub_v4"])).origin.fingerprint
  assert len(_Hub.requests) == 2  # the handle, and where it leads
  server.shutdown()
  server.server_close()
  again = ta.load_encoder(source)
  assert again.origin == encoder.origin
  assert len(_Hub.requests) == 2


@pytest.mark.parametrize("path", ["none/4", "cut/4", "page/4", "endless/4"])
def test_what_can_not_be_fetched(server, path, tmp_path):
  with pytest.raises(ta.InputError, match="can not be fetched") as caught:
    ta.load_encoder(url(server, path))
  assert url(server, path) in str(caught.value)
  assert "\n" not in str(caught.value)
  # Nothing half-fetched is taken for a model the next time.
  with pytest.raises(ta.InputError, match="can not be fetched"):
    ta.load_encoder(url(server, path))


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
  with gzip.GzipFile(fileobj=content, mode="wb") as file:
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


HUGE_NAME = member("././@LongLink", type=tarfile.GNUTYPE_LONGNAME,
                   size=100 << 20).tobuf(tarfile.GNU_FORMAT)
HUGE_PAX = member("pax", type=tarfile.XHDTYPE, size=100 << 20).tobuf(
    tarfile.USTAR_FORMAT)


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
    (sparse_file, "neither file nor folder"),
    (lambda: gzip.compress(member("a", size=1 << 40).tobuf(
        tarfile.GNU_FORMAT)), "'a' ends at byte 1,099,511,"),
    (lambda: archive_of(*(member(f"a{i}") for i in range(1000))),
     "more of it than"),
    (lambda: zeros_behind(HUGE_NAME, 100), "more of it than"),
    (lambda: zeros_behind(HUGE_PAX, 100), "more of it than"),
    (lambda: archive_of(member("a", size=9), form=tarfile.PAX_FORMAT,
                        pax_headers={"comment": "x" * (1 << 19)}),
     "more of it than"),
    (lambda: gzip.decompress(archive_of(member("a", size=9))),
     "expected an archive, .tar.gz"),
    (lambda: b"", "expected an archive"),
    (lambda: gzip.compress(b"no archive"), "can not be fetched"),
])
def test_archives_that_are_not_unpacked(
    server, tmp_path, monkeypatch, make, message):
  _Hub.archive = make()

  def unpack(*_):
    raise AssertionError("unpacked")
  monkeypatch.setattr(
      hub_archives.resolver.DownloadManager, "download_and_uncompress", unpack)
  with pytest.raises(ta.InputError, match=message) as caught:
    ta.load_encoder(url(server, "tensorflow/bert/4"))
  assert "\n" not in str(caught.value)
  assert not list((tmp_path / "cache").iterdir())
  assert not (tmp_path / "evil").exists()
