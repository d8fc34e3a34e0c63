"""Saves and loads one task's file: all that was tuned, and for which encoder.

A folder of `adapter_config.json`, `adapter.safetensors` and a model card:
nothing in it can be run. Training and serving many tasks are elsewhere.
"""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import safetensors.numpy

from tf_adapters.adapter_files.card import CARD_NAME, model_card
from tf_adapters.adapter_files.finding import find_adapter
from tf_adapters.adapter_files.info import (
    CONFIG_NAME,
    FORMAT_VERSIONS,
    AdapterInfo,
    find_encoder_source,
    format_version,
    info_json,
    library_versions,
)
from tf_adapters.adapter_files.opening import open_adapter
from tf_adapters.adapter_files.place import check_place
from tf_adapters.adapter_files.tensors import (
    WEIGHTS_NAME,
    AdapterTensors,
    expected_shapes,
)
from tf_adapters.checkpoints.loading import open_encoder
from tf_adapters.errors import InputError, about, warn
from tf_adapters.files.writing import replaced_folder, write_file, writing
from tf_adapters.modeling import fingerprints
from tf_adapters.modeling.dtypes import check_dtype
from tf_adapters.modeling.encoder import TransformerEncoder
from tf_adapters.modeling.encoders.table import config_to_dict
from tf_adapters.modeling.origin import Origin
from tf_adapters.modeling.saving_checks import check_own_weights
from tf_adapters.modeling.serialization import assign
from tf_adapters.modeling.task_description import TaskDescription
from tf_adapters.modeling.task_model import TaskModel
from tf_adapters.modeling.tuning import kind_of


def save_adapter(
    model: TaskModel, path: str | os.PathLike[str], task: str | None = None,
    metrics: Mapping[str, Mapping[str, float]] | None = None,
    max_length: int | None = None, pairs: bool | None = None,
    span: Mapping[str, Any] | None = None) -> pathlib.Path:
  """Saves what belongs to a task: adapters, tuned variables, the head.

  And every pretrained weight that is not the encoder's any more, whatever
  changed it: an earlier tuning, `set_weights`, further pretraining. What is in
  the file depends on values, and not on what is trainable now.

  Written beside `path` first and then renamed, so that `path` never holds half
  a file; an adapter file that was there before is replaced.

  Args:
    model: a model on an encoder from `load_encoder`.
    path: the folder to write.
    task, metrics, max_length, pairs, span: go before what `model.task` says,
      see `TaskDescription`; without a name the task is called as the folder.
      Metrics that a loaded model has are left out where its weights have
      changed since.

  Returns:
    The file's path.

  Raises:
    InputError: the model is none of one task, has no BERT, has weights beside
      encoder and head, or its weights came from no checkpoint, so that nothing
      could be loaded on them later; weights are not finite; a value of the
      description is wrong; or there is something else at `path`.

  Example:
    >>> save_adapter(model, "adapters/mrpc",
    ...              metrics={"validation": {"f1": 0.91}})
  """
  encoder = _encoder_to_save(model, path)
  if not model.is_trained:
    warn(f"{path}: the model was never trained: its head is as it was made")
  given: dict[str, Any] = {
      "name": task, "metrics": metrics, "max_length": max_length,
      "pairs": pairs, "span": span}
  if metrics is not None:
    given["weights_sha256"] = ""  # they are of what is saved now
  description = dataclasses.replace(model.task, **{
      name: value for name, value in given.items() if value is not None})
  info, arrays = _contents(model, encoder, description)
  for name, array in arrays.items():
    if not np.isfinite(array).all():
      raise InputError(
          f"{path}: not written: {name} holds numbers that are not finite, and "
          "could not be loaded; train again, at a lower learning rate")
  return write_adapter(path, info, arrays)


def weights_sha256(model: TaskModel) -> str:
  """Returns the sha256 of a model's weights, as its adapter file has it."""
  _, arrays = _contents(model, model.encoder, model.task)
  return hashlib.sha256(safetensors.numpy.save(arrays)).hexdigest()


def _contents(model: TaskModel, encoder: TransformerEncoder,
              description: TaskDescription,
              ) -> tuple[AdapterInfo, dict[str, np.ndarray]]:
  """Returns what the file of a model says, and its arrays by name."""
  info = _info_of(model, encoder, description)
  tuned = expected_shapes(info)
  info = dataclasses.replace(info, changed_base=tuple(
      name for name in encoder.changed_variables() if name not in tuned))
  arrays = {**_saved_method(encoder), **model.named_variables(),
            **model.saved_head()}
  return info, {name: np.asarray(arrays[name], np.float32)
                for name in expected_shapes(info)}


