"""Compares two adapter files, and averages several.

What an adapter file is, and how it is read and written, is `adapter_file`'s
business.
"""

import dataclasses
import math
import numbers
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_adapters.adapter_files import adapter_file
from tf_adapters.adapter_files.finding import find_adapter
from tf_adapters.adapter_files.info import (
    AdapterInfo,
    library_versions,
    read_info,
)
from tf_adapters.adapter_files.opening import open_adapter
from tf_adapters.adapter_files.tensors import check_tensors, read_tensors
from tf_adapters.errors import InputError, warn
from tf_adapters.modeling import fingerprints

Path = str | os.PathLike[str]
Shape = tuple[int, ...]

# The settings without which tensors mean something else, all that begin so ...
_OF_TENSORS = ("problem_type", "labels", "pooling", "tuning", "changed_base",
               "adapter", "tokenizer", "span")
# ... except for those that matter in training only.
_OF_TRAINING = ("adapter init_scale", "adapter dropout",
                "adapter identity_init")


def average_adapters(paths: Sequence[Path], path: Path,
                     weights: Sequence[float] | None = None,
                     task: str = "") -> pathlib.Path:
  """Writes the mean of adapter files, such as those of several runs of a task.

  It is one model, as fast as each of them (model soups: Wortsman et al., ICML
  2022). Runs that began at the same weights may well have a mean that is
  better than each; those of different seeds need not have a useful one. Metrics
  are not carried over: they have to be measured. Nor are thresholds, unless all
  files have the same.

  The mean is that of every tensor. For LoRA it is that of the products, not of
  their factors: the mean of n files of rank r has rank n r.

  Args:
    paths: adapter files of the same configuration, on the same encoder.
    path: the adapter file to write.
    weights: a number for each file, in any scale; None for equal ones.
    task: name of the task; without it the files', where they have the same,
      else the folder's.

  Returns:
    The file's path.

  Raises:
    InputError: a file cannot be read; files differ in more than their
      values; the weights are no weights; the method is DoRA or Compacter,
      whose files have no mean; or there is something else at `path`.

  Example:
    >>> average_adapters(["run0/adapter", "run1/adapter"], "adapters/mrpc",
    ...                  weights=[2, 1])
  """
  if isinstance(paths, str | os.PathLike):
    raise InputError("expected a list of adapter files, not a single one")
  shares = _shares(len(paths), weights)
  paths = [find_adapter(file) for file in paths]
  infos = [read_info(file) for file in paths]
  for file, info in zip(paths, infos):
    _refuse_others(paths[0], _of_tensors(infos[0]), file, _of_tensors(info))
    _check_encoders(paths[0], infos[0], file, info)
  # A file without a share would let ranks grow for nothing.
  count, number = sum(share > 0 for share in shares), 0
  method, config = infos[0].method, infos[0].encoder_config
  of_method = method.all_shapes(config) if method else {}
  try:
    mean_method = method and method.mean_of(count)
  except InputError as error:
    raise InputError(f"{paths[0]}: {error}") from None
  shapes: dict[str, Shape] = {}
  means: dict[str, np.ndarray] = {}
  for file, info, share in zip(paths, infos, shares):
    tensors = read_tensors(file, info)
    shapes = shapes or _shapes(tensors)
    _refuse_others(paths[0], shapes, file, _shapes(tensors))
    check_tensors(file, {name: shape for name, shape in shapes.items()
                         if name in of_method}, of_method)
    if not share:
      continue
    tensors = {name: array.astype(np.float64)
               for name, array in tensors.items()}
    parts = {name: share * array for name, array in tensors.items()
             if name not in of_method}
    if method:
      parts |= method.in_mean(config, tensors, share, number, count)
    means = {name: means.get(name, 0) + part for name, part in parts.items()}
    number += 1
  return adapter_file.write_adapter(
      path,
      dataclasses.replace(
          infos[0], adapter=mean_method.to_dict() if mean_method else None,
          task=task or _common([info.task for info in infos]) or "",
          max_length=max(info.max_length or 0 for info in infos) or None,
          metrics={}, thresholds=_thresholds(path, infos),
          label_type=_common([info.label_type for info in infos]) or "str",
          weights_sha256="", versions=library_versions(),
          pairs=_common([info.pairs for info in infos])),
      {name: mean.astype(np.float32) for name, mean in means.items()})


