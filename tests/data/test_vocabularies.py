"""Windows of contexts, and words, where blanks belong to wordpieces."""

import base64
import json
import pathlib

import numpy as np
import pytest

import tf_adapters as ta
from tests import sentence_piece_reference
from tf_adapters.data.squad_options import SquadOptions
from tf_adapters.data.squad_split import Question, SquadSplit
from tf_adapters.data.tagging import TaggedSplit
from tf_adapters.modeling.encoders.roberta import ROBERTA
from tf_adapters.modeling.vocabularies.byte_pairs import BytePairsVocabulary
from tf_adapters.modeling.vocabularies.sentence_piece import (
  AlbertVocabulary,
  FairseqVocabulary,
)
from tf_adapters.modeling.vocabulary import SpecialTokens

GOLDENS = pathlib.Path(__file__).parents[1] / "modeling/vocabularies/goldens"
CONTEXT = ("All  human beings,\tWürde und Rechten 人人生而自由 in 1999, "
           "и правах. « ÉGALITÉ »\u00a0naissent libres")
ANSWERS = ["human beings", "Würde", "人生", "1999", "в", "ÉGALITÉ", "libres"]


@pytest.fixture(scope="module", params=["byte_pairs", "fairseq", "albert"])
def text(request):
  special = ROBERTA.special_tokens
  if request.param == "byte_pairs":
    pytest.importorskip("tokenizers")
    ids = json.loads((GOLDENS / "roberta" / "vocab.json").read_text())
    merges = (GOLDENS / "roberta" / "merges.txt").read_text().splitlines()
    vocabulary = BytePairsVocabulary(
        tuple(sorted(ids, key=ids.get)), tuple(merges[1:]), special=special)
  else:
    model = base64.b64encode(
        sentence_piece_reference.train(request.param)).decode()
    vocabulary = FairseqVocabulary(model, special) if (
        request.param == "fairseq") else AlbertVocabulary(
            model, special=SpecialTokens(padding="<pad>", unknown="<unk>"))
  return ta.TextProcessor(vocabulary, 48)


def test_answers_in_windows(text):
  split = SquadSplit([CONTEXT], [
      Question(answer, "All human?", 0, (answer,), CONTEXT.find(answer))
      for answer in ANSWERS if answer in CONTEXT],
      SquadOptions(doc_stride=8, max_query_length=12))
  encoded = split.encode(text)
  context = encoded.contexts[0]
  assert (np.diff(context.begins) >= 0).all()
  assert (np.diff(context.ends) >= 0).all()
  between = text.vocabulary.id_of(text.vocabulary.special.end)
  found = set()
  for window, row, (first, last) in zip(
      encoded.windows, encoded.word_ids.to_list(), encoded.labels.numpy()):
    assert row[window.offset - 1] == between
    if first:
      question = split.questions[window.question]
      shift = window.offset - window.start
      begin, end = context.place(first - shift, last - shift)
      # No blank around an answer; wordpieces may have more than its letters.
      assert question.answers[0] in CONTEXT[begin:end]
      assert CONTEXT[begin:end] == CONTEXT[begin:end].strip()
      found.add(question.id)
  assert found == {question.id for question in split.questions}


def test_words_are_labelled_at_their_first_wordpiece(text):
  words = CONTEXT.split()
  split = TaggedSplit([words], [np.arange(len(words), dtype=np.int32)], ["0"])
  encoded = split.encode(text)
  starts = encoded.starts.to_list()[0]
  kept = [start for start in starts if start >= 0]
  assert starts[0] == 1
  assert kept == sorted(set(kept))
  labels = encoded.labels.to_list()[0]
  assert [labels[start] for start in kept] == list(range(len(kept)))
  assert encoded.cut == len(starts) - len(kept)
