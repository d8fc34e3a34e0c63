"""Predicts texts for tasks of a bank, at once or step by step."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

from tf_adapters.data.given_texts import list_of
from tf_adapters.errors import InputError
from tf_adapters.modeling.forks import check_process
from tf_adapters.problems.prediction import Prediction, Probabilities, Value
from tf_adapters.serving.bank_state import BankState
from tf_adapters.serving.bank_tasks import BankTasks
from tf_adapters.serving.bank_texts import (
    EVERY_TASK,
    EveryTask,
    Row,
    Tasks,
    Texts,
    asked_of,
    frame_of,
    only_task,
)
from tf_adapters.serving.halves import in_halves
from tf_adapters.serving.tokenized_rows import TokenizedRow, tokenize


class BankPredictions:
  """Predictions of a bank's tasks: base class of `AdapterBank`.

  Args:
    tasks: the bank's.
  """

  def __init__(self, tasks: BankTasks):
    self._tasks = tasks

  @overload
  def predict(self, texts: Texts, tasks: Tasks,
              batch_size: int = 64) -> list[Value]: ...

  @overload
  def predict(self, texts: Texts, tasks: EveryTask = EVERY_TASK,
              batch_size: int = 64) -> Any: ...

  def predict(self, texts: Texts, tasks: Tasks | EveryTask = EVERY_TASK,
              batch_size: int = 64) -> Any:
    """Predicts texts for any of the tasks, and returns labels alone.

    Args:
      texts: strings, or pairs of strings for tasks on pairs: question and
        context where answers are asked for. Bytes are UTF-8. A list, an array,
        a column of a table, a generator and so on.
      tasks: the task of each text, or one for all; None or "base" for the
        encoder without a task. Without it every text is for every task.
      batch_size: texts per forward pass.

    Returns:
      Without `tasks`, where there are several: a DataFrame with a column for
      each task, or {task: predictions} where there is no pandas. Else a list:
      for each text the value of its `Prediction`: a label; a tuple of labels
      (multi-label); a number (regression); a list of words and their tags
      (tagging); an answer, a piece of the context or "" for none (span); an
      embedding, float32 [hidden_size], for the encoder alone.

    Raises:
      InputError: an unknown task, a text where it wants a pair or the other
        way round, or a task whose weights are so large that what it computes
        from a text is not finite.

    Example:
      >>> bank.predict(["a moving film", "a dull one"])
             sst2    topic
      0  positive  culture
      1  negative  culture
    """
    if not isinstance(tasks, EveryTask) or len(self._tasks.names()) < 2:
      return [prediction.value for prediction in self.stream_predictions(
          texts, tasks, batch_size)]
    found = self.predict_tasks(texts, batch_size=batch_size)
    return frame_of({name: [prediction.value for prediction in predictions]
                     for name, predictions in found.items()},
                    getattr(texts, "index", None))

  def predict_tasks(
      self, texts: Texts, tasks: Iterable[str] | EveryTask = EVERY_TASK,
      batch_size: int = 64,
  ) -> dict[str, list[Prediction[Value, Probabilities]]]:
    """Predicts texts that are all for the same tasks.

    A text is tokenised once for all tasks of the same `max_length`. The layers
    below the lowest adapter or tuned layer norm of the tasks are computed once.

    Args:
      texts: as for `predict`.
      tasks: their names; without them all tasks.
      batch_size: texts, and rows of a text and a task, per forward pass.

    Returns:
      {task: what `predictions` returns}.

    Raises:
      InputError: as for `predict`.

    Example:
      >>> found = bank.predict_tasks(["a moving film"], ["sst2", "topic"])
      >>> found["topic"][0].value
      'culture'
    """
    names = None if isinstance(tasks, EveryTask) else list(
        dict.fromkeys(list_of(tasks, "tasks")))
    with self._tasks.resident(names) as state:
      return state.predict_all(texts, batch_size)

  def predict_proba(self, texts: Texts, tasks: Tasks | EveryTask = EVERY_TASK,
                    batch_size: int = 64) -> list[Probabilities | Value]:
    """As `predict`, with the probability of every label.

    Several tasks have to be named.

    Returns:
      For each text the probabilities of its `Prediction`: {label: probability},
      for spans the best answers; for tagging a list of words and {label:
      probability}. Numbers and embeddings are as `predict`'s.
    """
    return [prediction.value if prediction.probabilities is None
            else prediction.probabilities
            for prediction in self.stream_predictions(
                texts, tasks, batch_size)]

  def predictions(
      self, texts: Texts, tasks: Tasks | EveryTask = EVERY_TASK,
      batch_size: int = 64,
  ) -> list[Prediction[Value, Probabilities]]:
    """As `predict`, with all that is known of each prediction.

    Several tasks have to be named.

    Example:
      >>> bank.predictions(["a moving film"], "sst2")
      [Prediction(task='sst2', value='positive', probabilities={'negative':
      0.02, 'positive': 0.98}, span=None)]
    """
    return list(self.stream_predictions(texts, tasks, batch_size))

  def stream_predictions(
      self, texts: Texts, tasks: Tasks | EveryTask = EVERY_TASK,
      batch_size: int = 64,
  ) -> Iterator[Prediction[Value, Probabilities]]:
    """As `predictions`, one by one: for tasks of very many labels.

    All texts are computed at once, and what is wrong with one of them is raised
    then; numbers that are not finite when their text's turn comes.
    """
    if isinstance(tasks, EveryTask):
      tasks = only_task(self._tasks.names())
    if tasks is not None and not isinstance(tasks, str):
      tasks = list_of(tasks, "tasks")
    with self._tasks.resident(asked_of(tasks)) as state:
      return state.predict(texts, tasks, batch_size)

  def rows(self, texts: Texts, tasks: Tasks) -> list[Row]:
    """Pairs texts with their tasks, and checks them: what `tokenize` takes.

    `rows`, `tokenize` and `predict_rows` are the steps of `predictions`, for
    programs that gather texts of many callers: a server tokenises some in one
    thread while others are computed in another.

    Raises:
      InputError: as for `predict`; RowError where one of the texts is meant.
    """
    return self._tasks.rows(texts, tasks)

  def tokenize(self, rows: Sequence[Row],
               cut: bool = True) -> list[TokenizedRow]:
    """Makes wordpiece ids of rows.

    Args:
      rows: from `rows`.
      cut: whether texts lose what is longer than their tasks take. Otherwise
        `TokenizedRow.is_too_long` says which are; these cannot be predicted.
    """
    return tokenize(rows, self._now().shared, cut)

  def predict_rows(
      self, rows: Sequence[TokenizedRow], batch_size: int = 64,
  ) -> list[Prediction[Value, Probabilities] | InputError]:
    """Predicts rows of any tasks, each by itself.

    A row whose task was replaced since it was tokenised is predicted by the
    task that there is now.

    Returns:
      For each row its prediction, or what is wrong with it: its task was
      removed, does not take such texts any more, or computes numbers that are
      not finite; or there is not enough memory for it alone (OutOfMemory).

    Example:
      >>> rows = bank.tokenize(bank.rows(["a moving film"], "sst2"))
      >>> bank.predict_rows(rows)[0].value
      'positive'
    """
    with self._tasks.resident_or_not(
        asked_of([row.row.name for row in rows])) as (state, wrong):
      return in_halves(
          lambda some: state.predict_rows(some, batch_size, wrong), rows)

  def _now(self) -> BankState:
    """Returns the state, for a call that goes on with all of it.

    Raises:
      InputError: this process cannot compute; see `forks.check_process`.
    """
    check_process()
    return self._tasks.state()
