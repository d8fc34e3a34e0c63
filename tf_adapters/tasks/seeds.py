"""Seeds that leave the caller's random numbers as they were."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import tf_keras
from tensorflow.python.eager import context
from tf_keras.src import backend

from tf_adapters.training.training_config import TrainingConfig


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
  """Lets weights that are made inside follow from the seed alone.

  The generators of Python, numpy, TensorFlow and Keras go on afterwards where
  they were. But operations of TensorFlow with a seed of their own begin again,
  as behind each `tf.random.set_seed`.

  Raises:
    InputError: the seed is none.
  """
  seed = TrainingConfig(seed=seed).seed
  of_python, of_numpy = random.getstate(), np.random.get_state()
  # TensorFlow and Keras have nothing that is public for it.
  tensorflow, keras = context.context(), vars(backend._SEED_GENERATOR)
  # A process in which nobody has seeded TensorFlow has no generator.
  of_tensorflow = tensorflow._seed, getattr(tensorflow, "_rng", None)
  of_keras = dict(keras)
  try:
    tf_keras.utils.set_random_seed(seed)
    yield
  finally:
    random.setstate(of_python)
    np.random.set_state(of_numpy)
    tensorflow._seed, tensorflow._rng = of_tensorflow
    keras.clear()
    keras.update(of_keras)
