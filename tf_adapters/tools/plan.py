"""Say what a run takes on TPUs, by their own compiler: no TPU is needed.

Examples:
  tf-adapters plan --accelerator=v2-8,v5litepod-8 --mixed_precision=bfloat16 \\
      --encoder=bert_large_uncased --num_train_examples=67349
  tf-adapters plan --accelerator=v6e-8 --flagfile=flags/glue/mrpc.flags \\
      --flagfile=flags/tpu.flags --data_dir=glue_data --output=plan.json

The flags are those of a run (tf-adapters glue --help); without --task_name
--problem_type and --num_labels say what it is about. --encoder can be a
config.json or bert_config.json alone. --output is a file of JSON; one that is
there is replaced with --overwrite alone. The compiler comes with pip install
'tf_adapters[plan]'. What replicas send each other comes on top of both times.
"""

import json
import sys
from typing import TYPE_CHECKING

from absl import flags

from tf_adapters.errors import say
from tf_adapters.files.writing import write_file, writing
from tf_adapters.tools import _command, _flags
from tf_adapters.training import tpu_compiler
from tf_adapters.training.plan_config import PlanConfig
from tf_adapters.training.unread_flags import check_methods_read

if TYPE_CHECKING:
  from tf_adapters.training.tpu_plan import SlicePlan, StepPlan

_flags.define(PlanConfig)
_flags.use("output")

_GIB = 2**30
_HEADER = ("step", "rows", "compiles in", "memory", "program", "TFLOP",
           "GB accessed", "ms by FLOPs", "ms by bytes")


def _plan() -> None:
  _command.require("accelerator")
  config = _flags.read(PlanConfig)
  check_methods_read(config.run_config(), _command.typed())
  _flags.check_encoder()
  tpu_compiler.check_installed()
  output = flags.FLAGS.output and _flags.free(flags.FLAGS.output)
  # What comes now imports TensorFlow, which takes seconds.
  from tf_adapters.training.tpu_plan import plan
  found = []
  for slice_plan in plan(config, tpu_compiler.compile_apart):
    found.append(slice_plan.to_dict())
    _print(slice_plan)
    if output:
      with writing(output):
        write_file(output, json.dumps(found, indent=2) + "\n")


def _print(plan: "SlicePlan") -> None:
  accelerator = plan.accelerator
  steps = {"training": plan.training, "evaluation": plan.evaluation}
  replicas = accelerator.replicas
  say(f"{accelerator.name}: {replicas} replica{'s' * (replicas > 1)}, "
      f"{accelerator.generation.memory / _GIB:.0f} GiB each")
  _command.print_columns([
      _HEADER, *((name, *_cells(step)) for name, step in steps.items())])
  for name, step in steps.items():
    if step.error is not None:
      say(f"{name}: the compiler refuses it: {step.error}")
  if plan.training.program is not None:
    say("what the training step writes to memory:")
    _command.print_columns([
        (f"  {buffer.count} x {buffer.size / 1e6:.1f} MB", buffer.shape,
         buffer.operation) for buffer in plan.training.program.buffers])
  if plan.largest_batch is not None:
    say(f"largest training batch: {plan.largest_batch} rows")
  if plan.seconds is not None:
    by_flops, by_bytes = plan.seconds
    say(f"{plan.steps:,} training steps take at least {by_flops:,.1f} s by "
        f"FLOPs; by bytes {by_bytes:,.1f} s")
  print()


def _cells(step: "StepPlan") -> tuple[str, ...]:
  program = step.program
  shape = f"{step.rows} x {step.length}"
  if program is None:
    return (shape, "does not", *["-"] * (len(_HEADER) - 3))
  return (shape, f"{program.seconds:.0f} s", f"{program.memory / _GIB:.2f} GiB",
          f"{program.code / 1e6:.1f} MB", f"{program.flops / 1e12:.3f}",
          f"{program.bytes_accessed / 1e9:.2f}", f"{step.ms_by_flops:.2f}",
          f"{step.ms_by_bytes:.2f}")


def main() -> None:
  """Runs `tf-adapters plan`."""
  _command.run(sys.modules[__name__], _plan, config=PlanConfig)
