"""Say how good an adapter is on labelled texts, as a table and a picture.

Examples:
  tf-adapters evaluate --adapter=runs/tickets/adapter
  tf-adapters evaluate --adapter=runs/tickets/adapter --data=new_tickets.csv \\
      --text_column=ticket_text --label_column=team --output=new.png

Without --data it is the test split of the run of tf-adapters train that the
adapter lies in, or else its validation split. Of other data it is the test
file of a folder, or all rows of a file. Precision, recall and F1 of each label
are printed, and the mistakes that are surest; --mistakes is a file of all of
them. --output is a picture of the confusion matrix and the calibration. Files
that are there are replaced with --overwrite alone.
"""

import dataclasses
import pathlib
import sys
from typing import TYPE_CHECKING

from absl import flags

from tf_adapters.adapter_files.info import AdapterInfo, find_encoder_source
from tf_adapters.adapter_files.opening import open_adapter
from tf_adapters.checkpoints.hugging_face_hub import is_repository
from tf_adapters.data import rows
from tf_adapters.data.dataset import Dataset
from tf_adapters.errors import InputError, listed, say
from tf_adapters.files.writing import write_file, writing
from tf_adapters.tools import _command, _flags, train
from tf_adapters.tools._flag_reader import FlagReader
from tf_adapters.training.own_run_config import OwnRunConfig
from tf_adapters.training.run_data import check_unchanged
from tf_adapters.training.run_folder import read_flags

if TYPE_CHECKING:
  from tf_adapters.tasks.evaluation import Evaluation

_PICTURES = (".png", ".pdf", ".svg")
_MISTAKES = 5
# Splits that are judged -> what a run has done with their rows.
_DONE = {"test": "tested", "validation": "validated"}
# Of a run, for which the command line may say something else.
_READING = ("data", "text_column", "text_pair_column", "label_column",
            "label_separator", "delimiter", "encoding", "on_bad_row")

_flags.define(OwnRunConfig, *_READING, "encoder", "overwrite",
              "eval_batch_size")
_flags.use("adapter", "output", "labels")
flags.DEFINE_string(
    "mistakes", None, "File to write all mistakes to, the surest first, with "
    "the ending .csv, .tsv or .jsonl.")


def _evaluate() -> None:
  path, labels = _flags.found(_flags.one_adapter()), flags.FLAGS.labels
  info = open_adapter(path, labels).info
  picture, mistakes = _picture(path), _mistakes()
  config, run = _data_of(path, info)
  data = config.load_task(info.labels or None)
  if not any(map(len, data.splits.values())):
    known = f"; its labels are {listed(info.labels)}" if info.labels else ""
    raise InputError(f"{config.data}: no row that {path} can be judged by: "
                     f"{'; '.join(data.notes)}{known}")
  if run is not None:
    split = _held(data, run)
    check_unchanged(run, "--data takes another file, with rows that it has "
                    "not seen", split)
    say(f"data: the rows of {config.data} that its run has {_DONE[split]} on")
  if flags.FLAGS.encoder is not None:
    _flags.check_encoder()
  else:
    find_encoder_source(path, info)
  # What comes now imports TensorFlow, which takes seconds.
  from tf_adapters.tasks.text_task import TextTask
  for note in data.notes:
    say(f"data: {note}")
  task = TextTask.load(path, flags.FLAGS.encoder, labels=labels)
  evaluation = task.evaluate(data, flags.FLAGS.eval_batch_size)
  say(repr(evaluation))
  if evaluation.wrong:
    say("\nthe surest mistakes:")
    evaluation.print_mistakes(_MISTAKES)
  if mistakes is not None:
    _write_mistakes(evaluation, mistakes)
    say(f"mistakes: {mistakes}")
  with writing(picture):
    evaluation.plot().savefig(picture, bbox_inches="tight")
  say(f"picture: {picture}")


def _write_mistakes(evaluation: "Evaluation", path: pathlib.Path) -> None:
  """Writes all mistakes, the surest first, with their rows' numbers from 0."""
  format = rows.format_of(path)
  names = ["row", *evaluation.columns]
  index = evaluation.index
  with writing(path):
    write_file(path, rows.write_header(format, names) + b"".join(
        rows.write_row(format, {
            "row": row if index is None else index[row],
            **{name: list(values[row]) if isinstance(values[row], tuple)
               else values[row]
               for name, values in evaluation.columns.items()}})
        for row in evaluation.wrong))


def _picture(adapter: str) -> pathlib.Path:
  """Returns where the picture goes.

  Raises:
    InputError: it has another ending, or is there already.
  """
  given = flags.FLAGS.output
  if given is None:
    if is_repository(_flags.one_adapter()):
      _command.require("output")
    given = str(pathlib.Path(adapter).absolute().parent / "evaluation.png")
  picture = _flags.free(given)
  if picture.suffix.lower() not in _PICTURES:
    raise InputError(f"output {picture}: its name has to end in "
                     f"{', '.join(_PICTURES)}")
  return picture


def _mistakes() -> pathlib.Path | None:
  """Returns where mistakes go, if anywhere.

  Raises:
    InputError: it has another ending, or is there already.
  """
  given = flags.FLAGS.mistakes
  if given is None:
    return None
  rows.format_of(given)  # raises
  return _flags.free(given)


def _held(data: Dataset, run: pathlib.Path) -> str:
  """Returns the split on which a run has not trained.

  Raises:
    InputError: there is none.
  """
  for split in _DONE:
    if split in data.splits and data.splits[split].labels is not None:
      return split
  raise InputError(f"{data.origin}: the run in {run} has trained on all of its "
                   "rows: --data takes others")


def _data_of(adapter: str, info: AdapterInfo,
             ) -> tuple[OwnRunConfig, pathlib.Path | None]:
  """Chooses the rows to evaluate on: the run's own, or those of --data.

  Returns:
    Which rows, and the run's folder if they are its own.

  Raises:
    InputError: neither is known, or flags of the run are out of range.
  """
  given = {name: flags.FLAGS[name].value for name in _READING
           if not flags.FLAGS[name].using_default_value}
  folder = pathlib.Path(adapter).absolute().parent
  values = read_flags(folder) or {}
  run = FlagReader(train).config(values) if values.get("data") else None
  if run is not None and (
      "data" not in given or pathlib.Path(given["data"]).absolute()
      == pathlib.Path(run.data).absolute()):
    return dataclasses.replace(run, **{**given, "data": run.data}), folder
  _command.require("data")
  return OwnRunConfig(**{
      "problem_type": info.problem_type, "validation_fraction": 0.0,
      "test_fraction": 0.0, **given}), None


def main() -> None:
  """Runs `tf-adapters evaluate`."""
  _command.run(sys.modules[__name__], _evaluate, config=OwnRunConfig)
