"""SavedModels that take strings and give labels, for TensorFlow Serving.

Tokenisation, the encoder, any number of tasks and the choice of labels in one
graph: a process with tensorflow and tensorflow_text can run it, without this
package. What a bank is, and which tasks it has, is not known here.
"""

import os
import pathlib
from collections.abc import Mapping, Sequence

import tensorflow as tf
from tensorflow_serving.apis import (
    model_pb2,
    predict_pb2,
    prediction_log_pb2,
)

from tf_adapters.errors import InputError
from tf_adapters.files.by_tensorflow import writing_by_tensorflow
from tf_adapters.files.writing import (
    SAVED_MODEL,
    check_vacant,
    new_folder,
    replaced_folder,
    writing,
)
from tf_adapters.modeling import compilation
from tf_adapters.modeling.task_model import TaskModel, check_is_task_model
from tf_adapters.modeling.text import TextProcessor
from tf_adapters.problems import find_problem
from tf_adapters.serving.served_graphs import (
    Forward,
    IdServer,
    ServedTask,
    Server,
    TextServer,
)

_WARM_UP_SIZES = (1, 8)

def export_model(model: TaskModel, path: str | os.PathLike[str],
                 max_length: int | None = None, pairs: bool | None = None,
                 overwrite: bool = False) -> pathlib.Path:
  """Writes a model as a SavedModel from raw strings, for TensorFlow Serving.

  Signatures: "serving_default" takes "text" and "text_pair", strings [batch];
  "single_texts" takes "text" alone. Both return "label" [batch], "scores" and
  "label_names" [batch, labels]: see `docs/guides/serving.md`.

  Args:
    model: a model on an encoder with a vocabulary; not a `SpanExtractor`.
    path: the version's folder ("serving/1"), or the folder that the next
      version is to be put into ("serving").
    max_length: longest sequence, in wordpieces; None for what `model.task`
      says, or `text_processor`'s default where that is not known.
    pairs: whether texts come in pairs; None for what the model knows, or else
      for either.
    overwrite: whether a version that is there is replaced.

  Returns:
    The version's folder.

  Raises:
    InputError: the version is there already, or the model cannot be served.

  Example:
    >>> export_model(ta.load_adapter("adapters/sst2"), "serving/sst2")
    PosixPath('serving/sst2/1')
  """
  check_is_task_model(model)
  text = model.encoder.text_processor(
      max_length or model.task.max_length)
  if not text.has_wordpieces:
    raise InputError("a model on whole texts cannot be served, as its module "
                     "is a SavedModel already")
  if pairs is None:
    pairs = find_problem(model.problem_type).takes_pairs(model.task.pairs)
  task = ServedTask(
      "", model.problem_type, model.labels, text.max_length, pairs,
      model.task.boundaries)
  what = "tokens" if model.per_token else "texts"

  def forward(inputs: Mapping[str, tf.Tensor],
              task_index: tf.Tensor) -> dict[str, tf.Tensor]:
    del task_index
    return {what: model(inputs)}

  return write_saved_model(
      forward, model.weights, text, [task], path, overwrite=overwrite)


def write_saved_model(forward: Forward, variables: Sequence[tf.Variable],
                      text: TextProcessor, tasks: Sequence[ServedTask],
                      path: str | os.PathLike[str],
                      default_task: str | None = None,
                      overwrite: bool = False) -> pathlib.Path:
  """Writes tasks as a SavedModel from raw strings.

  Args:
    forward: from an encoder's inputs and the number of each row's task, int32
      [batch], 1 for the first of `tasks`, to logits: "texts" [batch, labels]
      and "tokens" [batch, length, labels], as far as tasks have such.
    variables: all that `forward` uses.
    text: the encoder's text processor.
    tasks: all tasks; a single one without a name needs none from callers.
    path, overwrite: as for `export_model`.
    default_task: the task of rows whose task is unknown; None makes them an
      error.

  Returns:
    The version's folder.

  Raises:
    InputError: there is no task, a task cannot be served, or the version is
      there already.
  """
  if not tasks:
    raise InputError("nothing to export: there is no task")
  for task in tasks:
    if task.problem.outputs == "windows":
      raise InputError(
          f"task {task.name or task.problem_type}: answers are found in "
          "windows of a context, which a SavedModel cannot do: predict them in "
          "Python")
  names = [task.name for task in tasks]
  if default_task is not None and default_task not in names:
    raise InputError(f"default task {default_task!r} is not one of "
                     f"{', '.join(names)}")
  folder = _version(pathlib.Path(path), overwrite)
  written = replaced_folder if overwrite else new_folder
  server = (TextServer if text.vocabulary.in_graph else IdServer)(
      forward, variables, text, tasks, default_task)
  with writing_by_tensorflow(folder):
    try:
      with written(folder) as new, compilation.portable():
        tf.saved_model.save(server, str(new), signatures=server.signatures())
        _write_warm_up(new, tasks, server)
    except FileExistsError:
      raise InputError(f"{folder}: this version is there already") from None
  return folder


def _version(path: pathlib.Path, overwrite: bool) -> pathlib.Path:
  """Returns the folder of a new version: `path`, or the next number below it.
  """
  with writing(path):  # a name that is too long is said before all the work
    is_there = path.exists()
  if path.name.isdecimal():
    if is_there and not overwrite:
      raise InputError(f"{path}: this version is there already: without its "
                       f"number, {path.parent} gets the next one")
    check_vacant(path, SAVED_MODEL)
    return path
  if is_there and not path.is_dir():
    raise InputError(f"{path}: is a file, not a folder")
  versions = [int(entry.name) for entry in path.glob("*")
              if entry.name.isdecimal()]
  return path / str(max(versions, default=0) + 1)


def _write_warm_up(folder: pathlib.Path, tasks: Sequence[ServedTask],
                   server: Server) -> None:
  """Writes requests that TensorFlow Serving sends itself before all others.

  Where they have to lie and what they are is TensorFlow Serving's convention
  (SavedModel Warmup).
  """
  extra = folder / "assets.extra"
  extra.mkdir()
  with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as file:
    for size in _WARM_UP_SIZES:
      served = [tasks[row % len(tasks)] for row in range(size)]
      inputs = server.warm_up(served)
      if tasks[0].name:
        inputs["task"] = [task.name for task in served]
      file.write(prediction_log_pb2.PredictionLog(
          predict_log=prediction_log_pb2.PredictLog(
              request=predict_pb2.PredictRequest(
                  model_spec=model_pb2.ModelSpec(
                      signature_name="serving_default"),
                  inputs={name: tf.make_tensor_proto(values)
                          for name, values in inputs.items()}))
      ).SerializeToString())
