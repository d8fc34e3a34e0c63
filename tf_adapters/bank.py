"""One frozen encoder, any number of tasks: mixed batches in one forward pass.

Takes adapter files in and out, and texts to labels. How the tasks' weights are
stacked is the business of `modeling.stacked`; what a SavedModel of a bank is,
that of `saved_model`.
"""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.special
import tensorflow as tf

from tf_adapters import adapter_file, saved_model
from tf_adapters.adapter_info import AdapterInfo, read_info
from tf_adapters.adapter_tensors import FileTensors, expected_shapes
from tf_adapters.checkpoints.loading import load_encoder
from tf_adapters.data import batching, span_answers, squad, tagging
from tf_adapters.data.squad_options import SquadOptions
from tf_adapters.errors import InputError
from tf_adapters.modeling.heads import check_pooling
from tf_adapters.modeling.stacked import StackedModel, TaskArrays
from tf_adapters.modeling.tuning import is_adapter, is_layer_norm, kind_of

BASE = "base"  # the name of the encoder without a task

# Sorted by length among these, so that little is computed on padding.
_PACKED_AT_ONCE = 4096

Text = str | bytes | tuple[str | bytes, str | bytes]
Tasks = str | Sequence[str | None] | None


class AdapterBank:
  """Many tasks on one frozen encoder.

  A batch's rows may belong to different tasks: all of them are computed in one
  pass. What a task predicts does not depend on which others there are. Each
  task takes the memory of its adapter file.

  Adapters may differ in size, layers, position, activation and everything else
  that an `AdapterConfig` says, in pooling, labels and type of problem. Those of
  another kind (`modeling.stacked.adapter_kind`) cost a product more for every
  batch; others cost nothing.

  Args:
    encoder_source: as for `load_encoder`.
    adapters: adapter files to begin with; or name -> adapter file.
    vocab_file, lower_case: as for `load_encoder`.
    pooling: of the embedding that rows without a task get: "pooler", "cls" or
      "mean".
    max_length: longest sequence, in wordpieces, of rows without a task and of
      tasks whose files do not say theirs; None for `text_processor`'s default.
    jit_compile: whether to compile with XLA; batches are then filled up, so
      that few shapes occur.

  Raises:
    InputError: as for `add`, or the encoder can not be loaded.

  Example:
    >>> bank = AdapterBank("bert_base_uncased", ["adapters/mrpc",
    ...                                          "adapters/sst2"])
    >>> bank.predict(["a moving film", ("He said so.", "So he said.")],
    ...              tasks=["sst2", "mrpc"])
    ['positive', 'equivalent']
  """

  def __init__(self, encoder_source: str | os.PathLike[str],
               adapters: Sequence[str | os.PathLike[str]]
               | Mapping[str, str | os.PathLike[str]] = (),
               vocab_file: str | os.PathLike[str] | None = None,
               lower_case: bool | None = None,
               pooling: str = "pooler", max_length: int | None = None,
               jit_compile: bool = False):
    check_pooling(pooling)
    if isinstance(adapters, str | os.PathLike):
      raise InputError("expected a list of adapter files, not a single one")
    encoder = load_encoder(encoder_source, None, vocab_file, lower_case)
    self._encoder = encoder
    self._text = encoder.text_processor(encoder.config.max_position_embeddings)
    self._model = StackedModel(encoder, pooling)
    self._max_length = encoder.text_processor(max_length).max_length
    self._jit_compile = jit_compile
    self._tasks: dict[str, AdapterInfo] = {}
    self._pack = tf.function(self._text.pack_rows, input_signature=[
        tf.TensorSpec([None], dtype) for dtype in (
            tf.string, tf.string, tf.bool, tf.bool, tf.int32)])
    self._structure: Hashable = None
    self._retrace()
    named = (list(adapters.items()) if isinstance(adapters, Mapping)
             else [(None, path) for path in adapters])
    self.extend(named)

  def add(self, path: str | os.PathLike[str], name: str | None = None) -> str:
    """Takes a task in.

    Args:
      path: its adapter file.
      name: what to call it; None for the name in the file.

    Returns:
      The name.

    Raises:
      InputError: there is such a task already; the file can not be read or was
        made for another encoder; or it changes what all tasks share (full
        fine-tuning, top layers, biases). The bank is then as before.
    """
    return self.extend([(name, path)])[0]

  def extend(
      self, adapters: Sequence[tuple[str | None, str | os.PathLike[str]]],
  ) -> list[str]:
    """As `add` for each (name or None, adapter file), all of them or none.

    Returns:
      The names.

    Raises:
      InputError: as for `add`.
    """
    infos, arrays = {}, []
    for name, path in adapters:
      info = read_info(path)
      name = info.task if name is None else name
      if not name or name == BASE:
        raise InputError(f"{path}: a task can not be called {name!r}: choose "
                         "another name")
      if name in self._tasks or name in infos:
        raise InputError(f"{path}: the bank has a task {name!r} already: "
                         "choose another name")
      adapter_file.check_fits(path, info, self._encoder)
      try:
        self._check_stacks(info)
      except InputError as error:
        raise InputError(f"{path}: {error}") from None
      infos[name] = info
      arrays.append(TaskArrays(
          info.adapter_config, info.pooling,
          FileTensors(path, info)))
    self._model.extend(arrays)
    self._tasks |= infos
    self._retrace()
    return list(infos)

  def remove(self, name: str) -> None:
    """Takes a task out.

    Raises:
      InputError: there is no such task.
    """
    self.info(name)
    self._model.remove(self._number(name))
    del self._tasks[name]
    self._retrace()

  def names(self) -> list[str]:
    """The tasks, in the order in which they were added."""
    return list(self._tasks)

  def info(self, name: str) -> AdapterInfo:
    """What a task's adapter file says of it: labels, metrics and so on.

    Raises:
      InputError: there is no such task.
    """
    if name not in self._tasks:
      raise InputError(
          f"the bank has no task {name!r}; there is "
          f"{', '.join(self._tasks) or 'none at all'}")
    return self._tasks[name]

  def predict(self, texts: Sequence[Text], tasks: Tasks,
              batch_size: int = 64) -> list[Any]:
    """Predictions for texts of any of the tasks.

    Args:
      texts: strings, or pairs of strings for tasks on pairs: question and
        context where answers are asked for. Bytes are UTF-8.
      tasks: the task of each text, or one for all; None or "base" for the
        encoder without a task.
      batch_size: texts per forward pass.

    Returns:
      For each text: a label; a tuple of labels (multi-label); a number
      (regression); a list of words and their tags (tagging); an answer, a
      piece of the context or "" for none (span); an embedding, float32
      [hidden_size], for the encoder alone.

    Raises:
      InputError: an unknown task, or a text where it wants a pair or the other
        way round.
    """
    return self._predict(texts, tasks, batch_size, _decision, _answer)

  def predict_proba(self, texts: Sequence[Text], tasks: Tasks,
                    batch_size: int = 64) -> list[Any]:
    """As `predict`, with the probability of every label.

    Returns:
      For each text {label: probability}, for spans the best answers; for
      tagging a list of words and {label: probability}; numbers and embeddings
      are as `predict`'s.
    """
    return self._predict(
        texts, tasks, batch_size, _probabilities, _answer_probabilities)

  def predict_both(self, texts: Sequence[Text], tasks: Tasks,
                   batch_size: int = 64) -> list[Any]:
    """What `predict` and `predict_proba` return, in one pass.

    Returns:
      For each text (prediction, {label: probability}); for tagging a list of
      words and such; (number, number) for regression; an embedding for the
      encoder alone.
    """
    return self._predict(
        texts, tasks, batch_size,
        lambda info, logits: (_decision(info, logits),
                              _probabilities(info, logits)),
        lambda answers: (_answer(answers), _answer_probabilities(answers)))

  def export(self, path: str | os.PathLike[str],
             default_task: str | None = None) -> pathlib.Path:
    """Writes all tasks as a SavedModel from raw strings: see `saved_model`.

    Signatures: "serving_default" takes "text", "task" and "text_pair", strings
    [batch]; "single_texts" takes "text" and "task". Both return "label"
    [batch], "scores" and "label_names" [batch, labels].

    Args:
      path: the version's folder ("serving/1"), or the folder that the next
        version is to be put into ("serving").
      default_task: the task of rows whose task is unknown; None makes them an
        error.

    Returns:
      The version's folder.

    Raises:
      InputError: the bank is empty, or the version is there already.
    """
    return saved_model.write_saved_model(
        self._model, list(self._model.variables), self._text,
        [saved_model.ServedTask.of(name, info, self._max_length)
         for name, info in self._tasks.items()], path, default_task)

  def _check_stacks(self, info: AdapterInfo) -> None:
    """Raises InputError for a task that can not be one of many."""
    for name in expected_shapes(info):
      if not (is_adapter(name) or is_layer_norm(name)
              or kind_of(name) == "head"):
        raise InputError(
            f"was tuned with {info.tuning}, which changes the encoder itself: "
            "a bank holds adapters, layer norms and heads")
    if info.problem_type == "span":
      try:
        squad.SquadSplit([], [], _span_options(info)).check(
            self._encoder.text_processor(info.max_length or self._max_length))
      except InputError as error:
        raise InputError(f"span: {error}") from None

  def _number(self, name: str | None) -> int:
    """Of a task in the stacks, where 0 is the encoder alone."""
    if name is None or name == BASE:
      return 0
    self.info(name)
    return 1 + list(self._tasks).index(name)

  def _retrace(self) -> None:
    # Traces look weights up, but which kinds of weights there are is theirs.
    structure = self._model.structure()
    if structure != self._structure:
      self._structure = structure
      tokens = tf.TensorSpec([None, None], tf.int32)
      self._forward = tf.function(
          self._model, jit_compile=self._jit_compile, input_signature=[{
              "input_word_ids": tokens, "input_mask": tokens,
              "input_type_ids": tokens,
              "task_index": tf.TensorSpec([None], tf.int32)}])

  def _predict(self, texts: Sequence[Text], tasks: Tasks, batch_size: int,
               of_labels: Callable[[AdapterInfo, np.ndarray], Any],
               of_answers: Callable[[span_answers.Answers], Any]) -> list[Any]:
    if batch_size < 1:
      raise InputError(f"batch_size must be positive, not {batch_size}")
    rows = self._rows(texts, tasks)
    results: list[Any] = [None] * len(rows)
    spans = collections.defaultdict(list)
    others = []
    for number, row in enumerate(rows):
      is_span = row.info is not None and row.info.problem_type == "span"
      (spans[row.task] if is_span else others).append(number)
    for chunk in batching.chunks(others, _PACKED_AT_ONCE):
      for row, info, output, words in self._outputs(
          [rows[number] for number in chunk], batch_size):
        if info is None:
          result = output
        elif words is None:
          result = of_labels(info, output)
        else:
          result = [(word, of_labels(info, logits))
                    for word, logits in zip(words, output)]
        results[chunk[row]] = result
    for numbers in spans.values():
      for chunk in batching.chunks(numbers, _PACKED_AT_ONCE):
        for number, answers in zip(chunk, self._answers(
            [rows[number] for number in chunk], batch_size)):
          results[number] = of_answers(answers)
    return results

  def _rows(self, texts: Sequence[Text], tasks: Tasks) -> list["_Row"]:
    if isinstance(texts, str | bytes):
      raise InputError("expected a list of texts, not a single one")
    if tasks is None or isinstance(tasks, str):
      tasks = [tasks] * len(texts)
    if len(tasks) != len(texts):
      raise InputError(f"{len(texts)} texts, but {len(tasks)} tasks")
    numbers = {name: self._number(name) for name in dict.fromkeys(tasks)}
    infos = [None, *self._tasks.values()]
    rows = []
    for place, (text, name) in enumerate(zip(texts, tasks)):
      info = infos[numbers[name]]
      is_pair = isinstance(text, tuple | list)
      parts = text if is_pair else [text]
      if len(parts) != 1 + is_pair or not all(
          isinstance(part, str | bytes) for part in parts):
        raise InputError(f"text {place}: expected a string or a pair of them, "
                         f"not {text!r:.40}")
      if info is not None and info.takes_pairs not in (None, is_pair):
        raise InputError(
            f"text {place}: task {name} is on "
            f"{'pairs of texts' if info.takes_pairs else 'single texts'}")
      first, second = text if is_pair else (text, b"")
      rows.append(_Row(
          _utf8(first), _utf8(second), is_pair, numbers[name], info,
          (info and info.max_length) or self._max_length))
    return rows

  def _outputs(self, rows: Sequence["_Row"], batch_size: int) -> Iterator[
      tuple[int, AdapterInfo | None, np.ndarray, list[str] | None]]:
    """Yields (row, its task, its logits, its words): shortest rows first.

    Logits are [labels], or [words, labels] for tagging; words are None
    otherwise. What a row without a task has is an embedding.
    """
    is_words = [row.info is not None and row.info.problem_type == "tagging"
                for row in rows]
    columns = [
        tf.constant([row.first for row in rows], tf.string),
        tf.constant([row.second for row in rows], tf.string),
        tf.constant([row.is_pair for row in rows], tf.bool),
        tf.constant(is_words, tf.bool),
        tf.constant([row.max_length for row in rows], tf.int32)]
    word_ids, type_ids, starts = self._pack(*columns)
    words = self._text.split_words(columns[0]).to_list() if any(
        is_words) else None
    tasks = np.array([row.task for row in rows], np.int32)
    for row, outputs in self._computed(word_ids, type_ids, tasks, batch_size):
      info = rows[row].info
      if info is None:
        yield row, None, outputs["embedding"], None
      elif not is_words[row]:
        yield row, info, outputs["texts"], None
      else:
        yield row, info, tagging.at_words(
            outputs["tokens"][:, :len(info.labels)], starts[row].numpy(),
            info.labels), [
                word.decode(errors="replace") for word in words[row]]

  def _answers(self, rows: Sequence["_Row"],
               batch_size: int) -> Iterator[span_answers.Answers]:
    """Answers to the questions of one task, in their order."""
    info = rows[0].info
    split = squad.SquadSplit(
        [row.second.decode(errors="replace") for row in rows],
        [squad.Question(str(number), row.first.decode(errors="replace"),
                        number, (), None) for number, row in enumerate(rows)],
        _span_options(info), answered=False)
    windows = split.encode(self._encoder.text_processor(rows[0].max_length))
    outputs: list[Any] = [None] * len(windows)
    tasks = np.full([len(windows)], rows[0].task, np.int32)
    for row, output in self._computed(
        windows.word_ids, windows.type_ids, tasks, batch_size):
      outputs[row] = output["tokens"][:, :2]
    yield from span_answers.choose(windows, outputs).values()

  def _computed(
      self, word_ids: tf.RaggedTensor, type_ids: tf.RaggedTensor,
      tasks: np.ndarray, batch_size: int,
  ) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Yields (row, the model's outputs for it): shortest rows first."""
    lengths = word_ids.row_lengths().numpy()
    for batch in batching.chunks(
        np.argsort(lengths, kind="stable"), batch_size):
      width = batching.width_for(lengths[batch].max(), self._text.max_length)
      filled = np.resize(batch, batch_size) if self._jit_compile else batch
      outputs = self._forward({
          **self._text.pad(
              tf.gather(word_ids, filled), tf.gather(type_ids, filled), width),
          "task_index": tf.constant(tasks[filled])})
      outputs = {name: output.numpy() for name, output in outputs.items()}
      for place, row in enumerate(batch):
        yield row, {name: output[place] for name, output in outputs.items()}


@dataclasses.dataclass(frozen=True)
class _Row:
  """One text, and the task that it is for."""

  first: bytes
  second: bytes
  is_pair: bool
  task: int
  info: AdapterInfo | None
  max_length: int


def _span_options(info: AdapterInfo) -> SquadOptions:
  return SquadOptions.from_dict(info.span or {})


def _utf8(text: str | bytes) -> bytes:
  # Lone surrogates become bytes that are no character, and then [UNK].
  return text if isinstance(text, bytes) else text.encode(
      errors="surrogatepass")


def _decision(info: AdapterInfo, logits: np.ndarray) -> Any:
  """What a task predicts from its logits [labels]."""
  if not info.labels:
    return float(logits[0])
  if info.problem_type == "multi_label":
    return tuple(label for label, logit in zip(info.labels, logits)
                 if logit > 0)
  return info.labels[logits[:len(info.labels)].argmax()]


def _probabilities(info: AdapterInfo, logits: np.ndarray) -> Any:
  """{label: probability} from a task's logits, where it has labels."""
  if not info.labels:
    return float(logits[0])
  function = (scipy.special.expit if info.problem_type == "multi_label"
              else scipy.special.softmax)
  return dict(zip(info.labels, function(logits[:len(info.labels)]).tolist()))


def _answer(answers: span_answers.Answers) -> str:
  return answers.text


def _answer_probabilities(answers: span_answers.Answers) -> dict[str, float]:
  return {answer.text: answer.probability for answer in answers.best}
