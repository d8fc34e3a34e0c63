"""Has tasks of a bank's store loaded before their texts are queued.

So texts of tasks that are in memory do not wait for a disk, unless there is no
room for what others have asked for before. Tasks that are asked for while
others are loaded are then loaded together.
"""

import asyncio
import collections
import concurrent.futures
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from tf_adapters.errors import InputError
from tf_adapters.serving.bank_texts import BASE
from tf_adapters.serving.server.bank_protocol import Bank, Residency

# Loads at the same time: files of one are read while another is written.
_MOST_RUNNING = 2
# Tasks of a load; a single request may have more.
_LOADED_TOGETHER = 16

# How long a request whose tasks are in memory lets another one have its turn
# before it waits for its own, behind loads; and between two looks.
_SECONDS_FOR_ANOTHER, _SECONDS_BETWEEN = 0.25, 0.025

# Tasks that are in memory until it ends; and why others are not.
_Held = tuple[contextlib.ExitStack, Mapping[str, InputError]]
# Those that a request waits for.
_Waiting = tuple[Sequence[str], "asyncio.Future[None]"]


class Loader:
  """Loads tasks in threads of its own.

  Args:
    bank: the tasks.

  Attributes:
    hits, misses: how many tasks of requests were in memory, and how many were
      not.
  """

  def __init__(self, bank: Bank):
    self._residency = bank.residency
    self._waiting: collections.deque[_Waiting] = collections.deque()
    self._running = 0
    self._is_closed = False
    self._threads = concurrent.futures.ThreadPoolExecutor(
        _MOST_RUNNING, "load")
    self.hits = 0
    self.misses = 0

  @contextlib.asynccontextmanager
  async def holding(self, names: Iterable[str]) -> AsyncIterator[None]:
    """Has tasks in memory, and keeps them there in its block.

    Raises:
      InputError: one cannot be loaded.
    """
    names = [name for name in names if name != BASE]
    residency = self._residency
    if residency is None or not names:  # all of them are, always
      yield
      return
    missing = sum(not residency.has([name]) for name in names)
    self.misses += missing
    self.hits += len(names) - missing
    had_turn = False
    patience = time.monotonic() + _SECONDS_FOR_ANOTHER
    while True:
      # The event loop must not wait for others that need its tasks.
      with residency.using_resident(names, had_turn) as are_resident:
        if are_resident:
          yield
          return
      if time.monotonic() < patience and residency.has(names):
        # It may be another one's turn, for whom others make room.
        await asyncio.sleep(_SECONDS_BETWEEN)
        continue
      done = asyncio.get_running_loop().create_future()
      self._waiting.append((names, done))
      self._go_on(residency)
      await done
      had_turn = True

  def close(self) -> None:
    """Ends the threads, which need not wait for room any more."""
    self._is_closed = True
    if self._residency is not None:
      self._residency.wake()
    self._threads.shutdown(wait=False)

  def _go_on(self, residency: Residency) -> None:
    """Begins to load what is waited for."""
    loop = asyncio.get_running_loop()
    while self._running < _MOST_RUNNING:
      requests: list[_Waiting] = []
      together: dict[str, None] = {}
      while self._waiting:
        names, done = self._waiting[0]
        more = together | dict.fromkeys(names)
        if requests and len(more) > min(_LOADED_TOGETHER, residency.room):
          break
        self._waiting.popleft()
        if not done.done():  # else the client has hung up
          requests.append((names, done))
          together = more
      if not requests:
        return
      self._running += 1
      loop.run_in_executor(
          self._threads, self._hold, residency, list(together), requests,
      ).add_done_callback(functools.partial(self._done, residency, requests))

  def _hold(self, residency: Residency, names: Sequence[str],
            requests: Sequence[_Waiting]) -> _Held:
    """Has tasks in memory for requests, as long as one of them waits."""
    with contextlib.ExitStack() as stack:
      wrong = stack.enter_context(residency.using(
          names, lambda: not self._is_closed and not all(
              done.done() for _, done in requests)))
      return stack.pop_all(), wrong

  def _done(self, residency: Residency, requests: Sequence[_Waiting],
            future: "asyncio.Future[_Held]") -> None:
    self._running -= 1
    error = future.exception()
    held, wrong = (None, {}) if error else future.result()
    for names, done in requests:
      if done.done():
        continue
      reasons = [wrong[name] for name in names if name in wrong]
      if error or reasons:
        done.set_exception(error or reasons[0])
      else:
        done.set_result(None)
    if held is not None:
      # Behind those that were woken, which hold them from then on.
      asyncio.get_running_loop().call_soon(held.close)
    self._go_on(residency)
