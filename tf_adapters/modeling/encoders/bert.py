"""BERT (Devlin et al. 2019): its architecture and names."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tf_adapters.errors import InputError
from tf_adapters.modeling.encoders.family import (
    EncoderConfig,
    EncoderFamily,
    GraphFacts,
    TorchNames,
)
from tf_adapters.modeling.encoders.transformer import (
    TransformerConfig,
    shapes,
    sizes_of_shapes,
)

if TYPE_CHECKING:
  from tf_adapters.modeling.encoders.bert_layers import BertEncoder


@dataclasses.dataclass(frozen=True)
class BertConfig(TransformerConfig):
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


BERT_NAMES = TorchNames("Bert", "bert", {
    "attention": "encoder/layer_{i}/attention/output",
    "output": "encoder/layer_{i}/output"})


class Bert(EncoderFamily):
  """BERT, by the names of TF Hub's BERT v3 and v4 SavedModels."""

  name = "bert"
  title = "BERT"
  config: type[BertConfig] = BertConfig
  has_hub_api = True
  torch_names: TorchNames | None = BERT_NAMES
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

  def shapes(self, config: TransformerConfig) -> dict[str, tuple[int, ...]]:
    return shapes(config)

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
      graph: GraphFacts) -> BertConfig:
    return self.config(
        num_hidden_layers=num_layers, hidden_act=graph.hidden_act(),
        layer_norm_eps=graph.layer_norm_eps(),
        **sizes_of_shapes(self.config, shape, graph))

  def encoder_class(self) -> type["BertEncoder"]:
    from tf_adapters.modeling.encoders.bert_layers import BertEncoder
    return BertEncoder


BERT = Bert()
