"""Reads adapter files of AdapterHub's library `adapters` (Poth et al. 2023).

A folder of adapter_config.json with adapter.safetensors or pytorch_adapter.bin,
and for the head head_config.json with model_head.safetensors or
pytorch_model_head.bin. Also those of adapter-transformers, its predecessor.
What is computed is what version 1.3 computes.
"""

import functools
import math
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tf_adapters.adapter_files.foreign import (
    Head,
    Stored,
    WeightsFile,
    as_whole,
    check_padding,
    choose_labels,
    constant,
    make_info,
    refuse,
    setting,
)
from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.errors import InputError
from tf_adapters.files.reading import read_json
from tf_adapters.modeling.methods.bottleneck import AdapterConfig
from tf_adapters.modeling.methods.compacter import CompacterConfig
from tf_adapters.modeling.methods.ia3 import IA3Config
from tf_adapters.modeling.methods.lora import LoraConfig
from tf_adapters.modeling.methods.method import (
    ATTENTION,
    PROJECTION,
    SUBLAYER,
    Method,
    Place,
)
from tf_adapters.modeling.methods.prefix import PrefixConfig
from tf_adapters.modeling.methods.union import UnionConfig

WEIGHTS = ("adapter.safetensors", "pytorch_adapter.bin")
HEAD_CONFIG = "head_config.json"
HEAD_WEIGHTS = ("model_head.safetensors", "pytorch_model_head.bin")

# What activations are called there -> here.
ACTIVATIONS = {
    "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu", "swish": "swish",
    "silu": "swish", "tanh": "tanh", "linear": "linear"}
# Files without a version are older than these names.
_OLD_ACTIVATIONS = {"gelu": "gelu_new", "gelu_orig": "gelu"}
_OLD_NAMES = {
    "attention_text_task_adapters": "adapters",
    "attention_text_lang_adapters": "adapters",
    "layer_text_task_adapters": "adapters",
    "layer_text_lang_adapters": "adapters",
    "invertible_lang_adapters": "invertible_adapters"}

SUBLAYER_MODULES = {"attention.output": "attention", "output": "output"}
PROJECTION_MODULES = {
    "attention.self.query": "query", "attention.self.key": "key",
    "attention.self.value": "value", "intermediate.dense": "intermediate",
    "output.dense": "output"}
_NUMPY: dict[str, Callable[..., np.ndarray]] = {
    "tanh": np.tanh, "relu": lambda x: np.maximum(x, 0)}

HEAD_TYPES = {
    "classification": "classification",
    "multilabel_classification": "multi_label", "tagging": "tagging",
    "question_answering": "span"}
# Of models of transformers with one head of their own.
MODEL_HEADS = {
    "BertForSequenceClassification": ("classification", "classifier"),
    "BertForTokenClassification": ("tagging", "classifier"),
    "BertForQuestionAnswering": ("question_answering", "qa_outputs")}

_IN_LAYER = re.compile(r"encoder\.layer\.(\d{1,4})\.([\w.]+)")
_FAULTY = re.compile(r"adapters\.(0\.\d+|1\.0)\.")  # versions below 1.1

Tensors = dict[str, Stored]


def read(folder: pathlib.Path, values: Mapping[str, Any],
         labels: Sequence[str] | None,
         ) -> tuple[AdapterInfo, dict[str, int], Tensors]:
  """Reads a file's configurations and the names of its tensors.

  Args:
    folder: the file.
    values: of its adapter_config.json.
    labels: label names, where it says none.

  Returns:
    What it says, the sizes of its encoder as far as it says them, and its
    tensors by canonical name.

  Raises:
    InputError: it is damaged, or what it holds is not computed here.
  """
  name = setting(values, "name", str)
  model_type = setting(values, "model_type", str, "bert")
  if model_type != "bert":
    refuse(f"it was made for a model of type {model_type!r:.40}")
  config = setting(values, "config", Mapping)
  weights = WeightsFile(folder, *WEIGHTS)
  found = _Found(weights, name)
  hidden_size = setting(values, "hidden_size", int)
  if hidden_size < 1:
    raise InputError(f"hidden_size is {hidden_size}")
  method, sizes, tensors = _method(
      _updated(config, values), found, hidden_size)
  found.check_all_used()
  weights.check_all_taken()
  head, head_sha256 = _head(folder, name, labels)
  info = make_info(
      name, head, method, setting(values, "model_name", str | None, None) or "",
      {"adapters": setting(values, "version", str, "unknown")
       .removeprefix("adapters.")}, weights.sha256 + head_sha256)
  return (info, {**sizes, "hidden_size": hidden_size},
          {**tensors, **head.tensors})


