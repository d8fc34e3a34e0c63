"""All that a prediction of a bank needs, in one object that never changes.

A bank that changes makes another state beside the one it has. Who predicts
takes the tasks that it needs from a state, and goes on with these to the end,
whatever becomes of the bank.
"""

import collections
import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.data import batching, tagging
from tf_adapters.data.given_texts import list_of
from tf_adapters.errors import InputError, listed
from tf_adapters.modeling.shared_layers import SharedLayers
from tf_adapters.modeling.stacked import StackedTasks
from tf_adapters.modeling.stacked_layers import TracedModel
from tf_adapters.problems import find_problem
from tf_adapters.problems.prediction import Prediction
from tf_adapters.serving.bank_batches import computed, computed_sharing
from tf_adapters.serving.bank_encoder import BankEncoder
from tf_adapters.serving.bank_files import NewTask
from tf_adapters.serving.bank_texts import (
    Row,
    RowError,
    Tasks,
    Texts,
    make_rows,
)
from tf_adapters.serving.tokenized_rows import (
    TokenizedRow,
    split_repeated,
    tokenize,
)

# Sorted by length among these, so that little is computed on padding.
_PACKED_AT_ONCE = 4096


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

  @classmethod
  def of_no_tasks(cls, shared: BankEncoder) -> "BankState":
    """Makes a bank's first state."""
    return cls(shared, {}, shared.model.no_tasks(
        shared.capacity, shared.adapter_dtype), None)

  def with_tasks(self, new: Mapping[str, NewTask]) -> "BankState":
    """Returns a state with more tasks, behind those there are.

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
    """Returns a state with another task in the place of one.

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
    """Returns a state of some of the tasks, by the same graph.

    Raises:
      InputError: there is no such task.
    """
    found = {name: self.find(name) for name in names}
    return BankState(
        self.shared, {name: info for name, (_, info) in found.items()},
        self.tasks.only([number for number, _ in found.values()]), self.forward)

  def without(self, name: str) -> "BankState":
    """Returns a state without a task, by the same graph.

    Raises:
      InputError: there is no such task.
    """
    self.find(name)
    return self.only(other for other in self.infos if other != name)

  def without_empty_stacks(self) -> "BankState":
    """Returns a state whose graph computes what the tasks need and no more."""
    tasks = self.tasks.without_empty_stacks()
    return self if tasks is self.tasks else self._changed(self.infos, tasks)

  def _changed(self, infos: Mapping[str, AdapterInfo],
               tasks: StackedTasks) -> "BankState":
    if self.forward is None or self.forward.keys != tasks.keys:
      tasks = tasks.without_empty_stacks()  # a trace that comes anyway
    return BankState(self.shared, infos, tasks,
                     self.shared.traced(tasks, self.forward))

  def info(self, name: str) -> AdapterInfo:
    """Returns what a task's adapter file says.

    Raises:
      InputError: there is no such task.
    """
    return self.find(name)[1]

  def find(self, name: str) -> tuple[int, AdapterInfo]:
    """Returns a task's number, and what its file says of it.

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
    """Makes the rows of texts and their tasks."""
    return make_rows(texts, tasks, self.find, self.shared.max_length)

  def predict(self, texts: Texts, tasks: Tasks,
              batch_size: int) -> Iterator[Prediction[Any, Any]]:
    """Predicts texts of any of the tasks, in their order.

    All of them are computed at once; what is made of them, which may take much
    more memory, one by one.

    Args:
      texts, tasks, batch_size: as for `AdapterBank.predict`.

    Raises:
      InputError: as for `AdapterBank.predict`; RowError where a text is meant.
    """
    rows = self.rows(texts, tasks)
    return _predictions(rows, self._all_outputs(rows, batch_size, None))

  def predict_all(
      self, texts: Texts, batch_size: int,
  ) -> dict[str, list[Prediction[Any, Any]]]:
    """As `predict` for all texts and each task: {task: predictions}.

    What the tasks have in common is computed once for each text.
    """
    texts = list_of(texts)
    of_tasks = [self.rows(texts, name) for name in self.infos]
    together = [row for of_text in zip(*of_tasks) for row in of_text]
    outputs = self._all_outputs(
        together, batch_size,
        self.shared.shared_layers(self.tasks) if together else None)
    return {name: list(_predictions(rows, outputs[number::len(of_tasks)]))
            for number, (name, rows) in enumerate(zip(self.infos, of_tasks))}

  def _all_outputs(self, rows: Sequence[Row], batch_size: int,
                   layers: SharedLayers | None) -> list[Any]:
    """As `_outputs`, of rows that are still to be tokenised."""
    if batch_size < 1:
      raise InputError(f"batch_size must be positive, not {batch_size}")
    outputs: list[Any] = []
    for chunk in batching.chunks(rows, _PACKED_AT_ONCE):
      outputs += self._outputs(tokenize(chunk, self.shared), batch_size, layers)
    return outputs

  def predict_rows(
      self, rows: Sequence[TokenizedRow], batch_size: int,
      wrong: Mapping[str, InputError],
  ) -> list[Prediction[Any, Any] | InputError]:
    """As `AdapterBank.predict_rows`.

    Args:
      rows, batch_size: as there.
      wrong: {name of a task that is not among these: the reason}.
    """
    results: list[Prediction[Any, Any] | InputError | None] = [None] * len(rows)
    known: dict[int, TokenizedRow] = {}
    for number, row in enumerate(rows):
      if row.row.name in wrong:
        results[number] = wrong[row.row.name]
        continue
      try:
        known[number] = self._now(row)
      except InputError as error:
        results[number] = error
    for numbers, layers in self._parts(known):
      outputs = self._outputs(
          [known[number] for number in numbers], batch_size, layers)
      for number, output in zip(numbers, outputs):
        of_row = known[number].row
        results[number] = _not_finite(number, of_row) if output is None else (
            _prediction(of_row, output))
    return [result for result in results if result is not None]

  def _parts(self, rows: Mapping[int, TokenizedRow],
             ) -> list[tuple[list[int], SharedLayers | None]]:
    """Divides rows into what is computed together, and by what: see `_outputs`.

    Texts that are for many tasks are one part, where these have layers in
    common: the numbers of its rows, and of the others.
    """
    repeated, others = split_repeated(rows)
    names = {rows[number].row.name for number in repeated} & {*self.infos}
    layers = self.shared.shared_layers(
        self.only(names).tasks, wait=False) if names else None
    if layers is None:
      return [([*rows], None)]
    return [part for part in ((repeated, layers), (others, None)) if part[0]]

  def _now(self, tokenized: TokenizedRow) -> TokenizedRow:
    """Returns a row for the task as it is now.

    Raises:
      InputError: the task is no more, or does not take such texts.
    """
    row = tokenized.row
    if row.info is None:
      return tokenized
    task, info = self.find(row.name)
    if info != row.info:  # it was replaced
      return tokenize(
          self.rows([tokenized.text], row.name), self.shared)[0]
    return dataclasses.replace(
        tokenized, row=dataclasses.replace(row, task=task))

  def _outputs(self, rows: Sequence[TokenizedRow], batch_size: int,
               layers: SharedLayers | None = None) -> list[Any]:
    """Computes the outputs of each row, by `layers` if they are given.

    That is what is decided, the scores and the words, see
    `Problem.prediction`; a prediction where windows are read; an embedding
    without a task; None for what is not finite.
    """
    done: list[Any] = [None] * len(rows)
    windows = {number: [np.empty(0)] * len(row.word_ids)
               for number, row in enumerate(rows) if row.windows is not None}
    assert self.forward is not None  # it is of a bank
    for batch in (
        computed(rows, batch_size, self.shared, self.tasks, self.forward)
        if layers is None else
        computed_sharing(rows, batch_size, self.shared, self.tasks, layers)):
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
  """Makes a prediction of what `BankState` computes."""
  if row.info is None:
    return Prediction(row.name, output, None)
  if isinstance(output, Prediction):
    return output
  return row.info.problem.prediction(row.name, row.info.labels, *output)


def _not_finite(number: int, row: Row) -> RowError:
  return RowError(
      number, f"task {row.name} computes numbers that are not finite from it: "
      "its weights are too large; train it again, at a lower learning rate")
