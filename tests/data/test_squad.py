"""Reading SQuAD, windows and their characters, answers and their scores."""

import json
import types

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from official.nlp.data import squad_lib
from official.nlp.tools import (
  squad_evaluate_v1_1,
  squad_evaluate_v2_0,
  tokenization,
)

import tf_adapters as ta
from tests import conftest
from tf_adapters.data import span_answers, squad
from tf_adapters.data.squad_options import SquadOptions
from tf_adapters.data.squad_split import Question, SquadSplit
from tf_adapters.modeling.vocabularies.wordpiece import WordpieceVocabulary

CONTEXT = "The film is good. He said so, very!"
TEXT = ta.TextProcessor(WordpieceVocabulary(tuple(conftest.TOKENS), True), 20)
SMALL = SquadOptions(doc_stride=3, max_query_length=4)


def entry(identity, question="is so?", answers=("film",), **more):
  return {"id": identity, "question": question, "answers": [
      {"text": answer, "answer_start": CONTEXT.find(answer)}
      for answer in answers], **more}


def write(path, *entries, context=CONTEXT):
  path.write_text(json.dumps({"version": "x", "data": [{
      "title": "t", "paragraphs": [
          {"context": context, "qas": list(entries)}]}]}))
  return str(path)


def windows_of(split, text=TEXT):
  """(question number, tokens) of each window."""
  encoded = split.encode(text)
  return encoded, [
      (window.question, [text.vocabulary.tokens[i] for i in row])
      for window, row in zip(encoded.windows, encoded.word_ids.to_list())]


def split_of(*questions, context=CONTEXT, options=SMALL):
  return SquadSplit([context], [
      Question(str(number), text, 0, answers, start)
      for number, (text, answers, start) in enumerate(questions)], options)


def test_a_short_context_is_one_window(tmp_path):
  task = squad.load(write(tmp_path / "a", entry("1")))
  assert task.metrics == ("f1", "exact_match")
  text = ta.TextProcessor(WordpieceVocabulary(tuple(conftest.TOKENS), True), 40)
  split = SquadSplit(
      task.split("train").contexts, task.split("train").questions,
      SquadOptions(doc_stride=8, max_query_length=8))
  encoded, windows = windows_of(split, text)
  assert len(windows) == 1
  tokens = windows[0][1]
  assert tokens[:6] == ["[CLS]", "is", "so", "?", "[SEP]", "the"]
  assert encoded.labels.numpy().tolist() == [[6, 6]]
  assert encoded.type_ids.to_list()[0][4:6] == [0, 1]


def test_a_long_context_is_cut_with_a_stride():
  split = split_of(("is so?", ("said so",), CONTEXT.find("said so")))
  encoded = split.encode(TEXT)
  context = TEXT.tokenize([CONTEXT]).to_list()[0]
  starts = [window.start for window in encoded.windows]
  assert starts == list(range(0, len(starts) * 3, 3))
  covered = {place for window in encoded.windows
             for place in range(window.start, window.start + window.length)}
  assert covered == set(range(len(context)))
  for window, row, (first, last) in zip(
      encoded.windows, encoded.word_ids.to_list(), encoded.labels.numpy()):
    assert len(row) <= 20
    assert row[window.offset:-1] == context[
        window.start:window.start + window.length]
    if first:
      assert [TEXT.vocabulary.tokens[i] for i in row[first:last + 1]] == [
          "said", "so"]
  assert np.any(encoded.labels.numpy() > 0)


def test_answers_that_no_window_holds_are_counted():
  """A window has room for 14 wordpieces, of the context's 22."""
  context = f"{CONTEXT} {CONTEXT}"
  split = split_of(
      ("is so?", ("film",), CONTEXT.find("film")),
      ("is so?", (context,), 0), ("is so?", (), None), context=context)
  assert split.encode(TEXT).cut == 1
  assert split.encode(TEXT).cut_note() == (
      "1 of 3 questions have an answer that is whole in no window")
  long = split_of(("so " * 99, ("film",), CONTEXT.find("film")))
  assert long.encode(TEXT).cut_note() == (
      f"1 of 1 questions are longer than {long.options.max_query_length} "
      "wordpieces, and cut")


