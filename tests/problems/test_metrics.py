import types

import numpy as np
import pytest
import sklearn.metrics
from official.nlp.tools import squad_evaluate_v1_1, squad_evaluate_v2_0

from tf_adapters.data import span_answers
from tf_adapters.data.dataset import Dataset
from tf_adapters.data.squad_split import Question
from tf_adapters.problems import PROBLEMS
from tf_adapters.problems.metrics import evaluate
from tf_adapters.training.metrics import evaluate_task

LABELS = np.array([1, 1, 1, 0, 0, 1])
LOGITS = np.array([[0, 1], [0, 1], [1, 0], [1, 0], [0, 1], [0, 1]], float)
# true positives 3, false negatives 1, false positives 1, true negatives 1


def decided(logits, problem="classification"):
  """Returns the decisions on logits."""
  return PROBLEMS[problem].decided(logits)[0]


@pytest.mark.parametrize("name, value", [
    ("accuracy", 4 / 6),
    ("f1", 6 / 8),
    ("macro_f1", (6 / 8 + 2 / 4) / 2),
    ("matthews_correlation", (3 * 1 - 1 * 1) / np.sqrt(4 * 4 * 2 * 2)),
])
def test_classification(name, value):
  assert evaluate([name], LABELS, decided(LOGITS))[name] == pytest.approx(value)


@pytest.mark.parametrize("labels, rows", [(2, 50), (7, 60), (1, 9)])
def test_matthews_correlation_is_scikit_learns(labels, rows):
  true, predicted = np.random.default_rng(labels).integers(
      3, 3 + labels, [2, rows])
  predicted[::3] = true[::3]
  for guess in (predicted, np.full_like(true, 4)):
    assert evaluate(["matthews_correlation"], true, guess) == {
        "matthews_correlation": pytest.approx(
            sklearn.metrics.matthews_corrcoef(true, guess), abs=1e-15)}


def test_regression():
  labels = np.array([1.0, 2.0, 3.0, 4.0])
  outputs = np.array([[1.0], [4.0], [9.0], [16.0]])
  values = evaluate(
      ["pearson", "spearman"], labels, decided(outputs, "regression"))
  assert values["spearman"] == pytest.approx(1.0)
  assert values["pearson"] == pytest.approx(
      np.corrcoef(labels, outputs[:, 0])[0, 1])


def test_constants_are_defined():
  same = np.ones((4, 1))
  assert evaluate(["pearson", "spearman"], np.arange(4.0),
                  decided(same, "regression")) == {
      "pearson": 0.0, "spearman": 0.0}
  one_class = np.tile([1.0, 0.0], (6, 1))
  assert evaluate(["f1", "matthews_correlation"], LABELS,
                  decided(one_class)) == {
      "f1": 0.0, "matthews_correlation": 0.0}


def moments(labels, predicted):
  """Pearson's correlation by its formula."""
  x, y = labels - labels.mean(), predicted - predicted.mean()
  return (x * y).sum() / np.sqrt((x**2).sum() * (y**2).sum())


def ranks(values):
  """Places in order, those of equal values shared."""
  return np.array([(values < value).sum() + ((values == value).sum() + 1) / 2
                   for value in values])


@pytest.mark.parametrize("seed", range(5))
def test_glue_s_metrics_are_their_formulas(seed):
  rng = np.random.default_rng(seed)
  labels, logits = rng.integers(0, 2, 40), rng.normal(size=[40, 2])
  said = logits.argmax(-1)
  tp, fp, fn, tn = (np.sum((labels == a) & (said == b))
                    for a, b in ((1, 1), (0, 1), (1, 0), (0, 0)))
  assert evaluate(["accuracy", "f1", "matthews_correlation"], labels,
                  decided(logits)) == pytest.approx({
      "accuracy": (tp + tn) / 40, "f1": 2 * tp / (2 * tp + fp + fn),
      "matthews_correlation": (tp * tn - fp * fn) / np.sqrt(
          float(tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))})
  scores = rng.integers(0, 6, 40).astype(float)  # with ties
  outputs = scores[:, np.newaxis] + rng.normal(size=[40, 1])
  assert evaluate(["pearson", "spearman"], scores, decided(
      outputs, "regression")) == pytest.approx({
      "pearson": moments(scores, outputs[:, 0]),
      "spearman": moments(ranks(scores), ranks(outputs[:, 0]))})


