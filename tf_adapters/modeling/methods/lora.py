"""LoRA (Hu et al. 2022): `W x + b + s B A x`, with A and B of a low rank.

The encoder's products W x + b are frozen. B begins as zeros, so a fresh model
is exactly the encoder. Parameters at each target: r (inputs + outputs).
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar

from tf_adapters.modeling.config import MOST_LAYERS, option, parse_layers
from tf_adapters.modeling.methods.bottleneck import padded_size
from tf_adapters.modeling.methods.method import (
    PROJECTION,
    PROJECTIONS,
    Dense,
    Drop,
    Layers,
    Method,
    Part,
    Values,
    Weights,
)


@dataclasses.dataclass(frozen=True)
class LoraConfig(Method):
  """The low-rank products of one task (Hu et al. 2022, section 4.1).

  The defaults are PEFT's for BERT. A begins as a Gaussian with a standard
  deviation of 1 / sqrt(3 inputs), truncated at two of them, where PEFT has a
  uniform distribution of that standard deviation; B begins as zeros.

  Attributes:
    rank: r, the rank of each product.
    alpha: the product is multiplied with s = alpha / rank.
    rslora: whether s is alpha / sqrt(rank) instead, which suits higher ranks
      (Kalajdzievski 2023).
    dropout: dropout rate of what A sees.
    targets: which projections of a layer get a product: some of
      `method.PROJECTIONS`.
    layers: numbers of the Transformer layers (from 0) that get products, or
      None for all of them.

  Raises:
    InputError: a value is out of range.

  Example:
    >>> encoder = load_encoder("bert_base_uncased", LoraConfig(rank=8))
    >>> TextClassifier(encoder, ["no", "yes"]).summary_of_tuning().rows["LoRA"]
    (294912, 0)
  """

  name: ClassVar[str] = "lora"
  suffix: ClassVar[str] = "lora"
  hook: ClassVar[str] = PROJECTION
  row: ClassVar[str] = "LoRA"

  rank: int = option(
      8, "Rank of LoRA's products.", least=1, most=1 << 16)
  alpha: float = option(
      8.0, "LoRA's products are multiplied with alpha / rank.", least=1e-6,
      most=1e6)
  rslora: bool = option(
      False, "Multiply LoRA's products with alpha / sqrt(rank) instead.")
  dropout: float = option(
      0.0, "Dropout rate of what LoRA's products see.", least=0, below=1)
  targets: tuple[str, ...] = option(
      ("query", "value"), "Projections that get LoRA's products.",
      choices=PROJECTIONS)
  layers: tuple[int, ...] | None = option(
      None, "Layers that get LoRA's products, counted from 0, such as 6-11 or "
      "0,5,8-11. (all)", least=0, most=MOST_LAYERS - 1, parse=parse_layers)

  @property
  def names(self) -> tuple[str, ...]:
    return self.targets

  @property
  def point(self) -> str:
    return str(self.rank)

  @property
  def scale(self) -> float:
    """The factor s of the products."""
    return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)

  def parts(self, inputs: int, outputs: int) -> dict[str, Part]:
    return {
        "a": Dense(inputs, self.rank, stddev=(3 * inputs) ** -0.5,
                   use_bias=False),
        "b": Dense(self.rank, outputs, stddev=0, use_bias=False),
        "dropout": Drop(self.dropout)}

  def at_projection(self, layers: Layers, projection: Callable[[Any], Any],
                    inputs: Any, training: bool | None) -> Any:
    narrow = layers["a"](layers["dropout"](inputs, training=training))
    return projection(inputs) + layers["b"](self.scale * narrow)

  def kind(self) -> "LoraConfig":
    # Of scale 1: each task's scale is in its rows.
    rank = padded_size(self.rank)
    return LoraConfig(rank=rank, alpha=rank)

  def as_kind(self, values: Values, weights: Weights | None) -> Values:
    return {**values, "b/kernel": self.scale * values["b/kernel"]}
