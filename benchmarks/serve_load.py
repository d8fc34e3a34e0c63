"""Load for a server of tasks: connections that ask, and what came of it.

A process of its own with raw HTTP on asyncio, so that it takes little from the
server on the same machine. Only the standard library is needed.
"""

import asyncio
import collections
import dataclasses
import itertools
import json
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

WORDS = (
    "the a of and in to it is was for with on as by at from but not his her "
    "film story actor music plot scene good bad dull moving long short time "
    "people never always little great first last work life makes finds takes "
    "gives seems feels looks turns becomes remains")
# A score may differ in its last digits: other texts are computed beside it.
TOLERANCE = 1e-4
# A connection that was silent for longer is not used again: the server closes
# it after 75 seconds, and a request that comes at that moment would be lost.
IDLE_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class Request:
  """A text for a task.

  Attributes:
    task: its name.
    text: the text.
    data: what goes over the wire.
  """

  task: str
  text: str

  def bytes(self) -> bytes:
    """Returns the request as it goes over the wire."""
    return post("/predict", {"inputs": self.text, "task": self.task})


def post(path: str, body: Any, method: str = "POST",
         token: str | None = None) -> bytes:
  """An HTTP request with a JSON body."""
  content = json.dumps(body).encode()
  authorization = f"Authorization: Bearer {token}\r\n" if token else ""
  return (f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}"
          "Content-Type: application/json\r\n"
          f"Content-Length: {len(content)}\r\n\r\n").encode() + content


def texts(count: int, seed: int = 0) -> list[str]:
  """Made-up sentences of 4 to 40 words, half of them up to 14."""
  rng = random.Random(seed)
  return [" ".join(rng.choices(WORDS.split(), k=min(
      40, max(4, round(rng.lognormvariate(2.6, 0.5))))))
      for _ in range(count)]


def requests(tasks: Sequence[str], spread: str,
             pool: Sequence[str], seed: int) -> Iterator[Request]:
  """Requests without end.

  Args:
    tasks: names.
    spread: "uniform", or "zipf": task n is asked 1/n as often as the first.
    pool: texts to draw from.
    seed: of the draws.
  """
  rng = random.Random(seed)
  weights = list(itertools.accumulate(
      1 / number if spread == "zipf" else 1
      for number in range(1, len(tasks) + 1)))
  while True:
    for task in rng.choices(tasks, cum_weights=weights, k=1000):
      yield Request(task, rng.choice(pool))


class Connection:
  """One connection, kept open: a request at a time."""

  def __init__(self, port: int):
    self._port = port
    self._streams: tuple[asyncio.StreamReader,
                         asyncio.StreamWriter] | None = None
    self._used = 0.0

  async def ask(self, data: bytes) -> tuple[int, bytes]:
    """Status and body.

    Raises:
      OSError, asyncio.IncompleteReadError: the server has hung up.
    """
    if time.monotonic() - self._used > IDLE_SECONDS:
      self.close()
    if self._streams is None:
      self._streams = await asyncio.open_connection("127.0.0.1", self._port)
    reader, writer = self._streams
    try:
      writer.write(data)
      head = (await reader.readuntil(b"\r\n\r\n")).lower()
      length = int(head.partition(b"content-length:")[2].split(b"\r")[0])
      body = await reader.readexactly(length)
    except BaseException:
      self.close()
      raise
    self._used = time.monotonic()
    if b"connection: close" in head:
      self.close()
    return int(head.split(b" ", 2)[1]), body

  def close(self) -> None:
    if self._streams:
      self._streams[1].close()
    self._streams = None