def conlleval_chunks(tags):
  """Entities (type, first, last) by the rules of the script conlleval."""
  chunks, begun, last = set(), None, ("O", "")
  for place, tag in enumerate([*tags, "O"]):
    kind, _, name = tag.partition("-")
    ends = last[0] != "O" and (
        kind in ("B", "O") or name != last[1])
    starts = kind == "B" or (kind == "I" and (
        last[0] == "O" or name != last[1]))
    if ends and begun is not None:
      chunks.add((last[1], begun, place - 1))
    if starts:
      begun = place
    last = (kind, name)
  return chunks


@pytest.mark.parametrize("seed", range(5))
def test_entities_are_those_of_conlleval(seed):
  rng = np.random.default_rng(seed)
  labels = ("O", "B-per", "I-per", "B-loc", "I-loc")
  true = [rng.integers(0, 5, rng.integers(1, 12)).tolist() for _ in range(20)]
  guesses = [[tag if rng.random() < 0.7 else int(rng.integers(5))
              for tag in tags] for tags in true]
  named = [[[labels[tag] for tag in tags] for tags in part]
           for part in (true, guesses)]
  task = Dataset("tags", "tagging", labels, (
      "entity_f1", "entity_precision", "entity_recall", "token_accuracy",
      "macro_f1"), {}, "here")
  values = evaluate_task(
      task, types.SimpleNamespace(labels=true),
      types.SimpleNamespace(at_words=lambda outputs, labels: [
          np.eye(5)[tags] for tags in guesses]), [])
  right, found, there = (
      sum(len(part) for part in parts) for parts in zip(*(
          (a & b, b, a) for a, b in zip(*(
              map(conlleval_chunks, part) for part in named)))))
  assert values["entity_precision"] == pytest.approx(right / found)
  assert values["entity_recall"] == pytest.approx(right / there)
  assert values["entity_f1"] == pytest.approx(2 * right / (found + there))
  flat = [np.concatenate(part) for part in (true, guesses)]
  assert values["token_accuracy"] == pytest.approx(np.mean(flat[0] == flat[1]))


WORDS = ["The", "an", "film", "Film.", "plot's", "é", "na\u00efve", "\u2019",
         "42", "", "-", "a", "the-end", "\u3000x", "films"]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("version_2", [False, True])
def test_squad_s_scores_are_the_official_scripts(seed, version_2):
  rng = np.random.default_rng(seed)

  def text():
    return " ".join(rng.choice(WORDS, rng.integers(0, 4)))

  questions = [
      Question(str(number), "?", 0, tuple(
          text() for _ in range(rng.integers(not version_2, 4))), None)
      for number in range(60)]
  answers = {question.id: question.answers[0]
             if question.answers and rng.random() < 0.3 else text()
             for question in questions}
  data = [{"paragraphs": [{"context": "", "qas": [
      {"id": question.id, "answers": [{"text": t} for t in question.answers]}
      for question in questions]}]}]
  values = span_answers.evaluate(questions, answers, version_2)
  if version_2:
    official = squad_evaluate_v2_0.evaluate(data, answers)
    assert {"f1": official["f1"], "exact_match": official["exact"],
            "has_answer_f1": official["HasAns_f1"],
            "no_answer_f1": official["NoAns_f1"]} == pytest.approx(
                {name: 100 * value for name, value in values.items()})
  else:
    official = squad_evaluate_v1_1.evaluate(data, answers)
    assert values == pytest.approx({
        "f1": official["final_f1"], "exact_match": official["exact_match"]})
