"""Tunings: rules on canonical variable names that say what trains.

The rule is applied to names each time that Keras asks for the trainable
variables, so nothing depends on when a tuning is chosen. Which variables exist
is the encoder's and the heads' business.
"""

import dataclasses
import re

from tf_adapters.errors import InputError
from tf_adapters.modeling.encoders.family import EncoderConfig
from tf_adapters.modeling.methods.method import Method
from tf_adapters.modeling.methods.table import method_of

TUNINGS = ("adapters", "full", "top_layers:K", "layer_norm", "bias", "head")
NETWORK = "network"  # of a `TextNetwork`, which has no other

# Follows the last layer, where layer norms come before the sub-layers.
_FINAL_NORM = "final_layer_norm/"
_LAYER = re.compile(r"transformer/layer_(\d+)/")
_SWITCH = re.compile(r"([+-])(layer_norms|pooler|embedding)")


def is_layer_norm(name: str) -> bool:
  """Returns whether a name is that of a gain or bias of BERT's layer norms."""
  return (name.endswith(("layer_norm/gamma", "layer_norm/beta"))
          and method_of(name) is None)


def kind_of(name: str) -> str:
  """Returns the row of a tuning table that a canonical variable name counts in.
  """
  method = method_of(name)
  if method is not None:
    return method.row
  if is_layer_norm(name):
    return "layer norms"
  if name.startswith("transformer/"):
    return "transformer layers"
  if name.startswith("pooler_transform/"):
    return "pooler"
  if name.startswith("head/"):
    return "head"
  if name.startswith("network/"):
    return "network"
  return "embeddings"


def layer_of(name: str) -> int | None:
  """Returns the number of the layer that a variable is in; None elsewhere."""
  layer = _LAYER.match(name)
  return int(layer[1]) if layer else None


def depth_of(name: str, num_layers: int) -> int:
  """Counts the Transformer layers below the variable of a canonical name.

  0 for the embeddings and their layer norm, `num_layers` for pooler and head.

  Example:
    >>> depth_of("transformer/layer_3/output/kernel", num_layers=12)
    3
  """
  layer = layer_of(name)
  if layer is not None:
    return layer
  return num_layers if name.startswith((
      _FINAL_NORM, "pooler_transform/", "head/")) else 0


