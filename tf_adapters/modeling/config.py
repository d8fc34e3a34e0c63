"""The configurations a model is made of: BERT's, the adapters', and others.

Frozen dataclasses that validate themselves and turn into JSON and back.
Nothing here knows TensorFlow, files or flags.
"""

import dataclasses
import hashlib
import logging
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from tf_adapters.errors import InputError, printable

# "gelu" is the exact, erf-based function; "gelu_tanh" its tanh approximation,
# which Google's BERTs were trained with (google-research/bert, modeling.py).
ACTIVATIONS = ("gelu", "gelu_tanh", "relu", "tanh", "swish", "linear")

_LARGEST_SIZE = 1 << 31

LONGEST_WORD = 200  # characters; longer ones are [UNK], as for google-research
SUFFIX = "##"  # of wordpieces that go on with a word
# tensorflow_text takes no longer wordpieces.
_LONGEST_TOKEN_BYTES = 256

_SIZES = ("vocab_size", "hidden_size", "num_hidden_layers",
          "num_attention_heads", "intermediate_size",
          "max_position_embeddings", "type_vocab_size")

# The sub-layers of a Transformer layer: attention and feed-forward.
POSITIONS = ("attention", "output")

# What a head sees of a text, see `heads.Head`; or each of its tokens.
POOLINGS = ("pooler", "cls", "mean")
AUTO_POOLING = "auto"  # the one that the encoder was made for
PER_TOKEN_POOLING = "tokens"

# Types of problem: those of whole texts, and those of tokens.
PER_TOKEN = ("tagging", "span")
PROBLEM_TYPES = ("classification", "multi_label", "regression", *PER_TOKEN)

# [CLS] first [SEP] second [SEP], with a wordpiece of each text.
SHORTEST_LENGTH = 5


def _require(condition: bool, message: str) -> None:
  if not condition:
    raise InputError(message)


def _is_number(value: Any) -> bool:
  return type(value) in (int, float)


def _check_token(token: Any, place: int) -> None:
  """Raises InputError for what cannot be a line of a vocabulary."""
  what = f"token {place}, counted from 0,"
  _require(isinstance(token, str) and not set("\0\r\n") & set(token)
           and not any("\ud800" <= character <= "\udfff"
                       for character in token),
           f"{what} cannot be a wordpiece: {token!r:.50}")
  size = len(token.encode())
  _require(size <= _LONGEST_TOKEN_BYTES or len(token) > LONGEST_WORD,
           f"{what} has {size} bytes, tensorflow_text takes "
           f"{_LONGEST_TOKEN_BYTES}: {token!r:.50}")


class JsonConfig:
  """What configurations share: conversion to JSON values and back."""

  def to_dict(self) -> dict[str, Any]:
    """Returns the fields as JSON values."""
    return {name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()}

  @classmethod
  def from_dict(cls, values: Mapping[str, Any]) -> Self:
    """Builds a configuration from `to_dict`'s result.

    Args:
      values: field name -> value. Names that this version does not know are
        left out with a warning, so that newer files can still be read.

    Raises:
      InputError: a value is out of range, or a required one is missing.
    """
    known = {field.name for field in dataclasses.fields(cls)}
    unknown = sorted(set(values) - known)
    if unknown:
      logging.warning(
          "%s: unknown keys left out: %s", cls.__name__,
          printable(", ".join(unknown)[:200]))
    try:
      return cls(**{key: values[key] for key in values if key in known})
    except TypeError:
      missing = [field.name for field in dataclasses.fields(cls)
                 if field.name not in values
                 and field.default is dataclasses.MISSING]
      raise InputError(
          f"{cls.__name__}: no {', '.join(missing)}" if missing else
          f"{cls.__name__}: a value has the wrong type") from None


