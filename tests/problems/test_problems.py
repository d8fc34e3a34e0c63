"""Types of problem: the facts that each has in the table."""

import subprocess
import sys

import pytest

import tf_adapters as ta
from tf_adapters.problems import PROBLEMS, find_problem


@pytest.mark.parametrize("name", ["zz", "", None, ["classification"]])
def test_an_unknown_type_is_no_classifier(name):
  with pytest.raises(ta.InputError, match="unknown problem_type .*; there is "
                     "classification, multi_label, "):
    find_problem(name)


def test_facts_are_known_without_tensorflow():
  done = subprocess.run([sys.executable, "-c", """
import sys
from tf_adapters.problems import PROBLEMS
print(*(name for name, problem in PROBLEMS.items() if problem.per_token))
print({"tensorflow", "scipy", "sklearn"} & set(sys.modules))
"""], capture_output=True, text=True, check=True)
  assert done.stdout == "tagging span\nset()\n"


def test_what_is_known_of_pairs():
  assert [PROBLEMS[name].takes_pairs(False) for name in (
      "classification", "tagging", "span")] == [False, False, True]
  assert PROBLEMS["classification"].takes_pairs(None) is None
