import numpy as np
import pytest
import sklearn.utils.class_weight

import tf_adapters as ta
from tf_adapters.modeling import class_weight


@pytest.mark.parametrize("seed", range(3))
def test_balanced_weights_are_those_of_scikit_learn(seed):
  rng = np.random.default_rng(seed)
  labels = rng.choice(4, p=[0.7, 0.2, 0.1, 0.0], size=50)
  there = np.unique(labels)
  expected = np.ones(4)
  expected[there] = sklearn.utils.class_weight.compute_class_weight(
      "balanced", classes=there, y=labels)
  assert class_weight.balanced(labels, 4) == pytest.approx(expected)
  # Tokens without a label do not count.
  gaps = np.concatenate([labels, np.full(30, -1)]).reshape(8, 10)
  assert class_weight.balanced(gaps, 4) == pytest.approx(expected)


def test_balanced_weights_of_several_labels_make_both_sides_equal():
  labels = np.array([[1, 0, 0, 1], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]])
  assert class_weight.balanced(labels, 4, multi_label=True) == (
      3.0, 1.0, pytest.approx(1 / 3), 1.0)


def test_weights_are_by_name_or_number():
  names = ("ham", "spam", "eggs")
  assert class_weight.by_number({"spam": 5, 0: 0.5}, names) == (0.5, 5.0, 1.0)
  for weights, message in (({"Spam": 1}, "'Spam' is not one of ham, spam"),
                           ({3: 1.0}, "3 is not one of"),
                           ({"ham": -1}, "from 0 on"),
                           ({"ham": float("nan")}, "from 0 on"),
                           ({"ham": "much"}, "from 0 on"),
                           (dict.fromkeys(names, 0), "all labels weigh 0")):
    with pytest.raises(ta.InputError, match=message):
      class_weight.by_number(weights, names)


def test_reads_the_command_line():
  assert class_weight.parse("balanced") == "balanced"
  assert class_weight.parse("spam:5, a:b:0.5") == {"spam": 5.0, "a:b": 0.5}
  for text in ("spam", "balance", "spam:", ":5", "spam:1,spam:2", "", "a:x"):
    with pytest.raises(ta.InputError, match="class_weight"):
      class_weight.parse(text)
