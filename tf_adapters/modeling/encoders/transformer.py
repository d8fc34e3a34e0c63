"""Parts that encoders with BERT's Transformer layers have in common.

Each sub-layer is followed by a layer norm, and attention and feed-forward are
those of BERT (`bert_layers`). Families differ in their embeddings, in names,
and in whether layers share their weights.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from tf_adapters.modeling.config import (
    ACTIVATIONS,
    MOST_LAYERS,
    is_number,
    require,
)
from tf_adapters.modeling.encoders.family import EncoderConfig, GraphFacts
from tf_adapters.modeling.methods.places import (
    ATTENTION,
    PROJECTION,
    PROJECTIONS,
    SUBLAYER,
    SUBLAYERS,
    Place,
)

_LARGEST_SIZE = 1 << 31


class TransformerConfig(EncoderConfig):
  """An architecture with BERT's Transformer layers: a frozen dataclass.

  Attributes:
    num_attention_heads, intermediate_size, hidden_act: of each layer;
      `hidden_act` is one of `ACTIVATIONS`, where "gelu" is the exact function.
    max_position_embeddings: rows of the table of positions.
    type_vocab_size: rows of the table of segments; 0 where there is none.
    attention_probs_dropout_prob: the dropout rate of attention weights.
    has_pooler: whether there is one; of the class.
    first_position: row of the table of positions for a text's first token; of
      the class.

  Raises:
    InputError: a size is not positive, the heads do not divide the hidden
      size, a probability is outside [0, 1), or the activation is unknown.
  """

  hooks = {*((SUBLAYER, name) for name in SUBLAYERS),
           *((PROJECTION, name) for name in PROJECTIONS),
           (ATTENTION, "attention")}
  has_pooler: ClassVar[bool] = True
  first_position: ClassVar[int] = 0

  num_attention_heads: int
  intermediate_size: int
  hidden_act: str
  max_position_embeddings: int
  type_vocab_size: int
  attention_probs_dropout_prob: float

  def __post_init__(self) -> None:
    for name, field in self.__dataclass_fields__.items():
      value = getattr(self, name)
      if field.type is int:
        require(type(value) is int and 0 < value < _LARGEST_SIZE,
                f"{name} must be a positive integer, not {value!r:.20}")
    require(self.hidden_size % self.num_attention_heads == 0,
            f"hidden_size {self.hidden_size} is not a multiple of "
            f"num_attention_heads {self.num_attention_heads}")
    require(not self.shares_layers or self.num_hidden_layers < MOST_LAYERS,
            f"num_hidden_layers must be below {MOST_LAYERS}, not "
            f"{self.num_hidden_layers}")
    require(self.hidden_act in ACTIVATIONS,
            f"hidden_act must be one of {', '.join(ACTIVATIONS)}, "
            f"not {self.hidden_act!r}")
    epsilon: Any = self.layer_norm_eps
    require("layer_norm_eps" not in self.__dataclass_fields__ or (
        is_number(epsilon) and 0 < epsilon < 1),
            f"layer_norm_eps must be positive and small, not {epsilon!r:.20}")
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
      require(is_number(getattr(self, name)) and 0 <= getattr(self, name) < 1,
              f"{name} must be in [0, 1), not {getattr(self, name)!r}")

  @property
  def embedding_width(self) -> int:
    """Width of the tables of embeddings.

    Where it is not the hidden size, a projection follows their layer norm.
    """
    return self.hidden_size

  @property
  def has_one_segment(self) -> bool:
    return self.type_vocab_size == 1

  @property
  def longest_text(self) -> int:
    return self.max_position_embeddings - self.first_position

  def widths_at(self, place: Place) -> tuple[int, int]:
    hidden, wide = self.hidden_size, self.intermediate_size
    return {(PROJECTION, "intermediate"): (hidden, wide),
            (PROJECTION, "output"): (wide, hidden)}.get(
                place[1:], super().widths_at(place))

  def function(self) -> str:
    # The others follow from the variables; not how often layers are computed.
    return f"{self.hidden_act} {self.layer_norm_eps!r}" + (
        f" {self.num_hidden_layers} layers" if self.shares_layers else "")

  def description(self) -> dict[str, str]:
    embeddings = [f"embeddings {self.embedding_width} wide"
                  ] if self.embedding_width != self.hidden_size else []
    return {
        "architecture": ", ".join([
            f"{self.num_hidden_layers} layers"
            + (" of the same weights" if self.shares_layers else ""),
            f"hidden size {self.hidden_size}", *embeddings,
            f"{self.num_attention_heads} heads",
            f"intermediate size {self.intermediate_size}"]),
        "activation": self.hidden_act,
        "layer norm epsilon": str(
            self.layer_norm_eps or "none: they scale and shift alone"),
        "longest text": f"{self.longest_text} wordpieces",
        "segments": str(self.type_vocab_size or "none"),
    }


def shapes(config: TransformerConfig) -> dict[str, tuple[int, ...]]:
  """Returns {canonical name: shape} of embeddings, layers and pooler."""
  hidden, width = config.hidden_size, config.embedding_width
  heads, wide = config.num_attention_heads, config.intermediate_size
  size = hidden // heads
  result: dict[str, tuple[int, ...]] = {
      "word_embeddings/embeddings": (config.vocab_size, width),
      "position_embedding/embeddings": (config.max_position_embeddings, width)}
  if config.type_vocab_size:
    result["type_embeddings/embeddings"] = (config.type_vocab_size, width)
  result["embeddings/layer_norm/gamma"] = (width,)
  result["embeddings/layer_norm/beta"] = (width,)
  if width != hidden:
    result["embedding_projection/kernel"] = (width, hidden)
    result["embedding_projection/bias"] = (hidden,)
  for prefix in dict.fromkeys(
      map(config.layer_name, range(config.num_hidden_layers))):
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
  if config.has_pooler:
    result["pooler_transform/kernel"] = (hidden, hidden)
    result["pooler_transform/bias"] = (hidden,)
  return result


def sizes_of_shapes(
    config: type[TransformerConfig], shape: Callable[..., tuple[int, ...]],
    graph: GraphFacts) -> dict[str, int]:
  """Reads fields of a configuration from the shapes of `shapes`.

  Args:
    config: its class.
    shape, graph: as for `EncoderFamily.config_of_shapes`.

  Raises:
    InputError: a tensor is missing or of an unusual shape, or nothing tells
      the number of heads.
  """
  layer = "transformer" if config.shares_layers else "transformer/layer_0"
  query = shape(f"{layer}/self_attention/query/kernel", (2, 3))
  vocab_size, embedding_size = shape("word_embeddings/embeddings")
  sizes = dict(
      vocab_size=vocab_size,
      hidden_size=query[0],
      num_attention_heads=(
          query[1] if len(query) == 3 else graph.num_attention_heads()),
      intermediate_size=shape(f"{layer}/intermediate/kernel")[1],
      max_position_embeddings=shape("position_embedding/embeddings")[0],
      type_vocab_size=shape("type_embeddings/embeddings")[0],
      embedding_size=embedding_size)
  return {name: size for name, size in sizes.items()
          if name in config.__dataclass_fields__}