@dataclasses.dataclass(frozen=True)
class Tuning:
  """One way to tune an encoder; the head of a task always trains.

  | name | trains in the encoder | source |
  |---|---|---|
  | adapters | what a method adds, with adapters layer norms | section 2.1 |
  | full | everything | BERT |
  | top_layers:K | the last K Transformer layers, the pooler | section 3.2 |
  | layer_norm | every layer norm | section 3.4 |
  | bias | every bias, layer norms' included | BitFit, Zaken et al. 2022 |
  | head | nothing | |

  With adapters in every layer, "adapters" trains every layer norm, that of the
  embeddings too, as in the paper. Where the lower layers have none, their layer
  norms and the embeddings' stay frozen with them: so the backward pass ends at
  the lowest adapter, and what lies below is a function of the base alone.

  Whatever the method, the layer norms and the pooler can be trained or frozen
  explicitly, all of them; a name such as "adapters+pooler-layer_norms" says so.
  A `TextNetwork` has neither: it is tuned by "network", or "network+embedding",
  which trains its embedding too.

  Attributes:
    method: the name without a number.
    top_layers: K of "top_layers:K", else 0.
    layer_norms, pooler, embedding: True to train, False to freeze, None for the
      method's.

  Example:
    >>> Tuning.parse("top_layers:2").trains(
    ...     "transformer/layer_10/output/kernel", num_layers=12)
    True
  """

  method: str
  top_layers: int = 0
  layer_norms: bool | None = None
  pooler: bool | None = None
  embedding: bool | None = None

  @classmethod
  def parse(cls, text: str, layer_norms: bool | None = None,
            pooler: bool | None = None,
            embedding: bool | None = None) -> "Tuning":
    """Reads a tuning's name: of `TUNINGS`, with a number for K, or `NETWORK`.

    Args:
      text: the name.
      layer_norms, pooler, embedding: as the attributes; they go before what
        `text` says.

    Raises:
      InputError: the name is unknown, K is not positive, or the method has not
        got what is to be trained or frozen.
    """
    name = re.split(r"[+-]", text, maxsplit=1)[0]
    method, colon, number = name.partition(":")
    if method == "no_bert":  # so version 0.1 called it
      method = NETWORK
    known = method in (*TUNINGS, NETWORK) and not colon
    if method == "top_layers" and colon:
      known = True
      if not re.fullmatch(r"0*[1-9]\d{0,8}", number, re.ASCII):
        raise InputError(f"tuning {text!r:.50}: K must be a positive number")
    switches = text[len(name):]
    if not known or _SWITCH.sub("", switches):
      raise InputError(
          f"tuning must be one of {', '.join(TUNINGS)}, not {text!r:.50}")
    told = {what: sign == "+" for sign, what in _SWITCH.findall(switches)}
    told |= {what: value for what, value in (
        ("layer_norms", layer_norms), ("pooler", pooler),
        ("embedding", embedding)) if value is not None}
    for what in told:
      if (what == "embedding") != (method == NETWORK):
        raise InputError(f"tuning {text!r:.50}: has no {what} to train or "
                         "freeze")
    if method == "layer_norm" and told.get("layer_norms") is False:
      raise InputError("tuning 'layer_norm' with the layer norms frozen")
    return cls(method, int(number or 0), **told)

  def __str__(self) -> str:
    text = self.method + (f":{self.top_layers}" if self.top_layers else "")
    for name in ("layer_norms", "pooler", "embedding"):
      if getattr(self, name) is not None:
        text += f"{'+' if getattr(self, name) else '-'}{name}"
    return text

  def check(self, config: EncoderConfig, method: Method | None) -> None:
    """Raises InputError where an encoder cannot be tuned like this."""
    if self.method == NETWORK:
      raise InputError(f"tuning '{self}' is that of a TextNetwork, not of a "
                       "pretrained encoder")
    if self.method == "adapters" and method is None:
      raise InputError(
          "tuning 'adapters' needs an encoder with adapters: load it with "
          "method=AdapterConfig(...)")
    if self.top_layers and config.shares_layers:
      raise InputError(
          f"tuning '{self}': the encoder's layers share their weights, so that "
          "the top ones cannot train alone")
    if self.top_layers > config.num_hidden_layers:
      raise InputError(
          f"tuning '{self}': the encoder has {config.num_hidden_layers} layers "
          "only")

  def trains(self, name: str, num_layers: int,
             inserted: Method | None = None) -> bool:
    """Returns whether the encoder variable of a canonical name trains.

    Args:
      name: of the variable.
      num_layers: of the encoder.
      inserted: the method that the encoder has.
    """
    if self.layer_norms is not None and is_layer_norm(name):
      return self.layer_norms
    if self.pooler is not None and kind_of(name) == "pooler":
      return self.pooler
    match self.method:
      case "full":
        return True
      case "adapters":
        if method_of(name):
          return True
        return (inserted is not None and inserted.trains_layer_norms
                and is_layer_norm(name)
                and depth_of(name, num_layers) >= inserted.first_layer)
      case "layer_norm":
        return is_layer_norm(name)
      case "bias":
        return name.endswith(("/bias", "/beta"))
      case "top_layers":
        layer = layer_of(name)
        if layer is not None:
          return layer >= num_layers - self.top_layers
        return kind_of(name) == "pooler" or name.startswith(_FINAL_NORM)
    return False

  def trains_base(self) -> bool:
    """Returns whether pretrained weights other than layer norms train."""
    return bool(self.pooler or self.embedding) or self.method in (
        "full", "bias", "top_layers")