@dataclasses.dataclass(frozen=True)
class PartComparison:
  """A comparison of two adapter files in one part of the model.

  Attributes:
    parameters: how many there are in each file.
    cosine: the cosine similarity of the part's values, as one vector; NaN where
      all values of a file are zero.
    distance: |a - b| / |a|; infinite, or NaN, where all values of a are zero.
      Both are None where the files do not have the same tensors, or not in the
      same shapes.
  """

  parameters: tuple[int, int]
  cosine: float | None
  distance: float | None


@dataclasses.dataclass(frozen=True)
class AdapterComparison:
  """A comparison of two adapter files, a and b.

  Attributes:
    settings: name -> the values in a and b, of those that differ; None where a
      file does not have it.
    parts: canonical name of an adapter, a layer norm, the head, ... -> how it
      compares.
    total: the same of all parts together that have the same shapes.
    shapes: (canonical name, shape in a, shape in b) of tensors that differ in
      shape; None for the file that does not have it. Layers that are alike are
      one row, with "*" for their number.
  """

  settings: Mapping[str, tuple[Any, Any]]
  parts: Mapping[str, PartComparison]
  total: PartComparison
  shapes: Sequence[tuple[str, Shape | None, Shape | None]]


def compare_adapters(a: Path, b: Path, labels: Sequence[str] | None = None,
                     ) -> AdapterComparison:
  """Compares two adapter files: settings, shapes and values.

  Args:
    a, b: the files, whoever wrote them.
    labels: label names of both, where another library's file says none.

  Raises:
    InputError: a file cannot be read, or is damaged.

  Example:
    >>> compare_adapters("run0/adapter", "run1/adapter").total.cosine
    0.982
  """
  a, b = find_adapter(a), find_adapter(b)
  files = [open_adapter(path, labels) for path in (a, b)]
  both = files[0].arrays(), files[1].arrays()
  shapes = _different(*map(_shapes, both))
  names = sorted({**both[0], **both[1]}, key=_in_order)
  parts: dict[str, list[str]] = {}
  for name in names:
    parts.setdefault(_part(name), []).append(name)
  alike = [part for part in parts if not shapes.keys() & parts[part]]
  return AdapterComparison(
      _different_settings(files[0].info, files[1].info),
      {part: _compare(*both, parts[part], part in alike) for part in parts},
      _compare(*both, [name for part in alike for name in parts[part]],
               bool(alike)),
      list(dict.fromkeys(
          (re.sub(r"/layer_\d+/", "/layer_*/", name), *shapes[name])
          for name in names if name in shapes)))


def _shares(count: int, weights: Sequence[float] | None) -> list[float]:
  """Returns the share of each of `count` files: numbers whose sum is 1."""
  if not count:
    raise InputError("there is no adapter file to average")
  weights = [1] * count if weights is None else list(weights)
  if len(weights) != count:
    raise InputError(
        f"weights: expected {count} numbers, one for each adapter file, not "
        f"{len(weights)}")
  if all(isinstance(weight, numbers.Real) and weight >= 0
         for weight in weights):
    total = sum(map(float, weights))
    if 0 < total < math.inf:
      return [float(weight) / total for weight in weights]
  raise InputError("weights: expected finite numbers that are not negative and "
                   f"not all 0, not {weights}")


def _thresholds(
    path: Path, infos: Sequence[AdapterInfo]) -> Mapping[str, float]:
  """Returns the files' thresholds, where all have the same; else says so."""
  thresholds = infos[0].thresholds
  if all(info.thresholds == thresholds for info in infos):
    return thresholds
  warn(f"{path}: has no thresholds, as the files' differ: tune them anew")
  return {}


def _common(values: Sequence[Any]) -> Any:
  return values[0] if len(set(values)) == 1 else None


