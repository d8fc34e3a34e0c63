"""One task's file: everything that was tuned, and what it fits on.

A folder of `adapter_config.json`, `adapter.safetensors` and a model card:
nothing in it can be run. Training and serving many tasks are elsewhere.
"""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import math
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
import tensorflow as tf

from tf_adapters.checkpoints import names
from tf_adapters.checkpoints.loading import open_encoder
from tf_adapters.checkpoints.sources import is_elsewhere
from tf_adapters.errors import InputError, printable
from tf_adapters.files import (
    check_file,
    read_json,
    replaced_folder,
    write_file,
    writing,
)
from tf_adapters.modeling.adapter import (
    adapted_layers,
    adapter_name,
    adapter_shapes,
    with_prefix,
)
from tf_adapters.modeling.config import (
    AdapterConfig,
    BertConfig,
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

# The key of the sha256 over all else that adapter_config.json says.
_CHECKSUM = "config_sha256"
# Names are made for each of them; BERTs have up to 24.
_MOST_LAYERS = 1000

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
         and isinstance(self.encoder["architecture"], Mapping)),
        *((name, _is_flat(getattr(self, name) or {}))
          for name in ("adapter", "tokenizer", "versions", "span")),
        ("encoder", _is_flat({**self.encoder, "architecture": None})
         and _is_flat(self.encoder["architecture"]))):
      if not fine:
        raise InputError(f"{name} is {getattr(self, name)!r}")
    poolings = ((TokenHead.pooling,) if self.problem_type in PER_TOKEN
                else POOLINGS)
    if self.pooling not in poolings:
      raise InputError(f"pooling must be one of {', '.join(poolings)}, not "
                       f"{self.pooling!r}")
    Tuning.parse(self.tuning)
    object.__setattr__(self, "labels", tuple(self.labels))
    # Both raise what is wrong with them.
    _ = self.adapter_config, self.bert_config

  @property
  def adapter_config(self) -> AdapterConfig | None:
    """The adapters' configuration, or None."""
    return None if self.adapter is None else AdapterConfig.from_dict(
        self.adapter)

  @property
  def bert_config(self) -> BertConfig:
    """The architecture of the base."""
    return BertConfig.from_dict(self.encoder["architecture"])

  @property
  def takes_pairs(self) -> bool | None:
    """Whether every text has to be a pair, or none may; None where unknown."""
    return {"span": True, "tagging": False}.get(self.problem_type, self.pairs)


def _are_labels_of(problem_type: str, labels: Sequence[str]) -> bool:
  if problem_type in ("regression", "span"):
    return not labels
  return len(labels) > 1 and len(set(labels)) == len(labels)


def _is_flat(values: Mapping[str, Any]) -> bool:
  """Whether values are strings, numbers and so on, or lists of them."""
  scalar = str | int | float | None
  return all(isinstance(value, scalar) or (
      isinstance(value, list | tuple)
      and all(isinstance(item, scalar) for item in value))
      for value in values.values())


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
  values = json.loads(json.dumps(info.to_dict()))
  try:
    values[_CHECKSUM] = _checksum(values)
  except InputError as error:
    raise InputError(f"{path}: {error}") from None
  with writing(path), replaced_folder(path) as folder:
    write_file(folder / WEIGHTS_NAME, weights)
    write_file(folder / CONFIG_NAME, json.dumps(values, indent=2) + "\n")
    write_file(folder / CARD_NAME, _card(
        info, {name: array.shape for name, array in arrays.items()}))


