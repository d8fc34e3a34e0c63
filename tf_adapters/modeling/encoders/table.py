"""The encoder families that there are."""

from collections.abc import Mapping
from typing import Any

from tf_adapters.errors import InputError
from tf_adapters.modeling.encoders.albert import ALBERT
from tf_adapters.modeling.encoders.bert import BERT
from tf_adapters.modeling.encoders.deberta import DEBERTA
from tf_adapters.modeling.encoders.distilbert import DISTILBERT
from tf_adapters.modeling.encoders.electra import ELECTRA
from tf_adapters.modeling.encoders.family import EncoderConfig, EncoderFamily
from tf_adapters.modeling.encoders.mobilebert import MOBILEBERT
from tf_adapters.modeling.encoders.modernbert import MODERNBERT
from tf_adapters.modeling.encoders.roberta import ROBERTA, XLM_ROBERTA
from tf_adapters.modeling.encoders.talking_heads import TALKING_HEADS

# Names of a file are a family's by the first of the `marks` that is among them.
ENCODERS: dict[str, EncoderFamily] = {
    "bert": BERT, "distilbert": DISTILBERT, "albert": ALBERT,
    "mobilebert": MOBILEBERT, "electra": ELECTRA,
    "talking_heads": TALKING_HEADS, "roberta": ROBERTA,
    "xlm-roberta": XLM_ROBERTA, "modernbert": MODERNBERT,
    "deberta-v2": DEBERTA}

# In an architecture that is written down; without it, as in version 0.1, it is
# a BERT's.
_KEY = "family"


def family_of(config: EncoderConfig) -> EncoderFamily:
  """Returns the family of an architecture."""
  return ENCODERS[config.family]


def config_to_dict(config: EncoderConfig) -> dict[str, Any]:
  """Returns an architecture as JSON values, for `config_from_dict`."""
  name = {} if config.family == BERT.name else {_KEY: config.family}
  return {**name, **config.to_dict()}


def config_from_dict(values: Mapping[str, Any]) -> EncoderConfig:
  """Makes the architecture that was written down.

  Args:
    values: a result of `config_to_dict`.

  Raises:
    InputError: of a family that is not known, or a value is out of range.
  """
  values = dict(values)
  name = values.pop(_KEY, BERT.name)
  if not isinstance(name, str) or name not in ENCODERS:
    raise InputError(f"encoder family {name!r:.50} is not known: expected one "
                     f"of {', '.join(ENCODERS)}")
  return ENCODERS[name].config.from_dict(values)
