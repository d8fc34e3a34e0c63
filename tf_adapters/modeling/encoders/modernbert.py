"""ModernBERT (Warner et al. 2024): layer norms first, rotary positions.

Two of three layers see a window around each token, not the whole text. The
feed-forward is a gated one, and there are no biases.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tf_adapters.errors import InputError
from tf_adapters.modeling.config import ACTIVATIONS, is_number, require
from tf_adapters.modeling.encoders.family import EncoderConfig, EncoderFamily
from tf_adapters.modeling.encoders.transformer import TransformerConfig
from tf_adapters.modeling.methods.places import PROJECTION, Place

if TYPE_CHECKING:
  from tf_adapters.modeling.encoders.modernbert_layers import ModernBertEncoder

_LARGEST_SIZE = 1 << 31
# Hugging Face's name of a field -> ours; others are called the same.
_FIELDS = {"hidden_activation": "hidden_act", "norm_eps": "layer_norm_eps",
           "classifier_dropout": "hidden_dropout_prob"}
# Kinds of layers -> our fields of their rotary positions.
_BASES = {"full_attention": "global_rope_theta",
          "sliding_attention": "local_rope_theta"}
# What is not there; a configuration that has it is of another network.
_BIASES = ("norm_bias", "attention_bias", "mlp_bias")


@dataclasses.dataclass(frozen=True)
class ModernBertConfig(EncoderConfig):
  """The architecture of a ModernBERT (defaults: ModernBERT-base).

  Attributes:
    intermediate_size: width of the feed-forward behind its gate.
    global_attn_every_n_layers: layers 0, n, 2n, ... see the whole text.
    local_attention: of the others, how many tokens each sees, itself one.
    global_rope_theta, local_rope_theta: bases of the rotary positions.
    embedding_dropout, attention_dropout, mlp_dropout: dropout rates.
    hidden_dropout_prob: the dropout rate of what a head gets.

  Raises:
    InputError: a value is out of range.

  Example:
    >>> ModernBertConfig().longest_text
    8192
  """

  family = "modernbert"
  hooks = TransformerConfig.hooks

  vocab_size: int = 50368
  hidden_size: int = 768
  num_hidden_layers: int = 22
  num_attention_heads: int = 12
  intermediate_size: int = 1152
  hidden_act: str = "gelu"
  max_position_embeddings: int = 8192
  global_attn_every_n_layers: int = 3
  local_attention: int = 128
  global_rope_theta: float = 160000.0
  local_rope_theta: float = 10000.0
  layer_norm_eps: float = 1e-5
  embedding_dropout: float = 0.0
  attention_dropout: float = 0.0
  mlp_dropout: float = 0.0
  hidden_dropout_prob: float = 0.0

  def __post_init__(self) -> None:
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if field.type is int:
        require(type(value) is int and 0 < value < _LARGEST_SIZE,
                f"{field.name} must be a positive integer, not {value!r:.20}")
      elif "dropout" in field.name:
        require(is_number(value) and 0 <= value < 1,
                f"{field.name} must be in [0, 1), not {value!r:.20}")
      elif field.type is float:
        require(is_number(value) and value > 0,
                f"{field.name} must be positive, not {value!r:.20}")
    require(self.hidden_size % (2 * self.num_attention_heads) == 0,
            f"hidden_size {self.hidden_size} is not a multiple of twice "
            f"num_attention_heads {self.num_attention_heads}")
    require(self.hidden_act in ACTIVATIONS,
            f"hidden_act must be one of {', '.join(ACTIVATIONS)}, "
            f"not {self.hidden_act!r:.50}")

  @property
  def longest_text(self) -> int:
    return self.max_position_embeddings

  def sees_all(self, layer: int) -> bool:
    """Returns whether a layer sees the whole text, and not a window."""
    return layer % self.global_attn_every_n_layers == 0

  def widths_at(self, place: Place) -> tuple[int, int]:
    hidden, wide = self.hidden_size, self.intermediate_size
    return {(PROJECTION, "intermediate"): (hidden, 2 * wide),
            (PROJECTION, "output"): (wide, hidden)}.get(
                place[1:], super().widths_at(place))

  def function(self) -> str:
    return " ".join([self.family, *(
        f"{field.name}={getattr(self, field.name)!r}"
        for field in dataclasses.fields(self) if "dropout" not in field.name)])

  def description(self) -> dict[str, str]:
    return {
        "architecture": ", ".join([
            f"{self.num_hidden_layers} layers",
            f"hidden size {self.hidden_size}",
            f"{self.num_attention_heads} heads",
            f"gated intermediate size {self.intermediate_size}"]),
        "attention": f"every {self.global_attn_every_n_layers}. layer sees the "
                     f"whole text, others {self.local_attention} tokens",
        "activation": self.hidden_act,
        "layer norm epsilon": str(self.layer_norm_eps),
        "longest text": f"{self.max_position_embeddings} wordpieces",
    }


class ModernBert(EncoderFamily):
  """ModernBERT, as Hugging Face's safetensors have it.

  Layer norms of the files have no biases: here they are zeros, which a task can
  train.
  """

  name = "modernbert"
  title = "ModernBERT"
  config = ModernBertConfig
  marks = re.compile(r"(^|/)attn/Wqkv/|/mlp/Wi/")
  vocabularies = ("byte_pairs",)
  zeros = re.compile(r"layer_norm/beta$")
  places = {
      "word_embeddings": ("embeddings/tok_embeddings",),
      "embeddings/layer_norm": ("embeddings/norm",),
      "transformer/layer_{i}/self_attention_layer_norm": (
          "layer_{i}/attn_norm",),
      "transformer/layer_{i}/self_attention/query_key_value": (
          "layer_{i}/attn/Wqkv",),
      "transformer/layer_{i}/self_attention/attention_output": (
          "layer_{i}/attn/Wo",),
      "transformer/layer_{i}/output_layer_norm": ("layer_{i}/mlp_norm",),
      "transformer/layer_{i}/intermediate": ("layer_{i}/mlp/Wi",),
      "transformer/layer_{i}/output": ("layer_{i}/mlp/Wo",),
      "final_layer_norm": ("final_norm",),
  }

  def shapes(self, config: ModernBertConfig) -> dict[str, tuple[int, ...]]:
    hidden, wide = config.hidden_size, config.intermediate_size
    result: dict[str, tuple[int, ...]] = {
        "word_embeddings/embeddings": (config.vocab_size, hidden)}
    norms = ["embeddings/layer_norm", "final_layer_norm"]
    for layer in range(config.num_hidden_layers):
      prefix = f"transformer/layer_{layer}"
      result.update({
          f"{prefix}/self_attention/query_key_value/kernel":
              (hidden, 3 * hidden),
          f"{prefix}/self_attention/attention_output/kernel": (hidden, hidden),
          f"{prefix}/intermediate/kernel": (hidden, 2 * wide),
          f"{prefix}/output/kernel": (wide, hidden)})
      if layer:  # the embeddings' own stands before the first one
        norms.append(f"{prefix}/self_attention_layer_norm")
      norms.append(f"{prefix}/output_layer_norm")
    for norm in norms:
      result[f"{norm}/gamma"] = result[f"{norm}/beta"] = (hidden,)
    return result

  def as_matrix(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape

  def read_config(self, values: Mapping[str, Any],
                  activations: Mapping[str | None, str]) -> EncoderConfig:
    for name in _BIASES:
      if values.get(name):
        raise InputError(f"{name} is true; {self.title} has no biases")
    if values.get("rope_scaling") is not None:
      raise InputError("rope_scaling is not offered")
    given = dict(values)
    given["hidden_act"] = given.get("hidden_activation", "gelu")
    if given.get("local_rope_theta", 0) is None:
      given["local_rope_theta"] = given.get("global_rope_theta", 160000.0)
    for theirs, ours in _FIELDS.items():
      if theirs in values:
        given[ours] = values[theirs]
    # As transformers writes them from version 5 on.
    given |= _bases(values.get("rope_parameters"))
    if values.get("layer_types") is not None:
      given["global_attn_every_n_layers"] = _every(
          values["layer_types"], values.get(
              "global_attn_every_n_layers",
              ModernBertConfig.global_attn_every_n_layers))
    return super().read_config(given, activations)

  def encoder_class(self) -> type["ModernBertEncoder"]:
    from tf_adapters.modeling.encoders.modernbert_layers import (
        ModernBertEncoder,
    )
    return ModernBertEncoder


def _bases(parameters: Any) -> dict[str, Any]:
  """Returns the bases of rotary positions that are given.

  Raises:
    InputError: positions are not as they were in pretraining.
  """
  if parameters is None:
    return {}
  if not isinstance(parameters, Mapping) or parameters.keys() - _BASES or any(
      not isinstance(values or {}, Mapping) for values in parameters.values()):
    raise InputError(f"rope_parameters is {parameters!r:.60}; expected "
                     f"{' and '.join(_BASES)}, each with its rope_theta")
  bases = {}
  for kind, name in _BASES.items():
    values = parameters.get(kind) or {}
    rope_type = values.get("rope_type", "default")
    if rope_type != "default":
      raise InputError(
          f"rope_parameters: rope_type {rope_type!r:.40} is not offered")
    if "rope_theta" in values:
      bases[name] = values["rope_theta"]
  return bases


def _every(kinds: Any, stated: Any) -> int:
  """Returns n, where layers 0, n, 2n, ... see the whole text.

  Args:
    kinds: of the layers.
    stated: what n is said to be, which few layers do not tell.

  Raises:
    InputError: those are other layers.
  """
  whole, window = _BASES
  if isinstance(kinds, list) and kinds:
    for number in (stated, [*kinds, whole].index(whole, 1)):
      if type(number) is int and number > 0 and kinds == [
          window if layer % number else whole for layer in range(len(kinds))]:
        return number
  raise InputError(
      f"layer_types is {kinds!r:.60}; expected {whole} for every n-th layer, "
      f"from the first on, and {window} for the others")


MODERNBERT = ModernBert()