class Tally:
  """Counts of a load: answers, errors and latencies of its requests.

  Args:
    expected: checks an answer: None where it is right, else what is wrong.
  """

  def __init__(self, expected: Callable[[Request, bytes], str | None]
               = lambda request, body: None):
    self._expected = expected
    self.seconds: list[float] = []
    self.codes: collections.Counter[str] = collections.Counter()
    self.wrong: list[str] = []

  def count(self, request: Request, status: int, body: bytes,
            seconds: float) -> None:
    """Takes an answer in."""
    self.codes[str(status)] += 1
    if status == 200:
      self.seconds.append(seconds)
      problem = self._expected(request, body)
      if problem:
        self.wrong.append(problem)

  def summary(self, seconds: float) -> dict[str, Any]:
    """Throughput, percentiles in milliseconds, answers by code."""
    times = sorted(self.seconds)
    return {
        "per_second": len(times) / seconds,
        **{f"p{part}_ms": 1000 * times[
            min(len(times) - 1, len(times) * part // 100)] if times else None
           for part in (50, 95, 99)},
        "codes": dict(self.codes),
        "wrong": len(self.wrong), "wrong_examples": self.wrong[:3]}


async def closed_loop(port: int, asked: Iterator[Request], tally: Tally,
                      connections: int, seconds: float) -> None:
  """Each connection asks again as soon as it has been answered."""
  end = time.perf_counter() + seconds

  async def one() -> None:
    connection = Connection(port)
    while time.perf_counter() < end:
      await _timed(connection, next(asked), tally, time.perf_counter())
    connection.close()

  await asyncio.gather(*(one() for _ in range(connections)))


async def open_loop(port: int, asked: Iterator[Request], tally: Tally,
                    rate: float, seconds: float, seed: int = 0,
                    most: int = sys.maxsize) -> None:
  """Requests at random moments, whether or not others were answered.

  A request's time is counted from the moment at which it was due. Where `most`
  are waited for, the next one is due when one of them is answered.
  """
  rng = random.Random(seed)
  free: list[Connection] = []
  running: set[asyncio.Task[None]] = set()

  async def one(due: float) -> None:
    connection = free.pop() if free else Connection(port)
    await _timed(connection, next(asked), tally, due)
    free.append(connection)

  due = started = time.perf_counter()
  while due < started + seconds:
    await asyncio.sleep(max(0.0, due - time.perf_counter()))
    if len(running) >= most:
      await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
      due = time.perf_counter()
    task = asyncio.create_task(one(due))
    running.add(task)
    task.add_done_callback(running.discard)
    due += rng.expovariate(rate)
  await asyncio.gather(*running)
  for connection in free:
    connection.close()


async def _timed(connection: Connection, request: Request, tally: Tally,
                 since: float) -> None:
  try:
    status, body = await connection.ask(request.bytes())
  except (OSError, asyncio.IncompleteReadError) as error:
    tally.codes[type(error).__name__] += 1
    await asyncio.sleep(0.01)
    return
  tally.count(request, status, body, time.perf_counter() - since)


def checker(path: str) -> tuple[
    list[Request], Callable[[Request, bytes], str | None]]:
  """Requests whose answers are known, and what compares them.

  Args:
    path: a file of JSON: [[task, text, label, score], ...].
  """
  with open(path) as file:
    rows = json.load(file)
  known = {(task, text): (label, score) for task, text, label, score in rows}

  def problem(request: Request, body: bytes) -> str | None:
    label, score = known[request.task, request.text]
    best = max(json.loads(body), key=lambda row: row["score"])
    if abs(best["score"] - score) < TOLERANCE and (
        best["label"] == label or abs(score - 0.5) < TOLERANCE):
      return None
    return (f"{request.task}: {best['label']} {best['score']:.6f}, not "
            f"{label} {score:.6f}: {request.text[:40]}")

  return [Request(task, text) for task, text, _, _ in rows], problem


def load(port: int, tasks: int, spread: str, seconds: float,
         seed: int, connections: int = 64, rate: float | None = None,
         expected: str | None = None) -> dict[str, Any]:
  """A worker of `common.ask`: load on a server for a while.

  Args:
    port: the server's.
    tasks: how many; not looked at with `expected`.
    spread: as for `requests`.
    seconds: how long.
    seed: of texts, tasks and moments.
    connections: of the closed loop.
    rate: requests a second of the open loop; None for the closed one.
    expected: as for `checker`; None where answers are not compared.
  """
  if expected is None:
    asked, tally = requests(
        names(range(tasks)), spread, texts(500), seed), Tally()
  else:
    known, problem = checker(expected)
    rng = random.Random(seed)
    asked, tally = iter(lambda: rng.choice(known), None), Tally(problem)
  started = time.perf_counter()
  asyncio.run(
      closed_loop(port, asked, tally, connections, seconds) if rate is None
      else open_loop(port, asked, tally, rate, seconds, seed))
  return tally.summary(time.perf_counter() - started)


def names(tasks: Iterable[int]) -> list[str]:
  """Names of made-up tasks."""
  return [f"task_{number:05}" for number in tasks]
