"""Reads the heads of AdapterHub's files: the library's own, and transformers'.

In a file head_config.json says what the head is, and model_head.safetensors or
pytorch_model_head.bin has its tensors.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tf_adapters.adapter_files.foreign import (
    POOLER,
    Head,
    Stored,
    WeightsFile,
    choose_labels,
    constant,
    lacks_head,
    model_head,
    refuse,
    setting,
)
from tf_adapters.adapter_files.torch_modules import TorchModel
from tf_adapters.errors import InputError
from tf_adapters.files.reading import read_json

HEAD_CONFIG = "head_config.json"
HEAD_WEIGHTS = ("model_head.safetensors", "pytorch_model_head.bin")
HEAD_TYPES = {
    "classification": "classification",
    "multilabel_classification": "multi_label", "tagging": "tagging",
    "question_answering": "span"}
# How the classes of transformers' models end, and what problem they are for.
_MODEL_HEADS = {
    "ForSequenceClassification": "classification",
    "ForTokenClassification": "tagging", "ForQuestionAnswering": "span"}


def read_head(folder: pathlib.Path, name: str, labels: Sequence[str] | None,
              model: TorchModel) -> tuple[Head, str]:
  """Reads the head of a file; returns the sha256 of its file of tensors, too.

  Args:
    folder: the file.
    name: of its adapter.
    labels: label names, where it says none.
    model: what it was made for.

  Raises:
    InputError: there is none, it is damaged, or it is not computed here.
  """
  if not (folder / HEAD_CONFIG).exists():
    lacks_head(f"there is no {HEAD_CONFIG}, as language adapters have none")
  values = read_json(folder / HEAD_CONFIG)
  weights = WeightsFile(folder, *HEAD_WEIGHTS)
  config = setting(values, "config", Mapping | None, None)
  if config is None:
    head = _model_head(values, weights, labels, model)
  else:
    head = _flexible_head(
        config, weights, setting(values, "name", str, name), labels, model)
  weights.check_all_taken()
  return head, weights.sha256


def _flexible_head(config: Mapping[str, Any], weights: WeightsFile, name: str,
                   labels: Sequence[str] | None, model: TorchModel) -> Head:
  """Reads the library's own: dropout, dense, activation, dropout, dense."""
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
  elif pooled and not model.has_pooler:
    refuse(f"its head sees a pooler's output, and {model.family.title} has "
           "none in transformers")
  if layers == 2 and of_texts and not pooled:
    # A pooler of the task's own.
    if config.get("activation_function") != "tanh":
      refuse("its head's activation_function is "
             f"{config.get('activation_function')!r:.40}")
    if "pooler_transform" not in model.family.places:
      refuse(f"its head has 2 layers, and {model.family.title} no pooler in "
             "whose place the first one could be")
    pooling = "pooler"
    tensors = {
        POOLER[0]: weights.take(f"heads.{name}.1.weight").transposed,
        POOLER[1]: weights.take(f"heads.{name}.1.bias")}
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
                labels: Sequence[str] | None, model: TorchModel) -> Head:
  """Reads that of a model of transformers that has one."""
  name = setting(values, "model_class", str)
  problem_type = _MODEL_HEADS.get(name.removeprefix(model.names.model))
  if problem_type is None:
    refuse(f"its head is that of a {name:.60}")
  tensors = model_head(model, problem_type, weights.take)
  kernel = tensors["head/kernel"]
  return _named(
      problem_type, "pooler" if problem_type == "classification" else "tokens",
      0.1, tensors, values.get("label2id"), labels,
      kernel.shape[-1] if kernel.shape else 0)


def _named(problem_type: str, pooling: str, dropout: float,
           tensors: Mapping[str, Stored], label2id: Any,
           labels: Sequence[str] | None, outputs: int) -> Head:
  """Gives a head the names of its labels."""
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
              POOLER[0] in tensors)
