"""The configuration of an adapter file: `adapter_config.json`, checked.

Its tensors are read in `adapter_tensors`; what fits on what is not known here.
"""

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from tf_adapters.checkpoints.hub_encoders import pinned_encoder
from tf_adapters.checkpoints.hugging_face_hub import (
    SCHEME,
    Repository,
    is_repository,
)
from tf_adapters.checkpoints.sources import is_elsewhere
from tf_adapters.errors import InputError, about
from tf_adapters.files.reading import (
    MOST_JSON_BYTES,
    near_name,
    read_json,
)
from tf_adapters.modeling import fingerprints
from tf_adapters.modeling.config import (
    PER_TOKEN_POOLING,
    POOLINGS,
    JsonConfig,
    is_flat,
)
from tf_adapters.modeling.encoders.bert import BERT
from tf_adapters.modeling.encoders.family import EncoderConfig
from tf_adapters.modeling.encoders.table import config_from_dict
from tf_adapters.modeling.methods.bottleneck import EPSILON, AdapterConfig
from tf_adapters.modeling.methods.method import Method
from tf_adapters.modeling.methods.table import method_from_dict
from tf_adapters.modeling.task_description import TaskDescription
from tf_adapters.modeling.tuning import Tuning
from tf_adapters.problems import find_problem
from tf_adapters.problems.problem import Problem

FORMAT_VERSIONS = (1, 2)
CONFIG_NAME = "adapter_config.json"
# Files that folders of encoders have.
_OF_ENCODERS = ("saved_model.pb", "config.json", "bert_config.json")

# The key of the sha256 over all else that adapter_config.json says.
_CHECKSUM = "config_sha256"

_PACKAGES = ("tf_adapters", "tensorflow", "tf_keras", "tensorflow-text")


@dataclasses.dataclass(frozen=True)
class AdapterInfo(JsonConfig):
  """The contents of `adapter_config.json`.

  Attributes:
    format_version: of the file: see the function of that name.
    task: name of the task.
    problem_type: one of `problems.PROBLEMS`.
    labels: label names, in the order of the head's outputs.
    pooling, dropout: of the head; the pooling of tokens' heads is "tokens".
    adapter: the method's configuration, or None.
    tuning: what was trained.
    max_length: longest sequence in training, in wordpieces, where known.
    metrics: split -> metric -> value.
    encoder: "source" and "architecture" of the base, which says its "family"
      unless that is "bert", and those of `fingerprints.NAMES` that are known:
      files of version 0.1 have one, those of other libraries none. Also the
      "name" on the Hugging Face Hub, where another library's file gave one.
    tokenizer: the vocabulary's `fingerprint`; empty without a vocabulary.
    weights_sha256: of the file of tensors.
    versions: of the libraries that wrote it.
    pairs: whether the task is on pairs of texts; None where unknown.
    span: how contexts are cut and answers chosen, the fields of
      `data.squad_options.SquadOptions`; None for other tasks.
    changed_base: canonical names of further pretrained weights that are in the
      file: the tuning does not train them, and yet they are not the encoder's.
      Files of version 0.1 have no such key.
    label_type, thresholds: see `TaskDescription`.
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
  changed_base: tuple[str, ...] = ()
  label_type: str = "str"
  thresholds: Mapping[str, float] = dataclasses.field(default_factory=dict)

  def __post_init__(self) -> None:
    problem = self.problem
    for name, kind in (
        ("task", str), ("labels", list | tuple), ("tuning", str),
        ("pooling", str), ("dropout", float | int),
        ("adapter", Mapping | None), ("encoder", Mapping),
        ("tokenizer", Mapping), ("weights_sha256", str),
        ("versions", Mapping), ("changed_base", list | tuple)):
      if not isinstance(getattr(self, name), kind):
        raise InputError(f"{name} is {getattr(self, name)!r}")
    for name in ("source", "architecture"):
      if name not in self.encoder:
        raise InputError(f"encoder has no {name}")
    for name, fine in (
        ("labels", bool(self.description.labels) == problem.has_labels),
        ("dropout", 0 <= self.dropout < 1),
        ("changed_base", all(isinstance(name, str)
                             for name in self.changed_base)),
        ("encoder", isinstance(self.encoder["source"], str)
         and all(isinstance(self.encoder.get(name, ""), str)
                 for name in (*fingerprints.NAMES, "name"))
         and isinstance(self.encoder["architecture"], Mapping)),
        ("adapter", _is_method(self.adapter or {})),
        *((name, is_flat(getattr(self, name)))
          for name in ("tokenizer", "versions")),
        ("encoder", is_flat({**self.encoder, "architecture": None})
         and is_flat(self.encoder["architecture"]))):
      if not fine:
        raise InputError(f"{name} is {getattr(self, name)!r}")
    poolings = (PER_TOKEN_POOLING,) if problem.per_token else POOLINGS
    if self.pooling not in poolings:
      raise InputError(f"pooling must be one of {', '.join(poolings)}, not "
                       f"{self.pooling!r}")
    Tuning.parse(self.tuning)
    for name in ("labels", "changed_base"):
      object.__setattr__(self, name, tuple(getattr(self, name)))
    # Both raise what is wrong with them.
    _ = self.method
    if self.encoder["architecture"]:
      _ = self.encoder_config

  @functools.cached_property
  def method(self) -> Method | None:
    """The method's configuration, or None."""
    return None if self.adapter is None else method_from_dict(self.adapter)

  def check_architecture(self, path: str | os.PathLike[str],
                         config: EncoderConfig, source: str) -> None:
    """Refuses an encoder of other sizes or of another family.

    Args:
      path: the adapter file.
      config: of the encoder.
      source: where that is from.

    Raises:
      InputError: it is of such.
    """
    ours = self.encoder_config
    if (ours.family, ours.sizes()) != (config.family, config.sizes()):
      raise InputError(
          f"{path}: was made for other encoder weights: "
          f"{self.encoder['source']}, of other sizes than {source}")

  @functools.cached_property
  def encoder_config(self) -> EncoderConfig:
    """The architecture of the base."""
    return config_from_dict(self.encoder["architecture"])

  @property
  def description(self) -> TaskDescription:
    """The description of the task that a model of the file has."""
    return TaskDescription(
        self.task, self.labels, self.max_length, self.pairs, self.span,
        self.metrics, self.weights_sha256, self.label_type, self.thresholds)

  @property
  def problem(self) -> Problem:
    """The type of problem."""
    return find_problem(self.problem_type)

  @property
  def takes_pairs(self) -> bool | None:
    """As `Problem.takes_pairs`."""
    return self.problem.takes_pairs(self.pairs)

  @property
  def num_outputs(self) -> int:
    """Outputs of the head, for each text or token."""
    return self.problem.num_outputs(self.labels)


