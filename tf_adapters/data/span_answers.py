"""From a span model's outputs to answers, and how good they are.

Choosing follows google-research/bert run_squad.py; scores are those of SQuAD's
official scripts. Texts are always pieces of the contexts.
"""

import collections
import dataclasses
import re
import string
from collections.abc import Sequence

import numpy as np
import scipy.special

from tf_adapters.data.contexts import Context
from tf_adapters.data.squad_options import SquadOptions
from tf_adapters.data.squad_split import EncodedWindows, Question, Window

_CERTAIN = 1e9  # odds of "no answer" where there are no candidates
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclasses.dataclass(frozen=True)
class Answer:
  """One candidate; the empty text is "no answer".

  Attributes:
    text: a piece of the context.
    score: sum of the logits of its first and last wordpiece.
    start, end: where it begins and ends in the context, in characters.
    probability: softmax over the candidates' scores.
  """

  text: str
  score: float
  start: int = 0
  end: int = 0
  probability: float = 0.0


@dataclasses.dataclass(frozen=True)
class Answers:
  """The answers of a model to one question.

  Attributes:
    best: the candidates, best first; with SQuAD v2.0 "no answer" among them.
    null_odds: how much better "no answer" scores than the best answer; 0
      without SQuAD v2.0.
    text: the answer.
  """

  best: tuple[Answer, ...]
  null_odds: float
  text: str


def choose(encoded: EncodedWindows,
           outputs: Sequence[np.ndarray]) -> dict[str, Answers]:
  """Answers to all questions of a split.

  Args:
    encoded: the windows.
    outputs: logits [length, 2] of each.

  Returns:
    {question id: answers}, in the order of the questions.
  """
  by_question = collections.defaultdict(list)
  for row, window in enumerate(encoded.windows):
    by_question[window.question].append(row)
  result = {}
  for number, question in enumerate(encoded.split.questions):
    rows = by_question[number]
    result[question.id] = _choose_one(
        encoded.contexts[question.context],
        [encoded.windows[row] for row in rows],
        [outputs[row] for row in rows], encoded.split.options)
  return result


def _choose_one(context: Context, windows: Sequence[Window],
                outputs: Sequence[np.ndarray],
                options: SquadOptions) -> Answers:
  spans = []
  owner = _owners(windows)
  for number, (window, logits) in enumerate(zip(windows, outputs)):
    if window.length:
      spans += _spans(logits[window.offset:window.offset + window.length],
                      owner[window.start:window.start + window.length]
                      == number, window.start, options)
  spans.sort(key=lambda span: -span[0])
  candidates: dict[str, Answer] = {}
  for score, first, last in spans:
    start, end = context.place(first, last)
    text = context.text[start:end]
    candidates.setdefault(text, Answer(text, score, start, end))
    if len(candidates) == options.n_best_size:
      break
  best = list(candidates.values())
  null_odds, text = 0.0, best[0].text if best else ""
  if options.version_2:
    null = float(min(logits[0].sum() for logits in outputs))
    null_odds = null - best[0].score if best else _CERTAIN
    best = sorted([*best, Answer("", null)], key=lambda answer: -answer.score)
    if null_odds > options.null_score_diff_threshold:
      text = ""
  weights = scipy.special.softmax(
      [answer.score for answer in best]) if best else ()
  return Answers(
      tuple(dataclasses.replace(answer, probability=float(weight))
            for answer, weight in zip(best, weights)),
      float(null_odds), text)


def _owners(windows: Sequence[Window]) -> np.ndarray:
  """Finds for each wordpiece of a context the window with most around it.

  A wordpiece is in several windows; only where it is furthest from an edge may
  an answer begin with it.
  """
  size = max(window.start + window.length for window in windows)
  most = np.full(size, -1.0)
  owner = np.zeros(size, np.int64)
  for number, window in enumerate(windows):
    place = np.arange(window.length)
    around = np.minimum(place, place[::-1]) + 0.01 * window.length
    stretch = slice(window.start, window.start + window.length)
    better = around > most[stretch]
    most[stretch] = np.where(better, around, most[stretch])
    owner[stretch] = np.where(better, number, owner[stretch])
  return owner


def _spans(logits: np.ndarray, may_begin: np.ndarray, start: int,
           options: SquadOptions) -> list[tuple[float, int, int]]:
  """Returns (score, first, last) of a window's best spans, in the context."""
  firsts = _largest(logits[:, 0], options.n_best_size)
  lasts = _largest(logits[:, 1], options.n_best_size)
  firsts = firsts[may_begin[firsts]]
  lengths = lasts[np.newaxis] - firsts[:, np.newaxis] + 1
  i, j = np.nonzero((lengths > 0) & (lengths <= options.max_answer_length))
  first, last = firsts[i], lasts[j]
  scores = logits[first, 0] + logits[last, 1]
  return list(zip(scores.tolist(), (first + start).tolist(),
                  (last + start).tolist()))


def _largest(values: np.ndarray, count: int) -> np.ndarray:
  return np.argsort(-values, kind="stable")[:count]


def evaluate(questions: Sequence[Question], answers: dict[str, str],
             version_2: bool) -> dict[str, float]:
  """Computes the scores of SQuAD's official scripts, as parts of one.

  Args:
    questions: with the answers that count as right.
    answers: question id -> answer; missing ones score 0.
    version_2: whether the script of v2.0 is meant.

  Returns:
    "f1", "exact_match"; with v2.0 also "has_answer_f1" and "no_answer_f1". A
    kind of question that does not occur scores 0. Questions without a right
    answer are left out for v1.1.
  """
  f1, exact, has_answer = [], [], []
  for question in questions:
    right = [text for text in question.answers
             if not version_2 or normalize(text)]
    if not right and not version_2:
      continue
    answer = answers.get(question.id)
    has_answer.append(bool(question.answers))
    f1.append(0.0 if answer is None else max(
        f1_score(answer, text, version_2) for text in right or [""]))
    exact.append(answer is not None and is_exact(answer, right))
  values = {"f1": _mean(f1), "exact_match": _mean(exact)}
  if version_2:
    values["has_answer_f1"] = _mean(
        [score for score, has in zip(f1, has_answer) if has])
    values["no_answer_f1"] = _mean(
        [score for score, has in zip(f1, has_answer) if not has])
  return values


def is_exact(answer: str, right: Sequence[str]) -> bool:
  """Returns whether an answer is one of those that are right, normalized.

  Args:
    answer: the answer.
    right: those that are right; none where it is right to have none.
  """
  return any(normalize(answer) == normalize(text) for text in right or [""])


def _mean(values: Sequence[float]) -> float:
  return sum(values) / len(values) if values else 0.0


def normalize(text: str) -> str:
  """Makes lower case, without punctuation, articles and superfluous blanks."""
  text = text.lower().translate(_NO_PUNCTUATION)
  return " ".join(_ARTICLES.sub(" ", text).split())


def f1_score(answer: str, right: str, version_2: bool = False) -> float:
  """Computes F1 of the words that an answer shares with a right one.

  Two texts without words agree in v2.0, and do not in v1.1, as in the official
  scripts.
  """
  words, right_words = normalize(answer).split(), normalize(right).split()
  if version_2 and not (words and right_words):
    return float(words == right_words)
  common = collections.Counter(words) & collections.Counter(right_words)
  same = sum(common.values())
  if not same:
    return 0.0
  precision, recall = same / len(words), same / len(right_words)
  return 2 * precision * recall / (precision + recall)
