"""One task's file: everything that was tuned, and what it fits on.

A folder of `adapter_config.json`, `adapter.safetensors` and a model card:
nothing in it can be run. Training and serving many tasks are elsewhere.
"""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
import tensorflow as tf

from tf_adapters.checkpoints.loading import load_encoder
from tf_adapters.errors import InputError
from tf_adapters.files import read_json, replaced_folder, write_file, writing
from tf_adapters.modeling.config import (
    AdapterConfig,
    JsonConfig,
    Vocabulary,
)
from tf_adapters.modeling.encoder import BertEncoder
from tf_adapters.modeling.heads import POOLINGS, TokenHead
from tf_adapters.modeling.models import (
    PER_TOKEN,
    PROBLEM_TYPES,
    TaskModel,
    make_model,
)
from tf_adapters.modeling.text import SHORTEST_LENGTH
from tf_adapters.modeling.tuning import Tuning, is_adapter, kind_of

FORMAT_VERSION = 1
CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter.safetensors"
CARD_NAME = "README.md"

_PACKAGES = ("tf_adapters", "tensorflow", "tf_keras", "tensorflow-text")


@dataclasses.dataclass(frozen=True)
class AdapterInfo(JsonConfig):
  """What `adapter_config.json` says.

  Attributes:
    format_version: of the file.
    task: name of the task.
    problem_type: one of `modeling.models.PROBLEM_TYPES`.
    labels: label names, in the order of the head's outputs.
    pooling, dropout: of the head; the pooling of tokens' heads is "tokens".
    adapter: the adapters' configuration, or None.
    tuning: what was trained.
    max_length: longest sequence in training, in wordpieces, where known.
    metrics: split -> metric -> value.
    encoder: "source", "fingerprint" and "architecture" of the base.
    tokenizer: "lower_case" and "vocab_sha256"; empty without a vocabulary.
    weights_sha256: of the file of tensors.
    versions: of the libraries that wrote it.
    pairs: whether the task is on pairs of texts; None where unknown.
    span: how contexts are cut and answers chosen, the fields of
      `data.squad.SquadOptions`; None for other tasks.
  """

  format_version: int
  task: str
  problem_type: str
  labels: tuple[str, ...]
  pooling: str
  dropout: float
  adapter: Mapping[str, Any] | None
  tuning: str
  max_length: int | None
  metrics: Mapping[str, Mapping[str, float]]
  encoder: Mapping[str, Any]
  tokenizer: Mapping[str, Any]
  weights_sha256: str
  versions: Mapping[str, str]
  pairs: bool | None = None
  span: Mapping[str, Any] | None = None

  def __post_init__(self):
    if self.problem_type not in PROBLEM_TYPES:
      raise InputError(f"unknown problem_type {self.problem_type!r}")
    for name, kind in (
        ("task", str), ("labels", list | tuple), ("tuning", str),
        ("pooling", str), ("dropout", float | int),
        ("adapter", Mapping | None), ("max_length", int | None),
        ("metrics", Mapping), ("encoder", Mapping), ("tokenizer", Mapping),
        ("versions", Mapping), ("pairs", bool | None),
        ("span", Mapping | None)):
      if not isinstance(getattr(self, name), kind):
        raise InputError(f"{name} is {getattr(self, name)!r}")
    for name in ("source", "fingerprint", "architecture"):
      if name not in self.encoder:
        raise InputError(f"encoder has no {name}")
    for name, fine in (
        ("labels", all(isinstance(label, str) for label in self.labels)
         and _are_labels_of(self.problem_type, self.labels)),
        ("dropout", 0 <= self.dropout < 1),
        ("max_length", self.max_length is None or (
            type(self.max_length) is int
            and self.max_length >= SHORTEST_LENGTH)),
        ("metrics", all(
            isinstance(values, Mapping)
            and all(isinstance(value, float | int) and not abs(value) > 1e300
                    for value in values.values())  # NaN is a metric, too
            for values in self.metrics.values())),
        ("encoder", isinstance(self.encoder["source"], str)
         and isinstance(self.encoder["fingerprint"], str)
         and isinstance(self.encoder["architecture"], Mapping))):
      if not fine:
        raise InputError(f"{name} is {getattr(self, name)!r}")
    poolings = ((TokenHead.pooling,) if self.problem_type in PER_TOKEN
                else POOLINGS)
    if self.pooling not in poolings:
      raise InputError(f"pooling must be one of {', '.join(poolings)}, not "
                       f"{self.pooling!r}")
    Tuning.parse(self.tuning)
    if self.adapter is not None:
      AdapterConfig.from_dict(self.adapter)
    object.__setattr__(self, "labels", tuple(self.labels))

  @property
  def takes_pairs(self) -> bool | None:
    """Whether every text has to be a pair, or none may; None where unknown."""
    return {"span": True, "tagging": False}.get(self.problem_type, self.pairs)


