"""Keeps what libraries say of themselves from users, and nothing else.

TensorFlow's C++ libraries write to standard error what no user can do anything
about, some of it before their logging can be told to be quiet. So all that they
write passes through a process of its own, which drops the lines that are known
and passes on all others at once: the last words of a process that crashes, too.
Who sets TF_CPP_MIN_LOG_LEVEL to another level than ours gets all lines of it.
"""

import atexit
import logging
import os
import re
import select
import signal
import sys
import time
import warnings

# Errors: warnings are many, and of little use. Processes of trials inherit it.
_LEVEL = "2"

# What logging begins a line with: severity, time and place.
_PREFIX = rb"(?:\d{4}-\d\d-\d\d [\d:.]+: %s |%s\d{4} [\d:.]+ +\d+ )\S+\] "
_INFORMATION = re.compile(_PREFIX % (b"I", b"I"))
_OTHERS = re.compile(_PREFIX % (b"[WE]", b"[WE]") + b"(.*)", re.DOTALL)
# What is no information by its severity, and says no more.
_NOTICES = re.compile(b"|".join([
    rb"failed call to cuInit",  # a machine without a GPU
    rb"Could not find cuda drivers",
    rb"TF-TRT Warning: Could not find TensorRT",
    rb"Unable to register cu\w+ factory",
    rb"computation placer already registered",
    rb"oneDNN supports DT_\w+ only on platforms",
    rb".*PredictCost\(\)",
    rb".*OUT_OF_RANGE: End of sequence",
    rb"Ignored (output_format|drop_control_dependency)\.",
]))
_FIRST = b"WARNING: All log messages before absl::InitializeLog() is called"

_PYTHON_WARNINGS = (
    r"pkg_resources is deprecated",
    r"Protobuf gencode version",
)

_SECONDS_OF_HALF_A_LINE = 0.1
_SECONDS_TO_END = 2


def hide_notices() -> None:
  """Drops notices from here on, until the process ends.

  To be called before TensorFlow is imported, as long as there is one thread.
  """
  level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", _LEVEL)
  if level != _LEVEL or sys.stderr is None:
    return
  logging.getLogger("tensorflow").setLevel(logging.ERROR)
  for message in _PYTHON_WARNINGS:
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


def is_notice(line: bytes) -> bool:
  """Whether a line of a library's says nothing to users."""
  if line.startswith(_FIRST) or _INFORMATION.match(line):
    return True
  other = _OTHERS.match(line)
  return other is not None and _NOTICES.match(other[1]) is not None


def _end(child: int) -> None:
  """Waits until all is written, as far as nobody else holds the pipe open."""
  os.dup2(sys.stderr.fileno(), 2)
  until = time.monotonic() + _SECONDS_TO_END
  while time.monotonic() < until and os.waitpid(child, os.WNOHANG) == (0, 0):
    time.sleep(0.01)


def _pass_on(read: int, write: int) -> None:
  """What the process of the filter does, until nobody can write any more."""
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
