"""Encoder families: all that the rest of the package asks of one.

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
| transformer/... | what all layers share, where they do |
| .../...layer_norm/gamma, .../...layer_norm/beta | a layer norm |
| final_layer_norm/gamma, /beta | behind the last layer, if norms come first |
| pooler_transform/kernel, /bias | the pooler; a family need not have one |
| others | the embeddings' |
"""

import abc
import dataclasses
import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from tf_adapters.errors import InputError
from tf_adapters.modeling.config import JsonConfig
from tf_adapters.modeling.methods.places import Place
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
    layer_norm_eps: of every layer norm; None where these do not normalise, but
      scale and shift alone.
    hidden_dropout_prob: the dropout rate of hidden states.
    hooks: (hook, name) of the places where methods can enter a layer, see
      `methods.places.Place`; of the class.
    shares_layers: whether all layers have the same weights; of the class.
  """

  family: ClassVar[str]
  hooks: ClassVar[Collection[tuple[str, str]]]
  shares_layers: ClassVar[bool] = False

  vocab_size: int
  hidden_size: int
  num_hidden_layers: int
  layer_norm_eps: float | None
  hidden_dropout_prob: float

  @property
  def longest_text(self) -> int:
    """The most tokens that a text can have, special ones included."""
    raise NotImplementedError

  @property
  def has_one_segment(self) -> bool:
    """Whether both texts of a pair have the type id 0, as there is no other."""
    return False

  def layer_name(self, number: int) -> str:
    """Returns the beginning of canonical names of a layer's variables."""
    return "transformer" if self.shares_layers else (
        f"transformer/layer_{number}")

  def sizes(self) -> tuple[int, ...]:
    """Returns all that the shapes of its variables depend on."""
    return tuple(value for value in vars(self).values() if type(value) is int)

  def widths_at(self, place: Place) -> tuple[int, int]:
    """Returns the widths of what goes in and out where methods can enter.

    Raises:
      InputError: the encoder has no such place.
    """
    if place[1:] not in self.hooks:
      raise InputError(f"an encoder of family {self.family} has no place for a "
                       f"method at {place.hook} {place.name}")
    return self.hidden_size, self.hidden_size

  def function(self) -> str:
    """Describes the function apart from its variables, for fingerprints."""
    return " ".join([self.family, *(
        f"{field.name}={getattr(self, field.name)!r}"
        for field in dataclasses.fields(self)
        if not field.name.endswith("dropout_prob"))])

  def description(self) -> dict[str, str]:
    """Describes the architecture for people: label -> text."""
    return {
        "architecture": f"{self.num_hidden_layers} layers, hidden size "
                        f"{self.hidden_size}",
        "longest text": f"{self.longest_text} wordpieces"}


class GraphFacts(Protocol):
  """Facts on an architecture that operations tell, and variables do not.

  Each of them raises an InputError where there is no telling.
  """

  def num_layers(self) -> int:
    """Returns the number of layers, also where they share their weights."""

  def num_attention_heads(self) -> int:
    """Returns the number of attention heads of each layer."""

  def hidden_act(self) -> str:
    """Returns the activation, one of `config.ACTIVATIONS`."""

  def layer_norm_eps(self) -> float:
    """Returns the epsilon of every layer norm."""


@dataclasses.dataclass(frozen=True)
class TorchNames:
  """The names of a family's models in Hugging Face's transformers.

  Adapter files of AdapterHub and PEFT go by these names, and by those that come
  first in `EncoderFamily.places`.

  Attributes:
    model: how their classes begin: "Bert" of "BertForTokenClassification".
    encoder: what the encoder is called in a model with a head: "bert".
    sublayers: where AdapterHub has adapters that are computed as here, as in
      `places`: {one of `methods.places.SUBLAYERS`: module}.
    prefixes: what AdapterHub calls the prefixes of attention; "" where they are
      not computed as here.
    text_head: modules of the head for whole texts. One alone sees what the
      pooler gives, the first of two the first token's output.
    text_head_act: the activation between two.
    read_as: names of other families that such an encoder can be here.
  """

  model: str
  encoder: str
  sublayers: Mapping[str, str]
  prefixes: str = "self_prefix"
  text_head: tuple[str, ...] = ("classifier",)
  text_head_act: str = "tanh"
  read_as: tuple[str, ...] = ()


