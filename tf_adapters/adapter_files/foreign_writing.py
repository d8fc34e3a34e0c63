"""Parts that the writers of other libraries' files share.

In these files nothing says which function an encoder of some weights computes,
and the encoder has the name that the Hugging Face Hub calls it by.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import safetensors.numpy

from tf_adapters.adapter_files.foreign import POOLER
from tf_adapters.adapter_files.front_matter import (
  front_matter,
  with_front_matter,
)
from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.adapter_files.torch_modules import TorchModel, torch_models
from tf_adapters.checkpoints.hub_names import known_name
from tf_adapters.checkpoints.sources import is_local
from tf_adapters.errors import InputError, printable
from tf_adapters.modeling.encoders.family import EncoderConfig, EncoderFamily
from tf_adapters.modeling.methods.table import method_of
from tf_adapters.modeling.tuning import kind_of

# What code in a card calls a folder that others do not have.
_ITS_FOLDER = "path/to/its/encoder"
# What to do about a head that another library does not have.
POOL_BY_POOLER = ('train it with TextClassifier(..., pooling="pooler"), or '
                  "--pooling=pooler")
TUNE_POOLER = ('tune the pooler, model.tune("adapters+pooler") or '
               "--tuning=adapters+pooler")


def cannot_write(why: str) -> NoReturn:
  """Raises InputError for what has no place in another library's file."""
  raise InputError(
      f"{why}; docs/reference/other_libraries.md says what is written")


def model_to_write(family: EncoderFamily) -> TorchModel:
  """Returns the model of PyTorch that a task on an encoder is written for.

  Args:
    family: that the encoder's files are of.

  Raises:
    InputError: other libraries have no such encoder.
  """
  model = torch_models().get(family.name)
  if model is None:
    cannot_write("transformers has no model of PyTorch that is a "
                 f"{family.title}, or not with its layers")
  if model.shares_layers:
    cannot_write(f"what is added to an {model.family.title} there is the same "
                 "in all layers, and here each has its own")
  return model


def base_tensors(tensors: Mapping[str, Any], info: AdapterInfo) -> list[str]:
  """Names a task's tensors that are of neither method, head nor pooler."""
  own = info.pooling == "pooler" and {*POOLER} <= tensors.keys()
  return [name for name in tensors if not (
      method_of(name) or kind_of(name) == "head" or (own and name in POOLER))]


def torch_tensors(arrays: Mapping[str, np.ndarray]) -> bytes:
  """Makes the safetensors file of PyTorch's tensors, float32."""
  return safetensors.numpy.save({
      name: np.ascontiguousarray(array, np.float32)
      for name, array in arrays.items()}, {"format": "pt"})


def encoder_name(info: AdapterInfo) -> str:
  """Returns the other library's name of a task's encoder."""
  source: str = info.encoder["source"]
  return known_name(info.encoder) or source


def computes_by_tanh(config: EncoderConfig) -> bool:
  """Returns whether the encoder's gelu is not that of most of transformers'.
  """
  return getattr(config, "hidden_act", "") == "gelu_tanh"


def loading(info: AdapterInfo, *more: str) -> str:
  """Writes the arguments of `from_pretrained` for a task's encoder, in Python.
  """
  if computes_by_tanh(info.encoder_config):
    more = ('hidden_act="gelu_new"', *more)
  name = encoder_name(info)
  return ", ".join([repr(_ITS_FOLDER if is_local(name) and (
      known_name(info.encoder) is None) else name), *more])


def foreign_card(info: AdapterInfo, library: str, tags: Sequence[str],
                 about: str, code: Sequence[str]) -> str:
  """Writes the model card of a file for another library.

  Args:
    info: what our file says.
    library: what the Hugging Face Hub calls the library.
    tags: for the head, beside "adapter".
    about: a sentence on the file.
    code: lines of Python that load it.
  """
  return with_front_matter(
      "\n".join([f"# {printable(info.task)}", "", about, "", "```python",
                 *code, "```", ""]),
      {**front_matter(info), "library_name": library,
       "tags": ["adapter", *tags]})
