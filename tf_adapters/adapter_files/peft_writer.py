"""Writes a task as PEFT has it, where that gives equal logits.

What is written is what `peft` reads; version 0.21 of the library loads it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import safetensors.numpy

from tf_adapters.adapter_files.foreign import base_tensors, cannot_write
from tf_adapters.adapter_files.info import CONFIG_NAME, AdapterInfo
from tf_adapters.adapter_files.peft import MODULES, PREFIX, WEIGHTS
from tf_adapters.modeling.encoders.bert import BERT
from tf_adapters.modeling.encoders.family import EncoderConfig
from tf_adapters.modeling.methods.ia3 import IA3Config
from tf_adapters.modeling.methods.lora import LoraConfig
from tf_adapters.modeling.methods.method import Place
from tf_adapters.modeling.tuning import is_layer_norm

VERSION = "0.21.2"

_MODULES = {ours: theirs for theirs, ours in MODULES.items()}
_TASKS = {"classification": "SEQ_CLS", "regression": "SEQ_CLS",
          "multi_label": "SEQ_CLS", "tagging": "TOKEN_CLS"}
_CLASSES = {"SEQ_CLS": "SequenceClassification",
            "TOKEN_CLS": "TokenClassification"}

Arrays = dict[str, np.ndarray]


def files(info: AdapterInfo,
          tensors: Mapping[str, np.ndarray]) -> dict[str, str | bytes]:
  """The files of a task, {name: content}.

  Args:
    info: what our file says.
    tensors: by canonical name.

  Raises:
    InputError: there is no such file of equal logits.
  """
  if info.problem_type not in _TASKS:
    cannot_write("PEFT's model for answers does not tell BERT which text is "
                 "the question")
  if info.pooling not in ("pooler", "tokens"):
    cannot_write(f"its head pools by {info.pooling!r}, and those of "
                 "transformers' BERTs by the pooler")
  config, method = info.encoder_config, info.method
  base = base_tensors(tensors, info)
  arrays: Arrays = {}
  if method is None:
    settings = _layer_norms(base, tensors, arrays)
  elif base:
    cannot_write("it has tuned layer norms or other weights of the encoder "
                 "beside its method")
  elif isinstance(method, LoraConfig):
    settings = _lora(method, config, tensors, arrays)
  elif isinstance(method, IA3Config):
    settings = _ia3(method, config, tensors, arrays)
  else:
    cannot_write(f"PEFT has no method as {method.name}")
  task = _TASKS[info.problem_type]
  saved = ["classifier"]
  arrays |= {f"{PREFIX}classifier.weight": tensors["head/kernel"].T,
             f"{PREFIX}classifier.bias": tensors["head/bias"]}
  if "pooler_transform/kernel" in tensors and info.pooling == "pooler":
    saved.append("pooler")
    pooler = f"{PREFIX}bert.pooler.dense"
    arrays |= {f"{pooler}.weight": tensors["pooler_transform/kernel"].T,
               f"{pooler}.bias": tensors["pooler_transform/bias"]}
  return {
      CONFIG_NAME: json.dumps({
          **settings, "task_type": task, "modules_to_save": saved,
          "base_model_name_or_path": info.encoder["source"],
          "inference_mode": True, "peft_version": VERSION},
          indent=2, sort_keys=True) + "\n",
      WEIGHTS[0]: safetensors.numpy.save({
          name: np.ascontiguousarray(array, np.float32)
          for name, array in arrays.items()}, {"format": "pt"}),
      "README.md": _card(info, task)}


def _card(info: AdapterInfo, task: str) -> str:
  labels = ""
  if info.num_outputs != 2 or info.labels:
    labels = f", num_labels={info.num_outputs}"
  if info.labels:
    labels += f", id2label={dict(enumerate(info.labels))!r}"
  return "\n".join([
      f"# {info.task}", "",
      "An adapter file for PEFT, written by tf_adapters. Such files have no "
      "names of labels:", "", "```python", "import peft, transformers",
      f"model = transformers.AutoModelFor{_CLASSES[task]}.from_pretrained(",
      f"    {info.encoder['source']!r}{labels})",
      "model = peft.PeftModel.from_pretrained(model, \"path/to/this/folder\")",
      "```", ""])


def _lora(method: LoraConfig, config: EncoderConfig,
          tensors: Mapping[str, np.ndarray], arrays: Arrays) -> dict[str, Any]:
  places = method.places(config.num_hidden_layers)
  for place in places:
    ours, theirs = f"{method.place_name(place)}/", _module(place)
    arrays |= {f"{theirs}.lora_A.weight": tensors[f"{ours}a/kernel"].T,
               f"{theirs}.lora_B.weight": tensors[f"{ours}b/kernel"].T}
    if method.dora:
      arrays[f"{theirs}.lora_magnitude_vector"] = tensors[
          f"{ours}magnitude/value"]
  return {"peft_type": "LORA", "r": method.rank, "lora_alpha": method.alpha,
          "use_rslora": method.rslora, "use_dora": method.dora,
          "lora_dropout": method.dropout, "bias": "none",
          "target_modules": _pattern(places)}


def _ia3(method: IA3Config, config: EncoderConfig,
         tensors: Mapping[str, np.ndarray], arrays: Arrays) -> dict[str, Any]:
  places = method.places(config.num_hidden_layers)
  inputs = set(method.scaled_inputs or ())
  if both := inputs & set(method.scaled_outputs or ()):
    cannot_write(f"PEFT's IA3 multiplies what {min(both)} sees or what it "
                 "gives, not both")
  for place in places:
    ours = f"{method.place_name(place)}/"
    if place.name in inputs:
      array = tensors[f"{ours}input_scale/value"][np.newaxis]
    else:
      array = tensors[f"{ours}output_scale/value"][:, np.newaxis]
    arrays[f"{_module(place)}.ia3_l"] = array
  feedforwards = [place for place in places if place.name in inputs]
  return {"peft_type": "IA3", "target_modules": _pattern(places),
          "feedforward_modules": _pattern(feedforwards)}


def _layer_norms(base: Sequence[str], tensors: Mapping[str, np.ndarray],
                 arrays: Arrays) -> dict[str, Any]:
  norms = sorted({name.rpartition("/")[0] for name in base})
  if not norms or not all(map(is_layer_norm, base)):
    cannot_write("it has no method, and tunes more than layer norms or nothing "
                 "but the head")
  modules = []
  for norm in norms:
    layer = re.search(r"layer_(\d+)/", norm)
    place = re.sub(r"layer_\d+/", "layer_{i}/", norm)
    theirs = BERT.places[place][0].replace("/", ".")
    if layer:
      theirs = theirs.replace("layer_{i}", f"layer.{layer[1]}")
    modules.append(f"bert.{theirs}")
    for leaf, own in (("weight", "gamma"), ("bias", "beta")):
      if f"{norm}/{own}" not in tensors:
        cannot_write(f"it tunes one half of {norm} alone")
      arrays[f"{PREFIX}bert.{theirs}.ln_tuning_layers.{leaf}"] = tensors[
          f"{norm}/{own}"]
  return {"peft_type": "LN_TUNING", "target_modules": _one_of(modules)}


def _module(place: Place) -> str:
  return f"{PREFIX}bert.encoder.layer.{place.layer}.{_MODULES[place.name]}"


def _pattern(places: Sequence[Place]) -> str | list[str]:
  """A pattern of the modules at places: ends of names would hit others too.

  "output.dense" is the end of "attention.output.dense".
  """
  if not places:
    return []
  return _one_of([_module(place).removeprefix(PREFIX) for place in places])


def _one_of(modules: Sequence[str]) -> str:
  """A pattern of names; those of layers that are alike are put together."""
  layers: dict[str, list[str]] = {}
  for module in modules:
    rest = re.sub(r"layer\.\d+\.", "layer.{i}.", module)
    number = re.search(r"layer\.(\d+)\.", module)
    layers.setdefault(rest, []).append(number[1] if number else "")
  return "|".join(
      re.escape(rest).replace(r"\{i\}", f"({'|'.join(numbers)})")
      for rest, numbers in layers.items())