def _updated(config: Mapping[str, Any],
             values: Mapping[str, Any]) -> dict[str, Any]:
  """A method's configuration of any version as those of today are."""
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


class _Found:
  """The tensors of a file by what they are of.

  Attributes:
    of: kind of module ("adapters", "loras") -> (layer, module) -> name of a
      tensor below it -> tensor.
    prefix: those of prefixes, by name below the module.
    rule: what the layers of a Compacter share, or None.
  """

  def __init__(self, weights: WeightsFile, name: str):
    self.of: dict[str, dict[tuple[int, str], Tensors]] = {
        "adapters": {}, "loras": {}}
    self.prefix: Tensors = {}
    self.rule: Stored | None = None
    for full in list(weights.left):
      key = full
      for old, new in _OLD_NAMES.items():
        key = key.replace(old, new)
      key = key.removeprefix("bert.")
      module, kind, leaf = _split(key, name)
      place = _IN_LAYER.fullmatch(module)
      if kind in self.of and place:
        self.of[kind].setdefault((int(place[1]), place[2]), {})[leaf] = (
            weights.take(full))
      elif kind == "prefix_tunings" and leaf.startswith("self_prefix."):
        if module == "prefix_tuning":
          self.prefix[leaf.removeprefix("self_prefix.")] = weights.take(full)
        elif module.endswith(".prefix_tuning.pool"):
          weights.left.pop(full)  # the same again, by the name of a layer
      elif kind == "shared_parameters" and leaf == "phm_rule":
        self.rule = weights.take(full)
      elif kind in ("refts", "prompt_tunings", "invertible_adapters",
                    "prefix_gates", "adapter_fusion_layer"):
        refuse(f"it holds {kind.replace('_', ' ')}")


  def check_all_used(self) -> None:
    """Refuses tensors that the configuration does not tell of."""
    for places in self.of.values():
      for tensors in places.values():
        _check_none_left(tensors)
    _check_none_left(self.prefix)
    if self.rule is not None:
      refuse("it has a phm_rule without a Compacter")


def _split(key: str, name: str) -> tuple[str, str, str]:
  """(module, kind, name below) of a tensor's name."""
  module, mark, leaf = key.partition(f".{name}.")
  if not mark:
    return key, "", ""
  module, _, kind = module.rpartition(".")
  return module, kind, leaf


def _method(config: Mapping[str, Any], found: _Found, hidden_size: int,
            ) -> tuple[Method, dict[str, int], Tensors]:
  """A method, the sizes that its tensors tell, and these by canonical name."""
  architecture = config.get("architecture")
  match architecture:
    case None:
      return _bottleneck(config, found)
    case "lora":
      return _low_rank(config, found)
    case "prefix_tuning":
      return _prefix(config, found, hidden_size)
    case "union":
      parts = [_method(setting({"config": one}, "config", Mapping), found,
                       hidden_size) for one in setting(config, "configs", list)]
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


def _whole(config: Mapping[str, Any], layers: Sequence[int]) -> dict[str, int]:
  """How many layers the encoder has, if the file tells."""
  if config.get("leave_out"):
    return {}
  return {"num_hidden_layers": as_whole(layers)}


def _bottleneck(config: Mapping[str, Any], found: _Found,
                ) -> tuple[Method, dict[str, int], Tensors]:
  _must_be(config, use_gating=False, ln_after=False, original_ln_after=True,
           inv_adapter=None, invertible_adapter=None)
  places = _in_places(found.of["adapters"], SUBLAYER_MODULES)
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
      "layers": tuple({layer for layer, _ in places}),
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
    _check_none_left(theirs)
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


def _product(stored: Stored, factors: Stored) -> Stored:
  """With the last axis multiplied."""
  return Stored(stored.shape, lambda: stored.read() * factors.read())