def _are_labels_of(problem_type: str, labels: Sequence[str]) -> bool:
  if problem_type in ("regression", "span"):
    return not labels
  return len(labels) > 1 and len(set(labels)) == len(labels)


def library_versions() -> dict[str, str]:
  """Versions of the libraries that decide over results."""
  versions = {}
  for package in _PACKAGES:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      versions[package] = importlib.metadata.version(package)
  return versions


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
    InputError: the encoder's weights came from no checkpoint, so that nothing
      could be loaded on them later; or there is something else at `path`.

  Example:
    >>> save_adapter(model, "adapters/mrpc",
    ...              metrics={"validation": {"f1": 0.91}})
  """
  encoder = model.encoder
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
  path = pathlib.Path(path).resolve()
  if path.exists() and not (path / CONFIG_NAME).exists() and (
      not path.is_dir() or any(path.iterdir())):
    raise InputError(f"{path}: is there already, and is no adapter file")
  weights = safetensors.numpy.save(dict(arrays))
  info = dataclasses.replace(
      info, task=info.task or path.name,
      weights_sha256=hashlib.sha256(weights).hexdigest())
  with writing(path), replaced_folder(path) as folder:
    write_file(folder / WEIGHTS_NAME, weights)
    write_file(folder / CONFIG_NAME,
               json.dumps(info.to_dict(), indent=2) + "\n")
    write_file(folder / CARD_NAME, _card(
        info, {name: array.size for name, array in arrays.items()}))


def read_info(path: str | os.PathLike[str]) -> AdapterInfo:
  """Reads an adapter file's configuration.

  Raises:
    InputError: there is none, it is no JSON object, a key is missing, or it is
      of a newer format.
  """
  file = pathlib.Path(path) / CONFIG_NAME
  try:
    there = file.exists()
  except OSError:  # a name too long
    there = False
  if not there:
    raise InputError(f"{path}: not an adapter file: it has no {CONFIG_NAME}")
  values = read_json(file)
  if values.get("format_version") != FORMAT_VERSION:
    raise InputError(
        f"{file}: format_version is {values.get('format_version')!r}; this "
        f"version reads {FORMAT_VERSION}")
  try:
    return AdapterInfo.from_dict(values)
  except InputError as error:
    raise InputError(f"{file}: {error}") from None


def load_adapter(path: str | os.PathLike[str],
                 encoder_source: str | None = None,
                 vocab_file: str | None = None,
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
  info = read_info(path)
  adapters = info.adapter and AdapterConfig.from_dict(info.adapter)
  encoder = load_encoder(
      encoder_source or info.encoder["source"], adapters, vocab_file,
      lower_case=info.tokenizer.get("lower_case"), dtype=dtype)
  encoder.tune(info.tuning)
  model = make_model(
      info.problem_type, encoder, info.labels, info.pooling, info.dropout)
  assign_adapter(model, path)
  model.max_length, model.pairs = info.max_length, info.takes_pairs
  return model


def assign_adapter(model: TaskModel, path: str | os.PathLike[str]) -> None:
  """Puts an adapter file's tensors into a model of the same make.

  Raises:
    InputError: the file can not be read, is damaged, was made for other
      encoder weights or another vocabulary, or its tensors are not the model's.
  """
  variables = _saved(model)
  info = read_info(path)
  check_fits(path, info, model.encoder)
  tensors = read_tensors(path, info)
  check_tensors(path, tensors, {
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


def read_tensors(path: str | os.PathLike[str],
                 info: AdapterInfo) -> dict[str, np.ndarray]:
  """Reads all tensors of an adapter file, whatever they are.

  Args:
    path: the adapter file.
    info: its configuration.

  Raises:
    InputError: the file can not be read, or is damaged.
  """
  file = pathlib.Path(path) / WEIGHTS_NAME
  try:
    content = file.read_bytes()
  except OSError as error:
    raise InputError(f"{file}: can not be read: {error.strerror}") from None
  if hashlib.sha256(content).hexdigest() != info.weights_sha256:
    raise InputError(
        f"{file}: damaged: its sha256 is not the one in {CONFIG_NAME}")
  try:
    return safetensors.numpy.load(content)
  except (safetensors.SafetensorError, AttributeError, KeyError) as error:
    raise InputError(f"{file}: can not be read: {error}") from None


def check_tensors(path: str | os.PathLike[str],
                  tensors: Mapping[str, np.ndarray],
                  shapes: Mapping[str, tuple[int, ...]]) -> None:
  """Refuses tensors that are not what they have to be.

  Args:
    path: the adapter file, for messages.
    tensors: canonical name -> array.
    shapes: {canonical name: shape} of all that there has to be.

  Raises:
    InputError: one is missing, too many, of another shape or type, or not
      finite.
  """
  file = pathlib.Path(path) / WEIGHTS_NAME
  for kind, names in (("lacks", shapes.keys() - tensors.keys()),
                      ("has too many:", tensors.keys() - shapes.keys())):
    if names:
      raise InputError(f"{file}: {kind} {sorted(names)[0]} ({len(names)} "
                       "tensors in all)")
  for name, shape in shapes.items():
    array = tensors[name]
    if array.shape != shape:
      raise InputError(f"{file}: {name} has shape {list(array.shape)}, "
                       f"expected {list(shape)}")
    if array.dtype != np.float32 or not np.isfinite(array).all():
      raise InputError(f"{file}: {name}: expected finite float32 numbers")


class FileTensors(Mapping[str, np.ndarray]):
  """The tensors of an adapter file, checked at once and read when asked for.

  For many files, whose tensors would take their memory twice.

  Args:
    path: the adapter file.
    info: its configuration.
    shapes: {canonical name: shape} of all that there has to be.

  Raises:
    InputError: the file can not be read, is damaged, or holds other tensors.
  """

  def __init__(self, path: str | os.PathLike[str], info: AdapterInfo,
               shapes: Mapping[str, tuple[int, ...]]):
    check_tensors(path, read_tensors(path, info), shapes)
    self._file = pathlib.Path(path) / WEIGHTS_NAME
    self._names = list(shapes)

  def __getitem__(self, name: str) -> np.ndarray:
    with safetensors.safe_open(self._file, "numpy") as file:
      return file.get_tensor(name)

  def __iter__(self) -> Iterator[str]:
    return iter(self._names)

  def __len__(self) -> int:
    return len(self._names)


def _saved(model: TaskModel) -> dict[str, tf.Variable]:
  """What a file holds: all that the encoder's checkpoint does not say."""
  tuned = model.tuned_variables()
  return {name: variable for name, variable in model.named_variables().items()
          if name in tuned or is_adapter(name)}


