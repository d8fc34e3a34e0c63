"""Doubts about splits and predictions from which nothing can be learnt."""

import itertools

import numpy as np
import pytest

from tf_adapters.data.dataset import Dataset
from tf_adapters.data.splits import Split
from tf_adapters.data.squad_options import SquadOptions
from tf_adapters.data.squad_split import Question, SquadSplit
from tf_adapters.data.tagging import TaggedSplit
from tf_adapters.training import doubts

_NUMBERS = itertools.count()  # of texts, all of them different


def split(labels, texts=None):
  texts = texts or [f"text {next(_NUMBERS)}" for _ in labels]
  return Split(texts, None, np.array(labels), list(map(str, range(len(texts)))))


def tagged(*tags):
  return TaggedSplit([[f"word {next(_NUMBERS)}"] * len(one) for one in tags],
                     [np.array(one) for one in tags], ["0"] * len(tags))


def said(problem, splits, labels=("no", "yes"), chooses=True):
  return doubts.of_splits(
      Dataset("made up", problem, tuple(labels), ("accuracy",), splits,
              "files"),
      chooses)


TRAIN = split([0, 1, 1])
SETS = split([[0.0, 1.0], [1.0, 1.0]])


@pytest.mark.parametrize("problem, splits, message", [
    ("classification", {"train": TRAIN, "validation": split([1, 1])},
     "all 2 rows of the validation split have the label 'yes': it cannot "
     "choose the best epoch"),
    ("regression", {"train": split([0.5, 1.0]),
                    "validation": split([2.5, 2.5])},
     "all 2 rows of the validation split have the target 2.5: it cannot"),
    ("multi_label", {"train": SETS, "validation": split([[0.0, 1.0]] * 3)},
     "all 3 rows of the validation split have the labels 'yes': it cannot"),
    ("multi_label", {"train": split([[0.0, 1.0], [1.0, 0.0]] * 10)},
     "all 20 rows of the train split have a single label: problem_type=class"),
    ("multi_label", {"train": SETS, "validation": split([[0.0, 0.0]] * 3)},
     "all 3 rows of the validation split have no label: it cannot"),
    ("tagging", {"train": tagged([0, 1], [1]), "validation": tagged([0], [0])},
     "have the tag 'no' alone: it cannot choose the best epoch"),
    ("classification", {"train": TRAIN, "validation": Split(
        ["x"], None, None, ["0"])},
     "the validation split has no labels to choose the best epoch by: the last "
     "one is kept"),
    ("classification", {"train": TRAIN},
     "there is no validation split to choose the best epoch: the last one is "
     "kept"),
    ("classification", {"train": split([1, 1]), "validation": TRAIN},
     "all 2 rows of the train split have the label 'yes': there is nothing to "
     "learn"),
    ("classification", {"train": split([0, 1, 1, 0], list("abcd")),
                        "validation": split([0, 1], list("ab"))},
     "2 of 2 texts of the validation split are in the train split, too: its "
     "scores say little of new texts"),
    ("tagging", {"train": TaggedSplit([["a", "b"]], [np.array([0, 1])], "0"),
                 "validation": tagged([0, 1]),
                 "test": TaggedSplit([["a", "b"]], [np.array([1, 0])], "0")},
     "1 of 1 texts of the test split are in the train split, too"),
])
def test_splits(problem, splits, message):
  assert any(message in line for line in said(problem, splits)), said(
      problem, splits)
  assert all("\n" not in line for line in said(problem, splits))


def test_questions_that_are_trained_on():
  questions = [Question("1", "who?", 0, ("he",), 0)]
  one = SquadSplit(["he said so"], questions, SquadOptions())
  assert "1 of 1 texts of the validation split" in said(
      "span", {"train": one, "validation": one}, ())[0]


def test_labels_that_are_not_validated():
  splits = {"train": split([0, 1, 2, 2]), "validation": split([0, 2])}
  assert said("classification", splits, "abc") == [
      "the validation split has no row of 1 of 3 labels: 'b'"]


def test_nothing_is_said_of_good_splits():
  good = {"train": split([0, 1, 0, 1], list("abcd")),
          "validation": split([0, 1], list("xy")), "test": split([1, 1])}
  assert said("classification", good) == []
  assert said("classification", good | {"test": split([0, 1], list("az"))}) == [
      "1 of 2 texts of the test split are in the train split, too"]
  # Nothing is to be chosen.
  assert said("classification", {"train": TRAIN}, chooses=False) == []


class Words:
  def at_words(self, outputs, labels):
    return outputs


@pytest.mark.parametrize("problem, labels, outputs, what", [
    ("classification", [0, 1], [[0.0, 1.0], [0.0, 2.0]], "'yes'"),
    ("multi_label", [[0.0, 1.0], [1.0, 1.0]], [[-1.0, -2.0], [-3.0, -1.0]],
     "no label"),
    ("multi_label", [[0.0, 1.0], [1.0, 1.0]], [[1.0, 2.0], [3.0, 1.0]],
     "'no', 'yes'"),
    ("regression", [0.5, 1.0], [[0.25], [0.25]], "0.25"),
])
def test_predictions_that_are_all_the_same(problem, labels, outputs, what):
  task = Dataset("made up", problem, ("no", "yes"), ("accuracy",),
              {"validation": split(labels)}, "files")
  outputs = np.array(outputs)
  assert f"validation: every prediction is {what}: " in doubts.of_predictions(
      task, "validation", None, outputs)
  outputs[0] *= -4
  assert doubts.of_predictions(task, "validation", None, outputs) is None


def test_tags_that_are_all_the_same():
  task = Dataset("made up", "tagging", ("O", "B"), ("accuracy",),
              {"test": tagged([0, 1], [0])}, "files")
  same = [np.array([[2.0, 1.0], [3.0, 1.0]]), np.array([[1.0, 0.0]])]
  assert "test: every prediction is 'O'" in doubts.of_predictions(
      task, "test", Words(), same)
  assert doubts.of_predictions(
      task, "test", Words(), [same[0][:, ::-1], same[1]]) is None


def test_one_label_everywhere_is_rightly_predicted_everywhere():
  task = Dataset("made up", "classification", ("no", "yes"), ("accuracy",),
              {"test": split([1, 1])}, "files")
  assert doubts.of_predictions(
      task, "test", None, np.array([[0.0, 1.0]] * 2)) is None