class EncoderFamily(abc.ABC):
  """A family of encoders: all that the package knows of it, in one object.

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
    variables: canonical name -> what else it is called, of variables that are
      no such part of a place.
    beside: finds a variable's name, with slashes, that is no part of the
      encoder; names of heads need not be told, see `checkpoints.names`.
    may_lack_pooler: whether pretraining had no pooler, so that files have none,
      or one that is the identity.
    zeros: finds canonical names of variables that may be missing in files: they
      are zeros then.
    special_tokens: which special tokens there are, and where they stand.
    transformers_defaults: what transformers takes for values that are not in a
      config.json, where that is something else than here.
    torch_names: what its models are called in PyTorch, where other libraries'
      adapter files for them are read and written.
    has_hub_api: whether TF Hub's preprocessing, `[CLS] a [SEP] b [SEP]`, makes
      what it takes; so that it can be exported as one of TF Hub's BERTs.
  """

  name: str
  title: str
  config: type[EncoderConfig]
  marks: re.Pattern[str] | None = None
  places: Mapping[str, tuple[str, ...]]
  variables: Mapping[str, tuple[str, ...]] = {}
  beside: re.Pattern[str] | None = None
  may_lack_pooler = False
  zeros: re.Pattern[str] | None = None
  vocabularies: tuple[str, ...] = ("wordpiece",)
  special_tokens = BERT_TOKENS
  transformers_defaults: Mapping[str, Any] = {}
  torch_names: TorchNames | None = None
  has_hub_api = False

  @abc.abstractmethod
  def shapes(self, config: Any) -> dict[str, tuple[int, ...]]:
    """Returns {canonical name: shape} of everything that a checkpoint holds.

    Args:
      config: of the class that the family's are of.
    """

  def layer_norms(self, config: EncoderConfig) -> dict[str, int]:
    """Returns {canonical name: width} of the layer norms that belong to a task.
    """
    return {name.removesuffix("/gamma"): shape[0]
            for name, shape in self.shapes(config).items()
            if name.endswith("layer_norm/gamma")}

  def as_matrix(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the shape of a variable in formats that know no attention heads.

    Args:
      name: canonical.
      shape: its canonical shape.

    Returns:
      (inputs, outputs) of a kernel, (outputs,) of a bias; others as they are.
    """
    if not re.search(r"/self_attention/.*/(kernel|bias)$", name):
      return shape
    if name.endswith("attention_output/kernel"):
      return shape[0] * shape[1], shape[2]
    if name.endswith("/kernel"):
      return shape[0], shape[1] * shape[2]
    return (math.prod(shape),)

  def read_config(self, values: Mapping[str, Any],
                  activations: Mapping[str | None, str]) -> EncoderConfig:
    """Reads the architecture from a checkpoint's JSON file.

    Its fields by their names, as BERT's are. It may be another family's, where
    this one's files are a case of that.

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
      graph: GraphFacts) -> EncoderConfig:
    """Returns the architecture that variables tell, where no JSON file does.

    Args:
      shape: the shape in the file of a canonical name: `shape(name)` of two
        dimensions, `shape(name, ranks)` of as many as one of `ranks` says.
      num_layers: how many Transformer layers there are.
      graph: what no shape tells; nor does one the heads where kernels are
        matrices.

    Raises:
      InputError: a tensor is missing or of an unusual shape, or they do not
        tell all.
    """
    raise InputError("the tensors do not tell the architecture: expected "
                     "bert_config.json or config.json beside them")

  @abc.abstractmethod
  def encoder_class(self) -> type["TransformerEncoder"]:
    """Returns the encoder, whose module needs TensorFlow: import it in here."""
