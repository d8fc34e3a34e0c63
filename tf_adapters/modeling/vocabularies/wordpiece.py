"""WordPiece: the vocabulary of BERT, and of others that split words as it."""

import dataclasses
from typing import TYPE_CHECKING, Any

from tf_adapters.modeling.config import require
from tf_adapters.modeling.vocabulary import (
    BERT_TOKENS,
    SpecialTokens,
    Vocabulary,
)

if TYPE_CHECKING:
  from tf_adapters.modeling.vocabularies.wordpiece_tokenizer import (
      WordpieceTokenizer,
  )

LONGEST_WORD = 200  # characters; longer ones are [UNK], as for google-research
SUFFIX = "##"  # of wordpieces that go on with a word
# tensorflow_text takes no longer wordpieces.
_LONGEST_TOKEN_BYTES = 256


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
class WordpieceVocabulary(Vocabulary):
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
    caseless: those of `added` with capitals that are found in every spelling
      where text is lower-cased; the others with capitals only as written.
    special: the special tokens, and where they stand.
  """

  kind = "wordpiece"

  tokens: tuple[str, ...] = dataclasses.field(repr=False)
  lower_case: bool
  strip_accents: bool | None = None
  tokenize_chinese_chars: bool = True
  added: tuple[str, ...] = ()
  caseless: tuple[str, ...] = ()
  special: SpecialTokens = BERT_TOKENS

  def __post_init__(self) -> None:
    self.read_special()
    for name in ("tokens", "added", "caseless"):
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
    self.check_tokens()
    strange = set(self.caseless) - set(self.added)
    require(not strange, "caseless: no added tokens are "
            f"{', '.join(sorted(map(repr, strange)))}")

  def tokenizer(self) -> "WordpieceTokenizer":
    from tf_adapters.modeling.vocabularies.wordpiece_tokenizer import (
        WordpieceTokenizer,
    )
    return WordpieceTokenizer(self)

  def description(self) -> str:
    return ", ".join(filter(None, [
        f"{len(self.tokens) - len(self.added):,} wordpieces",
        f"{len(self.added):,} added tokens" if self.added else "",
        "lower-cased" if self.lower_case else "cased",
        f"strip_accents={self.strips_accents}"
        if self.strips_accents != self.lower_case else "",
        "" if self.tokenize_chinese_chars
        else "tokenize_chinese_chars=False"]))

  def with_lower_case(self, lower_case: bool) -> "WordpieceVocabulary":
    return dataclasses.replace(self, lower_case=lower_case)

  @property
  def strips_accents(self) -> bool:
    """Whether text loses its accents first."""
    return (self.lower_case if self.strip_accents is None
            else self.strip_accents)

  def wordpieces(self) -> list[str]:
    """Returns each token once: others stand for those that never match.

    That are empty ones and those with blanks, all but the last of equal ones,
    those that are longer than a word can be, and the added ones.
    """
    last = {token: place for place, token in enumerate(self.tokens)}
    return [token if last[token] == place and token.split() == [token]
            and len(token) <= LONGEST_WORD + len(SUFFIX)
            and token not in self.added else f"[never{place}]"
            for place, token in enumerate(self.tokens)]
