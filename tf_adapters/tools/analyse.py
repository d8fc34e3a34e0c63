"""Say what the adapters of each layer contribute, and which can be left out.

Examples:
  tf-adapters analyse --adapter=runs/mrpc/adapter --task_name=mrpc \\
      --data_dir=glue_data --output_dir=analysis/mrpc
  tf-adapters analyse --adapter=runs/mrpc/adapter --task_name=mrpc \\
      --data_dir=glue_data --output_dir=analysis/mrpc \\
      --max_loss=0.005 --save_pruned=adapters/mrpc-pruned

Nothing is trained. For every stretch of layers the task's metric is measured on
the validation split without the adapters in it: ablation.csv, ablation.json and
a heat map, ablation.png and ablation.pdf, in output_dir. Then it says which
adapters can be left out at a loss of at most max_loss: those of the lowest
layers, and those of any.

The adapter file says how texts are cut and pooled, and which encoder it is on
unless --encoder does.
"""

import math
import sys

from absl import flags

from tf_adapters.experiments.analysis_checks import PRUNINGS, check_analysis
from tf_adapters.modeling.config import options
from tf_adapters.tools import _command, _flags
from tf_adapters.training.run_config import GlueRunConfig, RunConfig

# Of the run that an evaluation is.
_OPTIONS = (
    *(options(GlueRunConfig).keys() - options(RunConfig).keys()),
    *_flags.ENCODER, "eval_batch_size", "mixed_precision", "on_bad_row",
    "encoding", "output_dir")

_flags.use("adapter")
_flags.define(GlueRunConfig, *_OPTIONS)
flags.DEFINE_float(
    "max_loss", 0.01,
    "Largest loss of the task's first metric on the validation split if "
    "adapters are left out. It is in the metric's own unit: 0.01 of an "
    "accuracy is 1 % of the rows.", lower_bound=0.0)
flags.register_validator("max_loss", math.isfinite, "must be a number")
flags.DEFINE_string(
    "save_pruned", None,
    "Adapter file to write, without the adapters that can be left out.")
flags.DEFINE_enum(
    "pruning", "greedy", PRUNINGS,
    "Adapters that --save_pruned leaves out: those of the lowest layers "
    "(lowest), or of any layers, one after the other, that cost least "
    "(greedy).")


def _analyse() -> None:
  _command.require("adapter", "task_name", "output_dir")
  values = flags.FLAGS
  config = GlueRunConfig(
      load_adapter=_flags.found(_flags.one_adapter()), do_eval=True,
      **{name: values[name].value for name in _OPTIONS})
  check_analysis(config, values.save_pruned, values.pruning)
  # What comes now imports TensorFlow, which takes seconds.
  from tf_adapters.experiments.analysis import analyse
  analysis = analyse(
      config, values.max_loss, values.save_pruned, values.pruning)
  _command.print_columns(analysis.table())
  for remark in analysis.remarks():
    print(remark)


def main() -> None:
  """Runs `tf-adapters analyse`."""
  _command.run(sys.modules[__name__], _analyse)
