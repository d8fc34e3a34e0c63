"""The types of problem: a file for each, and the table of all of them."""

from tf_adapters.errors import InputError
from tf_adapters.problems.classification import Classification
from tf_adapters.problems.multi_label import MultiLabel
from tf_adapters.problems.problem import Problem
from tf_adapters.problems.regression import Regression
from tf_adapters.problems.span import Span
from tf_adapters.problems.tagging import Tagging

PROBLEMS: dict[str, Problem] = {
    "classification": Classification(),
    "multi_label": MultiLabel(),
    "regression": Regression(),
    "tagging": Tagging(),
    "span": Span(),
}


def find_problem(problem_type: str) -> Problem:
  """Returns the type of problem of a name.

  Raises:
    InputError: there is none.

  Example:
    >>> find_problem("tagging").per_token
    True
  """
  if not isinstance(problem_type, str) or problem_type not in PROBLEMS:
    raise InputError(f"unknown problem_type {problem_type!r:.40}; there is "
                     f"{', '.join(PROBLEMS)}")
  return PROBLEMS[problem_type]
