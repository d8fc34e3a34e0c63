"""DeBERTa-v3 (He et al. 2021): attention by content and by relative positions.

Positions are no part of the embeddings. One table of relative positions, in
buckets that grow with the distance, is seen by every layer through its own
queries and keys. There is no pooler: the pooled output is the first token's.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tf_adapters.errors import InputError
from tf_adapters.modeling.config import require
from tf_adapters.modeling.encoders.bert import Bert
from tf_adapters.modeling.encoders.family import EncoderConfig, EncoderFamily
from tf_adapters.modeling.encoders.transformer import TransformerConfig, shapes

if TYPE_CHECKING:
  from tf_adapters.modeling.encoders.deberta_layers import DebertaEncoder

# What Hugging Face's config.json has to say: version 3's, and the small ones of
# version 2 that are the same network.
_PUBLISHED = {
    "relative_attention": True, "position_biased_input": False,
    "share_att_key": True, "norm_rel_ebd": "layer_norm", "type_vocab_size": 0}
_RELATIVE = "relative_embeddings"


@dataclasses.dataclass(frozen=True)
class DebertaConfig(TransformerConfig):
  """The architecture of a DeBERTa-v3 (defaults: the sizes of the base one).

  Attributes:
    position_buckets: of distances to one side; half of them are exact.
    max_relative_positions: the distance that the last bucket begins at.

  Example:
    >>> DebertaConfig().longest_text
    512
  """

  family = "deberta-v2"  # as Hugging Face calls both versions
  has_pooler = False
  type_vocab_size = 0

  vocab_size: int = 128100
  hidden_size: int = 768
  num_hidden_layers: int = 12
  num_attention_heads: int = 12
  intermediate_size: int = 3072
  hidden_act: str = "gelu"
  max_position_embeddings: int = 512
  position_buckets: int = 256
  max_relative_positions: int = 512
  layer_norm_eps: float = 1e-7
  hidden_dropout_prob: float = 0.1
  attention_probs_dropout_prob: float = 0.1

  def __post_init__(self) -> None:
    super().__post_init__()
    require(2 <= self.position_buckets < 2 * self.max_relative_positions - 2,
            f"position_buckets {self.position_buckets} must be at least 2, and "
            f"less than twice max_relative_positions "
            f"{self.max_relative_positions}")

  def function(self) -> str:
    return (f"{super().function()} {self.family} "
            f"max_relative_positions={self.max_relative_positions}")


class Deberta(EncoderFamily):
  """DeBERTa-v3, as Hugging Face's safetensors have it."""

  name = "deberta-v2"
  title = "DeBERTa-v3"
  config = DebertaConfig
  marks = re.compile(r"/query_proj/")
  beside = re.compile(r"^(lm|mask)_predictions/")
  vocabularies = ("sentencepiece",)
  places = {
      **{place: others for place, others in Bert.places.items()
         if not place.startswith(("position", "type", "pooler"))},
      **{f"transformer/layer_{{i}}/self_attention/{part}": (
          f"encoder/layer_{{i}}/attention/self/{part}_proj",)
         for part in ("query", "key", "value")},
      _RELATIVE: ("encoder/rel_embeddings",)}
  # No task's own, as layer norms are: it is of all texts alike.
  variables = {
      f"{_RELATIVE}/norm/gamma": ("encoder/LayerNorm/weight",),
      f"{_RELATIVE}/norm/beta": ("encoder/LayerNorm/bias",)}

  def shapes(self, config: DebertaConfig) -> dict[str, tuple[int, ...]]:
    result = shapes(config)
    del result["position_embedding/embeddings"]
    hidden = config.hidden_size
    return {**result,
            f"{_RELATIVE}/embeddings": (2 * config.position_buckets, hidden),
            f"{_RELATIVE}/norm/gamma": (hidden,),
            f"{_RELATIVE}/norm/beta": (hidden,)}

  def read_config(self, values: Mapping[str, Any],
                  activations: Mapping[str | None, str]) -> EncoderConfig:
    for name, value in _PUBLISHED.items():
      if values.get(name) != value:
        raise InputError(f"{name} is {values.get(name)!r:.50}; only DeBERTas "
                         f"where it is {value!r}, as version 3, are supported")
    kinds = values.get("pos_att_type") or []
    if isinstance(kinds, str):
      kinds = kinds.split("|")
    if sorted(map(str, kinds)) != ["c2p", "p2c"]:
      raise InputError(f"pos_att_type is {kinds!r:.50}; only DeBERTas where it "
                       "is p2c and c2p are supported")
    if values.get("conv_kernel_size"):
      raise InputError("conv_kernel_size: DeBERTas with a convolution are not "
                       "offered")
    given = {name: value for name, value in values.items()
             if name != "max_relative_positions" or value != -1}
    given.setdefault("max_relative_positions",
                     given.get("max_position_embeddings", 512))
    return super().read_config(given, activations)

  def encoder_class(self) -> type["DebertaEncoder"]:
    from tf_adapters.modeling.encoders.deberta_layers import DebertaEncoder
    return DebertaEncoder


DEBERTA = Deberta()
