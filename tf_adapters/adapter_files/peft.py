"""Reads adapter files of Hugging Face's PEFT (Mangrulkar et al. 2022).

A folder of adapter_config.json with adapter_model.safetensors or
adapter_model.bin, in which the head lies as one of `modules_to_save`. What is
computed is what version 0.21 computes.
"""

import math
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tf_adapters.adapter_files.foreign import (
    NO_HEAD,
    POOLER,
    Foreign,
    Head,
    Stored,
    Tensors,
    WeightsFile,
    as_whole,
    check_padding,
    choose_labels,
    constant,
    lacks_head,
    layers_of,
    make_info,
    model_head,
    refuse,
    setting,
)
from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.adapter_files.peft_tensors import PREFIX, PeftTensors, Places
from tf_adapters.adapter_files.torch_modules import TorchModel
from tf_adapters.errors import InputError
from tf_adapters.modeling.methods.ia3 import IA3Config
from tf_adapters.modeling.methods.lora import LoraConfig
from tf_adapters.modeling.methods.method import Method
from tf_adapters.modeling.methods.places import PROJECTION, PROJECTIONS, Place

WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
# task_type -> type of problem. One output is regression.
TASKS = {"SEQ_CLS": "classification", "TOKEN_CLS": "tagging",
         "QUESTION_ANS": "span"}

# What of a configuration does not change what a file computes, or follows from
# its tensors.
_HARMLESS = {
    "auto_mapping", "base_model_name_or_path", "revision", "inference_mode",
    "peft_type", "peft_version", "task_type", "target_modules",
    "exclude_modules", "modules_to_save", "layers_to_transform",
    "layers_pattern", "fan_in_fan_out", "init_ia3_weights",
    "feedforward_modules", "r", "lora_alpha", "lora_dropout", "bias",
    "use_rslora", "use_dora", "rank_pattern", "alpha_pattern",
    "init_lora_weights", "loftq_config", "eva_config", "megatron_core",
    "qalora_group_size", "runtime_config", "ensure_weight_tying"}
# Others change the pretrained weights where they begin.
_INITS = (True, False, "gaussian", "eva", "orthogonal")

_NAMES = re.compile(r"[\w.]+")
_HEAD = re.compile(rf"{re.escape(PREFIX)}(classifier|qa_outputs)\.")
# Name of a tensor below its module -> what it is.
_LORA = {"lora_A.weight": "a", "lora_B.weight": "b",
         "lora_magnitude_vector": "magnitude",
         "lora_magnitude_vector.weight": "magnitude"}


def read(folder: pathlib.Path, values: Mapping[str, Any],
         labels: Sequence[str] | None, with_head: bool,
         ) -> tuple[AdapterInfo, Foreign]:
  """Reads a file's configuration and the names of its tensors.

  Args:
    folder: the file.
    values: of its adapter_config.json.
    labels: label names, which such files never say.
    with_head: whether its head is read too.

  Returns:
    What it says, and what it holds.

  Raises:
    InputError: it is damaged, or what it holds is not computed here.
  """
  kind = setting(values, "peft_type", str)
  if kind not in ("LORA", "IA3", "LN_TUNING"):
    refuse(f"its peft_type is {kind:.40}"
           + (", which moves the positions of the tokens"
              if kind == "PREFIX_TUNING" else ""))
  _check_settings(values)
  weights = WeightsFile(folder, *WEIGHTS)
  found = PeftTensors(weights)
  head = NO_HEAD
  if with_head:
    head = _head(values, found, labels)
  else:
    found.leave_out_heads()
  if head.pooling != "pooler":  # nobody looks at it
    found.base = {name: stored for name, stored in found.base.items()
                  if not name.startswith("pooler_transform/")}
  method: Method | None = None
  tensors: Tensors = {}
  if kind == "LORA":
    method, tensors = _lora(values, found)
  elif kind == "IA3":
    method, tensors = _ia3(found)
  elif not any("layer_norm" in name for name in found.base):
    raise InputError("holds no layer norm")
  for places in found.places.values():
    for name in places:
      refuse(f"it has a tensor {name} in one of its places")
  weights.check_all_taken()
  changed = [name for name in found.base if not (
      head.tuned_pooler and name.startswith("pooler_transform/"))]
  info = make_info(
      folder.resolve().name, head, method,
      setting(values, "base_model_name_or_path", str | None, None) or "",
      {"peft": setting(values, "peft_version", str | None, None) or "unknown"},
      weights.sha256, changed_base=sorted(changed))
  families = {family for model in found.models for family in model.read_as}
  return info, Foreign(tuple(sorted(families)), _sizes(values, found, head), {
      **tensors, **found.base, **head.tensors})


