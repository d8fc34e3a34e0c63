"""Reads adapter files of AdapterHub's library `adapters` (Poth et al. 2023).

A folder of adapter_config.json with adapter.safetensors or pytorch_adapter.bin,
and for the head head_config.json with model_head.safetensors or
pytorch_model_head.bin. Also those of adapter-transformers, its predecessor.
What is computed is what version 1.3 computes.
"""

import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tf_adapters.adapter_files.adapterhub_heads import read_head
from tf_adapters.adapter_files.adapterhub_methods import read_method
from tf_adapters.adapter_files.adapterhub_tensors import MethodTensors
from tf_adapters.adapter_files.foreign import (
    NO_HEAD,
    Foreign,
    WeightsFile,
    make_info,
    refuse,
    setting,
)
from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.adapter_files.torch_modules import torch_models
from tf_adapters.errors import InputError

WEIGHTS = ("adapter.safetensors", "pytorch_adapter.bin")

# Files without a version are older than these names.
_OLD_ACTIVATIONS = {"gelu": "gelu_new", "gelu_orig": "gelu"}
_FAULTY = re.compile(r"adapters\.(0\.\d+|1\.0)\.")  # versions below 1.1


def read(folder: pathlib.Path, values: Mapping[str, Any],
         labels: Sequence[str] | None, with_head: bool,
         ) -> tuple[AdapterInfo, Foreign]:
  """Reads a file's configurations and the names of its tensors.

  Args:
    folder: the file.
    values: of its adapter_config.json.
    labels: label names, where it says none.
    with_head: whether its head is read too.

  Returns:
    What it says, and what it holds.

  Raises:
    InputError: it is damaged, or what it holds is not computed here.
  """
  name = setting(values, "name", str)
  model_type = setting(values, "model_type", str, "bert")
  model = torch_models().get(model_type)
  if model is None:
    refuse(f"it was made for a model of type {model_type!r:.40}")
  config = setting(values, "config", Mapping)
  weights = WeightsFile(folder, *WEIGHTS)
  found = MethodTensors(weights, name, model)
  hidden_size = setting(values, "hidden_size", int)
  if hidden_size < 1:
    raise InputError(f"hidden_size is {hidden_size}")
  method, sizes, tensors = read_method(
      _updated(config, values), found, hidden_size)
  found.check_all_used()
  weights.check_all_taken()
  head, head_sha256 = NO_HEAD, ""
  if with_head:
    head, head_sha256 = read_head(folder, name, labels, model)
  info = make_info(
      name, head, method, setting(values, "model_name", str | None, None) or "",
      {"adapters": setting(values, "version", str, "unknown")
       .removeprefix("adapters.")}, weights.sha256 + head_sha256)
  return info, Foreign(
      model.read_as, {**sizes, "hidden_size": hidden_size},
      {**tensors, **head.tensors})


def _updated(config: Mapping[str, Any],
             values: Mapping[str, Any]) -> dict[str, Any]:
  """Brings a method's configuration of any version to today's form."""
  config = dict(config)
  if "version" not in values and "non_linearity" in config:
    activation = setting(config, "non_linearity", str)
    config["non_linearity"] = _OLD_ACTIVATIONS.get(activation, activation)
  if _FAULTY.match(str(values.get("version"))) and (
      config.get("architecture") == "lora"):
    config["alpha"] = config.get("r")  # these divided nothing by r
  if values.get("type") == "text_task":
    # They declare what their files never have.
    config.pop("invertible_adapter", None)
    config.pop("inv_adapter", None)
  return config
