"""Several methods in one task, such as MAM (He et al. 2022)."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from tf_adapters.modeling.config import require
from tf_adapters.modeling.methods.bottleneck import AdapterConfig
from tf_adapters.modeling.methods.method import Method, Preset
from tf_adapters.modeling.methods.parts import Part, Values
from tf_adapters.modeling.methods.places import Place
from tf_adapters.modeling.methods.prefix import PrefixConfig

if TYPE_CHECKING:
  from tf_adapters.modeling.encoders.family import EncoderConfig


@dataclasses.dataclass(frozen=True)
class UnionConfig(Method):
  """Several methods in one task, each at places of its own.

  The preset mam is the "mix-and-match" adapter (He et al. 2022, section 4.6) as
  AdapterHub has it: prefixes, and parallel adapters beside the feed-forward.
  Layer norms stay frozen unless the tuning trains them.

  Attributes:
    methods: the methods; no two of them of one class, or at one place.

  Raises:
    InputError: there is none, or two of them are alike.

  Example:
    >>> encoder = load_encoder("bert_base_uncased", UnionConfig((
    ...     PrefixConfig(length=10), AdapterConfig.preset("parallel"))))
  """

  name: ClassVar[str] = "union"
  suffix: ClassVar[str] = "union"
  row: ClassVar[str] = "union"
  PRESETS: ClassVar[dict[str, Preset]] = {
      "mam": Preset("prefixes and parallel adapters", {"methods": (
          PrefixConfig(bottleneck_size=800),
          AdapterConfig.preset("parallel"))}),
  }

  methods: tuple[Method, ...] = PRESETS["mam"].values["methods"]
  # Each of them has its own.
  layers: tuple[int, ...] | None = dataclasses.field(default=None, init=False)

  def __post_init__(self) -> None:
    require(isinstance(self.methods, Sequence) and len(self.methods) > 0
            and all(isinstance(one, Method) and not isinstance(one, UnionConfig)
                    for one in self.methods),
            f"union methods must be configurations of methods, not "
            f"{self.methods!r:.50}")
    object.__setattr__(self, "methods", tuple(self.methods))
    for one, two in itertools.combinations(self.methods, 2):
      require(one.name != two.name and not (
          one.hook == two.hook and {*one.names} & {*two.names}),
              f"union methods {one.name} and {two.name} enter at one place: "
              "choose others, or other places")

  @property
  def point(self) -> str:
    return "+".join(one.point for one in self.methods)

  @property
  def learning_rates(self) -> tuple[float, float]:
    # What is too high for one of them is too high for all.
    wide, small = zip(*(one.learning_rates for one in self.methods))
    return min(wide), min(small)

  def _of(self, place: Place) -> Method:
    """Returns the method that enters at a place."""
    return next(one for one in self.methods if one.enters(place))

  def enters(self, place: Place) -> bool:
    return any(one.enters(place) for one in self.methods)

  def at(self, place: Place) -> Method:
    return self._of(place).at(place)

  def place_name(self, place: Place) -> str:
    return self._of(place).place_name(place)

  def places(self, num_layers: int) -> list[Place]:
    return sorted(place for one in self.methods
                  for place in one.places(num_layers))

  def entered_layers(self, num_layers: int) -> tuple[int, ...]:
    return tuple(sorted({place.layer for place in self.places(num_layers)}))

  @property
  def first_layer(self) -> int:
    return min(one.first_layer for one in self.methods)

  def in_layers(self, layers: Sequence[int], num_layers: int) -> "UnionConfig":
    entered = [(one, set(one.entered_layers(num_layers)) & {*layers})
               for one in self.methods]
    return UnionConfig(tuple(
        one.in_layers(sorted(left), num_layers)
        for one, left in entered if left))

  def shared(self, hidden_size: int) -> dict[str, Part]:
    return {name: part for one in self.methods
            for name, part in one.shared(hidden_size).items()}

  def all_shapes(self, config: "EncoderConfig") -> dict[str, tuple[int, ...]]:
    return {name: shape for one in self.methods
            for name, shape in one.all_shapes(config).items()}

  def values_at(self, place: Place, config: "EncoderConfig",
                arrays: Mapping[str, Any]) -> Values:
    return self._of(place).values_at(place, config, arrays)

  def saved(self) -> "UnionConfig":
    return UnionConfig(tuple(one.saved() for one in self.methods))

  def saved_arrays(self, config: "EncoderConfig",
                   arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {name: array for one in self.methods
            for name, array in one.saved_arrays(config, arrays).items()}

  def mean_of(self, count: int) -> "UnionConfig":
    return UnionConfig(tuple(one.mean_of(count) for one in self.methods))

  def in_mean(self, config: "EncoderConfig", arrays: Mapping[str, Any],
              share: float, number: int, count: int) -> dict[str, Any]:
    return {name: array for one in self.methods for name, array in one.in_mean(
        config, arrays, share, number, count).items()}

  def to_dict(self) -> dict[str, Any]:
    return {"method": self.name,
            "methods": [one.to_dict() for one in self.methods]}
