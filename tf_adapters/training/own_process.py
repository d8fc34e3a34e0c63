"""Calls of libraries that can take their whole process with them."""

import multiprocessing
import multiprocessing.connection
import signal
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class ProcessCrashed(Exception):
  """The process of a call ended before it returned: the message says how."""


def call_apart(function: Callable[..., T], *arguments: Any) -> T:
  """Calls a function in a new process, and returns what it returns.

  Args:
    function: of a module; its process imports that module anew.
    arguments: to it. They are pickled, and so is what it returns or raises.

  Raises:
    ProcessCrashed: the process ended first.
    Exception: what the function raises.

  Example:
    >>> call_apart(os.abort)
    ProcessCrashed: SIGABRT
  """
  context = multiprocessing.get_context("spawn")
  receiver, sender = context.Pipe(duplex=False)
  process = context.Process(
      target=_answer, args=(sender, function, arguments), daemon=True)
  process.start()
  sender.close()  # so that the end of the process ends the waiting
  try:
    returned, value = receiver.recv()
  except EOFError:
    process.join()
    code = process.exitcode or 0
    raise ProcessCrashed(
        signal.Signals(-code).name if code < 0 else f"status {code}") from None
  finally:
    process.kill()  # where this process was interrupted
    process.join()
    receiver.close()
  if returned:
    return value
  raise value


def _answer(sender: multiprocessing.connection.Connection,
            function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
  try:
    answer = True, function(*arguments)
  except Exception as error:  # of whatever type: it is raised again
    answer = False, error
  sender.send(answer)
