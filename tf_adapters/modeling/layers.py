"""The layers that everything is made of: Projection, LayerNorm, Dropout."""

import contextlib
import contextvars
import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
import tf_keras

from tf_adapters.errors import InputError
from tf_adapters.modeling import compilation, kernels, recomputation
from tf_adapters.modeling.methods.method import Weights
from tf_adapters.modeling.serialization import WeightsLayer

EPSILON = 1e-12  # of the layer norms inside adapters


_values_follow = contextvars.ContextVar("values_follow", default=False)


@contextlib.contextmanager
def values_follow(follow: bool = True) -> Iterator[None]:
  """Lets layers that are built inside begin as zeros: their values follow.

  Random numbers that nobody sees take a third of the time to load an encoder,
  and half as much memory as it.
  """
  token = _values_follow.set(follow)
  try:
    yield
  finally:
    _values_follow.reset(token)


class Normal(tf_keras.initializers.TruncatedNormal):
  """The first values of BERT's kernels and tables; zeros if others follow."""

  def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> tf.Tensor:
    if not _values_follow.get():
      return super().__call__(shape, dtype, **kwargs)
    super().__call__([1], dtype, **kwargs)  # so what is drawn later is the same
    return tf.zeros(shape, dtype)


def with_prefix(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the values, variables say, under `prefix/name`."""
  return {f"{prefix}/{name}": value for name, value in values.items()}


def variables_of(
    layers: Mapping[str, tf_keras.layers.Layer]) -> dict[str, tf.Variable]:
  """Returns {name: variable} of layers by name, each with its own below it."""
  variables: dict[str, tf.Variable] = {}
  for name, layer in layers.items():
    variables.update(with_prefix(name, layer.named_variables()))
  return variables


class CompositeLayer(tf_keras.layers.Layer):
  """A layer whose variables are those of the layers that it is made of."""

  def named_layers(self) -> dict[str, tf_keras.layers.Layer]:
    """Returns the layers inside, by how the names of their variables begin."""
    raise NotImplementedError

  def build(self, input_shape: Any = None) -> None:
    for name, layer in self.named_layers().items():
      with tf.name_scope(name):
        layer.build()
    self.built = True

  def named_variables(self) -> dict[str, tf.Variable]:
    return variables_of(self.named_layers())


class Projection(WeightsLayer):
  """A dense layer from `input_dims` to `output_dims`, held as BERT stores it.

  Attention kernels have three dimensions in BERT's checkpoints ([hidden, heads,
  head size]); the product itself always runs on matrices, which is the fastest
  form on every device.

  Args:
    input_dims, output_dims: as the kernel is stored.
    stddev: of the initial kernel.
    activation: of the outputs, one of `config.ACTIVATIONS`.
    use_bias: whether there is a bias.

  Call arguments:
    inputs: [..., prod(input_dims)].

  Returns:
    [..., prod(output_dims)].
  """

  def __init__(self, input_dims: tuple[int, ...], output_dims: tuple[int, ...],
               stddev: float = 0.02, activation: str = "linear",
               use_bias: bool = True, **kwargs: Any):
    super().__init__(**kwargs)
    self.input_dims = tuple(input_dims)
    self.output_dims = tuple(output_dims)
    self.stddev = stddev
    self.activation = activation
    self.use_bias = use_bias

  def build(self, input_shape: Any = None) -> None:
    self.kernel = self.add_weight(
        name="kernel", shape=self.input_dims + self.output_dims,
        initializer=Normal(stddev=self.stddev) if self.stddev else "zeros")
    if self.use_bias:
      self.bias = self.add_weight(
          name="bias", shape=self.output_dims, initializer="zeros")
    self.built = True

  def matrix(self) -> tf.Tensor:
    """Returns the kernel as [prod(input_dims), prod(output_dims)]."""
    rows = 1
    for size in self.input_dims:
      rows *= size
    return tf.reshape(self.kernel, [rows, -1])

  def kernel_and_bias(self) -> Weights:
    """Returns the kernel as a matrix, and the bias as a vector, or zeros."""
    matrix = self.matrix()
    return Weights(matrix, tf.reshape(self.bias, [-1]) if self.use_bias
                   else tf.zeros_like(matrix[0]))

  def assign(self, kernel: np.ndarray, bias: np.ndarray) -> None:
    """Sets the weights to what `kernel_and_bias` is to give.

    Raises:
      InputError: there is no bias, and that is not zeros.
    """
    self.kernel.assign(kernel.reshape(self.kernel.shape))
    if self.use_bias:
      self.bias.assign(bias.reshape(self.bias.shape))
    elif bias.any():
      raise InputError("the encoder's projections have no biases")

  def call(self, inputs: tf.Tensor,
           training: bool | None = None) -> tf.Tensor:
    return self.project(inputs, self.activation, training)

  def project(self, inputs: tf.Tensor, activation: str = "linear",
              training: bool | None = None) -> tf.Tensor:
    """As a call, with another activation than the layer's."""
    bias = tf.reshape(self.bias, [-1]) if self.use_bias else None
    return project(inputs, self.matrix(), bias, activation, training)

  def named_variables(self) -> dict[str, tf.Variable]:
    return {"kernel": self.kernel,
            **({"bias": self.bias} if self.use_bias else {})}

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), "input_dims": self.input_dims,
            "output_dims": self.output_dims, "stddev": self.stddev,
            "activation": self.activation, "use_bias": self.use_bias}


