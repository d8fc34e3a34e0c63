"""Holds what does not change in a bank: the encoder, and its graphs."""

import functools
import threading

import tensorflow as tf

from tf_adapters.data import batching
from tf_adapters.modeling.encoder import TransformerEncoder
from tf_adapters.modeling.shared_layers import SharedLayers
from tf_adapters.modeling.stack import StackKey
from tf_adapters.modeling.stacked import StackedTasks
from tf_adapters.modeling.stacked_layers import StackedModel, TracedModel
from tf_adapters.modeling.text import TextProcessor
from tf_adapters.modeling.vocabulary import Vocabulary


# One for all banks of a vocabulary: how long texts may be is said in each call.
@functools.lru_cache(maxsize=4)
def _packing(
    vocabulary: Vocabulary) -> tf.types.experimental.PolymorphicFunction:
  """Makes `TextProcessor.pack_rows` a graph."""
  # Without AutoGraph, which would take seconds to find nothing to convert.
  return tf.function(
      TextProcessor(vocabulary).pack_rows, autograph=False, input_signature=[
          tf.TensorSpec([None], dtype) for dtype in (
              tf.string, tf.string, tf.bool, tf.bool, tf.int32)])


class BankEncoder:
  """The parts that all states of a bank have in common.

  Args:
    encoder: a plain encoder.
    pooling, max_length, jit_compile, capacity, adapter_dtype: as for
      `AdapterBank`.

  Attributes:
    encoder: the encoder.
    text: its text processor, for the longest texts.
    max_length: of tasks whose files do not say theirs.
    widths: wordpieces that batches are padded to, in order.
    model: encoder and heads.
    jit_compile, capacity, adapter_dtype: as given.
  """

  def __init__(self, encoder: TransformerEncoder, pooling: str,
               max_length: int | None, jit_compile: bool,
               capacity: int | None, adapter_dtype: str):
    self.encoder = encoder
    self.text = encoder.text_processor(encoder.config.longest_text)
    self.max_length = encoder.text_processor(max_length).max_length
    self.widths = batching.widths_up_to(
        self.text.max_length,
        batching.WIDTHS if jit_compile else batching.FINE_WIDTHS)
    self.model = StackedModel(encoder, pooling)
    self.jit_compile = jit_compile
    self.capacity = capacity
    self.adapter_dtype = adapter_dtype
    self.pack = _packing(self.text.vocabulary)
    self.pack.get_concrete_function()  # not when the first text comes

    # The graph that was traced last: it may be of a change that another one
    # came before, and that is then made once more.
    self._newest: TracedModel | None = None
    self._tracing = threading.Lock()
    self._tracing_shared = threading.Lock()
    self._shared_layers: tuple[
        tuple[StackKey, ...], dict[int, SharedLayers]] = ((), {})

  def traced(self, tasks: StackedTasks,
             before: TracedModel | None = None) -> TracedModel:
    """Returns the model's graph for tasks: the one `before`, if it will do."""
    if before is not None and before.keys == tasks.keys:
      return before
    with self._tracing:  # who needs the same graph waits, and nobody else
      if self._newest is None or self._newest.keys != tasks.keys:
        self._newest = TracedModel(self.model, tasks.keys, self.jit_compile)
      return self._newest

  def shared_layers(self, tasks: StackedTasks,
                    wait: bool = True) -> SharedLayers | None:
    """Returns the graphs for texts of many tasks; None if they share nothing.

    They are traced when they are needed first, for each layer at which tasks
    begin to differ.

    Args:
      tasks: the tasks.
      wait: whether to wait for a trace, which takes seconds. Otherwise it is
        made in another thread, and until then there is None.
    """
    layer = tasks.lowest_own_layer(self.encoder.config.num_hidden_layers)
    if layer == 0 or self.jit_compile:
      return None
    keys, graphs = self._shared_layers
    if keys != tasks.keys:
      keys, graphs = tasks.keys, {}
      self._shared_layers = keys, graphs
    if layer not in graphs and not wait:
      if not self._tracing_shared.locked():
        threading.Thread(
            target=self.shared_layers, args=[tasks], name="trace").start()
      return None
    with self._tracing_shared:
      if layer not in graphs:
        graphs[layer] = SharedLayers(self.model, keys, layer)
    return graphs[layer]
