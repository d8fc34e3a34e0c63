"""Hub URLs, from a server on this machine that answers as TF Hub does."""

import http.server
import io
import tarfile
import threading

import pytest

import tf_adapters as ta


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


@pytest.mark.parametrize("path", ["none/4", "cut/4", "page/4"])
def test_what_can_not_be_fetched(server, path, tmp_path):
  with pytest.raises(ta.InputError, match="can not be fetched") as caught:
    ta.load_encoder(url(server, path))
  assert url(server, path) in str(caught.value)
  assert "\n" not in str(caught.value)
  # Nothing half-fetched is taken for a model the next time.
  with pytest.raises(ta.InputError, match="can not be fetched"):
    ta.load_encoder(url(server, path))
