"""ALBERT (Lan et al. 2020): one layer's weights, computed many times.

Its embeddings are narrower than its layers. What a task adds is another one in
each layer; its layer norms, as all that is pretrained, are the same in all.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from tf_adapters.errors import InputError
from tf_adapters.modeling.encoders.bert import Bert, BertConfig
from tf_adapters.modeling.encoders.family import EncoderConfig, TorchNames
from tf_adapters.modeling.vocabulary import SpecialTokens

_HUGGING_FACE = "encoder/albert_layer_groups/0/albert_layers/0"
_GOOGLE = "encoder/transformer/group_0/inner_group_0"


@dataclasses.dataclass(frozen=True)
class AlbertConfig(BertConfig):
  """The architecture of an ALBERT (defaults: the sizes of ALBERT-base).

  Attributes:
    embedding_size: width of the embeddings.

  Example:
    >>> AlbertConfig(vocab_size=30000).num_hidden_layers
    12
  """

  family = "albert"
  shares_layers = True

  embedding_size: int = 128

  @property
  def embedding_width(self) -> int:
    return self.embedding_size


class Albert(Bert):
  """ALBERT, by the names of tf-models' encoder, which TF Hub's have."""

  name = "albert"
  title = "ALBERT"
  config = AlbertConfig
  marks = re.compile(
      r"albert|/inner_group_|(^|/)transformer/self_attention/"
      r"|embedding_hidden_mapping_in/")
  vocabularies = ("albert",)
  special_tokens = SpecialTokens(padding="<pad>", unknown="<unk>")
  transformers_defaults = {"hidden_act": "gelu_new", "num_attention_heads": 64}
  # Adapters after attention see there what goes into it.
  torch_names = TorchNames("Albert", "albert", {
      "output": f"{_HUGGING_FACE}/output_adapters"})
  # After the canonical name: Hugging Face's, and google-research/albert's.
  places = {
      **{place: others for place, others in Bert.places.items()
         if not place.startswith(("transformer/", "pooler"))},
      "embedding_projection": ("encoder/embedding_hidden_mapping_in",),
      **{f"transformer/{ours}": (
          f"{_HUGGING_FACE}/{theirs}", f"{_GOOGLE}/{googles}")
         for ours, theirs, googles in (
             ("self_attention/query", "attention/query",
              "attention_1/self/query"),
             ("self_attention/key", "attention/key", "attention_1/self/key"),
             ("self_attention/value", "attention/value",
              "attention_1/self/value"),
             ("self_attention/attention_output", "attention/dense",
              "attention_1/output/dense"),
             ("self_attention_layer_norm", "attention/LayerNorm", "LayerNorm"),
             ("intermediate", "ffn", "ffn_1/intermediate/dense"),
             ("output", "ffn_output", "ffn_1/intermediate/output/dense"),
             ("output_layer_norm", "full_layer_layer_norm", "LayerNorm_1"))},
      "pooler_transform": ("pooler", "pooler/dense"),
  }

  def read_config(self, values: Mapping[str, Any],
                  activations: Mapping[str | None, str]) -> EncoderConfig:
    for name in ("num_hidden_groups", "inner_group_num"):
      if values.get(name, 1) != 1:
        raise InputError(f"{name} is {values[name]!r:.20}; only ALBERTs whose "
                         "layers all share their weights are supported")
    return super().read_config(values, activations)


ALBERT = Albert()
