"""Parts that the readers of other libraries' adapter files share.

Their readers say what a file holds by our names, as an `AdapterInfo` and as
`Stored` tensors, of which none is read before it is known to fit.
"""

import hashlib
import math
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from tf_adapters.adapter_files.info import FORMAT_VERSIONS, AdapterInfo
from tf_adapters.adapter_files.tensors import AdapterTensors, check_tensors
from tf_adapters.adapter_files.torch_modules import TorchModel
from tf_adapters.adapter_files.torch_pickle import TorchFile
from tf_adapters.checkpoints import names
from tf_adapters.checkpoints.tensor_file import TensorFile
from tf_adapters.errors import InputError, listed
from tf_adapters.modeling.encoders.table import family_of
from tf_adapters.modeling.methods.method import Method
from tf_adapters.modeling.methods.table import method_of
from tf_adapters.modeling.tuning import kind_of

# The layers of a head for whole texts: where there are two, the first one is as
# BERT's pooler is.
TEXT_HEAD = ("pooler_transform", "head")
# The tensors of a pooler.
POOLER = ("pooler_transform/kernel", "pooler_transform/bias")

# Arrays of one task that are filled up to the same size may take so many times
# what the file has of them.
_MOST_PADDING = 16

_FLOATS = ("F32", "F16", "BF16", "F64")


class NotSaidError(InputError):
  """Another library's file does not say what whoever loads it may."""


class Stored(NamedTuple):
  """A tensor in a file, as we have it: nothing is read before `read`."""

  shape: tuple[int, ...]
  read: Callable[[], np.ndarray]

  @property
  def transposed(self) -> "Stored":
    """Of a matrix: PyTorch's are [outputs, inputs]."""
    return Stored(self.shape[::-1], lambda: self.read().T)

  def reshaped(self, *shape: int) -> "Stored":
    """Returns it with another shape, of as many numbers."""
    return Stored(shape, lambda: self.read().reshape(shape))

  def times(self, factor: float) -> "Stored":
    """Returns it multiplied."""
    if factor == 1:
      return self
    return Stored(self.shape, lambda: np.float32(factor) * np.asarray(
        self.read(), np.float32))

  def padded(self, *shape: int) -> "Stored":
    """Returns it with zeros at the ends, or as it is where it does not fit in.
    """
    if len(shape) != len(self.shape) or any(
        has > size for has, size in zip(self.shape, shape)):
      return self
    return Stored(shape, lambda: np.pad(self.read(), [
        (0, size - has) for size, has in zip(shape, self.shape)]))


Tensors = dict[str, Stored]


class Foreign(NamedTuple):
  """The contents of another library's file, and the encoders that it fits.

  Attributes:
    families: of encoders that it can be put on.
    sizes: what it says of its encoder, by names of `EncoderConfig`.
    tensors: by canonical name; what all layers share is in layer 0.
  """

  families: tuple[str, ...]
  sizes: Mapping[str, int]
  tensors: Mapping[str, Stored]

  def in_all_layers(self, count: int) -> "Foreign":
    """Puts what a method has in layer 0 into each of `count` layers."""
    return self._replace(tensors={
        name.replace("/layer_0/", f"/layer_{layer}/"): stored
        for name, stored in self.tensors.items()
        for layer in range(count if method_of(name) else 1)})


def constant(shape: Sequence[int], value: float) -> Stored:
  """Makes an array of one number, which is in no file."""
  return Stored(tuple(shape), lambda: np.full(shape, value, np.float32))


def check_padding(before: Mapping[str, Stored],
                  after: Mapping[str, Stored]) -> None:
  """Refuses what would take much more memory than the file.

  Raises:
    InputError: places differ in size by too much.
  """
  sizes = [sum(int(np.prod(stored.shape)) for stored in tensors.values())
           for tensors in (before, after)]
  if sizes[1] > _MOST_PADDING * sizes[0]:
    raise InputError(
        "its places differ in size so much that filled up to the same size "
        f"they would take {sizes[1] / sizes[0]:.0f} times the file")


