"""Drops log lines of TensorFlow's libraries that no user can act upon.

Its C++ libraries write to standard error as it is imported and first looks for
devices, some of it before their logging can be told to be quiet.
"""

import contextlib
import functools
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator

# Errors: warnings are many, and of little use.
LEVEL = "2"
PYTHON_WARNINGS = (
    r"pkg_resources is deprecated",
    r"Protobuf gencode version",
)

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


def is_notice(line: bytes) -> bool:
  """Returns whether a line of a library's says nothing to users."""
  if line.startswith(_FIRST) or _INFORMATION.match(line):
    return True
  other = _OTHERS.match(line)
  return other is not None and _NOTICES.match(other[1]) is not None


@contextlib.contextmanager
def quiet_import() -> Iterator[None]:
  """Drops notices of TensorFlow's, where the block imports it.

  What else is written to standard error meanwhile comes when the block ends.
  Does nothing where TensorFlow is there already, or TF_CPP_MIN_LOG_LEVEL asks
  for another level.
  """
  if "tensorflow" in sys.modules or os.environ.setdefault(
      "TF_CPP_MIN_LOG_LEVEL", LEVEL) != LEVEL:
    yield
    return
  with _without_notices(), warnings.catch_warnings():
    for message in PYTHON_WARNINGS:
      warnings.filterwarnings("ignore", message)
    yield
    if "tensorflow" in sys.modules:
      import tensorflow as tf
      tf.config.list_physical_devices()  # says which libraries it misses


@functools.cache  # it is said once in a process
def quiet_first_operation() -> None:
  """Lets TensorFlow say what its first operations say, and drops notices.

  For what computes anyway: devices cannot be configured behind it. Does nothing
  where TF_CPP_MIN_LOG_LEVEL asks for another level.
  """
  if os.environ.get("TF_CPP_MIN_LOG_LEVEL", LEVEL) != LEVEL:
    return
  import tensorflow as tf
  with _without_notices(), tf.init_scope(), tf.device("CPU:0"):
    tf.transpose(tf.constant([0], tf.int64))  # of which oneDNN has none
    tf.function(tf.abs, jit_compile=True)(tf.constant(1.0))


@contextlib.contextmanager
def _without_notices() -> Iterator[None]:
  """Drops notices that are written to standard error in the block.

  What else is written there comes when the block ends.
  """
  with tempfile.TemporaryFile() as written:
    try:
      stderr = os.dup(2)
    except OSError:  # it is closed
      yield
      return
    os.dup2(written.fileno(), 2)
    try:
      yield
    finally:
      os.dup2(stderr, 2)
      os.close(stderr)
      written.seek(0)
      with open(2, "wb", closefd=False) as file:
        file.writelines(line for line in written if not is_notice(line))
