"""How to train: a configuration that is known without TensorFlow."""

import dataclasses

from tf_adapters.errors import InputError
from tf_adapters.problems import find_problem

STRATEGIES = ("off", "one_device", "mirrored", "multi_worker_mirrored", "tpu")


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
  """How to train; the names are the flags'.

  Attributes:
    learning_rate: the highest one; None for what suits the tuning and the
      encoder: see `defaults`.
    num_train_epochs: passes over the training split; None for as many as suit
      its size.
    warmup_proportion: part of the steps during which the rate rises.
    weight_decay: decoupled decay of kernels.
    train_batch_size, eval_batch_size: rows per batch, over all replicas.
    seed: of the order of the examples.
    jit_compile: whether steps are compiled with XLA.
    steps_per_execution: steps between two looks of the host at a training: at
      the loss, a signal, the progress bar, or whether to write a checkpoint.
    batch_widths: that batches are padded to; None for many, or few where each
      of them costs a compilation.
    eval_each_epoch: whether to evaluate after each epoch and keep the best;
      without it the last one is kept.
    best_metric: the metric of which the best epoch has most; None for the
      task's first one.
    class_weight: what labels weigh in the loss: "balanced", or label:weight,
      several with commas between; None: all the same.
    early_stopping_epochs: the training ends when so many epochs after the best
      one were no better; None: after all epochs.
    save_checkpoints_steps: steps between checkpoints to resume from; one is
      written after each epoch anyway.
    prefix_cache: whether what the lowest layers make of each row is computed
      once, without dropout, where they are frozen: see `prefix_cache`.
    prefix_cache_dir: where files of it are kept for other runs.
  """

  learning_rate: float | None = None
  num_train_epochs: int | None = None
  warmup_proportion: float = 0.1
  weight_decay: float = 0.01
  train_batch_size: int = 32
  eval_batch_size: int = 64
  seed: int = 0
  jit_compile: bool = False
  steps_per_execution: int = 1
  batch_widths: tuple[int, ...] | None = None
  eval_each_epoch: bool = True
  best_metric: str | None = None
  class_weight: str | None = None
  early_stopping_epochs: int | None = None
  save_checkpoints_steps: int = 1000
  prefix_cache: bool = False
  prefix_cache_dir: str | None = None

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