def _is_method(values: Mapping[str, Any]) -> bool:
  """Returns whether values are flat, but for those of the methods of a union.
  """
  methods = values.get("methods", [])
  return isinstance(methods, list) and is_flat(
      {**values, "methods": None}) and all(
          isinstance(one, Mapping) and is_flat(one) for one in methods)


def format_version(info: AdapterInfo) -> int:
  """Returns the version of the format that a file of this configuration has.

  tf_adapters 0.1 reads version 1, and leaves out what it does not know. So a
  file has version 2 where that would be another function, or none.
  """
  method = info.method
  is_known = method is None or (
      isinstance(method, AdapterConfig)
      and all(getattr(method, name) == getattr(AdapterConfig, name)
              for name in ("input", "scaling", "learned_scaling"))
      and (not method.layer_norm or method.layer_norm_epsilon == EPSILON))
  return 1 if (is_known and info.encoder_config.family == BERT.name
               and not info.thresholds) else 2


def library_versions() -> dict[str, str]:
  """Returns versions of the libraries that decide over results."""
  versions = {}
  for package in _PACKAGES:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      versions[package] = importlib.metadata.version(package)
  return versions


def info_json(info: AdapterInfo) -> str:
  """Writes the content of `adapter_config.json`.

  Raises:
    InputError: a text in it cannot be written as Unicode, or it is larger than
      what is read again.
  """
  values = json.loads(json.dumps(info.to_dict()))
  values[_CHECKSUM] = _checksum(values)
  content = json.dumps(values, indent=2) + "\n"
  if len(content) > MOST_JSON_BYTES:
    raise InputError(
        f"{CONFIG_NAME} of task {info.task} would have {len(content):,} bytes, "
        f"but at most {MOST_JSON_BYTES:,} can be read: its labels or metrics "
        "are too many, or their names too long")
  return content


