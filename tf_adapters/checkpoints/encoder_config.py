"""Reads bert_config.json (Google's) and config.json (Hugging Face's).

Both have the same keys; but their "gelu" is not the same function. Where there
is none the architecture follows from the variables.
"""

import pathlib

from tf_adapters.checkpoints.checkpoint import TensorFiles
from tf_adapters.checkpoints.names import Found
from tf_adapters.errors import InputError, about
from tf_adapters.files.reading import read_json
from tf_adapters.modeling.encoders.family import (
    EncoderConfig,
    EncoderFamily,
    GraphFacts,
)
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

CONFIG_NAMES = ("bert_config.json", "albert_config.json", "config.json")


class EncoderConfigFile:
  """A bert_config.json or config.json.

  Args:
    path: the file.

  Attributes:
    family: the encoder's, as "model_type" says it; None where that is not
      there, as in Google's: then the variables' names tell it.

  Raises:
    InputError: it cannot be read, or is of a family that is not offered.
  """

  def __init__(self, path: pathlib.Path):
    self._path = path
    self._values = read_json(path)
    self.family: EncoderFamily | None = None
    if "model_type" in self._values:
      kind = self._values["model_type"]
      if not isinstance(kind, str) or kind not in ENCODERS:
        raise InputError(f"{path}: model_type is {kind!r}; only "
                         f"{', '.join(map(repr, ENCODERS))} is read")
      self.family = ENCODERS[kind]

  def config(self, family: EncoderFamily) -> EncoderConfig:
    """Returns the architecture, as Google's code reads the file.

    Args:
      family: the encoder's.

    Raises:
      InputError: a value is out of range.
    """
    with about(self._path):
      return family.read_config(self._values, GOOGLE_ACTIVATIONS)

  def config_of_transformers(self, family: EncoderFamily) -> EncoderConfig:
    """As `config`, as transformers reads the file."""
    with about(self._path):
      return family.read_config(
          {**family.transformers_defaults, **self._values},
          HUGGING_FACE_ACTIVATIONS)


class GoogleDefaults:
  """The facts to assume where there is no graph: `GraphFacts`."""

  def num_layers(self) -> int:
    raise _nothing_tells("layers")

  def num_attention_heads(self) -> int:
    raise _nothing_tells("attention heads")

  def hidden_act(self) -> str:
    return "gelu_tanh"

  def layer_norm_eps(self) -> float:
    return 1e-12


def _nothing_tells(what: str) -> InputError:
  return InputError(f"nothing tells the number of {what}: expected "
                    "bert_config.json beside it")


def infer_config(files: TensorFiles, found: Found,
                 graph: GraphFacts) -> EncoderConfig:
  """Returns the architecture that variables' shapes tell.

  Args:
    files: the variables.
    found: which of them are the encoder's.
    graph: as for `EncoderFamily.config_of_shapes`.

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

  with about(files.path):
    return found.family.config_of_shapes(
        shape, found.num_layers or graph.num_layers(), graph)
