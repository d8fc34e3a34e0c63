"""LoRA (Hu et al. 2022): `W x + b + s B A x`, with A and B of a low rank.

The encoder's products W x + b are frozen. B begins as zeros, so a fresh model
is exactly the encoder. Parameters at each target: r (inputs + outputs).

DoRA (Liu et al. 2024) trains the directions of W + s B A and its magnitudes m:
`m / |W + s B A| (W x + s B A x) + b`, with the norm of each output's weights.
Parameters at each target: outputs more.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tf_adapters.errors import InputError
from tf_adapters.modeling.config import MOST_LAYERS, option, parse_layers
from tf_adapters.modeling.methods.bottleneck import padded_size
from tf_adapters.modeling.methods.method import BaseProjection, Method, Weights
from tf_adapters.modeling.methods.parts import (
    Array,
    Dense,
    Drop,
    Layers,
    Part,
    Values,
)
from tf_adapters.modeling.methods.places import PROJECTION, PROJECTIONS

if TYPE_CHECKING:
  from tf_adapters.modeling.encoders.family import EncoderConfig


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
    dora: whether to compute DoRA, as PEFT defines it: no gradient goes through
      the norm, and the magnitudes begin as the norm of W. In training it takes
      a product more, s B A; in a bank and merged nothing but LoRA's.
    targets: which projections of a layer get a product: some of
      `places.PROJECTIONS`.
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
      8.0, "Multiply LoRA's products with alpha / rank.", least=1e-6,
      most=1e6)
  rslora: bool = option(
      False, "Multiply LoRA's products with alpha / sqrt(rank) instead.")
  dropout: float = option(
      0.0, "Dropout rate of the input of LoRA's products.", least=0, below=1)
  dora: bool = option(
      False, "Train directions and magnitudes of the targets: DoRA.")
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
  def curve(self) -> str:
    return "DoRA" if self.dora else self.row

  @property
  def point(self) -> str:
    return str(self.rank)

  @property
  def learning_rates(self) -> tuple[float, float]:
    return 5e-4, 2e-3

  @property
  def scale(self) -> float:
    """The factor s of the products."""
    return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)

  def parts(self, inputs: int, outputs: int) -> dict[str, Part]:
    parts: dict[str, Part] = {
        "a": Dense(inputs, self.rank, stddev=(3 * inputs) ** -0.5,
                   use_bias=False),
        "b": Dense(self.rank, outputs, stddev=0, use_bias=False),
        "dropout": Drop(self.dropout)}
    if self.dora:
      parts["magnitude"] = Array((outputs,))
    return parts

  def first_values(self, weights: Weights) -> Values:
    if not self.dora:
      return {}
    return {"magnitude/value": np.linalg.norm(weights.kernel, axis=0)}

  def at_projection(self, layers: Layers, projection: BaseProjection,
                    inputs: Any, training: bool | None) -> Any:
    narrow = layers["a"](layers["dropout"](inputs, training=training))
    outputs = projection(inputs) + layers["b"](self.scale * narrow)
    if not self.dora:
      return outputs
    import tensorflow as tf
    kernel, bias = projection.kernel_and_bias()
    a: Any = layers["a"]  # of one task's model: Keras layers
    b: Any = layers["b"]
    norm = tf.stop_gradient(tf.norm(
        tf.cast(kernel, tf.float32)
        + self.scale * tf.cast(tf.matmul(a.matrix(), b.matrix()), tf.float32),
        axis=0))
    gain = tf.cast(
        tf.cast(layers["magnitude"](), tf.float32) / norm, outputs.dtype)
    return gain * outputs + (1 - gain) * bias

  def fold(self, values: Values, weights: Weights) -> Weights:
    kernel = self._sum(values, weights)
    if self.dora:
      kernel = self._gain(values, kernel) * kernel
    return Weights(kernel, weights.bias)

  def _sum(self, values: Values, weights: Weights) -> Any:
    """Computes W + s B A, as the kernel is held: [inputs, outputs]."""
    return weights.kernel + self.scale * (
        values["a/kernel"] @ values["b/kernel"])

  def _gain(self, values: Values, kernel: Any) -> Any:
    """Returns the factor of DoRA for each output, [outputs]."""
    return values["magnitude/value"] / np.linalg.norm(kernel, axis=0)

  def mean_of(self, count: int) -> "LoraConfig":
    if self.dora:
      raise InputError(
          "DoRA's products have no mean: each is normed together with the "
          "encoder's weights; average the predictions instead")
    grown = math.sqrt(count) if self.rslora else count
    return dataclasses.replace(  # of the same scale
        self, rank=count * self.rank, alpha=grown * self.alpha)

  def in_mean(self, config: "EncoderConfig", arrays: Mapping[str, Any],
              share: float, number: int, count: int) -> dict[str, Any]:
    # The mean of A times that of B is not the mean of A B. So the products
    # stand side by side, each in ranks of its own.
    ranks = (number * self.rank, (count - 1 - number) * self.rank)
    return {
        name: np.pad(arrays[name], [(0, 0), ranks])
        if name.endswith("/a/kernel")
        else np.pad(share * arrays[name], [ranks, (0, 0)])
        for name in self.all_shapes(config)}

  def kind(self) -> Method:
    # Of scale 1: each task's scale is in its rows.
    rank = padded_size(self.rank)
    if self.dora:
      return _ScaledLora(rank=rank, alpha=rank)
    return LoraConfig(rank=rank, alpha=rank)

  def as_kind(self, values: Values, weights: Weights | None) -> Values:
    ours = {"a/kernel": values["a/kernel"],
            "b/kernel": self.scale * values["b/kernel"]}
    if not self.dora:
      return ours
    assert weights is not None  # it is at a projection
    gain = self._gain(values, self._sum(values, weights))
    return {**ours, "b/kernel": gain * ours["b/kernel"], "gain/value": gain,
            "shift/value": (1 - gain) * weights.bias}


class _ScaledLora(LoraConfig):
  """DoRA where nothing trains: `gain (W x + b) + B A x + shift`.

  The norm is in gain, which is 1 for rows of other tasks.
  """

  def parts(self, inputs: int, outputs: int) -> dict[str, Part]:
    return {**super().parts(inputs, outputs),
            "gain": Array((outputs,), 1.0, neutral=1.0),
            "shift": Array((outputs,))}

  def at_projection(self, layers: Layers, projection: BaseProjection,
                    inputs: Any, training: bool | None) -> Any:
    gain, shift = layers["gain"]()[:, None], layers["shift"]()[:, None]
    product = layers["b"](layers["a"](inputs))
    return gain * projection(inputs) + shift + product
