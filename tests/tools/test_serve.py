"""Refusals of `tf-adapters serve` before it loads anything."""

import importlib
import pathlib
import shutil
import socket

import pytest

from tests.tools.calling import call
from tf_adapters.tools import serve

# Adapter files that need no TensorFlow to be made.
FILES = pathlib.Path(__file__).parents[1] / "adapter_files/written_by_0_1"
ENCODER = f"--encoder={FILES / 'encoder'}"


def error_of(capsys, *arguments):
  """The one line of an error."""
  assert call(serve, *arguments) == 1
  (line,) = capsys.readouterr().err.splitlines()
  return line


@pytest.mark.parametrize("arguments, message", [
    ((), "--adapters_dir or --adapter must be given"),
    (("--adapter=nowhere",), "nowhere: not an adapter file"),
    (("--adapters_dir=nowhere",), "nowhere: cannot be read: No such file"),
    ((f"--adapter={FILES / 'head'}", "--max_resident_tasks=2"),
     "--max_resident_tasks: for --adapters_dir only"),
    ((f"--adapter={FILES / 'head'}", "--max_request_rows=9",
      "--max_queue_rows=5"), "could never be taken"),
    ((f"--adapter={FILES / 'head'}", "--encoder=nowhere"), "nowhere"),
])
def test_what_cannot_be_served_is_one_line(capsys, arguments, message):
  assert message in error_of(capsys, *arguments)


def test_a_task_has_one_file(capsys, tmp_path):
  shutil.copytree(FILES / "head", tmp_path / "twice")
  assert "task twice is in" in error_of(
      capsys, ENCODER, f"--adapter=twice={FILES / 'head'}",
      f"--adapters_dir={tmp_path}")


def test_two_files_of_one_name_are_two_tasks_of_one(capsys, tmp_path):
  again = shutil.copytree(FILES / "head", tmp_path / "again")
  for adapters in (f"{FILES / 'head'},{again}", f"a={again},a={again}"):
    line = error_of(capsys, ENCODER, f"--adapter={adapters}")
    assert f"{again} are both of task" in line and "NAME=PATH" in line


@pytest.mark.parametrize("content, is_fine", [
    (b"short", False), (b"\xff" * 20, False), ("ü".encode() * 20, False),
    (b"two\nlines of some length", False), (b"", False),
    (b"0123456789abcdef\n", True)])
def test_a_token_is_long_and_plain(capsys, tmp_path, content, is_fine):
  file = tmp_path / "token"
  file.write_bytes(content)
  line = error_of(capsys, f"--admin_token_file={file}")
  assert ("at least 16 printable characters" in line) != is_fine


def test_a_port_is_taken_by_one(capsys):
  with socket.create_server(("127.0.0.1", 0)) as other:
    port = other.getsockname()[1]
    assert error_of(
        capsys, ENCODER, f"--adapter={FILES / 'head'}", f"--port={port}",
    ) == (f"error: --host=127.0.0.1 --port={port}: Address already in use: "
          "choose another port or host")
  assert "--host=no.such.host" in error_of(
      capsys, ENCODER, f"--adapter={FILES / 'head'}", "--host=no.such.host")


@pytest.mark.parametrize("package, name", [
    ("uvicorn", "uvicorn"), ("prometheus_client", "prometheus-client")])
def test_a_package_that_is_missing_is_one_line(
    capsys, monkeypatch, package, name):
  found = importlib.import_module

  def import_module(module):
    if module == package:
      raise ImportError
    return found(module)

  monkeypatch.setattr(serve.importlib, "import_module", import_module)
  assert error_of(capsys, f"--adapter={FILES / 'head'}") == (
      f"error: needs the package {name}: pip install 'tf_adapters[serve]'")