@dataclasses.dataclass(frozen=True)
class BertConfig(JsonConfig):
  """The architecture of a BERT encoder (defaults: BERT-base).

  Field names are those of google-research/bert's bert_config.json;
  `hidden_act` is one of `ACTIVATIONS`, where "gelu" is the exact function.

  Raises:
    InputError: a size is not positive, the heads do not divide the hidden
      size, a probability is outside [0, 1), or the activation is unknown.

  Example:
    >>> BertConfig(vocab_size=30522).hidden_size
    768
  """

  vocab_size: int
  hidden_size: int = 768
  num_hidden_layers: int = 12
  num_attention_heads: int = 12
  intermediate_size: int = 3072
  hidden_act: str = "gelu_tanh"
  max_position_embeddings: int = 512
  type_vocab_size: int = 2
  layer_norm_eps: float = 1e-12
  hidden_dropout_prob: float = 0.1
  attention_probs_dropout_prob: float = 0.1

  def __post_init__(self):
    for name in _SIZES:
      value = getattr(self, name)
      _require(type(value) is int and 0 < value < _LARGEST_SIZE,
               f"{name} must be a positive integer, not {value!r:.20}")
    _require(self.hidden_size % self.num_attention_heads == 0,
             f"hidden_size {self.hidden_size} is not a multiple of "
             f"num_attention_heads {self.num_attention_heads}")
    _require(self.hidden_act in ACTIVATIONS,
             f"hidden_act must be one of {', '.join(ACTIVATIONS)}, "
             f"not {self.hidden_act!r}")
    _require(_is_number(self.layer_norm_eps) and 0 < self.layer_norm_eps < 1,
             "layer_norm_eps must be positive and small, not "
             f"{self.layer_norm_eps!r:.20}")
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
      _require(_is_number(getattr(self, name)) and 0 <= getattr(self, name) < 1,
               f"{name} must be in [0, 1), not {getattr(self, name)!r}")

  def sizes(self) -> tuple[int, ...]:
    """All that the shapes of its variables depend on."""
    return tuple(getattr(self, name) for name in _SIZES)


@dataclasses.dataclass(frozen=True)
class AdapterConfig(JsonConfig):
  """The bottleneck adapters of one task (Houlsby et al. 2019, section 2.1).

  The defaults are those of google-research/adapter-bert; the other choices of
  position, activation, depth and normalisation are those that the paper tried
  without gain (section 3.6).

  Attributes:
    size: width m of the bottleneck.
    activation: non-linearity in the bottleneck, one of `ACTIVATIONS`.
    init_scale: standard deviation of the initial kernels (a Gaussian truncated
      at two standard deviations); 0 makes the adapters exact identities.
    dropout: dropout rate inside the bottleneck.
    layers: numbers of the Transformer layers (from 0) that get adapters, or
      None for all of them.
    positions: after which sub-layers of a layer: some of `POSITIONS`.
    parallel: whether an adapter sees what its sub-layer sees, and its output
      is added to the sub-layer's, instead of following it.
    depth: layers inside the bottleneck, each with the activation; parameters of
      each further one: m^2 + m.
    layer_norm: whether an adapter normalises its input; 2 d parameters more.

  Raises:
    InputError: a value is out of range.

  Example:
    >>> AdapterConfig(size=8, layers=(10, 11)).to_dict()["layers"]
    [10, 11]
  """

  size: int = 64
  activation: str = "gelu_tanh"
  init_scale: float = 1e-3
  dropout: float = 0.0
  layers: tuple[int, ...] | None = None
  positions: tuple[str, ...] = POSITIONS
  parallel: bool = False
  depth: int = 1
  layer_norm: bool = False

  def __post_init__(self):
    for name, largest in (("size", 1 << 16), ("depth", 100)):
      value = getattr(self, name)
      _require(type(value) is int and 0 < value <= largest,
               f"adapter {name} must be a positive integer up to {largest}, "
               f"not {value!r:.20}")
    _require(self.activation in ACTIVATIONS,
             f"adapter activation must be one of {', '.join(ACTIVATIONS)}, "
             f"not {self.activation!r}")
    _require(_is_number(self.init_scale) and 0 <= self.init_scale <= 1,
             f"adapter init_scale must be in [0, 1], not {self.init_scale!r}")
    _require(_is_number(self.dropout) and 0 <= self.dropout < 1,
             f"adapter dropout must be in [0, 1), not {self.dropout!r}")
    for name in ("parallel", "layer_norm"):
      value = getattr(self, name)
      _require(type(value) is bool,
               f"adapter {name} must be true or false, not {value!r}")
    if self.layers is not None:
      _require(isinstance(self.layers, list | tuple) and len(self.layers) > 0
               and all(isinstance(i, int) and i >= 0 for i in self.layers),
               f"adapter layers must be layer numbers, not {self.layers!r}")
      object.__setattr__(self, "layers", tuple(sorted(set(self.layers))))
    _require(isinstance(self.positions, list | tuple)
             and len(self.positions) > 0 and set(self.positions) <= set(
                 POSITIONS),
             f"adapter positions must be some of {', '.join(POSITIONS)}, not "
             f"{self.positions!r}")
    object.__setattr__(self, "positions", tuple(
        position for position in POSITIONS if position in self.positions))

  @property
  def first_layer(self) -> int:
    """Number of the lowest layer with adapters."""
    return self.layers[0] if self.layers else 0

  @classmethod
  def preset(cls, name: str, **changes: Any) -> Self:
    """A configuration by name, with changes.

    | name | what it is |
    |---|---|
    | houlsby | the paper's, as google-research/adapter-bert has it |
    | pfeiffer | after the feed-forward only (Pfeiffer et al. 2021) |
    | parallel | beside both sub-layers (Houlsby et al., section 3.6) |
    | adapterhub_houlsby | AdapterHub's of that name; layer norms frozen there |

    The sizes of pfeiffer and adapterhub_houlsby are AdapterHub's for a hidden
    size of 768, a sixteenth; so are their activations and initial scales.

    Raises:
      InputError: there is no such preset, or a value is out of range.

    Example:
      >>> AdapterConfig.preset("pfeiffer", size=16).positions
      ('output',)
    """
    if name not in _PRESETS:
      raise InputError(
          f"adapter preset must be one of {', '.join(PRESETS)}, not {name!r}")
    return cls(**{**_PRESETS[name], **changes})


