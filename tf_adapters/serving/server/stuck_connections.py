"""Closes connections on which nothing comes to an end.

uvicorn closes one that was silent after an answer. It waits for ever where the
head of a request does not come, or where an answer is not taken. A thousand of
these would be all connections that a server has.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

_TIMES = 5  # looks at a connection, before it is closed


class StuckConnections:
  """Closes connections that have been stuck for too long.

  Stuck is one on which neither a request is answered nor uvicorn waits for the
  next one: its head does not come, or not whole. And one whose client does not
  take the answer.

  Args:
    connections: uvicorn's.
    seconds: how long a connection may be stuck.
    clock: seconds that never go back.
  """

  def __init__(self, connections: Callable[[], Iterable[Any]], seconds: float,
               clock: Callable[[], float] = time.monotonic):
    self._connections = connections
    self._seconds = seconds
    self._clock = clock
    # {a connection: its last request, and since when it is stuck}
    self._since: dict[Any, tuple[Any, float]] = {}

  async def run(self) -> None:
    """Looks again and again."""
    while True:
      await asyncio.sleep(self._seconds / _TIMES)
      self.look()

  def look(self) -> None:
    """Closes those that are stuck for too long."""
    now = self._clock()
    before, self._since = self._since, {}
    for connection in list(self._connections()):
      if not _is_stuck(connection):
        continue
      request, since = before.get(connection, (None, now))
      if request is not connection.cycle:
        since = now
      if now - since < self._seconds:
        self._since[connection] = connection.cycle, since
      else:
        connection.transport.abort()


def _is_stuck(connection: Any) -> bool:
  # Both of uvicorn's protocols for HTTP have these attributes.
  if connection.transport.get_write_buffer_size():
    return True
  return connection.timeout_keep_alive_task is None and (
      connection.cycle is None or connection.cycle.response_complete)