def _encoder_to_save(model: object,
                     path: str | os.PathLike[str]) -> TransformerEncoder:
  """Returns the encoder of a model that can be saved.

  Raises:
    InputError: it cannot, or there is something else at the path.
  """
  if not isinstance(model, TaskModel):
    raise InputError(
        f"{path}: adapter files are of models with a head of ours, such as "
        f"TextClassifier, not of a {type(model).__name__}: other models on an "
        "encoder, and a TextTask, are saved with their own save method")
  encoder = model.encoder
  if not encoder.family:
    raise InputError(
        "adapter files are for models on an encoder that tasks share: a model "
        f"on a {type(encoder).__name__} is saved with its own save method")
  if encoder.origin is None:
    raise InputError(
        "the model's encoder has no origin: only encoders from load_encoder "
        "can be found again by an adapter file")
  check_own_weights(model, f"{path}: adapter files hold encoder and head alone",
                    "take the model's save or save_weights")
  check_place(path)
  return encoder


def _info_of(model: TaskModel, encoder: TransformerEncoder,
             description: TaskDescription) -> AdapterInfo:
  """Says of a model what its file says, but for `changed_base`."""
  assert encoder.origin is not None  # `_encoder_to_save` has seen it
  vocabulary = encoder.vocabulary
  method = encoder.method and encoder.method.saved()
  return AdapterInfo(
      format_version=FORMAT_VERSIONS[-1],
      task=description.name,
      problem_type=model.problem_type,
      labels=description.labels,
      pooling=model.head.pooling,
      dropout=model.head.dropout.rate,
      adapter=method.to_dict() if method else None,
      tuning=encoder.tuning,
      max_length=description.max_length,
      metrics=description.metrics,
      encoder={"source": encoder.origin.source,
               **fingerprints.fingerprints(encoder.origin.to_dict()),
               **({"name": encoder.origin.name} if encoder.origin.name else {}),
               "architecture": config_to_dict(encoder.config)},
      tokenizer=vocabulary.fingerprint() if vocabulary else {},
      weights_sha256=description.weights_sha256,
      versions=library_versions(),
      pairs=description.pairs,
      span=description.span,
      label_type=description.label_type,
      thresholds=description.thresholds)


def _saved_method(encoder: TransformerEncoder) -> dict[str, np.ndarray]:
  """Returns {canonical name: array} of what only `Method.saved` has."""
  method = encoder.method
  if method is None or method.saved() == method:
    return {}
  return method.saved_arrays(encoder.config, {
      name: variable.numpy() for name, variable
      in encoder.task_layers.named_variables().items()})


def write_adapter(path: str | os.PathLike[str], info: AdapterInfo,
                  arrays: Mapping[str, np.ndarray]) -> pathlib.Path:
  """Writes an adapter file, as `save_adapter` says.

  Args:
    path: the folder to write.
    info: what it is; the version of the format, the sha256 of the weights and,
      where there is no task, the folder's name are filled in. Where a sha256 is
      there its metrics are of those weights, and are left out if these are
      others.
    arrays: canonical name -> array.

  Returns:
    The path.

  Raises:
    InputError: there is something else at `path`.
  """
  check_place(path)
  folder = pathlib.Path(path).resolve()
  weights = safetensors.numpy.save(dict(arrays))
  sha256 = hashlib.sha256(weights).hexdigest()
  info = dataclasses.replace(
      info, format_version=format_version(info), task=info.task or folder.name,
      metrics=info.metrics if info.weights_sha256 in ("", sha256) else {},
      weights_sha256=sha256)
  with about(path):
    content = info_json(info)
  with writing(folder), replaced_folder(folder) as new:
    write_file(new / WEIGHTS_NAME, weights)
    write_file(new / CONFIG_NAME, content)
    write_file(new / CARD_NAME, model_card(
        info, {name: array.shape for name, array in arrays.items()}))
  return pathlib.Path(path)


def load_adapter(path: str | os.PathLike[str],
                 encoder_source: str | os.PathLike[str] | None = None,
                 vocab_file: str | os.PathLike[str] | None = None,
                 dtype: str | None = None,
                 labels: Sequence[str] | None = None) -> TaskModel:
  """Rebuilds the model of an adapter file, head included.

  Args:
    path: the adapter file: ours, AdapterHub's or PEFT's; or its repository on
      the Hugging Face Hub, such as "hf://owner/name" or
      "hf://owner/name@revision".
    encoder_source: where to load the encoder from; None for where it came from
      when the file was written. A repository that a file names is never
      fetched: it is taken from the cache, or has to be given here.
    vocab_file: as in `load_encoder`, where the encoder was loaded with one.
    dtype: as in `load_encoder`.
    labels: label names in the order of the outputs, for another library's
      file that says none.

  Returns:
    The model of the file's type of problem, which predicts what the saved one
    did; its `task` says what the file says of the task.

  Raises:
    InputError: the file cannot be read, was made for other weights, or is of
      another library and what it holds is not computed here.

  Example:
    >>> model = load_adapter("adapters/mrpc")
    >>> text = model.encoder.text_processor()
    >>> model.predict(text(["He said so."], ["So he said."]))
  """
  encoder, info, tensors = _on_encoder(
      path, encoder_source, vocab_file, dtype, labels)
  model = info.problem.make_model(
      encoder, info.labels, info.pooling, info.dropout)
  model.task = info.description
  variables = model.named_variables()
  for name in tensors:
    assign(variables[name], tensors[name])
  return model


