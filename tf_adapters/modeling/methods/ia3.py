"""IA3 (Liu et al. 2022): learned factors of what projections see or give.

They begin as ones, so a fresh model is exactly the encoder. Parameters at each
place: its width.
"""

import dataclasses
from typing import Any, ClassVar

from tf_adapters.modeling.config import (
    MOST_LAYERS,
    option,
    parse_layers,
    require,
)
from tf_adapters.modeling.methods.method import (
    BaseProjection,
    Method,
    Preset,
    Weights,
)
from tf_adapters.modeling.methods.parts import Array, Layers, Part, Values
from tf_adapters.modeling.methods.places import PROJECTION, PROJECTIONS, Place


@dataclasses.dataclass(frozen=True)
class IA3Config(Method):
  """The factors of one task (Liu et al. 2022, section 3.3).

  A projection gives `o * (W (i * x) + b)`, where o and i are vectors, or one of
  them is left out. The input of the feed-forward's second projection is the
  output of its activation.

  Attributes:
    scaled_outputs: projections whose outputs are multiplied, before the
      activation: some of `places.PROJECTIONS`, or None.
    scaled_inputs: projections whose inputs are, or None.
    layers: numbers of the Transformer layers (from 0) that get factors, or None
      for all of them.

  | preset | outputs | inputs |
  |---|---|---|
  | paper | key, value | output |
  | peft | key, value | attention_output, output: PEFT's for BERT |
  | adapterhub | key, value, intermediate | |

  Raises:
    InputError: a value is out of range, or nothing is multiplied.

  Example:
    >>> encoder = load_encoder("bert_base_uncased", IA3Config())
    >>> TextClassifier(encoder, ["no", "yes"]).summary_of_tuning().rows["IA3"]
    (55296, 0)
  """

  name: ClassVar[str] = "ia3"
  suffix: ClassVar[str] = "ia3"
  hook: ClassVar[str] = PROJECTION
  row: ClassVar[str] = "IA3"
  PRESETS: ClassVar[dict[str, Preset]] = {
      "paper": Preset("keys, values and the activated feed-forward", {}),
      "peft": Preset("the output of attention, too", {
          "scaled_inputs": ("attention_output", "output")}),
      "adapterhub": Preset("the feed-forward before its activation", {
          "scaled_outputs": ("key", "value", "intermediate"),
          "scaled_inputs": None}),
  }

  scaled_outputs: tuple[str, ...] | None = option(
      ("key", "value"), "Projections whose outputs IA3 multiplies.",
      choices=PROJECTIONS)
  scaled_inputs: tuple[str, ...] | None = option(
      ("output",), "Projections whose inputs IA3 multiplies.",
      choices=PROJECTIONS)
  layers: tuple[int, ...] | None = option(
      None, "Layers that get IA3's factors, counted from 0, such as 6-11 or "
      "0,5,8-11. (all)", least=0, most=MOST_LAYERS - 1, parse=parse_layers)

  def __post_init__(self) -> None:
    super().__post_init__()
    require(bool(self.names), "ia3 scaled_outputs and scaled_inputs: one of "
            "them has to name projections")

  @property
  def names(self) -> tuple[str, ...]:
    scaled = {*(self.scaled_outputs or ()), *(self.scaled_inputs or ())}
    return tuple(name for name in PROJECTIONS if name in scaled)

  @property
  def learning_rates(self) -> tuple[float, float]:
    return 3e-3, 1e-2

  def at(self, place: Place) -> "IA3Config":
    outputs, inputs = ((place.name,) if place.name in (scaled or ()) else None
                       for scaled in (self.scaled_outputs, self.scaled_inputs))
    return IA3Config(scaled_outputs=outputs, scaled_inputs=inputs)

  def parts(self, inputs: int, outputs: int) -> dict[str, Part]:
    sides = (("output_scale", self.scaled_outputs, outputs),
             ("input_scale", self.scaled_inputs, inputs))
    return {name: Array((width,), 1.0, neutral=1.0)
            for name, scaled, width in sides if scaled}

  def at_projection(self, layers: Layers, projection: BaseProjection,
                    inputs: Any, training: bool | None) -> Any:
    if self.scaled_inputs:
      inputs = layers["input_scale"]()[:, None] * inputs
    outputs = projection(inputs)
    if self.scaled_outputs:
      outputs = layers["output_scale"]()[:, None] * outputs
    return outputs

  def fold(self, values: Values, weights: Weights) -> Weights:
    kernel, bias = weights
    if self.scaled_inputs:
      kernel = values["input_scale/value"][:, None] * kernel
    if self.scaled_outputs:
      kernel = kernel * values["output_scale/value"]
      bias = bias * values["output_scale/value"]
    return Weights(kernel, bias)