def _check_settings(values: Mapping[str, Any]) -> None:
  """Refuses what changes a file's function and is not known here."""
  for name, value in values.items():
    if name not in _HARMLESS and value:
      refuse(f"its {name} is {value!r:.40}")
  if values.get("init_lora_weights", True) not in _INITS:
    refuse(f"its init_lora_weights is {values['init_lora_weights']!r:.40}, "
           "which changes the encoder's own weights")


def _sizes(values: Mapping[str, Any], found: PeftTensors,
           head: Head) -> dict[str, int]:
  """Returns the sizes of the encoder that a file tells."""
  sizes = {}
  if "head/kernel" in head.tensors:
    sizes["hidden_size"] = head.tensors["head/kernel"].shape[0]
  # All layers have what is named, unless layers or a pattern are.
  targets = values.get("target_modules")
  if found.places and not found.model.shares_layers and isinstance(
      targets, list) and not (
          values.get("layers_to_transform") not in (None, [])
          or values.get("exclude_modules")
          or any(re.search(r"(^|\.)\d+(\.|$)", str(target))
                 for target in targets)):
    layers = _check_all_there(targets, found)
    sizes["num_hidden_layers"] = as_whole(layers)
  if "word_embeddings/embeddings" in found.base:
    sizes["vocab_size"] = found.base["word_embeddings/embeddings"].shape[0]
  return sizes


def _check_all_there(targets: Sequence[Any],
                     found: PeftTensors) -> Sequence[int]:
  """Refuses a file that lacks tensors of what it names; returns its layers.

  Args:
    targets: ends of modules' names, which each layer has.
    found: the tensors.

  Raises:
    InputError: there are none of such a module.
  """
  layers, _ = _grid(found.places)
  for layer in layers:
    for name in PROJECTIONS:
      module = f".{found.model.projections.name(layer, name)}"
      if (layer, name) not in found.places and any(
          module.endswith(f".{target}") for target in targets):
        raise InputError(f"has no tensors of {name} in layer {layer}, which "
                         "its target_modules name")
  return layers


def _head(values: Mapping[str, Any], found: PeftTensors,
          labels: Sequence[str] | None) -> Head:
  """Reads the head that is among `modules_to_save`."""
  task = setting(values, "task_type", str | None, None)
  weights, model = found.weights, found.model
  problem_type = TASKS.get(task or "")
  if problem_type == "span" and model.has_segments:
    refuse("its task_type is QUESTION_ANS: PEFT's model for it does not tell "
           f"{model.family.title} which text is the question")
  is_there = any(map(_HEAD.match, weights.left))
  if problem_type is None or not is_there:
    lacks_head(f"task_type is {task}, and it holds "
               f"{'a' if is_there else 'no'} classifier, which "
               'task_type="SEQ_CLS" or modules_to_save keeps')
  tensors = model_head(
      model, problem_type, lambda name: weights.take(f"{PREFIX}{name}"))
  if values.get("bias") == "all":  # writes the head's twice, and that before
    for name in list(weights.left):
      if re.search(r"\.(modules_to_save|original_module)\.", name):
        weights.left.pop(name)
  kernel = tensors["head/kernel"]
  if len(kernel.shape) != 2:
    raise InputError("the head's weight is no matrix")
  outputs = kernel.shape[1]
  if problem_type == "span":
    return Head("span", (), "tokens", 0.1, tensors)
  if problem_type == "tagging":
    return Head("tagging", choose_labels(None, labels, outputs), "tokens", 0.1,
                tensors)
  pooler = {*POOLER} <= found.base.keys() | tensors.keys()
  if outputs == 1:
    return Head("regression", (), "pooler", 0.1, tensors, pooler)
  return Head("classification", choose_labels(None, labels, outputs), "pooler",
              0.1, tensors, pooler)


