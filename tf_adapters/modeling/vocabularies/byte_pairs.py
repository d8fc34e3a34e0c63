"""Byte-level BPE: the vocabulary of GPT-2, RoBERTa and ModernBERT."""

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any

from tf_adapters.modeling.config import require
from tf_adapters.modeling.vocabulary import (
    BERT_TOKENS,
    SpecialTokens,
    Vocabulary,
)

if TYPE_CHECKING:
  from tf_adapters.modeling.vocabularies.byte_pairs_tokenizer import (
      BytePairsTokenizer,
  )

NORMALIZATIONS = ("", "NFC")


@dataclasses.dataclass(frozen=True)
class BytePairsVocabulary(Vocabulary):
  """A vocabulary of byte-level BPE (Radford et al. 2019).

  Its tokenizer is the library `tokenizers`, outside of TensorFlow's graphs.

  Attributes:
    tokens: the tokens, in GPT-2's letters for bytes; a token's place is its id.
    merges: pairs of tokens that become one, "a b", the first ones first.
    add_prefix_space: whether texts begin as words do.
    normalization: one of `NORMALIZATIONS`, of Unicode.
    added: those of the tokens that are looked for in the text as it stands.
    special: the special tokens, and where they stand.
  """

  kind = "byte_pairs"
  in_graph = False
  lower_case = False

  tokens: tuple[str, ...] = dataclasses.field(repr=False)
  merges: tuple[str, ...] = dataclasses.field(repr=False)
  add_prefix_space: bool = False
  normalization: str = ""
  added: tuple[str, ...] = ()
  special: SpecialTokens = BERT_TOKENS

  def __post_init__(self) -> None:
    self.read_special()
    for name in ("tokens", "merges", "added"):
      object.__setattr__(self, name, tuple(getattr(self, name)))
      require(all(isinstance(value, str) for value in getattr(self, name)),
              f"{name} must be texts")
    require(type(self.add_prefix_space) is bool,
            "add_prefix_space must be true or false, not "
            f"{self.add_prefix_space!r:.50}")
    require(self.normalization in NORMALIZATIONS,
            f"normalization must be one of {NORMALIZATIONS}, not "
            f"{self.normalization!r:.50}")
    self.check_tokens()
    known = set(self.tokens)
    for merge in self.merges:
      pair = merge.split(" ")
      require(len(pair) == 2 and {*pair, "".join(pair)} <= known,
              f"{merge!r:.50} is no pair of tokens that become one")

  def tokenizer(self) -> "BytePairsTokenizer":
    from tf_adapters.modeling.vocabularies.byte_pairs_tokenizer import (
        BytePairsTokenizer,
    )
    return BytePairsTokenizer(self)

  def description(self) -> str:
    return ", ".join(filter(None, [
        f"{len(self.tokens) - len(self.added):,} tokens of byte-level BPE",
        f"{len(self.added):,} added tokens" if self.added else "", "cased",
        self.normalization]))

  def sha256(self) -> str:
    """Returns the hex digest of the tokens and the merges, in their order."""
    return hashlib.sha256("\n".join(
        [*self.tokens, "", *self.merges]).encode()).hexdigest()

  def fingerprint(self) -> dict[str, Any]:
    return {"kind": self.kind, **super().fingerprint()}
