"""What one task owns inside an encoder: bottleneck adapters and layer norms.

The encoder asks a `TaskLayers` object for the adapter and the layer norm of
each place and calls `adapter(hidden, sublayer_input)` and `layer_norm(hidden)`;
another object of the same methods can take its place. The frozen base is not
here.
"""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from tf_adapters.errors import InputError
from tf_adapters.modeling.encoders.bert import BertConfig
from tf_adapters.modeling.layers import (
    Dropout,
    LayerNorm,
    Projection,
    with_prefix,
)
from tf_adapters.modeling.methods.bottleneck import AdapterConfig
from tf_adapters.modeling.serialization import PACKAGE

# Each of `config.POSITIONS`, and what the layer norm that closes it is called
# in the variable names of TF Hub's BERT SavedModels.
LAYER_NORM_OF = {
    "attention": "self_attention_layer_norm",
    "output": "output_layer_norm",
}


def adapter_name(layer: int, place: str) -> str:
  """Canonical name of the adapter after `place` of a layer."""
  return f"transformer/layer_{layer}/{place}_adapter"


def layer_norm_name(layer: int, place: str) -> str:
  """Canonical name of the layer norm after `place` of a layer."""
  return f"transformer/layer_{layer}/{LAYER_NORM_OF[place]}"


def adapted_layers(
    config: AdapterConfig | None, num_layers: int) -> tuple[int, ...]:
  """Numbers of the layers that have adapters.

  Raises:
    InputError: `config.layers` names a layer that the encoder has not.
  """
  if config is None:
    return ()
  layers = config.layers
  if layers is None:
    return tuple(range(num_layers))
  if layers and layers[-1] >= num_layers:
    raise InputError(
        f"adapter layer {layers[-1]} does not exist: the encoder has layers "
        f"0 to {num_layers - 1}")
  return layers


def adapter_shapes(
    config: AdapterConfig, hidden_size: int) -> dict[str, tuple[int, ...]]:
  """{name: shape} of one adapter's variables."""
  shapes = {}
  if config.layer_norm:
    shapes |= {"layer_norm/gamma": (hidden_size,),
               "layer_norm/beta": (hidden_size,)}
  sizes = [hidden_size, *[config.size] * config.depth, hidden_size]
  names = ["down", *(f"hidden_{i}" for i in range(config.depth - 1)), "up"]
  for name, inputs, outputs in zip(names, sizes, sizes[1:]):
    shapes |= {f"{name}/kernel": (inputs, outputs), f"{name}/bias": (outputs,)}
  return shapes


@tf_keras.saving.register_keras_serializable(PACKAGE)
class Adapter(tf_keras.layers.Layer):
  """The bottleneck adapter: `h + up(f(down(h)))` (Houlsby et al., figure 2).

  Near-identity at initialisation: all kernels are drawn from a Gaussian of
  standard deviation `config.init_scale`, truncated at two of them, and all
  biases are zero. Parameters: 2 m d + d + m. A parallel adapter computes
  `h + up(f(down(x)))` from the input x of the sub-layer that made h.

  Call arguments:
    hidden: [batch, length, hidden_size], the sub-layer's output.
    sublayer_input: what the sub-layer saw; only parallel adapters look at it.

  Returns:
    A tensor of hidden's shape.

  Example:
    >>> adapter = Adapter(AdapterConfig(size=8), hidden_size=32)
    >>> adapter(tf.zeros([2, 5, 32])).shape
    TensorShape([2, 5, 32])
  """

  def __init__(self, config: AdapterConfig | Mapping[str, Any],
               hidden_size: int, **kwargs: Any):
    super().__init__(**kwargs)
    if not isinstance(config, AdapterConfig):
      config = AdapterConfig.from_dict(config)
    self.config = config
    self.hidden_size = hidden_size

    def projection(inputs, outputs, activation=config.activation):
      return Projection((inputs,), (outputs,), config.init_scale, activation,
                        dtype=self.dtype_policy)

    self.layer_norm = (
        LayerNorm(hidden_size, dtype=self.dtype_policy)
        if config.layer_norm else None)
    self.down = projection(hidden_size, config.size)
    self.hidden_projections = [
        projection(config.size, config.size) for _ in range(config.depth - 1)]
    self.up = projection(config.size, hidden_size, "linear")
    self.dropout = Dropout(config.dropout, dtype=self.dtype_policy)

  def _named_layers(self):
    if self.layer_norm is not None:
      yield "layer_norm", self.layer_norm
    yield "down", self.down
    for number, layer in enumerate(self.hidden_projections):
      yield f"hidden_{number}", layer
    yield "up", self.up

  def build(self, input_shape=None):
    for name, layer in self._named_layers():
      with tf.name_scope(name):
        layer.build()
    self.built = True

  def call(self, hidden: tf.Tensor, sublayer_input: tf.Tensor | None = None,
           training: bool | None = None) -> tf.Tensor:
    inputs = sublayer_input if self.config.parallel else hidden
    if self.layer_norm is not None:
      inputs = self.layer_norm(inputs, training=training)
    bottleneck = self.down(inputs, training=training)
    for layer in self.hidden_projections:
      bottleneck = layer(bottleneck, training=training)
    if self.config.dropout:
      bottleneck = self.dropout(bottleneck, training=training)
    return hidden + self.up(bottleneck)

  def named_variables(self) -> dict[str, tf.Variable]:
    variables = {}
    for name, layer in self._named_layers():
      variables.update(with_prefix(name, layer.named_variables()))
    return variables

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), "config": self.config.to_dict(),
            "hidden_size": self.hidden_size}


