"""Train on SQuAD v1.1 or v2.0, answer questions and evaluate the answers.

Example:
  tf-adapters squad --flagfile=flags/squad.flags --encoder=bert_base_uncased \\
      --train_file=train-v1.1.json --predict_file=dev-v1.1.json

Without --encoder it is the saved adapter's, else bert_base_uncased.
"""

import sys

from absl import flags

from tf_adapters.tools import _command, _flags, _runs
from tf_adapters.training.run_config import SquadRunConfig

_flags.define(SquadRunConfig)


def config_from_flags(
    values: flags.FlagValues = flags.FLAGS) -> SquadRunConfig:
  """Makes the run that the flags describe.

  Raises:
    InputError: output_dir, or a file that is needed, is not given.
  """
  _command.require("output_dir", values=values)
  config = _flags.read(SquadRunConfig, values)
  if config.do_train:
    _command.require("train_file", values=values)
  if config.do_eval or config.do_predict:
    _command.require("predict_file", values=values)
  return config


def _run() -> None:
  config = config_from_flags()
  if _runs.is_finished(config):
    return
  # What comes now imports TensorFlow, which takes seconds.
  from tf_adapters.training.run import run
  run(config)


def main() -> None:
  """Runs `tf-adapters squad`."""
  _command.run(sys.modules[__name__], _run, interrupted=_command.RESUMES,
               config=SquadRunConfig)
