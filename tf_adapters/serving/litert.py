"""Models for LiteRT (TensorFlow Lite): one task, token ids in, logits out."""

import os
import pathlib

import tensorflow as tf

from tf_adapters.errors import InputError
from tf_adapters.files.writing import write_file, writing
from tf_adapters.modeling import compilation
from tf_adapters.modeling.task_model import TaskModel, check_is_task_model


def export_litert(model: TaskModel, path: str | os.PathLike[str],
                  max_length: int | None = None,
                  quantize: bool = False,
                  overwrite: bool = False) -> pathlib.Path:
  """Writes a model as a LiteRT file.

  The file's "serving_default" takes "input_word_ids", "input_mask" and
  "input_type_ids", int32 [1, max_length], as `TextProcessor` makes them with
  `length=max_length`, and returns "logits" [1, labels], or [1, max_length,
  labels] for outputs for each token.

  Args:
    model: any model on an encoder.
    path: the file to write, ending in .tflite.
    max_length: length of all sequences, in wordpieces; None for the model's
      own, or `text_processor`'s default where that is not known.
    quantize: whether kernels become int8 (dynamic range quantisation): a
      quarter of the size; logits change in their first decimals.
    overwrite: whether a file that is there is replaced.

  Returns:
    The path.

  Raises:
    InputError: the model is none, the path ends otherwise, or is there
      already; or the encoder has no positions for sequences of that length, or
      reads whole texts.

  Example:
    >>> export_litert(ta.load_adapter("adapters/sst2"), "sst2.tflite")
  """
  check_is_task_model(model)
  path = pathlib.Path(path)
  if path.suffix != ".tflite":
    raise InputError(f"{path}: LiteRT files end in .tflite")
  with writing(path):
    if path.exists() and not (overwrite and path.is_file()):
      raise InputError(f"{path}: is there already: choose another output, or "
                       "overwrite it")
  if not path.parent.is_dir():
    raise InputError(f"{path.parent}: no such folder")
  text = model.encoder.text_processor(
      max_length or model.task.max_length)
  if not text.has_wordpieces:
    raise InputError("a model on whole texts cannot become a LiteRT file")
  max_length = text.max_length
  names = ("input_word_ids", "input_mask", "input_type_ids")

  @tf.function(input_signature=[
      tf.TensorSpec([1, max_length], tf.int32, name) for name in names])
  def call(input_word_ids: tf.Tensor, input_mask: tf.Tensor,
           input_type_ids: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"logits": model(dict(zip(
        names, (input_word_ids, input_mask, input_type_ids))))}

  # Of the model just its variables: the converter would write every layer.
  holder = tf.Module()
  holder.variables_of_model = model.weights
  with compilation.portable():
    function = call.get_concrete_function()
  converter = tf.lite.TFLiteConverter.from_concrete_functions(
      [function], holder)
  if quantize:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
  content = converter.convert()
  with writing(path):
    write_file(path, content)
  return path
