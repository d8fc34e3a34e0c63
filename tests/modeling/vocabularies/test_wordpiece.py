"""Ids of texts against google-research/bert's rules in plain Python."""

import random
import unicodedata

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text as tf_text
from hypothesis import given, settings, strategies as st

import tf_adapters as ta
from tests import bert_reference, scripts
from tests.conftest import TOKENS
from tf_adapters.modeling.normalization import normalize, normalizer_model
from tf_adapters.modeling.vocabularies.wordpiece import (
    WordpieceVocabulary as Vocabulary,
)
from tf_adapters.modeling.vocabularies.wordpiece_tokenizer import (
    WordpieceTokenizer,
)


class Both:
  """The project's tokenizer and the reference, on one vocabulary."""

  def __init__(self, tokens, lower_case, **settings):
    self.vocabulary = Vocabulary(tuple(tokens), lower_case, **settings)
    self.tokenizer = WordpieceTokenizer(self.vocabulary)

  def ids(self, texts):
    return self.tokenizer.tokenize(tf.constant(texts)).to_list()

  def expected(self, texts):
    ids = bert_reference.ids_of_lines(self.vocabulary.tokens)
    return [bert_reference.tokenize(
        text, ids, self.vocabulary.lower_case, self.vocabulary.strip_accents,
        self.vocabulary.tokenize_chinese_chars, self.vocabulary.added)
            for text in texts]

  def agree(self, texts):
    for text, ids, expected in zip(
        texts, self.ids(texts), self.expected(texts), strict=True):
      assert ids == expected, text

  @classmethod
  def of(cls, texts, lower_case, **settings):
    """With a vocabulary of the texts' own words."""
    words = [word for text in texts for word in bert_reference.words_of(
        text, lower_case, settings.get("strip_accents"),
        settings.get("tokenize_chinese_chars", True))]
    return cls(scripts.vocabulary_of(words, seed=0), lower_case, **settings)


@pytest.mark.parametrize("lower_case", [True, False])
def test_texts_of_twenty_scripts(lower_case):
  names, texts = zip(*scripts.texts(1000, seed=int(lower_case)))
  assert len(set(names)) == 20
  both = Both.of(texts, lower_case)
  both.agree(texts)
  ids = np.concatenate(both.expected(texts))
  assert np.mean(ids == 1) < 0.05  # [UNK] would be right too often


@pytest.mark.parametrize("lower_case", [True, False])
def test_any_characters(lower_case):
  """Of every kind that there is, in no order."""
  rng = random.Random(0)
  pool = [chr(code) for code in (*range(1, 0x32000), *range(0xE0000, 0xE01F0))
          if unicodedata.category(chr(code)) not in ("Cn", "Cs")]
  texts = ["".join(rng.choice(pool if rng.random() < 0.5 else "aBΣς.'^\u0301 ,")
                   for _ in range(rng.randint(1, 30))) for _ in range(300)]
  Both.of(texts, lower_case).agree(texts)


@settings(max_examples=80, deadline=None)
@given(text=st.text(st.one_of(
    st.sampled_from("aBcİıßẞςΣσΆ.'’·:ªⅣⒶ\u0301\u00ad\u200d ,中가かが゙ᾼǅ"),
    st.characters(codec="utf-8")), max_size=40))
def test_lower_case_is_pythons(text):
  """Words as they are normalised, whatever wordpieces there are."""
  words = bert_reference.words_of(text, lower_case=True)
  Both(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", *words), True).agree([text])


@pytest.mark.parametrize("strip_accents", [True, False])
@pytest.mark.parametrize("lower_case", [True, False])
@pytest.mark.parametrize("chinese", [True, False])
def test_other_normalisations(lower_case, strip_accents, chinese):
  _, texts = zip(*scripts.texts(100, seed=3))
  Both.of(texts, lower_case, strip_accents=strip_accents,
          tokenize_chinese_chars=chinese).agree(texts)


def test_every_character_is_normalised_as_python_does():
  texts = [chr(code) for code in range(1, 0x110000)
           if not 0xD800 <= code <= 0xDFFF]
  model = tf.constant(normalizer_model(True, True))
  normalized = tf_text.FastBertNormalizer(model_buffer=model).normalize(texts)
  assert [text.decode() for text in normalized.numpy()] == [
      normalize(text, True, True) for text in texts]


WORDS = [
    "a" * 200, "a" * 201, "b" * 801, "\u0301" + "a\u0301" * 200, "é" * 200,
    "é" * 201, "ก" * 200, "ก" * 201, "각" * 66, "각" * 67, "a" * 150 + "."
    + "a" * 150, "\u200b".join("a" * 201), "中" * 300, "😀" * 200, "😀" * 201,
    "a" * 199 + "中" + "b" * 202 + "good"]


@pytest.mark.parametrize("lower_case", [True, False])
def test_long_words(lower_case):
  """200 characters, not bytes, and counted when a word is normalised."""
  texts = [*WORDS, *(f"is {word} good" for word in WORDS), " ".join(WORDS)]
  tokens = [*TOKENS, *"éก각中😀각"]
  tokens += [f"##{c}" for c in "éก각中😀각\u0301"]
  Both(tokens, lower_case).agree(texts)


def test_offsets_of_long_words():
  tokenizer = Both([*TOKENS, "ก", "##ก"], True).tokenizer
  text = f"is {'ก' * 201} {'ก' * 2} good"
  ids, begins, ends = (values.to_list()[0] for values in
                       tokenizer.tokenize_with_offsets(tf.constant([text])))
  assert [text.encode()[begin:end].decode()
          for begin, end in zip(begins, ends)] == [
              "is", "ก" * 201, "ก", "ก", "good"]
  assert ids == tokenizer.tokenize(tf.constant([text])).to_list()[0]


ODD = ["good", "The", "é", "ΑΣ", " ", "\t\t", "\u200b", "\u0301", "a" * 250,
       "中", "ßs", "...", "\x07" * 9, "x" * 40, "<url>", "@USER", "\ufffd"]


_ADDED = ("<url>", "@USER", "very long", "ab", "abc", "ü")


@pytest.fixture(scope="module")
def with_added():
  return WordpieceTokenizer(Vocabulary(
      (*TOKENS, *_ADDED), lower_case=True, added=_ADDED))


@pytest.mark.parametrize("count", range(3))
def test_text_cut_inside_a_character(with_added, count):
  """The part that is looked at ends in a character; a word is too long."""
  text = "good" * 98 + "中" * 48 + "good" * 197 + "a" * count + "\u200b" * 200
  whole = with_added.tokenize(tf.constant([text])).to_list()[0]
  assert whole[0] == 1  # [UNK]
  assert with_added.tokenize(
      tf.constant([text]), 1).to_list()[0][:50] == whole[:50]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ODD), st.integers(1, 300)),
                max_size=8), st.integers(1, 20))
