"""RoBERTa (Liu et al. 2019) and XLM-RoBERTa (Conneau et al. 2020).

They are BERT's network. Positions are counted from 2, there are no segments,
and texts are split otherwise: by byte-level BPE, and by SentencePiece with
fairseq's ids.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

from tf_adapters.errors import InputError
from tf_adapters.modeling.config import require
from tf_adapters.modeling.encoders.bert import (
    BERT_NAMES,
    Bert,
    BertConfig,
)
from tf_adapters.modeling.encoders.family import EncoderConfig, GraphFacts
from tf_adapters.modeling.vocabulary import SpecialTokens


@dataclasses.dataclass(frozen=True)
class RobertaConfig(BertConfig):
  """The architecture of a RoBERTa encoder (defaults: RoBERTa-base).

  Fields are those of `BertConfig`; the first two of `max_position_embeddings`
  are no text's.

  Raises:
    InputError: as for `BertConfig`.

  Example:
    >>> RobertaConfig(vocab_size=50265).longest_text
    512
  """

  family = "roberta"
  first_position = 2  # fairseq counts on from the id of <pad>

  hidden_act: str = "gelu"
  max_position_embeddings: int = 514
  type_vocab_size: int = 1
  layer_norm_eps: float = 1e-5

  def __post_init__(self) -> None:
    super().__post_init__()
    require(self.longest_text > 0,
            f"max_position_embeddings {self.max_position_embeddings} leaves no "
            "position for texts: they are counted from 2")

  def function(self) -> str:
    return f"{super().function()} {self.family}"


@dataclasses.dataclass(frozen=True)
class XlmRobertaConfig(RobertaConfig):
  """The architecture of an XLM-RoBERTa encoder: see `RobertaConfig`."""

  family = "xlm-roberta"


_TORCH_NAMES = dataclasses.replace(
    BERT_NAMES, model="Roberta", encoder="roberta",
    text_head=("classifier.dense", "classifier.out_proj"))


class Roberta(Bert):
  """RoBERTa, as Hugging Face's safetensors have it."""

  name = "roberta"
  title = "RoBERTa"
  config = RobertaConfig
  marks = re.compile(r"(^|/)roberta/")
  has_hub_api = False
  vocabularies = ("byte_pairs",)
  special_tokens = SpecialTokens(
      "<s>", "</s>", ("</s>", "</s>"), "<pad>", "<unk>", "<mask>",
      segments=False)
  transformers_defaults = {"layer_norm_eps": 1e-12}
  torch_names = _TORCH_NAMES

  def read_config(self, values: Mapping[str, Any],
                  activations: Mapping[str | None, str]) -> EncoderConfig:
    padding = values.get("pad_token_id", 1)
    if padding != 1:
      raise InputError(
          f"pad_token_id is {padding!r:.20}; {self.title}'s is 1, from which "
          "positions are counted")
    return super().read_config(values, activations)

  def config_of_shapes(
      self, shape: Callable[..., tuple[int, ...]], num_layers: int,
      graph: GraphFacts) -> BertConfig:
    # Nor do they tell a RoBERTa from an XLM-RoBERTa.
    raise InputError("the tensors do not tell the architecture: expected "
                     "config.json beside them")


class XlmRoberta(Roberta):
  """XLM-RoBERTa, as Hugging Face's safetensors have it."""

  name = "xlm-roberta"
  title = "XLM-RoBERTa"
  config = XlmRobertaConfig
  vocabularies = ("fairseq",)
  torch_names = dataclasses.replace(_TORCH_NAMES, model="XLMRoberta")


ROBERTA = Roberta()
XLM_ROBERTA = XlmRoberta()
