"""The numbers of a model's parameters that train, as a table and as JSON."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tf_adapters.modeling.methods.table import METHODS


@dataclasses.dataclass(frozen=True)
class TuningSummary:
  """The numbers of parameters that train and that are frozen, by kind.

  Attributes:
    tuning: the tuning's name.
    rows: kind -> (trained, frozen).
  """

  tuning: str
  rows: Mapping[str, tuple[int, int]]

  @property
  def trained(self) -> int:
    return sum(trained for trained, _ in self.rows.values())

  @property
  def total(self) -> int:
    return sum(sum(row) for row in self.rows.values())

  @property
  def percent(self) -> float:
    """Trained parameters in per cent of all."""
    return 100 * self.trained / self.total

  @property
  def base(self) -> int:
    """Parameters that are pretrained: not a method's, a network's, a head's.

    Nor those of layers that a subclass of a model adds.
    """
    added = {method.row for method in METHODS.values()} | {
        "network", "head", "own layers"}
    return sum(sum(row) for kind, row in self.rows.items() if kind not in added)

  @property
  def percent_of_base(self) -> float:
    """Trained parameters of a task as the paper counts them (table 1)."""
    return 100 * self.trained / self.base

  def times_base(self, num_tasks: int) -> float:
    """Returns the size of a number of such tasks, in pretrained encoders.

    As the paper counts (tables 1 and 2): one frozen encoder for all, and for
    each task what it trained; where all of the encoder is trained, as many
    encoders as tasks.
    """
    shared = any(frozen for _, frozen in self.rows.values())
    return shared + num_tasks * self.trained / self.base

  def to_dict(self) -> dict[str, Any]:
    """Returns the counts as JSON values; `times_base` for 1, 9 and 17 tasks."""
    return {
        "trained": self.trained, "total": self.total,
        "percent": round(self.percent, 4), "base": self.base,
        "percent_of_base": round(self.percent_of_base, 4),
        "times_base": {str(count): round(self.times_base(count), 4)
                       for count in (1, 9, 17)}}

  def __str__(self) -> str:
    methods = [row for row in self.rows
               if row in {method.row for method in METHODS.values()}]
    # Every method is tuned by "adapters".
    lines = [f"tuning: {self.tuning}"
             + (f", with {' and '.join(methods)}"
                if methods not in ([], ["adapters"]) else ""),
             f"{'':20}{'trained':>14}{'frozen':>14}"]
    for kind, (trained, frozen) in self.rows.items():
      lines.append(f"{kind:20}{trained:14,}{frozen:14,}")
    lines.append(f"{'all':20}{self.trained:14,}{self.total - self.trained:14,}")
    lines.append(f"trained: {self.percent:.2f} % of {self.total:,} parameters")
    if "transformer layers" in self.rows:  # there is an encoder to share
      lines.append(
          f"that is {self.percent_of_base:.2f} % of the pretrained encoder")
    return "\n".join(lines)

  __repr__ = __str__
