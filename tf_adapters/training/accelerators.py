"""TPUs by the names that Google Cloud gives them: what each has.

Peaks are those of Google's data sheets: of a core of v2 and v3, which is a
device of its own, and of a chip of the others.
"""

import dataclasses

from tf_adapters.errors import InputError, similar

_GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Generation:
  """One generation of TPUs.

  Attributes:
    name: of it, as the compiler has it.
    flops: bfloat16 FLOP/s of a device.
    bandwidth: bytes/s between a device and its memory.
    memory: bytes of HBM of a device.
    devices_per_chip: 2 where each core is one.
    counts_cores: whether names of slices count cores, of which a chip has two,
      and not chips.
    dimensions: of the net that connects chips.
    chips: how many a slice can have, at least and at most.
  """

  name: str
  flops: float
  bandwidth: float
  memory: int
  devices_per_chip: int
  counts_cores: bool
  dimensions: int
  chips: tuple[int, int]


# How names of slices begin -> their generation.
GENERATIONS = {
    "v2": Generation("v2", 22.5e12, 350e9, 8 * _GIB, 2, True, 2, (4, 256)),
    "v3": Generation("v3", 61.5e12, 450e9, 16 * _GIB, 2, True, 2, (4, 1024)),
    "v4": Generation("v4", 275e12, 1228e9, 32 * _GIB, 1, True, 3, (4, 2048)),
    "v5litepod": Generation(
        "v5e", 197e12, 819e9, 16 * _GIB, 1, False, 2, (1, 256)),
    "v5p": Generation("v5p", 459e12, 2765e9, 95 * _GIB, 1, True, 3, (4, 2048)),
    "v6e": Generation("v6e", 918e12, 1640e9, 32 * _GIB, 1, False, 2, (1, 256)),
}


@dataclasses.dataclass(frozen=True)
class Accelerator:
  """A slice of TPUs.

  Attributes:
    name: as Google Cloud has it, such as "v5litepod-8".
    generation: what its devices are.
    chips: how many there are.
  """

  name: str
  generation: Generation
  chips: int

  @property
  def replicas(self) -> int:
    """Devices, each of which computes a part of every batch."""
    return self.chips * self.generation.devices_per_chip

  @property
  def topology(self) -> str:
    """The arrangement of its chips, in the compiler's notation.

    Example:
      >>> parse_accelerator("v4-16").topology
      'v4:2x2x2'
    """
    doublings, dimensions = (
        self.chips.bit_length() - 1, self.generation.dimensions)
    sides = [2 ** ((doublings + place) // dimensions)
             for place in range(dimensions)]
    if dimensions == 3 and doublings < 3:  # flat, as a host's chips are
      sides.reverse()
    # The compiler counts three dimensions for all.
    return f"{self.generation.name}:" + "x".join(
        map(str, [*sides, *[1] * (3 - dimensions)]))


def parse_accelerator(name: str) -> Accelerator:
  """Returns the slice of a name.

  Raises:
    InputError: there is none of that name.

  Example:
    >>> parse_accelerator("v2-8").replicas
    8
  """
  kind, _, count = name.partition("-")
  generation = GENERATIONS.get(kind)
  if generation is None:
    near = "v5litepod" if kind == "v5e" else similar(
        kind, GENERATIONS, cutoff=0.3)
    hint = f": did you mean {near}-8?" if near else ""
    raise InputError(
        f"accelerator {name!r}: TPUs are called v2-8, v3-8, v4-8, v5litepod-8, "
        f"v5p-8, v6e-8 and so on{hint}")
  per_chip = 2 if generation.counts_cores else 1
  least, most = generation.chips
  sizes = [chips * per_chip for chips in (2**power for power in range(12))
           if least <= chips <= most and not (
               generation.dimensions == 2 and chips == 2)]
  if generation.name in ("v2", "v3"):
    sizes.remove(16)  # two hosts of four chips are no slice
  if count not in map(str, sizes):
    raise InputError(f"accelerator {name!r}: there is {kind}- followed by "
                     f"{', '.join(map(str, sizes))}")
  return Accelerator(name, generation, int(count) // per_chip)
