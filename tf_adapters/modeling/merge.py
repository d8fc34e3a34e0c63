"""Merging a method into the encoder: the same function, at no cost.

What LoRA, DoRA and IA3 add to a projection is another projection of the same
shape. Averaging the adapter files of several tasks is another matter: see
`adapter_files.merging`.
"""

from typing import Any, TypeVar

import numpy as np

from tf_adapters.errors import InputError
from tf_adapters.modeling.encoder import TransformerEncoder
from tf_adapters.modeling.layers import values_follow
from tf_adapters.modeling.methods.method import Method, Weights
from tf_adapters.modeling.saving_checks import check_own_weights
from tf_adapters.modeling.task_layers import TaskLayers
from tf_adapters.modeling.task_model import TaskModel, check_is_task_model

_Model = TypeVar("_Model", bound=TaskModel | TransformerEncoder)


def merge(model: _Model) -> _Model:
  """Makes a plain encoder, or model, that computes what the given one does.

  What the method adds is in the weights of the encoder's projections. So there
  is nothing more to compute, and whatever takes a plain encoder takes this one:
  `export_hub`, for instance. The given model stays as it is, and is the way
  back. `save_adapter` writes all weights that have changed.

  Args:
    model: a model of a task, or an encoder, with a method that is a change of
      projections: LoRA, DoRA or IA3.

  Returns:
    Another object of the same class. Its tuning is "head".

  Raises:
    InputError: there is no method, or it adds something else than a change of
      projections, as bottleneck adapters do; or the encoder's layers share
      their weights, as ALBERT's do; or the encoder's weights are held
      in bfloat16, which has too few digits for what is added; or a subclass
      has weights of its own.

  Example:
    >>> model = load_adapter("adapters/mrpc")
    >>> plain = merge(model)
    >>> plain.encoder.method is None
    True
  """
  if not isinstance(model, TransformerEncoder):
    check_is_task_model(model)
  check_own_weights(model, "merge takes encoder and head alone",
                    "merge a plain encoder, and build your model on it")
  if isinstance(model, TransformerEncoder):
    return _merged(model)
  if not isinstance(model.encoder, TransformerEncoder):
    raise InputError(
        f"a {type(model.encoder).__name__} has no method to merge")
  merged = type(model).from_config(
      {**model.get_config(), "encoder": _merged(model.encoder)})
  head = model.head.named_variables()
  for name, variable in merged.head.named_variables().items():
    variable.assign(head[name])
  return merged


def _merged(encoder: Any) -> Any:
  """Makes a plain encoder of the same class and function."""
  method = encoder.method
  if method is None:
    raise InputError("the encoder has no method to merge: it is a plain one")
  if encoder.variable_dtype != "float32":
    raise InputError(
        f"the encoder's weights are held in {encoder.variable_dtype}, which "
        "has too few digits to merge into: load it with dtype='float32'")
  if encoder.config.shares_layers:
    raise InputError(
        "the encoder's layers share their weights, what the method adds "
        "differs from layer to layer: it cannot be merged")
  config = encoder.get_config()
  del config["frozen"]  # which names the method's variables, too
  with values_follow():
    merged = type(encoder).from_config({
        **config, "tuning": "head", "task_layers": TaskLayers(
            encoder.config, dtype=encoder.task_layers.dtype_policy)})
  values = encoder.named_variables()
  for name, variable in merged.named_variables().items():
    variable.assign(values[name])
  _fold(method, encoder, merged)
  return merged


def _fold(method: Method, encoder: Any, merged: Any) -> None:
  """Puts what a method adds into the projections of a plain encoder.

  Raises:
    InputError: it is something else.
  """
  # In float64, so that each weight is rounded once.
  arrays = {name: variable.numpy().astype(np.float64) for name, variable
            in encoder.task_layers.named_variables().items()}
  for place in method.places(encoder.config.num_hidden_layers):
    weights = encoder.projection_weights(place)
    kernel, bias = method.at(place).fold(
        method.values_at(place, encoder.config, arrays),
        weights and Weights(*(one.astype(np.float64) for one in weights)))
    merged.transformer_layers[place.layer].projection(place.name).assign(
        kernel, bias)
