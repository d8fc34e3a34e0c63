"""Bottleneck adapters (Houlsby et al. 2019, section 2.1)."""

import dataclasses
from typing import ClassVar

from tf_adapters.modeling.config import (
    ACTIVATIONS,
    MOST_LAYERS,
    MethodConfig,
    Preset,
    check_options,
    option,
    parse_layers,
)

# The sub-layers of a Transformer layer: attention and feed-forward.
POSITIONS = ("attention", "output")


@dataclasses.dataclass(frozen=True)
class AdapterConfig(MethodConfig):
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
    positions: after which sub-layers of a layer: some of `POSITIONS`.
    parallel: whether an adapter sees what its sub-layer sees, and its output
      is added to the sub-layer's, instead of following it.
    depth: layers inside the bottleneck, each with the activation; parameters of
      each further one: m^2 + m.
    layer_norm: whether an adapter normalises its input; 2 d parameters more.

  | preset | what it is |
  |---|---|
  | houlsby | the paper's, as google-research/adapter-bert has it |
  | pfeiffer | after the feed-forward only (Pfeiffer et al. 2021) |
  | parallel | beside both sub-layers (Houlsby et al., section 3.6) |
  | adapterhub_houlsby | AdapterHub's of that name; layer norms frozen there |

  The sizes of pfeiffer and adapterhub_houlsby are AdapterHub's for a hidden
  size of 768, a sixteenth; so are their activations and initial scales.

  Raises:
    InputError: a value is out of range.

  Example:
    >>> AdapterConfig(size=8, layers=(10, 11)).to_dict()["layers"]
    [10, 11]
  """

  PRESETS: ClassVar[dict[str, Preset]] = {
      "houlsby": Preset("the paper's", {}),
      "pfeiffer": Preset("after the feed-forward only", {
          "positions": ("output",), "size": 48, "activation": "relu",
          "init_scale": 0.02}),
      "parallel": Preset("beside the sub-layers", {"parallel": True}),
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
      POSITIONS, "After which sub-layers adapters stand; output is the "
      "feed-forward's.", choices=POSITIONS)
  parallel: bool = option(
      False, "Put adapters beside the sub-layers instead of after them.")
  depth: int = option(1, "Layers inside the bottleneck.", least=1, most=100)
  layer_norm: bool = option(False, "Normalise what adapters see.")

  def __post_init__(self):
    check_options(self, "adapter ")
    if self.layers is not None:
      object.__setattr__(self, "layers", tuple(sorted(set(self.layers))))
    object.__setattr__(self, "positions", tuple(
        position for position in POSITIONS if position in self.positions))

  @property
  def first_layer(self) -> int:
    """Number of the lowest layer with adapters."""
    return self.layers[0] if self.layers else 0
