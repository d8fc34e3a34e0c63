"""Say how good an adapter is on labelled texts, as a table and a picture.

Examples:
  tf-adapters evaluate --adapter=runs/tickets/adapter
  tf-adapters evaluate --adapter=runs/tickets/adapter --data=new_tickets.csv \\
      --text_column=ticket_text --label_column=team --output=new.png

Without --data it is the test split of the run of tf-adapters train that the
adapter lies in. Of other data it is the test file of a folder, or all rows of a
file. Precision, recall and F1 of each label are printed, and the mistakes that
are surest; --output is a picture of the confusion matrix and the calibration.
"""

import dataclasses
import pathlib
import sys

from absl import flags

from tf_adapters.adapter_files.info import AdapterInfo, find_encoder_source
from tf_adapters.adapter_files.opening import open_adapter
from tf_adapters.checkpoints.hugging_face_hub import is_repository
from tf_adapters.errors import InputError, listed, say
from tf_adapters.files.writing import writing
from tf_adapters.tools import _command, _flags, train
from tf_adapters.tools._flag_reader import FlagReader
from tf_adapters.training.own_run_config import OwnRunConfig
from tf_adapters.training.run_folder import read_flags

_PICTURES = (".png", ".pdf", ".svg")
_MISTAKES = 5
_LONGEST = 48  # characters of a text that is shown
# Of a run, for which the command line may say something else.
_READING = ("data", "text_column", "text_pair_column", "label_column",
            "label_separator", "delimiter", "encoding", "on_bad_row")

_flags.define(OwnRunConfig, *_READING, "encoder", "overwrite",
              "eval_batch_size")
_flags.use("adapter", "output", "labels")


def _evaluate() -> None:
  path, labels = _flags.found(_flags.one_adapter()), flags.FLAGS.labels
  info = open_adapter(path, labels).info
  picture = _picture(path)
  config = _data_of(path, info)
  data = config.load_task(info.labels or None)
  if not any(map(len, data.splits.values())):
    known = f"; its labels are {listed(info.labels)}" if info.labels else ""
    raise InputError(f"{config.data}: no row that {path} can be judged by: "
                     f"{'; '.join(data.notes)}{known}")
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
    names = list(evaluation.columns)
    _command.print_columns([names, *(
        [_cell(evaluation.columns[name][row]) for name in names]
        for row in evaluation.wrong[:_MISTAKES])])
  with writing(picture):
    evaluation.plot().savefig(picture, bbox_inches="tight")
  say(f"picture: {picture}")


def _cell(value: object) -> str:
  if isinstance(value, float):
    return f"{value:.4g}"
  text = ", ".join(value) if isinstance(value, tuple) else str(value)
  return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _picture(adapter: str) -> pathlib.Path:
  """Where the picture goes.

  Raises:
    InputError: it has another ending, or is there already.
  """
  given = flags.FLAGS.output
  if is_repository(_flags.one_adapter()):
    _command.require("output")
  picture = (pathlib.Path(adapter).absolute().parent / "evaluation.png"
             if given is None else pathlib.Path(given))
  if picture.suffix.lower() not in _PICTURES:
    raise InputError(f"output {picture}: its name has to end in "
                     f"{', '.join(_PICTURES)}")
  if not picture.parent.is_dir():
    raise InputError(f"output {picture}: there is no folder {picture.parent}")
  if given is not None and picture.exists() and not flags.FLAGS.overwrite:
    raise InputError(f"{picture}: is there already: choose another output, or "
                     "--overwrite this one")
  return picture


def _data_of(adapter: str, info: AdapterInfo) -> OwnRunConfig:
  """Chooses the rows to evaluate on: the run's own, or those of --data.

  Raises:
    InputError: neither is known, or flags of the run are out of range.
  """
  given = {name: flags.FLAGS[name].value for name in _READING
           if not flags.FLAGS[name].using_default_value}
  values = read_flags(pathlib.Path(adapter).absolute().parent) or {}
  run = FlagReader(train).config(values) if values.get("data") else None
  if run is not None and (
      "data" not in given or pathlib.Path(given["data"]).absolute()
      == pathlib.Path(run.data).absolute()):
    if pathlib.Path(run.data).is_file():
      say(f"data: the rows of {run.data} that its run has tested on")
    return dataclasses.replace(run, **{**given, "data": run.data})
  _command.require("data")
  return OwnRunConfig(**{
      "problem_type": info.problem_type, "validation_fraction": 0.0,
      "test_fraction": 0.0, **given})


def main() -> None:
  """Entry point of `tf-adapters evaluate`."""
  _command.run(sys.modules[__name__], _evaluate, config=OwnRunConfig)
