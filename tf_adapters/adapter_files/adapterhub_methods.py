"""Reads what the methods of AdapterHub's files have in an encoder.

Configurations are those of the library `adapters`, whose version 1.3 says what
is computed.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tf_adapters.adapter_files.adapterhub_tensors import (
    MethodTensors,
    check_all_there,
    check_none_left,
)
from tf_adapters.adapter_files.foreign import (
    Stored,
    Tensors,
    as_whole,
    check_padding,
    layers_of,
    refuse,
    setting,
)
from tf_adapters.adapter_files.torch_modules import Modules
from tf_adapters.errors import InputError
from tf_adapters.modeling.methods.bottleneck import AdapterConfig
from tf_adapters.modeling.methods.compacter import CompacterConfig
from tf_adapters.modeling.methods.ia3 import IA3Config
from tf_adapters.modeling.methods.lora import LoraConfig
from tf_adapters.modeling.methods.method import Method
from tf_adapters.modeling.methods.places import (
    ATTENTION,
    PROJECTION,
    SUBLAYER,
    Place,
)
from tf_adapters.modeling.methods.prefix import PrefixConfig
from tf_adapters.modeling.methods.union import UnionConfig

# What activations are called there -> here.
ACTIVATIONS = {
    "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu", "swish": "swish",
    "silu": "swish", "tanh": "tanh", "linear": "linear"}
_NUMPY: dict[str, Callable[..., np.ndarray]] = {
    "tanh": np.tanh, "relu": lambda x: np.maximum(x, 0)}


def read_method(config: Mapping[str, Any], found: MethodTensors,
                hidden_size: int) -> tuple[Method, dict[str, int], Tensors]:
  """Makes a method of its configuration and tensors.

  Args:
    config: as those of today are.
    found: its tensors, of which it takes what it needs.
    hidden_size: of the encoder.

  Returns:
    The method, the sizes of the encoder that its tensors tell, and these by
    canonical name.

  Raises:
    InputError: it is not computed here, or its tensors are others.
  """
  architecture = config.get("architecture")
  match architecture:
    case None:
      return _bottleneck(config, found)
    case "lora":
      return _low_rank(config, found)
    case "prefix_tuning":
      return _prefix(config, found, hidden_size)
    case "union":
      parts = [read_method(
          setting({"config": one}, "config", Mapping), found, hidden_size)
          for one in setting(config, "configs", list)]
      sizes: dict[str, int] = {}
      tensors: Tensors = {}
      for _, part_sizes, part_tensors in parts:
        sizes |= part_sizes
        tensors |= part_tensors
      return UnionConfig(tuple(method for method, *_ in parts)), sizes, tensors
  refuse(f"its architecture is {architecture!r:.40}")


def _must_be(config: Mapping[str, Any], **values: Any) -> None:
  """Refuses settings for which there is no equal here."""
  for name, value in values.items():
    if config.get(name, value) != value:
      refuse(f"its {name} is {config[name]!r:.40}")


def _whole(config: Mapping[str, Any],
           layers: Sequence[int] | None) -> dict[str, int]:
  """Returns the number of the encoder's layers by name, if the file tells."""
  if layers is None or config.get("leave_out"):
    return {}
  return {"num_hidden_layers": as_whole(layers)}


