"""Gathers the rows of many requests, tokenises and computes them in batches.

Two threads work: one tokenises what has come since it last began, the other
computes. All else happens on the thread of the event loop.
"""

import asyncio
import collections
import concurrent.futures
import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tf_adapters.serving.server.bank_protocol import Result
from tf_adapters.serving.server.batch_choice import choose, is_full
from tf_adapters.serving.server.fair_queue import FairQueue
from tf_adapters.serving.server.limits import ServerConfig
from tf_adapters.serving.server.observer import BatchFigures, Observer

if TYPE_CHECKING:
  from tf_adapters.serving.bank_texts import Row
  from tf_adapters.serving.tokenized_rows import TokenizedRow

# Batches that a batch is chosen from.
_LOOKED_AT = 4
# One is computed. Where enough rows wait for another, it follows at once.
_MOST_RUNNING = 2
# Texts of a call of the tokenizer.
_TOKENIZED_AT_ONCE = 256


class Tokenizer:
  """Tokenises the rows of several requests in one call.

  Args:
    tokenize: as `AdapterBank.tokenize`.
    observers: who counts.
  """

  def __init__(self,
               tokenize: Callable[[list["Row"], bool], list["TokenizedRow"]],
               observers: Sequence[Observer] = ()):
    self._tokenize = tokenize
    self._observers = observers
    self._waiting: collections.deque[tuple[
        list[Row], bool, asyncio.Future[list[TokenizedRow]]]] = (
            collections.deque())
    self._busy = False
    self._thread = concurrent.futures.ThreadPoolExecutor(1, "tokenize")

  async def tokenize(self, rows: list["Row"],
                     cut: bool) -> list["TokenizedRow"]:
    """As `AdapterBank.tokenize`."""
    done = asyncio.get_running_loop().create_future()
    self._waiting.append((rows, cut, done))
    self._go_on()
    return await done

  def close(self) -> None:
    """Ends the thread."""
    self._thread.shutdown(wait=False)

  def _go_on(self) -> None:
    if self._busy:
      return
    requests: list[tuple[
        list[Row], asyncio.Future[list[TokenizedRow]]]] = []
    count, how = 0, False
    while self._waiting and (not requests or (
        self._waiting[0][1] == how
        and count + len(self._waiting[0][0]) <= _TOKENIZED_AT_ONCE)):
      rows, cut, done = self._waiting.popleft()
      if not done.done():
        requests.append((rows, done))
        count, how = count + len(rows), cut
    if requests:
      self._busy = True
      asyncio.get_running_loop().run_in_executor(
          self._thread, _timed, self._tokenize,
          [row for rows, _ in requests for row in rows], how,
      ).add_done_callback(functools.partial(self._done, requests))

  def _done(self, requests: list[tuple[
      list["Row"], "asyncio.Future[list[TokenizedRow]]"]],
            future: "asyncio.Future[tuple[list[TokenizedRow], float]]",
            ) -> None:
    self._busy = False
    error = future.exception()
    tokenized, seconds = ([], 0.0) if error else future.result()
    end = 0
    for rows, done in requests:
      start, end = end, end + len(rows)
      if done.done():  # the client hung up
        continue
      if error is not None:
        done.set_exception(error)
      else:
        done.set_result(tokenized[start:end])
    if error is None:
      for observer in self._observers:
        observer.tokenized(end, seconds)
    self._go_on()


@dataclasses.dataclass(eq=False, slots=True)
class _Request:
  """Rows that came together: a result for each, when all are there.

  Attributes:
    results: of the rows.
    left: how many are not there yet.
    done: the results, or what went wrong.
    computing: how many are in batches that have been started.
    idle: is set when there are none, where somebody waits for that.
  """

  results: list[Any]
  left: int
  done: "asyncio.Future[list[Result]]"
  computing: int = 0
  idle: "asyncio.Future[None] | None" = None


@dataclasses.dataclass(eq=False, slots=True)
class _Waiting:
  """A row of a request.

  Attributes:
    row: the row.
    request, place: whose it is, and which of its rows.
    arrived: when it began to wait.
    size: its longest sequence, and how many there are.
  """

  row: "TokenizedRow"
  request: _Request
  place: int
  arrived: float
  size: tuple[int, int]


