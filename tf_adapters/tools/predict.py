"""Predict the texts of a file, for one task or many at once.

Examples:
  tf-adapters predict --adapter=runs/sst2/adapter --input=reviews.csv \\
      --output=predictions.csv
  echo "A moving film." | tf-adapters predict --adapter=runs/sst2/adapter \\
      --input=- --format=txt --output=-
  zcat texts.jsonl.gz | tf-adapters predict --encoder=bert_base_uncased \\
      --adapter=topic=runs/news/adapter,spam=runs/sms/adapter \\
      --task_column=task --input=- --format=jsonl --output=predictions.tsv

The input is read as tf-adapters train reads its data. --output is a file with
the ending .tsv, .csv or .jsonl, or - for standard output. It has a record for
each row: its line in the input, task, prediction and score, and the input's
columns behind them. A row without a text has an empty prediction. Without
--encoder it is the first adapter's.

It is written as OUTPUT.partial and renamed when it is whole. The same command
again goes on behind the last record of a run that was stopped.
"""

import dataclasses
import sys

from absl import flags

from tf_adapters.data.rows import INPUT_FORMATS
from tf_adapters.modeling.config import option_of
from tf_adapters.serving.batch_prediction import check, predict_file
from tf_adapters.serving.prediction_config import PredictionConfig
from tf_adapters.tools import _command, _flags
from tf_adapters.training.own_run_config import OwnRunConfig
from tf_adapters.training.run_config import RunConfig


@dataclasses.dataclass(frozen=True)
class _Options(OwnRunConfig):
  """The options that this tool shares with runs, with its own defaults."""

  # Predictions are joined to their rows: none is left out by itself. One
  # without a text has an empty prediction.
  on_bad_row: str = option_of(RunConfig, "on_bad_row")


_flags.define(
    _Options, *_flags.ENCODER, "text_column", "text_pair_column",
    "on_bad_row", "encoding", "delimiter", "overwrite", "mixed_precision")
_flags.use("adapter", "labels", "output")
flags.DEFINE_string(
    "input", None,
    "File of the texts, one a row, with the ending .csv, .tsv, .jsonl, .json, "
    ".ndjson or .parquet; or - for standard input. CSV and TSV begin with a "
    "header; in CSV cells may be quoted.")
flags.DEFINE_enum(
    "format", None, INPUT_FORMATS,
    "The input's format, for standard input and files of other endings: txt is "
    "a text on each line, without a header.")
flags.DEFINE_string(
    "task_column", None,
    "Name of the column that says which task a row is for. A single adapter "
    "needs none.")
flags.DEFINE_bool(
    "keep_columns", True, "Write the input's columns, too.")
flags.DEFINE_integer(
    "predict_batch_size", PredictionConfig.predict_batch_size,
    "Texts per forward pass.", lower_bound=1)


def _predict() -> None:
  _command.require("input", "output", "adapter")
  config = PredictionConfig(**{
      field.name: _flags.value(_Options, field.name)
      for field in dataclasses.fields(PredictionConfig)})
  check(config, _flags.infos())  # a bank takes its time
  _flags.check_encoder()
  predict_file(_flags.load_bank(_flags.bank_dtype()), config)


def main() -> None:
  """Runs `tf-adapters predict`."""
  _command.run(
      sys.modules[__name__], _predict,
      interrupted="interrupted; from file to file, the same command goes on "
      "behind the last record", config=_Options)