def _settings(info: AdapterInfo) -> dict[str, Any]:
  """Puts a configuration on one level of names: "adapter size" and so on."""
  def flat(prefix: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
      return {prefix: value}
    return {name: inner for key in value for name, inner in flat(
        f"{prefix} {key}".strip(), value[key]).items()}

  settings = flat("", info.to_dict())
  if info.method is not None:  # files of bottlenecks do not say it
    settings = {"adapter method": info.method.name, **settings}
  del settings["weights_sha256"]
  return settings


def _different_settings(a: AdapterInfo, b: AdapterInfo,
                        ) -> dict[str, tuple[Any, Any]]:
  """As `_different`; of fingerprints those that tell another encoder.

  Files of version 0.1 do not have all of them.
  """
  different = _different(_settings(a), _settings(b))
  tell = [fingerprints.FUNCTION] * fingerprints.other_function(
      a.encoder, b.encoder)
  if other := fingerprints.other_weights(a.encoder, b.encoder):
    tell.append(other[0])
  for name in set(fingerprints.NAMES).difference(tell):
    different.pop(f"encoder {name}", None)
  return different


def _of_tensors(info: AdapterInfo) -> dict[str, Any]:
  return {name: value for name, value in _settings(info).items()
          if name.startswith(_OF_TENSORS) and name not in _OF_TRAINING}


def _shapes(tensors: Mapping[str, np.ndarray]) -> dict[str, Shape]:
  return {name: array.shape for name, array in tensors.items()}


def _different(a: Mapping[str, Any], b: Mapping[str, Any],
               ) -> dict[str, tuple[Any, Any]]:
  """Returns {key: values in a and b} where they differ; None for a missing one.
  """
  return {key: (a.get(key), b.get(key)) for key in {**a, **b}
          if a.get(key) != b.get(key)}


def _refuse_others(a_path: Path, a: Mapping[str, Any],
                   b_path: Path, b: Mapping[str, Any]) -> None:
  for key, (wanted, found) in _different(a, b).items():
    raise InputError(f"{b_path}: cannot be averaged with {a_path}: {key} is "
                     f"{found!s:.200}, not {wanted!s:.200}")


def _check_encoders(a_path: Path, a: AdapterInfo, b_path: Path,
                    b: AdapterInfo) -> None:
  """Refuses other encoders, and warns of what computes another function."""
  if other := fingerprints.other_weights(a.encoder, b.encoder):
    name, wanted, found = other
    _refuse_others(a_path, {f"encoder {name}": wanted},
                   b_path, {f"encoder {name}": found})
  if fingerprints.other_function(a.encoder, b.encoder):
    one, other_one = fingerprints.functions(a.encoder_config, b.encoder_config)
    warn(f"{b_path}: was trained with {other_one}, {a_path} with {one}, on the "
         "same weights: the mean is for an encoder with the latter")


def _part(name: str) -> str:
  """Returns the layer of the model that a tensor is of: "head", an adapter, ...
  """
  depth = 3 if name.startswith("transformer/") else 1
  return "/".join(name.split("/")[:depth])


def _in_order(name: str) -> list[str | int]:
  """Sorts layer 10 behind layer 9."""
  return [int(piece) if piece.isdecimal() else piece
          for piece in re.split(r"(\d+)", name)]


def _compare(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray],
             names: Sequence[str], alike: bool) -> PartComparison:
  """Compares the tensors of some names, which may be `alike` in shape."""
  parameters = (sum(a[name].size for name in names if name in a),
                sum(b[name].size for name in names if name in b))
  if not alike:
    return PartComparison(parameters, None, None)
  a_squared, b_squared, product, distance_squared = sum(
      (_products(a[name], b[name]) for name in names), np.zeros(4))
  with np.errstate(divide="ignore", invalid="ignore"):
    return PartComparison(
        parameters, float(product / np.sqrt(a_squared) / np.sqrt(b_squared)),
        float(np.sqrt(distance_squared / a_squared)))


def _products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  """Computes |a|^2, |b|^2, a.b and |a - b|^2."""
  a, b = (array.astype(np.float64).ravel() for array in (a, b))
  return np.array([a @ a, b @ b, a @ b, (a - b) @ (a - b)])