def _lora(values: Mapping[str, Any],
          found: PeftTensors) -> tuple[Method, Tensors]:
  rslora = setting(values, "use_rslora", bool, False)
  dora = setting(values, "use_dora", bool, False)
  theirs: dict[tuple[int, str], Tensors] = {}
  for place, leaves in _checked(found.places).items():
    theirs[place] = {}
    for leaf in list(leaves):
      if leaf not in _LORA:
        refuse(f"it has a tensor {leaf} in one of its places")
      theirs[place][_LORA[leaf]] = leaves.pop(leaf)
    wanted = {"a", "b", "magnitude"} if dora else {"a", "b"}
    if theirs[place].keys() != wanted or any(
        len(theirs[place][name].shape) != 2 for name in "ab"):
      raise InputError(f"has not all tensors of {place[1]} in layer {place[0]}")
  ranks = {place: one["a"].shape[0] for place, one in theirs.items()}
  alphas = {place: _alpha(values, found.model, place) for place in theirs}
  rank = max(ranks.values())
  alike = {*ranks.values()} == {rank} and len({*alphas.values()}) == 1
  layers, targets = _grid(theirs)
  method = LoraConfig(
      rank=rank, alpha=next(iter(alphas.values())) if alike else float(rank),
      rslora=rslora and alike, dora=dora, targets=targets,
      layers=layers_of(found.model, theirs),
      dropout=setting(values, "lora_dropout", float | int, 0.0))
  before: Tensors = {}
  after: Tensors = {}
  for layer in layers:
    for target in targets:
      prefix = method.place_name(Place(layer, PROJECTION, target))
      one = theirs.get((layer, target))
      if one is None:
        if dora:
          refuse(f"it is DoRA that leaves out {target} in layer {layer} alone")
        other = next(one for (_, name), one in theirs.items() if name == target)
        after |= {f"{prefix}/a/kernel": constant(
            (other["a"].shape[1], rank), 0),
                  f"{prefix}/b/kernel": constant(
                      (rank, other["b"].shape[0]), 0)}
        continue
      a, b = one["a"].transposed, one["b"].transposed
      before |= {f"{prefix}/a/kernel": a, f"{prefix}/b/kernel": b}
      if not alike:
        own = ranks[layer, target]
        b = b.times(alphas[layer, target] / (
            math.sqrt(own) if rslora else own))
        a, b = a.padded(a.shape[0], rank), b.padded(rank, b.shape[1])
      after |= {f"{prefix}/a/kernel": a, f"{prefix}/b/kernel": b}
      if dora:
        magnitude = one["magnitude"]
        after[f"{prefix}/magnitude/value"] = magnitude.reshaped(
            math.prod(magnitude.shape))
  check_padding(before, after)
  return method, after


def _alpha(values: Mapping[str, Any], model: TorchModel,
           place: tuple[int, str]) -> float:
  """Returns a place's alpha: of the first pattern that fits its module's end.

  Raises:
    InputError: a pattern is more than a name.
  """
  name = f"{model.names.encoder}.{model.projections.name(*place)}"
  patterns = setting(values, "alpha_pattern", Mapping | None, None) or {}
  for pattern in patterns:
    # Whoever wrote the file could let a pattern run for ever.
    if not _NAMES.fullmatch(pattern):
      refuse(f"its alpha_pattern has {pattern!r:.60}, which is more than the "
             "end of a name")
    if f".{name}".endswith(f".{pattern}"):
      return float(setting(patterns, pattern, float | int))
  return float(setting(values, "lora_alpha", float | int, 8))


def _ia3(found: PeftTensors) -> tuple[Method, Tensors]:
  scales: dict[str, dict[tuple[int, str], Stored]] = {"output": {}, "input": {}}
  for place, leaves in _checked(found.places).items():
    stored = leaves.pop("ia3_l", None)
    if stored is None or len(stored.shape) != 2 or 1 not in stored.shape:
      raise InputError(f"has no ia3_l of {place[1]} in layer {place[0]}")
    # [outputs, 1], or [1, inputs] of feed-forwards.
    side = "output" if stored.shape[1] == 1 else "input"
    scales[side][place] = stored.reshaped(max(stored.shape))
  layers = tuple(sorted({layer for layer, _ in found.places}))
  sides = {side: tuple(name for name in PROJECTIONS if name in {
      name for _, name in scales[side]}) for side in scales}
  method = IA3Config(scaled_outputs=sides["output"] or None,
                     scaled_inputs=sides["input"] or None,
                     layers=layers_of(found.model, found.places))
  tensors: Tensors = {}
  for side, names in sides.items():
    for name in names:
      width = next(stored.shape for (_, other), stored in scales[side].items()
                   if other == name)
      for layer in layers:
        prefix = method.place_name(Place(layer, PROJECTION, name))
        tensors[f"{prefix}/{side}_scale/value"] = scales[side].get(
            (layer, name), constant(width, 1))
  return method, tensors


def _checked(places: Places) -> Places:
  if not places:
    raise InputError("holds no tensors of its peft_type")
  return places


def _grid(places: Mapping[tuple[int, str], Any],
          ) -> tuple[tuple[int, ...], tuple[str, ...]]:
  """Returns the layers and projections that places are in."""
  return (tuple(sorted({layer for layer, _ in places})),
          tuple(name for name in PROJECTIONS
                if name in {name for _, name in places}))