def _bottleneck(config: Mapping[str, Any], found: MethodTensors,
                ) -> tuple[Method, dict[str, int], Tensors]:
  _must_be(config, use_gating=False, ln_after=False, original_ln_after=True,
           inv_adapter=None, invertible_adapter=None)
  places = _in_places(found.of["adapters"], found.model.sublayers)
  check_all_there(config, found, places, [
      position for position, key in (
          ("attention", "mh_adapter"), ("output", "output_adapter"))
      if setting(config, key, bool, False)])
  parallel = setting(config, "is_parallel", bool, False)
  normed = setting(config, "original_ln_before", bool, False) and not parallel
  if normed:
    _must_be(config, residual_before_ln=True)
  activation = ACTIVATIONS.get(
      str(setting(config, "non_linearity", str)).lower())
  if activation is None:
    refuse(f"its non_linearity is {config['non_linearity']!r:.40}")
  common: dict[str, Any] = {
      "activation": activation,
      "layers": layers_of(found.model, places),
      "positions": tuple({position for _, position in places}),
      "input": "normed" if normed else "sublayer"}
  rate = setting(config, "dropout", float | int, 0.0)
  if config.get("phm_layer"):
    if parallel or config.get("ln_before") or config.get("scaling", 1) != 1:
      refuse("it is a Compacter that is parallel, scaled or has a layer norm")
    return _compacter(config, found, places, {**common, "dropout": rate})
  layer_norm = setting(config, "ln_before", bool, False)
  scaling = setting(config, "scaling", float | int | str, 1.0)
  if isinstance(scaling, str) and scaling not in ("learned", "channel"):
    refuse(f"its scaling is {scaling!r:.40}")
  down = f"adapter_down.{int(layer_norm)}"
  sizes = [_shape(tensors, f"{down}.weight", 2)[0]
           for tensors in places.values()]
  method = AdapterConfig(
      **common, size=max(sizes), dropout=rate, parallel=parallel,
      layer_norm=layer_norm, layer_norm_epsilon=1e-5 if layer_norm else 1e-12,
      scaling=float(scaling) if not isinstance(scaling, str) else 1.0,
      learned_scaling=scaling == "learned")
  before: Tensors = {}
  after: Tensors = {}
  for (layer, position), theirs in places.items():
    ours = _bottleneck_parts(theirs, down, scaling, layer_norm)
    check_none_left(theirs)
    hidden = math.prod(ours["up/bias"].shape)
    prefix = method.place_name(Place(layer, SUBLAYER, position))
    before |= {f"{prefix}/{name}": stored for name, stored in ours.items()}
    # All activations are 0 at 0, so that zeros change nothing.
    padded = {"down/kernel": (hidden, method.size), "down/bias": (method.size,),
              "up/kernel": (method.size, hidden)}
    after |= {f"{prefix}/{name}": (
        stored.padded(*padded[name]) if name in padded else stored)
        for name, stored in ours.items()}
  check_padding(before, after)
  return method, _whole(config, common["layers"]), after


def _bottleneck_parts(theirs: dict[str, Stored], down: str,
                      scaling: float | str, layer_norm: bool) -> Tensors:
  """Takes the tensors of one adapter, and calls them by our names."""
  ours = {"down/kernel": _leaf(theirs, f"{down}.weight").transposed,
          "down/bias": _leaf(theirs, f"{down}.bias"),
          "up/kernel": _leaf(theirs, "adapter_up.weight").transposed,
          "up/bias": _leaf(theirs, "adapter_up.bias")}
  if scaling == "channel":
    channel = _leaf(theirs, "scaling")
    for name in ("up/kernel", "up/bias"):
      ours[name] = _product(ours[name], channel)
  elif scaling == "learned":
    ours["scaling/value"] = _leaf(theirs, "scaling")
  if layer_norm:
    norm = ("adapter_norm_before" if "adapter_norm_before.weight" in theirs
            else "adapter_down.0")
    ours |= {"layer_norm/gamma": _leaf(theirs, f"{norm}.weight"),
             "layer_norm/beta": _leaf(theirs, f"{norm}.bias")}
    for name in ("weight", "bias"):  # the same tensors again
      theirs.pop(f"adapter_down.0.{name}", None)
      theirs.pop(f"adapter_norm_before.{name}", None)
  return ours


def _product(stored: Stored, factors: Stored) -> Stored:
  """Multiplies along the last axis."""
  return Stored(stored.shape, lambda: stored.read() * factors.read())


