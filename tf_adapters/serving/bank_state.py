"""All that a prediction of a bank needs, in one object that never changes.

A bank that changes makes another state beside the one it has. Who predicts
takes the tasks that it needs from a state, and goes on with these to the end,
whatever becomes of the bank.
"""

import collections
import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.data import batching, tagging
from tf_adapters.errors import InputError, listed
from tf_adapters.modeling.encoder import TransformerEncoder
from tf_adapters.modeling.stacked import StackedTasks, TaskArrays
from tf_adapters.modeling.stacked_layers import StackedModel, TracedModel
from tf_adapters.problems import find_problem
from tf_adapters.problems.prediction import Prediction
from tf_adapters.serving.bank_texts import (
    Row,
    RowError,
    Tasks,
    Texts,
    make_rows,
)
from tf_adapters.serving.tokenized_rows import TokenizedRow, pad, tokenize

# Sorted by length among these, so that little is computed on padding.
_PACKED_AT_ONCE = 4096


class Published:
  """A bank's state, which is replaced in one step.

  Without a lock: a thread that is stopped while it holds one would stop all
  others for ever. A change is made of the state that there is, and once more
  where another change came first.
  """

  def __init__(self, state: "BankState"):
    # A state, and under "next" what it was replaced by.
    self._newest: tuple[BankState, dict[str, Any]] = (state, {})

  def state(self) -> "BankState":
    """The newest state."""
    return self._find()[0]

  def replace(self, make: Callable[["BankState"], "BankState"],
              ) -> tuple["BankState", "BankState"]:
    """Replaces the state by what is made of it, or leaves it as it is.

    Returns:
      The old and the new one.
    """
    while True:
      old, after = self._find()
      new: tuple[BankState, dict[str, Any]] = make(old), {}
      # The step: a single call, in which nothing can come.
      if after.setdefault("next", new) is new:
        self._newest = new  # the old one can go
        return old, new[0]

  def _find(self) -> tuple["BankState", dict[str, Any]]:
    newest = self._newest
    while newest[1]:
      newest = newest[1]["next"]
    self._newest = newest
    return newest


class BankEncoder:
  """What all states of a bank have in common.

  Args:
    encoder: a plain encoder.
    pooling, max_length, jit_compile, capacity: as for `AdapterBank`.

  Attributes:
    encoder: the encoder.
    text: its text processor, for the longest texts.
    max_length: of tasks whose files do not say theirs.
    model: encoder and heads.
    capacity: the most tasks that there can be; None for any number.
  """

  def __init__(self, encoder: TransformerEncoder, pooling: str,
               max_length: int | None, jit_compile: bool,
               capacity: int | None = None):
    self.encoder = encoder
    self.text = encoder.text_processor(encoder.config.longest_text)
    self.max_length = encoder.text_processor(max_length).max_length
    self.model = StackedModel(encoder, pooling)
    self.jit_compile = jit_compile
    self.capacity = capacity
    # Without AutoGraph, which would take seconds to find nothing to convert.
    self.pack = tf.function(
        self.text.pack_rows, autograph=False, input_signature=[
            tf.TensorSpec([None], dtype) for dtype in (
                tf.string, tf.string, tf.bool, tf.bool, tf.int32)],
    ).get_concrete_function()

    # The graph that was traced last: it may be of a change that another one
    # came before, and that is then made once more.
    self._newest: TracedModel | None = None

  def traced(self, tasks: StackedTasks,
             before: TracedModel | None = None) -> TracedModel:
    """The model's graph for tasks: the one `before`, if it will do."""
    for graph in (before, self._newest):
      if graph is not None and graph.keys == tasks.keys:
        return graph
    graph = TracedModel(self.model, tasks.keys, self.jit_compile)
    self._newest = graph
    return graph

  def no_tasks(self) -> "BankState":
    """What a bank's first state is made of."""
    return BankState(self, {}, self.model.no_tasks(self.capacity), None)


@dataclasses.dataclass(frozen=True)
class NewTask:
  """A task to take in.

  Attributes:
    path: its adapter file.
    info: what that says.
    arrays: what the task owns.
  """

  path: str | os.PathLike[str]
  info: AdapterInfo
  arrays: TaskArrays


