"""Processes that were forked from one in which TensorFlow had started.

Its threads are not in them, so what it is to compute would wait for ever.
"""

import os

from tensorflow.python.eager import context

from tf_adapters.errors import InputError

_forked = False


def _note_fork() -> None:
  global _forked
  # TensorFlow has no public word for whether it has begun to compute.
  _forked = _forked or bool(
      getattr(getattr(context, "_context", None), "_initialized", False))


os.register_at_fork(after_in_child=_note_fork)


def check_process() -> None:
  """Refuses to compute where TensorFlow would wait for ever.

  Raises:
    InputError: this process was forked from one in which TensorFlow had
      started.
  """
  if _forked:
    raise InputError(
        "this process was forked from one in which TensorFlow had started, and "
        "would wait for ever: start it with "
        'multiprocessing.get_context("spawn"), or use threads')
