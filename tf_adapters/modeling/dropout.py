"""Dropout whose random state can be checkpointed."""

import random
from typing import Any

import tensorflow as tf
import tf_keras


class Dropout(tf_keras.layers.Layer):
  """Inverted dropout; a run that is resumed goes on with the same masks.

  Keras' own dropout layers leave their generator out of checkpoints, so a
  training that was stopped could not end with the numbers of one that was not.
  The initial state follows from `tf_keras.utils.set_random_seed`.

  Args:
    rate: part of the values that are set to zero in training.

  Call arguments:
    inputs: a tensor of any shape.
  """

  def __init__(self, rate: float, **kwargs: Any):
    super().__init__(**kwargs)
    self.rate = rate
    if rate:
      self.generator = tf.random.Generator.from_seed(random.randrange(2**31))

  def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
    if not (training and self.rate):
      return inputs
    return tf.nn.experimental.stateless_dropout(
        inputs, self.rate, seed=self.generator.make_seeds()[:, 0])

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), "rate": self.rate}
