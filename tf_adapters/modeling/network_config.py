"""The network above a text embedding: its configuration."""

import dataclasses

from tf_adapters.modeling.config import (
    JsonConfig,
    is_number,
    require,
)


@dataclasses.dataclass(frozen=True)
class NetworkConfig(JsonConfig):
  """The network above a text embedding: the paper's baseline without BERT.

  Hidden layers are dense with a relu. There is dropout in front of each but the
  first, and in front of the head.

  Attributes:
    hidden_layers: how many there are, 0 to 5 in the paper.
    hidden_units: width of each, 64, 128 or 256 in the paper.
    hidden_dropout: dropout rate, 0 to 0.5 in the paper.

  Raises:
    InputError: a value is out of range.
  """

  hidden_layers: int = 1
  hidden_units: int = 128
  hidden_dropout: float = 0.1

  def __post_init__(self):
    for name, least, most in (("hidden_layers", 0, 100),
                              ("hidden_units", 1, 1 << 16)):
      value = getattr(self, name)
      require(type(value) is int and least <= value <= most,
              f"{name} must be an integer from {least} to {most}, "
              f"not {value!r:.20}")
    require(is_number(self.hidden_dropout) and 0 <= self.hidden_dropout < 1,
            f"hidden_dropout must be in [0, 1), not {self.hidden_dropout!r}")
