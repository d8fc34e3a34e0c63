"""A bank for Ray Data, and for whatever else hands out batches of columns.

Ray is not needed here: it makes the predictors, and calls them. What is
predicted is the bank's business.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.errors import InputError
from tf_adapters.serving.bank import AdapterBank
from tf_adapters.serving.bank_texts import Text

_ADDED = ("prediction", "scores")


class BatchPredictor:
  """Adds the predictions of a bank's tasks to batches of texts.

  Made for `ray.data.Dataset.map_batches`, where each worker makes one of its
  own, which loads the encoder once.

  Args:
    encoder_source: as for `load_encoder`.
    adapters: adapter files; or name -> adapter file.
    text_column: name of the texts' column: str, or bytes in UTF-8.
    text_pair_column: name of the column of each pair's second text, or None. A
      second text that is empty is none, unless its row's task is on pairs.
    task_column: name of the column that says which task a row is for; None
      where there is one task only.
    vocab_file, lower_case: as for `load_encoder`.
    predict_batch_size: texts per forward pass. Batches of several times as many
      are the fastest: texts of similar length are computed together.
    dtype: as for `AdapterBank`.

  Raises:
    InputError: as for `AdapterBank`; or there are several tasks, but no
      `task_column`.

  Example:
    >>> ray.data.read_parquet("reviews").map_batches(
    ...     BatchPredictor, concurrency=4, batch_size=1024,
    ...     fn_constructor_kwargs={"encoder_source": "bert_base_uncased",
    ...                            "adapters": ["adapters/sst2"]})
  """

  def __init__(self, encoder_source: str | os.PathLike[str],
               adapters: Sequence[str | os.PathLike[str]]
               | Mapping[str, str | os.PathLike[str]],
               text_column: str = "text", text_pair_column: str | None = None,
               task_column: str | None = None,
               vocab_file: str | os.PathLike[str] | None = None,
               lower_case: bool | None = None, predict_batch_size: int = 64,
               dtype: str | None = None):
    self._bank = AdapterBank(
        encoder_source, adapters, vocab_file, lower_case, dtype=dtype)
    self._text_column = text_column
    self._text_pair_column = text_pair_column
    self._task_column = task_column
    self._predict_batch_size = predict_batch_size
    names = self._bank.names()
    if task_column is None and len(names) != 1:
      raise InputError(
          f"there are {len(names)} tasks ({', '.join(names)}): task_column has "
          "to say which one a row is for")

  def __call__(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Predicts a batch.

    Args:
      batch: name -> column, all of the same length.

    Returns:
      The same columns, and two more, of objects, whose types do not depend on
      the tasks. "prediction" is a string: a label; labels with commas between
      them (multi-label); tags with blanks between them (tagging); a number in
      six digits (regression); an answer (span). Labels and tags that hold such
      marks are quoted: see `data.cells.read_list`. "scores" is a list of
      floats: the probabilities of the task's labels, in the order of its
      adapter file; of each word's tag; the number; the probabilities of the
      best answers.

    Raises:
      InputError: a column is missing, or there already; a text is no text, or
        its task is unknown or wants a pair or the other way round.
    """
    for name in _ADDED:
      if name in batch:
        raise InputError(f"there is a column {name!r} already")
    texts = self._column(batch, self._text_column)
    tasks = (self._bank.names() * len(texts) if self._task_column is None
             else self._column(batch, self._task_column))
    infos = {task: self._bank.info(task) for task in dict.fromkeys(tasks)}
    seconds = ([None] * len(texts) if self._text_pair_column is None
               else self._column(batch, self._text_pair_column))
    results = self._bank.predictions(
        [_text(row, infos[task], first, second) for row, (
            task, first, second) in enumerate(zip(tasks, texts, seconds))],
        tasks, self._predict_batch_size)
    # Lists of the same length would become a matrix.
    predictions, scores = (np.empty(len(texts), object) for _ in _ADDED)
    for row, (task, result) in enumerate(zip(tasks, results)):
      problem = infos[task].problem
      predictions[row] = problem.write(result.value)
      scores[row] = problem.score_list(result)
    return {**batch, **dict(zip(_ADDED, (predictions, scores)))}

  def _column(self, batch: Mapping[str, np.ndarray], name: str) -> list[Any]:
    if name not in batch:
      raise InputError(f"no column {name!r}; there is {', '.join(batch)}")
    # Nulls become None among strings, but NaN where a block has nulls alone.
    return [None if cell != cell else cell for cell in batch[name]]


def _text(row: int, info: AdapterInfo, first: Any, second: Any) -> Text:
  """Makes a text of a row as the bank takes it, or refuses the row."""
  if not isinstance(first, str | bytes) or not isinstance(
      second, str | bytes | None):
    raise InputError(f"text {row}: expected strings, not {first!r:.40}"
                     + ("" if second is None else f" and {second!r:.40}"))
  if second is None or not (second or info.takes_pairs):
    return first
  return first, second
