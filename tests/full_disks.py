"""A disk that is full, for this process alone."""

import contextlib
import resource


@contextlib.contextmanager
def largest_file(size):
  """No file can become larger; Python does not hear SIGXFSZ."""
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