WORDS = st.sampled_from([
    "film", "Films", "unable", "café", "x́y", "日本", "don't", "a\u200bb",
    "\u00adso", "😀", "ß", "\x07", "é\u0301", "\ufffd", "--", "((good))"])


@settings(max_examples=60, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=12),
       st.sampled_from([" ", "  ", "\n", "\t ", "\u00a0"]))
def test_wordpieces_know_their_characters(words, blank):
  context = blank.join(words)
  encoded = split_of(("?", (), None), context=context).encode(TEXT)
  pieces = encoded.contexts[0]
  assert np.all(pieces.begins < pieces.ends)
  assert np.all(np.diff(pieces.begins) >= 0)
  for begin, end, number in zip(pieces.begins, pieces.ends, pieces.ids):
    token = TEXT.vocabulary.tokens[number].removeprefix("##")
    piece = context[begin:end]
    assert piece.strip() == piece
    if token.isascii() and piece.isascii() and token != "[UNK]":
      assert piece.lower() == token
  if len(pieces.ids):
    begin, end = pieces.place(0, len(pieces.ids) - 1)
    assert 0 <= begin < end <= len(context)


@pytest.mark.parametrize("answer", [
    "film", "The film is good", "good. He", "so, very!", "very"])
def test_answers_come_back_from_their_labels(answer):
  split = split_of(("is?", (answer,), CONTEXT.find(answer)))
  encoded = split.encode(TEXT)
  found = [
      CONTEXT[slice(*encoded.contexts[0].place(
          first - window.offset + window.start,
          last - window.offset + window.start))]
      for window, (first, last) in zip(
          encoded.windows, encoded.labels.numpy()) if first]
  assert found
  assert set(found) == {answer}


def logits_for(encoded, spans, null=-5.0):
  """Outputs that say `spans`: question -> (first, last, score)."""
  outputs = []
  for window in encoded.windows:
    logits = np.full([20, 2], -3.0)
    logits[0] = null / 2
    first, last, score = spans.get(window.question, (0, 0, -3.0))
    for column, place in enumerate((first, last)):
      if window.start <= place < window.start + window.length:
        logits[place - window.start + window.offset, column] = score / 2
    outputs.append(logits)
  return outputs


def test_the_best_span_is_chosen():
  split = split_of(("is?", ("film",), 4), ("so?", ("said so",), 21))
  encoded = split.encode(TEXT)
  chosen = span_answers.choose(
      encoded, logits_for(encoded, {0: (1, 1, 9.0), 1: (6, 7, 9.0)}))
  assert {name: answers.text for name, answers in chosen.items()} == {
      "0": "film", "1": "said so"}
  best = chosen["0"].best
  assert best[0].score == pytest.approx(9.0)
  assert sum(answer.probability for answer in best) == pytest.approx(1.0)
  assert len({answer.text for answer in best}) == len(best) <= 20
  assert all(answer.text in CONTEXT for answer in best)


def test_answers_are_neither_long_nor_backwards():
  options = SquadOptions(
      doc_stride=3, max_query_length=4, max_answer_length=2)
  encoded = split_of(("is?", ("film",), 4), options=options).encode(TEXT)
  chosen = span_answers.choose(
      encoded, logits_for(encoded, {0: (0, 3, 9.0)}))
  for answer in chosen["0"].best:
    assert len(TEXT.tokenize([answer.text]).to_list()[0]) <= 2
  chosen = span_answers.choose(
      encoded, logits_for(encoded, {0: (3, 1, 9.0)}))
  assert chosen["0"].text not in ("", CONTEXT[4:16])


