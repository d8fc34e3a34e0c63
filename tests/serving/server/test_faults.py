"""A server whose log, files or connections fail."""

import asyncio
import os
import shutil
import signal
import socket
import sys
import threading
import time
import types

import pytest

from tests.full_disks import largest_file
from tests.serving.server.fake_bank import (
    FakeBank,
    asked,
    make_server,
    post,
)
from tests.serving.server.test_folder_watch import write
from tf_adapters.errors import InputError
from tf_adapters.serving.server import running
from tf_adapters.serving.server.application import make_application
from tf_adapters.serving.server.folder_watch import FolderWatch, states_of
from tf_adapters.serving.server.stuck_connections import StuckConnections


def look(watch, count=2):
  async def looks():
    for _ in range(count):
      await watch.look()

  asyncio.run(looks())


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path, monkeypatch):
  bank = FakeBank()
  bank.fails_on = "secret"
  server = make_server(bank)
  with open(tmp_path / "log", "w") as full, largest_file(0):
    monkeypatch.setattr(sys, "stderr", full)
    for _ in range(100):  # more than a buffer holds
      response = post(server, "/models/topic", {"inputs": "secret"})
      assert response.status_code == 500
      assert response.json() == {"error": "the server failed: its log says why"}
    folder = tmp_path / "adapters"
    for name in ("bad", "first"):
      (folder / name).mkdir(parents=True)
      (folder / name / "adapter_config.json").touch()
      (folder / name / "adapter.safetensors").touch()
    look(FolderWatch(server, folder, {}))
    assert "first" in bank.names() and "bad" not in bank.names()
    monkeypatch.undo()
  assert (tmp_path / "log").stat().st_size < 20_000  # what came at the end


def test_a_damaged_file_is_logged_once_and_told_to_each_request(capsys):
  server = make_server()
  reason = "adapters/topic: is damaged"

  class Damaged:
    async def __aenter__(self):
      raise InputError(reason)

    async def __aexit__(self, *error):
      pass

  server._loader.holding = lambda names: Damaged()
  for response in asked(server, *[
      ("POST", "/models/topic", {"inputs": "a"})] * 3):
    assert response.status_code == 500
    assert response.json() == {"error": reason}
  assert capsys.readouterr().err == f"{reason}\n"


class Reading(FakeBank):
  """Reads the tensors of what it takes in."""

  def add(self, path, name=None):
    try:
      with open(path / "adapter.safetensors") as file:
        assert file.read() == "{}"
    except (OSError, AssertionError) as error:
      raise InputError(f"{path}: cannot be read: {error}") from None
    return super().add(path, name)


def test_a_task_stays_while_its_file_cannot_be_read(tmp_path, monkeypatch):
  write(tmp_path / "topic")
  (tmp_path / "other").mkdir()
  bank, said = Reading(), []
  server = make_server(bank)
  watch = FolderWatch(server, tmp_path, states_of(tmp_path), report=said.append)
  tensors, before = tmp_path / "topic" / "adapter.safetensors", bank.info(
      "topic")

  def damaged(count):
    look(watch, 4)
    assert bank.info("topic") is before and len(said) == count, said

  tensors.unlink()
  tensors.symlink_to("nothing")
  damaged(1)
  tensors.unlink()
  tensors.mkdir()
  damaged(2)
  tensors.rmdir()
  damaged(3)
  tensors.write_text("half")  # for so long that it is not half a copy
  damaged(4)
  tensors.write_text("{}")
  look(watch)
  before = bank.info("topic")

  # Nobody may look into folders: those of others are no tasks.
  scan, closed = os.scandir, {tmp_path / "topic", tmp_path / "other"}

  def scandir(path):
    if path in closed:
      raise PermissionError(13, "Permission denied")
    return scan(path)

  monkeypatch.setattr(os, "scandir", scandir)
  look(watch, 4)
  assert "topic" in bank.names() and len(said) == 4
  closed.clear()
  look(watch)
  before = bank.info("topic")
  tensors.chmod(0o600)  # it may be readable by now
  look(watch)
  assert bank.info("topic") is not before and len(said) == 4
  shutil.rmtree(tmp_path / "topic")
  look(watch)
  assert "topic" not in bank.names()


def test_figures_of_tasks_that_have_gone_are_not_kept():
  bank = FakeBank()
  server = make_server(bank, task_metrics=True)
  make_application(server)  # which has the server tell what counts
  metrics = server.observers[-1]
  for number in range(50):
    bank.infos[f"t{number}"] = bank.infos["topic"]
    metrics.answered({f"t{number}": 3}, 200, 0.1)
    assert f'task_rows_total{{task="t{number}"}} 3'.encode() in metrics.text()
    del bank.infos[f"t{number}"]
  assert b'task="t' not in metrics.text()
  metrics.answered({"base": 2}, 200, 0.1)
  assert b'task_rows_total{task="base"} 2' in metrics.text()


def connection(cycle=None, timer=None, unread=0):
  closed = []
  return types.SimpleNamespace(
      cycle=cycle, timeout_keep_alive_task=timer, closed=closed,
      transport=types.SimpleNamespace(
          get_write_buffer_size=lambda: unread,
          abort=lambda: closed.append(True)))


def test_connections_on_which_nothing_ends_are_closed():
  done, answering = (types.SimpleNamespace(response_complete=value)
                     for value in (True, False))
  clock = [0.0]
  stuck = {"silent": connection(), "half a head": connection(done),
           "unread": connection(answering, unread=1),
           "unread at its end": connection(done, object(), unread=1)}
  fine = {"answering": connection(answering), "idle": connection(
      done, object()), "another request": connection(done)}
  # SimpleNamespace has no hash; uvicorn's connections do.
  found = [type("Connection", (), vars(one))() for one in (
      *stuck.values(), *fine.values())]
  watch = StuckConnections(lambda: found, 10.0, lambda: clock[0])
  for clock[0] in (0.0, 4.0, 9.0):
    watch.look()
    found[-1].cycle = types.SimpleNamespace(response_complete=True)
  assert not any(one.closed for one in found)
  clock[0] = 10.0
  watch.look()
  assert [bool(one.closed) for one in found] == [True] * 4 + [False] * 3


def test_half_a_head_of_a_request_is_not_waited_for(monkeypatch):
  monkeypatch.setattr(running, "_SECONDS_OF_SILENCE", 1)
  found = running.listen("127.0.0.1", 0)
  server = make_server(FakeBank(seconds=0.5))
  answers = {}

  def ask(name, content):
    with socket.create_connection(found.getsockname(), 20) as client:
      client.sendall(content)
      answers[name] = client.recv(1000)

  whole = (b"POST /models/topic HTTP/1.1\r\nHost: a\r\nContent-Length: 15\r\n"
           b'\r\n{"inputs": "a"}')

  def clients():
    threads = [threading.Thread(target=ask, args=row) for row in (
        ("half", whole[:30]), ("silent", b""), ("whole", whole))]
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join()
    last = threading.Thread(target=ask, args=("last", whole))
    last.start()
    while not server.figures()["queue_rows"]:
      time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
    last.join()

  asking = threading.Thread(target=clients)
  asking.start()
  running.run(make_application(server), server, found, 10)
  asking.join()
  assert answers["half"] == answers["silent"] == b""
  assert answers["whole"].startswith(b"HTTP/1.1 200")
  assert answers["last"].startswith(b"HTTP/1.1 200")


@pytest.fixture(autouse=True)
def _no_signal_left():
  before = signal.getsignal(signal.SIGTERM)
  yield
  signal.signal(signal.SIGTERM, before)