def load_adapted_encoder(
    path: str | os.PathLike[str],
    encoder_source: str | os.PathLike[str] | None = None,
    vocab_file: str | os.PathLike[str] | None = None,
    dtype: str | None = None) -> TransformerEncoder:
  """Builds an encoder with what an adapter file puts into it, and no head.

  For a head of your own, on files that have none, as PEFT's and AdapterHub's
  can be, or in the place of theirs. The head and the pooler of a file are left
  out: AdapterHub calls this `load_head=False`.

  Args:
    path, encoder_source, vocab_file, dtype: as for `load_adapter`.

  Returns:
    The encoder with the file's method, tuned as the file says.

  Raises:
    InputError: as for `load_adapter`.

  Example:
    >>> encoder = load_adapted_encoder("from_peft/", "bert-base-uncased/")
    >>> model = TextClassifier(encoder, ["no", "yes"])
    >>> model.compile("adam"), model.fit(x, y)
  """
  encoder, _, tensors = _on_encoder(
      path, encoder_source, vocab_file, dtype, with_head=False)
  variables = encoder.named_variables()
  for name in tensors:
    if kind_of(name) not in ("head", "pooler"):
      assign(variables[name], tensors[name])
  return encoder


def _on_encoder(
    path: str | os.PathLike[str],
    encoder_source: str | os.PathLike[str] | None,
    vocab_file: str | os.PathLike[str] | None, dtype: str | None,
    labels: Sequence[str] | None = None, with_head: bool = True,
) -> tuple[TransformerEncoder, AdapterInfo, AdapterTensors]:
  """Builds a file's encoder, with its method as it begins.

  Args:
    path, encoder_source, vocab_file, dtype, labels: as for `load_adapter`.
    with_head: as for `open_adapter`.

  Returns:
    The encoder, what the file says, and its tensors.

  Raises:
    InputError: as for `load_adapter`.
  """
  check_dtype(dtype)
  path = find_adapter(path)
  file = open_adapter(path, labels, with_head)
  source = encoder_source or find_encoder_source(path, file.info)
  pretrained = open_encoder(
      source, vocab_file, file.info.tokenizer.get("lower_case"))
  file = file.on(pretrained.config, pretrained.source, pretrained.lacks_pooler)
  info = file.info
  # Before anything is built of the sizes that the file tells.
  info.check_architecture(path, pretrained.config, pretrained.source)
  tensors = file.tensors()
  encoder = pretrained.build(info.method, dtype)
  check_fits(path, info, encoder)
  if encoder.origin is not None:
    encoder.origin = dataclasses.replace(
        encoder.origin, name=info.encoder.get("name", ""))
  encoder.tune(info.tuning)
  return encoder, info, tensors


def check_fits(path: str | os.PathLike[str], info: AdapterInfo,
               encoder: TransformerEncoder) -> None:
  """Refuses an adapter file that was made for another encoder.

  Where the encoder has the same weights and computes another function of them,
  as Hugging Face's BERTs and TF Hub's do, it warns and says which. Where a file
  has no fingerprint, as those of other libraries, sizes and vocabulary decide.

  Raises:
    InputError: for other encoder weights, another vocabulary or casing, or
      longer sequences.
  """
  origin = encoder.origin
  if origin is None:
    raise InputError(f"{path}: was made for the weights of "
                     f"{info.encoder['source']}, not for random ones")
  _check_weights(path, info, origin)
  info.check_architecture(path, encoder.config, origin.source)
  positions = encoder.config.longest_text
  if (info.max_length or 0) > positions:
    raise InputError(
        f"{path}: max_length {info.max_length}: the encoder has positions for "
        f"{positions} wordpieces only")
  vocabulary = encoder.vocabulary
  if vocabulary and info.tokenizer and (
      vocabulary.fingerprint() != dict(info.tokenizer)):
    raise InputError(
        f"{path}: was made with another vocabulary or casing than the "
        "encoder's")
  if fingerprints.other_function(info.encoder, vars(origin)):
    theirs, ours = fingerprints.functions(info.encoder_config, encoder.config)
    warn(f"{path}: was trained with {theirs} ({info.encoder['source']}), but "
         f"this encoder of the same weights computes with {ours} "
         f"({origin.source}): predictions can differ a little")


def _check_weights(path: str | os.PathLike[str], info: AdapterInfo,
                   origin: Origin) -> None:
  other = fingerprints.other_weights(info.encoder, vars(origin))
  if other is None:
    return
  name, theirs, ours = other
  reason = "" if name == fingerprints.WEIGHTS else (
      "; version 0.1 has one fingerprint of weights and activation: if only "
      "the latter differs, load it on the encoder that it names and save it")
  raise InputError(
      f"{path}: was made for other encoder weights: {info.encoder['source']} "
      f"with {name.replace('_', ' ')} {theirs[:12]}, not {origin.source} with "
      f"{ours[:12]}{reason}")