def _tokenizer(vocabulary: Vocabulary) -> dict[str, Any]:
  return {"lower_case": vocabulary.lower_case,
          "vocab_sha256": vocabulary.sha256()}


def describe_adapter(path: str | os.PathLike[str]) -> dict[str, str]:
  """What there is to say of an adapter file, for people.

  Reads the tensors too, so that a damaged file does not pass.

  Raises:
    InputError: the file can not be read, or is damaged.
  """
  info = read_info(path)
  sizes = {name: array.size
           for name, array in read_tensors(path, info).items()}
  if "head/kernel" not in sizes:
    raise InputError(f"{pathlib.Path(path) / WEIGHTS_NAME}: lacks head/kernel")
  return _describe(info, sizes)


def _describe(info: AdapterInfo, sizes: Mapping[str, int]) -> dict[str, str]:
  """{what: value} from the configuration and the tensors' sizes."""
  rows = {"task": info.task, "problem": info.problem_type}
  if info.labels:
    rows["labels"] = ", ".join(info.labels)
  rows["tuning"] = info.tuning
  for key, value in (info.adapter or {}).items():
    if value is not None:
      rows[f"adapter {key}"] = str(value)
  if info.pairs is not None:
    rows["texts"] = "pairs" if info.pairs else "single ones"
  rows |= {
      "pooling": info.pooling,
      "longest text": f"{info.max_length or 'unknown'} wordpieces",
      "encoder": str(info.encoder["source"]),
      "encoder fingerprint": str(info.encoder["fingerprint"]),
  }
  counts: dict[str, int] = {}
  for name, size in sizes.items():
    counts[kind_of(name)] = counts.get(kind_of(name), 0) + size
  for kind, count in counts.items():
    rows[f"parameters, {kind}"] = f"{count:,}"
  for key, value in (info.span or {}).items():
    rows[f"span {key}"] = str(value)
  for split, values in info.metrics.items():
    for name, value in values.items():
      rows[f"{split} {name}"] = f"{value:.4f}"
  return rows | dict(info.versions)


def _card(info: AdapterInfo, sizes: Mapping[str, int]) -> str:
  """The model card: Markdown."""
  rows = _describe(info, sizes)
  rows["encoder fingerprint"] = f"`{rows['encoder fingerprint']}`"
  return "\n".join([
      f"# {info.task}",
      "",
      f"Weights of one task ({info.problem_type}) for the encoder "
      f"`{info.encoder['source']}`, tuned with `{info.tuning}`.",
      "",
      "```python",
      "import tf_adapters as ta",
      "model = ta.load_adapter(\"path/to/this/folder\")",
      "```",
      "",
      "| | |",
      "|---|---|",
      *(f"| {key} | {value} |" for key, value in rows.items()),
      "",
  ])
