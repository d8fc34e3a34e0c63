"""The tensors of an adapter of AdapterHub, by what they are of."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tf_adapters.adapter_files.foreign import (
    Tensors,
    WeightsFile,
    refuse,
    setting,
)
from tf_adapters.adapter_files.torch_modules import TorchModel
from tf_adapters.errors import InputError

# Of adapter-transformers' first version -> those of today.
_OLD_NAMES = {
    "attention_text_task_adapters": "adapters",
    "attention_text_lang_adapters": "adapters",
    "layer_text_task_adapters": "adapters",
    "layer_text_lang_adapters": "adapters",
    "invertible_lang_adapters": "invertible_adapters"}
# What is not computed here.
_OTHERS = ("refts", "prompt_tunings", "invertible_adapters", "prefix_gates",
           "adapter_fusion_layer")
# An adapter can have a module's name, so the kind before it is looked for, too.
_SPLIT = (r"(?:(?P<module>.*?)\.)??(?P<kind>adapters|loras|prefix_tunings|"
          rf"shared_parameters|{'|'.join(_OTHERS)})\.")


class MethodTensors:
  """The tensors of an adapter by what they are of.

  Args:
    weights: the file, from which they are taken.
    name: of the adapter.
    model: what it was made for.

  Attributes:
    model: the same.
    of: kind of module ("adapters", "loras") -> module -> name of a tensor below
      it -> tensor.
    prefix: those of prefixes, by name below the module.
    shared: what all places of a Compacter share, by name below the module.

  Raises:
    InputError: they are of a method that is not computed here.
  """

  def __init__(self, weights: WeightsFile, name: str, model: TorchModel):
    self.model = model
    self.of: dict[str, dict[str, Tensors]] = {"adapters": {}, "loras": {}}
    self.prefix: Tensors = {}
    self.shared: Tensors = {}
    prefixes = f"{model.names.prefixes}."
    for full in list(weights.left):
      key = full
      for old, new in _OLD_NAMES.items():
        key = key.replace(old, new)
      key = key.removeprefix(f"{model.names.encoder}.")
      module, kind, leaf = _split(key, name)
      if kind in self.of:
        self.of[kind].setdefault(module, {})[leaf] = weights.take(full)
      elif kind == "prefix_tunings" and not model.names.prefixes:
        refuse(f"it has prefixes in a {model.family.title}, where AdapterHub "
               "computes them otherwise")
      elif kind == "prefix_tunings" and leaf.startswith(prefixes):
        if module == "prefix_tuning":
          self.prefix[leaf.removeprefix(prefixes)] = weights.take(full)
        elif module.endswith(".prefix_tuning.pool"):
          weights.left.pop(full)  # the same again, by the name of a layer
      elif kind == "shared_parameters":
        self.shared[leaf] = weights.take(full)
      elif kind in _OTHERS:
        refuse(f"it holds {kind.replace('_', ' ')}")

  def check_all_used(self) -> None:
    """Refuses tensors that the configuration does not tell of."""
    for places in self.of.values():
      for tensors in places.values():
        check_none_left(tensors)
    check_none_left(self.prefix)
    check_none_left(self.shared)


def _split(key: str, name: str) -> tuple[str, str, str]:
  """Splits a tensor's name into (module, kind, name below)."""
  found = re.match(rf"{_SPLIT}{re.escape(name)}\.", key)
  if not found:
    return key, "", ""
  return found["module"] or "", found["kind"], key[found.end():]


def check_none_left(tensors: Tensors) -> None:
  """Raises InputError for tensors that nobody has taken."""
  for name in tensors:
    refuse(f"it has a tensor {name} in one of its places")


def check_all_there(config: Mapping[str, Any], found: MethodTensors,
                    places: Mapping[tuple[int, str], Tensors],
                    names: Sequence[str]) -> None:
  """Refuses places without the tensors that a configuration says they have.

  Args:
    config: which layers it leaves out.
    found: what it is for.
    places: (layer, name) of those that have some.
    names: of what each of the other layers has.

  Raises:
    InputError: there is such a place.
  """
  if found.model.shares_layers:
    return
  left_out = setting(config, "leave_out", list, [])
  for layer in range(1 + max(layer for layer, _ in places)):
    for name in names if layer not in left_out else ():
      if (layer, name) not in places:
        raise InputError(f"has no tensors of {name} in layer {layer}, which "
                         "its configuration names")
