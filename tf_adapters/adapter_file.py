"""One task's file: everything that was tuned, and what it fits on.

A folder of `adapter_config.json`, `adapter.safetensors` and a model card:
nothing in it can be run. Training and serving many tasks are elsewhere.
"""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy
import tensorflow as tf

from tf_adapters.adapter_card import model_card
from tf_adapters.adapter_info import (
    CONFIG_NAME,
    FORMAT_VERSION,
    AdapterInfo,
    check_place,
    find_encoder_source,
    info_json,
    library_versions,
    read_info,
)
from tf_adapters.adapter_tensors import (
    WEIGHTS_NAME,
    FileTensors,
    check_tensors,
)
from tf_adapters.checkpoints.loading import open_encoder
from tf_adapters.errors import InputError
from tf_adapters.files import replaced_folder, write_file, writing
from tf_adapters.modeling.config import BertConfig, Vocabulary
from tf_adapters.modeling.dtypes import check_dtype
from tf_adapters.modeling.encoder import BertEncoder
from tf_adapters.modeling.models import TaskModel, make_model
from tf_adapters.modeling.tuning import is_adapter

CARD_NAME = "README.md"


def save_adapter(
    model: TaskModel, path: str | os.PathLike[str], task: str = "",
    metrics: Mapping[str, Mapping[str, float]] | None = None,
    max_length: int | None = None, pairs: bool | None = None,
    span: Mapping[str, Any] | None = None) -> None:
  """Saves what belongs to a task: adapters, tuned variables, the head.

  Written beside `path` first and then renamed, so that `path` never holds half
  a file; an adapter file that was there before is replaced.

  Args:
    model: a model on an encoder from `load_encoder`.
    path: the folder to write.
    task: name of the task; the folder's name without it.
    metrics: what was measured, split -> metric -> value.
    max_length: longest sequence in training, in wordpieces, where known.
    pairs: whether the task is on pairs of texts, where known.
    span: how contexts are cut and answers chosen, for tasks of that type.

  Raises:
    InputError: the model has no BERT, or its weights came from no checkpoint,
      so that nothing could be loaded on them later; or there is something else
      at `path`.

  Example:
    >>> save_adapter(model, "adapters/mrpc",
    ...              metrics={"validation": {"f1": 0.91}})
  """
  encoder = model.encoder
  if not isinstance(encoder, BertEncoder):
    raise InputError("adapter files are for models on a BERT: a model on a "
                     "TextNetwork is saved with its own save method")
  if encoder.origin is None:
    raise InputError(
        "the model's encoder has no origin: only encoders from load_encoder "
        "can be found again by an adapter file")
  vocabulary = encoder.vocabulary
  info = AdapterInfo(
      format_version=FORMAT_VERSION,
      task=task,
      problem_type=model.problem_type,
      labels=getattr(model, "labels", ()),
      pooling=model.head.pooling,
      dropout=model.head.dropout.rate,
      adapter=encoder.adapters and encoder.adapters.to_dict(),
      tuning=encoder.tuning,
      max_length=max_length,
      metrics=metrics or {},
      encoder={**encoder.origin.to_dict(),
               "architecture": encoder.config.to_dict()},
      tokenizer=_tokenizer(vocabulary) if vocabulary else {},
      weights_sha256="",  # known when they are written
      versions=library_versions(),
      pairs=pairs,
      span=span)
  write_adapter(path, info, {
      name: variable.numpy() for name, variable in _saved(model).items()})


def write_adapter(path: str | os.PathLike[str], info: AdapterInfo,
                  arrays: Mapping[str, np.ndarray]) -> None:
  """Writes an adapter file, as `save_adapter` says.

  Args:
    path: the folder to write.
    info: what it is; the sha256 of the weights is filled in, and the folder's
      name where there is no task.
    arrays: canonical name -> array.

  Raises:
    InputError: there is something else at `path`.
  """
  check_place(path)
  path = pathlib.Path(path).resolve()
  weights = safetensors.numpy.save(dict(arrays))
  info = dataclasses.replace(
      info, task=info.task or path.name,
      weights_sha256=hashlib.sha256(weights).hexdigest())
  try:
    content = info_json(info)
  except InputError as error:
    raise InputError(f"{path}: {error}") from None
  with writing(path), replaced_folder(path) as folder:
    write_file(folder / WEIGHTS_NAME, weights)
    write_file(folder / CONFIG_NAME, content)
    write_file(folder / CARD_NAME, model_card(
        info, {name: array.shape for name, array in arrays.items()}))