_PRESETS: dict[str, dict[str, Any]] = {
    "houlsby": {},
    "pfeiffer": {"positions": ("output",), "size": 48, "activation": "relu",
                 "init_scale": 0.02},
    "parallel": {"parallel": True},
    "adapterhub_houlsby": {
        "size": 48, "activation": "swish", "init_scale": 0.02},
}
PRESETS = tuple(_PRESETS)


@dataclasses.dataclass(frozen=True)
class Vocabulary(JsonConfig):
  """A WordPiece vocabulary, as the checkpoint that it belongs to has it.

  Attributes:
    tokens: the wordpieces; a token's place is its id. Of one that is there
      twice the last place counts, and an empty one never matches, as in
      google-research/bert.
    lower_case: whether text is lower-cased first.
    strip_accents: whether text loses its accents first; None where it does if
      it is lower-cased.
    tokenize_chinese_chars: whether every CJK ideograph is a word.
    added: those of the tokens that are looked for in the text as it stands, not
      among the wordpieces of its words.
  """

  tokens: tuple[str, ...] = dataclasses.field(repr=False)
  lower_case: bool
  strip_accents: bool | None = None
  tokenize_chinese_chars: bool = True
  added: tuple[str, ...] = ()

  def __post_init__(self):
    for name in ("tokens", "added"):
      object.__setattr__(self, name, tuple(getattr(self, name)))
    for name in ("lower_case", "tokenize_chinese_chars"):
      value = getattr(self, name)
      _require(type(value) is bool,
               f"{name} must be true or false, not {value!r:.50}")
    _require(self.strip_accents in (None, True, False),
             "strip_accents must be true, false or null, not "
             f"{self.strip_accents!r:.50}")
    for place, token in enumerate(self.tokens):
      _check_token(token, place)
    missing = {"[PAD]", "[UNK]", "[CLS]", "[SEP]"} - set(self.tokens)
    _require(not missing,
             f"the vocabulary lacks {', '.join(sorted(missing))}")
    strange = set(self.added) - set(self.tokens) | {""} & set(self.added)
    _require(not strange, "the vocabulary lacks the added tokens "
             f"{', '.join(sorted(map(repr, strange)))}")

  @property
  def strips_accents(self) -> bool:
    """Whether text loses its accents first."""
    return (self.lower_case if self.strip_accents is None
            else self.strip_accents)

  def id_of(self, token: str) -> int:
    """The id of a token: its last place.

    Raises:
      ValueError: there is no such token.
    """
    return len(self.tokens) - 1 - self.tokens[::-1].index(token)

  def wordpieces(self) -> list[str]:
    """The tokens, each once: others take the places of those that never match.

    That are empty ones and those with blanks, all but the last of equal ones,
    those that are longer than a word can be, and the added ones.
    """
    last = {token: place for place, token in enumerate(self.tokens)}
    return [token if last[token] == place and token.split() == [token]
            and len(token) <= LONGEST_WORD + len(SUFFIX)
            and token not in self.added else f"[never{place}]"
            for place, token in enumerate(self.tokens)]

  def sha256(self) -> str:
    """Hex digest over the tokens, in their order."""
    return hashlib.sha256("\n".join(self.tokens).encode()).hexdigest()

  def fingerprint(self) -> dict[str, Any]:
    """What two vocabularies have in common that make the same ids of texts.

    JSON values: "lower_case", "vocab_sha256", and what departs from BERT.
    """
    values = self.to_dict()
    departs = {
        field.name: values[field.name] for field in dataclasses.fields(self)
        if field.default is not dataclasses.MISSING
        and getattr(self, field.name) != field.default}
    return {"lower_case": self.lower_case, "vocab_sha256": self.sha256(),
            **departs}


