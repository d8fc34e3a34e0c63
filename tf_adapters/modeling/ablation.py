"""A model without the adapters of some layers, for many sets of layers at once.

What the sets have in common is computed once: a state is kept as long as none
of them has taken another way. Which sets are of interest is not known here.
"""

import functools
from collections.abc import Iterable, Mapping

import tensorflow as tf

from tf_adapters.modeling.task_layers import WithoutMethod
from tf_adapters.modeling.task_model import TaskModel

LayerSet = frozenset[int]


class AdapterAblation:
  """Runs a model whose adapters are taken out of layers, without retraining.

  A layer without its adapters keeps the layer norms that were tuned with them
  (Houlsby et al., section 3.6). The sets are walked through depth first, layer
  by layer: they part where some of them have a layer and others do not. At any
  time no more than a state for each layer is held.

  Args:
    model: the model, as it was trained.

  Call arguments:
    inputs: what the model takes.
    removed: sets of layer numbers, from 0.

  Returns:
    {set: what the model returns without the adapters of these layers}.

  Example:
    >>> ablation = AdapterAblation(ta.load_adapter("adapters/mrpc"))
    >>> none, lowest = frozenset(), frozenset([0, 1])
    >>> outputs = ablation(inputs, [none, lowest])
    >>> outputs[lowest] - outputs[none]
  """

  def __init__(self, model: TaskModel):
    self._model = model
    encoder = model.encoder
    self._num_layers = encoder.config.num_hidden_layers
    hidden = tf.TensorSpec(
        [None, None, encoder.config.hidden_size], encoder.compute_dtype)
    tokens = tf.TensorSpec([None, None], tf.int32)
    self._embed = tf.function(
        lambda word_ids, type_ids: encoder.embed(
            {"input_word_ids": word_ids, "input_type_ids": type_ids},
            training=False), [tokens, tokens])
    # A graph for each layer, with adapters and without, and not one for each
    # set: there are hundreds of these.
    self._run_layer = {
        (layer, adapters): tf.function(
            functools.partial(self._layer, layer, adapters), [hidden, tokens])
        for layer in range(self._num_layers) for adapters in (True, False)}
    self._logits = tf.function(
        lambda hidden, mask: model.logits(
            encoder.close(hidden), mask, training=False), [hidden, tokens])

  def __call__(self, inputs: Mapping[str, tf.Tensor],
               removed: Iterable[LayerSet]) -> dict[LayerSet, tf.Tensor]:
    mask = inputs["input_mask"]
    outputs = {}

    def run_from(layer: int, hidden: tf.Tensor, sets: set[LayerSet]) -> None:
      if layer == self._num_layers:
        outputs.update(dict.fromkeys(sets, self._logits(hidden, mask)))
        return
      without = {layers for layers in sets if layer in layers}
      for adapters, branch in ((True, sets - without), (False, without)):
        if branch:
          run_from(layer + 1, self._run_layer[layer, adapters](hidden, mask),
                   branch)

    run_from(0, self._embed(
        inputs["input_word_ids"], inputs["input_type_ids"]), set(removed))
    return outputs

  def _layer(self, layer: int, adapters: bool, hidden: tf.Tensor,
             mask: tf.Tensor) -> tf.Tensor:
    hidden, = self._model.encoder.run_layers(
        [layer], hidden, {"input_mask": mask}, training=False,
        task_layers=None if adapters else WithoutMethod(
            self._model.encoder.task_layers))
    return hidden


def count_layer_passes(num_layers: int, removed: Iterable[LayerSet]) -> int:
  """Counts the layers that an `AdapterAblation` runs for a batch.

  One by one it would be `num_layers` for each set. All L (L + 1) / 2 stretches
  of L layers, and none of them, take L + L (L + 1) (L + 2) / 6.

  Args:
    num_layers: of the encoder.
    removed: the sets.

  Example:
    >>> count_layer_passes(3, [frozenset(), frozenset([0]), frozenset([2])])
    7
  """
  removed = list(removed)
  return sum(len({layers & frozenset(range(end)) for layers in removed})
             for end in range(1, num_layers + 1))
