"""Plans what a run takes on TPUs, by their own compiler and without one.

For each slice the training step and the evaluation step are compiled as its
replicas would compute them: whether that works, what memory it takes, and how
fast a step can be at best. How fast it is no compiler says.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

from tf_adapters.checkpoints.architecture import find_architecture
from tf_adapters.data.batching import batches_per_epoch
from tf_adapters.errors import InputError
from tf_adapters.modeling.encoders.table import family_of
from tf_adapters.modeling.layers import values_follow
from tf_adapters.modeling.task_layers import TaskLayers
from tf_adapters.modeling.task_model import TaskModel
from tf_adapters.problems import find_problem
from tf_adapters.training import step_programs, trainer
from tf_adapters.training.accelerators import Accelerator, parse_accelerator
from tf_adapters.training.defaults import default_epochs
from tf_adapters.training.plan_config import PlanConfig
from tf_adapters.training.run_config import DEFAULT_ENCODER, GlueRunConfig
from tf_adapters.training.tpu_compiler import CompilerError, Program

# Of tpu_compiler: HLO and a slice -> the program.
Compiler = Callable[[bytes, Accelerator], Program]


@dataclasses.dataclass(frozen=True)
class StepPlan:
  """A step on one of a slice's devices.

  Attributes:
    rows: of the device.
    length: of each, in wordpieces.
    program: what the compiler says; None where it refuses the step.
    error: why it does.
    ms_by_flops: what a step takes at least: if its products ran at the peak.
    ms_by_bytes: what all bytes take that the compiler counts, at the speed of
      HBM. Where a chip has a large memory of its own, as v5e and v6e, those
      are counted that are moved there, and read there; it can be less then.
      What replicas send each other is in neither.
  """

  rows: int
  length: int
  program: Program | None
  error: str | None
  ms_by_flops: float
  ms_by_bytes: float

  def to_dict(self) -> dict[str, Any]:
    """As JSON values."""
    result: dict[str, Any] = {
        "rows_per_replica": self.rows, "length": self.length,
        "compiles": self.program is not None, "error": self.error}
    if self.program is not None:
      result |= dataclasses.asdict(self.program) | {
          "memory": self.program.memory, "ms_by_flops": self.ms_by_flops,
          "ms_by_bytes": self.ms_by_bytes}
    return result


@dataclasses.dataclass(frozen=True)
class SlicePlan:
  """A run on a slice.

  Attributes:
    accelerator: the slice.
    training, evaluation: its steps.
    largest_batch: rows of the largest training batch that fits, over all
      replicas; None where it was not looked for, or none does.
    steps: of the whole run; None where the data is not known.
  """

  accelerator: Accelerator
  training: StepPlan
  evaluation: StepPlan
  largest_batch: int | None
  steps: int | None

  @property
  def seconds(self) -> tuple[float, float] | None:
    """The seconds of the run's training steps, by FLOPs and by bytes."""
    if self.steps is None or self.training.program is None:
      return None
    return (self.steps * self.training.ms_by_flops / 1e3,
            self.steps * self.training.ms_by_bytes / 1e3)

  def to_dict(self) -> dict[str, Any]:
    """As JSON values."""
    generation = self.accelerator.generation
    return {
        "accelerator": self.accelerator.name,
        "topology": self.accelerator.topology,
        "replicas": self.accelerator.replicas,
        "memory_of_device": generation.memory,
        "training": self.training.to_dict(),
        "evaluation": self.evaluation.to_dict(),
        "largest_train_batch_size": self.largest_batch,
        "steps": self.steps,
        "seconds_by_flops": self.seconds and self.seconds[0],
        "seconds_by_bytes": self.seconds and self.seconds[1]}


def plan(config: PlanConfig, compile_program: Compiler) -> Iterator[SlicePlan]:
  """Plans a run for one slice after another.

  Args:
    config: the run and the slices.
    compile_program: the compiler: `tpu_compiler.compile_program`.

  Raises:
    InputError: there can be no such run, or batches cannot be split over the
      replicas.

  Example:
    >>> for found in plan(PlanConfig(accelerator=("v2-8", "v5litepod-8")),
    ...                   compile_program):
    ...   print(found.training.ms_by_flops)
  """
  run = config.run_config()
  slices = [parse_accelerator(name) for name in config.accelerator or ()]
  for one in slices:
    if run.train_batch_size % one.replicas:
      raise InputError(
          f"train_batch_size={run.train_batch_size}: cannot be split over the "
          f"{one.replicas} replicas of {one.name}")
  problem_type, labels, examples = _data(config, run)
  found: dict[int, _Programs] = {}
  for one in slices:
    # Slices of as many replicas have the same programs.
    programs = found.setdefault(
        one.replicas, _Programs(
            run, problem_type, labels,
            config.max_seq_length or config.default_max_seq_length,
            one.replicas))
    yield _plan(run, one, programs, compile_program, examples,
                config.largest_batch)