@dataclasses.dataclass(frozen=True)
class NetworkConfig(JsonConfig):
  """The network above a text embedding: the paper's baseline without BERT.

  Hidden layers are dense with a relu. There is dropout in front of each but the
  first, and in front of the head.

  Attributes:
    hidden_layers: how many there are, 0 to 5 in the paper.
    hidden_units: width of each, 64, 128 or 256 in the paper.
    hidden_dropout: dropout rate, 0 to 0.5 in the paper.

  Raises:
    InputError: a value is out of range.
  """

  hidden_layers: int = 1
  hidden_units: int = 128
  hidden_dropout: float = 0.1

  def __post_init__(self):
    for name, least, most in (("hidden_layers", 0, 100),
                              ("hidden_units", 1, 1 << 16)):
      value = getattr(self, name)
      _require(type(value) is int and least <= value <= most,
               f"{name} must be an integer from {least} to {most}, "
               f"not {value!r:.20}")
    _require(_is_number(self.hidden_dropout) and 0 <= self.hidden_dropout < 1,
             f"hidden_dropout must be in [0, 1), not {self.hidden_dropout!r}")


@dataclasses.dataclass(frozen=True)
class Origin(JsonConfig):
  """Where an encoder's pretrained weights came from.

  Attributes:
    source: what was asked for: an alias, a Hub handle or a path.
    fingerprint: sha256 over the pretrained tensors and the architecture, the
      same for the same weights from every file format.
    digests: canonical name -> `digest` of each pretrained tensor, as it was
      assigned; empty where that was not noted, by version 0.1.
  """

  source: str
  fingerprint: str
  digests: Mapping[str, str] = dataclasses.field(
      default_factory=dict, repr=False)


def digest(array: np.ndarray) -> str:
  """A digest of an array's values, the same for every floating-point type."""
  return hashlib.sha256(
      np.ascontiguousarray(array, "<f4").data).hexdigest()[:32]


def is_flat(values: Mapping[str, Any]) -> bool:
  """Whether values are strings, numbers and so on, or lists of them."""
  scalar = str | int | float | None
  return all(isinstance(value, scalar) or (
      isinstance(value, list | tuple)
      and all(isinstance(item, scalar) for item in value))
      for value in values.values())