class WeightsFile:
  """A file of tensors, each of which has to be taken by somebody.

  Args:
    folder: that it is in.
    candidates: its name; of those that are there the first one is read.

  Attributes:
    path: the file.
    sha256: of its content.
    left: names of the tensors that nobody has taken.

  Raises:
    InputError: there is none, or it cannot be read.
  """

  def __init__(self, folder: pathlib.Path, *candidates: str):
    found = [name for name in candidates if os.path.exists(folder / name)]
    if not found:
      raise InputError(f"{folder}: has no {' and no '.join(candidates)}")
    self.path = folder / found[0]
    self._file: TensorFile | TorchFile = (
        TensorFile(self.path) if self.path.suffix == ".safetensors"
        else TorchFile(self.path))
    with open(self.path, "rb") as file:
      self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    self.left = dict.fromkeys(self._file.shapes)
    self._bytes = 0  # of what was taken, as float32
    for name, dtype in self._file.dtypes.items():
      if dtype not in _FLOATS:
        raise InputError(f"{self.path}: {name} holds {dtype}, expected "
                         "floating-point numbers")

  def take(self, name: str) -> Stored:
    """Takes a tensor by its name in the file.

    Raises:
      InputError: there is none.
    """
    if name not in self._file.shapes:
      raise InputError(f"{self.path}: has no {name}")
    self.left.pop(name, None)
    self._bytes += 4 * math.prod(self._file.shapes[name])
    return Stored(self._file.shapes[name], lambda: self._file.read(name))

  def check_all_taken(self) -> None:
    """Refuses a file with tensors that nobody took, or of which many are one.

    Raises:
      InputError: there is one, or those that were taken would have more than
        twice the bytes of the file.
    """
    size = self.path.stat().st_size
    if self._bytes > 2 * size:
      raise InputError(f"{self.path}: its tensors would take {self._bytes:,} "
                       f"bytes, of a file of {size:,}")
    if self.left:
      raise InputError(
          f"{self.path}: holds {listed(list(self.left), 2)}, which is not "
          "read: without it the file would be another function")


class ForeignTensors(AdapterTensors):
  """Those of another library's file.

  Args:
    path: the file.
    info: what it says, on an encoder.
    tensors: what is in it, by canonical name; no head where it was opened
      without one.

  Raises:
    InputError: as for `AdapterTensors`.
  """

  def __init__(self, path: str | os.PathLike[str], info: AdapterInfo,
               tensors: Mapping[str, Stored]):
    super().__init__(path, info)
    self._tensors = tensors
    config = info.encoder_config
    if not any(name.startswith("head/") for name in tensors):
      self.shapes = {name: shape for name, shape in self.shapes.items()
                     if kind_of(name) != "head"}
    as_matrix = family_of(config).as_matrix
    base = names.shapes(config)
    # Other libraries know no attention heads in shapes.
    check_tensors(path, {
        name: base[name] if name in base and (
            as_matrix(name, base[name]) == stored.shape) else stored.shape
        for name, stored in tensors.items()}, self.shapes)
    for name in self:
      if not np.isfinite(self[name]).all():
        raise InputError(f"{path}: {name}: expected finite numbers")

  def __getitem__(self, name: str) -> np.ndarray:
    with np.errstate(over="ignore"):  # of float64; said above
      return np.ascontiguousarray(
          self._tensors[name].read(), np.float32).reshape(self.shapes[name])


class Head(NamedTuple):
  """A task's head, and what it says of the task.

  Attributes:
    problem_type, labels, pooling, dropout: as in `AdapterInfo`.
    tensors: by canonical name: of the head, and of a pooler of its own.
    tuned_pooler: whether there is one.
  """

  problem_type: str
  labels: tuple[str, ...]
  pooling: str
  dropout: float
  tensors: Mapping[str, Stored]
  tuned_pooler: bool = False


# In the place of a head that a file lacks, or that nobody wants: no tensors.
NO_HEAD = Head("regression", (), "cls", 0.1, {})


def lacks_head(why: str) -> NoReturn:
  """Raises NotSaidError for a file without a head, which is of no task."""
  raise NotSaidError(
      f"has no head: {why}; ta.load_adapted_encoder puts it on an encoder, for "
      "a head of your own")