class Linear(Protocol):
  """A projection, as a `LinearProjection` needs it."""

  def kernel_and_bias(self) -> Weights:
    """As that of `Projection`."""

  def project(self, inputs: tf.Tensor) -> tf.Tensor:
    """Computes the outputs without an activation."""


class LinearProjection:
  """A projection without its activation, as a method gets it.

  Args:
    projection: the layer.
    inputs, outputs: what it has been computed for already, and what it gave.
  """

  def __init__(self, projection: Linear, inputs: tf.Tensor | None = None,
               outputs: tf.Tensor | None = None):
    self._projection = projection
    self._inputs = inputs
    self._outputs = outputs

  def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
    if inputs is self._inputs:
      return self._outputs
    return self._projection.project(inputs)

  def kernel_and_bias(self) -> Weights:
    """Returns the layer's weights."""
    return self._projection.kernel_and_bias()


class Attention:
  """The attention of a batch's tokens, as a method gets it.

  Args:
    query, key, value: [batch, heads, length, size].
    bias, rate, seed, training: as for `kernels.attention`.

  Call arguments:
    keys, values: further ones in front of the tokens' own, [batch, more, heads
      * size]; None for the tokens alone.

  Returns:
    [batch, heads, length, size].
  """

  def __init__(self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor,
               bias: tf.Tensor, rate: float = 0.0,
               seed: tf.Tensor | None = None, training: bool | None = None):
    self._query = query
    self._key = key
    self._value = value
    self._bias = bias
    self._rate = rate
    self._seed = seed
    self._training = training

  def __call__(self, keys: tf.Tensor | None = None,
               values: tf.Tensor | None = None) -> tf.Tensor:
    key, value, bias = self._key, self._value, self._bias
    if keys is not None:
      key = tf.concat([self._heads_of(keys), key], axis=2)
      value = tf.concat([self._heads_of(values), value], axis=2)
      # What is added is seen from everywhere.
      seen = tf.zeros_like(keys[..., 0], bias.dtype)[:, tf.newaxis, tf.newaxis]
      # Where it differs from head to head, and from token to token.
      for axis in (1, 2):
        if bias.shape[axis] != 1:
          seen = tf.repeat(seen, tf.shape(bias)[axis], axis=axis)
      bias = tf.concat([seen, bias], axis=-1)
    return self.attend(key, value, bias)

  def attend(self, key: tf.Tensor, value: tf.Tensor,
             bias: tf.Tensor) -> tf.Tensor:
    """Computes the queries' attention to keys: see `kernels.attention`."""
    return kernels.attention(self._query, key, value, bias, self._rate,
                             self._seed, self._training)

  def of_some(self, further: Iterable[tuple[tf.Tensor, tf.Tensor, tf.Tensor]],
              ) -> tf.Tensor:
    """Computes attention, with further keys and values for some of the rows.

    Args:
      further: keys, values, and bool [batch]: whose they are. A row has one of
        them at most. What it gets does not depend on the others, not in the
        last bit.
    """
    return kernels.attention_of_some(
        self._query, self._key, self._value, self._bias, [
            (self._heads_of(keys), self._heads_of(values), own)
            for keys, values, own in further])

  def _heads_of(self, rows: tf.Tensor) -> tf.Tensor:
    """Turns [batch, more, heads * size] into [batch, heads, more, size]."""
    _, heads, _, size = self._key.shape
    return tf.transpose(tf.reshape(
        rows, [tf.shape(rows)[0], -1, heads, size]), [0, 2, 1, 3])


