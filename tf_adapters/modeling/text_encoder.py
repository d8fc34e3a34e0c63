"""The interface below a task's model: what turns texts into vectors.

Heads, models and training know nothing else of a pretrained encoder, or of the
network that takes its place.
"""

from collections.abc import Mapping, MutableMapping
from typing import Any, ClassVar, Self

import numpy as np
import tensorflow as tf
import tf_keras

from tf_adapters.modeling.methods.method import Method
from tf_adapters.modeling.model_inputs import with_integers
from tf_adapters.modeling.origin import Origin
from tf_adapters.modeling.saving_checks import (
    NAMES,
    array_of,
    check_names,
    names_of,
)
from tf_adapters.modeling.serialization import (
    freeze,
    frozen_names,
    layer_from,
)
from tf_adapters.modeling.text_layer import TextLayer


class TextEncoder(tf_keras.layers.Layer):
  """A layer that makes vectors of texts; part of it trains, by a tuning.

  Call arguments:
    inputs: what `text_processor` makes of strings.

  Returns:
    A dict: "pooled_output" and its alias "default" [batch, hidden_size]; with
    `per_token` "sequence_output" [batch, length, hidden_size], too.

  Attributes:
    per_token: whether there are outputs for each token.
    parts: names in its configuration of layers that it is made of.
    config: its configuration.
    hidden_size: width of the outputs.
    hidden_dropout_prob: the dropout rate of hidden states, and of what a head
      gets.
    pooling: how texts are to be pooled, which heads do unless they are told
      otherwise: see `heads.Head`.
    origin: where the pretrained weights came from, None of random ones.
    method: the configuration of the method, None without any.
    remat: whether a training computes each Transformer layer again in the
      backward pass, rather than keep what it computed: less memory, more time.
      Set at any time, and not saved.
  """

  per_token: ClassVar[bool]
  parts: ClassVar[tuple[str, ...]]
  built: bool  # Keras'

  config: Any  # the configuration of the kind of encoder
  pooling: str
  remat = False

  @property
  def family(self) -> str:
    """The name of its `EncoderFamily`.

    "" of what no tasks can share, so that there are no adapter files of it.
    """
    return ""

  @property
  def hidden_size(self) -> int:
    raise NotImplementedError

  @property
  def hidden_dropout_prob(self) -> float:
    raise NotImplementedError

  @property
  def origin(self) -> Origin | None:
    raise NotImplementedError

  @property
  def method(self) -> Method | None:
    return None

  @property
  def tuning(self) -> str:
    """The name of the tuning, which says what trains."""
    return str(self._tuning)

  def tune(self, tuning: str, layer_norms: bool | None = None,
           pooler: bool | None = None) -> None:
    """Chooses what trains, at any time: see `tuning.Tuning`.

    In a functional model of your own, compile again after a `fit`, as for
    every change of `trainable` in Keras.

    Args:
      tuning: its name.
      layer_norms, pooler: True to train them, False to freeze them, whatever
        the tuning does with them.

    Raises:
      InputError: unknown, or impossible with this encoder.
    """
    raise NotImplementedError

  def trains(self, name: str) -> bool:
    """Returns whether the tuning trains the variable of a canonical name."""
    raise NotImplementedError

  def text_processor(self, max_length: int | None = None) -> TextLayer:
    """Makes the layer that turns strings into the inputs.

    Args:
      max_length: longest text that is looked at, in wordpieces with special
        tokens; None for 128, or as many as there can be.

    Raises:
      InputError: there is no vocabulary, or there are no positions for texts of
        that length.
    """
    raise NotImplementedError

  def check_inputs(self, inputs: Any) -> None:
    """Refuses what is not what `call` takes.

    Args:
      inputs: arrays, tensors or element specs of tf.data by name.

    Raises:
      InputError: an input is missing, or has another type, shape or range.
    """
    raise NotImplementedError

  def named_variables(self) -> dict[str, tf.Variable]:
    """Returns {canonical name: variable} of everything."""
    raise NotImplementedError

  def tuned_variables(self) -> dict[str, tf.Variable]:
    """Returns {canonical name: variable} of what trains now.

    What the tuning says and no layer's `trainable` forbids, its own included.
    """
    trainable = {id(variable) for variable in super().trainable_weights}
    return {name: variable for name, variable in self.named_variables().items()
            if id(variable) in trainable and self.trains(name)}

  def own_weights(self) -> list[tf.Variable]:
    """Returns the weights that a subclass adds, of which no tuning speaks."""
    named = {id(variable) for variable in self.named_variables().values()}
    return [variable for variable
            in super().trainable_weights + super().non_trainable_weights
            if id(variable) not in named]

  # Keras asks for these at every use, so the tuning is never out of date.

  @property
  def weights(self) -> list[tf.Variable]:
    return [*self.named_variables().values(), *self.own_weights()]

  @property
  def trainable_weights(self) -> list[tf.Variable]:
    own = {id(variable) for variable in self.own_weights()}
    return [*self.tuned_variables().values(),
            *(variable for variable in super().trainable_weights
              if id(variable) in own)]

  @property
  def non_trainable_weights(self) -> list[tf.Variable]:
    trainable = {id(variable) for variable in self.trainable_weights}
    return [variable for variable in self.weights
            if id(variable) not in trainable]

  def __call__(self, inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
    inputs = with_integers(inputs)
    self.check_inputs(inputs)
    return super().__call__(inputs, *args, **kwargs)

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), "config": self.config.to_dict(),
            "tuning": self.tuning, "frozen": frozen_names(self)}

  @classmethod
  def from_config(cls, config: dict[str, Any]) -> Self:
    config = dict(config)
    for part in cls.parts:
      if isinstance(config[part], Mapping):
        config[part] = layer_from(config[part])
    frozen = config.pop("frozen", ())  # version 0.1 did not write it
    encoder = cls(**config)
    freeze(encoder, frozen)
    return encoder

  def save_own_variables(self, store: MutableMapping[str, np.ndarray]) -> None:
    """Keras' hook for writing .keras and .weights.h5 files.

    Keras numbers the layers inside, and would not know those of another method.
    """
    super().save_own_variables(store)
    store[NAMES] = array_of(self.named_variables())

  def load_own_variables(self, store: Mapping[str, Any]) -> None:
    """Keras' hook for reading them.

    Raises:
      InputError: the weights are those of another encoder or method.
    """
    own = {key: store[key] for key in store if key != NAMES}
    if NAMES in store:  # earlier versions did not write them
      check_names(names_of(store[NAMES]), list(self.named_variables()))
    super().load_own_variables(own)