def _compacter(config: Mapping[str, Any], found: MethodTensors,
               places: Mapping[tuple[int, str], Tensors],
               common: Mapping[str, Any],
               ) -> tuple[Method, dict[str, int], Tensors]:
  _must_be(config, shared_phm_rule=True, phm_bias=True)
  dimension = setting(config, "phm_dim", int, 4)
  if config.get("factorized_phm_rule"):
    rule = _matmul(*_factors(found.shared, "phm_rule", True))
  else:
    rule = _leaf(found.shared, "phm_rule")
  if rule.shape != (dimension,) * 3:
    raise InputError(f"its phm_rule has shape {list(rule.shape)}, which does "
                     f"not fit phm_dim {dimension}")
  in_factors = setting(config, "factorized_phm_W", bool, True)
  modules = {"down": "adapter_down.0", "up": "adapter_up"}
  factors: dict[tuple[tuple[int, str], str], tuple[Stored, Stored]] = {}
  for part, module in modules.items():
    if config.get("shared_W_phm"):  # in all places the same
      factors |= dict.fromkeys(
          ((place, part) for place in places),
          _factors(found.shared, f"W_{part}", in_factors))
    else:
      factors |= {(place, part): _factors(theirs, f"{module}.W", in_factors)
                  for place, theirs in places.items()}
  _, narrow, rank = factors[next(iter(places)), "up"][0].shape
  method = CompacterConfig(
      **common, size=narrow * dimension, dimension=dimension, rank=rank)
  tensors: Tensors = {f"{method.shared_name}/rule/value": rule}
  for (layer, position), theirs in places.items():
    prefix = method.place_name(Place(layer, SUBLAYER, position))
    for part, module in modules.items():
      left, right = factors[(layer, position), part]
      tensors |= {
          f"{prefix}/{part}_left/value": left,
          f"{prefix}/{part}_right/value": right,
          f"{prefix}/{part}_bias/value": _leaf(theirs, f"{module}.b")}
    check_none_left(theirs)
  return method, _whole(config, common["layers"]), tensors


def _matmul(left: Stored, right: Stored) -> Stored:
  """Computes [n, rows, r] @ [n, r, columns]."""
  return Stored((*left.shape[:2], *right.shape[2:]),
                lambda: left.read() @ right.read())


def _factors(tensors: Tensors, name: str,
             in_factors: bool) -> tuple[Stored, Stored]:
  """Writes matrices [n, rows, columns] as [n, rows, r] @ [n, r, columns]."""
  if in_factors:
    left, right = (_shape(tensors, f"{name}_{factor}", 3)
                   for factor in ("left", "right"))
    if (left[0], left[2]) != right[:2]:
      raise InputError(f"its {name}_left and {name}_right do not fit")
    return _leaf(tensors, f"{name}_left"), _leaf(tensors, f"{name}_right")
  count, rows, columns = _shape(tensors, name, 3)
  whole, rank = _leaf(tensors, name), min(rows, columns)
  one = Stored((count, rank, rank), lambda: np.tile(
      np.eye(rank, dtype=np.float32), (count, 1, 1)))
  return (one, whole) if rank == rows else (whole, one)


def _low_rank(config: Mapping[str, Any], found: MethodTensors,
              ) -> tuple[Method, dict[str, int], Tensors]:
  """Reads LoRA, or IA3, which is the same there with factors."""
  _must_be(config, use_gating=False, vera_d=None, vera_b=None)
  if config.get("use_dora"):
    refuse("it is DoRA as AdapterHub defines it, with another norm than PEFT")
  places = _in_places(found.of["loras"], found.model.projections)
  letters = setting(config, "attn_matrices", list, ["q", "v"]) if (
      setting(config, "selfattn_lora", bool, True)) else ()
  check_all_there(config, found, places, [
      target for target in ("query", "key", "value") if target[0] in letters
  ] + [target for target in ("intermediate", "output")
       if setting(config, f"{target}_lora", bool, False)])
  layers = layers_of(found.model, places)
  targets = tuple({target for _, target in places})
  rank = setting(config, "r", int, 8)
  alpha = float(setting(config, "alpha", float | int, 8))
  mode = setting(config, "composition_mode", str, "add")
  if mode not in ("add", "scale"):
    refuse(f"its composition_mode is {mode!r:.40}")
  method: Method
  if mode == "add":
    method = LoraConfig(
        rank=rank, alpha=alpha, targets=targets, layers=layers,
        dropout=setting(config, "dropout", float | int, 0.0))
  else:
    method = IA3Config(
        scaled_outputs=targets, scaled_inputs=None, layers=layers)
  tensors: Tensors = {}
  for (layer, target), theirs in places.items():
    prefix = method.place_name(Place(layer, PROJECTION, target))
    b = _leaf(theirs, "lora_B")
    if mode == "add":
      tensors |= {f"{prefix}/a/kernel": _leaf(theirs, "lora_A").transposed,
                  f"{prefix}/b/kernel": b.transposed}
    else:
      theirs.pop("lora_A", None)
      tensors[f"{prefix}/output_scale/value"] = b.reshaped(
          math.prod(b.shape)).times(alpha)
    check_none_left(theirs)
  return method, _whole(config, layers), tensors


