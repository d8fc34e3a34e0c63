"""Writes to the server's log, standard error, if it can be written.

The disk may be full, or nobody reads the pipe any more. The server goes on.
"""

import contextlib
import traceback

from tf_adapters.errors import say


def log(text: str, error: bool = True) -> None:
  """Writes a line.

  Args:
    text: the line.
    error: whether to standard error.
  """
  with contextlib.suppress(OSError):
    say(text, error)


def log_defect() -> None:
  """Writes the trace of the exception that is being handled."""
  log(traceback.format_exc().rstrip())
