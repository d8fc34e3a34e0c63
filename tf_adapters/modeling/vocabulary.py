"""A checkpoint's vocabulary: tokens, casing and special tokens.

A kind of vocabulary is a file in `vocabularies` and a row of its table: a
`Vocabulary`, which says what the ids of texts depend on, and a `Tokenizer`,
which computes them. All that is the same for every kind (pairs, cutting,
padding, words) is `text.TextProcessor`.
"""

import abc
import dataclasses
import functools
import hashlib
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from tf_adapters.errors import InputError
from tf_adapters.modeling.config import JsonConfig, require

if TYPE_CHECKING:
  import tensorflow as tf

# [CLS] first [SEP] second [SEP], with a wordpiece of each text.
SHORTEST_LENGTH = 5


@dataclasses.dataclass(frozen=True)
class SpecialTokens(JsonConfig):
  """The special tokens of an encoder family, and where they stand.

  A text is `start text end`, a pair `start first *between second end`. The
  defaults are BERT's.

  Attributes:
    start, end: of every sequence. Heads look at the first.
    between: what stands between the two texts of a pair.
    padding: what fills a sequence up.
    unknown: what stands for a word that has no wordpieces.
    mask: of pretraining; no text that is read becomes it.
    segments: whether what follows `between` has type id 1, and not 0.

  Example:
    >>> SpecialTokens("<s>", "</s>", ("</s>", "</s>"), "<pad>", "<unk>",
    ...               "<mask>", segments=False).of_a_pair
    4
  """

  start: str = "[CLS]"
  end: str = "[SEP]"
  between: tuple[str, ...] = ("[SEP]",)
  padding: str = "[PAD]"
  unknown: str = "[UNK]"
  mask: str = "[MASK]"
  segments: bool = True

  def __post_init__(self) -> None:
    object.__setattr__(self, "between", tuple(self.between))

  @property
  def of_a_pair(self) -> int:
    """The number of special tokens around the two texts of a pair."""
    return 2 + len(self.between)

  def all(self) -> set[str]:
    """Returns all of them."""
    return {*self.needed(), self.mask}

  def needed(self) -> set[str]:
    """Returns those that a vocabulary has to have."""
    return {self.padding, self.unknown, self.start, self.end, *self.between}


BERT_TOKENS = SpecialTokens()


class Tokenizer(Protocol):
  """Turns texts into ids.

  Attributes:
    resources: what of TensorFlow it needs beside its graph: a SavedModel has to
      hold that. None of them where all is in the graph.
  """

  resources: tuple[Any, ...]

  def tokenize(self, texts: "tf.Tensor",
               limit: "int | tf.Tensor | None" = None) -> "tf.RaggedTensor":
    """Makes ids: int32 ragged [batch, (wordpieces)].

    Args:
      texts: strings [batch].
      limit: how many wordpieces of each text are wanted, at least: what follows
        them may be missing. None for all.
    """

  def tokenize_words(self, words: "tf.Tensor",
                     limit: "int | tf.Tensor | None" = None,
                     ) -> "tf.RaggedTensor":
    """Tokenises texts of which each is a word in a sentence."""

  def tokenize_with_offsets(self, texts: "tf.Tensor") -> tuple[
      "tf.RaggedTensor", "tf.RaggedTensor", "tf.RaggedTensor"]:
    """Makes ids, and says the bytes that each wordpiece came from.

    Returns:
      Ids, and where each wordpiece begins and ends in its text: int32 and int64
      ragged [batch, (wordpieces)].
    """


class Vocabulary(JsonConfig, abc.ABC):
  """A vocabulary, all that ids of texts depend on: base of dataclasses.

  Attributes:
    kind: its name in `vocabularies.table.VOCABULARIES`.
    in_graph: whether its tokenizer is made of TensorFlow operations, which a
      SavedModel can hold.
    tokens: a token's place is its id.
    lower_case: whether text is lower-cased first.
    added: those of the tokens that are looked for in the text as it stands.
    special: the special tokens, and where they stand.
  """

  kind: ClassVar[str]
  in_graph: ClassVar[bool] = True

  tokens: tuple[str, ...]
  lower_case: bool
  added: tuple[str, ...] = ()
  special: SpecialTokens

  @abc.abstractmethod
  def tokenizer(self) -> Tokenizer:
    """Makes the layer that turns texts into ids; imports TensorFlow."""

  @abc.abstractmethod
  def description(self) -> str:
    """Describes the vocabulary for people."""

  def with_lower_case(self, lower_case: bool) -> Self:
    """Returns the same, except for whether text is lower-cased.

    Raises:
      InputError: the kind has no choice.
    """
    if lower_case != self.lower_case:
      raise InputError(
          f"texts of a {self.kind} vocabulary are "
          f"{'' if self.lower_case else 'not '}lower-cased: leave "
          "do_lower_case (lower_case) out")
    return self

  def without_segments(self) -> Self:
    """Returns the same, where both texts of a pair have the type id 0."""
    if not self.special.segments:
      return self
    return dataclasses.replace(
        self, special=dataclasses.replace(self.special, segments=False))

  def to_dict(self) -> dict[str, Any]:
    values = super().to_dict()
    if "special" in values:  # a field, and not the same for all of a kind
      values["special"] = self.special.to_dict()
    return values

  def read_special(self) -> None:
    """Makes `special` of JSON values, where it is given as these."""
    object.__setattr__(self, "special", SpecialTokens.of(self.special))

  def check_tokens(self) -> None:
    """Sees to it that special tokens and added ones are tokens.

    Raises:
      InputError: one is not.
    """
    known = set(self.tokens)
    missing = self.special.needed() - known
    require(not missing,
            f"the vocabulary lacks {', '.join(sorted(missing))}")
    strange = set(self.added) - (known - {""})
    require(not strange, "the vocabulary lacks the added tokens "
            f"{', '.join(sorted(map(repr, strange)))}")

  def id_of(self, token: str) -> int:
    """Returns the id of a token: its last place.

    Raises:
      ValueError: there is no such token.
    """
    return len(self.tokens) - 1 - self.tokens[::-1].index(token)

  def sha256(self) -> str:
    """Returns the hex digest of the tokens, in their order."""
    return hashlib.sha256("\n".join(self.tokens).encode()).hexdigest()

  def fingerprint(self) -> dict[str, Any]:
    """Returns a fingerprint: vocabularies with the same one make the same ids.

    JSON values: "lower_case", "vocab_sha256", and what departs from BERT.
    """
    return dict(self._fingerprint)

  # Once: it takes as long as all else that is checked of an adapter file.
  @functools.cached_property
  def _fingerprint(self) -> dict[str, Any]:
    return {"lower_case": self.lower_case, "vocab_sha256": self.sha256(),
            **departs(self), **departs(self.special)}


def departs(config: JsonConfig) -> dict[str, Any]:
  """Returns the fields that have another value than their default, as JSON."""
  values = config.to_dict()
  return {field.name: values[field.name] for field in dataclasses.fields(config)
          if field.default is not dataclasses.MISSING
          and not isinstance(field.default, JsonConfig)
          and getattr(config, field.name) != field.default}
