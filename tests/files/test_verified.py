"""Files whose sha256 is computed once."""

import hashlib
import os
import time

import pytest

from tf_adapters.files import verified
from tf_adapters.files.verified import VerifiedFiles

CONTENT = bytes(range(256)) * 9 + b"end"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def file(tmp_path):
  path = tmp_path / "file"
  path.write_bytes(CONTENT)
  return path


@pytest.fixture
def computed(monkeypatch):
  """Lists the contents whose sha256 was computed."""
  contents = []

  def sha256(content):
    contents.append(content)
    return hashlib.sha256(content)

  monkeypatch.setattr(verified, "hashlib", type(
      "Counted", (), {"sha256": staticmethod(sha256)}))
  return contents


@pytest.fixture
def later(monkeypatch):
  """Lets files be as old as they have to be."""
  now = time.time_ns() + 2 * verified._CLOCK_NS
  monkeypatch.setattr(verified.time, "time_ns", lambda: now)


def found(files, file, content=None, sha256=SHA256):
  return files.has_sha256(
      str(file), file.read_bytes() if content is None else content,
      os.stat(file), sha256)


def test_it_is_computed_once(file, computed, later):
  files = VerifiedFiles()
  assert [found(files, file) for _ in range(3)] == [True] * 3
  assert len(computed) == 1
  assert not found(files, file, sha256=SHA256[::-1])
  assert [found(files, file, b"", hashlib.sha256(b"").hexdigest())
          for _ in range(2)] == [True] * 2


def test_a_file_that_has_just_changed_is_not_remembered(file, computed):
  files = VerifiedFiles()
  assert found(files, file) and found(files, file)
  assert len(computed) == 2


@pytest.mark.parametrize("place", [0, 1000, len(CONTENT) - 1])
def test_a_disk_that_loses_a_byte(file, later, place):
  files = VerifiedFiles()
  assert found(files, file)
  lost = bytearray(CONTENT)
  lost[place] ^= 128  # while the status is what it was
  assert not found(files, file, bytes(lost))
  assert found(files, file)


def test_a_change_with_the_time_set_back(file, computed, later):
  files = VerifiedFiles()
  assert found(files, file)
  before = os.stat(file)
  # Words that change places: their exclusive or is what it was.
  file.write_bytes(CONTENT[8:16] + CONTENT[:8] + CONTENT[16:])
  os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
  assert not found(files, file)
  file.with_name("other").write_bytes(CONTENT)
  os.replace(file.with_name("other"), file)
  assert found(files, file)
  assert len(computed) == 3


def test_it_does_not_grow_without_end(file, computed, later, monkeypatch):
  monkeypatch.setattr(verified, "_MOST_FILES", 2)
  files = VerifiedFiles()
  for name in "abca":
    assert files.has_sha256(name, CONTENT, os.stat(file), SHA256)
  assert len(computed) == 4
  assert files.has_sha256("c", CONTENT, os.stat(file), SHA256)
  assert len(computed) == 4