@dataclasses.dataclass(frozen=True)
class BankState:
  """Tasks, the rows that hold their weights, and the graph that computes.

  Attributes:
    shared: what other states have, too.
    infos: {name: what its adapter file says}, in the order of their numbers.
    tasks: the weights.
    forward: the graph; None in the state that a bank's first one is made of.
  """

  shared: BankEncoder
  infos: Mapping[str, AdapterInfo]
  tasks: StackedTasks
  forward: TracedModel | None

  def with_tasks(self, new: Mapping[str, NewTask]) -> "BankState":
    """With more tasks, behind those there are.

    Raises:
      InputError: there is such a task already, or there are too many.
    """
    for name, task in new.items():
      if name in self.infos:
        raise InputError(f"{task.path}: the bank has a task {name!r} already: "
                         "choose another name")
    count = len(self.infos) + len(new)
    if self.shared.capacity is not None and count > self.shared.capacity:
      raise InputError(
          f"the bank has room for {self.shared.capacity:,} tasks, not for "
          f"{count:,}: remove some, or give it more capacity")
    return self._changed(
        {**self.infos, **{name: task.info for name, task in new.items()}},
        self.tasks.with_tasks([task.arrays for task in new.values()]))

  def with_replaced(self, name: str, new: NewTask) -> "BankState":
    """With another task in the place of one.

    Raises:
      InputError: there is no such task.
    """
    number, _ = self.find(name)
    numbers = list(range(1, 1 + len(self.infos)))
    numbers[number - 1] = 1 + len(self.infos)
    return self._changed(
        {**self.infos, name: new.info},
        self.tasks.with_tasks([new.arrays]).only(numbers))

  def with_more_room(self, new: Iterable[NewTask]) -> "BankState":
    """See `StackedTasks.with_more_room`."""
    tasks = self.tasks.with_more_room([task.arrays for task in new])
    return self if tasks is self.tasks else dataclasses.replace(
        self, tasks=tasks)

  def only(self, names: Iterable[str]) -> "BankState":
    """Some of the tasks, by the same graph.

    Raises:
      InputError: there is no such task.
    """
    found = {name: self.find(name) for name in names}
    return BankState(
        self.shared, {name: info for name, (_, info) in found.items()},
        self.tasks.only([number for number, _ in found.values()]), self.forward)

  def without(self, name: str) -> "BankState":
    """Without a task, by the same graph.

    Raises:
      InputError: there is no such task.
    """
    self.find(name)
    return self.only(other for other in self.infos if other != name)

  def without_empty_stacks(self) -> "BankState":
    """With a graph that computes what the tasks need and no more."""
    tasks = self.tasks.without_empty_stacks()
    return self if tasks is self.tasks else self._changed(self.infos, tasks)

  def _changed(self, infos: Mapping[str, AdapterInfo],
               tasks: StackedTasks) -> "BankState":
    if self.forward is None or self.forward.keys != tasks.keys:
      tasks = tasks.without_empty_stacks()  # a trace that comes anyway
    return BankState(self.shared, infos, tasks,
                     self.shared.traced(tasks, self.forward))

  def info(self, name: str) -> AdapterInfo:
    """What a task's adapter file says of it.

    Raises:
      InputError: there is no such task.
    """
    return self.find(name)[1]

  def find(self, name: str) -> tuple[int, AdapterInfo]:
    """A task's number, and what its file says of it.

    Raises:
      InputError: there is no such task.
    """
    if name not in self.infos:
      raise InputError(
          f"the bank has no task {name!r}; there is "
          f"{listed(list(self.infos)) or 'none at all'}")
    return self._numbers[name], self.infos[name]

  @functools.cached_property
  def _numbers(self) -> Mapping[str, int]:
    return {name: 1 + place for place, name in enumerate(self.infos)}

  def rows(self, texts: Texts, tasks: Tasks) -> list[Row]:
    """The rows of texts and their tasks: as `AdapterBank.rows`."""
    return make_rows(texts, tasks, self.find, self.shared.max_length)

  def predict(self, texts: Texts, tasks: Tasks,
              batch_size: int) -> Iterator[Prediction[Any, Any]]:
    """Predictions for texts of any of the tasks, in their order.

    All of them are computed at once; what is made of them, which may take much
    more memory, one by one.

    Args:
      texts, tasks, batch_size: as for `AdapterBank.predict`.

    Raises:
      InputError: as for `AdapterBank.predict`; RowError where a text is meant.
    """
    if batch_size < 1:
      raise InputError(f"batch_size must be positive, not {batch_size}")
    rows = self.rows(texts, tasks)
    outputs: list[Any] = []
    for chunk in batching.chunks(rows, _PACKED_AT_ONCE):
      outputs += self._outputs(tokenize(chunk, self.shared), batch_size)
    return _predictions(rows, outputs)

  def predict_rows(
      self, rows: Sequence[TokenizedRow], batch_size: int,
  ) -> list[Prediction[Any, Any] | InputError]:
    """As `AdapterBank.predict_rows`."""
    results: list[Prediction[Any, Any] | InputError | None] = [None] * len(rows)
    known: dict[int, TokenizedRow] = {}
    for number, row in enumerate(rows):
      try:
        known[number] = self._now(row)
      except InputError as error:
        results[number] = error
    outputs = self._outputs(list(known.values()), batch_size)
    for (number, row), output in zip(known.items(), outputs):
      results[number] = _not_finite(number, row.row) if output is None else (
          _prediction(row.row, output))
    return [result for result in results if result is not None]

  def _now(self, tokenized: TokenizedRow) -> TokenizedRow:
    """A row for the task as it is now.

    Raises:
      InputError: the task is no more, or does not take such texts.
    """
    row = tokenized.row
    if row.info is None:
      return tokenized
    task, info = self.find(row.name)
    if info is not row.info:  # it was replaced
      return tokenize(
          self.rows([tokenized.text], row.name), self.shared)[0]
    return dataclasses.replace(
        tokenized, row=dataclasses.replace(row, task=task))

  def _outputs(self, rows: Sequence[TokenizedRow],
               batch_size: int) -> list[Any]:
    """What the model makes of each row.

    That is what is decided, the scores and the words, see
    `Problem.prediction`; a prediction where windows are read; an embedding
    without a task; None for what is not finite.
    """
    done: list[Any] = [None] * len(rows)
    windows = {number: [np.empty(0)] * len(row.word_ids)
               for number, row in enumerate(rows) if row.windows is not None}
    for batch in self._computed(rows, batch_size):
      texts = []
      for number, place, outputs in batch:
        info = rows[number].row.info
        if number in windows and info is not None:
          windows[number][place] = outputs["tokens"][:, :info.num_outputs]
        else:
          texts.append((number, outputs))
      for number, output in _decided(rows, texts):
        done[number] = output
    for number, logits in windows.items():
      row = rows[number].row
      assert row.info is not None  # the encoder alone reads no windows
      (done[number],) = row.info.problem.decide_windows(
          row.name, rows[number].windows, logits)
    return done

  def _computed(
      self, rows: Sequence[TokenizedRow], batch_size: int,
  ) -> Iterator[list[tuple[int, int, dict[str, np.ndarray]]]]:
    """Yields batches of (row, sequence, the model's outputs): shortest first.

    Those for tokens are without padding.
    """
    text, jit_compile = self.shared.text, self.shared.jit_compile
    assert self.forward is not None  # it is of a bank
    sequences = [(number, place) for number, row in enumerate(rows)
                 for place in range(len(row.word_ids))]
    lengths = np.array([len(rows[number].word_ids[place])
                        for number, place in sequences], np.int64)
    for batch in batching.chunks(
        np.argsort(lengths, kind="stable"), batch_size):
      filled = [sequences[one] for one in (
          np.resize(batch, batch_size) if jit_compile else batch)]
      outputs = self.forward(
          self.tasks,
          pad([(rows[number].word_ids[place], rows[number].type_ids[place])
               for number, place in filled],
              batching.width_for(lengths[batch].max(), text.max_length), text),
          tf.constant([rows[number].row.task for number, _ in filled]))
      outputs = {name: output.numpy() for name, output in outputs.items()}
      yield [(*sequences[one], {
          name: output[place, :lengths[one]] if name == "tokens"
          else output[place] for name, output in outputs.items()})
             for place, one in enumerate(batch)]