def _prefix(config: Mapping[str, Any], found: MethodTensors, hidden_size: int,
            ) -> tuple[Method, dict[str, int], Tensors]:
  _must_be(config, use_gating=False)
  theirs, found.prefix = found.prefix, {}
  length = setting(config, "prefix_length", int, 30)
  if setting(config, "flat", bool, False):
    rows = _leaf(theirs, "control_trans")
  else:
    rows = _network(config, theirs)
  check_none_left(theirs)
  numbers = math.prod(rows.shape)
  count = numbers // (2 * hidden_size * max(length, 1))
  if count < 1 or numbers != count * 2 * hidden_size * length:
    raise InputError(f"its prefixes have {numbers} numbers, which do not fit "
                     f"prefix_length {length} and hidden_size {hidden_size}")
  left_out = {layer for layer in setting(config, "leave_out", list, [])
              if type(layer) is int and layer >= 0}
  layers = [layer for layer in range(count + len(left_out))
            if layer not in left_out][:count]
  if found.model.shares_layers:
    if count > 1:
      raise InputError(f"has prefixes of {count} layers, which share one there")
    layers = [0]
  method = PrefixConfig(
      length=length, flat=True, layers=layers_of(
          found.model, [(layer, "attention") for layer in layers]),
      dropout=setting(config, "dropout", float | int, 0.0))
  # Of all layers: keys and values of the first one, of the second one, ...
  whole = functools.cache(lambda: np.asarray(rows.read(), np.float32).reshape(
      length, 2 * count, hidden_size))
  names = [f"{method.place_name(Place(layer, ATTENTION, 'attention'))}/{name}"
           for layer in layers for name in ("keys", "values")]
  tensors = {
      f"{name}/value": Stored((length, hidden_size), functools.partial(
          lambda place: whole()[:, place], place))
      for place, name in enumerate(names)}
  return method, {} if found.model.shares_layers else {
      "num_hidden_layers": count + len(left_out)}, tensors


def _network(config: Mapping[str, Any], theirs: Tensors) -> Stored:
  """Computes the prefixes that the network makes, [length, all layers]."""
  activation = str(config.get("non_linearity", "tanh")).lower()
  if activation not in _NUMPY:
    refuse(f"its prefix's non_linearity is {activation!r:.40}")
  parts = [_leaf(theirs, name) for name in (
      "wte.weight", "control_trans.0.weight", "control_trans.0.bias",
      "control_trans.2.weight", "control_trans.2.bias")]
  match [part.shape for part in parts]:
    case [(length, hidden), (inner, h), (i,), (wide, n), (w,)] if (
        h == hidden and i == n == inner and w == wide):
      pass
    case _:
      raise InputError("the shapes of its prefix's network do not fit")

  def compute() -> np.ndarray:
    table, one, one_bias, two, two_bias = (
        np.asarray(part.read(), np.float32) for part in parts)
    result: np.ndarray = _NUMPY[activation](
        table @ one.T + one_bias) @ two.T + two_bias
    return result

  return Stored((length, wide), compute)


def _in_places(modules: Mapping[str, Tensors],
               known: Modules) -> dict[tuple[int, str], Tensors]:
  """Returns {(layer, our name of the module): tensors}."""
  if not modules:
    raise InputError("holds no tensors of its configuration's architecture")
  places = {}
  for module, tensors in modules.items():
    place = known.find(module)
    if place is None or place[1] == "attention_output":  # it has nothing there
      refuse(f"it changes {module:.60}")
    places[place] = tensors
  return dict(sorted(places.items()))


def _leaf(tensors: Tensors, name: str) -> Stored:
  if name not in tensors:
    raise InputError(f"has no {name} of one of its places")
  return tensors.pop(name)


def _shape(tensors: Tensors, name: str, rank: int) -> tuple[int, ...]:
  if name not in tensors or len(tensors[name].shape) != rank:
    raise InputError(f"has no {name} of {rank} dimensions")
  return tensors[name].shape
