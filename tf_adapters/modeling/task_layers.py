"""Layers that one task owns inside an encoder: a method's, and layer norms.

The encoder asks an object of `TaskHooks` what to compute at each of its places,
and knows no method by name. The frozen base is not here.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import tensorflow as tf
import tf_keras

from tf_adapters.modeling.encoders.family import EncoderConfig
from tf_adapters.modeling.encoders.table import (
    config_from_dict,
    config_to_dict,
    family_of,
)
from tf_adapters.modeling.layers import (
    CompositeLayer,
    Dropout,
    LayerNorm,
    Projection,
    variables_of,
)
from tf_adapters.modeling.methods.method import Method
from tf_adapters.modeling.methods.parts import Array, Dense, Norm, Part
from tf_adapters.modeling.methods.places import ATTENTION, PROJECTION, Place
from tf_adapters.modeling.methods.table import method_from_dict
from tf_adapters.modeling.serialization import PACKAGE, WeightsLayer

# What is computed at a place: see the methods of `Method`.
Hook = Callable[..., Any]


class TaskHooks(Protocol):
  """The layers of tasks, as an encoder asks for them, place by place.

  A hook is called as `hook(inputs, beside, layer_norm, training=training)`:

  | hook | inputs | beside | layer_norm |
  |---|---|---|---|
  | `SUBLAYER` | the sub-layer's output | its input | what will close it |
  | `PROJECTION` | what the projection is to see | the projection | |
  | `ATTENTION` | what attention sees | the `layers.Attention` | |

  It returns what takes the place of the outputs.
  """

  def layer_norm(self, name: str) -> Hook:
    """Returns the encoder's layer norm of a canonical name."""

  def hook(self, place: Place) -> Hook | None:
    """Returns the computation at a place; None where there is none."""


class LayerHooks:
  """A task's layers in one Transformer layer, as the layer asks for them.

  A layer does not know its number: where layers share their weights it is the
  same one for all of them.

  Args:
    task_layers: what the task owns.
    number: of the layer, from 0.
    name: how the canonical names of the layer's variables begin.
  """

  def __init__(self, task_layers: TaskHooks, number: int, name: str):
    self._task_layers = task_layers
    self._number = number
    self._name = name

  def layer_norm(self, name: str) -> Hook:
    """Returns the layer's layer norm of a name, such as "output_layer_norm"."""
    return self._task_layers.layer_norm(f"{self._name}/{name}")

  def hook(self, hook: str, name: str) -> Hook | None:
    """Returns the computation at a place of the layer: see `TaskHooks.hook`."""
    return self._task_layers.hook(Place(self._number, hook, name))


class ArrayLayer(WeightsLayer):
  """The numbers of an `Array`."""

  def __init__(self, array: Array, **kwargs: Any):
    super().__init__(**kwargs)
    self.array = array

  def build(self, input_shape: Any = None) -> None:
    array = self.array
    self.value = self.add_weight(
        name="value", shape=array.shape,
        initializer=tf_keras.initializers.RandomNormal(
            array.initial, array.stddev) if array.stddev else
        tf_keras.initializers.Constant(array.initial))
    self.built = True

  def __call__(self) -> tf.Tensor:
    return tf.cast(self.value, self.compute_dtype)[tf.newaxis]

  def named_variables(self) -> dict[str, tf.Variable]:
    return {"value": self.value}


def _layer_of(part: Part, dtype: Any) -> tf_keras.layers.Layer:
  match part:
    case Dense():
      return Projection((part.inputs,), (part.outputs,), part.stddev,
                        part.activation, part.use_bias, dtype=dtype)
    case Norm():
      return LayerNorm(part.size, part.epsilon, dtype=dtype)
    case Array():
      return ArrayLayer(part, dtype=dtype)
  return Dropout(part.rate, dtype=dtype)


@tf_keras.saving.register_keras_serializable(PACKAGE)
class Adapter(CompositeLayer):
  """The parts that a method puts at one place of an encoder, as layers.

  Args:
    config: of the method: an `AdapterConfig`, for instance.
    inputs: width of what it sees: the hidden size, or a projection's.
    outputs: width of what it gives; None for that of the inputs.

  Call arguments:
    inputs: [batch, length, inputs]: of bottlenecks the sub-layer's output.
    beside, layer_norm: as `TaskHooks` says. Of bottlenecks `beside` is what
      the sub-layer saw; only parallel adapters, and those whose input is
      normed, look at it.
    shared: {name: layer} of what the method's places share.

  Returns:
    What the method gives: of bottlenecks, a tensor of hidden's shape.

  Example:
    >>> adapter = Adapter(AdapterConfig(size=8), 32)
    >>> adapter(tf.zeros([2, 5, 32])).shape
    TensorShape([2, 5, 32])
  """

  def __init__(self, config: Method | Mapping[str, Any], inputs: int,
               outputs: int | None = None, **kwargs: Any):
    super().__init__(**kwargs)
    if isinstance(config, Mapping):
      config = method_from_dict(config)
    self.config = config
    self.inputs = inputs
    self.outputs = inputs if outputs is None else outputs
    self.parts = {name: _layer_of(part, self.dtype_policy) for name, part
                  in config.parts(self.inputs, self.outputs).items()}

  def named_layers(self) -> dict[str, tf_keras.layers.Layer]:
    return {name: layer for name, layer in self.parts.items()
            if not isinstance(layer, Dropout)}

  def call(self, inputs: tf.Tensor, beside: Any = None,
           layer_norm: Hook | None = None,
           training: bool | None = None,
           shared: Mapping[str, tf_keras.layers.Layer] | None = None) -> Any:
    return compute(self.config, {**(shared or {}), **self.parts}, inputs,
                   beside, layer_norm, training)

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), "config": self.config.to_dict(),
            "inputs": self.inputs, "outputs": self.outputs}


