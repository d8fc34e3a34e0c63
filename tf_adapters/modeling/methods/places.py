"""Places in a Transformer layer where a method can enter."""

from typing import NamedTuple

# The hooks of an encoder, and the places in a Transformer layer that have them.
SUBLAYER = "sublayer"  # after a sub-layer, before its layer norm
PROJECTION = "projection"  # in the place of a dense layer
ATTENTION = "attention"  # further keys and values

SUBLAYERS = ("attention", "output")
PROJECTIONS = ("query", "key", "value", "attention_output", "intermediate",
               "output")


class Place(NamedTuple):
  """Where a method enters.

  Attributes:
    layer: number of the Transformer layer, from 0.
    hook: one of `SUBLAYER`, `PROJECTION` and `ATTENTION`.
    name: one of `SUBLAYERS`, or of `PROJECTIONS`; "attention" for `ATTENTION`.
  """

  layer: int
  hook: str
  name: str
