"""Refuses ways of saving that Keras cannot load again, before training.

A subclassed model is no whole .h5 file, and Keras' older files of weights have
neither bfloat16 nor an order that does not depend on what trains. Weights of
another model are read in part, and adapter files hold no layers of a user's.
"""

import os
from collections.abc import Iterable
from typing import Any

import h5py
import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow.core.protobuf.trackable_object_graph_pb2 import (
    TrackableObjectGraph,
)

from tf_adapters.errors import InputError, listed

_HDF5 = (".h5", ".hdf5")
_WEIGHTS = ".weights.h5"
_REMEDY = ("the weights are another model's: load them into one of the same "
           "method, encoder and head")
NAMES = "names"  # of an encoder's variables, in Keras' files
# What a checkpoint calls the graph of its objects.
_OBJECTS = "_CHECKPOINTABLE_OBJECT_GRAPH"

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


def check_load_weights(path: Path, model: Any, by_name: bool = False) -> None:
  """Refuses weights that Keras would put into wrong places, or leave out.

  Args:
    path: the file, or the prefix of a checkpoint.
    model: a `TaskModel`.
    by_name: whether Keras finds layers by their names.

  Raises:
    InputError: a file of Keras' older kind has others, or has them in another
      order: Keras assigns by place, what trains first. Or a .weights.h5 file or
      a checkpoint is of another model: Keras takes what fits.
  """
  if prefix := _checkpoint_prefix(os.fspath(path)):
    _check_checkpoint(path, prefix, model)
  elif _is_older_file(path):
    with h5py.File(path) as file:
      _check_older_file(path, file, model, by_name)
  elif os.path.isfile(path) and h5py.is_hdf5(path):
    with h5py.File(path) as file:
      names = _names_in(file)
    # Here, too: with skip_mismatch Keras would go on to the layers inside.
    if names is not None:
      check_names(names, list(model.encoder.named_variables()), f"{path}: ")


def _check_older_file(path: Path, file: h5py.File, model: Any,
                      by_name: bool) -> None:
  """Refuses weights of encoder and head that are not those of the model."""
  saved = [(name, there) for name in _texts(file.attrs.get("layer_names", ()))
           if (there := _texts(file[name].attrs.get("weight_names", ())))]
  layers = [layer for layer in model.layers if layer.weights]
  pairs = list(zip((there for _, there in saved), layers))
  if by_name:
    named = dict(saved)
    pairs = [(named[layer.name], layer) for layer in layers
             if layer.name in named]
  for there, layer in pairs:
    here = [weight.name for weight in (
        *layer.trainable_weights, *layer.non_trainable_weights)]
    if there != here and sorted(there) == sorted(here):
      raise InputError(
          f"{path}: was saved while other variables trained, and has its "
          "weights in another order: tune and freeze the model as it was "
          f"then, or save as {_WEIGHTS}")
    # Keras gives the layers of a subclass other names in each model. It skips
    # by name what has another number of weights. Where no name is the same,
    # they are called by the rules of another day.
    own = layer is not model.head and (
        layer is not model.encoder or layer.own_weights())
    if not own and set(there) & set(here) and (
        not by_name or len(there) == len(here)):
      check_names(there, here, f"{path}: ")


def _names_in(file: h5py.File) -> list[str] | None:
  """Returns the names of an encoder's variables in a .weights.h5 file."""
  found = file.visit(lambda name: name if name.endswith(
      f"/vars/{NAMES}") else None)
  return None if found is None else names_of(file[found])


def names_of(array: Any) -> list[str]:
  """Returns the names of an array that `array_of` has made."""
  return bytes(np.asarray(array, np.uint8)).decode().split("\n")


def array_of(names: Iterable[str]) -> np.ndarray:
  """Makes an array of bytes of names, as Keras' files hold arrays alone."""
  return np.frombuffer("\n".join(names).encode(), np.uint8)


def check_names(there: list[str], here: list[str], where: str = "") -> None:
  """Refuses a layer's weights that are called otherwise than its variables.

  Args:
    there: names that a file has, in order.
    here: names of the variables that it is loaded into.
    where: the beginning of the message.

  Raises:
    InputError: they are not the same, so that weights would go astray.
  """
  if there != here:
    raise InputError(where + _difference(there, here))


def _difference(there: list[str], here: list[str]) -> str:
  """Says in what a file's names differ from those of a model's variables."""
  further, missing = (
      [name.removesuffix(":0") for name in names if name not in others]
      for names, others in ((there, here), (here, there)))
  what = [f"the file has {listed(further, 3)}"] * bool(further)
  what += [f"the model has {listed(missing, 3)}"] * bool(missing)
  return f"{' and '.join(what) or 'their order differs'}: {_REMEDY}"


def _texts(names: Iterable[str | bytes]) -> list[str]:
  return [name.decode() if isinstance(name, bytes) else name for name in names]


def _check_checkpoint(path: Path, prefix: str, model: Any) -> None:
  """Refuses a checkpoint of a model with another method, encoder or head."""
  try:
    reader = tf.train.load_checkpoint(prefix)
    matched = tf.train.CheckpointView(prefix).match(model)
  except (tf.errors.OpError, ValueError):  # Keras says what it is
    return
  there = {id(part) for part in matched.values()}
  missing = [name for name, variable in model.named_variables().items()
             if id(variable) not in there]
  if missing:
    raise InputError(f"{path}: has no {listed(missing, 3)}: {_REMEDY}")
  types = reader.get_variable_to_dtype_map()
  nodes = TrackableObjectGraph.FromString(reader.get_tensor(_OBJECTS)).nodes
  seen: set[int] = set()
  to_see = [part.node_id for part in nodes[0].children
            if part.local_name in ("encoder", "head")]
  while to_see:
    if (number := to_see.pop()) not in seen:
      seen.add(number)
      to_see += [part.node_id for part in nodes[number].children]
  # The state of a dropout, which is of integers, is no weight.
  further = [value.full_name for number in sorted(seen - matched.keys())
             for value in nodes[number].attributes
             if types[value.checkpoint_key].is_floating]
  if further:
    raise InputError(f"{path}: has {listed(further, 3)}, which the model has "
                     f"not: {_REMEDY}")


def check_own_weights(layer: Any, what: str, remedy: str) -> None:
  """Refuses a subclass with weights of its own where they would be lost.

  Args:
    layer: a `TaskModel` or a `TextEncoder`.
    what: what there is a place for, the beginning of the message.
    remedy: its end.

  Raises:
    InputError: so it is.
  """
  for one in (getattr(layer, "encoder", layer), layer):
    if weights := one.own_weights():
      names = [weight.name.removesuffix(":0") for weight in weights]
      raise InputError(f"{what}, not {listed(names, 3)}, which a "
                       f"{type(one).__name__} adds: {remedy}")


def lacks_own_weights(path: Path) -> bool:
  """Returns whether a file of Keras' older kind has weights of layers alone."""
  if not _is_older_file(path):
    return False
  with h5py.File(path) as file:
    return not len(file.get("top_level_model_weights", ()))


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


def _is_older_file(path: Path) -> bool:
  return _is_older(os.fspath(path)) and os.path.isfile(path)


def _checkpoint_prefix(path: str) -> str | None:
  """Returns the checkpoint that Keras would read, of a SavedModel too."""
  for prefix in (path, os.path.join(path, "variables", "variables")):
    if tf.io.gfile.exists(f"{prefix}.index"):
      return prefix
  return None
