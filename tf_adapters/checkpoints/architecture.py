"""An encoder's architecture alone: where nothing asks for its weights."""

import pathlib
import re

from tf_adapters.checkpoints.encoder_config import EncoderConfigFile
from tf_adapters.checkpoints.loading import open_encoder
from tf_adapters.checkpoints.sources import locate
from tf_adapters.modeling.encoders.bert import BertConfig
from tf_adapters.modeling.encoders.family import EncoderConfig
from tf_adapters.modeling.encoders.table import ENCODERS

# English BERTs of TF Hub say their sizes in their names.
_SIZES = re.compile(
    r"/bert_en_(?:wwm_)?(?P<case>uncased|cased)"
    r"_L-(?P<layers>\d+)_H-(?P<hidden>\d+)_A-(?P<heads>\d+)/")
_VOCAB_SIZES = {"uncased": 30522, "cased": 28996}


def find_architecture(encoder_source: str) -> tuple[EncoderConfig, str]:
  """Returns an encoder's architecture, and the pooling that it was made for.

  Args:
    encoder_source: as for `load_encoder`; nothing is fetched for the English
      BERTs of TF Hub. Or a bert_config.json or config.json, without weights.

  Raises:
    InputError: it cannot be found or read.

  Example:
    >>> config, pooling = find_architecture("bert_large_uncased")
    >>> config.num_hidden_layers, pooling
    (24, 'pooler')
  """
  place = locate(encoder_source)
  if isinstance(place, pathlib.Path) and place.suffix == ".json":
    file = EncoderConfigFile(place)
    if file.family is None:  # Google's
      return file.config(ENCODERS["bert"]), "pooler"
    return file.config_of_transformers(file.family), "pooler"
  if isinstance(place, str) and (sizes := _SIZES.search(place)):
    hidden = int(sizes["hidden"])
    return BertConfig(
        vocab_size=_VOCAB_SIZES[sizes["case"]], hidden_size=hidden,
        num_hidden_layers=int(sizes["layers"]),
        num_attention_heads=int(sizes["heads"]), intermediate_size=4 * hidden,
        hidden_act="gelu_tanh"), "pooler"
  encoder = open_encoder(encoder_source)
  return encoder.config, encoder.checkpoint.pooling
