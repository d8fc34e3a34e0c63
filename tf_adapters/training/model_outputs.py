"""Computes a model's outputs for rows, each once and in their order."""

import math
from typing import Any

import numpy as np
import tf_keras

from tf_adapters.data import batching
from tf_adapters.modeling.task_model import TaskModel
from tf_adapters.progress import progress_bar
from tf_adapters.training.training_config import TrainingConfig


def widths_of(config: TrainingConfig) -> tuple[int, ...]:
  """Returns `batch_widths` of a configuration, or what is best without."""
  if config.batch_widths is not None:
    return config.batch_widths
  return batching.FEW_WIDTHS if config.compiled else batching.WIDTHS


def predict(
    model: TaskModel, encoded: batching.Encoded,
    config: TrainingConfig) -> Any:
  """Computes the model's outputs for every row once, in the rows' order.

  Replicas get equal parts of every batch: the last one is filled up, as far as
  they need or to its full size where steps are compiled, and what comes of
  these rows is dropped.

  Args:
    model: the model; all workers of its strategy have to ask.
    encoded: the rows.
    config: has their number in a batch, and widths.

  Returns:
    float32 [rows, outputs]; for a model with outputs for each token a list of
    arrays [length, outputs], where length is at least the row's.
  """

  def inputs_alone(inputs: Any, labels: Any = None) -> Any:
    return inputs

  replicas = model.distribute_strategy.num_replicas_in_sync
  batch_size = max(config.eval_batch_size // replicas, 1) * replicas
  batches = (encoded, batch_size, widths_of(config),
             batch_size if config.compiled else replicas)
  with progress_bar(
      "predicting", math.ceil(len(encoded) / batch_size), "batches",
      leave=False) as bar:
    count = tf_keras.callbacks.LambdaCallback(
        on_predict_batch_end=lambda batch, logs: bar.update())
    if model.per_token:
      result: list[Any] = [None] * len(encoded)
      for dataset, rows in batching.batches_by_width(*batches):
        outputs = model.predict(
            dataset.map(inputs_alone), verbose=0, callbacks=[count])
        for row, output in zip(rows, outputs):
          result[row] = output
      return result
    dataset, order = batching.evaluation_batches(*batches)
    outputs = model.predict(dataset.map(inputs_alone), verbose=0,
                            callbacks=[count])[:len(order)]
  result = np.empty_like(outputs)
  result[order] = outputs
  return result
