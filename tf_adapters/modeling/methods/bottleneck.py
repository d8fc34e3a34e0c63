"""Bottleneck adapters (Houlsby et al. 2019): `h + up(f(down(h)))`, figure 2.

Near-identity at initialisation: all kernels are drawn from a Gaussian of
standard deviation `init_scale`, truncated at two of them, and all biases are
zero. Parameters at each place: 2 m d + d + m.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

from tf_adapters.modeling.config import (
    ACTIVATIONS,
    MOST_LAYERS,
    option,
    parse_layers,
    require,
)
from tf_adapters.modeling.methods.method import Method, Preset, Weights
from tf_adapters.modeling.methods.parts import (
    Array,
    Dense,
    Drop,
    Layers,
    Norm,
    Part,
    Values,
)
from tf_adapters.modeling.methods.places import SUBLAYERS

EPSILON = 1e-12  # of the layer norms inside adapters

# What adapters see: what a sub-layer gives, or what its layer norm makes of it.
INPUTS = ("sublayer", "normed")

_PARALLEL = {
    "positions": ("output",), "parallel": True, "size": 384,
    "activation": "relu", "init_scale": 0.02, "identity_init": True,
    "scaling": 4.0}


@dataclasses.dataclass(frozen=True)
class AdapterConfig(Method):
  """The bottleneck adapters of one task (Houlsby et al. 2019, section 2.1).

  The defaults are those of google-research/adapter-bert; the other choices of
  position, activation, depth and normalisation are those that the paper tried
  without gain (section 3.6).

  Attributes:
    size: width m of the bottleneck.
    activation: non-linearity in the bottleneck, one of `ACTIVATIONS`.
    init_scale: standard deviation of the initial kernels (a Gaussian truncated
      at two standard deviations); 0 makes the adapters exact identities.
    dropout: dropout rate inside the bottleneck.
    layers: numbers of the Transformer layers (from 0) that get adapters, or
      None for all of them.
    positions: after which sub-layers of a layer: some of `places.SUBLAYERS`.
    parallel: whether an adapter sees what its sub-layer sees, and its output
      is added to the sub-layer's, instead of following it.
    depth: layers inside the bottleneck, each with the activation; parameters of
      each further one: m^2 + m.
    layer_norm: whether an adapter normalises its input; 2 d parameters more.
    input: one of `INPUTS`. With x a sub-layer's input, p its output and LN the
      layer norm that follows, both give LN(x + p + f(input)), where the input
      of f is p, or LN(x + p).
    scaling: factor of what an adapter adds (He et al. 2022, section 4.6).
    learned_scaling: whether this factor is only where a learned one begins; a
      parameter more.
    identity_init: whether the last kernel begins as zeros, and so each adapter
      as an exact identity that can still learn.
    layer_norm_epsilon: added to variances where `layer_norm` normalises.

  | preset | what it is |
  |---|---|
  | houlsby | the paper's, as google-research/adapter-bert has it |
  | pfeiffer | AdapterHub's `seq_bn`, Pfeiffer et al. 2021 |
  | parallel | AdapterHub's `par_bn`, He et al. 2022 |
  | scaled_parallel | AdapterHub's `scaled_parallel`, which learns the scaling |
  | adapterhub_houlsby | AdapterHub's `double_seq_bn` |

  AdapterHub's are the functions of its version 1.3, with its sizes for a hidden
  size of 768, its activations and its initial scales. It freezes layer norms,
  as the tuning "adapters-layer_norms" does.

  Raises:
    InputError: a value is out of range, or parallel adapters, which see the
      sub-layer's input, are to see its normed output.

  Example:
    >>> AdapterConfig(size=8, layers=(10, 11)).to_dict()["layers"]
    [10, 11]
  """

  name: ClassVar[str] = "bottleneck"
  suffix: ClassVar[str] = "adapter"
  row: ClassVar[str] = "adapters"
  trains_layer_norms: ClassVar[bool] = True  # as in the paper
  PRESETS: ClassVar[dict[str, Preset]] = {
      "houlsby": Preset("the paper's", {}),
      "pfeiffer": Preset("AdapterHub's, after the feed-forward only", {
          "positions": ("output",), "input": "normed", "size": 48,
          "activation": "relu", "init_scale": 0.02}),
      "parallel": Preset("AdapterHub's, beside the feed-forward", _PARALLEL),
      "scaled_parallel": Preset("the same with a learned scaling", {
          **_PARALLEL, "scaling": 1.0, "learned_scaling": True}),
      "adapterhub_houlsby": Preset("AdapterHub's", {
          "size": 48, "activation": "swish", "init_scale": 0.02}),
  }

  size: int = option(
      64, "Width of the adapters' bottleneck.", least=1, most=1 << 16)
  activation: str = option(
      "gelu_tanh", "Non-linearity of the adapters; gelu is the exact one, "
      "gelu_tanh BERT's approximation.", choices=ACTIVATIONS)
  init_scale: float = option(
      1e-3, "Standard deviation of the adapters' initial kernels.", least=0,
      most=1)
  dropout: float = option(
      0.0, "Dropout rate inside the adapters.", least=0, below=1)
  layers: tuple[int, ...] | None = option(
      None, "Layers that get adapters, counted from 0, such as 6-11 or "
      "0,5,8-11; the layer norms below the lowest of them stay frozen. (all)",
      least=0, most=MOST_LAYERS - 1, parse=parse_layers)
  positions: tuple[str, ...] = option(
      SUBLAYERS, "Sub-layers that adapters follow; output is the "
      "feed-forward.", choices=SUBLAYERS)
  parallel: bool = option(
      False, "Put adapters beside the sub-layers instead of after them.")
  depth: int = option(1, "Layers inside the bottleneck.", least=1, most=100)
  layer_norm: bool = option(False, "Normalise the adapters' input.")
  input: str = option(
      "sublayer", "Input of adapters: the sub-layer's output (sublayer), or "
      "the same after the residual connection and the layer norm (normed).",
      choices=INPUTS)
  scaling: float = option(1.0, "Factor of the adapters' output.")
  learned_scaling: bool = option(
      False, "Learn the factor, which begins as --adapter_scaling.")
  identity_init: bool = option(
      False, "Let the adapters' last kernels begin as zeros.")
  layer_norm_epsilon: float = option(
      EPSILON, "Added to variances by --adapter_layer_norm; AdapterHub has "
      "1e-5.", least=0, most=1)

  def __post_init__(self) -> None:
    super().__post_init__()
    require(not (self.parallel and self.input == "normed"),
            "adapter input 'normed' is what follows a sub-layer, which "
            "parallel adapters do not see: set input to 'sublayer'")

  @property
  def names(self) -> tuple[str, ...]:
    return self.positions

  @property
  def curve(self) -> str:
    if self.parallel:
      return "parallel adapters"
    return "pfeiffer adapters" if self.input == "normed" else self.row

  @property
  def point(self) -> str:
    return str(self.size)

  def parts(self, inputs: int, outputs: int) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    if self.layer_norm:
      parts["layer_norm"] = Norm(inputs, self.layer_norm_epsilon)
    sizes = [inputs, *[self.size] * self.depth]
    for name, wide, narrow in zip(self._inner, sizes, sizes[1:]):
      parts[name] = Dense(wide, narrow, self.activation, self.init_scale)
    parts["up"] = Dense(self.size, outputs, stddev=(
        0 if self.identity_init else self.init_scale))
    if self.learned_scaling:
      parts["scaling"] = Array((1,), self.scaling)
    return {**parts, "dropout": Drop(self.dropout)}

  @property
  def _inner(self) -> list[str]:
    """Names of the dense layers in front of the last one."""
    return ["down", *(f"hidden_{i}" for i in range(self.depth - 1))]

  def kind(self) -> "AdapterConfig":
    # What matters in training only, or says where adapters are, is left out.
    return AdapterConfig(
        size=padded_size(self.size), activation=self.activation,
        parallel=self.parallel, depth=self.depth, layer_norm=self.layer_norm,
        input=self.input, layer_norm_epsilon=(
            self.layer_norm_epsilon if self.layer_norm else EPSILON))

  def as_kind(self, values: Values, weights: Weights | None) -> Values:
    if not self.learned_scaling and self.scaling == 1:
      return values
    values = dict(values)
    scaling = values.pop("scaling/value", self.scaling)
    return {**values, **{name: scaling * values[name]
                         for name in ("up/kernel", "up/bias")}}

  def after_sublayer(self, layers: Layers, hidden: Any, sublayer_input: Any,
                     layer_norm: Callable[[Any], Any],
                     training: bool | None) -> Any:
    if self.parallel:
      bottleneck = sublayer_input
    elif self.input == "normed":
      bottleneck = layer_norm(sublayer_input + hidden)
    else:
      bottleneck = hidden
    if self.layer_norm:
      bottleneck = layers["layer_norm"](bottleneck, training=training)
    for name in self._inner:
      bottleneck = layers[name](bottleneck, training=training)
    bottleneck = layers["dropout"](bottleneck, training=training)
    added = layers["up"](bottleneck, training=training)
    if self.learned_scaling:
      added *= layers["scaling"]()[:, None]
    elif self.scaling != 1:
      added *= self.scaling
    return hidden + added

  def to_dict(self) -> dict[str, Any]:
    # Files of version 0.1 name no method, and are files of bottlenecks.
    values = super().to_dict()
    del values["method"]
    return values


def padded_size(size: int) -> int:
  """Returns the smallest of 8, 12, 16, 24, 32, ... that is not below `size`."""
  padded = 8
  while padded < size:
    if padded * 3 // 2 >= size:
      return padded * 3 // 2
    padded *= 2
  return padded
