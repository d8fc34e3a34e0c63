"""What a checkpoint says of text: its wordpieces, casing and special tokens."""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

from tf_adapters.modeling.config import JsonConfig, require

LONGEST_WORD = 200  # characters; longer ones are [UNK], as for google-research
SUFFIX = "##"  # of wordpieces that go on with a word
# tensorflow_text takes no longer wordpieces.
_LONGEST_TOKEN_BYTES = 256

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
    """How many stand around the two texts of a pair."""
    return 2 + len(self.between)

  def needed(self) -> set[str]:
    """Those that a vocabulary has to have."""
    return {self.padding, self.unknown, self.start, self.end, *self.between}


def _check_token(token: Any, place: int) -> None:
  """Raises InputError for what cannot be a line of a vocabulary."""
  what = f"token {place}, counted from 0,"
  require(isinstance(token, str) and not set("\0\r\n") & set(token)
          and not any("\ud800" <= character <= "\udfff"
                for character in token),
          f"{what} cannot be a wordpiece: {token!r:.50}")
  size = len(token.encode())
  require(size <= _LONGEST_TOKEN_BYTES or len(token) > LONGEST_WORD,
          f"{what} has {size} bytes, tensorflow_text takes "
          f"{_LONGEST_TOKEN_BYTES}: {token!r:.50}")


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
    special: the special tokens, and where they stand.
  """

  tokens: tuple[str, ...] = dataclasses.field(repr=False)
  lower_case: bool
  strip_accents: bool | None = None
  tokenize_chinese_chars: bool = True
  added: tuple[str, ...] = ()
  special: SpecialTokens = SpecialTokens()

  def __post_init__(self) -> None:
    if isinstance(self.special, Mapping):
      object.__setattr__(
          self, "special", SpecialTokens.from_dict(self.special))
    for name in ("tokens", "added"):
      object.__setattr__(self, name, tuple(getattr(self, name)))
    for name in ("lower_case", "tokenize_chinese_chars"):
      value = getattr(self, name)
      require(type(value) is bool,
              f"{name} must be true or false, not {value!r:.50}")
    require(self.strip_accents in (None, True, False),
            "strip_accents must be true, false or null, not "
            f"{self.strip_accents!r:.50}")
    for place, token in enumerate(self.tokens):
      _check_token(token, place)
    missing = self.special.needed() - set(self.tokens)
    require(not missing,
            f"the vocabulary lacks {', '.join(sorted(missing))}")
    strange = set(self.added) - set(self.tokens) | {""} & set(self.added)
    require(not strange, "the vocabulary lacks the added tokens "
            f"{', '.join(sorted(map(repr, strange)))}")

  def to_dict(self) -> dict[str, Any]:
    return {**super().to_dict(), "special": self.special.to_dict()}

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
    return {"lower_case": self.lower_case, "vocab_sha256": self.sha256(),
            **_departs(self), **_departs(self.special)}


def _departs(config: JsonConfig) -> dict[str, Any]:
  """Fields that have another value than their default, as JSON values."""
  values = config.to_dict()
  return {field.name: values[field.name] for field in dataclasses.fields(config)
          if field.default is not dataclasses.MISSING
          and not isinstance(field.default, JsonConfig)
          and getattr(config, field.name) != field.default}
