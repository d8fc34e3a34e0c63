"""The rule by which trials are stopped early.

It is ASHA (Li et al., MLSys 2020, arXiv:1810.05934): after so many epochs, and
again after several times as many, the best part of what has come as far goes
on. Ray's scheduler says which (`ray_runner`); `stopped` remembers it.
"""

import dataclasses
from collections.abc import Sequence

from tf_adapters.errors import InputError
from tf_adapters.experiments.spec import Spec
from tf_adapters.experiments.trials import Trial


@dataclasses.dataclass(frozen=True)
class Asha:
  """When trials that select are stopped.

  Attributes:
    grace_epochs: that every trial gets.
    reduction_factor: one in so many goes on, to so many times the epochs.
  """

  grace_epochs: int = 1
  reduction_factor: int = 4

  def stops(self, trial: Trial) -> bool:
    """Returns whether it can stop a trial before its last epoch."""
    config = trial.config
    return (trial.selects and config.eval_each_epoch
            and config.num_train_epochs is not None
            and config.num_train_epochs > self.grace_epochs)

  def check(self, spec: Spec, trials: Sequence[Trial]) -> None:
    """Raises InputError where trials do not compare, or none can be stopped."""
    if len(spec.selection_seeds) != 1:
      raise InputError(
          f"{spec.source}: selection_seeds: {len(spec.selection_seeds)} seeds, "
          "expected one: asha compares settings by a run of each")
    if any(trial.config.num_train_epochs is None for trial in trials):
      raise InputError(
          f"{spec.source}: asha compares trials by their epochs: give "
          "num_train_epochs")
    if not any(map(self.stops, trials)):
      raise InputError(
          f"{spec.source}: asha would stop nothing: no trial evaluates after "
          f"more than {self.grace_epochs} epochs")
