"""Refuses ways of saving that Keras cannot load again, before training.

A subclassed model is no whole .h5 file, and Keras' older files of weights have
neither bfloat16 nor an order that does not depend on what trains.
"""

import os
from collections.abc import Iterable
from typing import Any

import h5py
import tf_keras

from tf_adapters.errors import InputError

_HDF5 = (".h5", ".hdf5")
_WEIGHTS = ".weights.h5"

Path = str | os.PathLike[str]


def check_save(path: Path, save_format: str | None = None) -> None:
  """Refuses whole models as .h5 files.

  Raises:
    InputError: so it is.
  """
  if save_format in ("h5", "hdf5") or (
      save_format is None and os.fspath(path).endswith(_HDF5)):
    raise InputError(
        f"{path}: Keras keeps no subclassed model in an .h5 file: end the name "
        "in .keras, or save the weights alone as .weights.h5")


def check_save_weights(path: Path, layer: tf_keras.layers.Layer,
                       save_format: str | None = None) -> None:
  """Refuses weights in files from which they cannot be loaded.

  Args:
    path: the file.
    layer: whose weights they are.
    save_format: as Keras has it.

  Raises:
    InputError: Keras would look for a whole model there, or the file is of the
      older kind and weights are bfloat16.
  """
  path = os.fspath(path)
  if path.endswith(".keras"):
    raise InputError(f"{path}: a file of weights cannot end in .keras: end it "
                     f"in {_WEIGHTS}")
  older = save_format in ("h5", "hdf5") or (
      save_format is None and _is_older(path))
  if older and any(weight.dtype == "bfloat16" for weight in layer.weights):
    raise InputError(f"{path}: Keras' older .h5 files cannot hold bfloat16: "
                     f"end the name in {_WEIGHTS}")


def check_load_weights(path: Path, model: tf_keras.Model) -> None:
  """Refuses a file of Keras' older kind whose weights are in another order.

  Raises:
    InputError: so it is: Keras assigns by place, what trains first.
  """
  if not (_is_older(os.fspath(path)) and os.path.isfile(path)):
    return
  with h5py.File(path) as file:
    for layer in model.layers:
      if layer.name not in file:
        continue
      there = [name.decode() if isinstance(name, bytes) else name
               for name in file[layer.name].attrs.get("weight_names", ())]
      here = [weight.name for weight in (
          *layer.trainable_weights, *layer.non_trainable_weights)]
      if there != here and sorted(there) == sorted(here):
        raise InputError(
            f"{path}: was saved while other variables trained, and has its "
            "weights in another order: tune and freeze the model as it was "
            f"then, or save as {_WEIGHTS}")


def check_checkpoints(callbacks: Iterable[Any],
                      model: tf_keras.Model) -> None:
  """Refuses a ModelCheckpoint whose files could not be loaded.

  Raises:
    InputError: so it is.
  """
  for callback in callbacks:
    if isinstance(callback, tf_keras.callbacks.ModelCheckpoint):
      if callback.save_weights_only:
        check_save_weights(callback.filepath, model)
      else:
        check_save(callback.filepath)


def _is_older(path: str) -> bool:
  return path.endswith(_HDF5) and not path.endswith(_WEIGHTS)
