"""Dropout whose random state can be checkpointed."""

import random
from typing import Any

import tensorflow as tf
import tf_keras

from tf_adapters.modeling import kernels


class _State(tf.__internal__.tracking.AutoTrackable):
  """The state of a random generator.

  Checkpoints and SavedModels have what is inside; Keras does not count it as a
  weight, as it would with a tf.Module's variables.
  """

  def __init__(self):
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
    """The seed of the next mask, uint32 [2]; None where nothing is dropped."""
    if not (training and self.rate):
      return None
    variable = self.state.seed_and_calls
    seed = tf.identity(variable)
    variable.assign_add(tf.constant([0, 1], tf.int64))
    replica = tf.distribute.get_replica_context()
    if replica is not None:
      seed += tf.stack(
          [tf.cast(replica.replica_id_in_sync_group, tf.int64), 0])
    return tf.random.stateless_uniform(
        [2], seed, minval=None, maxval=None, dtype=tf.uint32)

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), "rate": self.rate}
