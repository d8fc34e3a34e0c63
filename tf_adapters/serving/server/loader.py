"""Has tasks of a bank's store loaded before their texts are queued.

So texts of tasks that are in memory never wait for a disk.
"""

import asyncio
import concurrent.futures
import contextlib
from collections.abc import AsyncIterator, Iterable

from tf_adapters.serving.bank_texts import BASE
from tf_adapters.serving.server.bank_protocol import Bank

_THREADS = 4


class Loader:
  """Loads tasks in threads of its own.

  Args:
    bank: the tasks.
  """

  def __init__(self, bank: Bank):
    self._bank = bank
    self._threads = concurrent.futures.ThreadPoolExecutor(_THREADS, "load")

  @contextlib.asynccontextmanager
  async def holding(self, names: Iterable[str]) -> AsyncIterator[None]:
    """Has tasks in memory, and keeps them there in its block.

    Raises:
      InputError: one cannot be loaded.
    """
    names = [name for name in names if name != BASE]
    if self._bank.residency is None or not names:  # all of them are, always
      yield
      return
    context = self._bank.loaded(names)
    if self._bank.residency.has(names):
      # At once, and not behind those that wait for a disk or for room. If one
      # is evicted at this very moment, all wait for this load.
      with context:
        yield
      return
    entering = asyncio.get_running_loop().run_in_executor(
        self._threads, context.__enter__)
    try:
      await asyncio.shield(entering)
    except asyncio.CancelledError:
      # It goes on in its thread, and has to be let go then.
      entering.add_done_callback(
          lambda done: done.exception() or context.__exit__(None, None, None))
      raise
    try:
      yield
    finally:
      context.__exit__(None, None, None)

  def close(self) -> None:
    """Ends the threads."""
    self._threads.shutdown(wait=False)
