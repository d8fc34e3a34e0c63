"""Train and evaluate adapters on your own data: a CSV file is enough.

Examples:
  tf-adapters train --data=tickets.csv --text_column=ticket_text \\
      --label_column=team --encoder=minilm_l6
  tf-adapters train --data=reviews/ --problem_type=regression \\
      --label_column=stars --encoder=bert_base_uncased --output_dir=runs/stars
  tf-adapters train --data=ner.jsonl --problem_type=tagging \\
      --text_column=tokens --label_column=tags --encoder=bert_base_cased

Of one file, parts are held out for validation and test. What is not given suits
the data and the encoder. The adapter file is in output_dir/adapter:
tf-adapters predict labels other texts with it.
"""

import sys

from absl import flags

from tf_adapters.errors import say
from tf_adapters.tools import _command, _flags, _runs
from tf_adapters.training.own_run_config import OwnRunConfig
from tf_adapters.training.run_config import DEFAULT_ENCODER

_flags.define(OwnRunConfig)


def config_from_flags(
    values: flags.FlagValues = flags.FLAGS) -> OwnRunConfig:
  """Makes the run that the flags describe.

  Raises:
    InputError: data is not given.
  """
  _command.require("data", values=values)
  return _flags.read(OwnRunConfig, values)


def _run() -> None:
  config = config_from_flags()
  if _runs.is_finished(config):
    _runs.say_next(config)
    return
  if flags.FLAGS.output_dir is None:
    say(f"output_dir: {config.output_dir}")
  if config.encoder is None and config.do_train:
    say(f"encoder: {DEFAULT_ENCODER}, as none is given; --encoder=minilm_l6, "
        "of the extra demo, is several times as fast")
  # What comes now imports TensorFlow, which takes seconds.
  from tf_adapters.training.run import run
  run(config)
  _runs.say_next(config)


def main() -> None:
  """Runs `tf-adapters train`."""
  _command.run(sys.modules[__name__], _run, interrupted=_command.RESUMES,
               config=OwnRunConfig)
