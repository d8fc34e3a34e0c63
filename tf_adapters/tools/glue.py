"""Train, evaluate and predict one text classification or regression task.

Examples:
  python run_glue.py --flagfile=flags/demo.flags
  python run_glue.py --flagfile=flags/glue/mrpc.flags --data_dir=glue_data \\
      --encoder=minilm_l6 --output_dir=runs/mrpc

Without --encoder it is the saved adapter's, else bert_base_uncased.
"""

import sys

from absl import flags

from tf_adapters.tools import _command, _flags, _runs
from tf_adapters.training.run_config import GlueRunConfig

_flags.define(GlueRunConfig)


def config_from_flags(
    values: flags.FlagValues = flags.FLAGS) -> GlueRunConfig:
  """Makes the run that the flags describe.

  Raises:
    InputError: task_name or output_dir is not given.
  """
  _command.require("task_name", "output_dir", values=values)
  return _flags.read(GlueRunConfig, values)


def _run() -> None:
  config = config_from_flags()
  if _runs.is_finished(config):
    return
  # What comes now imports TensorFlow, which takes seconds.
  from tf_adapters.training.run import run
  run(config)


def main() -> None:
  """Runs `run_glue.py` and `tf-adapters glue`."""
  _command.run(sys.modules[__name__], _run, interrupted=_command.RESUMES,
               config=GlueRunConfig)
