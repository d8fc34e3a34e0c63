"""The options of reading SQuAD: of runs, and of adapter files of its tasks.

Apart from `squad`, since command lines are checked without TensorFlow.
"""

import dataclasses
from typing import TYPE_CHECKING, Any, Self

from tf_adapters.errors import InputError
from tf_adapters.modeling.config import JsonConfig, check_options, option

if TYPE_CHECKING:
  from tf_adapters.data.dataset import Dataset

# For the special tokens of a pair, of whichever family.
_SPECIAL_TOKENS = 4


@dataclasses.dataclass(frozen=True)
class SquadOptions(JsonConfig):
  """Options that cut contexts and choose answers (google-research/bert's).

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
      0.0, "SQuAD v2.0: score by which no answer must be better than the best "
      "answer.")

  def __post_init__(self) -> None:
    check_options(self)

  def fitted(self, max_length: int) -> Self:
    """Fits a task to windows of a length, where nobody has said otherwise.

    Questions get a quarter of a window at most, and windows overlap by half of
    their context or more. At 384 wordpieces that changes nothing.

    Example:
      >>> SquadOptions().fitted(128)
      SquadOptions(..., doc_stride=46, max_query_length=32, ...)
    """
    query_length = max(1, min(self.max_query_length, max_length // 4))
    room = max_length - query_length - _SPECIAL_TOKENS
    return dataclasses.replace(
        self, max_query_length=query_length,
        doc_stride=max(1, min(self.doc_stride, room // 2)))


def with_options(task: "Dataset", options: SquadOptions) -> "Dataset":
  """Cuts a task's contexts, and chooses answers, by options.

  Raises:
    InputError: it has questions without an answer, and the options say that
      there are none.
  """
  given = SquadOptions.from_dict(task.span or {})
  if given.version_2 and not options.version_2:
    raise InputError(
        f"task {task.name} has questions without an answer, and the adapter "
        "was trained on none: leave them out")
  windows: Any = task.splits
  splits = {name: dataclasses.replace(split, options=options)
            for name, split in windows.items()}
  return dataclasses.replace(task, span=options.to_dict(), splits=splits)
