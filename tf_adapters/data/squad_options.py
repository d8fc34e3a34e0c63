"""How SQuAD is read: the options of runs, and of adapter files of its tasks.

Apart from `squad`, since command lines are checked without TensorFlow.
"""

import dataclasses

from tf_adapters.modeling.config import JsonConfig, check_options, option


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

  version_2: bool = option(
      False, "Questions may have no answer (SQuAD v2.0).")
  doc_stride: int = option(
      128, "Wordpieces from one window of a long context to the next.",
      least=1)
  max_query_length: int = option(
      64, "Longest question in wordpieces; longer ones are cut.", least=1)
  n_best_size: int = option(
      20, "Candidates for an answer that are kept and written.", least=1)
  max_answer_length: int = option(
      30, "Longest answer in wordpieces.", least=1)
  null_score_diff_threshold: float = option(
      0.0, "SQuAD v2.0: how much better than the best answer no answer has to "
      "score.")

  def __post_init__(self) -> None:
    check_options(self)
