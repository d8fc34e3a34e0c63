"""The network above a text embedding: its configuration."""

import dataclasses

from tf_adapters.modeling.config import (
    JsonConfig,
    check_options,
    option,
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

  hidden_layers: int = option(
      1, "--text_network: dense layers between embedding and head.",
      least=0, most=100)
  hidden_units: int = option(
      128, "--text_network: width of these layers.", least=1, most=1 << 16)
  hidden_dropout: float = option(
      0.1, "--text_network: dropout rate between these layers and in front "
      "of the head.", least=0, below=1)

  def __post_init__(self) -> None:
    check_options(self)
