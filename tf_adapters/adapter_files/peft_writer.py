"""Writes a task as PEFT has it, where that gives equal logits.

What is written is what `peft` reads; version 0.21 of the library loads it.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

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
from tf_adapters.adapter_files.peft import TASKS, WEIGHTS
from tf_adapters.adapter_files.peft_tensors import PREFIX
from tf_adapters.adapter_files.torch_modules import Modules, TorchModel
from tf_adapters.modeling.encoders.family import EncoderConfig, EncoderFamily
from tf_adapters.modeling.methods.ia3 import IA3Config
from tf_adapters.modeling.methods.lora import LoraConfig
from tf_adapters.modeling.methods.method import Method
from tf_adapters.modeling.methods.places import Place
from tf_adapters.modeling.tuning import is_layer_norm

VERSION = "0.21.2"

_TASKS = {problem: task for task, problem in TASKS.items()} | dict.fromkeys(
    ("regression", "multi_label"), "SEQ_CLS")
_CLASSES = {"SEQ_CLS": "SequenceClassification",
            "TOKEN_CLS": "TokenClassification",
            "QUESTION_ANS": "QuestionAnswering"}

Arrays = dict[str, np.ndarray]


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
  model = model_to_write(family)
  encoder, method = _Encoder(model, info.encoder_config), info.method
  base = base_tensors(tensors, info)
  arrays: Arrays = {}
  saved = _head(info, model, tensors, arrays)
  if method is None:
    settings = _layer_norms(base, encoder, tensors, arrays)
  else:  # layer norms that are tuned with a method are kept as the head is
    saved += _norms(base, encoder, tensors, "", arrays)
  if isinstance(method, LoraConfig):
    settings = _lora(method, encoder, tensors, arrays)
  elif isinstance(method, IA3Config):
    settings = _ia3(method, encoder, tensors, arrays)
  elif method is not None:
    cannot_write(f"PEFT has no method as {method.name}")
  task = _TASKS[info.problem_type]
  return {
      CONFIG_NAME: json.dumps({
          **settings, "task_type": task, "modules_to_save": saved,
          "base_model_name_or_path": encoder_name(info),
          "inference_mode": True, "peft_version": VERSION},
          indent=2, sort_keys=True) + "\n",
      WEIGHTS[0]: torch_tensors(arrays),
      "README.md": _card(info, task)}


def _card(info: AdapterInfo, task: str) -> str:
  labels = []
  if info.num_outputs != 2 or info.labels:
    labels.append(f"num_labels={info.num_outputs}")
  if info.labels:
    labels.append(f"id2label={dict(enumerate(info.labels))!r}")
  return foreign_card(
      info, "peft", [],
      "An adapter file for PEFT, written by tf_adapters. Such files have no "
      "names of labels.", [
          "import peft, transformers",
          f"model = transformers.AutoModelFor{_CLASSES[task]}.from_pretrained(",
          f"    {loading(info, *labels)})",
          "model = peft.PeftModel.from_pretrained(model, "
          '"path/to/this/folder")'])


def _head(info: AdapterInfo, model: TorchModel,
          tensors: Mapping[str, np.ndarray], arrays: Arrays) -> list[str]:
  """Adds the head, and the pooler; returns the modules that they are in."""
  if info.problem_type == "span":
    if model.has_segments:
      cannot_write(f"PEFT's model for answers does not tell "
                   f"{model.family.title} which text is the question")
    modules = {"head": "qa_outputs"}
  elif info.problem.per_token:
    modules = {"head": "classifier"}
  else:
    modules = _text_head(info, model, tensors)
  for ours, theirs in modules.items():
    arrays |= {f"{PREFIX}{theirs}.weight": tensors[f"{ours}/kernel"].T,
               f"{PREFIX}{theirs}.bias": tensors[f"{ours}/bias"]}
  encoder = f"{model.names.encoder}."
  # As a whole, unless it is within the encoder.
  return sorted({
      theirs if theirs.startswith(encoder) else theirs.partition(".")[0]
      for theirs in modules.values()})


def _text_head(info: AdapterInfo, model: TorchModel,
               tensors: Mapping[str, np.ndarray]) -> dict[str, str]:
  """Returns {our layer of a head for texts: module of transformers' model}."""
  names = model.names
  own = POOLER[0] in tensors
  if info.pooling != "pooler":
    cannot_write(f"its head pools by {info.pooling!r}, and that of a "
                 f"{names.model}ForSequenceClassification by a pooler: "
                 f"{POOL_BY_POOLER}")
  if len(names.text_head) == 1:
    pooler = f"{names.encoder}.{model.places.name(0, 'pooler_transform')}"
    return dict(zip(TEXT_HEAD[-1 - own:],
                    [pooler, *names.text_head][-1 - own:]))
  if names.text_head_act != "tanh" or not own:
    cannot_write(
        f"the head of a {names.model}ForSequenceClassification has two layers, "
        f"with {names.text_head_act} between them: "
        + ("it is another function" if names.text_head_act != "tanh" else
           f"the first one is as the pooler: {TUNE_POOLER}"))
  return dict(zip(TEXT_HEAD, names.text_head))


class _Encoder(NamedTuple):
  """An encoder, by the names of its modules there."""

  model: TorchModel
  config: EncoderConfig

  def places(self, method: Method) -> dict[Place, str]:
    """Returns {place: module} of where a method enters it."""
    return {place: self._inside(
        self.model.projections, place.layer, place.name)
            for place in method.places(self.config.num_hidden_layers)}

  def module(self, place: str) -> str:
    """Returns the module of a canonical place, which says its layer's number.
    """
    layer = re.search(r"layer_(\d+)/", place)
    return self._inside(
        self.model.places, int(layer[1]) if layer else 0,
        re.sub(r"layer_\d+/", "layer_{i}/", place))

  def _inside(self, modules: Modules, layer: int, ours: str) -> str:
    return f"{self.model.names.encoder}.{modules.name(layer, ours)}"


def _lora(method: LoraConfig, encoder: _Encoder,
          tensors: Mapping[str, np.ndarray], arrays: Arrays) -> dict[str, Any]:
  places = encoder.places(method)
  for place, module in places.items():
    ours, theirs = f"{method.place_name(place)}/", f"{PREFIX}{module}"
    arrays |= {f"{theirs}.lora_A.weight": tensors[f"{ours}a/kernel"].T,
               f"{theirs}.lora_B.weight": tensors[f"{ours}b/kernel"].T}
    if method.dora:
      arrays[f"{theirs}.lora_magnitude_vector"] = tensors[
          f"{ours}magnitude/value"]
  return {"peft_type": "LORA", "r": method.rank, "lora_alpha": method.alpha,
          "use_rslora": method.rslora, "use_dora": method.dora,
          "lora_dropout": method.dropout, "bias": "none",
          "target_modules": _pattern(places.values())}


def _ia3(method: IA3Config, encoder: _Encoder,
         tensors: Mapping[str, np.ndarray], arrays: Arrays) -> dict[str, Any]:
  places = encoder.places(method)
  inputs = set(method.scaled_inputs or ())
  if both := inputs & set(method.scaled_outputs or ()):
    cannot_write(f"PEFT's IA3 multiplies what {min(both)} sees or what it "
                 "gives, not both")
  for place, module in places.items():
    ours = f"{method.place_name(place)}/"
    if place.name in inputs:
      array = tensors[f"{ours}input_scale/value"][np.newaxis]
    else:
      array = tensors[f"{ours}output_scale/value"][:, np.newaxis]
    arrays[f"{PREFIX}{module}.ia3_l"] = array
  return {"peft_type": "IA3", "target_modules": _pattern(places.values()),
          "feedforward_modules": _pattern(
              module for place, module in places.items()
              if place.name in inputs)}


def _layer_norms(base: Sequence[str], encoder: _Encoder,
                 tensors: Mapping[str, np.ndarray],
                 arrays: Arrays) -> dict[str, Any]:
  """Writes a task without a method: layer norms are PEFT's method."""
  if not base:
    cannot_write("it tunes nothing but the head")
  modules = _norms(base, encoder, tensors, ".ln_tuning_layers", arrays)
  return {"peft_type": "LN_TUNING", "target_modules": _pattern(modules)}


def _norms(base: Sequence[str], encoder: _Encoder,
           tensors: Mapping[str, np.ndarray], inside: str,
           arrays: Arrays) -> list[str]:
  """Adds layer norms; returns their modules."""
  if others := [name for name in base if not is_layer_norm(name)]:
    cannot_write(f"it has other weights of the encoder than layer norms, such "
                 f"as {others[0]}")
  modules = []
  for norm in sorted({name.rpartition("/")[0] for name in base}):
    modules.append(encoder.module(norm))
    for leaf, own in (("weight", "gamma"), ("bias", "beta")):
      if f"{norm}/{own}" not in tensors:
        cannot_write(f"it tunes one half of {norm} alone")
      arrays[f"{PREFIX}{modules[-1]}{inside}.{leaf}"] = tensors[
          f"{norm}/{own}"]
  return modules


def _pattern(modules: Iterable[str]) -> str | list[str]:
  """Makes a pattern of modules: ends of names would hit others too.

  "output.dense" is the end of "attention.output.dense". Those of layers that
  are alike are put together.
  """
  layers: dict[str, list[str]] = {}
  for module in modules:
    rest = re.sub(r"layer\.\d+\.", "layer.{i}.", module)
    number = re.search(r"layer\.(\d+)\.", module)
    layers.setdefault(rest, []).append(number[1] if number else "")
  return "|".join(
      re.escape(rest).replace(r"\{i\}", f"({'|'.join(numbers)})")
      for rest, numbers in layers.items()) or []
