"""Compacter (Karimi Mahabadi et al. 2021): bottlenecks with small kernels.

The kernels of bottleneck adapters are sums of Kronecker products. One factor of
each product is a small matrix that the kernels of all places share, the other a
product of a low rank. Parameters at each place: 2 r (d + m) + d + m; shared by
all: n^3.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from tf_adapters.errors import InputError
from tf_adapters.modeling.config import (
    ACTIVATIONS,
    option,
    option_of,
    require,
)
from tf_adapters.modeling.methods.bottleneck import AdapterConfig
from tf_adapters.modeling.methods.method import Method, Preset, Weights
from tf_adapters.modeling.methods.parts import Array, Drop, Layers, Part, Values


@dataclasses.dataclass(frozen=True)
class CompacterConfig(Method):
  """The compact adapters of one task (Karimi Mahabadi et al. 2021, section 4).

  Each kernel [inputs, outputs] of a bottleneck is the sum over k of
  kron(A_k, B_k C_k): the n matrices A_k [n, n] are the rule, which all kernels
  of the task share; B_k [inputs / n, r] and C_k [r, outputs / n] are a kernel's
  own. In a bank these are bottleneck adapters like others.

  The defaults are AdapterHub's for a hidden size of 768.

  Attributes:
    size: width m of the bottleneck; a multiple of `dimension`.
    dimension: n, the number of products in each sum.
    rank: r.
    activation: non-linearity in the bottleneck, one of `ACTIVATIONS`.
    init_scale: standard deviation of the initial rule. The factors begin with
      Glorot's.
    dropout, layers, positions, input: as those of `AdapterConfig`.

  | preset | what it is |
  |---|---|
  | compacter | after both sub-layers |
  | compacter_plus_plus | after the feed-forward only, as pfeiffer's |

  Raises:
    InputError: a value is out of range, or `dimension` does not divide the
      size, or the encoder's hidden size.

  Example:
    >>> encoder = load_encoder("bert_base_uncased", CompacterConfig())
    >>> TextClassifier(encoder, ["no", "yes"]).summary_of_tuning().rows[
    ...     "Compacter"]
    (57088, 0)
  """

  name: ClassVar[str] = "compacter"
  suffix: ClassVar[str] = "compacter"
  row: ClassVar[str] = "Compacter"
  PRESETS: ClassVar[dict[str, Preset]] = {
      "compacter": Preset("after both sub-layers", {}),
      "compacter_plus_plus": Preset("after the feed-forward only", {
          "positions": ("output",), "input": "normed"}),
  }

  size: int = option(
      24, "Width of the compact adapters' bottleneck.", least=1, most=1 << 16)
  dimension: int = option(
      4, "Number of Kronecker products that each kernel is the sum of; it "
      "divides the size and the hidden size.", least=1, most=64)
  rank: int = option(
      1, "Rank of the products' large factors.", least=1, most=1 << 10)
  activation: str = option(
      "gelu", "Non-linearity of the compact adapters.", choices=ACTIVATIONS)
  init_scale: float = option(
      1e-4, "Standard deviation of the initial rule, which all kernels share.",
      least=0, most=1)
  dropout: float = option_of(AdapterConfig, "dropout")
  layers: tuple[int, ...] | None = option_of(AdapterConfig, "layers")
  positions: tuple[str, ...] = option_of(AdapterConfig, "positions")
  input: str = option_of(AdapterConfig, "input")

  def __post_init__(self) -> None:
    super().__post_init__()
    self._check_width(self.size, "size")

  def _check_width(self, width: int, what: str) -> None:
    require(width % self.dimension == 0,
            f"compacter dimension {self.dimension} does not divide the {what} "
            f"{width}: choose another")

  @property
  def names(self) -> tuple[str, ...]:
    return self.positions

  @property
  def point(self) -> str:
    return str(self.size)

  @property
  def learning_rates(self) -> tuple[float, float]:
    return 1e-3, 3e-3

  def shared_parts(self, hidden_size: int) -> dict[str, Part]:
    return {"rule": Array((self.dimension,) * 3, stddev=self.init_scale)}

  def parts(self, inputs: int, outputs: int) -> dict[str, Part]:
    self._check_width(inputs, "hidden size")
    parts: dict[str, Part] = {}
    for kernel, wide, narrow in (("down", inputs, self.size),
                                 ("up", self.size, outputs)):
      for factor, rows, columns in (
          ("left", wide // self.dimension, self.rank),
          ("right", self.rank, narrow // self.dimension)):
        parts[f"{kernel}_{factor}"] = Array(
            (self.dimension, rows, columns),
            stddev=(2 / (rows + columns)) ** 0.5)
      parts[f"{kernel}_bias"] = Array((narrow,))
    return {**parts, "dropout": Drop(self.dropout)}

  def dense(self) -> AdapterConfig:
    """Returns the bottleneck adapters that compute the same."""
    return AdapterConfig(
        size=self.size, activation=self.activation, dropout=self.dropout,
        layers=self.layers, positions=self.positions, input=self.input)

  def after_sublayer(self, layers: Layers, hidden: Any, sublayer_input: Any,
                     layer_norm: Callable[[Any], Any],
                     training: bool | None) -> Any:
    import tensorflow as tf

    from tf_adapters.modeling.layers import project

    def product(name: str, activation: str) -> Callable[..., tf.Tensor]:
      rule, left, right, bias = (layers[part]()[0] for part in (
          "rule", f"{name}_left", f"{name}_right", f"{name}_bias"))
      kernel = tf.reshape(
          tf.einsum("kij,kab->iajb", rule, tf.matmul(left, right)),
          [self.dimension * left.shape[1], self.dimension * right.shape[2]])
      return lambda x, training=None: project(
          x, kernel, bias, activation, training)

    return self.dense().after_sublayer(
        {"down": product("down", self.activation),
         "up": product("up", "linear"), "dropout": layers["dropout"]},
        hidden, sublayer_input, layer_norm, training)

  def mean_of(self, count: int) -> Method:
    raise InputError(
        "compact adapters have no mean: that of their factors is not that of "
        "their kernels; average the predictions instead")

  def kind(self) -> AdapterConfig:
    return self.dense().kind()

  def as_kind(self, values: Values, weights: Weights | None) -> Values:
    rule, dense = values["rule/value"], {}
    for name in ("down", "up"):
      factors = values[f"{name}_left/value"] @ values[f"{name}_right/value"]
      dense[f"{name}/kernel"] = sum(map(np.kron, rule, factors))
      dense[f"{name}/bias"] = values[f"{name}_bias/value"]
    return dense