def project(inputs: tf.Tensor, matrix: tf.Tensor, bias: tf.Tensor | None,
            activation: str = "linear",
            training: bool | None = None) -> tf.Tensor:
  """Computes [..., n] times matrix [n, m] plus bias [m], as one 2-D product."""
  rows = tf.reshape(inputs, [-1, matrix.shape[0]])
  outputs = tf.matmul(rows, matrix)

  def shaped(outputs: tf.Tensor) -> tf.Tensor:
    shape = tf.concat([tf.shape(inputs)[:-1], [matrix.shape[1]]], axis=0)
    outputs = tf.reshape(outputs, shape)
    outputs.set_shape(inputs.shape[:-1].concatenate(matrix.shape[1]))
    return outputs

  # XLA gives a product the order of axes that is wanted behind it, where what
  # is between has the same axes.
  if compilation.in_one_program():
    outputs = shaped(outputs)
  if bias is not None:
    outputs = tf.nn.bias_add(outputs, bias)
  # Before the reshape: so TensorFlow joins it to the product.
  if activation != "linear":
    outputs = kernels.activation_function(activation, bool(training))(outputs)
  return outputs if compilation.in_one_program() else shaped(outputs)


class LayerNorm(tf_keras.layers.Layer):
  """Layer normalisation over the last axis, in float32 whatever the policy.

  Args:
    size: of the last axis.
    epsilon: added to variances; None to scale and shift alone.

  Call arguments:
    hidden: [batch, length, size].
    added: what is added to it before, of the same shape; None for nothing.

  Returns:
    A tensor of hidden's shape and type.
  """

  def __init__(self, size: int, epsilon: float | None = EPSILON,
               **kwargs: Any):
    super().__init__(**kwargs)
    self.size = size
    self.epsilon = epsilon

  def build(self, input_shape: Any = None) -> None:
    # Autocasting would round these to bfloat16.
    self.gamma = self.add_weight(
        name="gamma", shape=[self.size], initializer="ones",
        experimental_autocast=False)
    self.beta = self.add_weight(
        name="beta", shape=[self.size], initializer="zeros",
        experimental_autocast=False)
    self.built = True

  def call(self, hidden: tf.Tensor, added: tf.Tensor | None = None,
           training: bool | None = None) -> tf.Tensor:
    return kernels.layer_norm(
        hidden, self.gamma, self.beta, self.epsilon, training, added)

  def named_variables(self) -> dict[str, tf.Variable]:
    return {"gamma": self.gamma, "beta": self.beta}

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), "size": self.size,
            "epsilon": self.epsilon}


class _State(tf.__internal__.tracking.AutoTrackable):
  """The state of a random generator.

  Checkpoints and SavedModels have what is inside; Keras does not count it as a
  weight, as it would with a tf.Module's variables.
  """

  def __init__(self) -> None:
    self.seed_and_calls = tf.Variable(
        [random.randrange(2**31), 0], trainable=False, dtype=tf.int64,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)


class Dropout(tf_keras.layers.Layer):
  """Inverted dropout; a run that is resumed goes on with the same masks.

  Keras' own dropout layers leave their generator out of checkpoints, so a
  training that was stopped could not end with the numbers of one that was not.
  Here a mask is a function of (seed, calls so far), both held in one variable;
  the seed follows from `tf_keras.utils.set_random_seed`. Under a strategy the
  first replica has the masks of a run without one, the others their own.

  Args:
    rate: part of the values that are set to zero in training.

  Call arguments:
    inputs: a tensor of any shape.
  """

  def __init__(self, rate: float, **kwargs: Any):
    super().__init__(**kwargs)
    self.rate = rate
    self.state = _State()

  def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
    seed = self.next_seed(training)
    if seed is None:
      return inputs
    return kernels.dropout(inputs, self.rate, seed)

  def next_seed(self, training: bool | None) -> tf.Tensor | None:
    """Makes the seed of the next mask, uint32 [2]; None without dropout."""
    if not (training and self.rate):
      return None
    return recomputation.drawn(self._draw_seed)

  def _draw_seed(self) -> tf.Tensor:
    variable = self.state.seed_and_calls
    seed = tf.identity(variable)
    variable.assign_add(tf.constant([0, 1], tf.int64))
    replica = tf.distribute.get_replica_context()
    if replica is not None:
      seed += tf.stack(
          [tf.cast(replica.replica_id_in_sync_group, tf.int64), 0])
    if compilation.in_one_program():
      return kernels.seed_of_call(*tf.unstack(seed))
    return tf.random.stateless_uniform(
        [2], seed, minval=None, maxval=None, dtype=tf.uint32)

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), "rate": self.rate}