def _decided(rows: Sequence[TokenizedRow],
             texts: Sequence[tuple[int, dict[str, np.ndarray]]],
             ) -> Iterator[tuple[int, Any]]:
  """Yields (row, what is decided), from (row, the model's outputs)."""
  # Rows that are decided together: of one type, with as many outputs, by the
  # same boundaries.
  alike: dict[tuple[str, int, tuple[float, ...]], list[tuple[
      int, np.ndarray]]] = collections.defaultdict(list)
  for number, outputs in texts:
    info, starts = rows[number].row.info, rows[number].starts
    if info is None:
      output = outputs["embedding"]
      yield number, output.copy() if np.isfinite(output).all() else None
      continue
    output = outputs["texts" if starts is None else "tokens"]
    output = output[..., :info.num_outputs]
    if not np.isfinite(output).all():
      yield number, None
      continue
    logits = (output[np.newaxis] if starts is None
              else tagging.at_words(output, starts, info.labels))
    boundaries = info.description.boundaries if info.thresholds else ()
    alike[info.problem_type, info.num_outputs, boundaries].append(
        (number, logits))
  for (problem_type, _, boundaries), members in alike.items():
    predicted, scores = find_problem(problem_type).decided(
        np.concatenate([logits for _, logits in members]), boundaries)
    end = 0
    for number, logits in members:
      start, end = end, end + len(logits)
      # Copies, since others are of all rows together.
      if rows[number].starts is None:
        yield number, (predicted[start].copy(), scores[start].copy(), ())
      else:
        yield number, (predicted[start:end].copy(), scores[start:end].copy(),
                       rows[number].words)


def _predictions(rows: Sequence[Row],
                 outputs: list[Any]) -> Iterator[Prediction[Any, Any]]:
  for number, row in enumerate(rows):
    output, outputs[number] = outputs[number], None
    if output is None:
      raise _not_finite(number, row)
    yield _prediction(row, output)


def _prediction(row: Row, output: Any) -> Prediction[Any, Any]:
  """What is predicted, from what `BankState` computes."""
  if row.info is None:
    return Prediction(row.name, output, None)
  if isinstance(output, Prediction):
    return output
  return row.info.problem.prediction(row.name, row.info.labels, *output)


def _not_finite(number: int, row: Row) -> RowError:
  return RowError(
      number, f"task {row.name} computes numbers that are not finite from it: "
      "its weights are too large; train it again, at a lower learning rate")
