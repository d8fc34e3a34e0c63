"""What an encoder family is: what the rest of the package asks of one.

To add a family, write a module beside `bert` that has

1. a configuration, a frozen dataclass that is an `EncoderConfig`;
2. an `EncoderFamily` with its names and shapes, and what sources call them;
3. in a second module, since these two must not import TensorFlow, the layers:
   a subclass of `encoder.TransformerEncoder`;

and give it a row in `ENCODERS`. tests/modeling/test_made_up_encoder.py has a
whole one in less than 100 lines.

Canonical names are those of TF Hub's BERT SavedModels as far as a family has
the same parts. Tunings, methods and readers go by this much of them:

| name | what it is |
|---|---|
| word_embeddings/embeddings | the table whose rows are the vocabulary's ids |
| transformer/layer_{i}/... | all that is in layer i, counted from 0 |
| .../...layer_norm/gamma, .../...layer_norm/beta | a layer norm |
| pooler_transform/kernel, /bias | the pooler; a family need not have one |
| others | the embeddings' |
"""

import abc
import dataclasses
import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from tf_adapters.errors import InputError
from tf_adapters.modeling.config import JsonConfig
from tf_adapters.modeling.methods.method import Place
from tf_adapters.modeling.vocabulary import BERT_TOKENS

if TYPE_CHECKING:
  from tf_adapters.modeling.encoder import TransformerEncoder


class EncoderConfig(JsonConfig):
  """The architecture of an encoder: a frozen dataclass with these fields.

  Attributes:
    family: its name in `ENCODERS`; of the class, and no field.
    vocab_size: rows of the table of word embeddings.
    hidden_size: width of the outputs.
    num_hidden_layers: how many Transformer layers there are.
    layer_norm_eps: of every layer norm.
    hidden_dropout_prob: the dropout rate of hidden states.
    hooks: (hook, name) of the places where methods can enter a layer, see
      `methods.method.Place`; of the class.
  """

  family: ClassVar[str]
  hooks: ClassVar[Collection[tuple[str, str]]]

  vocab_size: int
  hidden_size: int
  num_hidden_layers: int
  layer_norm_eps: float
  hidden_dropout_prob: float

  @property
  def longest_text(self) -> int:
    """How many tokens a text can have, special ones included."""
    raise NotImplementedError

  def sizes(self) -> tuple[int, ...]:
    """All that the shapes of its variables depend on."""
    return tuple(value for value in dataclasses.astuple(self)
                 if type(value) is int)

  def widths_at(self, place: Place) -> tuple[int, int]:
    """Widths of what goes in and out at a place where methods can enter.

    Raises:
      InputError: the encoder has no such place.
    """
    if place[1:] not in self.hooks:
      raise InputError(f"an encoder of family {self.family} has no place for a "
                       f"method at {place.hook} {place.name}")
    return self.hidden_size, self.hidden_size

  def function(self) -> str:
    """What its variables do not tell of its outputs: part of fingerprints."""
    return " ".join([self.family, *(
        f"{field.name}={getattr(self, field.name)!r}"
        for field in dataclasses.fields(self)
        if not field.name.endswith("dropout_prob"))])

  def description(self) -> dict[str, str]:
    """What there is to say of it, for people: label -> text."""
    return {
        "architecture": f"{self.num_hidden_layers} layers, hidden size "
                        f"{self.hidden_size}",
        "longest text": f"{self.longest_text} wordpieces"}


class EncoderFamily(abc.ABC):
  """What the package knows of a family of encoders, in one object.

  Attributes:
    name: of the family in `ENCODERS`, in adapter files, and as "model_type" in
      a config.json.
    title: for messages, such as "BERT".
    config: the class of its configurations.
    marks: finds a variable's name, with slashes, that no other family has; None
      where its names tell nothing, so that only "model_type" does.
    places: canonical place -> what else it is called. A place is a layer's
      name; {i} stands for the number of a Transformer layer. Of the other names
      slashes stand for dots, and prefixes such as "bert/" are no part. The
      variables of a place are gamma and beta of a "layer_norm", embeddings of
      an "embedding" or "embeddings", else kernel and bias; what these are
      called elsewhere is the same for all families.
    vocabularies: kinds of vocabularies that its checkpoints come with, of
      `vocabularies.table.VOCABULARIES`: the first one whose files are there is
      read.
    special_tokens: which special tokens there are, and where they stand.
    has_hub_api: whether it fits TF Hub's API of BERTs: its inputs, outputs and
      special tokens; so that it can be exported with it.
  """

  name: str
  title: str
  config: type[EncoderConfig]
  marks: re.Pattern[str] | None = None
  places: Mapping[str, tuple[str, ...]]
  vocabularies: tuple[str, ...] = ("wordpiece",)
  special_tokens = BERT_TOKENS
  has_hub_api = False

  @abc.abstractmethod
  def shapes(self, config: Any) -> dict[str, tuple[int, ...]]:
    """{canonical name: shape} of everything that a checkpoint holds.

    Args:
      config: of the class that the family's are of.
    """

  def layer_norms(self, config: EncoderConfig) -> list[str]:
    """Canonical names of the layer norms, which belong to a task."""
    return [name.removesuffix("/gamma") for name in self.shapes(config)
            if name.endswith("layer_norm/gamma")]

  def as_matrix(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a variable in formats that know no attention heads.

    Args:
      name: canonical.
      shape: its canonical shape.

    Returns:
      (inputs, outputs) of a kernel, (outputs,) of a bias; others as they are.
    """
    if "/self_attention/" not in name:
      return shape
    if name.endswith("attention_output/kernel"):
      return shape[0] * shape[1], shape[2]
    if name.endswith("/kernel"):
      return shape[0], shape[1] * shape[2]
    return (math.prod(shape),)

  def read_config(self, values: Mapping[str, Any],
                  activations: Mapping[str | None, str]) -> EncoderConfig:
    """The architecture that a checkpoint's JSON file says.

    Its fields by their names, as BERT's are.

    Args:
      values: of its bert_config.json or config.json.
      activations: what the source calls an activation -> one of
        `config.ACTIVATIONS`.

    Raises:
      InputError: a value is out of range, or what it says is not offered.
    """
    fields = [field.name for field in dataclasses.fields(self.config)]
    given = {name: values[name] for name in fields if name in values}
    if "hidden_act" in fields:
      activation = values.get("hidden_act", "gelu")
      if not isinstance(activation, str | None) or (
          activation not in activations):
        raise InputError(f"unknown hidden_act {activation!r}")
      given["hidden_act"] = activations[activation]
    return self.config.from_dict(given)

  def config_of_shapes(
      self, shape: Callable[..., tuple[int, ...]], num_layers: int,
      num_attention_heads: Callable[[], int] | None, hidden_act: str,
      layer_norm_eps: float) -> EncoderConfig:
    """The architecture that variables tell, where no JSON file does.

    Args:
      shape: the shape in the file of a canonical name: `shape(name)` of two
        dimensions, `shape(name, ranks)` of as many as one of `ranks` says.
      num_layers: how many Transformer layers there are.
      num_attention_heads: tells it where kernels are matrices, which do not;
        None where nothing does.
      hidden_act, layer_norm_eps: what no shape tells.

    Raises:
      InputError: a tensor is missing or of an unusual shape, or they do not
        tell all.
    """
    raise InputError("the tensors do not tell the architecture: expected "
                     "bert_config.json or config.json beside them")

  @abc.abstractmethod
  def encoder_class(self) -> type["TransformerEncoder"]:
    """The encoder, whose module needs TensorFlow: import it in here."""
