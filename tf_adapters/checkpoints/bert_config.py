"""Reads bert_config.json (Google's) and config.json (Hugging Face's).

Both have the same keys; but their "gelu" is not the same function.
"""

import pathlib
from collections.abc import Mapping

from tf_adapters.errors import InputError
from tf_adapters.files.reading import read_json
from tf_adapters.modeling.encoders.bert import BertConfig

# Name of an activation there -> ours. Google's gelu is the tanh approximation.
GOOGLE_ACTIVATIONS = {
    "gelu": "gelu_tanh", "relu": "relu", "tanh": "tanh", "swish": "swish",
    "linear": "linear", "": "linear", None: "linear",
}
HUGGING_FACE_ACTIVATIONS = {
    "gelu": "gelu", "gelu_python": "gelu", "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu", "silu": "swish", "swish": "swish", "tanh": "tanh",
    "linear": "linear",
}

_COPIED = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
    "intermediate_size", "max_position_embeddings", "type_vocab_size",
    "layer_norm_eps", "hidden_dropout_prob", "attention_probs_dropout_prob",
)


def read_bert_config(path: pathlib.Path,
                     activations: Mapping[str | None, str]) -> BertConfig:
  """Reads an architecture.

  Args:
    path: the file.
    activations: one of the tables above.

  Raises:
    InputError: it cannot be read, is of another architecture, or a value is
      out of range.
  """
  values = read_json(path)
  kind = values.get("model_type", "bert")
  if kind != "bert":
    raise InputError(f"{path}: model_type is {kind!r}; only 'bert' is read")
  positions = values.get("position_embedding_type", "absolute")
  if positions != "absolute":
    raise InputError(
        f"{path}: position_embedding_type is {positions!r}; BERT's is "
        "'absolute'")
  if values.get("is_decoder") or values.get("add_cross_attention"):
    raise InputError(f"{path}: is a decoder; BERT is an encoder")
  activation = values.get("hidden_act", "gelu")
  if not isinstance(activation, str | None) or activation not in activations:
    raise InputError(f"{path}: unknown hidden_act {activation!r}")
  try:
    return BertConfig.from_dict({
        "hidden_act": activations[activation],
        **{key: values[key] for key in _COPIED if key in values}})
  except InputError as error:
    raise InputError(f"{path}: {error}") from None
