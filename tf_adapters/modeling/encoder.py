"""A pretrained encoder: the frozen base, and where tasks enter it.

What a task owns comes from a `TaskLayers` object handed to the encoder. What
the layers of the base are is the business of its family, see `encoders`.
Weights are read from files elsewhere and assigned by canonical name.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tf_adapters.errors import InputError
from tf_adapters.modeling.config import DEFAULT_MAX_LENGTH
from tf_adapters.modeling.dtypes import check_dtype
from tf_adapters.modeling.encoders.family import EncoderConfig
from tf_adapters.modeling.encoders.table import (
    config_from_dict,
    config_to_dict,
)
from tf_adapters.modeling.forks import check_process
from tf_adapters.modeling.kernels import MASKED
from tf_adapters.modeling.layers import values_follow, variables_of
from tf_adapters.modeling.methods.method import Method, Weights
from tf_adapters.modeling.methods.places import PROJECTION, Place
from tf_adapters.modeling.methods.table import method_of
from tf_adapters.modeling.model_inputs import check_inputs, check_length
from tf_adapters.modeling.origin import Origin, digest
from tf_adapters.modeling.recomputation import recomputed
from tf_adapters.modeling.serialization import layer_config
from tf_adapters.modeling.task_layers import (
    LayerHooks,
    TaskHooks,
    TaskLayers,
)
from tf_adapters.modeling.text import TextProcessor
from tf_adapters.modeling.text_encoder import TextEncoder
from tf_adapters.modeling.tuning import Tuning, depth_of
from tf_adapters.modeling.vocabularies.table import (
    vocabulary_of,
    vocabulary_to_dict,
)
from tf_adapters.modeling.vocabulary import Vocabulary


class TransformerEncoder(TextEncoder):
  """An encoder whose layer norms, and what a method adds, belong to a task.

  A family's encoder is a subclass with `make_layers`, and with `wanted_inputs`,
  `embed` and `close` where they are others. See `BertEncoder` for the
  arguments and the outputs.

  Attributes:
    offers_first_only: whether calls of its layers take `first_only`, and give
      the first token alone, [batch, 1, hidden_size], where it is true.
  """

  per_token = True
  offers_first_only = False
  parts = ("task_layers",)
  origin: Origin | None = None  # no property: readers set it

  def __init__(self, config: EncoderConfig | Mapping[str, Any],
               task_layers: TaskLayers | None = None,
               vocabulary: Vocabulary | Mapping[str, Any] | None = None,
               origin: Origin | Mapping[str, Any] | None = None,
               tuning: str | None = None, pooling: str = "pooler",
               **kwargs: Any):
    check_process()
    check_dtype(kwargs.get("dtype"))
    super().__init__(**kwargs)
    if isinstance(config, Mapping):
      config = config_from_dict(config)
    vocabulary = vocabulary_of(vocabulary)
    origin = Origin.of(origin)
    if task_layers is None:
      task_layers = TaskLayers(config, dtype=self.dtype_policy)
    if vocabulary and len(vocabulary.tokens) > config.vocab_size:
      raise InputError(
          f"the vocabulary has {len(vocabulary.tokens)} tokens, the encoder's "
          f"embedding table {config.vocab_size} rows")
    self.config = config
    self.task_layers = task_layers
    self.vocabulary = vocabulary
    self.origin = origin
    self.pooling = pooling
    self.pooler: Any = None
    self.make_layers()
    self.build()
    self.start_method()
    if tuning is None:
      tuning = "full" if self.variable_dtype == "float32" else "head"
      if self.method:
        tuning = "adapters"
    self.tune(tuning)

  def make_layers(self) -> None:
    """Makes the layers of `config`, with `dtype_policy`.

    `embeddings`, `transformer_layers` and, where there is one, `pooler`. Each
    has `named_variables`, whose names begin below "transformer/layer_{i}/" and
    "pooler_transform/"; those of the embeddings are whole. A Transformer layer
    is called with (hidden, attention_bias, task, training), where the bias
    [batch, 1, 1, length] is very low at padding, and `task` has the task's
    layer norms and what its method computes there: see `LayerHooks`. Where
    methods can enter its projections, `projection(name)` is the layer of each.
    Layers that share their weights are one object, as often as they are
    computed.
    """
    raise NotImplementedError

  def base_layers(self) -> dict[str, Any]:
    """Returns {how their variables' names begin: layer}, each layer once."""
    layers: dict[str, Any] = {
        self.config.layer_name(number): layer
        for number, layer in enumerate(self.transformer_layers)}
    return layers if self.pooler is None else {
        **layers, "pooler_transform": self.pooler}

  def wanted_inputs(self) -> dict[str, int | None]:
    """Returns names of the inputs, and what numbers in them have to be below.
    """
    return {"input_word_ids": self.config.vocab_size, "input_mask": None}

  @property
  def family(self) -> str:
    return self.config.family

  @property
  def hidden_size(self) -> int:
    """Width of the outputs."""
    return self.config.hidden_size

  @property
  def hidden_dropout_prob(self) -> float:
    """The dropout rate of hidden states, and of what a head gets."""
    return self.config.hidden_dropout_prob

  @property
  def method(self) -> Method | None:
    """Configuration of the method, or None."""
    return self.task_layers.method

  def tune(self, tuning: str, layer_norms: bool | None = None,
           pooler: bool | None = None) -> None:
    parsed = Tuning.parse(tuning, layer_norms, pooler)
    parsed.check(self.config, self.method)
    if self.variable_dtype != "float32" and parsed.trains_base():
      raise InputError(
          f"tuning '{parsed}' trains pretrained weights, which are held in "
          f"{self.variable_dtype}: load the encoder with "
          "dtype='mixed_bfloat16' instead")
    self._tuning = parsed

  def projection_weights(self, place: Place) -> Weights | None:
    """Returns a projection's weights at a place, float32; None without one."""
    if place.hook != PROJECTION:
      return None
    layer: Any = self.transformer_layers[place.layer]
    return Weights(*(tensor.numpy().astype(np.float32) for tensor
                     in layer.projection(place.name).kernel_and_bias()))

  def start_method(self) -> None:
    """Sets what of the method begins as a function of pretrained weights.

    To be called where these have been assigned.
    """
    if self.method is None:
      return
    variables = self.named_variables()
    for place in self.method.places(self.config.num_hidden_layers):
      weights = self.projection_weights(place)
      if weights is not None:
        for name, value in self.method.at(place).first_values(
            weights).items():
          variables[f"{self.method.place_name(place)}/{name}"].assign(value)

  @property
  def frozen_prefix(self) -> int:
    """The number of lowest layers that are the base's alone, with embeddings.

    Nothing in them trains and no method enters them, so that their output for
    an input is always the same: 0 to `num_hidden_layers`.

    Example:
      >>> encoder = load_encoder("bert_base_uncased")
      >>> encoder.tune("top_layers:2")
      >>> encoder.frozen_prefix
      10
    """
    layers = self.config.num_hidden_layers
    depths = [depth_of(name, layers) for name in self.tuned_variables()
              if not method_of(name)]
    if self.method:
      depths.append(self.method.first_layer)
    return min(depths, default=layers)

  def text_processor(self, max_length: int | None = None) -> TextProcessor:
    if self.vocabulary is None:
      raise InputError(
          "this encoder came without a vocabulary: --vocab_file gives one, "
          "--do_lower_case its casing (load_encoder's vocab_file, lower_case)")
    positions = self.config.longest_text
    if max_length is None:
      max_length = min(DEFAULT_MAX_LENGTH, positions)
    if max_length > positions:
      raise InputError(
          f"max_length {max_length}: the encoder has positions for "
          f"{positions} wordpieces only, which is the most to give")
    return TextProcessor(
        self.vocabulary.without_segments()
        if self.config.has_one_segment else self.vocabulary, max_length)

  def build(self, input_shape: Any = None) -> None:
    if self.built:
      return
    self.embeddings.build(None)
    with values_follow(False):
      self.task_layers.build()
    for name, layer in self.base_layers().items():
      with tf.name_scope(name):
        layer.build(None)
    self.built = True

  def check_inputs(self, inputs: Any) -> None:
    wanted = self.wanted_inputs()
    if isinstance(inputs, Mapping) and "prefix_output" in inputs:
      wanted = {"input_mask": None}
    check_length(check_inputs(inputs, wanted), self.config.longest_text)

  # Nothing below looks at what tensors hold: to convert it takes seconds.
  @tf.autograph.experimental.do_not_convert
  def call(self, inputs: Mapping[str, tf.Tensor],
           training: bool | None = None,
           first_only: bool = False) -> dict[str, Any]:
    if "prefix_output" in inputs:
      hidden, first = inputs["prefix_output"], self.frozen_prefix
    else:
      hidden, first = self.embed(inputs, training), 0
    outputs = self.run_layers(
        range(first, self.config.num_hidden_layers), hidden, inputs, training,
        first_only=first_only)
    return {**self.close(outputs[-1] if outputs else hidden),
            "encoder_outputs": outputs}

  def prefix_output(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Runs the `frozen_prefix` lowest layers on inputs, without dropout.

    Args:
      inputs: as for `call`.

    Returns:
      [batch, length, hidden_size], in the type that the encoder computes in:
      the embeddings where the prefix is 0.

    Example:
      >>> encoder({"prefix_output": encoder.prefix_output(inputs),
      ...          "input_mask": inputs["input_mask"]})["sequence_output"]
    """
    hidden = self.embed(inputs, training=False)
    outputs = self.run_layers(
        range(self.frozen_prefix), hidden, inputs, training=False)
    return outputs[-1] if outputs else hidden

  # A forward pass in three steps, for those who want something in between:
  # `embed`, `run_layers`, a stretch at a time, and `close`.

  def embed(self, inputs: Mapping[str, tf.Tensor],
            training: bool | None = None,
            task_layers: TaskHooks | None = None) -> tf.Tensor:
    """Embeds inputs for the first layer, [batch, length, hidden_size].

    Args:
      inputs, training: as for `call`.
      task_layers: as for `run_layers`.
    """
    del training, task_layers
    return self.embeddings(inputs["input_word_ids"])

  def run_layers(self, numbers: Iterable[int], hidden: tf.Tensor,
                 inputs: Mapping[str, tf.Tensor], training: bool | None = None,
                 task_layers: TaskHooks | None = None,
                 first_only: bool = False) -> list[tf.Tensor]:
    """Computes the outputs of layers, each of which sees the one before.

    Args:
      numbers: of the layers, from 0.
      hidden: what the first of them sees, [batch, length, hidden_size].
      inputs: as for `call`; "input_mask" is looked at.
      training: as for `call`.
      task_layers: what a task owns, to take the place of the encoder's own.
      first_only: whether nothing but the first token's output will be read of
        the last layer. It leaves out the others where the encoder's layers can.

    Example:
      >>> hidden = encoder.embed(inputs)
      >>> *_, hidden = encoder.run_layers(
      ...     range(6), hidden, inputs,
      ...     task_layers=WithoutMethod(encoder.task_layers))
      >>> *_, hidden = encoder.run_layers(range(6, 12), hidden, inputs)
      >>> encoder.close(hidden)["pooled_output"]
    """
    padding = 1.0 - tf.cast(inputs["input_mask"], tf.float32)
    attention_bias = (padding * MASKED)[:, tf.newaxis, tf.newaxis, :]
    outputs = []
    for number in numbers:
      task = LayerHooks(task_layers or self.task_layers, number,
                        self.config.layer_name(number))
      compute = functools.partial(
          self.transformer_layers[number], attention_bias=attention_bias,
          task=task, training=training)
      if (first_only and self.offers_first_only
          and number == self.config.num_hidden_layers - 1):
        compute = functools.partial(compute, first_only=True)
      hidden = (recomputed(compute, hidden) if self.remat and training
                else compute(hidden))
      outputs.append(hidden)
    return outputs

  def close(self, hidden: tf.Tensor,
            task_layers: TaskHooks | None = None) -> dict[str, tf.Tensor]:
    """Computes the outputs of `call` from the last layer's, without the list.

    Args:
      hidden: of the last layer.
      task_layers: as for `run_layers`.
    """
    del task_layers
    pooled = hidden[:, 0]
    if self.pooler is not None:
      pooled = self.pooled(hidden, self.pooler)
    return {"sequence_output": hidden, "pooled_output": pooled,
            "default": pooled}

  def pooled(self, hidden: tf.Tensor, pooler: Callable[[Any], Any]) -> Any:
    """Pools the outputs of the last layer, [batch, hidden_size].

    Args:
      hidden: [batch, length, hidden_size].
      pooler: the encoder's, or what computes as that one does with weights of
        other tasks: [batch, hidden_size] -> the same.
    """
    return tf.tanh(pooler(hidden[:, 0]))

  def base_variables(self) -> dict[str, tf.Variable]:
    """Returns {canonical name: variable} of what a checkpoint holds."""
    return {**self.embeddings.named_variables(),
            **self.task_layers.base_variables(),
            **variables_of(self.base_layers())}

  @property
  def lacks_pooler(self) -> bool:
    """Whether the identity is in the pooler's place, as no file has one."""
    if self.pooler is None:
      return False
    kernel = self.base_variables()["pooler_transform/kernel"].numpy()
    return np.array_equal(kernel, np.eye(len(kernel), dtype=kernel.dtype))

  def named_variables(self) -> dict[str, tf.Variable]:
    return {**self.base_variables(), **self.task_layers.named_variables()}

  def trains(self, name: str) -> bool:
    return self._tuning.trains(
        name, self.config.num_hidden_layers, self.method)

  def changed_variables(self) -> dict[str, tf.Variable]:
    """Returns {canonical name: variable} of changed pretrained weights.

    By their values, whatever changed them. All of them where nobody noted what
    was loaded: in an encoder of random weights, or saved by version 0.1.

    Example:
      >>> encoder = load_encoder("bert_base_uncased")
      >>> encoder.pooler.bias.assign_add(tf.ones([768]))
      >>> list(encoder.changed_variables())
      ['pooler_transform/bias']
    """
    digests = self.origin.digests if self.origin else {}
    return {name: variable for name, variable in self.base_variables().items()
            if digests.get(name) != digest(variable.numpy())}

  def get_config(self) -> dict[str, Any]:
    return {
        **super().get_config(),
        "config": config_to_dict(self.config),
        "task_layers": layer_config(self.task_layers),
        "vocabulary": self.vocabulary and vocabulary_to_dict(self.vocabulary),
        "origin": self.origin and self.origin.to_dict(),
        "pooling": self.pooling,
    }