@pytest.mark.parametrize("version_2", [False, True])
@pytest.mark.parametrize("n_best_size", [3, 20])
def test_answers_are_those_of_tf_models(
    tmp_path, vocab_file, version_2, n_best_size):
  """Random logits over windows of long contexts, with pieces of words.

  Theirs looks for the best first and last wordpieces among the question's and
  [CLS], too, and counts "no answer" as one of the best: these are put out of
  the way. Its texts are put together from words; where blanks are single they
  are ours.
  """
  rng = np.random.default_rng(0)
  words = ["The", "film,", "unable", "plots", "said?", "SO!", "very", "Bad.",
           "he's", "x'ed"]
  path = tmp_path / "squad.json"
  path.write_text(json.dumps({"data": [{"paragraphs": [{
      "context": " ".join(rng.choice(words, size)),
      "qas": [{"id": f"{size} {word}", "question": f"{word} is?",
               "answers": []} for word in ("good", "un")]}
      for size in range(1, 24)]}]}))
  options = SquadOptions(
      version_2, doc_stride=3, max_query_length=4, n_best_size=n_best_size,
      max_answer_length=5)
  encoded = squad.load(None, str(path), options).split("validation").encode(
      TEXT)
  features = []
  examples = squad_lib.read_squad_examples(str(path), False, version_2)
  squad_lib.convert_examples_to_features(
      examples, tokenization.FullTokenizer(str(vocab_file)), TEXT.max_length,
      options.doc_stride, options.max_query_length, False,
      lambda feature, is_padding: features.append(feature), batch_size=1)
  outputs, results = [], []
  for row, window, feature in zip(
      encoded.word_ids.to_list(), encoded.windows, features, strict=True):
    assert feature.input_ids[:len(row)] == row
    logits = rng.normal(size=[TEXT.max_length, 2]).astype(np.float32)
    context = slice(window.offset, window.offset + window.length)
    logits[:window.offset] = logits[context.stop:] = -100.0
    logits[0] = rng.normal(-20.0, 5.0, size=2)
    outputs.append(logits)
    results.append(types.SimpleNamespace(
        unique_id=feature.unique_id, start_logits=logits[:, 0].tolist(),
        end_logits=logits[:, 1].tolist()))
  ours = span_answers.choose(encoded, outputs)
  texts, candidates, odds = squad_lib.postprocess_output(
      examples, features, results, n_best_size, options.max_answer_length,
      True, version_2)
  assert {name: answers.text for name, answers in ours.items()} == texts
  for name, answers in ours.items():
    assert [answer.text for answer in answers.best] == [
        answer["text"] for answer in candidates[name]]
    np.testing.assert_allclose(
        [answer.probability for answer in answers.best],
        [answer["probability"] for answer in candidates[name]], atol=1e-6)
    if version_2:
      assert answers.null_odds == pytest.approx(odds[name], abs=1e-5)


@pytest.mark.parametrize("null, threshold, text", [
    (-5.0, 0.0, "film"), (12.0, 0.0, ""), (12.0, 4.0, "film")])
def test_no_answer(null, threshold, text):
  options = SquadOptions(
      True, 3, 4, null_score_diff_threshold=threshold)
  encoded = split_of(("is?", ("film",), 4), options=options).encode(TEXT)
  answers = span_answers.choose(
      encoded, logits_for(encoded, {0: (1, 1, 9.0)}, null))["0"]
  assert answers.text == text
  assert answers.null_odds == pytest.approx(null - 9.0)
  assert "" in {answer.text for answer in answers.best}


def test_an_empty_context_has_no_answer():
  for version_2 in (False, True):
    options = SquadOptions(version_2, 3, 4)
    encoded = split_of(("", (), None), context=" ", options=options).encode(
        TEXT)
    answers = span_answers.choose(encoded, [np.zeros([20, 2])])["0"]
    assert answers.text == ""


