"""BERT with Talking-Heads Attention and gated feed-forwards (Shazeer 2020).

TF Hub has two of them. They were made by tf-models' `EncoderScaffold`.
"""

import dataclasses
import re
from typing import TYPE_CHECKING

from tf_adapters.modeling.encoders.bert import Bert, BertConfig
from tf_adapters.modeling.encoders.transformer import TransformerConfig, shapes

if TYPE_CHECKING:
  from tf_adapters.modeling.encoders.talking_heads_layers import (
      TalkingHeadsEncoder,
  )

_SCORES = ("pre_softmax_weight", "post_softmax_weight")


@dataclasses.dataclass(frozen=True)
class TalkingHeadsConfig(BertConfig):
  """The architecture of a BERT with talking heads and gated feed-forwards.

  Example:
    >>> TalkingHeadsConfig(vocab_size=30522).hidden_size
    768
  """

  family = "talking_heads"


class TalkingHeads(Bert):
  """Talking Heads and Gated GELU, by the names of tf-models' layers."""

  name = "talking_heads"
  title = "Talking Heads BERT"
  config = TalkingHeadsConfig
  marks = re.compile(r"/(pre|post)_softmax_weight$")
  torch_names = None  # transformers has none
  places = {
      **Bert.places,
      **{f"transformer/layer_{{i}}/{ours}": (f"layer_{{i}}/{theirs}",)
         for ours, theirs in {
             "self_attention/query": "self_attention/query",
             "self_attention/key": "self_attention/key",
             "self_attention/value": "self_attention/value",
             "self_attention/attention_output":
                 "self_attention/attention_output",
             "self_attention_layer_norm": "self_attention_layer_norm",
             "intermediate": "feedforward/intermediate_0",
             "gate": "feedforward/gate_0",
             "output": "feedforward/output_0",
             "output_layer_norm": "feedforward/output_layer_norm_0"}.items()},
      "pooler_transform": ("cls_transform",)}
  variables = {
      f"transformer/layer_{{i}}/self_attention/{name}":
      (f"layer_{{i}}/self_attention/{name}",) for name in _SCORES}

  def shapes(self, config: TransformerConfig) -> dict[str, tuple[int, ...]]:
    result = shapes(config)
    heads = config.num_attention_heads
    for layer in map(config.layer_name, range(config.num_hidden_layers)):
      for name in _SCORES:
        result[f"{layer}/self_attention/{name}"] = (heads, heads)
      for leaf in ("kernel", "bias"):
        result[f"{layer}/gate/{leaf}"] = result[f"{layer}/intermediate/{leaf}"]
    return result

  def encoder_class(self) -> type["TalkingHeadsEncoder"]:
    from tf_adapters.modeling.encoders.talking_heads_layers import (
        TalkingHeadsEncoder,
    )
    return TalkingHeadsEncoder


TALKING_HEADS = TalkingHeads()
