"""The tensors of an adapter file: `adapter.safetensors`, checked before use.

What they are to be follows from the file's configuration alone.
"""

import contextlib
import hashlib
import os
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np
import safetensors

from tf_adapters.adapter_info import CONFIG_NAME, AdapterInfo
from tf_adapters.checkpoints import names
from tf_adapters.errors import InputError
from tf_adapters.files import check_file
from tf_adapters.modeling.adapter import (
    adapted_layers,
    adapter_name,
    adapter_shapes,
    with_prefix,
)
from tf_adapters.modeling.tuning import Tuning, kind_of

WEIGHTS_NAME = "adapter.safetensors"

# Names are made for each of them; BERTs have up to 24.
_MOST_LAYERS = 1000


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
