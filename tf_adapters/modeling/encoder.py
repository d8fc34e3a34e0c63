"""The BERT encoder: the frozen base, and the one place where tasks enter it.

What a task owns comes from a `TaskLayers` object handed to the encoder; the
layers of the base are those of `transformer`, and the pooler.
Weights are read from files elsewhere and assigned by canonical name.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from tf_adapters.errors import InputError
from tf_adapters.modeling.config import DEFAULT_MAX_LENGTH
from tf_adapters.modeling.dtypes import check_dtype
from tf_adapters.modeling.encoders.bert import BertConfig
from tf_adapters.modeling.kernels import MASKED
from tf_adapters.modeling.layers import Dropout, Projection, with_prefix
from tf_adapters.modeling.methods.method import Method
from tf_adapters.modeling.methods.table import method_of
from tf_adapters.modeling.model_inputs import check_inputs, check_length
from tf_adapters.modeling.origin import Origin, digest
from tf_adapters.modeling.serialization import (
    PACKAGE,
    freeze,
    frozen_names,
    layer_config,
    layer_from,
)
from tf_adapters.modeling.task_layers import TaskHooks, TaskLayers
from tf_adapters.modeling.text import TextProcessor
from tf_adapters.modeling.transformer import Embeddings, TransformerLayer
from tf_adapters.modeling.tuning import Tuning, depth_of
from tf_adapters.modeling.vocabulary import Vocabulary


@tf_keras.saving.register_keras_serializable(PACKAGE)
class BertEncoder(tf_keras.layers.Layer):
  """A BERT whose layer norms, and what a method adds, belong to a task.

  A Keras layer with the inputs and outputs of TF Hub's BERT v4. All variables
  exist from the start; `load_encoder` makes one with pretrained weights.

  With dtype "mixed_bfloat16" it computes in bfloat16. With "bfloat16" the
  pretrained weights are held in it too, in half the memory, and cannot train;
  what a task owns stays float32: a method's layers, layer norms, the head.

  Args:
    config: the architecture.
    task_layers: what a task owns; None for a plain BERT.
    vocabulary: what the checkpoint says of text, for `text_processor`.
    origin: where the pretrained weights came from, for adapter files.
    tuning: what trains, see `tune`; the method's where there is one, else full,
      or the head alone where the weights are bfloat16.
    pooling: how the pretrained weights want texts to be pooled, which heads do
      unless they are told otherwise: see `heads.Head`.

  Call arguments:
    inputs: dict of int32 tensors [batch, length]: "input_word_ids",
      "input_mask" (1 = text, 0 = padding) and "input_type_ids".
      "prefix_output" [batch, length, hidden_size], from the method of that
      name, takes the place of word ids and type ids: only the layers from
      `frozen_prefix` on are computed.

  Returns:
    A dict: "sequence_output" [batch, length, hidden_size], "pooled_output" and
    its alias "default" [batch, hidden_size], and "encoder_outputs", the list of
    the output of every layer that was computed.

  Raises:
    InputError: the parts do not fit one another.

  Example:
    >>> encoder = BertEncoder(BertConfig(
    ...     vocab_size=99, hidden_size=8, num_hidden_layers=2,
    ...     num_attention_heads=2, intermediate_size=16))
    >>> ids = tf.ones([1, 5], tf.int32)
    >>> encoder({"input_word_ids": ids, "input_mask": ids,
    ...          "input_type_ids": ids})["pooled_output"].shape
    TensorShape([1, 8])
  """

  per_token = True  # there are outputs for each token

  def __init__(self, config: BertConfig | Mapping[str, Any],
               task_layers: TaskLayers | None = None,
               vocabulary: Vocabulary | Mapping[str, Any] | None = None,
               origin: Origin | Mapping[str, Any] | None = None,
               tuning: str | None = None, pooling: str = "pooler",
               **kwargs: Any):
    check_dtype(kwargs.get("dtype"))
    super().__init__(**kwargs)
    config = BertConfig.of(config)
    vocabulary = Vocabulary.of(vocabulary)
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
    self.embeddings = Embeddings(config, dtype=self.dtype_policy)
    self.transformer_layers = [
        TransformerLayer(config, number, dtype=self.dtype_policy)
        for number in range(config.num_hidden_layers)]
    self.pooler = Projection((config.hidden_size,), (config.hidden_size,),
                             dtype=self.dtype_policy)
    self.dropout = Dropout(
        config.hidden_dropout_prob, dtype=self.dtype_policy)
    self.build()
    if tuning is None:
      tuning = "full" if self.variable_dtype == "float32" else "head"
      if self.method:
        tuning = "adapters"
    self.tune(tuning)

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

  @property
  def tuning(self) -> str:
    """What trains, by name."""
    return str(self._tuning)

  def tune(self, tuning: str, layer_norms: bool | None = None,
           pooler: bool | None = None) -> None:
    """Chooses what trains: one of `tuning.TUNINGS`, at any time.

    In a functional model of your own, compile again after a `fit`, as for
    every change of `trainable` in Keras.

    Args:
      tuning: the method.
      layer_norms, pooler: True to train them, False to freeze them, whatever
        the method does with them.

    Raises:
      InputError: unknown, or impossible with this encoder.
    """
    tuning = Tuning.parse(tuning, layer_norms, pooler)
    tuning.check(self.config, self.method)
    if self.variable_dtype != "float32" and tuning.trains_base():
      raise InputError(
          f"tuning '{tuning}' trains pretrained weights, which are held in "
          f"{self.variable_dtype}: load the encoder with "
          "dtype='mixed_bfloat16' instead")
    self._tuning = tuning

  @property
  def frozen_prefix(self) -> int:
    """How many of the lowest layers are the base's alone, embeddings included.

    Nothing in them trains and no method enters them, so that their output for
    an input is always the same: 0 to `num_hidden_layers`.

    Example:
      >>> encoder = load_encoder("bert_base_uncased")
      >>> encoder.tune("top_layers:2")
      >>> encoder.frozen_prefix
      10
    """
    layers = self.config.num_hidden_layers
    tuned = self.tuned_variables()
    return min((depth_of(name, layers) for name in self.named_variables()
                if name in tuned or method_of(name)), default=layers)

  def text_processor(self, max_length: int | None = None) -> TextProcessor:
    """What turns strings into this encoder's inputs.

    Args:
      max_length: longest sequence, in wordpieces with [CLS] and [SEP]; None
        for 128, or as many as the encoder has positions for.

    Raises:
      InputError: the encoder came without a vocabulary, or has no positions
        for sequences of that length.
    """
    if self.vocabulary is None:
      raise InputError(
          "this encoder came without a vocabulary: --vocab_file gives one, "
          "--do_lower_case its casing (load_encoder's vocab_file, lower_case)")
    positions = self.config.max_position_embeddings
    if max_length is None:
      max_length = min(DEFAULT_MAX_LENGTH, positions)
    if max_length > positions:
      raise InputError(
          f"max_length {max_length}: the encoder has positions for "
          f"{positions} wordpieces only, which is the most to give")
    return TextProcessor(self.vocabulary, max_length)

  def build(self, input_shape=None):
    if self.built:
      return
    self.embeddings.build()
    self.task_layers.build()
    for number, layer in enumerate(self.transformer_layers):
      with tf.name_scope(f"transformer/layer_{number}"):
        layer.build()
    with tf.name_scope("pooler_transform"):
      self.pooler.build()
    self.built = True

  def check_inputs(self, inputs: Any) -> None:
    """Refuses what is not what `call` takes.

    Args:
      inputs: arrays, tensors or element specs of tf.data by name.

    Raises:
      InputError: an input is missing, or has another type, shape or range.
    """
    config = self.config
    wanted = {"input_word_ids": config.vocab_size, "input_mask": None,
              "input_type_ids": config.type_vocab_size}
    if isinstance(inputs, Mapping) and "prefix_output" in inputs:
      wanted = {"input_mask": None}
    check_length(check_inputs(inputs, wanted), config.max_position_embeddings)

  def __call__(self, inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
    self.check_inputs(inputs)
    return super().__call__(inputs, *args, **kwargs)

  def call(self, inputs: Mapping[str, tf.Tensor],
           training: bool | None = None) -> dict[str, Any]:
    if "prefix_output" in inputs:
      hidden, first = inputs["prefix_output"], self.frozen_prefix
    else:
      hidden, first = self.embed(inputs, training), 0
    outputs = self.run_layers(
        range(first, self.config.num_hidden_layers), hidden, inputs, training)
    return {**self.close(outputs[-1] if outputs else hidden),
            "encoder_outputs": outputs}

  def prefix_output(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """What the `frozen_prefix` lowest layers make of inputs, without dropout.

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
    """What the first layer sees, [batch, length, hidden_size].

    Args:
      inputs, training: as for `call`.
      task_layers: as for `run_layers`.
    """
    hidden = self.embeddings(
        inputs["input_word_ids"], inputs["input_type_ids"])
    hidden = (task_layers or self.task_layers).embedding_norm()(hidden)
    return self.dropout(hidden, training=training)

  def run_layers(self, numbers: Iterable[int], hidden: tf.Tensor,
                 inputs: Mapping[str, tf.Tensor], training: bool | None = None,
                 task_layers: TaskHooks | None = None) -> list[tf.Tensor]:
    """The outputs of layers, each of which sees the one before.

    Args:
      numbers: of the layers, from 0.
      hidden: what the first of them sees, [batch, length, hidden_size].
      inputs: as for `call`; "input_mask" is looked at.
      training: as for `call`.
      task_layers: what a task owns, to take the place of the encoder's own.

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
      hidden = self.transformer_layers[number](
          hidden, attention_bias, task_layers or self.task_layers,
          training=training)
      outputs.append(hidden)
    return outputs

  def close(self, hidden: tf.Tensor) -> dict[str, tf.Tensor]:
    """The outputs of `call` from what the last layer says, without the list."""
    pooled = tf.tanh(self.pooler(hidden[:, 0]))
    return {"sequence_output": hidden, "pooled_output": pooled,
            "default": pooled}

  def base_variables(self) -> dict[str, tf.Variable]:
    """{canonical name: variable} of what a checkpoint holds."""
    variables = {**self.embeddings.named_variables(),
                 **self.task_layers.base_variables()}
    for number, layer in enumerate(self.transformer_layers):
      variables.update(with_prefix(
          f"transformer/layer_{number}", layer.named_variables()))
    variables.update(
        with_prefix("pooler_transform", self.pooler.named_variables()))
    return variables

  def named_variables(self) -> dict[str, tf.Variable]:
    """{canonical name: variable} of everything, a method's included."""
    return {**self.base_variables(), **self.task_layers.named_variables()}

  def tuned_variables(self) -> dict[str, tf.Variable]:
    """{canonical name: variable} of what trains now.

    What the tuning says and no layer's `trainable` forbids, its own included.
    """
    layers = self.config.num_hidden_layers
    trainable = {id(variable) for variable in super().trainable_weights}
    return {name: variable
            for name, variable in self.named_variables().items()
            if id(variable) in trainable
            and self._tuning.trains(name, layers, self.method)}

  def changed_variables(self) -> dict[str, tf.Variable]:
    """{canonical name: variable} of pretrained weights that are not as loaded.

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

  # Keras asks for these at every use, so the tuning is never out of date.

  @property
  def trainable_weights(self) -> list[tf.Variable]:
    return list(self.tuned_variables().values())

  @property
  def non_trainable_weights(self) -> list[tf.Variable]:
    tuned = {id(variable) for variable in self.trainable_weights}
    return [variable for variable in self.weights if id(variable) not in tuned]

  @property
  def weights(self) -> list[tf.Variable]:
    return list(self.named_variables().values())

  def get_config(self) -> dict[str, Any]:
    return {
        **super().get_config(),
        "config": self.config.to_dict(),
        "task_layers": layer_config(self.task_layers),
        "vocabulary": self.vocabulary and self.vocabulary.to_dict(),
        "origin": self.origin and self.origin.to_dict(),
        "tuning": self.tuning,
        "pooling": self.pooling,
        "frozen": frozen_names(self),
    }

  @classmethod
  def from_config(cls, config: dict[str, Any]) -> "BertEncoder":
    config = dict(config)
    if isinstance(config["task_layers"], Mapping):
      config["task_layers"] = layer_from(config["task_layers"])
    frozen = config.pop("frozen", ())  # version 0.1 did not write it
    encoder = cls(**config)
    freeze(encoder, frozen)
    return encoder
