"""The spec of a sweep: tasks, methods with the settings to try, seeds."""

import dataclasses
import hashlib
import itertools
import math
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tf_adapters.training.own_run_config import OwnRunConfig
from tf_adapters.training.run_config import (
    GlueRunConfig,
    RunConfig,
    SquadRunConfig,
)

PRESETS = pathlib.Path(__file__).with_name("presets")
TOOLS: dict[str, type[RunConfig]] = {
    "train": OwnRunConfig, "glue": GlueRunConfig, "squad": SquadRunConfig}
MOST_TRIALS = 100_000


@dataclasses.dataclass(frozen=True)
class Range:
  """Numbers to draw from.

  Attributes:
    low, high: the bounds; whole numbers are drawn between whole numbers.
    log: whether logarithms are uniform, not the numbers.
  """

  low: int | float
  high: int | float
  log: bool


@dataclasses.dataclass(frozen=True)
class Method:
  """A way of tuning, with the settings that are tried of it.

  Attributes:
    values: flag -> the texts that are tried; or, in a random search, a range.
    draws: how many settings are drawn; None for all combinations.
    draw_seed: of the draws.
  """

  values: Mapping[str, Any]  # tuple[str, ...] | Range
  draws: int | None = None
  draw_seed: int = 0

  def count(self) -> int:
    """Counts the settings, with those that are drawn twice."""
    if self.draws is not None:
      return self.draws
    return math.prod(map(len, self.values.values()))

  def settings(self) -> Iterator[dict[str, str]]:
    """Yields the settings as flag -> text, in an order that keys do not change.
    """
    names = sorted(self.values)
    if self.draws is None:
      for values in itertools.product(*(self.values[name] for name in names)):
        yield dict(zip(names, values))
      return
    # Each flag has draws of its own, which other flags do not change.
    generators = {
        name: np.random.default_rng(list(
            hashlib.sha256(f"{self.draw_seed} {name}".encode()).digest()))
        for name in names}
    for _ in range(self.draws):
      yield {name: _draw(self.values[name], generators[name])
             for name in names}


@dataclasses.dataclass(frozen=True)
class Spec:
  """A sweep as it is written: see `spec_file.read_spec`.

  Attributes:
    source: what to call it in messages.
    tool: of the runs, one of `TOOLS`.
    flags: flag -> text, of every trial.
    tasks: task -> its own flags.
    seeds: of every setting, or of those that are selected.
    selection_seeds: those of them by which settings are selected.
    methods: method -> its settings.
    task_seeds: task -> its seeds, where it has others.
    task_values: task -> flag -> texts that are tried beside the task's own.
    given: flag -> text, as the command line has them; they are in `flags`, too.
  """

  source: str
  tool: str
  flags: Mapping[str, str]
  tasks: Mapping[str, Mapping[str, str]]
  seeds: tuple[int, ...]
  selection_seeds: tuple[int, ...]
  methods: Mapping[str, Method]
  task_seeds: Mapping[str, tuple[int, ...]] = dataclasses.field(
      default_factory=dict)
  task_values: Mapping[str, Mapping[str, tuple[str, ...]]] = dataclasses.field(
      default_factory=dict)
  given: Mapping[str, str] = dataclasses.field(default_factory=dict)

  def seeds_of(self, task: str) -> tuple[int, ...]:
    """Returns the seeds of a task."""
    return self.task_seeds.get(task, self.seeds)

  def settings_of(self, task: str) -> Iterator[dict[str, str]]:
    """Yields values that a task tries with every setting: flag -> text.

    The first is empty: the task's own flags. So trials keep their names when a
    task tries more.
    """
    values = self.task_values.get(task, {})
    for texts in itertools.product(*(
        (None, *values[name]) for name in sorted(values))):
      yield {name: text for name, text in zip(sorted(values), texts)
             if text is not None}

  def count(self) -> int:
    """Counts the trials, if every setting gets all seeds."""
    settings = sum(method.count() for method in self.methods.values())
    return settings * sum(
        len(self.seeds_of(task)) * math.prod(
            1 + len(texts) for texts in self.task_values.get(task, {}).values())
        for task in self.tasks)


def _draw(values: tuple[str, ...] | Range,
          generator: np.random.Generator) -> str:
  """Draws one of the texts, or a number from the range.

  Numbers that are not whole have three digits that count, as they become names
  of folders.
  """
  if not isinstance(values, Range):
    return values[generator.integers(len(values))]
  low, high = values.low, values.high
  whole = isinstance(low, int)
  if whole:
    # So that both ends come as often as what is between.
    low, high = low - 0.5, high + 0.5
  if values.log:
    value = math.exp(generator.uniform(math.log(low), math.log(high)))
  else:
    value = generator.uniform(low, high)
  value = round(value) if whole else float(f"{value:.3g}")
  return str(min(max(value, values.low), values.high))
