"""Adapter files that come, are damaged and go while a server is asked, for
serve_soak.py.

A good file is put into the folder that the server watches, in two halves; it is
damaged in one of many ways; it is mended; it goes. After each step a text with
a known answer is asked. An answer has to be the right one. Where a file is
damaged, it is that of the old task, or a status that says so once the old one
had to make room for others.
"""

import asyncio
import contextlib
import itertools
import json
import os
import pathlib
import shutil
from collections import Counter
from collections.abc import Callable
from typing import Any

import serve_load

# The server looks every two seconds, and takes what has not changed in between.
_UNTIL_TAKEN = 7.0
_TENSORS = "adapter.safetensors"
_CONFIG = "adapter_config.json"


def _truncated(path: pathlib.Path) -> None:
  os.truncate(path / _TENSORS, (path / _TENSORS).stat().st_size // 2)


def _flipped(path: pathlib.Path) -> None:
  content = bytearray((path / _TENSORS).read_bytes())
  content[-1000] ^= 1
  (path / _TENSORS).write_bytes(content)


def _no_disk_left(path: pathlib.Path) -> None:
  """Leaves what a copy leaves that ended with ENOSPC."""
  content = (path / _TENSORS).read_bytes()
  (path / _TENSORS).write_bytes(content[:len(content) // 3])


def _empty(path: pathlib.Path) -> None:
  (path / _TENSORS).write_bytes(b"")


def _link_to_nothing(path: pathlib.Path) -> None:
  (path / _TENSORS).unlink()
  (path / _TENSORS).symlink_to("nothing")


def _a_folder(path: pathlib.Path) -> None:
  (path / _TENSORS).unlink()
  (path / _TENSORS).mkdir()


def _half_a_configuration(path: pathlib.Path) -> None:
  content = (path / _CONFIG).read_bytes()
  (path / _CONFIG).write_bytes(content[:len(content) // 2])


def _other_encoder(path: pathlib.Path) -> None:
  said = json.loads((path / _CONFIG).read_text())
  said["encoder"] = {
      name: value[::-1] if isinstance(value, str) and name != "source"
      else value for name, value in said["encoder"].items()}
  _write(path, said)


def _other_sizes(path: pathlib.Path) -> None:
  said = json.loads((path / _CONFIG).read_text())
  said["encoder"]["architecture"]["hidden_size"] *= 2
  _write(path, said)


def _a_file(path: pathlib.Path) -> None:
  shutil.rmtree(path)
  path.write_text("no adapter file")


WAYS: tuple[Callable[[pathlib.Path], None], ...] = (
    _truncated, _flipped, _no_disk_left, _empty, _link_to_nothing, _a_folder,
    _half_a_configuration, _other_encoder, _other_sizes, _a_file)


def _write(path: pathlib.Path, said: dict[str, Any]) -> None:
  said.pop("config_sha256", None)
  (path / _CONFIG).write_text(json.dumps(said))


def _copy_in_halves(like: pathlib.Path, path: pathlib.Path) -> None:
  """First the configuration and half of the tensors."""
  path.mkdir(exist_ok=True)
  _write(path, {**json.loads((like / _CONFIG).read_text()), "task": path.name})
  content = (like / _TENSORS).read_bytes()
  (path / _TENSORS).write_bytes(content[:len(content) // 2])


def _finish(like: pathlib.Path, path: pathlib.Path) -> None:
  with open(path / _TENSORS, "ab") as file:
    file.write((like / _TENSORS).read_bytes()[file.tell():])


def _gone(path: pathlib.Path) -> None:
  path.unlink() if path.is_file() else shutil.rmtree(path)


class Damage:
  """Files that come, are damaged, are mended and go.

  Args:
    port: the server's.
    folder: that it watches.
    token: the administrator's.
    known: requests of the first task, whose files are copied.
    problem: what compares answers: see `serve_load.checker`.

  Attributes:
    seen: how often there was what.
    wrong: answers that were.
    damaged: the folders' names, each as often as it was damaged.
  """

  def __init__(self, port: int, folder: pathlib.Path, token: str,
               known: list[serve_load.Request],
               problem: Callable[[serve_load.Request, bytes], str | None]):
    self._connection = serve_load.Connection(port)
    self._folder = folder
    self._token = token
    self._known = itertools.cycle(known)
    self._problem = problem
    self._like = folder / known[0].task
    self.seen: Counter[str] = Counter()
    self.wrong: list[str] = []
    self.damaged: Counter[str] = Counter()

  async def run(self, stop: Callable[[], bool]) -> None:
    """Goes on until `stop`."""
    for number, way in enumerate(itertools.cycle(WAYS)):
      if stop():
        return
      await self._administrator()
      await self._file(way, self._folder / f"changing_{number}")

  async def _file(self, way: Callable[[pathlib.Path], None],
                  path: pathlib.Path) -> None:
    name = way.__name__.strip("_")
    await self._written(_copy_in_halves, self._like, path)
    await asyncio.sleep(_UNTIL_TAKEN)
    self.damaged[path.name] += 1
    await self._ask("half a copy", path.name, {404, 500})
    await self._written(_finish, self._like, path)
    await asyncio.sleep(_UNTIL_TAKEN)
    await self._ask("finished", path.name, {200})
    with contextlib.suppress(OSError):  # another damage than was meant
      await asyncio.to_thread(way, path)
    # While it is looked at, and after that.
    await self._ask(f"{name}, at once", path.name, {200, 404, 500, 503})
    await asyncio.sleep(_UNTIL_TAKEN)
    self.damaged[path.name] += 1
    await self._ask(name, path.name,
                    {404} if way is _a_file
                    else {200, 404} if way is _link_to_nothing else {200, 500})
    await asyncio.to_thread(_gone, path)
    await self._written(_copy_in_halves, self._like, path)
    await self._written(_finish, self._like, path)
    await asyncio.sleep(_UNTIL_TAKEN)
    await self._ask("mended", path.name, {200})
    await asyncio.to_thread(_gone, path)
    await asyncio.sleep(_UNTIL_TAKEN)
    await self._ask("taken away", path.name, {404})

  async def _administrator(self) -> None:
    """Adds a task, asks it, has it replaced by damaged files, removes it."""
    bad = self._folder.parent / "bad"
    for damage in (None, *WAYS[:-1]):
      path = self._like
      if damage is not None:
        path = bad
        await self._written(_copy_in_halves, self._like, bad)
        await self._written(_finish, self._like, bad)
        with contextlib.suppress(OSError):
          await asyncio.to_thread(damage, bad)
      await self._send("POST /v1/adapters" + (" damaged" if damage else ""),
                       serve_load.post("/v1/adapters", {
                           "name": "by_hand", "path": str(path)},
                           token=self._token), {422 if damage else 200})
      await self._ask("by hand", "by_hand", {200})
      if damage is not None:
        await asyncio.to_thread(_gone, bad)
    await self._send("DELETE /v1/adapters", serve_load.post(
        "/v1/adapters/by_hand", None, "DELETE", self._token), {200})
    await self._ask("removed by hand", "by_hand", {404})

  async def _written(self, write: Callable[..., None], *arguments: Any) -> None:
    """Writes a file; again and again while the disk is full."""
    while True:
      try:
        return await asyncio.to_thread(write, *arguments)
      except OSError as error:
        self.seen[f"written: {error.strerror}"] += 1
        await asyncio.sleep(2)

  async def _ask(self, what: str, task: str, allowed: set[int]) -> None:
    """Asks a copy of the first task what that is known to answer."""
    like = next(self._known)
    body = await self._send(what, serve_load.Request(
        task, like.text).bytes(), allowed)
    if body is not None and (problem := self._problem(like, body)):
      self.wrong.append(f"{what}: {problem}")

  async def _send(self, what: str, data: bytes,
                  allowed: set[int]) -> bytes | None:
    """The body of an answer with status 200; counts what it was."""
    try:
      status, body = await self._connection.ask(data)
    except (OSError, asyncio.IncompleteReadError) as error:
      self.seen[f"unexpected: {what}: {type(error).__name__}"] += 1
      return None
    self.seen[f"{'' if status in allowed else 'unexpected: '}{what}: {status}"
              ] += 1
    return body if status == 200 else None