ANSWERS = st.text(st.sampled_from("the an cat, dog. A!é "), max_size=15)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(
    st.lists(ANSWERS, min_size=1, max_size=3), ANSWERS | st.none()),
    min_size=1, max_size=6))
def test_scores_are_the_official_scripts(rows):
  data, predictions, questions = [], {}, []
  for number, (right, answer) in enumerate(rows):
    data.append({"id": str(number), "answers": [{"text": t} for t in right]})
    questions.append(Question(str(number), "?", 0, tuple(right), None))
    if answer is not None:
      predictions[str(number)] = answer
  dataset = [{"paragraphs": [{"qas": data}]}]
  ours = span_answers.evaluate(questions, predictions, False)
  theirs = squad_evaluate_v1_1.evaluate(dataset, predictions)
  assert ours["f1"] == theirs["final_f1"]
  assert ours["exact_match"] == theirs["exact_match"]
  # The other script leaves out what was not answered, and knows no answer by
  # an empty list alone.
  known = [q for q in questions if q.id in predictions]
  if known:
    ours = span_answers.evaluate(known, predictions, True)
    theirs = squad_evaluate_v2_0.evaluate(dataset, predictions)
    assert 100 * ours["f1"] == pytest.approx(theirs["f1"], rel=1e-14)
    assert 100 * ours["exact_match"] == pytest.approx(
        theirs["exact"], rel=1e-14)


def test_scores_of_questions_without_an_answer():
  questions = [Question("1", "?", 0, ("film",), 4),
               Question("2", "?", 0, (), None)]
  values = span_answers.evaluate(questions, {"1": "a film", "2": ""}, True)
  assert values == {"f1": 1.0, "exact_match": 1.0, "has_answer_f1": 1.0,
                    "no_answer_f1": 1.0}
  values = span_answers.evaluate(questions, {"1": "", "2": "x"}, True)
  assert set(values.values()) == {0.0}
  assert span_answers.evaluate(questions, {"1": "film"}, False)["f1"] == 1.0


def test_what_is_odd_is_counted(tmp_path):
  path = write(
      tmp_path / "a", entry("1"), entry("2", question=""),
      entry("3", answers=("nowhere",)), entry("4", answers=()),
      {**entry("5"), "answers": [{"text": "good", "answer_start": 3}]},
      entry("1"), {**entry("6"), "answers": [{"text": "good"}]})
  task = squad.load(path, path)
  assert [q.id for q in task.split("train").questions] == ["1", "2", "5", "6"]
  assert [q.start for q in task.split("train").questions] == [4, 4, 12, 12]
  assert len(task.split("validation")) == 6
  assert set(task.notes) == {
      "train: 1 questions without text",
      "train: 1 answers moved to where their text stands",
      "3 questions left out: 1 with no answer that stands in the context "
      "(first: a:data[0].paragraphs[0].qas[2]), 1 without an answer (first: "
      "a:data[0].paragraphs[0].qas[3]), 1 with an id that another one has "
      "(first: a:data[0].paragraphs[0].qas[5])",
      "validation: 1 questions without text",
      "validation: 1 answers moved to where their text stands",
      "1 question left out: 1 with an id that another one has (first: "
      "a:data[0].paragraphs[0].qas[5])"}


def test_a_wrong_offset_leads_to_the_nearest_place(tmp_path):
  context = "the film. the film is good. so the film"
  path = write(tmp_path / "a", {
      "id": "1", "question": "?", "answers": [
          {"text": "film", "answer_start": 36}]}, context=context)
  assert squad.load(path).split("train").questions[0].start == 35


def test_what_has_no_answers_is_not_evaluated(tmp_path):
  path = write(tmp_path / "a", {"id": "1", "question": "?"})
  for version_2 in (False, True):
    task = squad.load(None, path, SquadOptions(version_2))
    assert task.split("validation").labels is None


