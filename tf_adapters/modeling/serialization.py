"""Helps Keras to save and load the layers, in every format."""

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

PACKAGE = "tf_adapters"  # of the names that classes are registered under
# Of a large array that are assigned at once.
_PART_BYTES = 1 << 24


class WeightsLayer(tf_keras.layers.Layer):
  """A layer whose weights Keras' files hold in float32, whatever their type.

  HDF5 has no bfloat16: what h5py writes of it cannot be read again.
  """

  def save_own_variables(self, store: MutableMapping[str, np.ndarray]) -> None:
    """Keras' hook for writing .keras and .weights.h5 files."""
    for number, variable in enumerate(self._own_variables()):
      store[str(number)] = variable.numpy().astype(np.float32)

  def load_own_variables(self, store: Mapping[str, Any]) -> None:
    """Keras' hook for reading them.

    Raises:
      ValueError: the file is of another layer.
    """
    variables = self._own_variables()
    if len(store) != len(variables):
      shared = "" if len(store) else (
          ": Keras writes a layer that several share for one of them alone, "
          "where a SavedModel has it for all")
      raise ValueError(f"layer {self.name} has {len(variables)} variables, the "
                       f"file {len(store)} for it{shared}")
    for number, variable in enumerate(variables):
      assign(variable, np.asarray(store[str(number)]))

  def _own_variables(self) -> list[tf.Variable]:
    return self._trainable_weights + self._non_trainable_weights


def assign(variable: tf.Variable, array: np.ndarray) -> None:
  """Sets a variable to an array, to a large one by some rows at a time.

  TensorFlow makes two copies of what it assigns. Those of the table of a large
  vocabulary would be more than all other weights.

  Args:
    variable: of the array's shape.
    array: of any floating-point type.

  Raises:
    ValueError: it has another shape.
  """
  if array.shape != tuple(variable.shape):
    raise ValueError(f"{variable.name} has the shape {tuple(variable.shape)}, "
                     f"what it is set to {array.shape}")
  array = array.astype(variable.dtype.as_numpy_dtype, copy=False)
  if array.nbytes <= _PART_BYTES or isinstance(
      variable, tf.distribute.DistributedValues):
    variable.assign(array)
    return
  rows = max(1, _PART_BYTES // array[:1].nbytes)
  for start in range(0, len(array), rows):
    part = array[start:start + rows]
    tf.raw_ops.ResourceStridedSliceAssign(
        ref=variable.handle, begin=[start], end=[start + len(part)],
        strides=[1], value=part)


def layer_config(layer: tf_keras.layers.Layer) -> dict[str, Any]:
  """Describes a layer in another one's configuration, for `layer_from`.

  In Keras' older form, which can be read while any format is: SavedModels and
  .h5 files are read as that form alone, and Keras writes .h5 in the newer one.
  """
  return tf_keras.layers.serialize(layer, use_legacy_format=True)


def layer_from(config: Mapping[str, Any],
               custom_objects: Mapping[str, type] | None = None,
               ) -> tf_keras.layers.Layer:
  """Makes the layer of a `layer_config`.

  Args:
    config: its result, or that of `serialize_keras_object`, which the .keras
      files of version 0.1 have.
    custom_objects: name -> class, for classes that are not registered.
  """
  return tf_keras.layers.deserialize(
      config, custom_objects, use_legacy_format="module" not in config)


def frozen_names(layer: tf_keras.layers.Layer) -> list[str]:
  """Names the variables that the `trainable` of a layer inside freezes.

  Args:
    layer: an encoder or a head; whatever its tuning trains.
  """
  # Keras' property, which encoders override by what their tuning trains.
  trainable = {id(variable) for variable
               in tf_keras.layers.Layer.trainable_weights.fget(layer)}
  return [name for name, variable in layer.named_variables().items()
          if id(variable) not in trainable]


def freeze(layer: tf_keras.layers.Layer, names: Iterable[str]) -> None:
  """Turns `trainable` off where all variables are among `frozen_names`."""
  variables = layer.named_variables()
  frozen = {id(variables[name]) for name in names}
  for inner in (layer, *layer.submodules):
    if isinstance(inner, tf_keras.layers.Layer) and inner.weights and (
        frozen.issuperset(map(id, inner.weights))):
      inner.trainable = False
