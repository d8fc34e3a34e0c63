"""The configuration of a training, which needs no TensorFlow."""

import dataclasses
import itertools

from tf_adapters.errors import InputError
from tf_adapters.modeling import class_weight
from tf_adapters.modeling.config import check_options, option
from tf_adapters.problems import PROBLEMS, find_problem

STRATEGIES = ("off", "one_device", "mirrored", "multi_worker_mirrored", "tpu")


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
  """Settings of a training; flags have the same names, and the help.

  Raises:
    InputError: a value is out of range.
  """

  learning_rate: float | None = option(
      None, "Highest learning rate of AdamW. (by --tuning, --method and the "
      "encoder's width: for bottleneck adapters 3e-4 on BERT-base and larger, "
      "else 1e-3; for full 3e-5, else 1e-4)", least=1e-12, most=1e3)
  num_train_epochs: int | None = option(
      None, "Passes over the training data; the best one by validation is "
      "kept. (3, or as many as make 300 steps, up to 50)", least=1,
      most=1_000_000)
  warmup_proportion: float = option(
      0.1, "Part of the steps during which the learning rate rises.", least=0,
      most=1)
  weight_decay: float = option(
      0.01, "Decoupled weight decay of the kernels.", least=0, most=1e3)
  train_batch_size: int = option(
      32, "Examples per training step, over all replicas.", least=1,
      most=1_000_000)
  eval_batch_size: int = option(
      64, "Examples per evaluation step, over all replicas.", least=1,
      most=1_000_000)
  seed: int = option(
      0, "Seed of initial weights, dropout and the order of the examples.",
      least=0, most=2**31 - 1)
  jit_compile: bool = option(False, "Compile the steps with XLA.")
  remat: bool = option(
      False, "Compute each Transformer layer again in the backward pass, "
      "rather than keep what it computed: less memory, more time, the same "
      "results.")
  steps_per_execution: int = option(
      1, "Steps between two looks at the loss, at Ctrl-C, at the progress bar "
      "and at whether a checkpoint is due. TPUs need many.",
      least=1, most=1_000_000)
  batch_widths: tuple[int, ...] | None = option(
      None, "Lengths that batches are padded to, in wordpieces; max_seq_length "
      "is always one. (8, 16, ..., 64, 80, ...; with --jit_compile 32, 64, "
      "128, ...)", least=1, most=512)
  eval_each_epoch: bool = option(
      True, "Evaluate after each epoch and keep the best one; without it the "
      "last one is kept.")
  best_metric: str | None = option(
      None, "The validation metric that selects the best epoch. (the task's "
      "first one)",
      choices=tuple(dict.fromkeys(itertools.chain.from_iterable(
          problem.best_metrics for problem in PROBLEMS.values()))))
  class_weight: str | None = option(
      None, "Weights of labels in the loss: balanced (rare labels weigh more), "
      "or such as spam:5,ham:1, where others weigh 1. (all the same)",
      check=class_weight.parse)
  early_stopping_epochs: int | None = option(
      None, "Epochs without a better validation score after which the training "
      "ends. (never)", least=1)
  save_checkpoints_steps: int = option(
      1000, "Steps between checkpoints to resume from; one is written after "
      "each epoch anyway.", least=1)
  prefix_cache: bool = option(
      False, "Compute the lowest layers once for each row and not in every "
      "epoch, if nothing trains in them (--adapter_layers of upper layers, "
      "--tuning=top_layers:K or head). They have no dropout then, so results "
      "differ a little from those without the flag.")
  prefix_cache_dir: str | None = option(
      None, "Folder that keeps the outputs of --prefix_cache for later runs on "
      "the same data and encoder, such as those of a sweep. Default: up to 1 "
      "GiB a split in memory, more in a file in --output_dir that ends with "
      "the run.")

  def __post_init__(self) -> None:
    check_options(self)

  @property
  def compiled(self) -> bool:
    """Whether every shape of a batch costs a compilation of the whole step."""
    return self.jit_compile


def check_best_metric(name: str, problem_type: str) -> None:
  """Refuses a metric that a type of problem does not have.

  Raises:
    InputError: so it is.
  """
  names = find_problem(problem_type).best_metrics
  if name not in names:
    raise InputError(f"best_metric={name} is not for {problem_type}, which has "
                     f"{', '.join(names)}")
