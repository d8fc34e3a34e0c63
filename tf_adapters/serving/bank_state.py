"""All that a bank's prediction needs, as one object that never changes.

A bank that changes makes another state beside the one it has. Who predicts
with a state goes on with it to the end, whatever becomes of the bank.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.data import batching, tagging
from tf_adapters.errors import InputError
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
    pooling, max_length, jit_compile: as for `AdapterBank`.

  Attributes:
    encoder: the encoder.
    text: its text processor, for the longest texts.
    max_length: of tasks whose files do not say theirs.
    model: encoder and heads.
  """

  def __init__(self, encoder: TransformerEncoder, pooling: str,
               max_length: int | None, jit_compile: bool):
    self.encoder = encoder
    self.text = encoder.text_processor(encoder.config.longest_text)
    self.max_length = encoder.text_processor(max_length).max_length
    self.model = StackedModel(encoder, pooling)
    self.jit_compile = jit_compile
    # Without AutoGraph, which would take seconds to find nothing to convert.
    self.pack = tf.function(
        self.text.pack_rows, autograph=False, input_signature=[
            tf.TensorSpec([None], dtype) for dtype in (
                tf.string, tf.string, tf.bool, tf.bool, tf.int32)],
    ).get_concrete_function()

  def traced(self, tasks: StackedTasks,
             before: TracedModel | None = None) -> TracedModel:
    """The model's graph for tasks: the one `before`, if it will do."""
    if before is not None and before.keys == tasks.keys:
      return before
    return TracedModel(self.model, tasks.keys, self.jit_compile)

  def no_tasks(self) -> "BankState":
    """What a bank's first state is made of."""
    return BankState(self, {}, self.model.no_tasks(), None)


