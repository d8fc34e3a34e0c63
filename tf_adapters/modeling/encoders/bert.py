"""BERT (Devlin et al. 2019): its architecture and names."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tf_adapters.errors import InputError
from tf_adapters.modeling.config import ACTIVATIONS, is_number, require
from tf_adapters.modeling.encoders.family import EncoderConfig, EncoderFamily
from tf_adapters.modeling.methods.method import (
    ATTENTION,
    PROJECTION,
    PROJECTIONS,
    SUBLAYER,
    SUBLAYERS,
    Place,
)

if TYPE_CHECKING:
  from tf_adapters.modeling.encoders.bert_layers import BertEncoder

_LARGEST_SIZE = 1 << 31

_SIZES = ("vocab_size", "hidden_size", "num_hidden_layers",
          "num_attention_heads", "intermediate_size",
          "max_position_embeddings", "type_vocab_size")


@dataclasses.dataclass(frozen=True)
class BertConfig(EncoderConfig):
  """The architecture of a BERT encoder (defaults: BERT-base).

  Field names are those of google-research/bert's bert_config.json;
  `hidden_act` is one of `ACTIVATIONS`, where "gelu" is the exact function.

  Raises:
    InputError: a size is not positive, the heads do not divide the hidden
      size, a probability is outside [0, 1), or the activation is unknown.

  Example:
    >>> BertConfig(vocab_size=30522).hidden_size
    768
  """

  family = "bert"
  hooks = {*((SUBLAYER, name) for name in SUBLAYERS),
           *((PROJECTION, name) for name in PROJECTIONS),
           (ATTENTION, "attention")}

  vocab_size: int
  hidden_size: int = 768
  num_hidden_layers: int = 12
  num_attention_heads: int = 12
  intermediate_size: int = 3072
  hidden_act: str = "gelu_tanh"
  max_position_embeddings: int = 512
  type_vocab_size: int = 2
  layer_norm_eps: float = 1e-12
  hidden_dropout_prob: float = 0.1
  attention_probs_dropout_prob: float = 0.1

  def __post_init__(self) -> None:
    for name in _SIZES:
      value = getattr(self, name)
      require(type(value) is int and 0 < value < _LARGEST_SIZE,
              f"{name} must be a positive integer, not {value!r:.20}")
    require(self.hidden_size % self.num_attention_heads == 0,
            f"hidden_size {self.hidden_size} is not a multiple of "
            f"num_attention_heads {self.num_attention_heads}")
    require(self.hidden_act in ACTIVATIONS,
            f"hidden_act must be one of {', '.join(ACTIVATIONS)}, "
            f"not {self.hidden_act!r}")
    require(is_number(self.layer_norm_eps) and 0 < self.layer_norm_eps < 1,
            "layer_norm_eps must be positive and small, not "
            f"{self.layer_norm_eps!r:.20}")
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
      require(is_number(getattr(self, name)) and 0 <= getattr(self, name) < 1,
              f"{name} must be in [0, 1), not {getattr(self, name)!r}")

  @property
  def longest_text(self) -> int:
    return self.max_position_embeddings

  def sizes(self) -> tuple[int, ...]:
    return tuple(getattr(self, name) for name in _SIZES)

  def widths_at(self, place: Place) -> tuple[int, int]:
    hidden, wide = self.hidden_size, self.intermediate_size
    return {(PROJECTION, "intermediate"): (hidden, wide),
            (PROJECTION, "output"): (wide, hidden)}.get(
                place[1:], super().widths_at(place))

  def function(self) -> str:
    return f"{self.hidden_act} {self.layer_norm_eps!r}"

  def description(self) -> dict[str, str]:
    return {
        "architecture": ", ".join([
            f"{self.num_hidden_layers} layers",
            f"hidden size {self.hidden_size}",
            f"{self.num_attention_heads} heads",
            f"intermediate size {self.intermediate_size}"]),
        "activation": self.hidden_act,
        "layer norm epsilon": str(self.layer_norm_eps),
        "longest text": f"{self.max_position_embeddings} wordpieces",
        "segments": str(self.type_vocab_size),
    }


class Bert(EncoderFamily):
  """BERT, by the names of TF Hub's BERT v3 and v4 SavedModels."""

  name = "bert"
  title = "BERT"
  config = BertConfig
  has_hub_api = True
  # After the canonical name: those in the TF1 release, which Hugging Face keeps
  # (with dots), and in TF Hub's v1 and v2 SavedModels.
  places = {
      "word_embeddings": ("embeddings/word_embeddings",),
      "position_embedding": (
          "embeddings/position_embeddings",
          "embedding_postprocessor/position_embeddings"),
      "type_embeddings": (
          "embeddings/token_type_embeddings",
          "embedding_postprocessor/type_embeddings"),
      "embeddings/layer_norm": (
          "embeddings/LayerNorm",
          "embedding_postprocessor/layer_norm"),
      "transformer/layer_{i}/self_attention/query": (
          "encoder/layer_{i}/attention/self/query",
          "encoder/layer_{i}/self_attention/query"),
      "transformer/layer_{i}/self_attention/key": (
          "encoder/layer_{i}/attention/self/key",
          "encoder/layer_{i}/self_attention/key"),
      "transformer/layer_{i}/self_attention/value": (
          "encoder/layer_{i}/attention/self/value",
          "encoder/layer_{i}/self_attention/value"),
      "transformer/layer_{i}/self_attention/attention_output": (
          "encoder/layer_{i}/attention/output/dense",
          "encoder/layer_{i}/self_attention_output",
          "transformer/layer_{i}/self_attention_output"),
      "transformer/layer_{i}/self_attention_layer_norm": (
          "encoder/layer_{i}/attention/output/LayerNorm",
          "encoder/layer_{i}/self_attention_layer_norm"),
      "transformer/layer_{i}/intermediate": (
          "encoder/layer_{i}/intermediate/dense",
          "encoder/layer_{i}/intermediate"),
      "transformer/layer_{i}/output": (
          "encoder/layer_{i}/output/dense",
          "encoder/layer_{i}/output"),
      "transformer/layer_{i}/output_layer_norm": (
          "encoder/layer_{i}/output/LayerNorm",
          "encoder/layer_{i}/output_layer_norm"),
      "pooler_transform": ("pooler/dense",),
  }

  def shapes(self, config: BertConfig) -> dict[str, tuple[int, ...]]:
    hidden = config.hidden_size
    heads = config.num_attention_heads
    size = hidden // heads
    wide = config.intermediate_size
    result = {
        "word_embeddings/embeddings": (config.vocab_size, hidden),
        "position_embedding/embeddings":
            (config.max_position_embeddings, hidden),
        "type_embeddings/embeddings": (config.type_vocab_size, hidden),
        "embeddings/layer_norm/gamma": (hidden,),
        "embeddings/layer_norm/beta": (hidden,),
    }
    for layer in range(config.num_hidden_layers):
      prefix = f"transformer/layer_{layer}"
      attention = f"{prefix}/self_attention"
      for part in ("query", "key", "value"):
        result[f"{attention}/{part}/kernel"] = (hidden, heads, size)
        result[f"{attention}/{part}/bias"] = (heads, size)
      result.update({
          f"{attention}/attention_output/kernel": (heads, size, hidden),
          f"{attention}/attention_output/bias": (hidden,),
          f"{prefix}/self_attention_layer_norm/gamma": (hidden,),
          f"{prefix}/self_attention_layer_norm/beta": (hidden,),
          f"{prefix}/intermediate/kernel": (hidden, wide),
          f"{prefix}/intermediate/bias": (wide,),
          f"{prefix}/output/kernel": (wide, hidden),
          f"{prefix}/output/bias": (hidden,),
          f"{prefix}/output_layer_norm/gamma": (hidden,),
          f"{prefix}/output_layer_norm/beta": (hidden,),
      })
    result["pooler_transform/kernel"] = (hidden, hidden)
    result["pooler_transform/bias"] = (hidden,)
    return result

  def read_config(self, values: Mapping[str, Any],
                  activations: Mapping[str | None, str]) -> EncoderConfig:
    positions = values.get("position_embedding_type", "absolute")
    if positions != "absolute":
      raise InputError(f"position_embedding_type is {positions!r}; BERT's is "
                       "'absolute'")
    if values.get("is_decoder") or values.get("add_cross_attention"):
      raise InputError("is a decoder; BERT is an encoder")
    return super().read_config(values, activations)

  def config_of_shapes(
      self, shape: Callable[..., tuple[int, ...]], num_layers: int,
      num_attention_heads: Callable[[], int] | None, hidden_act: str,
      layer_norm_eps: float) -> BertConfig:
    layer = "transformer/layer_0"
    vocab_size, hidden_size = shape("word_embeddings/embeddings")
    query = shape(f"{layer}/self_attention/query/kernel", (2, 3))
    if len(query) == 3:
      heads = query[1]
    elif num_attention_heads is not None:
      heads = num_attention_heads()
    else:
      raise InputError("nothing tells the number of attention heads: expected "
                       "bert_config.json beside it")
    return BertConfig(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        num_hidden_layers=num_layers,
        num_attention_heads=heads,
        intermediate_size=shape(f"{layer}/intermediate/kernel")[1],
        hidden_act=hidden_act,
        max_position_embeddings=shape("position_embedding/embeddings")[0],
        type_vocab_size=shape("type_embeddings/embeddings")[0],
        layer_norm_eps=layer_norm_eps)

  def encoder_class(self) -> type["BertEncoder"]:
    from tf_adapters.modeling.encoders.bert_layers import BertEncoder
    return BertEncoder


BERT = Bert()
