"""Reads TensorFlow checkpoints of BERT: the TF1 release's and Model Garden's.

google-research/bert and what was pretrained with it (BioBERT, SciBERT, ...)
come as bert_config.json, vocab.txt and a name-based checkpoint; Model Garden
writes object-based ones.
"""

import pathlib
from collections.abc import Callable

import tensorflow as tf

from tf_adapters.checkpoints import names
from tf_adapters.checkpoints.bert_config import (
    GOOGLE_ACTIVATIONS,
    read_bert_config,
)
from tf_adapters.checkpoints.checkpoint import Checkpoint, find_encoder
from tf_adapters.checkpoints.tensor_bundle import TensorBundle
from tf_adapters.checkpoints.vocabulary import read_vocabulary
from tf_adapters.errors import InputError
from tf_adapters.files.reading import MOST_BYTES, check_file
from tf_adapters.modeling.encoders.bert import BertConfig

# Some come with a config.json of the same keys instead.
CONFIG_NAMES = ("bert_config.json", "config.json")


def read_tensorflow_checkpoint(prefix: pathlib.Path) -> Checkpoint:
  """Opens PREFIX.index and PREFIX.data-*, with bert_config.json beside them.

  Model Garden checkpoints can do without bert_config.json.

  Raises:
    InputError: a file is missing or damaged, or holds no BERT.
  """
  folder = prefix.parent
  bundle = TensorBundle(prefix)
  found = find_encoder(bundle)
  configs = [folder / name for name in CONFIG_NAMES
             if (folder / name).exists()]
  if configs:
    config = read_bert_config(configs[0], GOOGLE_ACTIVATIONS)
  else:
    config = infer_config(prefix, bundle, found)
  vocabulary = None
  if (folder / "vocab.txt").exists():
    vocabulary = read_vocabulary(folder / "vocab.txt", None)
  return Checkpoint(
      "Model Garden checkpoint" if bundle.object_based else "TF1 checkpoint",
      prefix, bundle, found, config, vocabulary)


def find_prefix(folder: pathlib.Path) -> pathlib.Path | None:
  """The checkpoint in a folder: the only one, or the newest by its own account.

  Raises:
    InputError: there are several.
  """
  prefixes = [path.with_suffix("") for path in sorted(folder.glob("*.index"))]
  if len(prefixes) <= 1:
    return prefixes[0] if prefixes else None
  check_file(folder / "checkpoint", MOST_BYTES)
  try:
    state = tf.train.get_checkpoint_state(str(folder))
  except (ValueError, tf.errors.OpError):
    state = None
  # Only the name: the path in the file may lead anywhere.
  newest = state and folder / pathlib.Path(state.model_checkpoint_path).name
  if newest in prefixes:
    return newest
  raise InputError(
      f"{folder}: holds {len(prefixes)} checkpoints; give one of them: "
      f"{', '.join(prefix.name for prefix in prefixes[:4])}")


def infer_config(path: pathlib.Path, bundle: TensorBundle, found: names.Found,
                 num_attention_heads: Callable[[], int] | None = None,
                 hidden_act: str = "gelu_tanh",
                 layer_norm_eps: float = 1e-12) -> BertConfig:
  """The architecture that variables' shapes tell.

  Args:
    path: for messages.
    bundle: the variables.
    found: which of them are the encoder's.
    num_attention_heads: tells it where kernels are matrices, which do not.
    hidden_act, layer_norm_eps: what no shape tells.

  Raises:
    InputError: a tensor is missing or of an unusual shape, or nothing tells
      the number of attention heads.
  """

  def shape(name: str, ranks: tuple[int, ...] = (2,)) -> tuple[int, ...]:
    if name not in found.names:
      raise InputError(f"{path}: no tensor for {name}")
    dims = bundle.shapes[found.names[name]]
    if len(dims) not in ranks:
      raise InputError(
          f"{path}: {found.names[name]} has shape {list(dims)}, expected "
          f"{' or '.join(map(str, ranks))} dimensions")
    return dims

  layer = "transformer/layer_0"
  vocab_size, hidden_size = shape("word_embeddings/embeddings")
  query = shape(f"{layer}/self_attention/query/kernel", (2, 3))
  if len(query) == 3:
    heads = query[1]
  elif num_attention_heads is not None:
    heads = num_attention_heads()
  else:
    raise InputError(
        f"{path}: nothing tells the number of attention heads: expected "
        f"{CONFIG_NAMES[0]} beside it")
  try:
    return BertConfig(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        num_hidden_layers=found.num_layers,
        num_attention_heads=heads,
        intermediate_size=shape(f"{layer}/intermediate/kernel")[1],
        hidden_act=hidden_act,
        max_position_embeddings=shape("position_embedding/embeddings")[0],
        type_vocab_size=shape("type_embeddings/embeddings")[0],
        layer_norm_eps=layer_norm_eps)
  except InputError as error:
    raise InputError(f"{path}: {error}") from None
