"""Hides known log lines of libraries from users, and nothing else.

TensorFlow's C++ libraries write to standard error what no user can do anything
about, some of it before their logging can be told to be quiet. So all that they
write passes through a process of its own, which drops the lines that are known
and passes on all others at once: the last words of a process that crashes, too.
Who sets TF_CPP_MIN_LOG_LEVEL to another level than ours gets all lines of it.
"""

import atexit
import logging
import os
import select
import signal
import sys
import time
import warnings

from tf_adapters.notices import LEVEL, PYTHON_WARNINGS, is_notice

_SECONDS_OF_HALF_A_LINE = 0.1
_SECONDS_TO_END = 2


def hide_notices() -> None:
  """Drops notices from here on, until the process ends.

  To be called before TensorFlow is imported, as long as there is one thread.
  """
  level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", LEVEL)
  if level != LEVEL or sys.stderr is None:
    return
  logging.getLogger("tensorflow").setLevel(logging.ERROR)
  for message in PYTHON_WARNINGS:
    warnings.filterwarnings("ignore", message)
  stderr = os.dup(sys.stderr.fileno())
  read, write = os.pipe()
  sys.stderr.flush()
  child = os.fork()
  if child == 0:
    os.close(write)
    _pass_on(read, stderr)
  os.close(read)
  os.dup2(write, sys.stderr.fileno())
  os.close(write)
  # What Python writes goes past the filter: to a terminal, if it is one.
  sys.stderr = os.fdopen(stderr, "w", buffering=1,
                         encoding=sys.stderr.encoding, errors=sys.stderr.errors)
  atexit.register(_end, child)


def _end(child: int) -> None:
  """Waits until all is written, as far as nobody else holds the pipe open."""
  os.dup2(sys.stderr.fileno(), 2)
  until = time.monotonic() + _SECONDS_TO_END
  while time.monotonic() < until and os.waitpid(child, os.WNOHANG) == (0, 0):
    time.sleep(0.01)


def _pass_on(read: int, write: int) -> None:
  """Filters lines in a process of its own, until nobody can write any more."""
  # It ends behind the others, whoever ends them.
  for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
  nothing = os.open(os.devnull, os.O_RDWR)
  for descriptor in (0, 1, 2):
    os.dup2(nothing, descriptor)
  try:
    _filter(read, write)
  finally:
    os._exit(0)


def _filter(read: int, write: int) -> None:
  rest = b""
  while True:
    ready, _, _ = select.select(
        [read], [], [], _SECONDS_OF_HALF_A_LINE if rest else None)
    content = os.read(read, 1 << 16) if ready else b""
    *lines, rest = (rest + content).split(b"\n")
    shown = b"".join(line + b"\n" for line in lines if not is_notice(line))
    if not content and not is_notice(rest):
      shown, rest = shown + rest, b""
    while shown:
      shown = shown[os.write(write, shown):]
    if ready and not content:
      return
