"""A Hugging Face Hub on this machine, as far as huggingface_hub asks for it."""

import base64
import contextlib
import hashlib
import http.server
import json
import re
import sys
import threading
import urllib.parse

import pytest

_TOKEN = "hf_test"
_REPOSITORY = r"/(?:api/models/)?(?P<name>[\w.-]+/[\w.-]+)"
_MODEL = re.compile(
    rf"{_REPOSITORY}(?:/(?P<what>revision|tree|preupload|commit|resolve)"
    r"/(?P<revision>[^/]+)(?:/(?P<file>.+))?)?")


class Hub:
  """Repositories and how they are answered for.

  Attributes:
    url: where it is.
    commits: repository -> commit -> {file: content}.
    refs: repository -> branch -> commit.
    gated: repositories whose files nobody may read.
    private: repositories that were made private.
    requests: (method, path) of each request.
    is_silent: whether connections end without an answer.
  """

  def __init__(self, url):
    self.url = url
    self.commits, self.refs = {}, {}
    self.gated, self.private = set(), set()
    self.requests = []
    self.is_silent = False

  def commit(self, name, files, branch="main"):
    """Adds files to a repository, which is made if need be.

    Returns:
      The commit.
    """
    commits = self.commits.setdefault(name, {})
    refs = self.refs.setdefault(name, {})
    before = commits.get(refs.get(branch, refs.get("main")), {})
    commit = hashlib.sha1(f"{name} {len(commits)}".encode()).hexdigest()
    commits[commit] = {**before, **files}
    refs[branch] = commit
    return commit

  def upload(self, name, folder):
    """A commit of all files of a folder."""
    return self.commit(name, {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*") if file.is_file()})

  def files(self, name):
    """{file: content} of the main branch."""
    return self.commits[name][self.refs[name]["main"]]

  def fetched(self):
    """The files that were asked for since the last call."""
    names = [path.split("/resolve/")[1].split("/", 1)[1]
             for method, path in self.requests if "/resolve/" in path
             and method == "GET"]
    self.requests.clear()
    return names


@contextlib.contextmanager
def serving(cache):
  """A `Hub`, which huggingface_hub is imported for, with an empty cache."""
  server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
  server.hub = Hub(f"http://127.0.0.1:{server.server_port}")
  threading.Thread(target=server.serve_forever, daemon=True).start()
  with pytest.MonkeyPatch.context() as patch:
    for name, value in {
        "HF_ENDPOINT": server.hub.url, "HF_HOME": str(cache),
        "HF_TOKEN": _TOKEN, "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "no_proxy": "127.0.0.1"}.items():
      patch.setenv(name, value)
    for name in ("HF_HUB_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
      patch.delenv(name, raising=False)
    # It reads its settings when it is imported.
    mine = [name for name in sys.modules
            if name.partition(".")[0] == "huggingface_hub"]
    for name in mine:
      patch.delitem(sys.modules, name)
    try:
      yield server.hub
    finally:
      for name in list(sys.modules):
        if name.partition(".")[0] == "huggingface_hub":
          del sys.modules[name]
      server.shutdown()
      server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
  protocol_version = "HTTP/1.1"

  def log_message(self, *_):
    pass

  def do_GET(self):
    self._answer(b"")

  do_HEAD = do_GET

  def do_POST(self):
    self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

  def _answer(self, body):
    hub = self.server.hub
    path = urllib.parse.unquote(self.path.partition("?")[0])
    hub.requests.append((self.command, path))
    if hub.is_silent:
      self.close_connection = True
      return None
    if path == "/api/validate-yaml":
      return self._send({"errors": [], "warnings": []})
    if path == "/api/repos/create":
      return self._create(json.loads(body))
    found = _MODEL.fullmatch(path)
    if found is None or found["name"] not in hub.commits:
      return self._refuse(404, "RepoNotFound")
    return self._model(body, **found.groupdict())

  def _create(self, values):
    hub = self.server.hub
    if self.headers.get("authorization") != f"Bearer {_TOKEN}":
      return self._refuse(401)
    name = f"{values.get('organization') or 'me'}/{values['name']}"
    answer = {"url": f"{hub.url}/{name}", "id": name, "name": name}
    if name in hub.commits:
      return self._send({**answer, "error": "exists"}, 409)
    hub.commit(name, {".gitattributes": b""})
    if values.get("private") or values.get("visibility") == "private":
      hub.private.add(name)
    return self._send(answer)

  def _model(self, body, name, what, revision, file):
    hub = self.server.hub
    commit = hub.refs[name].get(revision or "main", revision)
    files = hub.commits[name].get(commit)
    if files is None:
      return self._refuse(404, "RevisionNotFound")
    if what == "preupload":
      return self._send({"files": [
          {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
          for one in json.loads(body)["files"]]})
    if what == "commit":
      if self.headers.get("authorization") != f"Bearer {_TOKEN}":
        return self._refuse(403)
      items = [json.loads(line) for line in body.splitlines()]
      commit = hub.commit(name, {
          item["value"]["path"]: base64.b64decode(item["value"]["content"])
          for item in items if item["key"] == "file"}, revision)
      return self._send({
          "commitUrl": f"{hub.url}/{name}/commit/{commit}",
          "commitOid": commit, "pullRequestUrl": None})
    if what == "tree":
      return self._send([
          {"type": "file", "path": path, "size": len(content), "oid": _sha(
              content)} for path, content in files.items()])
    if what == "resolve":
      return self._resolve(name, commit, files.get(file))
    return self._send({
        "_id": "0", "id": name, "modelId": name, "sha": commit,
        "private": name in hub.private, "tags": [], "downloads": 0, "likes": 0,
        "siblings": [{"rfilename": path, "size": len(content)}
                     for path, content in files.items()]})

  def _resolve(self, name, commit, content):
    if name in self.server.hub.gated:
      return self._refuse(403, "GatedRepo")
    if content is None:
      return self._refuse(404, "EntryNotFound", commit)
    return self._send(content, headers={
        "ETag": f'"{_sha(content)}"', "X-Repo-Commit": commit})

  def _refuse(self, status, code="", commit=""):
    return self._send({"error": code}, status, {
        "X-Error-Code": code, "X-Repo-Commit": commit})

  def _send(self, body, status=200, headers=None):
    if not isinstance(body, bytes):
      body = json.dumps(body).encode()
    self.send_response(status)
    for key, value in (headers or {}).items():
      if value:
        self.send_header(key, value)
    self.send_header("Content-Length", str(len(body)))
    self.end_headers()
    if self.command != "HEAD":
      self.wfile.write(body)


def _sha(content):
  return hashlib.sha1(content).hexdigest()
