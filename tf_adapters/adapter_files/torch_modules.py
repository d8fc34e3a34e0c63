"""Modules of encoders in PyTorch, by which other libraries' files go.

Their names are what the families of encoders say, in `EncoderFamily.places` and
`TorchNames`.
"""

import dataclasses
import functools
import re
from collections.abc import Mapping

from tf_adapters.modeling.encoders.family import EncoderFamily, TorchNames
from tf_adapters.modeling.encoders.table import ENCODERS
from tf_adapters.modeling.methods.places import PROJECTIONS

_LAYER = re.compile(r"\blayer\.(\d{1,4})(?=\.)")
_FEED_FORWARDS = ("intermediate", "output")


class Modules:
  """Modules of an encoder: what they are called there, and here.

  Args:
    names: our name -> theirs as a family says it, with slashes and, for the
      number of a layer, {i}.
  """

  def __init__(self, names: Mapping[str, str]):
    self._theirs = {
        ours: theirs.replace("layer_{i}", "layer.{i}").replace("/", ".")
        for ours, theirs in names.items()}
    self._ours = {theirs: ours for ours, theirs in self._theirs.items()}

  def find(self, module: str) -> tuple[int, str] | None:
    """Returns (number of its layer, our name) of a module, or None.

    What all layers share, or is in none, has the number 0.
    """
    layer = _LAYER.search(module)
    ours = self._ours.get(_LAYER.sub("layer.{i}", module, count=1))
    if ours is None:
      return None
    found = int(layer[1]) if layer else 0, ours
    # Each has one name: "layer.01" is none.
    return found if self.name(*found) == module else None

  def name(self, layer: int, ours: str) -> str:
    """Returns the name of a module there."""
    return self._theirs[ours].replace("{i}", str(layer))


@dataclasses.dataclass(frozen=True)
class TorchModel:
  """The models of a family of encoders in transformers.

  Attributes:
    family: the family.
    names: what they are called.
    projections: by the names of `methods.places.PROJECTIONS`.
    sublayers: where AdapterHub has adapters, by those of `SUBLAYERS`.
    places: all of the encoder, by canonical place, with {i} for the layer.
  """

  family: EncoderFamily
  names: TorchNames
  projections: Modules
  sublayers: Modules
  places: Modules

  @property
  def shares_layers(self) -> bool:
    """Whether all layers are one, and so is what is added to them."""
    return self.family.config.shares_layers

  @property
  def has_pooler(self) -> bool:
    """Whether there is a pretrained pooler."""
    return "pooler_transform" in self.family.places and (
        not self.family.may_lack_pooler)

  @property
  def has_segments(self) -> bool:
    """Whether the encoder is told which text of a pair a token is of."""
    return getattr(self.family.config, "type_vocab_size", 2) > 1

  @property
  def read_as(self) -> tuple[str, ...]:
    """Families that such an encoder can be here."""
    return (self.family.name, *self.names.read_as)


@functools.cache
def torch_models() -> Mapping[str, TorchModel]:
  """Returns the models of all families that have some, by a family's name."""
  return {name: _model_of(family, family.torch_names)
          for name, family in ENCODERS.items() if family.torch_names}


def _model_of(family: EncoderFamily, names: TorchNames) -> TorchModel:
  places = {place: others[0] for place, others in family.places.items()}
  layer = "transformer" + "/layer_{i}" * (not family.config.shares_layers)
  projections = {
      name: f"{layer}/{'' if name in _FEED_FORWARDS else 'self_attention/'}"
            f"{name}" for name in PROJECTIONS}
  return TorchModel(
      family, names, Modules({name: places[place] for name, place
                              in projections.items()}),
      Modules(names.sublayers), Modules(places))
