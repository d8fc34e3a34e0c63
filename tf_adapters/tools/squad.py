"""Train on SQuAD v1.1 or v2.0, answer questions and evaluate the answers.

Example:
  tf-adapters squad --flagfile=flags/squad.flags --encoder=bert_base_uncased \\
      --train_file=train-v1.1.json --predict_file=dev-v1.1.json

Without --encoder it is the saved adapter's, else bert_base_uncased.
"""

import math
import sys

from absl import flags

from tf_adapters.tools import _command, _run_flags
from tf_adapters.training.run_checks import check_start
from tf_adapters.training.run_config import SquadRunConfig

_DEFAULTS = SquadRunConfig()

flags.DEFINE_string(
    "train_file", _DEFAULTS.train_file,
    "JSON file of the questions to train on.")
flags.DEFINE_string(
    "predict_file", _DEFAULTS.predict_file,
    "JSON file of the questions to answer and, where it has answers, to "
    "evaluate on.")
flags.DEFINE_bool(
    "version_2_with_negative", _DEFAULTS.version_2_with_negative,
    "Questions may have no answer (SQuAD v2.0).")
flags.DEFINE_integer(
    "doc_stride", _DEFAULTS.doc_stride,
    "Wordpieces from one window of a long context to the next.", lower_bound=1)
flags.DEFINE_integer(
    "max_query_length", _DEFAULTS.max_query_length,
    "Longest question in wordpieces; longer ones are cut.", lower_bound=1)
flags.DEFINE_integer(
    "n_best_size", _DEFAULTS.n_best_size,
    "Candidates for an answer that are kept and written.", lower_bound=1)
flags.DEFINE_integer(
    "max_answer_length", _DEFAULTS.max_answer_length,
    "Longest answer in wordpieces.", lower_bound=1)
flags.DEFINE_float(
    "null_score_diff_threshold", _DEFAULTS.null_score_diff_threshold,
    "SQuAD v2.0: how much better than the best answer no answer has to score.")
flags.register_validator(
    "null_score_diff_threshold", math.isfinite, "must be a number")
flags.adopt_module_key_flags(_run_flags)


def config_from_flags(
    values: flags.FlagValues = flags.FLAGS) -> SquadRunConfig:
  """The run that the flags describe.

  Raises:
    InputError: output_dir, or a file that is needed, is not given.
  """
  _command.require("output_dir", values=values)
  config = SquadRunConfig(**_run_flags.values_of(SquadRunConfig, values))
  if config.do_train:
    _command.require("train_file", values=values)
  if config.do_eval or config.do_predict:
    _command.require("predict_file", values=values)
  return config


def _run() -> None:
  config = config_from_flags()
  check_start(config)  # what comes now imports TensorFlow, which takes seconds
  from tf_adapters.training.run import run
  run(config)


def main() -> None:
  """Entry point of `tf-adapters squad`."""
  _command.run(sys.modules[__name__], _run, interrupted=_command.RESUMES)
