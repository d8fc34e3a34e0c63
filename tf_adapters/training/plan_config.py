"""The configuration of `tf-adapters plan`: a run's flags, and the TPUs."""

import dataclasses

from tf_adapters.errors import InputError
from tf_adapters.modeling.config import option, options
from tf_adapters.problems import PROBLEMS, find_problem
from tf_adapters.training.accelerators import parse_accelerator
from tf_adapters.training.run_checks import check
from tf_adapters.training.run_config import GlueRunConfig

# What is of a task's data, where that is not given.
_OF_DATA = ("num_labels", "num_train_examples")


def _check(names: tuple[str, ...]) -> None:
  for name in names:
    parse_accelerator(name)


@dataclasses.dataclass(frozen=True)
class PlanConfig(GlueRunConfig):
  """A run that is to be, and the TPUs that it could be on.

  Example:
    >>> PlanConfig(accelerator=("v2-8",), encoder="bert_large_uncased",
    ...            num_train_examples=67_349)
  """

  accelerator: tuple[str, ...] | None = option(
      None, "The TPUs, as Google Cloud calls them, with commas between them: "
      "v2-8, v3-8, v4-8, v5litepod-8, v5p-8, v6e-8, or larger slices.",
      check=_check)
  problem_type: str = option(
      "classification", "The type of problem, where no --task_name says it.",
      choices=tuple(PROBLEMS))
  num_labels: int | None = option(
      None, "Number of labels, where no --task_name says it. (2)",
      least=1, most=1_000_000)
  num_train_examples: int | None = option(
      None, "Rows to train on, where no --task_name says it. The least time of "
      "a whole run follows from them.", least=1)
  largest_batch: bool = option(
      True, "Find the largest training batch that fits, which takes two or "
      "three more compilations.")

  def __post_init__(self) -> None:
    super().__post_init__()
    given = [name for name in _OF_DATA if getattr(self, name) is not None]
    if self.task_name and given:
      raise InputError(
          f"{given[0]}: the data of task {self.task_name} says it: leave it "
          "out")
    if self.num_labels and not find_problem(self.problem_type).has_labels:
      raise InputError(f"num_labels: {self.problem_type} has no labels: leave "
                       "it out")

  @property
  def known_problem(self) -> str | None:
    return super().known_problem if self.task_name else self.problem_type

  def run_config(self) -> GlueRunConfig:
    """Makes the run on a TPU.

    Raises:
      InputError: there can be no such run.
    """
    values = {name: getattr(self, name) for name in options(GlueRunConfig)}
    if not self.task_name:
      values["problem_type"] = GlueRunConfig.problem_type
    values |= {"distribution_strategy": "tpu", "tpu": self.tpu or "local",
               "do_train": True, "output_dir": self.output_dir or "plan"}
    run = GlueRunConfig(**values)
    check(run)
    for name in ("text_network", "prefix_cache"):
      if getattr(run, name):
        raise InputError(f"{name}: is not planned for TPUs: leave it out")
    return run
