"""Hub URLs, from a server on this machine that answers as TF Hub does."""

import hashlib
import http.server
import io
import os
import pathlib
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.request

import pytest
import tensorflow_hub as hub

import tf_adapters as ta
from tf_adapters.checkpoints import fetching

FETCH = """
import sys
from tf_adapters.checkpoints import fetching
print(fetching.fetch(sys.argv[1]), flush=True)
"""


class _Hub(http.server.BaseHTTPRequestHandler):
  """Redirects a handle to a compressed SavedModel, as TF Hub to Kaggle."""

  archive = b""
  requests = []
  goes_on = threading.Event()  # what a slow answer waits for

  def do_GET(self):
    type(self).requests.append(self.path)
    path, _, query = self.path.partition("?")
    half = len(self.archive) // 2
    if path == "/tensorflow/bert/4" and "tf-hub-format=compressed" in query:
      self._lead_to("/models/tensorflow/bert/4.tgz")
    elif path == "/models/tensorflow/bert/4.tgz":
      self._answer(self.archive)
    elif path == "/slow/4":
      self._begin(len(self.archive))
      self.wfile.write(self.archive[:half])
      self.goes_on.wait(30)
      self.wfile.write(self.archive[half:])
    elif path == "/cut/4":
      self._answer(self.archive[:half])
    elif path == "/broken_off/4":
      self._begin(len(self.archive))
      self.wfile.write(self.archive[:half])
    elif path == "/silent/4":
      self.goes_on.wait(30)
    elif path == "/endless/4":
      self._begin(1 << 40)
    elif path == "/page/4":
      self._answer(b"<html>Sorry</html>")
    elif path == "/no_http/4":
      self.wfile.write(b"SSH-2.0\r\n")
    elif path == "/round/4":
      self._lead_to("/round/4")
    elif path.startswith("/leads_to/"):
      self._lead_to(path.removeprefix("/leads_to/"))
    else:
      self.send_error({"/secret/4": 403, "/broken/4": 500}.get(path, 404))

  def _begin(self, size):
    self.send_response(200)
    self.send_header("Content-Length", str(size))
    self.end_headers()

  def _answer(self, content):
    self._begin(len(content))
    self.wfile.write(content)

  def _lead_to(self, place):
    self.send_response(302)
    self.send_header("Location", place)
    self.end_headers()

  def log_message(self, *arguments):
    pass


@pytest.fixture
def cache(tmp_path, monkeypatch):
  monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
  return tmp_path / "cache"


@pytest.fixture
def server(sources, cache):
  content = io.BytesIO()
  with tarfile.open(fileobj=content, mode="w:gz") as archive:
    archive.add(sources["hub_v4"], arcname=".")
  _Hub.archive, _Hub.requests = content.getvalue(), []
  _Hub.goes_on.clear()
  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    _Hub.goes_on.set()
    server.shutdown()


def url(server, path):
  return f"http://127.0.0.1:{server.server_port}/{path}"


def test_a_url_is_fetched_once_and_then_used_offline(server, sources, cache):
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
  # tensorflow_hub finds it there, too.
  assert pathlib.Path(hub.resolve(source)) == fetching.fetch(source)
  described, = cache.glob("*.txt")
  assert source in described.read_text()


def test_what_tensorflow_hub_has_fetched_is_found(server, sources, cache):
  source = url(server, "tensorflow/bert/4")
  folder = pathlib.Path(hub.resolve(source))
  assert (folder / "saved_model.pb").exists()
  requests = len(_Hub.requests)
  assert fetching.fetch(source) == folder
  assert len(_Hub.requests) == requests
  # But its lock, which a killed process leaves, is not waited for.
  source = url(server, "models/tensorflow/bert/4.tgz")
  lock = cache / f"{hashlib.sha1(source.encode()).hexdigest()}.lock"
  lock.write_text("host.1.uid")
  assert (fetching.fetch(source) / "saved_model.pb").exists()


