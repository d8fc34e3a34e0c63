"""Prefix tuning (Li & Liang 2021): attention to tokens that are not there.

Each layer gets `length` keys and values of its own in front of those of the
text. Padding is none of theirs: tokens see all of them, and keep their
positions. Parameters in each layer: 2 l d, for a length l.
"""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from tf_adapters.modeling.config import MOST_LAYERS, option, parse_layers
from tf_adapters.modeling.methods.method import Method, Weights
from tf_adapters.modeling.methods.parts import (
    Array,
    Dense,
    Drop,
    Layers,
    Part,
    Values,
)
from tf_adapters.modeling.methods.places import ATTENTION


@dataclasses.dataclass(frozen=True)
class PrefixConfig(Method):
  """The prefixes of one task (Li & Liang 2021, section 4).

  In training a network makes the keys and values from a table of vectors, one
  for each token of the prefix: a layer of tanh that all layers of the encoder
  share, and a linear one for each of them (section 4.3 there). The paper found
  training to be unstable without it. What a trained network gives never
  changes. So adapter files and banks hold the keys and values alone, and a
  model that is loaded from a file is a flat one, which can be trained on.

  The defaults are AdapterHub's. Initial numbers have the spread of AdapterHub's
  and are Gaussian.

  Attributes:
    length: tokens of the prefix.
    flat: whether the keys and values are learned themselves.
    bottleneck_size: else, the width m of the network. It has l d + (d + 1) m
      parameters, and 2 (m + 1) d in each layer.
    dropout: dropout rate of keys and values.
    layers: numbers of the Transformer layers (from 0) that get prefixes, or
      None for all of them.

  Raises:
    InputError: a value is out of range.

  Example:
    >>> encoder = load_encoder("bert_base_uncased", PrefixConfig(
    ...     length=20, flat=True))
    >>> TextClassifier(encoder, ["no", "yes"]).summary_of_tuning().rows[
    ...     "prefixes"]
    (368640, 0)
  """

  name: ClassVar[str] = "prefix"
  suffix: ClassVar[str] = "prefix"
  hook: ClassVar[str] = ATTENTION
  row: ClassVar[str] = "prefixes"
  names: ClassVar[tuple[str, ...]] = ("attention",)

  length: int = option(
      30, "Tokens of the prefixes.", least=1, most=1 << 12)
  flat: bool = option(
      False, "Learn the prefixes themselves and not a network that they come "
      "from.")
  bottleneck_size: int = option(
      512, "Width of this network.", least=1, most=1 << 16)
  dropout: float = option(
      0.0, "Dropout rate of the prefixes.", least=0, below=1)
  layers: tuple[int, ...] | None = option(
      None, "Layers that get prefixes, counted from 0, such as 6-11 or "
      "0,5,8-11. (all)", least=0, most=MOST_LAYERS - 1, parse=parse_layers)

  @property
  def point(self) -> str:
    return str(self.length)

  @property
  def learning_rates(self) -> tuple[float, float]:
    # The network multiplies the steps of what it makes: with 3e-3 it diverges.
    return (1e-3, 3e-3) if self.flat else (3e-4, 1e-3)

  def shared_parts(self, hidden_size: int) -> dict[str, Part]:
    if self.flat:
      return {}
    return {"embeddings": Array((self.length, hidden_size), stddev=1.0),
            "hidden": Dense(hidden_size, self.bottleneck_size, "tanh",
                            (3 * hidden_size) ** -0.5)}

  def parts(self, inputs: int, outputs: int) -> dict[str, Part]:
    size = self.bottleneck_size
    part = (Array((self.length, outputs), stddev=1.0) if self.flat
            else Dense(size, outputs, stddev=(3 * size) ** -0.5))
    return {"keys": part, "values": part, "dropout": Drop(self.dropout)}

  def keys_and_values(self, layers: Layers, hidden: Any,
                      training: bool | None) -> tuple[Any, Any]:
    import tensorflow as tf

    def of_batch(name: str) -> tf.Tensor:
      if self.flat:
        rows = layers[name]()
      else:
        rows = layers[name](layers["hidden"](layers["embeddings"]()))
      rows = tf.broadcast_to(
          rows, [tf.shape(hidden)[0], self.length, hidden.shape[-1]])
      return layers["dropout"](rows, training=training)

    return of_batch("keys"), of_batch("values")

  def saved(self) -> "PrefixConfig":
    return dataclasses.replace(self, flat=True)

  def as_saved(self, values: Values) -> Values:
    if self.flat:
      return values
    hidden = np.tanh(values["embeddings/value"] @ values["hidden/kernel"]
                     + values["hidden/bias"])
    return {f"{name}/value": hidden @ values[f"{name}/kernel"]
                             + values[f"{name}/bias"]
            for name in ("keys", "values")}

  def kind(self) -> "PrefixConfig":
    return PrefixConfig(length=self.length, flat=True)

  def as_kind(self, values: Values, weights: Weights | None) -> Values:
    return self.as_saved(values)
