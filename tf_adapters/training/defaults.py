"""The learning rate and the number of epochs of a run that does not say them.

What is right depends on what trains, on the encoder's size, and on how many
steps an epoch has: three epochs of a few hundred rows are over before anything
is learnt. docs/results.md has the runs that these are taken from, and the
paper's recipes, which flag files and presets have in full.
"""

import math
from typing import TYPE_CHECKING

from tf_adapters.modeling.tuning import Tuning

if TYPE_CHECKING:
  from tf_adapters.modeling.task_model import TaskModel

# Method -> of encoders as wide as BERT-base, and of smaller ones.
_LEARNING_RATES = {
    "adapters": (3e-4, 1e-3),
    "full": (3e-5, 1e-4),
    "top_layers": (5e-5, 3e-4),
    "layer_norm": (1e-3, 3e-3),
    "bias": (1e-3, 3e-3),
    "head": (1e-3, 3e-3),
    "network": (3e-3, 3e-3),
}
_WIDE = 768

_ENOUGH_STEPS = 300
FEWEST_EPOCHS, _MOST_EPOCHS = 3, 50


def default_learning_rate(model: "TaskModel") -> float:
  """The highest learning rate to begin with, for `create_optimizer`.

  Args:
    model: tuned as it will be trained.

  Example:
    >>> default_learning_rate(TextClassifier(load_encoder(
    ...     "minilm_l6", AdapterConfig(size=64)), ["no", "yes"]))
    0.001
  """
  wide, small = _LEARNING_RATES[Tuning.parse(model.encoder.tuning).method]
  return wide if model.encoder.hidden_size >= _WIDE else small


def default_epochs(steps_per_epoch: int) -> int:
  """Passes over the training data: 3, or as many as make 300 steps, up to 50.

  Args:
    steps_per_epoch: batches of one pass.

  Example:
    >>> [default_epochs(steps) for steps in (1000, 43, 9, 1)]
    [3, 7, 34, 50]
  """
  return min(max(FEWEST_EPOCHS, math.ceil(_ENOUGH_STEPS / steps_per_epoch)),
             _MOST_EPOCHS)


def enough_epochs(epochs: int) -> int:
  """Epochs without a better one after which a training may end: a third of all.

  Three at least. While the learning rate still rises nothing may get better for
  a while.

  Example:
    >>> [enough_epochs(epochs) for epochs in (3, 12, 50)]
    [3, 4, 16]
  """
  return max(3, epochs // 3)
