"""Measures a task's metrics without the adapters of some layers.

Which layers are of interest is `analysis`' and `pruning`'s business.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tf_adapters.data import batching
from tf_adapters.data.dataset import Dataset
from tf_adapters.modeling.ablation import AdapterAblation, LayerSet
from tf_adapters.modeling.task_model import TaskModel
from tf_adapters.modeling.text import TextProcessor
from tf_adapters.progress import progress_bar
from tf_adapters.training.metrics import evaluate_task


class AblationScores:
  """A task's metrics without the adapters of sets of layers, on any split.

  What was asked for before is not computed again.

  Args:
    model: the model, with all adapters.
    task: the task.
    text: the encoder's text processor.
    batch_size: rows at once.

  Call arguments:
    split: name of a split with labels.
    removed: the sets.

  Returns:
    {set: {metric: value}}.

  Example:
    >>> scores = AblationScores(model, task, text, batch_size=64)
    >>> scores("validation", [frozenset(), frozenset([0, 1])])
  """

  def __init__(self, model: TaskModel, task: Dataset, text: TextProcessor,
               batch_size: int):
    self._task = task
    self._text = text
    self._batch_size = batch_size
    self._ablation = AdapterAblation(model)
    self._encoded: dict[str, batching.Encoded] = {}
    self._known: dict[tuple[str, LayerSet], dict[str, float]] = {}

  def __call__(self, split: str, removed: Iterable[LayerSet],
               ) -> dict[LayerSet, dict[str, float]]:
    removed = list(removed)
    unknown = [layers for layers in dict.fromkeys(removed)
               if (split, layers) not in self._known]
    if unknown:
      for layers, metrics in self._compute(split, unknown).items():
        self._known[split, layers] = metrics
    return {layers: self._known[split, layers] for layers in removed}

  def _compute(self, name: str, removed: Sequence[LayerSet],
               ) -> dict[LayerSet, dict[str, float]]:
    split = self._task.split(name)
    if name not in self._encoded:
      self._encoded[name] = split.encode(self._text)
    encoded = self._encoded[name]
    dataset, order = batching.evaluation_batches(
        dataclasses.replace(encoded, labels=None), self._batch_size)
    batches: dict[LayerSet, list[np.ndarray]] = {
        layers: [] for layers in removed}
    with progress_bar(
        f"{name}, {len(removed)} sets of layers", len(order)) as bar:
      for inputs in dataset:
        for layers, outputs in self._ablation(inputs, removed).items():
          batches[layers].append(outputs.numpy())
        bar.update(len(outputs))
    metrics = {}
    for layers in removed:
      rows: list[Any] = [None] * len(encoded)
      # Copied batch by batch into no array: batches of tokens differ in width.
      for row, output in zip(
          order, itertools.chain.from_iterable(batches.pop(layers))):
        rows[row] = output
      metrics[layers] = evaluate_task(self._task, split, encoded, rows)
    return metrics
