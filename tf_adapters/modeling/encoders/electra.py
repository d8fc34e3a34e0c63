"""ELECTRA (Clark et al. 2020): a BERT whose embeddings may be narrower.

Pretraining had no pooler. Files have none, or, on TF Hub, one that is the
identity; so it is the identity here. What is read is the discriminator.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from tf_adapters.modeling.encoders.bert import (
    BERT_NAMES,
    Bert,
    BertConfig,
)
from tf_adapters.modeling.encoders.family import EncoderConfig


@dataclasses.dataclass(frozen=True)
class ElectraConfig(BertConfig):
  """The architecture of an ELECTRA with narrower embeddings, as the small one.

  That of the base and large ones, without, is a `BertConfig`.

  Attributes:
    embedding_size: width of the embeddings.

  Example:
    >>> ElectraConfig(vocab_size=30522, hidden_size=256,
    ...               num_attention_heads=4, intermediate_size=1024)
  """

  family = "electra"

  embedding_size: int = 128

  @property
  def embedding_width(self) -> int:
    return self.embedding_size


class Electra(Bert):
  """ELECTRA, by the names of google-research/electra and Hugging Face."""

  name = "electra"
  title = "ELECTRA"
  config = ElectraConfig
  # TF Hub's say it by the projection alone.
  marks = re.compile(
      r"electra|discriminator_predictions|embedding_projection/"
      r"|embeddings_project/")
  beside = re.compile(r"^(generator|discriminator)")
  places = {**Bert.places, "embedding_projection": ("embeddings_project",)}
  may_lack_pooler = True
  torch_names = dataclasses.replace(
      BERT_NAMES, model="Electra", encoder="electra",
      text_head=("classifier.dense", "classifier.out_proj"),
      text_head_act="gelu", read_as=("bert",))

  def read_config(self, values: Mapping[str, Any],
                  activations: Mapping[str | None, str]) -> EncoderConfig:
    # In google-research/electra, too, it is the exact function.
    config = super().read_config(values, {**activations, "gelu": "gelu"})
    return _bert_if_as_wide(config)


def _bert_if_as_wide(config: Any) -> EncoderConfig:
  """Makes a BERT of an architecture whose embeddings are as wide as all else.
  """
  if config.embedding_size != config.hidden_size:
    return config
  values = config.to_dict()
  del values["embedding_size"]
  return BertConfig(**values)


ELECTRA = Electra()
