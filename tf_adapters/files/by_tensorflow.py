"""Turns TensorFlow's errors about files into those of Python."""

import contextlib
import os
import re
from collections.abc import Iterator

import tensorflow as tf

from tf_adapters.errors import InputError, check_name, first_line

# "{{node ...}} PATH; REASON [Op:SaveV2]", of which the reason is what counts:
# the path is a temporary one, and as long as it likes.
_AROUND = re.compile(r"^\{\{.*?\}\} | \[Op:\w+\]$")


@contextlib.contextmanager
def writing_by_tensorflow(what: str | os.PathLike[str],
                          remedy: str = "") -> Iterator[None]:
  """As `files.writing`, where it is TensorFlow that writes.

  Args:
    what: is written.
    remedy: what to do, in the words that follow the reason.

  Raises:
    InputError: the block ended with an error of the file system.
  """
  check_name(what)
  try:
    yield
  except (tf.errors.OpError, OSError) as error:
    reason = getattr(error, "strerror", None) or _AROUND.sub(
        "", first_line(error)).rsplit("; ", 1)[-1]
    raise InputError(f"{what}: cannot be written: {reason}{remedy}") from None
