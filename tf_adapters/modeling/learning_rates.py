"""Default learning rates.

What is right depends on what trains, and on the encoder's size. docs/results.md
has the runs that these are taken from; methods say theirs themselves.
"""

from typing import TYPE_CHECKING

from tf_adapters.modeling.tuning import Tuning

if TYPE_CHECKING:
  from tf_adapters.modeling.task_model import TaskModel

# Tuning -> of encoders as wide as BERT-base, and of smaller ones. "adapters" is
# not among them: each method says its own.
LEARNING_RATES = {
    "full": (3e-5, 1e-4),
    "top_layers": (5e-5, 3e-4),
    "layer_norm": (1e-3, 3e-3),
    "bias": (1e-3, 3e-3),
    "head": (1e-3, 3e-3),
    "network": (3e-3, 3e-3),
}
_WIDE = 768


def default_learning_rate(model: "TaskModel") -> float:
  """Returns the highest learning rate to begin with, for `create_optimizer`.

  Args:
    model: tuned as it will be trained.

  Example:
    >>> default_learning_rate(TextClassifier(load_encoder(
    ...     "minilm_l6", AdapterConfig(size=64)), ["no", "yes"]))
    0.001
  """
  encoder = model.encoder
  tuning = Tuning.parse(encoder.tuning).method
  if tuning == "adapters" and encoder.method is not None:
    wide, small = encoder.method.learning_rates
  else:
    wide, small = LEARNING_RATES[tuning]
  return wide if encoder.hidden_size >= _WIDE else small
