"""The tensors of an adapter file: `adapter.safetensors`, checked before use.

What they are to be follows from the file's configuration alone.
"""

import functools
import math
import os
import pathlib
import types
from collections.abc import ItemsView, Iterator, Mapping, Sequence

import numpy as np

from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.checkpoints import names
from tf_adapters.checkpoints.tensor_file import TensorFile, read_arrays
from tf_adapters.errors import InputError, about
from tf_adapters.modeling.config import MOST_LAYERS
from tf_adapters.modeling.encoders.family import EncoderConfig
from tf_adapters.modeling.methods.method import Method
from tf_adapters.modeling.tuning import Tuning, kind_of

WEIGHTS_NAME = "adapter.safetensors"


class AdapterTensors(Mapping[str, np.ndarray]):
  """The tensors of an adapter file, checked at once and read when asked for.

  So many files, or large ones, do not take their memory twice. This is the base
  class: how an array is read depends on whose file it is.

  Args:
    path: the adapter file.
    info: its configuration, which says what tensors there have to be.

  Attributes:
    path: the adapter file.
    shapes: {canonical name: shape}.

  Raises:
    InputError: the file cannot be read, is damaged, or holds other tensors:
      of other shapes or types, or not finite.
  """

  def __init__(self, path: str | os.PathLike[str], info: AdapterInfo):
    self.path = path
    with about(path):
      self.shapes = expected_shapes(info)

  def __contains__(self, name: object) -> bool:
    return name in self.shapes

  def __iter__(self) -> Iterator[str]:
    return iter(self.shapes)

  def __len__(self) -> int:
    return len(self.shapes)


class FileTensors(AdapterTensors):
  """Those of a file of ours."""

  def __init__(self, path: str | os.PathLike[str], info: AdapterInfo):
    super().__init__(path, info)
    self._tensors = _tensors(path, info)
    # What the header tells comes first: it takes no memory.
    check_tensors(self._tensors.path, self._tensors.shapes, self.shapes)
    _refuse(self._tensors.path, [
        name for name, dtype in self._tensors.dtypes.items() if dtype != "F32"
    ] or [name for name, array in self._tensors.items()
          if not np.isfinite(array).all()])

  def __getitem__(self, name: str) -> np.ndarray:
    return self._tensors.read(name)

  def items(self) -> ItemsView[str, np.ndarray]:
    """Reads all of them at once: the file is opened once."""
    return dict(self._tensors.items()).items()


def read_checked(path: str | os.PathLike[str],
                 info: AdapterInfo) -> dict[str, np.ndarray]:
  """Reads what `FileTensors` has into memory: the file once.

  Args:
    path: the adapter file.
    info: its configuration.

  Raises:
    InputError: as for `AdapterTensors`.
  """
  file = pathlib.Path(path) / WEIGHTS_NAME
  with about(path):
    shapes = expected_shapes(info)
  arrays, data = read_arrays(file, info.weights_sha256, sum(
      4 * math.prod(shape) for shape in shapes.values()))
  check_tensors(
      file, {name: array.shape for name, array in arrays.items()}, shapes)
  _refuse(file, [name for name, array in arrays.items()
                 if array.dtype != np.float32])
  if not np.isfinite(data.view(np.float32)).all():  # all at once: it is fast
    _refuse(file, [name for name, array in arrays.items()
                   if not np.isfinite(array).all()])
  return arrays


def _refuse(file: pathlib.Path, names: Sequence[str]) -> None:
  if names:
    raise InputError(f"{file}: {names[0]}: expected finite float32 numbers")


def read_tensors(path: str | os.PathLike[str],
                 info: AdapterInfo) -> dict[str, np.ndarray]:
  """Reads all tensors of an adapter file, whatever they are.

  Args:
    path: the adapter file.
    info: its configuration.

  Raises:
    InputError: the file cannot be read, or is damaged.
  """
  tensors = _tensors(path, info)
  return dict(tensors.items())


def _tensors(path: str | os.PathLike[str], info: AdapterInfo) -> TensorFile:
  """Opens the file of tensors, if it is the one that was written."""
  return TensorFile(pathlib.Path(path) / WEIGHTS_NAME, info.weights_sha256)


def expected_shapes(info: AdapterInfo) -> Mapping[str, tuple[int, ...]]:
  """Returns {canonical name: shape} for a file of such a configuration.

  Raises:
    InputError: adapters are in layers that its encoder does not have, or it
      cannot be tuned so.
  """
  return _expected_shapes(info.encoder_config, info.method, info.tuning,
                          info.pooling, info.num_outputs, info.changed_base)


# Most files are like others, and who loads thousands does not want to wait.
@functools.lru_cache(maxsize=64)
def _expected_shapes(
    config: EncoderConfig, method: Method | None, tuned: str, pooling: str,
    outputs: int, changed_base: Sequence[str],
) -> Mapping[str, tuple[int, ...]]:
  if config.num_hidden_layers > MOST_LAYERS:
    raise InputError(f"its encoder has {config.num_hidden_layers} layers, "
                     f"expected at most {MOST_LAYERS}")
  tuning = Tuning.parse(tuned)
  tuning.check(config, method)
  shapes = {
      name: shape for name, shape in names.shapes(config).items()
      if tuning.trains(name, config.num_hidden_layers, method)
      # A pooler that the head does not look at is not trained.
      and (kind_of(name) != "pooler" or pooling == "pooler")}
  base = names.shapes(config)
  for name in changed_base:
    if name not in base:
      raise InputError(f"changed_base: {name!r:.100} is no pretrained weight")
    shapes[name] = base[name]
  if method is not None:
    shapes |= method.all_shapes(config)
  return types.MappingProxyType(
      shapes | {"head/kernel": (config.hidden_size, outputs),
                "head/bias": (outputs,)})


def check_tensors(path: str | os.PathLike[str],
                  found: Mapping[str, tuple[int, ...]],
                  expected: Mapping[str, tuple[int, ...]]) -> None:
  """Refuses tensors that are not those that there have to be.

  Args:
    path: their file, for messages.
    found, expected: {canonical name: shape}.

  Raises:
    InputError: one is missing, too many, or of another shape.
  """
  for kind, odd in (("lacks", expected.keys() - found.keys()),
                    ("has too many:", found.keys() - expected.keys())):
    if odd:
      raise InputError(f"{path}: {kind} {min(odd)} ({len(odd)} tensors in all)")
  for name, shape in expected.items():
    if found[name] != shape:
      raise InputError(f"{path}: {name} has shape {list(found[name])}, "
                       f"expected {list(shape)}")
