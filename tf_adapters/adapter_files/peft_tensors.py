"""The tensors of a PEFT file, by what they are of."""

import re
from collections.abc import Iterable

from tf_adapters.adapter_files.foreign import Tensors, WeightsFile, refuse
from tf_adapters.adapter_files.torch_modules import TorchModel, torch_models
from tf_adapters.modeling.encoders.bert import BERT

PREFIX = "base_model.model."

_ADDED = re.compile(r"\.((?:lora|ia3)_.*)")

Places = dict[tuple[int, str], Tensors]


class PeftTensors:
  """The tensors of a file by what they are of.

  Attributes:
    models: what it can have been made for, as its names tell.
    places: (layer, our name of a projection) -> name of a tensor below it ->
      tensor.
    base: canonical name -> tensor, of what is the encoder's own.
  """

  def __init__(self, weights: WeightsFile):
    self.weights = weights
    self.models, self._encoder = _models(weights.left)
    self.places: Places = {}
    self.base: Tensors = {}
    for full in list(weights.left):
      name = _plain(full.removeprefix(self._encoder))
      module, mark, leaf = _ADDED.sub(r" \1", name).partition(" ")
      if mark:
        place = self.model.projections.find(module)
        if place is None:
          refuse(f"it changes {module.removeprefix(PREFIX):.60}")
        self.places.setdefault(place, {})[leaf] = weights.take(full)
      elif canonical := _canonical(self.model, name):
        stored = weights.take(full)
        self.base[canonical] = (
            stored.transposed if canonical.endswith("/kernel") else stored)

  @property
  def model(self) -> TorchModel:
    """The first of `models`, whose names are the others'."""
    return self.models[0]

  def leave_out_heads(self) -> None:
    """Takes what is on top of an encoder, for nobody to look at."""
    for name in list(self.weights.left):
      if not name.startswith(self._encoder):
        self.weights.left.pop(name)


def _plain(name: str) -> str:
  return name.replace(".base_layer.", ".").replace(".ln_tuning_layers.", ".")


def _models(names: Iterable[str]) -> tuple[list[TorchModel], str]:
  """Finds models by names of tensors; BERT where these do not tell.

  Returns:
    The models, and how the names of their encoder's tensors begin. An encoder
    without a head, transformers' AutoModel, has no name of its own in them.
  """
  inside = {name.removeprefix(PREFIX).partition(".")[0] for name in names}
  models = torch_models()
  encoder = next((model.names.encoder for model in models.values()
                  if model.names.encoder in inside), None)
  if encoder is None:
    modules = {_ADDED.sub("", _plain(name.removeprefix(PREFIX)))
               for name in names}
    modules |= {module.rpartition(".")[0] for module in modules}
    bare = [model for model in models.values()
            if any(map(model.places.find, modules))]
    if bare:
      return bare, PREFIX
  encoder = encoder or BERT.name
  return ([model for model in models.values()
           if model.names.encoder == encoder], f"{PREFIX}{encoder}.")


def _canonical(model: TorchModel, name: str) -> str | None:
  """Returns the canonical name of an encoder's variable, or None."""
  module, _, leaf = name.rpartition(".")
  found = model.places.find(module)
  if found is None:
    return None
  layer, place = found
  leaves = {"weight": "kernel", "bias": "bias"}
  if place.endswith("layer_norm"):
    leaves = {"weight": "gamma", "bias": "beta"}
  elif place.endswith(("embedding", "embeddings")):
    leaves = {"weight": "embeddings"}
  if leaf not in leaves:
    return None
  return f"{place}/{leaves[leaf]}".replace("{i}", str(layer))