@tf_keras.saving.register_keras_serializable(PACKAGE)
class TaskLayers(tf_keras.layers.Layer):
  """All that one task owns inside an encoder: adapters and layer norms.

  The encoder takes its adapters and layer norms from here, place by place, so
  a task is one object that can be saved, swapped, or replaced by another Keras
  layer of the same public methods and `config`, one that holds many tasks.

  Args:
    bert: architecture of the encoder.
    adapters: configuration of the adapters, or None for a plain BERT.

  Raises:
    InputError: `adapters.layers` names a layer that the encoder has not.
  """

  def __init__(self, bert: BertConfig | Mapping[str, Any],
               adapters: AdapterConfig | Mapping[str, Any] | None = None,
               **kwargs: Any):
    super().__init__(**kwargs)
    if self.variable_dtype == "bfloat16":
      # The encoder's weights may be held so; what trains needs the digits.
      self._set_dtype_policy("mixed_bfloat16")
    if not isinstance(bert, BertConfig):
      bert = BertConfig.from_dict(bert)
    if adapters is not None and not isinstance(adapters, AdapterConfig):
      adapters = AdapterConfig.from_dict(adapters)
    self.bert = bert
    self.config = adapters
    self.layer_norms = {"embeddings": self._new_layer_norm()}
    self.adapters = {}
    for layer in range(bert.num_hidden_layers):
      for place in LAYER_NORM_OF:
        self.layer_norms[f"{layer}/{place}"] = self._new_layer_norm()
    for layer in adapted_layers(adapters, bert.num_hidden_layers):
      for place in adapters.positions:
        self.adapters[f"{layer}/{place}"] = Adapter(
            adapters, bert.hidden_size, dtype=self.dtype_policy)

  def _new_layer_norm(self) -> LayerNorm:
    return LayerNorm(self.bert.hidden_size, self.bert.layer_norm_eps,
                     dtype=self.dtype_policy)

  def embedding_norm(self) -> tf_keras.layers.Layer:
    """The layer norm that closes the embeddings."""
    return self.layer_norms["embeddings"]

  def layer_norm(self, layer: int, place: str) -> tf_keras.layers.Layer:
    """The layer norm after `place` ("attention" or "output") of a layer."""
    return self.layer_norms[f"{layer}/{place}"]

  def adapter(self, layer: int, place: str) -> tf_keras.layers.Layer | None:
    """The adapter after `place` of a layer, or None where there is none."""
    return self.adapters.get(f"{layer}/{place}")

  def build(self, input_shape=None):
    for name, layer in self._named_layers():
      with tf.name_scope(name):
        layer.build()
    self.built = True

  def named_variables(self) -> dict[str, tf.Variable]:
    """{canonical name: variable}, in the order of the forward pass."""
    variables = {}
    for name, layer in self._named_layers():
      variables.update(with_prefix(name, layer.named_variables()))
    return variables

  def _named_layers(self):
    yield "embeddings/layer_norm", self.embedding_norm()
    for layer in range(self.bert.num_hidden_layers):
      for place in LAYER_NORM_OF:
        adapter = self.adapter(layer, place)
        if adapter is not None:
          yield adapter_name(layer, place), adapter
        yield layer_norm_name(layer, place), self.layer_norm(layer, place)

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), "bert": self.bert.to_dict(),
            "adapters": self.config and self.config.to_dict()}


class WithoutAdapters:
  """The layer norms of a `TaskLayers` or its like, in the encoder's eyes alone.

  Args:
    task_layers: whose adapters are left out.
  """

  def __init__(self, task_layers: TaskLayers):
    self._task_layers = task_layers

  def layer_norm(self, layer: int, place: str) -> tf_keras.layers.Layer:
    """As the method of `TaskLayers`."""
    return self._task_layers.layer_norm(layer, place)

  def adapter(self, layer: int, place: str) -> None:
    """None, as where there is none."""
    return None  # AutoGraph wants a body
