"""Finds adapters that a model can do without, and writes the others.

The layers are chosen by scores alone; how these are computed is not known here.
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tf_adapters.adapter_files import adapter_file
from tf_adapters.adapter_files.info import AdapterInfo, library_versions
from tf_adapters.adapter_files.tensors import expected_shapes
from tf_adapters.modeling.ablation import LayerSet
from tf_adapters.modeling.methods.table import method_of
from tf_adapters.modeling.task_model import TaskModel
from tf_adapters.modeling.tuning import Tuning, depth_of, layer_of

# Sets of layers without adapters -> the score of each.
Score = Callable[[Iterable[LayerSet]], Mapping[LayerSet, float]]

_ROUNDING = 1e-9


def prune(pruning: str, layers: Sequence[int], max_loss: float,
          score: Score) -> LayerSet:
  """Chooses the layers whose adapters can be left out.

  | pruning | the layers |
  |---|---|
  | lowest | as many of the lowest as can be: AdapterDrop, Rücklé et al. 2021 |
  | greedy | any, one after the other: the one that costs least next |

  Args:
    pruning: one of `analysis_checks.PRUNINGS`.
    layers: those that have adapters, in order.
    max_loss: how much less than that of all adapters the score may be.
    score: of sets of layers without adapters; higher is better.

  Returns:
    The layers; none where the first step costs too much.

  Example:
    >>> prune("lowest", [0, 1, 2], 0.01, score)
    frozenset({0, 1})
  """
  function = {"lowest": _lowest, "greedy": _greedy}[pruning]
  return function(layers, max_loss + _ROUNDING, score)


def _lowest(layers: Sequence[int], max_loss: float, score: Score) -> LayerSet:
  lowest = [frozenset(layers[:count]) for count in range(len(layers) + 1)]
  scores = score(lowest)
  # One more layer may well cost less.
  return max((removed for removed in lowest
              if scores[lowest[0]] - scores[removed] <= max_loss), key=len)


def _greedy(layers: Sequence[int], max_loss: float, score: Score) -> LayerSet:
  removed: LayerSet = frozenset()
  full = score([removed])[removed]
  while len(removed) < len(layers):
    scores = score([removed | {layer} for layer in layers
                    if layer not in removed])
    # Of equals the lowest: what lies below can be shared or not trained.
    best = max(scores, key=lambda other: (scores[other], -sum(other)))
    if full - scores[best] > max_loss:
      break
    removed = best
  return removed


def adapter_parameters(model: TaskModel, removed: LayerSet) -> int:
  """Counts the parameters of the other layers' adapters."""
  return sum(variable.shape.num_elements()
             for name, variable in _adapters(model, removed).items())


def shared_layers(model: TaskModel, removed: LayerSet) -> int:
  """Counts the lowest layers that are then the encoder's alone.

  Other tasks on it can use what they say of a text. Where the task tuned the
  layer norms they are its own, with adapters or without.
  """
  num_layers = model.encoder.config.num_hidden_layers
  others = {name for name in (*model.encoder.tuned_variables(),
                              *model.encoder.changed_variables())
            if not method_of(name)}
  method: Any = model.encoder.method  # it has one
  left = set(method.entered_layers(num_layers)) - removed
  return min(left.union(depth_of(name, num_layers) for name in others),
             default=num_layers)


def pruned_info(info: AdapterInfo, removed: LayerSet) -> AdapterInfo:
  """Makes the information of an adapter file without some layers' adapters.

  Args:
    info: what it says with all of them.
    removed: the layers.
  """
  tuning = Tuning.parse(info.tuning)
  method: Any = info.method  # it has one
  before = method.entered_layers(info.encoder_config.num_hidden_layers)
  layers = tuple(layer for layer in before if layer not in removed)
  # The tuning of adapters that begin higher up would leave layer norms out.
  if tuning.layer_norms is None and layers[:1] != before[:1]:
    tuning = dataclasses.replace(tuning, layer_norms=True)
  if not layers:
    return dataclasses.replace(info, adapter=None, tuning=str(
        dataclasses.replace(tuning, method="head")))
  return dataclasses.replace(
      info, tuning=str(tuning),
      adapter=method.in_layers(
          layers, info.encoder_config.num_hidden_layers).to_dict())


def save_pruned(model: TaskModel, info: AdapterInfo, removed: LayerSet,
                path: str | os.PathLike[str],
                metrics: Mapping[str, Mapping[str, float]]) -> pathlib.Path:
  """Writes an adapter file without the adapters of some layers.

  All else is in it that was tuned, the layer norms of these layers too: a model
  from it returns what an `AdapterAblation` does.

  Args:
    model: the model with all adapters.
    info: what its adapter file says.
    removed: the layers.
    path: the adapter file to write.
    metrics: what was measured without these adapters.

  Returns:
    The file's path.

  Raises:
    InputError: there is something else at `path`, or it cannot be written.
  """
  info = dataclasses.replace(
      pruned_info(info, removed), metrics=metrics, weights_sha256="",
      versions=library_versions())
  variables = model.named_variables()
  return adapter_file.write_adapter(
      path, info, {name: variables[name].numpy()
                   for name in expected_shapes(info)})


def _adapters(model: TaskModel, removed: LayerSet) -> dict[str, Any]:
  """Returns {canonical name: variable} of the adapters of the other layers."""
  return {name: variable
          for name, variable in model.encoder.named_variables().items()
          if method_of(name) and layer_of(name) not in removed}