def _plan(run: GlueRunConfig, accelerator: Accelerator, programs: "_Programs",
          compile_program: Compiler, examples: int | None,
          find_largest: bool) -> SlicePlan:

  @functools.cache
  def planned(kind: str, rows: int) -> StepPlan:
    program, error = None, None
    try:
      program = compile_program(programs.program(kind, rows), accelerator)
    except CompilerError as caught:
      error = str(caught)
    generation = accelerator.generation
    return StepPlan(
        rows, programs.length, program, error,
        program.flops / generation.flops * 1e3 if program else 0.0,
        program.bytes_accessed / generation.bandwidth * 1e3
        if program else 0.0)

  def memory(rows: int) -> int | None:
    program = planned("training", rows).program
    return None if program is None else program.memory

  rows = run.train_batch_size // accelerator.replicas
  largest = largest_rows(
      memory, rows, accelerator.generation.memory) if find_largest else 0
  return SlicePlan(
      accelerator, planned("training", rows), planned(
          "evaluation", max(run.eval_batch_size // accelerator.replicas, 1)),
      largest * accelerator.replicas or None,
      None if examples is None else _steps(run, examples))


def largest_rows(memory: Callable[[int], int | None], rows: int,
                 limit: int) -> int:
  """Finds how many rows fit into a device's memory; 0 if none does.

  What a step takes grows with its rows. Two sizes tell where it meets the
  limit; the compiler is asked once more whether it agrees.

  Args:
    memory: bytes that a step of so many rows takes; None: it does not fit.
    rows: to begin with.
    limit: bytes that there are.
  """
  while rows and memory(rows) is None:
    rows //= 2
  other = rows * 2
  if rows and memory(other) is None:
    rows, other = max(rows // 2, 1), rows
  low, high = memory(rows) if rows else None, memory(other) if rows else None
  if low is None or high is None:
    return 0
  if other == rows or high <= low:
    return other
  growth = (high - low) / (other - rows)
  fits = max(int(other + (limit - high) / growth), other)
  while fits > other:
    if fits >= 8:
      fits -= fits % 8
    if memory(fits) is not None:
      return fits
    fits = fits * 15 // 16
  return other


def _steps(run: GlueRunConfig, examples: int) -> int:
  """Counts the training steps of the whole run."""
  per_epoch = batches_per_epoch(examples, run.train_batch_size)
  return per_epoch * (run.num_train_epochs or default_epochs(per_epoch))


def _data(config: PlanConfig, run: GlueRunConfig,
          ) -> tuple[str, tuple[str, ...], int | None]:
  """Returns the type of problem, the labels, and the number of training rows.
  """
  if run.task_name:
    task = run.load_task()
    rows = len(task.split("train"))
    return (task.problem_type, task.labels,
            min(rows, run.max_train_examples or rows))
  problem = find_problem(config.problem_type)
  count = (config.num_labels or 2) if problem.has_labels else 0
  return (config.problem_type, tuple(map(str, range(count))),
          config.num_train_examples)


class _Programs:
  """The steps of a run on a number of replicas, as programs."""

  def __init__(self, run: GlueRunConfig, problem_type: str,
               labels: tuple[str, ...], length: int, replicas: int):
    self._run = run
    self._problem_type = problem_type
    self._labels = labels
    self._replicas = replicas
    self._programs: dict[tuple[str, int], bytes] = {}
    self.length = length

  @functools.cached_property
  def _model(self) -> TaskModel:
    run = self._run
    architecture, pooling = find_architecture(run.encoder or DEFAULT_ENCODER)
    if self.length > architecture.longest_text:
      raise InputError(
          f"max_seq_length={self.length}: the encoder has positions for "
          f"{architecture.longest_text} wordpieces")
    dtype = run.dtype(run.what_trains)
    with step_programs.Replicas(self._replicas).scope():
      with values_follow():
        encoder = family_of(architecture).encoder_class()(
            architecture,
            TaskLayers(architecture, run.method_config(), dtype=dtype),
            pooling=pooling, dtype=dtype)
      model = find_problem(self._problem_type).make_model(
          encoder, self._labels, run.pooling)
      model.tune(str(run.what_trains))
      trainer.compile_model(model, run, total_steps=1000)
    return model

  def program(self, kind: str, rows: int) -> bytes:
    """Makes the HLO of the "training" or the "evaluation" step."""
    if (kind, rows) not in self._programs:
      make = {"training": step_programs.training_program,
              "evaluation": step_programs.evaluation_program}[kind]
      self._programs[kind, rows] = make(self._model, rows, self.length)
    return self._programs[kind, rows]