def _compacter(config: Mapping[str, Any], found: _Found,
               places: Mapping[tuple[int, str], Tensors],
               common: Mapping[str, Any],
               ) -> tuple[Method, dict[str, int], Tensors]:
  _must_be(config, factorized_phm_W=True, shared_W_phm=False,
           shared_phm_rule=True, factorized_phm_rule=False, phm_bias=True)
  if found.rule is None:
    raise InputError("has no phm_rule")
  dimension = setting(config, "phm_dim", int, 4)
  first = next(iter(places.values()))
  _, narrow, rank = _shape(first, "adapter_up.W_left", 3)
  method = CompacterConfig(
      **common, size=narrow * dimension, dimension=dimension, rank=rank)
  tensors: Tensors = {f"{method.shared_name}/rule/value": found.rule}
  found.rule = None
  for (layer, position), theirs in places.items():
    prefix = method.place_name(Place(layer, SUBLAYER, position))
    for part, module in (("down", "adapter_down.0"), ("up", "adapter_up")):
      tensors |= {
          f"{prefix}/{part}_left/value": _leaf(theirs, f"{module}.W_left"),
          f"{prefix}/{part}_right/value": _leaf(theirs, f"{module}.W_right"),
          f"{prefix}/{part}_bias/value": _leaf(theirs, f"{module}.b")}
    _check_none_left(theirs)
  return method, _whole(config, common["layers"]), tensors


def _low_rank(config: Mapping[str, Any], found: _Found,
              ) -> tuple[Method, dict[str, int], Tensors]:
  """LoRA, or IA3, which is the same there with factors."""
  _must_be(config, use_gating=False, vera_d=None, vera_b=None)
  if config.get("use_dora"):
    refuse("it is DoRA as AdapterHub defines it, with another norm than PEFT")
  places = _in_places(found.of["loras"], PROJECTION_MODULES)
  layers = tuple({layer for layer, _ in places})
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
    _check_none_left(theirs)
  return method, _whole(config, layers), tensors