@dataclasses.dataclass(frozen=True)
class BankState:
  """Tasks, their weights, and the graph that computes with them.

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

  def with_tasks(self, infos: Mapping[str, AdapterInfo],
                 arrays: Sequence[TaskArrays]) -> "BankState":
    """With more tasks, behind those there are."""
    return self._changed({**self.infos, **infos},
                         self.tasks.with_tasks(arrays))

  def without_task(self, name: str) -> "BankState":
    """Without a task.

    Raises:
      InputError: there is no such task.
    """
    number, _ = self.find(name)
    return self._changed(
        {other: info for other, info in self.infos.items() if other != name},
        self.tasks.without_task(number))

  def _changed(self, infos: Mapping[str, AdapterInfo],
               tasks: StackedTasks) -> "BankState":
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
          f"{', '.join(self.infos) or 'none at all'}")
    return 1 + list(self.infos).index(name), self.infos[name]

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
    rows = make_rows(texts, tasks, self.find, self.shared.max_length)
    outputs: list[Any] = [None] * len(rows)
    windows: dict[int, list[int]] = collections.defaultdict(list)
    others: list[int] = []
    for number, row in enumerate(rows):
      (windows[row.task] if row.outputs == "windows" else others).append(number)
    for numbers, compute in ((others, self._of_rows), *(
        (numbers, self._of_windows) for numbers in windows.values())):
      for chunk in batching.chunks(numbers, _PACKED_AT_ONCE):
        for place, output in compute(
            [rows[number] for number in chunk], batch_size):
          outputs[chunk[place]] = output
    return self._predictions(rows, outputs)

  def _predictions(self, rows: Sequence[Row],
                   outputs: list[Any]) -> Iterator[Prediction[Any, Any]]:
    for number, row in enumerate(rows):
      output, outputs[number] = outputs[number], None
      if output is None:
        raise RowError(
            number, f"task {row.name} computes numbers that are not finite "
            "from it: its weights are too large; train it again, at a lower "
            "learning rate")
      if row.info is None:
        yield Prediction(row.name, output, None)
      elif isinstance(output, Prediction):
        yield output
      else:
        yield row.info.problem.prediction(row.name, row.info.labels, *output)

  def _of_rows(self, rows: Sequence[Row],
               batch_size: int) -> Iterator[tuple[int, Any]]:
    """Yields (row, what the model makes of it): shortest rows first.

    That is what is decided, the scores and the words, see
    `Problem.prediction`; an embedding without a task; None for what is not
    finite.
    """
    is_words = [row.outputs == "words" for row in rows]
    texts = tf.constant([row.first for row in rows], tf.string)
    word_ids, type_ids, starts = self.shared.pack(
        texts,
        tf.constant([row.second for row in rows], tf.string),
        tf.constant([row.is_pair for row in rows], tf.bool),
        tf.constant(is_words, tf.bool),
        tf.constant([row.max_length for row in rows], tf.int32))
    words = self.shared.text.split_words(texts).to_list() if any(
        is_words) else []
    for batch in self._computed(
        word_ids, type_ids, [row.task for row in rows], batch_size):
      # Rows that are decided together: of one type, with as many outputs, by
      # the same boundaries.
      alike: dict[tuple[str, int, tuple[float, ...]], list[tuple[
          int, np.ndarray]]] = collections.defaultdict(list)
      for number, outputs in batch:
        info = rows[number].info
        if info is None:
          output = outputs["embedding"]
          yield number, output.copy() if np.isfinite(output).all() else None
          continue
        output = outputs["tokens" if is_words[number] else "texts"]
        output = output[..., :info.num_outputs]
        if not np.isfinite(output).all():
          yield number, None
          continue
        logits = (tagging.at_words(output, starts[number].numpy(), info.labels)
                  if is_words[number] else output[np.newaxis])
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
          if is_words[number]:
            yield number, (predicted[start:end].copy(),
                           scores[start:end].copy(),
                           [word.decode(errors="replace")
                            for word in words[number]])
          else:
            yield number, (predicted[start].copy(), scores[start].copy(), ())

  def _of_windows(self, rows: Sequence[Row], batch_size: int,
                  ) -> Iterator[tuple[int, Prediction[Any, Any] | None]]:
    """Yields (row, prediction) of one task that reads windows, in order."""
    name, info = rows[0].name, self.infos[rows[0].name]
    windows = info.problem.windows(
        [(row.first.decode(errors="replace"),
          row.second.decode(errors="replace")) for row in rows],
        self.shared.encoder.text_processor(rows[0].max_length), info.span)
    outputs: list[Any] = [None] * len(windows)
    for batch in self._computed(
        windows.word_ids, windows.type_ids, [rows[0].task] * len(windows),
        batch_size):
      for number, output in batch:
        outputs[number] = output["tokens"][:, :info.num_outputs]
    yield from enumerate(info.problem.decide_windows(name, windows, outputs))

  def _computed(
      self, word_ids: tf.RaggedTensor, type_ids: tf.RaggedTensor,
      tasks: Sequence[int], batch_size: int,
  ) -> Iterator[list[tuple[int, dict[str, np.ndarray]]]]:
    """Yields batches of (row, the model's outputs for it): shortest first.

    Those for tokens are without padding.
    """
    text, jit_compile = self.shared.text, self.shared.jit_compile
    assert self.forward is not None  # it is of a bank
    numbers = np.array(tasks, np.int32)
    lengths = word_ids.row_lengths().numpy()
    for batch in batching.chunks(
        np.argsort(lengths, kind="stable"), batch_size):
      width = batching.width_for(lengths[batch].max(), text.max_length)
      filled = np.resize(batch, batch_size) if jit_compile else batch
      outputs = self.forward(
          self.tasks,
          text.pad(tf.gather(word_ids, filled), tf.gather(type_ids, filled),
                   width),
          tf.constant(numbers[filled]))
      outputs = {name: output.numpy() for name, output in outputs.items()}
      yield [(row, {name: output[place, :lengths[row]] if name == "tokens"
                    else output[place] for name, output in outputs.items()})
             for place, row in enumerate(batch)]
