"""SentencePiece, by the rules of ALBERT, of DeBERTa-v3 and of XLM-RoBERTa."""

import base64
import binascii
import dataclasses
import hashlib
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tf_adapters.errors import InputError, first_line
from tf_adapters.modeling.config import require
from tf_adapters.modeling.vocabulary import (
    BERT_TOKENS,
    SpecialTokens,
    Vocabulary,
)

if TYPE_CHECKING:
  from tf_adapters.modeling.vocabularies.sentence_piece_tokenizer import (
      AlbertTokenizer,
      FairseqTokenizer,
      PlainTokenizer,
  )

BLANK = "▁"  # what stands for a blank in a piece
# A character that ALBERT's normalisation drops: see `AlbertTokenizer`.
DROPPED = "\x01"

# fairseq's tokens in front of the model's, without those that the model has in
# front of its own: <unk>, <s>, </s>.
FAIRSEQ_FIRST = ("<s>", "<pad>", "</s>", "<unk>")
_MODEL_FIRST = ("<unk>", "<s>", "</s>")


class SentencePieceVocabulary(Vocabulary):
  """A trained model of SentencePiece, and what is done around it.

  Attributes:
    model: the bytes of the model's file, as base64.
  """

  model: str

  @property
  def model_bytes(self) -> bytes:
    """The model's file."""
    return base64.b64decode(self.model)

  def processor(self) -> Any:
    """Returns the model, as SentencePiece's own library reads it."""
    import sentencepiece
    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(self.model_bytes)
    return processor

  def sha256(self) -> str:
    """Returns the hex digest of the model's file."""
    return hashlib.sha256(self.model_bytes).hexdigest()

  def fingerprint(self) -> dict[str, Any]:
    return {"kind": self.kind, **super().fingerprint()}

  def to_dict(self) -> dict[str, Any]:
    values = super().to_dict()
    del values["tokens"]  # which follow from the model
    return values

  def _check(self) -> None:
    """Makes tokens of the model.

    Raises:
      InputError: it is none, or lacks what the rules need.
    """
    self.read_special()
    try:
      processor = self.processor()
      pieces = processor.id_to_piece(list(range(processor.get_piece_size())))
    except (TypeError, binascii.Error, RuntimeError, OSError) as error:
      raise InputError("not a model of SentencePiece: "
                       f"{first_line(error)}") from None
    object.__setattr__(self, "tokens", tuple(self._tokens_of(pieces)))
    self.check_tokens()

  def _tokens_of(self, pieces: Sequence[str]) -> Sequence[str]:
    """Returns the tokens, from the model's pieces in order."""
    raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class AlbertVocabulary(SentencePieceVocabulary):
  """SentencePiece by the rules of google-research/albert tokenization.py.

  Attributes:
    model: the bytes of the model's file, as base64.
    lower_case: whether text is lower-cased first.
    keep_accents: whether text keeps its accents and compatibility characters.
    special: the special tokens, and where they stand.
    tokens: the model's pieces.
  """

  kind = "albert"

  model: str = dataclasses.field(repr=False)
  lower_case: bool = True
  keep_accents: bool = False
  special: SpecialTokens = BERT_TOKENS
  tokens: tuple[str, ...] = dataclasses.field(
      init=False, repr=False, compare=False)

  def __post_init__(self) -> None:
    for name in ("lower_case", "keep_accents"):
      value = getattr(self, name)
      require(type(value) is bool,
              f"{name} must be true or false, not {value!r:.50}")
    self._check()

  def _tokens_of(self, pieces: Sequence[str]) -> Sequence[str]:
    return pieces

  def tokenizer(self) -> "AlbertTokenizer":
    from tf_adapters.modeling.vocabularies.sentence_piece_tokenizer import (
        AlbertTokenizer,
    )
    return AlbertTokenizer(self)

  def description(self) -> str:
    return (f"{len(self.tokens):,} pieces of SentencePiece, "
            f"{'lower-cased' if self.lower_case else 'cased'}"
            f"{', keep_accents=True' if self.keep_accents else ''}")

  def with_lower_case(self, lower_case: bool) -> "AlbertVocabulary":
    return dataclasses.replace(self, lower_case=lower_case)

  def normalize(self, character: str) -> str:
    """Normalizes a character before pieces are looked for.

    A final sigma is no matter of a character: see `AlbertTokenizer`.
    """
    if character.isspace():
      return " "
    if character == DROPPED:
      return ""
    if not self.keep_accents:
      character = "".join(
          part for part in unicodedata.normalize("NFKD", character)
          if not unicodedata.combining(part))
    return character.lower() if self.lower_case else character

  def taken_apart(self) -> dict[int, list[int]]:
    """Returns {piece that ends in a digit and a comma: what takes its place}.

    So "9,9" is "9", "," and "9", and not "9," and "9".
    """
    processor, result = self.processor(), {}
    for number, piece in enumerate(self.tokens):
      if len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit():
        parts = processor.encode(
            piece[:-1].replace(BLANK, ""), out_type=str)
        if piece[0] != BLANK and parts[0][0] == BLANK:
          parts = [part for part in (parts[0][1:], *parts[1:]) if part]
        result[number] = processor.piece_to_id([*parts, piece[-1]])
    return result


@dataclasses.dataclass(frozen=True)
class PlainVocabulary(SentencePieceVocabulary):
  """SentencePiece with the model's own ids, as DeBERTa-v3 has them.

  Attributes:
    model: the bytes of the model's file, as base64.
    special: the special tokens, and where they stand.
    tokens: the model's pieces, and behind them the token for masks, where the
      model has none.
  """

  kind = "sentencepiece"
  lower_case = False

  model: str = dataclasses.field(repr=False)
  special: SpecialTokens = BERT_TOKENS
  tokens: tuple[str, ...] = dataclasses.field(
      init=False, repr=False, compare=False)

  def __post_init__(self) -> None:
    self._check()

  def _tokens_of(self, pieces: Sequence[str]) -> Sequence[str]:
    mask = self.special.mask
    return pieces if mask in pieces else [*pieces, mask]

  def tokenizer(self) -> "PlainTokenizer":
    from tf_adapters.modeling.vocabularies.sentence_piece_tokenizer import (
        PlainTokenizer,
    )
    return PlainTokenizer(self)

  def description(self) -> str:
    return f"{len(self.tokens):,} pieces of SentencePiece, cased"


@dataclasses.dataclass(frozen=True)
class FairseqVocabulary(PlainVocabulary):
  """SentencePiece with the ids of fairseq, as XLM-RoBERTa has them.

  Attributes:
    tokens: fairseq's special tokens, the model's pieces, and <mask>.
  """

  kind = "fairseq"

  def _tokens_of(self, pieces: Sequence[str]) -> Sequence[str]:
    require(tuple(pieces[:3]) == _MODEL_FIRST,
            "a model of SentencePiece for XLM-RoBERTa begins with "
            f"{', '.join(_MODEL_FIRST)}, not {', '.join(pieces[:3])}")
    return [*FAIRSEQ_FIRST, *pieces[3:], "<mask>"]

  def tokenizer(self) -> "FairseqTokenizer":
    from tf_adapters.modeling.vocabularies.sentence_piece_tokenizer import (
        FairseqTokenizer,
    )
    return FairseqTokenizer(self)
