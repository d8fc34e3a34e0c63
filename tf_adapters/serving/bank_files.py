"""Opens adapter files as tasks, and checks that a bank can hold these."""

import dataclasses
import functools
import os
from collections.abc import Sequence

from tf_adapters.adapter_files import adapter_file
from tf_adapters.adapter_files.finding import find_adapter
from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.adapter_files.opening import open_adapter
from tf_adapters.adapter_files.tensors import expected_shapes
from tf_adapters.errors import InputError, about
from tf_adapters.modeling.encoder import TransformerEncoder
from tf_adapters.modeling.methods.table import method_of
from tf_adapters.modeling.stacked import TaskArrays
from tf_adapters.modeling.tuning import is_layer_norm, kind_of
from tf_adapters.serving.bank_texts import BASE


@dataclasses.dataclass(frozen=True)
class NewTask:
  """A task to take in.

  Attributes:
    path: its adapter file.
    info: what that says.
    arrays: what the task owns.
    is_foreign: whether another library wrote it: nothing in such a file tells
      that its parts belong together.
  """

  path: str | os.PathLike[str]
  info: AdapterInfo
  arrays: TaskArrays
  is_foreign: bool

  def in_memory(self) -> "NewTask":
    """Reads and checks all of a file, where that takes time."""
    return dataclasses.replace(self, arrays=self.arrays.in_memory())


def open_task(path: str | os.PathLike[str], name: str | None,
              labels: Sequence[str] | None, encoder: TransformerEncoder,
              max_length: int) -> tuple[str, NewTask]:
  """Opens an adapter file; reads no tensors.

  Args:
    path, name, labels: as for `AdapterBank.add`.
    encoder: of the bank.
    max_length: where the file does not say its own.

  Returns:
    What to call the task, and the task.

  Raises:
    InputError: as for `AdapterBank.add`.
  """
  path = find_adapter(path)
  file = open_adapter(path, labels)
  name = file.info.task if name is None else name
  if not isinstance(name, str) or name in ("", BASE):
    raise InputError(f"{path}: a task cannot be called {name!r:.40}: choose "
                     "another name")
  file = file.on(
      encoder.config, encoder.origin.source if encoder.origin else "",
      file.foreign is not None and encoder.lacks_pooler)
  adapter_file.check_fits(path, file.info, encoder)
  with about(path):
    shapes = expected_shapes(file.info)
    _check_stacks(file.info, tuple(shapes), encoder, max_length)
  return name, NewTask(path, file.info, TaskArrays(
      encoder.config, file.info.method, file.info.pooling, shapes,
      file.checked_arrays, encoder.projection_weights),
      file.foreign is not None)


def _check_stacks(info: AdapterInfo, names: tuple[str, ...],
                  encoder: TransformerEncoder, max_length: int) -> None:
  """Raises InputError for a task that cannot be one of many."""
  name = _of_the_encoder(names)
  if name is not None:
    reason = f"was tuned with {info.tuning}, which changes the encoder itself"
    if name in info.changed_base:
      reason = (f"has its own {name} ({len(info.changed_base)} weights of "
                "the encoder changed beside the tuning)")
    raise InputError(
        f"{reason}: a bank holds adapters, layer norms, poolers and heads")
  if info.problem.outputs == "windows":
    info.problem.check_windows(
        encoder.text_processor(info.max_length or max_length), info.span)


@functools.lru_cache(maxsize=64)  # most files have the same names
def _of_the_encoder(names: tuple[str, ...]) -> str | None:
  """Returns the first variable that cannot be a task's alone."""
  for name in names:
    if not (method_of(name) or is_layer_norm(name)
            or kind_of(name) in ("head", "pooler")) or (
                not _beside(name) <= {*names}):
      return name
  return None


def _beside(name: str) -> set[str]:
  """Returns the names that must stand beside one of a layer norm or pooler."""
  place = name.rpartition("/")[0]
  if is_layer_norm(name):
    return {f"{place}/gamma", f"{place}/beta"}
  if kind_of(name) == "pooler":
    return {f"{place}/kernel", f"{place}/bias"}
  return set()
