"""Opens adapter files, whoever wrote them: ours, AdapterHub's and PEFT's.

All call their configuration `adapter_config.json`: which it is, its keys tell.
What is opened is the same for all, so that nothing else asks who wrote a file.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from tf_adapters.adapter_files import adapterhub, peft
from tf_adapters.adapter_files.foreign import (
    POOLER,
    Foreign,
    ForeignTensors,
    NotSaidError,
)
from tf_adapters.adapter_files.info import (
    CONFIG_NAME,
    AdapterInfo,
    check_is_adapter,
    parse_info,
)
from tf_adapters.adapter_files.tensors import (
    AdapterTensors,
    FileTensors,
    read_checked,
    read_tensors,
)
from tf_adapters.checkpoints.hugging_face_hub import SCHEME, Repository
from tf_adapters.errors import InputError, warn
from tf_adapters.files.reading import read_json
from tf_adapters.modeling.encoders.bert import BERT
from tf_adapters.modeling.encoders.family import EncoderConfig
from tf_adapters.modeling.encoders.table import ENCODERS, config_to_dict

# Whose files are read and written.
OURS = "tf_adapters"
LIBRARIES = ("adapterhub", "peft", OURS)


@dataclasses.dataclass(frozen=True)
class AdapterFile:
  """One task's file: what it says, and its tensors.

  Attributes:
    path: the folder.
    info: what it says. Another library's has no architecture of its encoder
      before it is put `on` one.
    foreign: what such a file holds; None for ours.
  """

  path: str | os.PathLike[str]
  info: AdapterInfo
  foreign: Foreign | None = None

  def on(self, config: EncoderConfig, source: str,
         lacks_pooler: bool) -> "AdapterFile":
    """Returns the same, of another library's file, on an encoder; ours as is.

    Args:
      config: the encoder's architecture.
      source: what to call the encoder.
      lacks_pooler: whether its files have no pooler.

    Raises:
      InputError: the file was made for one of other sizes, or of another
        family; or its head sees a pooler that no file has.
    """
    foreign = self.foreign
    if foreign is None:
      return self
    if lacks_pooler and self.info.pooling == "pooler" and (
        POOLER[0] not in foreign.tensors):
      raise InputError(
          f"{self.path}: its head sees the pooler's output, and {source} has "
          "no pooler: there it was drawn at random for each training, and the "
          "file does not hold it")
    if config.family not in foreign.families:
      titles = " or ".join(ENCODERS[name].title for name in foreign.families)
      raise InputError(f"{self.path}: was made for a model of {titles}, not "
                       f"for {source}, whose family is {config.family}")
    for name, size in foreign.sizes.items():
      found = getattr(config, name, size)
      if found != size:
        raise InputError(
            f"{self.path}: was made for an encoder with {name} {size}, not "
            f"{found} as {source} has")
    if config.family == BERT.name and (
        getattr(config, "hidden_act", "") == "gelu_tanh"):
      warn(f"{self.path}: does not say its encoder's activation, which is the "
           f"exact gelu in most of transformers' BERTs; {source} has its tanh "
           "approximation: predictions can differ a little")
    if config.shares_layers:
      foreign = foreign.in_all_layers(config.num_hidden_layers)
    name = self.info.encoder["source"]
    return dataclasses.replace(self, foreign=foreign, info=dataclasses.replace(
        self.info, encoder={
            "source": source, "architecture": config_to_dict(config),
            **({"name": name} if _is_name(name) else {})}))

  def shapes(self) -> Mapping[str, tuple[int, ...]]:
    """Returns {canonical name: shape} of what is in it, for people.

    Raises:
      InputError: it cannot be read, or is damaged.
    """
    if self.foreign is None:
      return FileTensors(self.path, self.info).shapes
    return {name: array.shape for name, array in self.arrays().items()}

  def arrays(self) -> dict[str, np.ndarray]:
    """Returns {canonical name: array} of what is in it, whether it fits or not.

    Raises:
      InputError: it cannot be read, or is damaged.
    """
    if self.foreign is None:
      return read_tensors(self.path, self.info)
    arrays = {}
    for name, stored in self.foreign.tensors.items():
      with np.errstate(over="ignore"):  # of float64; said below
        arrays[name] = np.asarray(stored.read(), np.float32)
      if not np.isfinite(arrays[name]).all():
        raise InputError(f"{self.path}: {name}: expected finite numbers")
    return arrays

  def tensors(self) -> AdapterTensors:
    """Returns its tensors, checked at once and read when asked for.

    Raises:
      InputError: they cannot be read, or are not what its configuration and
        its encoder need.
    """
    if self.foreign is None:
      return FileTensors(self.path, self.info)
    return ForeignTensors(self.path, self.info, self.foreign.tensors)

  def checked_arrays(self) -> dict[str, np.ndarray]:
    """Reads what `tensors` has into memory: a file of ours once.

    Raises:
      InputError: as for `tensors`.
    """
    if self.foreign is None:
      return read_checked(self.path, self.info)
    return dict(self.tensors())


def _is_name(source: str) -> bool:
  """Says whether a file calls its encoder by a name of the Hub."""
  try:
    return not os.path.exists(source) and Repository.parse(
        f"{SCHEME}{source}").name == source
  except (InputError, ValueError):  # the latter of a NUL in a path
    return False


def open_adapter(path: str | os.PathLike[str],
                 labels: Sequence[str] | None = None,
                 with_head: bool = True) -> AdapterFile:
  """Opens an adapter file; reads no tensors.

  Args:
    path: the folder.
    labels: label names in the order of the outputs, for files that say none.
    with_head: False for what another library's file puts into an encoder
      alone; it can have no head then, and what `info` says of one is no one's.

  Raises:
    InputError: there is none, it is damaged, or what it holds is not computed
      here; NotSaidError where it has no head, or no names of labels.
  """
  check_is_adapter(path)
  folder = pathlib.Path(path)
  values = read_json(folder / CONFIG_NAME)
  if isinstance(labels, str):
    raise InputError("labels: expected a list of names, not a single text")
  try:
    if "peft_type" in values:
      info, foreign = peft.read(folder, values, labels, with_head)
    elif "format_version" not in values and "config" in values:
      info, foreign = adapterhub.read(
          folder, values, labels, with_head)
    else:
      info = parse_info(path, values)
      if labels is not None and tuple(labels) != info.labels:
        raise InputError(f"{path}: has labels of its own: leave labels out")
      return AdapterFile(path, info)
  except InputError as error:
    text = str(error)
    kind = NotSaidError if isinstance(error, NotSaidError) else InputError
    raise kind(text if text.startswith(f"{path}")
               else f"{path}: {text}") from None
  return AdapterFile(path, info, foreign)
