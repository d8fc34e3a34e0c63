"""How SQuAD is read: the options of runs, and of adapter files of its tasks.

Apart from `squad`, since command lines are checked without TensorFlow.
"""

import dataclasses

from tf_adapters.errors import InputError
from tf_adapters.modeling.config import JsonConfig


@dataclasses.dataclass(frozen=True)
class SquadOptions(JsonConfig):
  """How contexts are cut, and answers chosen (google-research/bert run_squad).

  Attributes:
    version_2: whether questions may have no answer.
    doc_stride: wordpieces from one window to the next.
    max_query_length: longest question, in wordpieces.
    n_best_size: candidates that are kept for each question.
    max_answer_length: longest answer, in wordpieces.
    null_score_diff_threshold: with version_2, how much better than the best
      answer "no answer" has to score.

  Raises:
    InputError: a value is of no use.
  """

  version_2: bool = False
  doc_stride: int = 128
  max_query_length: int = 64
  n_best_size: int = 20
  max_answer_length: int = 30
  null_score_diff_threshold: float = 0.0

  def __post_init__(self):
    for name, value in self.to_dict().items():
      if name == "version_2":
        fine, wanted = type(value) is bool, "true or false"
      elif name == "null_score_diff_threshold":
        fine, wanted = type(value) in (int, float), "a number"
      else:
        fine, wanted = type(value) is int and value > 0, "a positive integer"
      if not fine:
        raise InputError(f"{name} must be {wanted}, not {value!r:.20}")
