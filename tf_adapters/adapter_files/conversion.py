"""Converts adapter files of one library to those of another."""

import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from tf_adapters.adapter_files import adapterhub_writer, peft_writer
from tf_adapters.adapter_files.adapter_file import load_adapter, save_adapter
from tf_adapters.adapter_files.finding import find_adapter
from tf_adapters.adapter_files.foreign import POOLER
from tf_adapters.adapter_files.foreign_writing import computes_by_tanh
from tf_adapters.adapter_files.info import find_encoder_source
from tf_adapters.adapter_files.opening import (
    LIBRARIES,
    OURS,
    AdapterFile,
    open_adapter,
)
from tf_adapters.adapter_files.place import check_place, names_at
from tf_adapters.checkpoints.hugging_face_hub import is_repository
from tf_adapters.checkpoints.loading import PretrainedEncoder, open_encoder
from tf_adapters.checkpoints.sources import is_local
from tf_adapters.errors import InputError, warn
from tf_adapters.files.writing import replaced_folder, write_file, writing
from tf_adapters.modeling.encoders.table import family_of

_WRITERS = {"adapterhub": adapterhub_writer, "peft": peft_writer}


def convert_adapter(adapter: str | os.PathLike[str],
                    path: str | os.PathLike[str], to: str,
                    encoder_source: str | os.PathLike[str] | None = None,
                    labels: Sequence[str] | None = None) -> pathlib.Path:
  """Writes an adapter file as another library has it, or as this one has.

  Args:
    adapter: the adapter file, as for `load_adapter`.
    path: the folder to write.
    to: "adapterhub", "peft" or "tf_adapters".
    encoder_source: as for `load_adapter`. Of our files' encoder only the names
      of its tensors are looked at: whether it has a pooler, for instance.
    labels: as for `load_adapter`.

  Returns:
    The path.

  Raises:
    InputError: the file cannot be read; the other library has nothing that
      computes the same; or there is something else at `path`.

  Example:
    >>> convert_adapter("runs/mrpc/adapter", "mrpc_for_peft", to="peft")
  """
  if to not in LIBRARIES:
    raise InputError(
        f"to must be one of {', '.join(LIBRARIES)}, not {to!r:.40}")
  names_at(path)  # nothing is read for what cannot be written
  if to == OURS:
    check_place(path)
    return save_adapter(
        load_adapter(adapter, encoder_source, labels=labels), path)
  adapter = find_adapter(adapter)
  file = open_adapter(adapter, labels)
  pretrained = _encoder_of(adapter, file, encoder_source)
  if pretrained is not None:
    file = file.on(
        pretrained.config, pretrained.source, pretrained.lacks_pooler)
    file.info.check_architecture(
        adapter, pretrained.config, pretrained.source)
  try:
    content = _WRITERS[to].files(
        file.info, _with_pooler(file, pretrained),
        family_of(file.info.encoder_config) if pretrained is None
        else pretrained.checkpoint.family)
  except InputError as error:
    text = str(error)
    raise InputError(
        text if text.startswith(f"{adapter}")
        else f"{adapter}: cannot be written for {to}: {text}") from None
  if computes_by_tanh(file.info.encoder_config):
    warn(f"{path}: its encoder computes gelu by tanh, transformers' models of "
         'the same weights do not: load them with hidden_act="gelu_new", as '
         "the README.md says")
  if file.info.thresholds:
    warn(f"{path}: the thresholds of its labels have no place in it")
  check_place(path, content, ours=False)
  folder = pathlib.Path(path).resolve()
  with writing(folder), replaced_folder(folder) as new:
    for name, text_or_bytes in content.items():
      write_file(new / name, text_or_bytes)
  return pathlib.Path(path)


def _encoder_of(adapter: str | os.PathLike[str], file: AdapterFile,
                given: str | os.PathLike[str] | None,
                ) -> PretrainedEncoder | None:
  """Opens a file's encoder; None of ours where it is not on this machine.

  TF Hub's are not fetched: its BERTs have poolers.

  Raises:
    InputError: it cannot be opened, and is needed or was given.
  """
  if given is not None or file.foreign is not None:
    return open_encoder(given or find_encoder_source(adapter, file.info))
  try:
    source = find_encoder_source(adapter, file.info)
    if not is_local(source) and not is_repository(source) and (
        "electra" not in source):
      return None
    return open_encoder(source)
  except InputError as error:
    warn(f"{adapter}: its encoder was not looked at, so it is taken for one "
         f"with a pooler: {error}")
    return None


def _with_pooler(file: AdapterFile, pretrained: PretrainedEncoder | None,
                 ) -> Mapping[str, np.ndarray]:
  """Returns a task's tensors, with its encoder's pooler if no file has that.

  It is the identity then. Other libraries would draw one at random for each
  model that is made.
  """
  tensors = file.tensors()
  if pretrained is None or not pretrained.lacks_pooler or (
      file.info.pooling != "pooler" or POOLER[0] in tensors):
    return tensors
  return {**tensors, **{
      name: pretrained.checkpoint.tensor(name) for name in POOLER}}
