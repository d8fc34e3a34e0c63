"""Writes a task as AdapterHub's library has it, where that gives equal logits.

What is written is what `adapterhub` reads; version 1.3 of the library loads it.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_adapters.adapter_files.adapterhub import WEIGHTS
from tf_adapters.adapter_files.adapterhub_heads import (
    HEAD_CONFIG,
    HEAD_TYPES,
    HEAD_WEIGHTS,
)
from tf_adapters.adapter_files.adapterhub_methods import ACTIVATIONS
from tf_adapters.adapter_files.foreign import POOLER, TEXT_HEAD
from tf_adapters.adapter_files.foreign_writing import (
    POOL_BY_POOLER,
    TUNE_POOLER,
    base_tensors,
    cannot_write,
    encoder_name,
    foreign_card,
    loading,
    model_to_write,
    torch_tensors,
)
from tf_adapters.adapter_files.info import CONFIG_NAME, AdapterInfo
from tf_adapters.adapter_files.torch_modules import TorchModel
from tf_adapters.modeling.encoders.family import EncoderConfig, EncoderFamily
from tf_adapters.modeling.methods.bottleneck import AdapterConfig
from tf_adapters.modeling.methods.compacter import CompacterConfig
from tf_adapters.modeling.methods.ia3 import IA3Config
from tf_adapters.modeling.methods.lora import LoraConfig
from tf_adapters.modeling.methods.method import Method
from tf_adapters.modeling.methods.prefix import PrefixConfig
from tf_adapters.modeling.methods.union import UnionConfig

VERSION = "adapters.1.3.0"

# What PyTorch's ModuleDict is called by already: no adapter can be.
_NAMES_OF_MODULES = {
    "T_destination", "add_module", "apply", "bfloat16", "buffers",
    "call_super_init", "children", "clear", "compile", "cpu", "cuda", "double",
    "dump_patches", "eval", "extra_repr", "float", "forward", "get_buffer",
    "get_extra_state", "get_parameter", "get_submodule", "half", "ipu", "items",
    "keys", "load_state_dict", "modules", "mtia", "named_buffers",
    "named_children", "named_modules", "named_parameters", "parameters", "pop",
    "register_backward_hook", "register_buffer", "register_forward_hook",
    "register_forward_pre_hook", "register_full_backward_hook",
    "register_full_backward_pre_hook", "register_load_state_dict_post_hook",
    "register_load_state_dict_pre_hook", "register_module",
    "register_parameter", "register_state_dict_post_hook",
    "register_state_dict_pre_hook", "requires_grad_", "set_extra_state",
    "set_submodule", "share_memory", "state_dict", "to", "to_empty", "train",
    "training", "type", "update", "values", "xpu", "zero_grad"}

# The first of several names that mean the same.
_ACTIVATIONS = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
_HEAD_TYPES = {ours: theirs for theirs, ours in HEAD_TYPES.items()} | {
    "regression": "classification"}

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class _Written:
  """A task that is written.

  Attributes:
    name: the adapter's.
    model: what it is for.
    config: of its encoder.
    tensors: by canonical name.
  """

  name: str
  model: TorchModel
  config: EncoderConfig
  tensors: Mapping[str, np.ndarray]

  def key(self, module: str, kind: str) -> str:
    """Returns the beginning of tensor names of a kind, in a module."""
    path = f"{module}.{kind}" if module else kind
    return f"{self.model.names.encoder}.{path}.{self.name}."


def files(info: AdapterInfo, tensors: Mapping[str, np.ndarray],
          family: EncoderFamily) -> dict[str, str | bytes]:
  """Makes the files of a task, {name: content}.

  Args:
    info: what our file says.
    tensors: by canonical name.
    family: that its encoder's files are of.

  Raises:
    InputError: there is no such file of equal logits.
  """
  config = info.encoder_config
  name = info.task.replace(".", "_")  # PyTorch's modules have none
  if name in _NAMES_OF_MODULES:
    name += "_"
  method = info.method
  if method is None:
    cannot_write("it has no adapters, and the library's files are of these")
  # Both at once: for each of them it is trained again.
  reasons = []
  if base_tensors(tensors, info):
    reasons.append(
        "it has tuned layer norms or other weights of the encoder, which have "
        'no place in such a file: tune it with "adapters-layer_norms"')
  if info.pooling == "mean":
    reasons.append("its head pools by 'mean', which the library's heads do "
                   f"not: {POOL_BY_POOLER}")
  if reasons:
    cannot_write("; ".join(reasons))
  model = model_to_write(family)
  task = _Written(name, model, config, tensors)
  settings, arrays = _method(method, task)
  head, head_arrays = _head(info, task)
  about = {"hidden_size": config.hidden_size,
           "model_class": f"{model.names.model}AdapterModel",
           "model_name": encoder_name(info),
           "model_type": model.family.name,
           "name": name, "version": VERSION}
  return {
      CONFIG_NAME: _json({**about, "config": settings}),
      WEIGHTS[0]: torch_tensors(arrays),
      HEAD_CONFIG: _json({**about, "config": head}),
      HEAD_WEIGHTS[0]: torch_tensors(head_arrays),
      "README.md": foreign_card(
          info, "adapter-transformers", [model.family.name],
          "An adapter file for AdapterHub's library `adapters`, written by "
          "tf_adapters.", [
              "import adapters",
              "model = adapters.AutoAdapterModel.from_pretrained("
              f"{loading(info)})",
              'model.load_adapter("path/to/this/folder", use_safetensors=True, '
              "set_active=True)"])}


def _json(values: Mapping[str, Any]) -> str:
  return json.dumps(values, indent=2, sort_keys=True) + "\n"


def _method(method: Method, task: _Written) -> tuple[dict[str, Any], Arrays]:
  """Returns a configuration and its tensors, as the library has them."""
  match method:
    case UnionConfig():
      parts = [_method(one, task) for one in method.methods]
      return ({"architecture": "union",
               "configs": [settings for settings, _ in parts]},
              {key: array for _, arrays in parts
               for key, array in arrays.items()})
    case AdapterConfig() | CompacterConfig():
      return _bottleneck(method, task)
    case LoraConfig() | IA3Config():
      return _low_rank(method, task)
    case PrefixConfig():
      return _prefix(method, task)
  cannot_write(f"the library has no method as {method.name}")


def _left_out(method: Method, task: _Written) -> list[int]:
  layers = task.config.num_hidden_layers
  return sorted({*range(layers)} - {*method.entered_layers(layers)})


def _bottleneck(method: AdapterConfig | CompacterConfig,
                task: _Written) -> tuple[dict[str, Any], Arrays]:
  hidden, tensors = task.config.hidden_size, task.tensors
  factor: float = hidden // method.size
  if not factor or hidden // factor != method.size:
    factor = hidden / (method.size + 0.5)
  settings: dict[str, Any] = {
      "architecture": None, "non_linearity": _ACTIVATIONS[method.activation],
      "mh_adapter": "attention" in method.positions,
      "output_adapter": "output" in method.positions,
      "reduction_factor": factor, "dropout": method.dropout,
      "original_ln_before": method.input == "normed", "original_ln_after": True,
      "residual_before_ln": True, "leave_out": _left_out(method, task)}
  arrays: Arrays = {}
  if isinstance(method, CompacterConfig):
    settings |= {"phm_layer": True, "phm_dim": method.dimension,
                 "phm_rank": method.rank}
    arrays[f"{task.key('', 'shared_parameters')}phm_rule"] = tensors[
        f"{method.shared_name}/rule/value"]
  else:
    if method.depth > 1:
      cannot_write("its bottlenecks have several layers")
    if method.layer_norm and method.layer_norm_epsilon != 1e-5:
      cannot_write("its bottlenecks' layer norms have the epsilon "
                   f"{method.layer_norm_epsilon}, the library's 1e-05")
    settings |= {
        "ln_before": method.layer_norm, "is_parallel": method.parallel,
        "scaling": "learned" if method.learned_scaling
        else float(method.scaling)}
  for place in method.places(task.config.num_hidden_layers):
    ours = f"{method.place_name(place)}/"
    theirs = task.key(
        task.model.sublayers.name(place.layer, place.name), "adapters")
    if isinstance(method, CompacterConfig):
      for part, module in (("down", "adapter_down.0"), ("up", "adapter_up")):
        arrays |= {
            f"{theirs}{module}.{leaf}": tensors[f"{ours}{part}_{own}/value"]
            for leaf, own in (("W_left", "left"), ("W_right", "right"),
                              ("b", "bias"))}
      continue
    down = f"adapter_down.{int(method.layer_norm)}"
    for part, module in (("down", down), ("up", "adapter_up")):
      arrays |= {f"{theirs}{module}.weight": tensors[f"{ours}{part}/kernel"].T,
                 f"{theirs}{module}.bias": tensors[f"{ours}{part}/bias"]}
    if method.learned_scaling:
      arrays[f"{theirs}scaling"] = tensors[f"{ours}scaling/value"]
    if method.layer_norm:
      for module in ("adapter_down.0", "adapter_norm_before"):
        arrays |= {
            f"{theirs}{module}.weight": tensors[f"{ours}layer_norm/gamma"],
            f"{theirs}{module}.bias": tensors[f"{ours}layer_norm/beta"]}
  return settings, arrays


def _low_rank(method: LoraConfig | IA3Config,
              task: _Written) -> tuple[dict[str, Any], Arrays]:
  if isinstance(method, LoraConfig) and method.dora:
    cannot_write("the library's DoRA is another function")
  if isinstance(method, IA3Config) and method.scaled_inputs:
    cannot_write("the library's IA3 multiplies outputs alone, not the input of "
                 f"{', '.join(method.scaled_inputs)}")
  if "attention_output" in method.names:
    cannot_write("the library has nothing at the output of attention")
  settings: dict[str, Any] = {
      "architecture": "lora",
      "attn_matrices": [target[0] for target in ("query", "key", "value")
                        if target in method.names],
      "intermediate_lora": "intermediate" in method.names,
      "output_lora": "output" in method.names,
      "leave_out": _left_out(method, task)}
  settings["selfattn_lora"] = bool(settings["attn_matrices"])
  if isinstance(method, LoraConfig):
    settings |= {
        "composition_mode": "add", "r": method.rank,
        "alpha": method.scale * method.rank, "dropout": method.dropout,
        "init_weights": "lora"}
  else:
    settings |= {"composition_mode": "scale", "r": 1, "alpha": 1,
                 "dropout": 0.0, "init_weights": "ia3"}
  arrays: Arrays = {}
  for place in method.places(task.config.num_hidden_layers):
    ours = f"{method.place_name(place)}/"
    theirs = task.key(
        task.model.projections.name(place.layer, place.name), "loras")
    if isinstance(method, LoraConfig):
      arrays |= {f"{theirs}lora_A": task.tensors[f"{ours}a/kernel"].T,
                 f"{theirs}lora_B": task.tensors[f"{ours}b/kernel"].T}
    else:
      arrays[f"{theirs}lora_B"] = task.tensors[
          f"{ours}output_scale/value"][:, np.newaxis]
  return settings, arrays


def _prefix(method: PrefixConfig,
            task: _Written) -> tuple[dict[str, Any], Arrays]:
  if not task.model.names.prefixes:
    cannot_write("the library computes prefixes otherwise in a "
                 f"{task.model.family.title}")
  rows = [task.tensors[f"{method.place_name(place)}/{which}/value"]
          for place in method.places(task.config.num_hidden_layers)
          for which in ("keys", "values")]
  return ({"architecture": "prefix_tuning", "flat": True,
           "prefix_length": method.length, "dropout": method.dropout,
           "leave_out": _left_out(method, task)},
          {f"{task.key('prefix_tuning', 'prefix_tunings')}"
           f"{task.model.names.prefixes}.control_trans":
           np.stack(rows, 1).reshape(-1)})


def _head(info: AdapterInfo,
          task: _Written) -> tuple[dict[str, Any], Arrays]:
  per_token, model = info.problem.per_token, task.model
  own = POOLER[0] in task.tensors and info.pooling == "pooler"
  # A DistilBERT's pooled output is the first token's.
  pooled = info.pooling == "pooler" and not own and (
      "pooler_transform" in model.family.places)
  if pooled and not model.has_pooler:
    cannot_write("its head sees the pooler's output, and "
                 f"{model.family.title} has none there: {TUNE_POOLER}")
  settings: dict[str, Any] = {
      "head_type": _HEAD_TYPES[info.problem_type],
      "num_labels": info.num_outputs, "layers": 2 if own else 1,
      "activation_function": "tanh", "dropout_prob": info.dropout,
      "label2id": {label: number for number, label in enumerate(info.labels)}
      or None}
  if not per_token:
    settings |= {"use_pooler": pooled, "bias": True}
  arrays: Arrays = {}
  for number, ours in zip(("1", "4"), TEXT_HEAD if own else TEXT_HEAD[1:]):
    theirs = f"heads.{task.name}.{number}"
    arrays |= {f"{theirs}.weight": task.tensors[f"{ours}/kernel"].T,
               f"{theirs}.bias": task.tensors[f"{ours}/bias"]}
  return settings, arrays