@pytest.mark.parametrize("path, message", [
    ("none/4", "HTTP Error 404: Not Found: is the address right"),
    ("secret/4", "HTTP Error 403: Forbidden: is the .* and open to everybody"),
    ("broken/4", "HTTP Error 500"),
    ("cut/4", "no archive .*, or a damaged one: Compressed file ended"),
    ("broken_off/4", r"the answer ended after [\d,]+ of [\d,]+ bytes: try aga"),
    ("silent/4", "nothing came for 0.3 seconds; .*give a local folder"),
    ("page/4", "no archive .*Not a gzipped file"),
    ("endless/4", "it has 1,099,511,627,776 bytes, expected at most"),
    ("no_http/4", "cannot be fetched: SSH-2.0"),
    ("round/4", "redirect"),
    ("leads_to/ftp://127.0.0.1/bert/4", "is not followed from http"),
    ("leads_to/file:///etc/passwd", "'file:///etc/passwd' is not allowed"),
    ("leads_to/data:text/plain,x", "is not allowed"),
])
def test_what_can_not_be_fetched(server, path, message, cache, monkeypatch):
  monkeypatch.setattr(fetching, "_SECONDS_OF_SILENCE", 0.3)
  for _ in range(2):
    # Nothing half-fetched is taken for a model the next time.
    with pytest.raises(ta.InputError, match=message) as caught:
      fetching.fetch(url(server, path))
    assert url(server, path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(cache.iterdir())


@pytest.mark.parametrize("there, here, follows", [
    ("https://a/x", "https://b/y", True), ("http://a/x", "https://b/y", True),
    ("http://a/x", "http://b/y", True), ("https://a/x", "http://a/x", False),
    ("https://a/x", "ftp://a/x", False), ("http://a/x", "ftp://a/x", False),
    ("https://a/x", "HTTP://a/x", False)])
def test_redirects_lead_to_nothing_less(there, here, follows):
  def lead():
    return fetching._Redirects().redirect_request(
        urllib.request.Request(there), None, 302, "", {}, here)
  if follows:
    assert lead().full_url == here
  else:
    with pytest.raises(ta.InputError, match=f"{there}: leads to {here}, which"):
      lead()


@pytest.mark.parametrize("source", [
    "http://127.0.0.1:port/x", "http://", "http://[evil/1", "http:// /x",
    "http://127.0.0.1:9/\udcff", "http://127.0.0.1:9/a b\n", "ftp://a/b",
    "data://x", f"http://127.0.0.1:9/{'a' * 5000}"])
def test_what_is_no_url(cache, source):
  with pytest.raises(ta.InputError, match="cannot be fetched|is no URL"):
    fetching.fetch(source)


def test_a_cache_that_can_not_be_written(server, cache, tmp_path):
  cache.touch()
  with pytest.raises(ta.InputError, match=(
      f"^TFHUB_CACHE_DIR {cache}: can.*not be written: File exists")):
    fetching.fetch(url(server, "tensorflow/bert/4"))


def test_a_cache_of_somebody_else_is_not_used(monkeypatch, tmp_path):
  monkeypatch.delenv("TFHUB_CACHE_DIR", raising=False)
  monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
  (tmp_path / "tfhub_modules").mkdir()
  uid = os.getuid()
  monkeypatch.setattr(os, "getuid", lambda: uid + 1)
  with pytest.raises(ta.InputError, match="belongs to another user: TFHUB_CAC"):
    fetching.fetch("http://127.0.0.1:9/bert/4")


def start(server, path):
  return subprocess.Popen(
      [sys.executable, "-c", FETCH, url(server, path)], text=True,
      stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for(condition):
  end = time.monotonic() + 30
  while not condition():
    assert time.monotonic() < end
    time.sleep(0.01)


def test_a_killed_fetch_does_not_keep_others_waiting(server, cache):
  process = start(server, "slow/4")
  wait_for(lambda: list(cache.glob(".*/**/*")))
  process.send_signal(signal.SIGKILL)
  process.communicate()
  assert list(cache.iterdir())  # what it left
  _Hub.goes_on.set()
  folder = fetching.fetch(url(server, "slow/4"))
  assert (folder / "saved_model.pb").exists()
  assert {path.name for path in cache.iterdir()} == {
      folder.name, f"{folder.name}.descriptor.txt"}


def test_who_waits_is_told_for_whom(server, cache):
  first = start(server, "slow/4")
  wait_for(lambda: list(cache.glob(".*/**/*")))
  second = start(server, "slow/4")
  line = second.stderr.readline()
  assert line.startswith(f"waiting for process {first.pid} on ")
  assert line.endswith(f"which is fetching {url(server, 'slow/4')}\n")
  _Hub.goes_on.set()
  folders = [process.communicate()[0] for process in (first, second)]
  assert folders[0] == folders[1]
  assert (pathlib.Path(folders[0].strip()) / "saved_model.pb").exists()
  assert len(_Hub.requests) == 1


def test_who_waited_for_a_killed_fetch_goes_on(server, cache):
  first = start(server, "slow/4")
  wait_for(lambda: list(cache.glob(".*/**/*")))
  second = start(server, "slow/4")
  second.stderr.readline()
  first.kill()
  first.communicate()
  _Hub.goes_on.set()
  output, errors = second.communicate()
  assert second.returncode == 0, errors
  assert (pathlib.Path(output.strip()) / "saved_model.pb").exists()
  assert "fetching " in errors and " MB" in errors