def read_info(path: str | os.PathLike[str]) -> AdapterInfo:
  """Reads an adapter file's configuration.

  Raises:
    InputError: there is none, it is no JSON object, a key is missing, it is
      of a newer format, or not what was written.
  """
  check_is_adapter(path)
  return parse_info(path, read_json(pathlib.Path(path) / CONFIG_NAME))


def parse_info(path: str | os.PathLike[str],
               values: Mapping[str, Any]) -> AdapterInfo:
  """As `read_info`, of what was read.

  Args:
    path: the adapter file.
    values: what its configuration says.
  """
  file = pathlib.Path(path) / CONFIG_NAME
  values = dict(values)
  if "format_version" not in values and {"peft_type", "config"} & {*values}:
    raise InputError(
        f"{path}: was written by another library: write it as a file of this "
        "one first, with load_adapter and save_adapter, or with "
        f"tf-adapters convert --adapter={path} --to=tf_adapters")
  if values.get("format_version") not in FORMAT_VERSIONS:
    raise InputError(
        f"{file}: format_version is {values.get('format_version')!r:.20}; this "
        f"version reads {' and '.join(map(str, FORMAT_VERSIONS))}")
  stated = values.pop(_CHECKSUM, None)
  with about(file):
    info = AdapterInfo.from_dict(values)
    _ = info.encoder_config  # ours say it
    _check_checksum(values, stated)
  return info


def check_is_adapter(path: str | os.PathLike[str]) -> None:
  """Raises InputError where there is no adapter file."""
  file = pathlib.Path(path) / CONFIG_NAME
  # Unlike pathlib's, os.path's know what to say of names that are too long.
  if not os.path.exists(file):
    if is_repository(path):
      raise InputError(f"{path}: is not on this machine: `tf-adapters pull "
                       f"--adapter={path} --output=FOLDER` makes an adapter "
                       "file of it")
    inside = file.parent / "adapter"
    run = file.parent.parent
    if not os.path.exists(file.parent):
      what = f"there is no such folder{near_name(path)}"
      if os.path.isdir(run / "checkpoints"):
        what += f"; the run in {run} has not ended: the same command goes on"
    elif os.path.exists(inside / CONFIG_NAME):
      what = f"it has no {CONFIG_NAME}; {inside} is one"
    elif os.path.isfile(file.parent):
      what = "it is a file, and those are folders"
    elif any(os.path.exists(file.parent / name) for name in _OF_ENCODERS):
      what = "it is an encoder: --encoder, or load_encoder, reads it"
    else:
      what = f"it has no {CONFIG_NAME}"
    raise InputError(f"{path}: not an adapter file: {what}")


def find_encoder_source(path: str | os.PathLike[str], info: AdapterInfo) -> str:
  """Finds where an adapter file says that its encoder is.

  A repository of the Hugging Face Hub is one that has been fetched before, at
  the commit that is in the cache.

  Raises:
    InputError: at a URL of neither TF Hub nor Kaggle, or in a repository that
      is not in the cache: whoever wrote the file shall not choose what this
      machine connects to. Or nowhere, as some of other libraries say.
  """
  source: str = info.encoder["source"]
  if not info.encoder["architecture"] and not os.path.exists(source):
    try:  # that is how transformers calls encoders
      source = str(Repository.parse(f"{SCHEME}{source}"))
    except InputError:
      raise InputError(
          f"{path}: was made for the encoder {source!r:.80}, which is not "
          "here: give it, as encoder_source or --encoder") from None
  if is_repository(source) and (kept := pinned_encoder(source)) is not None:
    return kept
  if is_elsewhere(source):
    raise InputError(
        f"{path}: was made for the encoder at {source}, which is fetched only "
        "if you give it yourself, as encoder_source or --encoder")
  return source


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
  """Computes a sha256 of JSON values in UTF-8, keys sorted, without blanks.

  Raises:
    InputError: they cannot be written so.
  """
  try:
    return hashlib.sha256(json.dumps(
        values, ensure_ascii=False, sort_keys=True,
        separators=(",", ":")).encode()).hexdigest()
  except (UnicodeEncodeError, RecursionError):
    raise InputError(
        "holds text that is no Unicode, or lists in lists without end"
    ) from None
