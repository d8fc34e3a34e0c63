"""A network on embedded texts: what the paper compares BERT with (section 3.3).

`TextNetwork` takes the place of a pretrained encoder in the models of whole
texts. Its embedding gives a vector to each word of a text, or to the text
itself; where they come from is not known here.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from tf_adapters.errors import InputError
from tf_adapters.modeling.config import DEFAULT_MAX_LENGTH
from tf_adapters.modeling.dtypes import check_dtype
from tf_adapters.modeling.layers import Dropout, Normal, Projection, with_prefix
from tf_adapters.modeling.model_inputs import check_inputs
from tf_adapters.modeling.network_config import NetworkConfig
from tf_adapters.modeling.origin import Origin
from tf_adapters.modeling.serialization import (
    PACKAGE,
    WeightsLayer,
    layer_config,
    layer_from,
)
from tf_adapters.modeling.text import TextProcessor
from tf_adapters.modeling.text_encoder import TextEncoder
from tf_adapters.modeling.text_layer import TextLayer
from tf_adapters.modeling.tuning import NETWORK, Tuning, kind_of
from tf_adapters.modeling.vocabularies.table import (
    vocabulary_of,
    vocabulary_to_dict,
)
from tf_adapters.modeling.vocabulary import Vocabulary
from tf_adapters.modeling.whole_texts import WholeTexts


@tf_keras.saving.register_keras_serializable(PACKAGE)
class WordEmbedding(WeightsLayer):
  """A vector for each wordpiece, whatever stands around it.

  Args:
    vocabulary: the wordpieces.
    rows, size: of the table; it can have more rows than there are wordpieces.
    origin: where its values came from.

  Call arguments:
    inputs: a `TextProcessor`'s, [batch, length].

  Returns:
    Vectors [batch, length, size], and [batch, length] 1.0 where they are of
    words, 0.0 where they are of padding and special tokens.
  """

  can_train = True
  built: bool  # Keras'

  def __init__(self, vocabulary: Vocabulary | Mapping[str, Any], rows: int,
               size: int, origin: Origin | Mapping[str, Any] | None = None,
               **kwargs: Any):
    super().__init__(**kwargs)
    vocabulary = vocabulary_of(vocabulary)
    origin = Origin.of(origin)
    self.vocabulary = vocabulary
    self.rows = rows
    self.size = size
    self.origin = origin
    special = vocabulary.special
    self._special = [
        vocabulary.id_of(token)
        for token in dict.fromkeys([special.start, special.end,
                                    *special.between])]
    self.build()

  def build(self, input_shape: Any = None) -> None:
    if self.built:
      return
    self.table = self.add_weight(
        name="embeddings", shape=[self.rows, self.size],
        initializer=Normal(stddev=0.02))
    self.built = True

  def text_processor(self, max_length: int | None,
                     pairs: bool) -> TextProcessor:
    """Makes the layer that turns strings into the inputs."""
    del pairs
    return TextProcessor(self.vocabulary, max_length or DEFAULT_MAX_LENGTH)

  def wanted_inputs(self) -> dict[str, int | None]:
    """Returns names of the inputs, and what numbers in them have to be below.
    """
    return {"input_word_ids": self.rows, "input_mask": None}

  def call(self, inputs: Mapping[str, tf.Tensor],
           training: bool | None = None) -> tuple[tf.Tensor, tf.Tensor]:
    del training
    ids = inputs["input_word_ids"]
    is_word = tf.cast(inputs["input_mask"], tf.bool)
    for special in self._special:
      is_word &= ids != special
    return tf.gather(self.table, ids), tf.cast(is_word, tf.float32)

  def named_variables(self) -> dict[str, tf.Variable]:
    return {"word_embeddings/embeddings": self.table}

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(),
            "vocabulary": vocabulary_to_dict(self.vocabulary),
            "rows": self.rows, "size": self.size,
            "origin": self.origin and self.origin.to_dict()}


@tf_keras.saving.register_keras_serializable(PACKAGE)
class TextEmbedding(tf_keras.layers.Layer):
  """A vector for each text, by a layer that reads strings.

  Args:
    module: the layer: strings [batch] to vectors [batch, size], such as a
      hub.KerasLayer.
    size: of the vectors.
    lower_case: whether texts are lower-cased first.
    can_train: whether the layer's variables can train.
    origin: where the layer came from.

  Call arguments:
    inputs: of `WholeTexts`, [batch, texts].

  Returns:
    Vectors [batch, texts, size], and [batch, texts] 1.0 where there is a text,
    0.0 where there is padding.
  """

  def __init__(self, module: tf_keras.layers.Layer, size: int,
               lower_case: bool = False, can_train: bool = True,
               origin: Origin | Mapping[str, Any] | None = None,
               **kwargs: Any):
    super().__init__(**kwargs)
    origin = Origin.of(origin)
    self.module = module
    self.size = size
    self.lower_case = lower_case
    self.can_train = can_train
    self.origin = origin
    self.built = True

  def text_processor(self, max_length: int | None, pairs: bool) -> WholeTexts:
    """Makes the layer that turns strings into the inputs, without cuts."""
    del max_length
    return WholeTexts(pairs, self.lower_case)

  def wanted_inputs(self) -> dict[str, int | None]:
    """Returns names of the inputs; none of them indexes a table."""
    return {"input_texts": None, "input_mask": None}

  def call(self, inputs: Mapping[str, tf.Tensor],
           training: bool | None = None) -> tuple[tf.Tensor, tf.Tensor]:
    texts = inputs["input_texts"]
    vectors = self.module(tf.reshape(texts, [-1]), training=training)
    vectors = tf.reshape(
        vectors, tf.concat([tf.shape(texts), [self.size]], axis=0))
    vectors.set_shape([*texts.shape, self.size])
    return vectors, tf.cast(inputs["input_mask"], tf.float32)

  def named_variables(self) -> dict[str, tf.Variable]:
    # Their own names need not be different ones.
    return {f"text_embedding/{number}": variable
            for number, variable in enumerate(self.module.weights)}

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), "size": self.size,
            "lower_case": self.lower_case, "can_train": self.can_train,
            "module": layer_config(self.module),
            "origin": self.origin and self.origin.to_dict()}

  @classmethod
  def from_config(cls, config: dict[str, Any]) -> "TextEmbedding":
    # As in `sources`: only those need tensorflow_hub who ask for it.
    import tensorflow_hub as hub
    return cls(**{**config, "module": layer_from(
        config["module"], {"KerasLayer": hub.KerasLayer})})


@tf_keras.saving.register_keras_serializable(PACKAGE)
class TextNetwork(TextEncoder):
  """A network of dense layers on the means of words' vectors.

  A deep averaging network (Iyyer et al. 2015). A pair with the vectors u and v
  is [u, v, |u - v|, u * v] (Mou et al. 2016, Conneau et al. 2017, for sentences
  that are encoded one by one). A text without words is zeros.

  Args:
    embedding: from `load_word_embedding` or `load_text_embedding`.
    config: the dense layers; None for `NetworkConfig`'s defaults.
    pairs: whether texts are pairs; of a network for single texts a pair is one.
    tuning: what trains, see `tune`.

  Call arguments:
    inputs: what `text_processor` makes of strings.

  Returns:
    A dict: "pooled_output" and its alias "default" [batch, hidden_size].

  Raises:
    InputError: the embedding cannot be trained.

  Example:
    >>> network = TextNetwork(load_word_embedding("minilm_l6"))
    >>> model = TextClassifier(network, labels=["negative", "positive"])
    >>> model(network.text_processor()(["a moving film"])).shape
    TensorShape([1, 2])
  """

  per_token = False
  parts = ("embedding",)
  pooling = "pooler"  # its one vector for each text

  def __init__(self, embedding: WordEmbedding | TextEmbedding,
               config: NetworkConfig | Mapping[str, Any] | None = None,
               pairs: bool = False, tuning: str = NETWORK, **kwargs: Any):
    check_dtype(kwargs.get("dtype"))
    super().__init__(**kwargs)
    if self.variable_dtype == "bfloat16":
      # As for adapters: what trains needs the digits.
      self._set_dtype_policy("mixed_bfloat16")
    config = NetworkConfig.of(config) or NetworkConfig()
    self.embedding = embedding
    self.config = config
    self.pairs = pairs
    sizes = [embedding.size * (4 if pairs else 1),
             *[config.hidden_units] * config.hidden_layers]
    self._hidden_size = sizes[-1]
    # Relus keep the scale of what they get at this one (He et al. 2015).
    self.hidden_layers = [
        Projection((size,), (units,), stddev=(2 / size) ** 0.5,
                   activation="relu", dtype=self.dtype_policy)
        for size, units in itertools.pairwise(sizes)]
    self.dropout = Dropout(config.hidden_dropout, dtype=self.dtype_policy)
    self.build()
    self.tune(tuning)

  @property
  def hidden_size(self) -> int:
    """Width of the outputs."""
    return self._hidden_size

  @property
  def hidden_dropout_prob(self) -> float:
    """The dropout rate of what a head gets."""
    return self.config.hidden_dropout

  @property
  def origin(self) -> Origin | None:
    """Where the embedding came from."""
    return self.embedding.origin

  def tune(self, tuning: str, layer_norms: bool | None = None,
           pooler: bool | None = None) -> None:
    """Chooses what trains: "network", or "network+embedding", at any time.

    Raises:
      InputError: it is another tuning, which needs a BERT, or the embedding
        cannot be trained.
    """
    parsed = Tuning.parse(tuning, layer_norms, pooler)
    if parsed.method != NETWORK:
      raise InputError(f"tuning '{parsed}' needs a BERT: a TextNetwork takes "
                       f"{NETWORK} or {NETWORK}+embedding")
    if parsed.embedding and not self.embedding.can_train:
      source = self.origin.source if self.origin else "the embedding"
      raise InputError(f"tuning '{parsed}': {source} has no variables that can "
                       "be trained")
    self._tuning = parsed
    # A module that is called does by this what it does in a training of it.
    self.embedding.trainable = bool(parsed.embedding)

  def trains(self, name: str) -> bool:
    return bool(self._tuning.embedding) or kind_of(name) != "embeddings"

  def text_processor(self, max_length: int | None = None) -> TextLayer:
    return self.embedding.text_processor(max_length, self.pairs)

  def build(self, input_shape: Any = None) -> None:
    if self.built:
      return
    for number, layer in enumerate(self.hidden_layers):
      with tf.name_scope(f"network/layer_{number}"):
        layer.build()
    self.built = True

  def check_inputs(self, inputs: Any) -> None:
    wanted = self.embedding.wanted_inputs()
    check_inputs(inputs, wanted | (
        {"input_type_ids": None} if self.pairs else {}))

  def call(self, inputs: Mapping[str, tf.Tensor],
           training: bool | None = None) -> dict[str, tf.Tensor]:
    vectors, weights = self.embedding(inputs, training=training)
    # A sum over many words: bfloat16 could not even count them.
    vectors = tf.cast(vectors, tf.float32)
    if self.pairs:
      first, second = (
          _mean(vectors, weights * tf.cast(
              inputs["input_type_ids"] == segment, tf.float32))
          for segment in (0, 1))
      hidden = tf.concat(
          [first, second, tf.abs(first - second), first * second], axis=-1)
    else:
      hidden = _mean(vectors, weights)
    hidden = tf.cast(hidden, self.compute_dtype)
    for number, layer in enumerate(self.hidden_layers):
      if number:
        hidden = self.dropout(hidden, training=training)
      hidden = layer(hidden, training=training)
    return {"pooled_output": hidden, "default": hidden}

  def named_variables(self) -> dict[str, tf.Variable]:
    variables = self.embedding.named_variables()
    for number, layer in enumerate(self.hidden_layers):
      variables |= with_prefix(
          f"network/layer_{number}", layer.named_variables())
    return variables

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), "pairs": self.pairs,
            "embedding": layer_config(self.embedding)}


def _mean(vectors: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
  """Computes the mean of vectors [batch, length, size] by weights."""
  return tf.math.divide_no_nan(
      tf.einsum("bl,bls->bs", weights, vectors),
      tf.reduce_sum(weights, axis=1, keepdims=True))