def model_head(model: TorchModel, problem_type: str,
               take: Callable[[str], Stored]) -> Tensors:
  """Returns the head that transformers' model for a type of problem has.

  Args:
    model: the family's.
    problem_type: "classification" for all of whole texts, "tagging" or "span".
    take: returns a tensor by its name in the model.

  Returns:
    Its tensors by canonical name.

  Raises:
    InputError: a tensor is missing, or the head is not computed here.
  """
  modules = {"tagging": ("classifier",), "span": ("qa_outputs",)}.get(
      problem_type, model.names.text_head)
  if len(modules) > 1 and model.names.text_head_act != "tanh":
    refuse(f"its head is that of a {model.names.model}ForSequenceClassification"
           f", which computes {model.names.text_head_act} between two layers")
  tensors: Tensors = {}
  for ours, module in zip(TEXT_HEAD[-len(modules):], modules):
    tensors |= {f"{ours}/kernel": take(f"{module}.weight").transposed,
                f"{ours}/bias": take(f"{module}.bias")}
  return tensors


def make_info(task: str, head: Head, method: Method | None, source: str,
              versions: Mapping[str, str], sha256: str, tuning: str = "",
              changed_base: Sequence[str] = ()) -> AdapterInfo:
  """Makes the information of a file, before it is put on an encoder.

  Args:
    task: its name.
    head: of the task.
    method: configuration of what is inserted, or None.
    source: what the file calls its encoder.
    versions: of the library that wrote it.
    sha256: of its files of tensors.
    tuning: without the pooler; "" for that of the method with its layer norms
      frozen.
    changed_base: as in `AdapterInfo`.
  """
  if not tuning:
    frozen = "-layer_norms" * (method is not None and method.trains_layer_norms)
    tuning = f"adapters{frozen}" if method is not None else "head"
  return AdapterInfo(
      format_version=FORMAT_VERSIONS[-1], task=task,
      problem_type=head.problem_type, labels=head.labels, pooling=head.pooling,
      dropout=head.dropout,
      adapter=None if method is None else method.to_dict(),
      tuning=tuning + "+pooler" * head.tuned_pooler, max_length=None,
      metrics={}, encoder={"source": source, "architecture": {}}, tokenizer={},
      weights_sha256=sha256, versions=versions,
      changed_base=tuple(changed_base))


def choose_labels(own: Sequence[str] | None, given: Sequence[str] | None,
                  count: int) -> tuple[str, ...]:
  """Chooses the label names of a task: the file's, or those that were given.

  Args:
    own: the file's, or None.
    given: what the user says, or None.
    count: how many outputs there are.

  Raises:
    NotSaidError: nobody says them.
    InputError: both do and differ, or they are not as many as the outputs.
  """
  if own is None and given is None:
    raise NotSaidError(
        f"does not say what its {count} labels are called: give their names in "
        'the order of its outputs, as labels=["no", "yes"] or --labels=no,yes; '
        "tf-adapters convert --to=tf_adapters writes a file that has them")
  if given is not None and own is not None and all(
      label == f"LABEL_{number}" for number, label in enumerate(own)):
    own = None  # what transformers calls labels that nobody named
  if own is not None and given is not None and list(own) != list(given):
    raise InputError(f"has labels of its own, {listed(own, 6)}: leave labels "
                     "out")
  labels = own if given is None else given
  if labels is None or len(labels) != count:
    raise InputError(f"has {count} outputs, not {len(labels or ())} as there "
                     f"are labels: {listed(labels or (), 6)}")
  return tuple(labels)


def setting(values: Mapping[str, Any], name: str, kind: Any,
            default: Any = ...) -> Any:
  """Returns a value of a configuration, of a type.

  Raises:
    InputError: it is missing, and there is no default, or of another type.
  """
  value = values.get(name, default)
  if value is ...:
    raise InputError(f"{name} is missing")
  # A bool is an int to Python.
  if not isinstance(value, kind) or (
      isinstance(value, bool) and kind in (int, float | int)) or (
      isinstance(value, float) and not math.isfinite(value)):
    raise InputError(f"{name} is {value!r:.60}")
  return value


def refuse(what: str) -> NoReturn:
  """Raises InputError for what has no equal here."""
  raise InputError(
      f"{what}, which tf_adapters does not compute: "
      "docs/reference/other_libraries.md says what is read")


def layers_of(model: TorchModel, places: Iterable[tuple[int, str]],
              ) -> tuple[int, ...] | None:
  """Returns `Method.layers` of what is in places (layer, name)."""
  return None if model.shares_layers else tuple(
      sorted({layer for layer, _ in places}))


def as_whole(layers: Sequence[int]) -> int:
  """Counts the layers of an encoder of which these are all."""
  return max(layers) + 1