class Batcher:
  """Computes the rows of many requests in batches.

  A batch begins when there are enough rows for one; or, while nothing is
  computed, when the first of them has waited for `max_wait_ms`.

  Args:
    compute: as `AdapterBank.predict_rows`.
    widths: that batches are padded to, in order.
    config: how large batches are, how long rows wait.
    observers: who counts.
  """

  def __init__(
      self, compute: Callable[[list["TokenizedRow"], int], list[Result]],
      widths: Sequence[int], config: ServerConfig,
      observers: Sequence[Observer] = ()):
    self._compute = compute
    self._widths = widths
    self._config = config
    self._observers = observers
    self._queue: FairQueue[_Waiting] = FairQueue()
    self._running = 0
    self._timer: asyncio.TimerHandle | None = None
    self._thread = concurrent.futures.ThreadPoolExecutor(1, "compute")

  @property
  def waiting(self) -> int:
    """Rows that are not computed yet."""
    return len(self._queue)

  async def predict(self, rows: Sequence["TokenizedRow"]) -> list[Result]:
    """Computes a result for each row.

    If it is cancelled it drops the rows that wait, and ends when those that are
    computed are so: they need their tasks until then.
    """
    request = _Request([None] * len(rows), len(rows),
                       asyncio.get_running_loop().create_future())
    now = time.monotonic()
    waiting = [
        _Waiting(row, request, place, now, (max(row.lengths), len(row.lengths)))
        for place, row in enumerate(rows)]
    for one in waiting:
      self._queue.put(one.row.row.name, one, sum(one.row.lengths))
    if not waiting:
      return []
    self._go_on()
    try:
      return await request.done
    finally:
      if request.left:  # it was cancelled, or one of its batches failed
        self._queue.drop(set(waiting))
        if request.computing:
          request.idle = asyncio.get_running_loop().create_future()
          await request.idle

  def close(self) -> None:
    """Ends the thread."""
    if self._timer is not None:
      self._timer.cancel()
    self._thread.shutdown(wait=False)

  def _go_on(self) -> None:
    """Starts the batches that are due."""
    if self._timer is not None:
      self._timer.cancel()
      self._timer = None
    config = self._config
    while self._queue and self._running < _MOST_RUNNING:
      first = self._queue.first(_LOOKED_AT * config.max_batch_rows)
      sizes = [one.size for one in first]
      if not is_full(sizes, config):
        if self._running:
          return
        due = min(one.arrived for one in first) + config.max_wait_ms / 1000
        left = due - time.monotonic()
        if left > 0:
          self._timer = asyncio.get_running_loop().call_later(
              left, self._go_on)
          return
      self._start([first[number]
                   for number in choose(sizes, self._widths, config)])

  def _start(self, batch: list[_Waiting]) -> None:
    self._queue.take(set(batch))
    self._running += 1
    for one in batch:
      one.request.computing += 1
    longest = max(one.size[0] for one in batch)
    width = next(width for width in self._widths if width >= longest)
    asyncio.get_running_loop().run_in_executor(
        self._thread, _timed, self._compute, [one.row for one in batch],
        max(1, self._config.max_batch_tokens // width),
    ).add_done_callback(functools.partial(
        self._done, batch, width, time.monotonic()))

  def _done(self, batch: list[_Waiting], width: int, started: float,
            future: "asyncio.Future[tuple[list[Result], float]]") -> None:
    self._running -= 1
    for request in (one.request for one in batch):
      request.computing -= 1
      if not request.computing and request.idle and not request.idle.done():
        request.idle.set_result(None)
    error = future.exception()
    if error is not None:
      for one in batch:
        if not one.request.done.done():
          one.request.done.set_exception(error)
    else:
      results, seconds = future.result()
      for one, result in zip(batch, results):
        request = one.request
        request.results[one.place] = result
        request.left -= 1
        if not request.left and not request.done.done():
          request.done.set_result(request.results)
      figures = BatchFigures(
          len(batch), width * sum(one.size[1] for one in batch),
          len({one.row.row.name for one in batch}),
          [started - one.arrived for one in batch], seconds)
      for observer in self._observers:
        observer.computed(figures)
    self._go_on()


def _timed(work: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
  """Does work, and returns its result and the seconds that it took."""
  start = time.monotonic()
  result = work(*arguments)
  return result, time.monotonic() - start
