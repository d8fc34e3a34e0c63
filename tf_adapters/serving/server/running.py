"""A server as a process: its socket, its signals, its end."""

import asyncio
import signal
import socket
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from tf_adapters.errors import InputError
from tf_adapters.serving.server.core import ModelServer
from tf_adapters.serving.server.folder_watch import FolderWatch
from tf_adapters.serving.server.log import log
from tf_adapters.serving.server.stuck_connections import StuckConnections

# More are answered with status 503 at once. Each may hold a body.
_MOST_CONNECTIONS = 1000
# Longer than the minute after which most proxies close a connection: one that
# a proxy takes again must not be closed at that moment.
_SECONDS_OF_SILENCE = 75
_SECONDS_BETWEEN_LOOKS = 2.0


def listen(host: str, port: int) -> socket.socket:
  """Opens a socket that nobody else has; connections are taken later.

  Args:
    host: name or address.
    port: 0 for any.

  Raises:
    InputError: the port is taken, or the host is not this machine's.
  """
  try:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    found = socket.socket(family, kind, protocol)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(address)
    # A port that is bound is not taken before someone listens.
    found.listen(2048)
  except (OSError, UnicodeError) as error:
    reason = getattr(error, "strerror", None) or error
    raise InputError(f"--host={host} --port={port}: {reason}: choose another "
                     "port or host") from None
  return found


def address_of(found: socket.socket) -> str:
  """Returns the URL of a socket."""
  host, port, *_ = found.getsockname()
  return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Process(uvicorn.Server):
  """Refuses new requests as soon as a signal comes.

  Args:
    config: uvicorn's.
    server: what answers.
  """

  def __init__(self, config: uvicorn.Config, server: ModelServer):
    super().__init__(config)
    self._server = server

  def handle_exit(self, sig: int, frame: FrameType | None) -> None:
    self._server.is_draining = True
    super().handle_exit(sig, frame)

  async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
    # Not where the signal comes, which may be amid another line.
    log("draining: what was accepted is answered")
    await super().shutdown(sockets)


def run(application: ASGIApp, server: ModelServer, found: socket.socket,
        drain_seconds: int, watch: FolderWatch | None = None) -> None:
  """Answers requests until SIGTERM or Ctrl-C, and what was accepted by then.

  Args:
    application: the server's.
    server: the server.
    found: from `listen`.
    drain_seconds: how long what was accepted may take.
    watch: keeps its tasks as a folder has them; None for none.

  Raises:
    KeyboardInterrupt: after Ctrl-C.
  """
  process = _Process(uvicorn.Config(
      # Strangers could fill the disk with warnings of their requests.
      application, lifespan="off", access_log=False, log_level="error",
      server_header=False, ws="none", limit_concurrency=_MOST_CONNECTIONS,
      timeout_keep_alive=_SECONDS_OF_SILENCE,
      timeout_graceful_shutdown=drain_seconds), server)
  stuck = StuckConnections(
      lambda: process.server_state.connections, _SECONDS_OF_SILENCE)

  async def serve() -> None:
    beside = [asyncio.create_task(stuck.run())]
    if watch is not None:
      beside.append(asyncio.create_task(watch.run(_SECONDS_BETWEEN_LOOKS)))
    await process.serve([found])
    for task in beside:
      task.cancel()

  # uvicorn raises a signal again when all is answered; SIGTERM would then end
  # the process as if it had been killed.
  before = signal.signal(signal.SIGTERM, lambda number, frame: None)
  try:
    asyncio.run(serve())
  finally:
    signal.signal(signal.SIGTERM, before)
    server.close()
