"""DistilBERT (Sanh et al. 2019): half of a BERT's layers, without segments.

There is no pooler either: its pooled output is the first token's.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tf_adapters.modeling.encoders.family import (
    EncoderConfig,
    EncoderFamily,
    TorchNames,
)
from tf_adapters.modeling.encoders.transformer import TransformerConfig, shapes

if TYPE_CHECKING:
  from tf_adapters.modeling.encoders.bert_layers import BertEncoder

# Hugging Face's name of a field -> ours; others are called the same.
_FIELDS = {
    "dim": "hidden_size", "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads", "hidden_dim": "intermediate_size",
    "activation": "hidden_act", "dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob"}


@dataclasses.dataclass(frozen=True)
class DistilBertConfig(TransformerConfig):
  """The architecture of a DistilBERT (defaults: distilbert-base).

  Example:
    >>> DistilBertConfig(vocab_size=30522).num_hidden_layers
    6
  """

  family = "distilbert"
  has_pooler = False
  type_vocab_size = 0

  vocab_size: int
  hidden_size: int = 768
  num_hidden_layers: int = 6
  num_attention_heads: int = 12
  intermediate_size: int = 3072
  hidden_act: str = "gelu"
  max_position_embeddings: int = 512
  layer_norm_eps: float = 1e-12
  hidden_dropout_prob: float = 0.1
  attention_probs_dropout_prob: float = 0.1


class DistilBert(EncoderFamily):
  """DistilBERT, by the names of Hugging Face."""

  name = "distilbert"
  title = "DistilBERT"
  config = DistilBertConfig
  has_hub_api = True
  marks = re.compile(r"distilbert|/q_lin/")
  torch_names = TorchNames(
      "DistilBert", "distilbert", {
          "attention": "transformer/layer_{i}/attention_adapters",
          "output": "transformer/layer_{i}/output_adapters"},
      prefixes="",  # what SDPA computes there is not what eager attention does
      text_head=("pre_classifier", "classifier"),
      text_head_act="relu")
  places = {
      "word_embeddings": ("embeddings/word_embeddings",),
      "position_embedding": ("embeddings/position_embeddings",),
      "embeddings/layer_norm": ("embeddings/LayerNorm",),
      **{f"transformer/layer_{{i}}/{ours}": (
          f"transformer/layer_{{i}}/{theirs}",) for ours, theirs in {
              "self_attention/query": "attention/q_lin",
              "self_attention/key": "attention/k_lin",
              "self_attention/value": "attention/v_lin",
              "self_attention/attention_output": "attention/out_lin",
              "self_attention_layer_norm": "sa_layer_norm",
              "intermediate": "ffn/lin1", "output": "ffn/lin2",
              "output_layer_norm": "output_layer_norm"}.items()}}

  def shapes(self, config: DistilBertConfig) -> dict[str, tuple[int, ...]]:
    return shapes(config)

  def read_config(self, values: Mapping[str, Any],
                  activations: Mapping[str | None, str]) -> EncoderConfig:
    return super().read_config(
        {_FIELDS.get(name, name): value for name, value in values.items()},
        activations)

  def encoder_class(self) -> type["BertEncoder"]:
    from tf_adapters.modeling.encoders.bert_layers import BertEncoder
    return BertEncoder


DISTILBERT = DistilBert()
