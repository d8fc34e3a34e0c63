"""Bottleneck adapters (Houlsby et al. 2019, section 2.1)."""

import dataclasses
from typing import Any, Self

from tf_adapters.errors import InputError
from tf_adapters.modeling.config import (
    ACTIVATIONS,
    JsonConfig,
    is_number,
    require,
)

# The sub-layers of a Transformer layer: attention and feed-forward.
POSITIONS = ("attention", "output")


@dataclasses.dataclass(frozen=True)
class AdapterConfig(JsonConfig):
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

  Raises:
    InputError: a value is out of range.

  Example:
    >>> AdapterConfig(size=8, layers=(10, 11)).to_dict()["layers"]
    [10, 11]
  """

  size: int = 64
  activation: str = "gelu_tanh"
  init_scale: float = 1e-3
  dropout: float = 0.0
  layers: tuple[int, ...] | None = None
  positions: tuple[str, ...] = POSITIONS
  parallel: bool = False
  depth: int = 1
  layer_norm: bool = False

  def __post_init__(self):
    for name, largest in (("size", 1 << 16), ("depth", 100)):
      value = getattr(self, name)
      require(type(value) is int and 0 < value <= largest,
              f"adapter {name} must be a positive integer up to {largest}, "
              f"not {value!r:.20}")
    require(self.activation in ACTIVATIONS,
            f"adapter activation must be one of {', '.join(ACTIVATIONS)}, "
            f"not {self.activation!r}")
    require(is_number(self.init_scale) and 0 <= self.init_scale <= 1,
            f"adapter init_scale must be in [0, 1], not {self.init_scale!r}")
    require(is_number(self.dropout) and 0 <= self.dropout < 1,
            f"adapter dropout must be in [0, 1), not {self.dropout!r}")
    for name in ("parallel", "layer_norm"):
      value = getattr(self, name)
      require(type(value) is bool,
              f"adapter {name} must be true or false, not {value!r}")
    if self.layers is not None:
      require(isinstance(self.layers, list | tuple) and len(self.layers) > 0
              and all(isinstance(i, int) and i >= 0 for i in self.layers),
              f"adapter layers must be layer numbers, not {self.layers!r}")
      object.__setattr__(self, "layers", tuple(sorted(set(self.layers))))
    require(isinstance(self.positions, list | tuple)
            and len(self.positions) > 0 and set(self.positions) <= set(
                POSITIONS),
            f"adapter positions must be some of {', '.join(POSITIONS)}, not "
            f"{self.positions!r}")
    object.__setattr__(self, "positions", tuple(
        position for position in POSITIONS if position in self.positions))

  @property
  def first_layer(self) -> int:
    """Number of the lowest layer with adapters."""
    return self.layers[0] if self.layers else 0

  @classmethod
  def preset(cls, name: str, **changes: Any) -> Self:
    """A configuration by name, with changes.

    | name | what it is |
    |---|---|
    | houlsby | the paper's, as google-research/adapter-bert has it |
    | pfeiffer | after the feed-forward only (Pfeiffer et al. 2021) |
    | parallel | beside both sub-layers (Houlsby et al., section 3.6) |
    | adapterhub_houlsby | AdapterHub's of that name; layer norms frozen there |

    The sizes of pfeiffer and adapterhub_houlsby are AdapterHub's for a hidden
    size of 768, a sixteenth; so are their activations and initial scales.

    Raises:
      InputError: there is no such preset, or a value is out of range.

    Example:
      >>> AdapterConfig.preset("pfeiffer", size=16).positions
      ('output',)
    """
    if name not in _PRESETS:
      raise InputError(
          f"adapter preset must be one of {', '.join(PRESETS)}, not {name!r}")
    return cls(**{**_PRESETS[name], **changes})


_PRESETS: dict[str, dict[str, Any]] = {
    "houlsby": {},
    "pfeiffer": {"positions": ("output",), "size": 48, "activation": "relu",
                 "init_scale": 0.02},
    "parallel": {"parallel": True},
    "adapterhub_houlsby": {
        "size": 48, "activation": "swish", "init_scale": 0.02},
}
PRESETS = tuple(_PRESETS)
