"""MobileBERT (Sun et al. 2020): narrow layers between bottlenecks.

What is read is what was published: trigrams of embeddings, one bottleneck that
queries and keys share, four feed-forwards in each layer, and norms that scale
and shift alone. Without a pooler the pooled output is the first token's.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tf_adapters.errors import InputError
from tf_adapters.modeling.config import require
from tf_adapters.modeling.encoders.family import (
    EncoderConfig,
    EncoderFamily,
    GraphFacts,
)
from tf_adapters.modeling.encoders.transformer import TransformerConfig
from tf_adapters.modeling.methods.places import (
    ATTENTION,
    PROJECTION,
    SUBLAYER,
    Place,
)

if TYPE_CHECKING:
  from tf_adapters.modeling.encoders.mobilebert_layers import (
      MobileBertEncoder,
  )

FEED_FORWARDS = 4  # in a layer

# What Hugging Face's config.json has to say, where it says it.
_PUBLISHED = {
    "trigram_input": True, "use_bottleneck": True,
    "use_bottleneck_attention": False, "key_query_shared_bottleneck": True,
    "num_feedforward_networks": FEED_FORWARDS,
    "normalization_type": "no_norm"}


@dataclasses.dataclass(frozen=True)
class MobileBertConfig(TransformerConfig):
  """The architecture of a MobileBERT (defaults: the published one's).

  Attributes:
    embedding_size: width of the word embeddings.
    intra_bottleneck_size: width of attention and feed-forwards.
    classifier_activation: whether there is a pooler.

  Example:
    >>> MobileBertConfig(vocab_size=30522).num_hidden_layers
    24
  """

  family = "mobilebert"
  hooks = {(SUBLAYER, "attention"), (SUBLAYER, "output"),
           *((PROJECTION, name) for name in (
               "query", "key", "value", "attention_output")),
           (ATTENTION, "attention")}
  layer_norm_eps = None

  vocab_size: int
  hidden_size: int = 512
  num_hidden_layers: int = 24
  num_attention_heads: int = 4
  intermediate_size: int = 512
  hidden_act: str = "relu"
  max_position_embeddings: int = 512
  type_vocab_size: int = 2
  embedding_size: int = 128
  intra_bottleneck_size: int = 128
  hidden_dropout_prob: float = 0.0
  attention_probs_dropout_prob: float = 0.1
  classifier_activation: bool = True

  def __post_init__(self) -> None:
    super().__post_init__()
    require(self.intra_bottleneck_size % self.num_attention_heads == 0,
            f"intra_bottleneck_size {self.intra_bottleneck_size} is not a "
            f"multiple of num_attention_heads {self.num_attention_heads}")

  def widths_at(self, place: Place) -> tuple[int, int]:
    hidden, narrow = super().widths_at(place)[0], self.intra_bottleneck_size
    if place[1:] == (SUBLAYER, "output"):
      return hidden, hidden
    return (hidden if place.name == "value" else narrow), narrow


class MobileBert(EncoderFamily):
  """MobileBERT, by names as TF Hub's BERTs have them."""

  name = "mobilebert"
  title = "MobileBERT"
  config = MobileBertConfig
  has_hub_api = True
  transformers_defaults = {"hidden_act": "relu"}
  marks = re.compile(r"mobile_?bert|/bottleneck(_\w+)?/|kq_shared_bottleneck/")
  # After the canonical name: tf-models', which TF Hub's have, and Hugging
  # Face's.
  places = {
      "word_embeddings": (
          "mobile_bert_embedding/word_embedding", "embeddings/word_embeddings"),
      "position_embedding": (
          "mobile_bert_embedding/position_embedding",
          "embeddings/position_embeddings"),
      "type_embeddings": (
          "mobile_bert_embedding/type_embedding",
          "embeddings/token_type_embeddings"),
      "embedding_projection": (
          "mobile_bert_embedding/embedding_projection",
          "embeddings/embedding_transformation"),
      "embeddings/layer_norm": (
          "mobile_bert_embedding/embedding_norm", "embeddings/LayerNorm"),
      **{f"transformer/layer_{{i}}/{ours}": (
          f"layer_{{i}}/{models}", f"encoder/layer_{{i}}/{theirs}")
         for ours, models, theirs in (
             ("bottleneck_input", "bottleneck_input/dense",
              "bottleneck/input/dense"),
             ("bottleneck_input_layer_norm", "bottleneck_input/norm",
              "bottleneck/input/LayerNorm"),
             ("shared_bottleneck", "kq_shared_bottleneck/dense",
              "bottleneck/attention/dense"),
             ("shared_bottleneck_layer_norm", "kq_shared_bottleneck/norm",
              "bottleneck/attention/LayerNorm"),
             ("self_attention/query", "attention/query",
              "attention/self/query"),
             ("self_attention/key", "attention/key", "attention/self/key"),
             ("self_attention/value", "attention/value",
              "attention/self/value"),
             ("self_attention/attention_output", "attention/attention_output",
              "attention/output/dense"),
             ("self_attention_layer_norm", "attention/norm",
              "attention/output/LayerNorm"),
             *((f"ffn_{k}/{ours}", f"ffn_layer_{k}/{models}",
                f"ffn/{k}/{theirs}" if k < FEED_FORWARDS - 1 else theirs)
               for k in range(FEED_FORWARDS) for ours, models, theirs in (
                   ("intermediate", "intermediate_dense",
                    "intermediate/dense"),
                   ("output", "output_dense", "output/dense"),
                   ("layer_norm", "norm", "output/LayerNorm"))),
             ("bottleneck_output", "bottleneck_output/dense",
              "output/bottleneck/dense"),
             ("output_layer_norm", "bottleneck_output/norm",
              "output/bottleneck/LayerNorm"))},
      "pooler_transform": ("pooler", "pooler/dense")}

  def shapes(self, config: MobileBertConfig) -> dict[str, tuple[int, ...]]:
    hidden, narrow = config.hidden_size, config.intra_bottleneck_size
    heads, wide = config.num_attention_heads, config.intermediate_size
    head = (heads, narrow // heads)
    result: dict[str, tuple[int, ...]] = {
        "word_embeddings/embeddings":
            (config.vocab_size, config.embedding_size),
        "position_embedding/embeddings":
            (config.max_position_embeddings, hidden),
        "type_embeddings/embeddings": (config.type_vocab_size, hidden)}

    def dense(name: str, inputs: tuple[int, ...],
              outputs: tuple[int, ...]) -> None:
      result[f"{name}/kernel"] = (*inputs, *outputs)
      result[f"{name}/bias"] = outputs

    def norm(name: str, size: int) -> None:
      result[f"{name}/gamma"] = result[f"{name}/beta"] = (size,)

    dense("embedding_projection", (3 * config.embedding_size,), (hidden,))
    norm("embeddings/layer_norm", hidden)
    for layer in map(config.layer_name, range(config.num_hidden_layers)):
      for name in ("bottleneck_input", "shared_bottleneck"):
        dense(f"{layer}/{name}", (hidden,), (narrow,))
        norm(f"{layer}/{name}_layer_norm", narrow)
      attention = f"{layer}/self_attention"
      for name, size in (
          ("query", narrow), ("key", narrow), ("value", hidden)):
        dense(f"{attention}/{name}", (size,), head)
      dense(f"{attention}/attention_output", head, (narrow,))
      norm(f"{attention}_layer_norm", narrow)
      for name in (f"{layer}/ffn_{k}" for k in range(FEED_FORWARDS)):
        dense(f"{name}/intermediate", (narrow,), (wide,))
        dense(f"{name}/output", (wide,), (narrow,))
        norm(f"{name}/layer_norm", narrow)
      dense(f"{layer}/bottleneck_output", (narrow,), (hidden,))
      norm(f"{layer}/output_layer_norm", hidden)
    if config.classifier_activation:
      dense("pooler_transform", (hidden,), (hidden,))
    return result

  def read_config(self, values: Mapping[str, Any],
                  activations: Mapping[str | None, str]) -> EncoderConfig:
    for name, value in _PUBLISHED.items():
      if values.get(name, value) != value:
        raise InputError(f"{name} is {values[name]!r:.20}; only MobileBERTs "
                         f"where it is {value!r} are supported")
    return super().read_config(values, activations)

  def config_of_shapes(
      self, shape: Callable[..., tuple[int, ...]], num_layers: int,
      graph: GraphFacts) -> MobileBertConfig:
    layer = "transformer/layer_0"
    vocab_size, embedding_size = shape("word_embeddings/embeddings")
    positions, hidden_size = shape("position_embedding/embeddings")
    query = shape(f"{layer}/self_attention/query/kernel", (2, 3))
    try:
      has_pooler = bool(shape("pooler_transform/kernel"))
    except InputError:
      has_pooler = False
    return MobileBertConfig(
        vocab_size=vocab_size, hidden_size=hidden_size,
        num_hidden_layers=num_layers,
        num_attention_heads=(
            query[1] if len(query) == 3 else graph.num_attention_heads()),
        intermediate_size=shape(f"{layer}/ffn_0/intermediate/kernel")[1],
        hidden_act=graph.hidden_act(), max_position_embeddings=positions,
        type_vocab_size=shape("type_embeddings/embeddings")[0],
        embedding_size=embedding_size,
        intra_bottleneck_size=shape(f"{layer}/bottleneck_input/kernel")[1],
        classifier_activation=has_pooler)

  def encoder_class(self) -> type["MobileBertEncoder"]:
    from tf_adapters.modeling.encoders.mobilebert_layers import (
        MobileBertEncoder,
    )
    return MobileBertEncoder


MOBILEBERT = MobileBert()
