"""Seeds that leave the caller's random numbers as they were."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import tf_keras


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
  """Lets weights that are made inside follow from the seed alone.

  Python's and numpy's generators go on afterwards where they were.
  """
  of_python, of_numpy = random.getstate(), np.random.get_state()
  try:
    tf_keras.utils.set_random_seed(seed)
    yield
  finally:
    random.setstate(of_python)
    np.random.set_state(of_numpy)