def test_what_is_wanted_of_a_text_is_that_of_the_whole(
    with_added, parts, limit):
  text = "".join(part * count for part, count in parts)
  whole = with_added.tokenize(tf.constant([text])).to_list()[0]
  some = with_added.tokenize(tf.constant([text]), limit).to_list()[0]
  assert some[:limit] == whole[:limit]


@pytest.mark.parametrize("lower_case", [True, False])
def test_added_tokens(lower_case):
  """Leftmost first, then the longest; inside words, and not normalised."""
  both = Both((*TOKENS, *_ADDED), lower_case, added=_ADDED)
  both.agree([
      "good <url> bad", "<url><url>", "<URL>@USER@user", "xabcab", "ABC Ü",
      "u\u0308 U\u0308", "very long VERY LONG very  long", "< url >", "",
      "<url", "the film is ab", "aabbcc <url>. " + "a" * 201,
      "[CLS] [MASK] <url>"])
  ids, begins, ends = both.tokenizer.tokenize_with_offsets(
      tf.constant(["éa <url>good ü"]))
  assert ids.to_list() == both.ids(["éa <url>good ü"])
  text = "éa <url>good ü".encode()
  assert [text[a:b].decode() for a, b in zip(
      begins.to_list()[0], ends.to_list()[0])][-3:] == ["<url>", "good", "ü"]


def test_added_tokens_in_every_spelling():
  tokens = (*TOKENS, "COVID", "McX", "ab")
  whole = [len(TOKENS)], [len(TOKENS) + 1], [len(TOKENS) + 2]
  found = WordpieceTokenizer(Vocabulary(
      tokens, lower_case=True, added=tokens[-3:], caseless=("COVID",)))
  texts = tf.constant(["COVID", "Covid", "McX", "mcx", "AB"])
  ids = found.tokenize(texts).to_list()
  assert ids[:3] + ids[4:] == [whole[0], whole[0], whole[1], whole[2]]
  assert len(ids[3]) > 1
  cased = WordpieceTokenizer(Vocabulary(
      tokens, lower_case=False, added=tokens[-3:], caseless=("COVID",)))
  assert [row in whole for row in cased.tokenize(texts).to_list()] == [
      True, False, True, False, False]
  with pytest.raises(ta.InputError, match="caseless: no added tokens are 'x'"):
    Vocabulary(tokens, True, caseless=("x",))


def test_tokens_that_never_match():
  """Empty lines, all but the last of equal ones, too long ones."""
  tokens = [*TOKENS[:20], "", "film", "the", "", "a" * 201, *TOKENS[20:],
            "[unused1]", " ", "the film"]
  both = Both(tokens, True)
  both.agree(["the film is good", "a" * 201, "[unused1]", "  "])
  assert both.ids(["the film"]) == [[22, 21]]


def test_too_many_added_tokens_are_refused():
  added = tuple(f"{'x' * 60}{number}" for number in range(1000))
  with pytest.raises(ta.InputError, match="1,000 added tokens"):
    WordpieceTokenizer(Vocabulary((*TOKENS, *added), True, added=added))


@pytest.mark.parametrize("tokens", [(), ("[unused1]", "..."), ("",)])
def test_a_vocabulary_without_wordpieces_is_refused(tokens):
  with pytest.raises(ta.InputError, match="no wordpieces"):
    WordpieceTokenizer(Vocabulary((*TOKENS[:5], *tokens), True))
