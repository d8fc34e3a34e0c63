"""Methods: what a task puts into a frozen encoder, and where.

A method is one file with one class, a configuration that knows where it enters
an encoder, which arrays it has there, and what is computed with them. That is
said once: the same lines compute for a model of one task and for the rows of
many tasks in a bank. `modeling.methods.table` lists the methods.

Nothing here imports TensorFlow: command lines check configurations before it is
there. What computes imports it inside the function.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    NamedTuple,
    Protocol,
    Self,
)

from tf_adapters.errors import InputError
from tf_adapters.modeling.config import (
    JsonConfig,
    check_options,
    options,
    require,
)
from tf_adapters.modeling.methods.parts import Layers, Part, Values, shapes_of
from tf_adapters.modeling.methods.places import SUBLAYER, Place

if TYPE_CHECKING:
  from tf_adapters.modeling.encoders.family import EncoderConfig


class Weights(NamedTuple):
  """Those of a projection of the encoder.

  Attributes:
    kernel: [inputs, outputs].
    bias: [outputs].
  """

  kernel: Any
  bias: Any


class BaseProjection(Protocol):
  """A projection of the encoder, as a method gets it."""

  def __call__(self, inputs: Any) -> Any:
    """Projects [..., inputs] -> [..., outputs], before the activation."""

  def kernel_and_bias(self) -> Weights:
    """Returns its weights; a method's `kind`, which a bank computes, has none.
    """


class Preset(NamedTuple):
  """A configuration by name.

  Attributes:
    help: what it is, for a command line.
    values: field -> value, where it is not the default.
  """

  help: str
  values: Mapping[str, Any]


class Method(JsonConfig):
  """The configuration of a method: base class of frozen dataclasses.

  A method says its `name`, its `suffix`, `parts`, and `names` of the places
  where it enters; and it computes by the one of `after_sublayer`,
  `at_projection` and `keys_and_values` that belongs to its `hook`. Where all
  arrays are neutral, zeros mostly, these have to return what they were given:
  so a task in a bank cannot change another one.

  Attributes:
    name: what adapter files and --method call it.
    suffix: variables are called `transformer/layer_0/{place}_{suffix}/...`.
    hook: where it enters: `SUBLAYER`, `PROJECTION` or `ATTENTION`.
    row: what it is called in summaries of what trains.
    trains_layer_norms: whether the encoder's layer norms train with it, unless
      the tuning says so.
    PRESETS: by name; the first one has the defaults.
    layers: numbers of the Transformer layers that it enters, from 0, or None
      for all of them.
  """

  name: ClassVar[str]
  suffix: ClassVar[str]
  hook: ClassVar[str] = SUBLAYER
  row: ClassVar[str]
  trains_layer_norms: ClassVar[bool] = False
  PRESETS: ClassVar[Mapping[str, Preset]] = {}
  layers: tuple[int, ...] | None

  @property
  def names(self) -> tuple[str, ...]:
    """Names of its places in a Transformer layer, those of its hook."""
    raise NotImplementedError

  @property
  def curve(self) -> str:
    """The name of its curve in figures."""
    return self.row

  @property
  def point(self) -> str:
    """The text beside its point on the curve, in a figure of sizes."""
    return ""

  @property
  def learning_rates(self) -> tuple[float, float]:
    """Those to begin with: of encoders as wide as BERT-base, and of smaller.

    docs/guides/methods.md has where they are from.
    """
    return 3e-4, 1e-3

  def parts(self, inputs: int, outputs: int) -> dict[str, Part]:
    """Returns {name: part} of what it has at a place.

    Args:
      inputs, outputs: widths there: of a projection, else the hidden size.
    """
    raise NotImplementedError

  def shared_parts(self, hidden_size: int) -> dict[str, Part]:
    """Returns {name: part} of what its places share, beside `parts`."""
    del hidden_size
    return {}

  def __post_init__(self) -> None:
    """Holds options to their bounds; puts layers and choices into order.

    Raises:
      InputError: a value is out of range.
    """
    check_options(self, f"{self.suffix} ")
    if self.layers is not None:
      object.__setattr__(self, "layers", tuple(sorted(set(self.layers))))
    for one in options(type(self)).values():
      chosen = getattr(self, one.name)
      if one.many and one.choices and chosen is not None:
        object.__setattr__(self, one.name, tuple(
            choice for choice in one.choices if choice in chosen))

  def kind(self) -> "Method":
    """Returns the kind of a task: tasks of one kind are one product.

    A configuration: parts of it are at least as large as those of this one, and
    compute the same where the rest is zeros. It shares no parts, and may be of
    another method.
    """
    return self

  def saved(self) -> "Method":
    """Returns the configuration of adapter files, and of models of them.

    A configuration of the same function, without what matters in training
    only.
    """
    return self

  def as_saved(self, values: Values) -> Values:
    """Returns its values at a place as those of `saved`, which shares no parts.
    """
    return values

  def at(self, place: Place) -> "Method":
    """Returns the configuration at a place, where its parts differ by place."""
    del place
    return self

  def first_values(self, weights: Weights) -> Values:
    """Returns the first values that depend on the encoder's weights.

    Args:
      weights: of the projection at a place.
    """
    del weights
    return {}

  def fold(self, values: Values, weights: Weights) -> Weights:
    """Returns the weights of a projection that computes the same without it.

    Args:
      values: of its variables at the place.
      weights: of the projection there.

    Raises:
      InputError: the method is no such function.
    """
    raise InputError(
        f"method {self.name} cannot be merged into an encoder: what it adds is "
        "no change of the encoder's weights")

  def as_kind(self, values: Values, weights: Weights | None) -> Values:
    """Returns its values at a place as those of its `kind`.

    What a task has of its own, such as a scale, is multiplied into arrays here:
    so tasks that differ in it alone share a product.

    Args:
      values: as in an adapter file.
      weights: of the projection there; None at other hooks.
    """
    del weights
    return values

  def after_sublayer(self, layers: Layers, hidden: Any, sublayer_input: Any,
                     layer_norm: Callable[[Any], Any],
                     training: bool | None) -> Any:
    """Changes the output of a sub-layer, [batch, length, hidden_size].

    Args:
      layers: its parts, and those that its places share.
      hidden: the output.
      sublayer_input: what the sub-layer saw.
      layer_norm: what will close the sub-layer.
      training: as in Keras.
    """
    raise NotImplementedError

  def at_projection(self, layers: Layers, projection: BaseProjection,
                    inputs: Any, training: bool | None) -> Any:
    """Changes the output of a dense layer, before its activation.

    Args:
      layers: its parts.
      projection: the dense layer.
      inputs: what it is to see.
      training: as in Keras.
    """
    raise NotImplementedError

  def keys_and_values(self, layers: Layers, hidden: Any,
                      training: bool | None) -> tuple[Any, Any]:
    """Makes further keys and values, in front of those of the tokens.

    Args:
      layers: its parts.
      hidden: what attention sees, [batch, length, hidden_size].
      training: as in Keras.

    Returns:
      Keys and values, [batch, more, hidden_size].
    """
    raise NotImplementedError

  def entered_layers(self, num_layers: int) -> tuple[int, ...]:
    """Returns the numbers of the layers that it enters.

    Raises:
      InputError: `layers` names a layer that the encoder does not have.
    """
    if self.layers is None:
      return tuple(range(num_layers))
    if self.layers[-1] >= num_layers:
      raise InputError(
          f"{self.suffix} layer {self.layers[-1]} does not exist: the encoder "
          f"has layers 0 to {num_layers - 1}")
    return self.layers

  def in_layers(self, layers: Sequence[int], num_layers: int) -> "Method":
    """Returns the same method in some of its layers; at least one of them."""
    del num_layers
    method: Any = self  # a dataclass
    return dataclasses.replace(method, layers=tuple(layers))

  @property
  def first_layer(self) -> int:
    """Number of the lowest layer that it enters."""
    return self.layers[0] if self.layers else 0

  def enters(self, place: Place) -> bool:
    """Returns whether it enters at places such as this one in any layer."""
    return place.hook == self.hook and place.name in self.names

  def places(self, num_layers: int) -> list[Place]:
    """Lists where it enters an encoder, from the lowest layer to the highest.

    Raises:
      InputError: `layers` names a layer that the encoder does not have.
    """
    return [Place(layer, self.hook, name)
            for layer in self.entered_layers(num_layers) for name in self.names]

  def place_name(self, place: Place) -> str:
    """Returns the beginning of canonical names of its variables at a place."""
    return f"transformer/layer_{place.layer}/{place.name}_{self.suffix}"

  @property
  def shared_name(self) -> str:
    """The beginning of canonical names of variables that its places share."""
    return f"transformer/{self.suffix}"

  def shared(self, hidden_size: int) -> dict[str, Part]:
    """Returns `shared_parts`, by canonical name."""
    return {f"{self.shared_name}/{name}": part
            for name, part in self.shared_parts(hidden_size).items()}

  def shapes(self, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    """Returns {name below `place_name`: shape} of its variables at a place."""
    return shapes_of(self.parts(inputs, outputs))

  def all_shapes(self, config: "EncoderConfig") -> dict[str, tuple[int, ...]]:
    """Returns {canonical name: shape} of all its variables in an encoder.

    Raises:
      InputError: the encoder has no place for it.
    """
    shapes = {self.shared_name: shapes_of(
        self.shared_parts(config.hidden_size))}
    for place in self.places(config.num_hidden_layers):
      shapes[self.place_name(place)] = self.at(place).shapes(
          *config.widths_at(place))
    return {f"{prefix}/{name}": shape for prefix, inside in shapes.items()
            for name, shape in inside.items()}

  def values_at(self, place: Place, config: "EncoderConfig",
                arrays: Mapping[str, Any]) -> Values:
    """Returns the values of a place and the shared ones, from all arrays."""
    return {name: arrays[canonical_name]
            for name, canonical_name in _names_at(self, place, config)}

  def saved_arrays(self, config: "EncoderConfig",
                   arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Returns {canonical name: array} of `saved`, from its own."""
    return {f"{self.saved().place_name(place)}/{name}": array
            for place in self.places(config.num_hidden_layers)
            for name, array in self.as_saved(
                self.values_at(place, config, arrays)).items()}

  def mean_of(self, count: int) -> "Method":
    """Returns the configuration of what `in_mean` makes of so many tasks.

    Raises:
      InputError: they have no mean.
    """
    del count
    return self

  def in_mean(self, config: "EncoderConfig", arrays: Mapping[str, Any],
              share: float, number: int, count: int) -> dict[str, Any]:
    """Returns a task's part of the mean of several: arrays to be summed.

    Args:
      config: of the encoder.
      arrays: the task's, by canonical name; others in it are left out.
      share: its weight in the mean.
      number: which of the tasks it is, from 0.
      count: of the tasks.

    Returns:
      {canonical name: array} of a part of `mean_of(count)`.
    """
    del number, count
    return {name: share * arrays[name] for name in self.all_shapes(config)}

  def to_dict(self) -> dict[str, Any]:
    return {"method": self.name, **super().to_dict()}

  @classmethod
  def preset(cls, name: str, **changes: Any) -> Self:
    """Makes a configuration by name, with changes.

    Raises:
      InputError: there is no such preset, or a value is out of range.

    Example:
      >>> AdapterConfig.preset("pfeiffer", size=16).positions
      ('output',)
    """
    require(name in cls.PRESETS,
            f"preset must be one of {', '.join(cls.PRESETS)}, not {name!r:.50}")
    return cls(**{**cls.PRESETS[name].values, **changes})


# Most tasks are of the same kind, and who loads thousands asks for each.
@functools.lru_cache(maxsize=1024)
def _names_at(method: Method, place: Place,
              config: "EncoderConfig") -> Sequence[tuple[str, str]]:
  """Lists (name, canonical name) of a place's arrays and of the shared ones."""
  parts = {method.place_name(place):
           method.at(place).parts(*config.widths_at(place)),
           method.shared_name: method.shared_parts(config.hidden_size)}
  return [(name, f"{prefix}/{name}") for prefix, inside in parts.items()
          for name in shapes_of(inside)]