def _prefix(config: Mapping[str, Any], found: _Found, hidden_size: int,
            ) -> tuple[Method, dict[str, int], Tensors]:
  _must_be(config, use_gating=False)
  theirs, found.prefix = found.prefix, {}
  length = setting(config, "prefix_length", int, 30)
  if setting(config, "flat", bool, False):
    rows = _leaf(theirs, "control_trans")
  else:
    rows = _network(config, theirs)
  _check_none_left(theirs)
  numbers = math.prod(rows.shape)
  count = numbers // (2 * hidden_size * max(length, 1))
  if count < 1 or numbers != count * 2 * hidden_size * length:
    raise InputError(f"its prefixes have {numbers} numbers, which do not fit "
                     f"prefix_length {length} and hidden_size {hidden_size}")
  left_out = {layer for layer in setting(config, "leave_out", list, [])
              if type(layer) is int and layer >= 0}
  layers = [layer for layer in range(count + len(left_out))
            if layer not in left_out][:count]
  method = PrefixConfig(
      length=length, flat=True, layers=tuple(layers),
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
  return method, {"num_hidden_layers": count + len(left_out)}, tensors


def _network(config: Mapping[str, Any], theirs: Tensors) -> Stored:
  """What the network that makes prefixes gives, [length, all layers]."""
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


def _head(folder: pathlib.Path, name: str,
          labels: Sequence[str] | None) -> tuple[Head, str]:
  """The head, and the sha256 of its file of tensors."""
  if not (folder / HEAD_CONFIG).exists():
    raise InputError(
        f"has no head ({HEAD_CONFIG}): it is of no task, as language adapters "
        "are, or was saved without one")
  values = read_json(folder / HEAD_CONFIG)
  weights = WeightsFile(folder, *HEAD_WEIGHTS)
  config = setting(values, "config", Mapping | None, None)
  if config is None:
    head = _model_head(values, weights, labels)
  else:
    head = _flexible_head(
        config, weights, setting(values, "name", str, name), labels)
  weights.check_all_taken()
  return head, weights.sha256


def _flexible_head(config: Mapping[str, Any], weights: WeightsFile, name: str,
                   labels: Sequence[str] | None) -> Head:
  """Of the library's own: dropout, dense, activation, dropout, dense."""
  head_type = setting(config, "head_type", str)
  if head_type not in HEAD_TYPES:
    refuse(f"its head is of type {head_type!r:.40}")
  problem_type = HEAD_TYPES[head_type]
  layers = setting(config, "layers", int, 1)
  pooled = setting(config, "use_pooler", bool, False)
  of_texts = problem_type in ("classification", "multi_label")
  tensors = {}
  pooling = "pooler" if pooled else "cls"
  if not of_texts:
    pooling = "tokens"
  if layers == 2 and of_texts and not pooled:
    # A pooler of the task's own.
    if config.get("activation_function") != "tanh":
      refuse("its head's activation_function is "
             f"{config.get('activation_function')!r:.40}")
    pooling = "pooler"
    tensors = {
        "pooler_transform/kernel": weights.take(
            f"heads.{name}.1.weight").transposed,
        "pooler_transform/bias": weights.take(f"heads.{name}.1.bias")}
  elif layers != 1:
    refuse(f"its head has {layers} layers"
           + " behind BERT's pooler" * (of_texts and pooled))
  dense = f"heads.{name}.{4 if tensors else 1}"
  kernel = weights.take(f"{dense}.weight").transposed
  outputs = kernel.shape[-1] if kernel.shape else 0
  tensors["head/kernel"] = kernel
  tensors["head/bias"] = (
      weights.take(f"{dense}.bias") if setting(config, "bias", bool, True)
      else constant((outputs,), 0))
  rate = setting(config, "dropout_prob", float | int | None, None)
  return _named(problem_type, pooling, 0.1 if rate is None else rate, tensors,
                config.get("label2id"), labels, outputs)


def _model_head(values: Mapping[str, Any], weights: WeightsFile,
                labels: Sequence[str] | None) -> Head:
  """Of a model of transformers that has one."""
  model = setting(values, "model_class", str)
  if model not in MODEL_HEADS:
    refuse(f"its head is that of a {model:.60}")
  head_type, module = MODEL_HEADS[model]
  problem_type = HEAD_TYPES[head_type]
  kernel = weights.take(f"{module}.weight").transposed
  tensors = {"head/kernel": kernel,
             "head/bias": weights.take(f"{module}.bias")}
  return _named(
      problem_type, "pooler" if problem_type == "classification" else "tokens",
      0.1, tensors, values.get("label2id"), labels,
      kernel.shape[-1] if kernel.shape else 0)


def _named(problem_type: str, pooling: str, dropout: float,
           tensors: Mapping[str, Stored], label2id: Any,
           labels: Sequence[str] | None, outputs: int) -> Head:
  """A head with the names of its labels."""
  if problem_type == "classification" and outputs == 1:
    problem_type = "regression"
  names: tuple[str, ...] = ()
  if problem_type in ("classification", "multi_label", "tagging"):
    own = None
    if label2id is not None:
      own = sorted(setting({"label2id": label2id}, "label2id", Mapping),
                   key=lambda label: str(label2id[label]).zfill(9))
      if [label2id[label] for label in own] != list(range(len(own))):
        raise InputError("label2id does not number its labels from 0")
    names = choose_labels(own, labels, outputs)
  return Head(problem_type, names, pooling, dropout, tensors,
              "pooler_transform/kernel" in tensors)


def _in_places(modules: Mapping[tuple[int, str], Tensors],
               names: Mapping[str, str]) -> dict[tuple[int, str], Tensors]:
  """{(layer, our name of the module): tensors}."""
  if not modules:
    raise InputError("holds no tensors of its configuration's architecture")
  for _, module in modules:
    if module not in names:
      refuse(f"it changes {module}")
  return {(layer, names[module]): tensors
          for (layer, module), tensors in sorted(modules.items())}


def _leaf(tensors: Tensors, name: str) -> Stored:
  if name not in tensors:
    raise InputError(f"has no {name} of one of its places")
  return tensors.pop(name)


def _shape(tensors: Tensors, name: str, rank: int) -> tuple[int, ...]:
  if name not in tensors or len(tensors[name].shape) != rank:
    raise InputError(f"has no {name} of {rank} dimensions")
  return tensors[name].shape


def _check_none_left(tensors: Tensors) -> None:
  for name in tensors:
    refuse(f"it has a tensor {name} in one of its places")