def load_adapter(path: str | os.PathLike[str],
                 encoder_source: str | os.PathLike[str] | None = None,
                 vocab_file: str | os.PathLike[str] | None = None,
                 dtype: str | None = None) -> TaskModel:
  """Rebuilds the model of an adapter file, head included.

  Args:
    path: the adapter file.
    encoder_source: where to load the encoder from; None for where it came from
      when the file was written.
    vocab_file: as in `load_encoder`, where the encoder was loaded with one.
    dtype: as in `load_encoder`.

  Returns:
    The model of the file's type of problem, which predicts what the saved one
    did.

  Raises:
    InputError: the file can not be read, or was made for other weights.

  Example:
    >>> model = load_adapter("adapters/mrpc")
    >>> text = model.encoder.text_processor()
    >>> model.predict(text(["He said so."], ["So he said."]))
  """
  check_dtype(dtype)
  info = read_info(path)
  pretrained = open_encoder(
      encoder_source or find_encoder_source(path, info), vocab_file,
      lower_case=info.tokenizer.get("lower_case"))
  # Before anything is built of the sizes that the file tells.
  _check_architecture(path, info, pretrained.config, pretrained.source)
  tensors = FileTensors(path, info)
  encoder = pretrained.build(info.adapter_config, dtype)
  check_fits(path, info, encoder)
  encoder.tune(info.tuning)
  model = make_model(
      info.problem_type, encoder, info.labels, info.pooling, info.dropout)
  _assign(model, tensors)
  model.max_length, model.pairs = info.max_length, info.takes_pairs
  return model


def _assign(model: TaskModel, tensors: FileTensors) -> None:
  variables = _saved(model)
  check_tensors(tensors.path, tensors.shapes, {
      name: tuple(variable.shape) for name, variable in variables.items()})
  for name, variable in variables.items():
    variable.assign(tensors[name])


def check_fits(path: str | os.PathLike[str], info: AdapterInfo,
               encoder: BertEncoder) -> None:
  """Refuses an adapter file that was made for another encoder.

  Raises:
    InputError: for other encoder weights, another vocabulary or casing, or
      longer sequences.
  """
  origin = encoder.origin
  if origin is None or origin.fingerprint != info.encoder.get("fingerprint"):
    raise InputError(
        f"{path}: was made for other encoder weights: "
        f"{info.encoder.get('source')} with fingerprint "
        f"{str(info.encoder.get('fingerprint'))[:12]}, not "
        f"{origin and origin.source} with {origin and origin.fingerprint[:12]}")
  _check_architecture(path, info, encoder.config, origin.source)
  positions = encoder.config.max_position_embeddings
  if (info.max_length or 0) > positions:
    raise InputError(
        f"{path}: max_length {info.max_length}: the encoder has positions for "
        f"{positions} wordpieces only")
  vocabulary = encoder.vocabulary
  if vocabulary and info.tokenizer and (
      _tokenizer(vocabulary) != dict(info.tokenizer)):
    raise InputError(
        f"{path}: was made with another vocabulary or casing than the "
        "encoder's")


def _check_architecture(path: str | os.PathLike[str], info: AdapterInfo,
                        config: BertConfig, source: str) -> None:
  if info.bert_config.sizes() != config.sizes():
    raise InputError(
        f"{path}: was made for other encoder weights: "
        f"{info.encoder['source']}, of other sizes than {source}")


def _saved(model: TaskModel) -> dict[str, tf.Variable]:
  """What a file holds: all that the encoder's checkpoint does not say."""
  tuned = model.tuned_variables()
  return {name: variable for name, variable in model.named_variables().items()
          if name in tuned or is_adapter(name)}


def _tokenizer(vocabulary: Vocabulary) -> dict[str, Any]:
  return {"lower_case": vocabulary.lower_case,
          "vocab_sha256": vocabulary.sha256()}
