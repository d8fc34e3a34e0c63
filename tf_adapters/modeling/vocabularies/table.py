"""The kinds of vocabularies that there are."""

from collections.abc import Mapping
from typing import Any, overload

from tf_adapters.errors import InputError
from tf_adapters.modeling.vocabularies.byte_pairs import BytePairsVocabulary
from tf_adapters.modeling.vocabularies.sentence_piece import (
    AlbertVocabulary,
    FairseqVocabulary,
    PlainVocabulary,
)
from tf_adapters.modeling.vocabularies.wordpiece import WordpieceVocabulary
from tf_adapters.modeling.vocabulary import Vocabulary

VOCABULARIES: dict[str, type[Vocabulary]] = {
    kind.kind: kind for kind in (
        WordpieceVocabulary, AlbertVocabulary, FairseqVocabulary,
        PlainVocabulary, BytePairsVocabulary)}

# In a vocabulary that is written down; without it, as in version 0.1, it is of
# wordpieces.
_KEY = "kind"


def vocabulary_to_dict(vocabulary: Vocabulary) -> dict[str, Any]:
  """Returns a vocabulary as JSON values, for `vocabulary_of`."""
  kind = {} if isinstance(vocabulary, WordpieceVocabulary) else {
      _KEY: vocabulary.kind}
  return {**kind, **vocabulary.to_dict()}


@overload
def vocabulary_of(value: Vocabulary | Mapping[str, Any]) -> Vocabulary: ...


@overload
def vocabulary_of(value: None) -> None: ...


def vocabulary_of(
    value: Vocabulary | Mapping[str, Any] | None) -> Vocabulary | None:
  """Makes a vocabulary of what a layer's constructor or `get_config` gives.

  Raises:
    InputError: of a kind that is not known, or a value is out of range.
  """
  if not isinstance(value, Mapping):
    return value
  values = dict(value)
  kind = values.pop(_KEY, WordpieceVocabulary.kind)
  if not isinstance(kind, str) or kind not in VOCABULARIES:
    raise InputError(f"vocabulary kind {kind!r:.50} is not known: expected one "
                     f"of {', '.join(VOCABULARIES)}")
  return VOCABULARIES[kind].from_dict(values)
