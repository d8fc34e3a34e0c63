"""BERT: its architecture."""

import dataclasses

from tf_adapters.modeling.config import (
    ACTIVATIONS,
    JsonConfig,
    is_number,
    require,
)

_LARGEST_SIZE = 1 << 31

_SIZES = ("vocab_size", "hidden_size", "num_hidden_layers",
          "num_attention_heads", "intermediate_size",
          "max_position_embeddings", "type_vocab_size")


@dataclasses.dataclass(frozen=True)
class BertConfig(JsonConfig):
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

  def __post_init__(self):
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

  def sizes(self) -> tuple[int, ...]:
    """All that the shapes of its variables depend on."""
    return tuple(getattr(self, name) for name in _SIZES)