def compute(method: Method, layers: Mapping[str, Callable[..., Any]],
            inputs: tf.Tensor, beside: Any = None, layer_norm: Any = None,
            training: bool | None = None) -> Any:
  """Computes a method with its layers, as a hook: see `TaskHooks`."""
  if method.hook == PROJECTION:
    return method.at_projection(layers, beside, inputs, training)
  if method.hook == ATTENTION:
    return beside(*method.keys_and_values(layers, inputs, training))
  return method.after_sublayer(layers, inputs, beside, layer_norm, training)


@tf_keras.saving.register_keras_serializable(PACKAGE)
class TaskLayers(tf_keras.layers.Layer):
  """The layers that one task owns inside an encoder: a method's, layer norms.

  A task is one object that can be saved, swapped, or replaced by another one of
  `TaskHooks`, such as one that holds many tasks.

  Args:
    config: architecture of the encoder.
    method: configuration of the method, or None for a plain encoder.

  Raises:
    InputError: `method.layers` names a layer that the encoder does not have,
      or the method enters where the encoder has no place for it.
  """

  def __init__(self, config: EncoderConfig | Mapping[str, Any],
               method: Method | Mapping[str, Any] | None = None,
               **kwargs: Any):
    super().__init__(**kwargs)
    if self.variable_dtype == "bfloat16":
      # The encoder's weights may be held so; what trains needs the digits.
      self._set_dtype_policy("mixed_bfloat16")
    if isinstance(config, Mapping):
      config = config_from_dict(config)
    if isinstance(method, Mapping):
      method = method_from_dict(method)
    self.config = config
    self.method = method
    self.layer_norms = {
        name: LayerNorm(
            size, config.layer_norm_eps, dtype=self.dtype_policy)
        for name, size in family_of(config).layer_norms(config).items()}
    self.inserted = {}
    self.shared = {}  # of all places, by canonical name
    if method is not None:
      self.shared = {
          name: _layer_of(part, self.dtype_policy)
          for name, part in method.shared(config.hidden_size).items()}
      for place in method.places(config.num_hidden_layers):
        self.inserted[method.place_name(place)] = Adapter(
            method.at(place), *config.widths_at(place),
            dtype=self.dtype_policy)

  def layer_norm(self, name: str) -> LayerNorm:
    """As the method of `TaskHooks`."""
    return self.layer_norms[name]

  def hook(self, place: Place) -> Hook | None:
    """Returns the method's computation at a place, or None."""
    if self.method is None or not self.method.enters(place):
      return None
    adapter: Adapter | None = self.inserted.get(self.method.place_name(place))
    if adapter is None:
      return None
    shared = {
        name.rsplit("/", 1)[1]: layer for name, layer in self.shared.items()
        if name.startswith(f"{adapter.config.shared_name}/")}
    call: Hook = adapter
    return functools.partial(call, shared=shared) if shared else call

  def build(self, input_shape: Any = None) -> None:
    for name, layer in (
        self.layer_norms | self.shared | self.inserted).items():
      with tf.name_scope(name):
        layer.build()
    self.built = True

  def named_variables(self) -> dict[str, tf.Variable]:
    """Returns {canonical name: variable} of everything."""
    return self.base_variables() | variables_of(self.shared | self.inserted)

  def base_variables(self) -> dict[str, tf.Variable]:
    """Returns {canonical name: variable} of the layer norms."""
    return variables_of(self.layer_norms)

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), "bert": config_to_dict(self.config),
            "adapters": self.method and self.method.to_dict()}

  @classmethod
  def from_config(cls, config: dict[str, Any]) -> "TaskLayers":
    config = dict(config)
    return cls(config.pop("bert"), config.pop("adapters"), **config)


class WithoutMethod:
  """The layer norms of `TaskHooks`, in the encoder's eyes alone.

  Args:
    task_layers: whose hooks are left out.
  """

  def __init__(self, task_layers: TaskHooks):
    self._task_layers = task_layers

  def layer_norm(self, name: str) -> Hook:
    """As the method of `TaskHooks`."""
    return self._task_layers.layer_norm(name)

  def hook(self, place: Place) -> None:
    """Returns None, as where there is nothing."""
    return None  # AutoGraph wants a body