def test_half_characters_are_refused(tmp_path):
  path = write(tmp_path / "a", entry("1", question="is \ud83d"))
  with pytest.raises(ta.InputError, match="half a character in its 'quest"):
    squad.load(path)


def test_bad_questions_are_left_out_and_counted(tmp_path):
  path = tmp_path / "a"
  write(path, entry("1"), entry("2", question=5), entry("3", question="\ud83d"),
        entry(None), {**entry("4"), "answers": [{"text": None}]}, entry("5"))
  content = json.loads(path.read_text())
  content["data"][0]["paragraphs"] += [
      {"qas": [entry("6"), entry("7")]}, {"context": CONTEXT, "qas": []}]
  path.write_text(json.dumps(content), "utf-8-sig")
  task = squad.load(str(path), on_bad_row="skip")
  assert [q.id for q in task.split("train").questions] == ["1", "5"]
  assert task.notes == (
      "6 questions left out: 6 of another format (first: "
      "a:data[0].paragraphs[0].qas[1])",)
  with pytest.raises(ta.InputError, match=r"a:data\[0\]\.paragraphs\[0\]\.qas"
                     r"\[1\]: has no 'question' of the right type; on_bad_row"):
    squad.load(str(path))


def test_version_2_trains_on_questions_without_an_answer(tmp_path):
  path = write(tmp_path / "a", entry("1"),
               entry("2", answers=(), is_impossible=True))
  task = squad.load(path, options=SquadOptions(
      True, doc_stride=3, max_query_length=4))
  assert task.name == "squad_v2"
  encoded = task.split("train").encode(TEXT)
  labels = [label for window, label in zip(
      encoded.windows, encoded.labels.numpy().tolist())
      if window.question == 1]
  assert labels == [[0, 0]] * len(labels)


@pytest.mark.parametrize("content, message", [
    ("{", "not readable as JSON"),
    ("[]", "expected a JSON object"),
    ("{}", "the file has no 'data'"),
    ('{"data": [1]}', r"data\[0\] has no 'paragraphs'"),
    ('{"data": [{"paragraphs": [{}]}]}',
     r"data\[0\].paragraphs\[0\] has no 'qas'"),
    ('{"data": [{"paragraphs": [{"qas": [{}]}]}]}',
     r"qas\[0\]: is on a text that has no 'context'"),
    ('{"data": [{"paragraphs": [{"context": "a", "qas": 1}]}]}', "no 'qas'"),
    ('{"data": [{"paragraphs": [{"context": "a", "qas": [{"id": 1}]}]}]}',
     r"qas\[0\]: has no 'question'"),
    ('{"data": [{"paragraphs": [{"context": "a", "qas": [{"id": "1", '
     '"question": "q", "answers": [5]}]}]}]}', r"answers\[0\] has no 'text'"),
    ('{"data": []}', "has no questions"),
])
def test_what_is_no_squad(tmp_path, content, message):
  (tmp_path / "a").write_text(content)
  with pytest.raises(ta.InputError, match=message) as caught:
    squad.load(str(tmp_path / "a"))
  assert str(tmp_path / "a") in str(caught.value)


def test_windows_need_room():
  split = split_of(("is?", ("film",), 4), options=SquadOptions())
  with pytest.raises(ta.InputError, match="max_seq_length 20 leaves 0"):
    split.encode(TEXT)
  with pytest.raises(ta.InputError, match="needs train_file or predict_file"):
    squad.load()


def test_the_real_files(real_data):
  folder = real_data / "squad"
  task = squad.load(str(folder / "train-v1.1.part.json"),
                    str(folder / "dev-v1.1.json"))
  assert len(task.split("train")) == 4370
  assert len(task.split("validation")) == 10570
  assert not task.notes
  right = {q.id: q.answers[0] for q in task.split("validation").questions}
  values = span_answers.evaluate(
      task.split("validation").questions, right, False)
  assert values == {"f1": 1.0, "exact_match": 1.0}
