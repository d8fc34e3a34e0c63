"""Clients that do what they should not, for serve_soak.py.

Each fault is a coroutine that asks a server and returns what came of it: a
status, "closed" where the server has hung up, "gone" where the client has.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable

import serve_load

LARGE = 100_000_000  # bytes
SILENT_SECONDS = 120
# Fault -> the statuses that it may have.
ALLOWED = {
    "hang_up": {"gone"},
    "large_body": {"413", "closed"},
    "broken_json": {"400", "422"},
    "broken_utf8": {"400", "422"},
    "wrong_types": {"422"},
    "unknown_task": {"404"},
    "wrong_token": {"401"},
    "slow_writer": {"200", "408", "closed"},
    "slow_reader": {"200", "gone"},
    "half_a_head": {"closed"},
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


async def half_a_head(port: int, known: serve_load.Request) -> str:
  """Begins a request, and waits until the server has enough of it."""
  reader, writer = await asyncio.open_connection("127.0.0.1", port)
  try:
    writer.write(known.bytes()[:random.choice([0, 20])])
    return "closed" if not await asyncio.wait_for(
        reader.read(), SILENT_SECONDS) else "answered"
  except TimeoutError:
    return "open"
  except OSError:
    return "closed"
  finally:
    writer.transport.abort()


async def wrong_token(port: int, known: serve_load.Request) -> str:
  return await _send(port, serve_load.post(
      "/v1/adapters/" + known.task, None, "DELETE", token="a guess"))


async def _post(port: int, body: bytes) -> str:
  return await _send(
      port, b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"
      b"Content-Type: application/json\r\nConnection: close\r\n"
      b"Content-Length: %d\r\n\r\n" % len(body) + body)


async def _send(port: int, data: bytes) -> str:
  reader, writer = await asyncio.open_connection("127.0.0.1", port)
  try:
    writer.write(data)
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
        unknown_task, wrong_token, slow_writer, slow_reader, half_a_head)}
