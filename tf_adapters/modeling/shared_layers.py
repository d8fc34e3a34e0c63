"""Computes texts that are each for many tasks.

The layers below all that the tasks own are computed once for a text, and what
they give is repeated for its tasks.
"""

from collections.abc import Mapping

import tensorflow as tf

from tf_adapters.modeling import compilation
from tf_adapters.modeling.stack import StackKey
from tf_adapters.modeling.stacked import StackedTasks, specs
from tf_adapters.modeling.stacked_layers import StackedModel, batch_rows


class SharedLayers:
  """A `StackedModel` as two graphs: up to a layer, and from it.

  Args:
    model: the model.
    keys: of the tasks' stacks.
    layer: the lowest in which a task has arrays of its own: see
      `StackedTasks.lowest_own_layer`.

  Example:
    >>> hidden = shared.below(inputs)
    >>> outputs = shared.above(
    ...     tasks, hidden, inputs["input_mask"], [0, 0, 1], [1, 2, 1])
  """

  def __init__(self, model: StackedModel, keys: tuple[StackKey, ...],
               layer: int):
    encoder = model.encoder
    tokens = tf.TensorSpec([None, None], tf.int32)
    numbers = tf.TensorSpec([None], tf.int32)

    def below(word_ids: tf.Tensor, mask: tf.Tensor,
              type_ids: tf.Tensor) -> tf.Tensor:
      inputs = {"input_word_ids": word_ids, "input_mask": mask,
                "input_type_ids": type_ids}
      outputs = [encoder.embed(inputs, training=False)]
      outputs += encoder.run_layers(
          range(layer), outputs[0], inputs, training=False)
      return outputs[-1]

    def above(hidden: tf.Tensor, mask: tf.Tensor, text_index: tf.Tensor,
              task_index: tf.Tensor,
              *tensors: tf.Tensor) -> dict[str, tf.Tensor]:
      return model.outputs(
          batch_rows(keys, tensors, task_index),
          {"input_mask": tf.gather(mask, text_index)},
          tf.gather(hidden, text_index), layer)

    with compilation.without_kernels():
      self._below = tf.function(
          below, autograph=False,
          input_signature=[tokens] * 3).get_concrete_function()
      self._above = tf.function(
          above, autograph=False, input_signature=[
              tf.TensorSpec(
                  self._below.output_shapes, self._below.output_dtypes),
              tokens, numbers, numbers, *specs(keys)]).get_concrete_function()

  def below(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Runs the layers below, for each text: [texts, length, hidden_size].

    Args:
      inputs: what an encoder takes.
    """
    return self._below.inference_fn.call_preflattened([
        inputs["input_word_ids"], inputs["input_mask"],
        inputs["input_type_ids"], *self._below.captured_inputs])

  def above(self, tasks: StackedTasks, hidden: tf.Tensor, mask: tf.Tensor,
            text_index: tf.Tensor,
            task_index: tf.Tensor) -> dict[str, tf.Tensor]:
    """Runs the layers above and the heads, for rows of a text and a task each.

    Args:
      tasks: the tasks.
      hidden: from `below`.
      mask: the inputs' "input_mask".
      text_index: int32 [batch], the text of each row.
      task_index: int32 [batch], its task, as for the model.
    """
    return self._above.inference_fn.call_preflattened([
        hidden, mask, text_index, task_index, *tasks.tensors,
        *self._above.captured_inputs])
