"""The default number of epochs.

What is right depends on how many steps an epoch has: three epochs of a few
hundred rows are over before anything is learnt. docs/results.md has the runs
that this is taken from, and the paper's recipes, which flag files and presets
have in full.
"""

import math

_ENOUGH_STEPS = 300
FEWEST_EPOCHS, _MOST_EPOCHS = 3, 50


def default_epochs(steps_per_epoch: int) -> int:
  """Returns the epochs to train: 3, or as many as make 300 steps, up to 50.

  Args:
    steps_per_epoch: batches of one pass.

  Example:
    >>> [default_epochs(steps) for steps in (1000, 43, 9, 1)]
    [3, 7, 34, 50]
  """
  return min(max(FEWEST_EPOCHS, math.ceil(_ENOUGH_STEPS / steps_per_epoch)),
             _MOST_EPOCHS)


def enough_epochs(epochs: int) -> int:
  """Returns how many epochs without a better one are enough: a third of all.

  Three at least. While the learning rate still rises nothing may get better for
  a while.

  Example:
    >>> [enough_epochs(epochs) for epochs in (3, 12, 50)]
    [3, 4, 16]
  """
  return max(3, epochs // 3)
