"""Reads bert_config.json (Google's) and config.json (Hugging Face's).

Both have the same keys; but their "gelu" is not the same function. Where there
is none the architecture follows from the variables.
"""

import pathlib
from collections.abc import Callable, Mapping

from tf_adapters.checkpoints.checkpoint import TensorFiles
from tf_adapters.checkpoints.names import Found
from tf_adapters.errors import InputError
from tf_adapters.files.reading import read_json
from tf_adapters.modeling.encoders.bert import BERT
from tf_adapters.modeling.encoders.family import EncoderConfig
from tf_adapters.modeling.encoders.table import ENCODERS

# Name of an activation there -> ours. Google's gelu is the tanh approximation.
GOOGLE_ACTIVATIONS: dict[str | None, str] = {
    "gelu": "gelu_tanh", "relu": "relu", "tanh": "tanh", "swish": "swish",
    "linear": "linear", "": "linear", None: "linear",
}
HUGGING_FACE_ACTIVATIONS: dict[str | None, str] = {
    "gelu": "gelu", "gelu_python": "gelu", "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu", "silu": "swish", "swish": "swish", "tanh": "tanh",
    "linear": "linear",
}

CONFIG_NAMES = ("bert_config.json", "config.json")


def read_encoder_config(
    path: pathlib.Path,
    activations: Mapping[str | None, str]) -> EncoderConfig:
  """Reads an architecture.

  Args:
    path: the file. Where it has no "model_type" it is a BERT's.
    activations: one of the tables above.

  Raises:
    InputError: it cannot be read, is of a family that is not offered, or a
      value is out of range.
  """
  values = read_json(path)
  kind = values.get("model_type", BERT.name)
  if not isinstance(kind, str) or kind not in ENCODERS:
    raise InputError(f"{path}: model_type is {kind!r}; only "
                     f"{', '.join(map(repr, ENCODERS))} is read")
  try:
    return ENCODERS[kind].read_config(values, activations)
  except InputError as error:
    raise InputError(f"{path}: {error}") from None


def infer_config(files: TensorFiles, found: Found,
                 num_attention_heads: Callable[[], int] | None = None,
                 hidden_act: str = "gelu_tanh",
                 layer_norm_eps: float = 1e-12) -> EncoderConfig:
  """The architecture that variables' shapes tell.

  Args:
    files: the variables.
    found: which of them are the encoder's.
    num_attention_heads, hidden_act, layer_norm_eps: as for
      `EncoderFamily.config_of_shapes`.

  Raises:
    InputError: see `EncoderFamily.config_of_shapes`.
  """

  def shape(name: str, ranks: tuple[int, ...] = (2,)) -> tuple[int, ...]:
    if name not in found.names:
      raise InputError(f"no tensor for {name}")
    dims = files.shapes[found.names[name]]
    if len(dims) not in ranks:
      raise InputError(
          f"{found.names[name]} has shape {list(dims)}, expected "
          f"{' or '.join(map(str, ranks))} dimensions")
    return dims

  try:
    return found.family.config_of_shapes(
        shape, found.num_layers, num_attention_heads, hidden_act,
        layer_norm_eps)
  except InputError as error:
    raise InputError(f"{files.path}: {error}") from None
