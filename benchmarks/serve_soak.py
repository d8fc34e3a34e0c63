"""A server of many tasks for a long time, with faults on.

While connections ask for texts whose answers are known, others hang up in the
middle, send bodies of 100 MB, broken JSON and broken UTF-8, write and read a
byte at a time, ask for tasks that there are not; adapter files appear in the
folder, whole and damaged, and go again, and an administrator adds and removes
tasks. At the end the server is told to end while it is asked. Counted are wrong
answers, accepted requests that were lost, answers with a status that a fault
should not have, and the server's memory. `serve.py --soak_minutes` calls it.
"""

import asyncio
import contextlib
import itertools
import json
import pathlib
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import serve_load

CONNECTIONS = 16
LARGE = 100_000_000  # bytes
SAMPLE_SECONDS = 5.0
# Fault -> the statuses that it may have; "closed" where the server hangs up.
ALLOWED = {
    "hang_up": {"gone"},
    "large_body": {"413", "closed"},
    "broken_json": {"400", "422"},
    "broken_utf8": {"400", "422"},
    "wrong_types": {"422"},
    "unknown_task": {"404"},
    "slow_writer": {"200", "408", "closed"},
    "slow_reader": {"200", "gone"},
}


async def hang_up(port: int, known: serve_load.Request) -> str:
  """Asks and goes: after half of the request, or without reading."""
  _, writer = await asyncio.open_connection("127.0.0.1", port)
  data = known.bytes()
  writer.write(data[:random.choice([len(data), len(data) // 2, 10])])
  await asyncio.sleep(random.random() / 50)
  writer.transport.abort()
  return "gone"


async def large_body(port: int, known: serve_load.Request) -> str:
  """Says that 100 MB come, and sends them as long as it is let."""
  reader, writer = await asyncio.open_connection("127.0.0.1", port)
  writer.write(f"POST /predict HTTP/1.1\r\nHost: localhost\r\n"
               f"Content-Type: application/json\r\n"
               f"Content-Length: {LARGE}\r\n\r\n".encode())
  piece = b'{"inputs": "' + b"x" * 1_000_000

  async def send() -> None:
    for _ in range(LARGE // len(piece)):
      writer.write(piece)
      await writer.drain()

  sending = asyncio.create_task(send())
  try:
    return await _status(reader)
  finally:
    sending.cancel()
    with contextlib.suppress(OSError, asyncio.CancelledError):
      await sending
    writer.transport.abort()


async def broken_json(port: int, known: serve_load.Request) -> str:
  return await _post(port, b'{"inputs": "a moving film", "task"')


async def broken_utf8(port: int, known: serve_load.Request) -> str:
  return await _post(port, b'{"inputs": "\xff\xfe", "task": "' +
                     known.task.encode() + b'"}')


async def wrong_types(port: int, known: serve_load.Request) -> str:
  wrong = random.choice([
      {"inputs": 7, "task": known.task}, {"inputs": known.text, "task": [7]},
      {"inputs": {"text": None}, "task": known.task}, {"task": known.task},
      {"inputs": [], "task": {}}, [], 7, None,
      {"inputs": known.text, "task": known.task,
       "parameters": {"top_k": "many"}}])
  return await _post(port, json.dumps(wrong).encode())


async def unknown_task(port: int, known: serve_load.Request) -> str:
  return await _post(port, json.dumps(
      {"inputs": known.text, "task": "no such task"}).encode())


async def slow_writer(port: int, known: serve_load.Request) -> str:
  """Sends a request a few bytes at a time."""
  reader, writer = await asyncio.open_connection("127.0.0.1", port)
  data = known.bytes()
  try:
    for start in range(0, len(data), 16):
      writer.write(data[start:start + 16])
      await asyncio.sleep(0.1)
    return await _status(reader)
  except OSError:
    return "closed"
  finally:
    writer.transport.abort()


async def slow_reader(port: int, known: serve_load.Request) -> str:
  """Asks many times on one connection, and reads a byte at a time."""
  reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=64)
  try:
    writer.write(known.bytes() * 20)
    for _ in range(50):
      if not await reader.read(1):
        return "closed"
      await asyncio.sleep(0.05)
    return "gone"
  except OSError:
    return "closed"
  finally:
    writer.transport.abort()


async def _post(port: int, body: bytes) -> str:
  reader, writer = await asyncio.open_connection("127.0.0.1", port)
  try:
    writer.write(b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"
                 b"Content-Type: application/json\r\nConnection: close\r\n"
                 b"Content-Length: %d\r\n\r\n" % len(body) + body)
    return await _status(reader)
  finally:
    writer.transport.abort()


async def _status(reader: asyncio.StreamReader) -> str:
  try:
    line = await asyncio.wait_for(reader.readline(), 120)
  except TimeoutError:
    return "no answer"
  except OSError:
    return "closed"
  return line.split()[1].decode() if line else "closed"


FAULTS: dict[str, Callable[[int, serve_load.Request], Awaitable[str]]] = {
    function.__name__: function for function in (
        hang_up, large_body, broken_json, broken_utf8, wrong_types,
        unknown_task, slow_writer, slow_reader)}


async def _faults(name: str, port: int, known: list[serve_load.Request],
                  seen: Counter[str], end: float) -> None:
  while time.monotonic() < end:
    try:
      seen[f"{name}: {await FAULTS[name](port, random.choice(known))}"] += 1
    except OSError as error:
      seen[f"{name}: {type(error).__name__}"] += 1
    # Those that are expensive for this process are rare.
    await asyncio.sleep(random.expovariate(
        0.2 if name == "large_body" else 2))


async def _changes(server: Any, folder: pathlib.Path, token: str,
                   seen: Counter[str], end: float) -> None:
  """Adapter files come and go, in the folder and by the administrator."""
  like = folder / serve_load.names([0])[0]
  connection = serve_load.Connection(server.port)
  for number in itertools.count():
    if time.monotonic() >= end:
      return
    path = folder / f"changing_{number % 3}"
    damaged = number % 2 == 0
    await asyncio.to_thread(shutil.copytree, like, path, dirs_exist_ok=True)
    config = path / "adapter_config.json"
    said = json.loads(config.read_text())
    said.pop("config_sha256", None)
    config.write_text(json.dumps({**said, "task": path.name}))
    if damaged:
      tensors = path / "adapter.safetensors"
      tensors.write_bytes(tensors.read_bytes()[:-1000])
    for data in (
        serve_load.post("/v1/adapters", {
            "name": "by_hand", "path": str(like)}, token=token),
        serve_load.post("/predict", {
            "inputs": "a moving film", "task": "by_hand"}),
        serve_load.post("/predict", {
            "inputs": "a moving film", "task": path.name}),
        serve_load.post("/v1/adapters/by_hand", None, "DELETE", token)):
      try:
        status, _ = await connection.ask(data)
        seen[f"{data.split(b' HTTP')[0].decode()}"
             f"{' damaged' if damaged else ''}: {status}"] += 1
      except (OSError, asyncio.IncompleteReadError) as error:
        seen[f"administrator: {type(error).__name__}"] += 1
      await asyncio.sleep(0.3)
    await asyncio.to_thread(shutil.rmtree, path)


async def _samples(server: Any, tally: serve_load.Tally,
                   memory: list[tuple[float, float]], end: float) -> None:
  started = time.monotonic()
  while time.monotonic() < end:
    memory.append((time.monotonic() - started, server.resident_mb()))
    print(f"{memory[-1][0]:.0f} s {memory[-1][1]:.0f} MB "
          f"{sum(tally.codes.values())} requests {dict(tally.codes)} "
          f"{len(tally.wrong)} wrong", file=sys.stderr, flush=True)
    await asyncio.sleep(SAMPLE_SECONDS)


async def _end_under_load(
    server: Any, draw: Callable[[], serve_load.Request],
    tally: serve_load.Tally) -> None:
  """SIGTERM while every connection waits for an answer."""
  stop = time.monotonic() + 5

  async def one() -> None:
    connection = serve_load.Connection(server.port)
    while time.monotonic() < stop:
      request = draw()
      try:
        status, body = await connection.ask(request.bytes())
      except ConnectionRefusedError:
        tally.codes["refused"] += 1
        return
      except asyncio.IncompleteReadError as error:
        # Closed before the first byte: the connection was idle for the server.
        tally.codes["closed" if not error.partial else "half"] += 1
        return
      except OSError:
        tally.codes["closed"] += 1
        return
      tally.count(request, status, body, 0.0)
      if status == 503:
        return

  asking = [asyncio.create_task(one()) for _ in range(CONNECTIONS)]
  await asyncio.sleep(1)
  server.process.send_signal(signal.SIGTERM)
  await asyncio.gather(*asking)


async def _soak(server: Any, folder: pathlib.Path, expected: str,
                seconds: float, token: str) -> dict[str, Any]:
  known, problem = serve_load.checker(expected)
  tally, ending = serve_load.Tally(problem), serve_load.Tally(problem)
  seen: Counter[str] = Counter()
  changed: Counter[str] = Counter()
  memory: list[tuple[float, float]] = []
  end = time.monotonic() + seconds

  def draw() -> serve_load.Request:
    return random.choice(known)

  started = time.monotonic()
  await asyncio.gather(
      serve_load.closed_loop(server.port, iter(draw, None), tally,
                             CONNECTIONS, seconds),
      *(_faults(name, server.port, known, seen, end) for name in FAULTS),
      _changes(server, folder, token, changed, end),
      _samples(server, tally, memory, end))
  took = time.monotonic() - started
  await _end_under_load(server, draw, ending)
  unexpected = {
      key: count for key, count in seen.items()
      if key.split(": ")[1] not in ALLOWED[key.split(": ")[0]]}
  half = [mb for at, mb in memory if at >= memory[-1][0] / 2]
  return {
      "minutes": took / 60, **tally.summary(took),
      "requests": sum(tally.codes.values()),
      "faults": dict(sorted(seen.items())), "unexpected": unexpected,
      "changes": dict(sorted(changed.items())),
      "memory_mb": {"first": memory[0][1], "half": half[0],
                    "last": memory[-1][1], "most": max(
                        mb for _, mb in memory)},
      "sigterm": {**dict(ending.codes), "wrong": len(ending.wrong),
                  "ended_with": await asyncio.to_thread(
                      server.process.wait, 60)}}


def soak(server: Any, folder: str, expected: str, minutes: float,
         token: str) -> dict[str, Any]:
  """Runs the soak for so many minutes, and returns its counts.

  Args:
    server: a `serve.Server`, which is ended.
    folder: that it watches.
    expected: as for `serve_load.checker`.
    minutes: how long.
    token: the administrator's.
  """
  return asyncio.run(_soak(
      server, pathlib.Path(folder), expected, 60 * minutes, token))