def read_info(path: str | os.PathLike[str]) -> AdapterInfo:
  """Reads an adapter file's configuration.

  Raises:
    InputError: there is none, it is no JSON object, a key is missing, it is
      of a newer format, or not what was written.
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
  stated = values.pop(_CHECKSUM, None)
  try:
    info = AdapterInfo.from_dict(values)
    _check_checksum(values, stated)
  except InputError as error:
    raise InputError(f"{file}: {error}") from None
  return info


def _check_checksum(values: Mapping[str, Any], stated: Any) -> None:
  """Raises InputError for a configuration that is not what was written."""
  actual = _checksum(values)
  if stated is None:
    # Of an older version, which had no other keys, or edited by hand.
    unknown = values.keys() - {
        field.name for field in dataclasses.fields(AdapterInfo)}
    if unknown:
      raise InputError(f"damaged: it has a key {min(unknown)!r}, but no "
                       f"{_CHECKSUM}")
  elif stated != actual:
    raise InputError(
        f"damaged, or edited: its {_CHECKSUM} is not that of its content; "
        "remove that line from a file that was edited on purpose")


def _checksum(values: Mapping[str, Any]) -> str:
  """sha256 over JSON values in UTF-8, keys sorted, without blanks.

  Raises:
    InputError: they can not be written so.
  """
  try:
    return hashlib.sha256(json.dumps(
        values, ensure_ascii=False, sort_keys=True,
        separators=(",", ":")).encode()).hexdigest()
  except (UnicodeEncodeError, RecursionError):
    raise InputError(
        "holds text that is no Unicode, or lists in lists without end"
    ) from None


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


def find_encoder_source(path: str | os.PathLike[str], info: AdapterInfo) -> str:
  """Where an adapter file says that its encoder is.

  Raises:
    InputError: at a URL of neither TF Hub nor Kaggle: whoever wrote the file
      shall not choose what this machine connects to.
  """
  source = info.encoder["source"]
  if is_elsewhere(source):
    raise InputError(
        f"{path}: was made for the encoder at {source}, which is fetched only "
        "if you give it yourself, as encoder_source or --encoder")
  return source


def assign_adapter(model: TaskModel, path: str | os.PathLike[str]) -> None:
  """Puts an adapter file's tensors into a model of the same make.

  Raises:
    InputError: the file can not be read, is damaged, was made for other
      encoder weights or another vocabulary, or its tensors are not the model's.
  """
  info = read_info(path)
  check_fits(path, info, model.encoder)
  _assign(model, FileTensors(path, info))


def _assign(model: TaskModel, tensors: "FileTensors") -> None:
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


def read_tensors(path: str | os.PathLike[str],
                 info: AdapterInfo) -> dict[str, np.ndarray]:
  """Reads all tensors of an adapter file, whatever they are.

  Args:
    path: the adapter file.
    info: its configuration.

  Raises:
    InputError: the file can not be read, or is damaged.
  """
  with _opened(path, info) as file:
    return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str],
            info: AdapterInfo) -> Iterator[safetensors.safe_open]:
  """The file of tensors, if it is the one that was written."""
  file = pathlib.Path(path) / WEIGHTS_NAME
  check_file(file)
  try:
    with open(file, "rb") as content:
      digest = hashlib.file_digest(content, "sha256").hexdigest()
    if digest != info.weights_sha256:
      raise InputError(
          f"{file}: damaged: its sha256 is not the one in {CONFIG_NAME}")
    with safetensors.safe_open(file, "numpy") as tensors:
      yield tensors
  except OSError as error:
    raise InputError(
        f"{file}: can not be read: {error.strerror or error}") from None
  except (safetensors.SafetensorError, AttributeError, KeyError,
          TypeError) as error:  # the last three: 8 bits and fewer
    raise InputError(f"{file}: can not be read: {error}") from None


class FileTensors(Mapping[str, np.ndarray]):
  """The tensors of an adapter file, checked at once and read when asked for.

  So many files, or large ones, do not take their memory twice.

  Args:
    path: the adapter file.
    info: its configuration, which says what tensors there have to be.

  Attributes:
    path: the adapter file.
    shapes: {canonical name: shape}.

  Raises:
    InputError: the file can not be read, is damaged, or holds other tensors:
      of other shapes or types, or not finite.
  """

  def __init__(self, path: str | os.PathLike[str], info: AdapterInfo):
    self.path = path
    self._file = pathlib.Path(path) / WEIGHTS_NAME
    try:
      self.shapes = expected_shapes(info)
    except InputError as error:
      raise InputError(f"{path}: {error}") from None
    with _opened(path, info) as file:
      # What the header tells comes first: it takes no memory.
      slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (no dict)
      check_tensors(path, {name: tuple(view.get_shape())
                           for name, view in slices.items()}, self.shapes)
      for name, view in slices.items():
        if view.get_dtype() != "F32" or not np.isfinite(
            file.get_tensor(name)).all():
          raise InputError(
              f"{self._file}: {name}: expected finite float32 numbers")

  def __getitem__(self, name: str) -> np.ndarray:
    with safetensors.safe_open(self._file, "numpy") as file:
      return file.get_tensor(name)

  def __iter__(self) -> Iterator[str]:
    return iter(self.shapes)

  def __len__(self) -> int:
    return len(self.shapes)


def expected_shapes(info: AdapterInfo) -> dict[str, tuple[int, ...]]:
  """{canonical name: shape} of what a file of such a configuration holds.

  Raises:
    InputError: adapters are in layers that its encoder has not, or it can not
      be tuned so.
  """
  bert, adapters = info.bert_config, info.adapter_config
  if bert.num_hidden_layers > _MOST_LAYERS:
    raise InputError(f"its encoder has {bert.num_hidden_layers} layers, "
                     f"expected at most {_MOST_LAYERS}")
  tuning = Tuning.parse(info.tuning)
  tuning.check(bert, adapters)
  shapes = {
      name: shape for name, shape in names.shapes(bert).items()
      if tuning.trains(name, bert.num_hidden_layers, adapters)
      # A pooler that the head does not look at is not trained.
      and (kind_of(name) != "pooler" or info.pooling == "pooler")}
  for layer in adapted_layers(adapters, bert.num_hidden_layers):
    for place in adapters.positions:
      shapes |= with_prefix(adapter_name(layer, place),
                            adapter_shapes(adapters, bert.hidden_size))
  outputs = 2 if info.problem_type == "span" else len(info.labels) or 1
  return shapes | {"head/kernel": (bert.hidden_size, outputs),
                   "head/bias": (outputs,)}


def check_tensors(path: str | os.PathLike[str],
                  found: Mapping[str, tuple[int, ...]],
                  expected: Mapping[str, tuple[int, ...]]) -> None:
  """Refuses tensors that are not those that there have to be.

  Args:
    path: the adapter file, for messages.
    found, expected: {canonical name: shape}.

  Raises:
    InputError: one is missing, too many, or of another shape.
  """
  file = pathlib.Path(path) / WEIGHTS_NAME
  for kind, odd in (("lacks", expected.keys() - found.keys()),
                    ("has too many:", found.keys() - expected.keys())):
    if odd:
      raise InputError(f"{file}: {kind} {min(odd)} ({len(odd)} tensors in all)")
  for name, shape in expected.items():
    if found[name] != shape:
      raise InputError(f"{file}: {name} has shape {list(found[name])}, "
                       f"expected {list(shape)}")


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
  return _describe(info, FileTensors(path, info).shapes)


def _describe(info: AdapterInfo,
              shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
  """{what: value} from the configuration and the tensors' shapes."""
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
  for name, shape in shapes.items():
    counts[kind_of(name)] = counts.get(kind_of(name), 0) + math.prod(shape)
  for kind, count in counts.items():
    rows[f"parameters, {kind}"] = f"{count:,}"
  for key, value in (info.span or {}).items():
    rows[f"span {key}"] = str(value)
  for split, values in info.metrics.items():
    for name, value in values.items():
      rows[f"{split} {name}"] = f"{value:.4f}"
  return rows | dict(info.versions)


def _card(info: AdapterInfo, shapes: Mapping[str, tuple[int, ...]]) -> str:
  """The model card: Markdown."""
  rows = _describe(info, shapes)
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
      *(f"| {printable(key)} | {printable(value)} |"
        for key, value in rows.items()),
      "",
  ])
