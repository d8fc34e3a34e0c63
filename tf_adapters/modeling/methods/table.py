"""The methods that there are."""

import re
from collections.abc import Mapping
from typing import Any

from tf_adapters.errors import InputError
from tf_adapters.modeling.methods.bottleneck import AdapterConfig
from tf_adapters.modeling.methods.compacter import CompacterConfig
from tf_adapters.modeling.methods.ia3 import IA3Config
from tf_adapters.modeling.methods.lora import LoraConfig
from tf_adapters.modeling.methods.method import Method
from tf_adapters.modeling.methods.prefix import PrefixConfig
from tf_adapters.modeling.methods.union import UnionConfig

METHODS: dict[str, type[Method]] = {
    "bottleneck": AdapterConfig, "lora": LoraConfig,
    "ia3": IA3Config, "prefix": PrefixConfig, "compacter": CompacterConfig,
    "union": UnionConfig}

# What all places of a method share is named by its suffix alone.
_PLACE = re.compile(r"transformer/(?:layer_\d+/)?(\w+)/")


def method_from_dict(values: Mapping[str, Any]) -> Method:
  """Makes a method's configuration of the JSON values of its `to_dict`.

  Without "method" they are those of bottleneck adapters, as in the files of
  version 0.1.

  Raises:
    InputError: there is no such method, or a value is out of range.
  """
  values = dict(values)
  name = values.pop("method", "bottleneck")
  if name not in METHODS:
    raise InputError(f"unknown method {name!r:.50}: this version knows "
                     f"{', '.join(METHODS)}")
  if isinstance(values.get("methods"), list):
    values["methods"] = tuple(
        method_from_dict(one) if isinstance(one, Mapping) else one
        for one in values["methods"])
  return METHODS[name].from_dict(values)


def method_of(variable: str) -> type[Method] | None:
  """Returns the method that a variable is of, by its canonical name; or None.

  Example:
    >>> method_of("transformer/layer_0/output_adapter/down/bias").name
    'bottleneck'
  """
  place = _PLACE.match(variable)
  if place:
    for method in METHODS.values():
      if f"_{place[1]}".endswith(f"_{method.suffix}"):
        return method
  return None
