"""The graphs of SavedModels: from texts, or from ids, to labels.

What files they are in is the business of `saved_model`.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.data.tagging import of_cut_off
from tf_adapters.errors import InputError, warn
from tf_adapters.modeling.text import TextProcessor
from tf_adapters.problems import find_problem
from tf_adapters.problems.problem import Problem

Forward = Callable[
    [Mapping[str, tf.Tensor], tf.Tensor], Mapping[str, tf.Tensor]]


@dataclasses.dataclass(frozen=True)
class ServedTask:
  """A task of a SavedModel.

  Attributes:
    name: what callers call it.
    problem_type: one of `problems.PROBLEMS`, but not of windows.
    labels: their names; none for regression.
    max_length: longest sequence, in wordpieces.
    pairs: whether it is on pairs of texts; None for either, where an empty
      second text is none.
    boundaries: see `TaskDescription`.
  """

  name: str
  problem_type: str
  labels: tuple[str, ...]
  max_length: int
  pairs: bool | None
  boundaries: tuple[float, ...] = ()

  @property
  def problem(self) -> Problem:
    """The type of problem."""
    return find_problem(self.problem_type)

  @property
  def num_outputs(self) -> int:
    """Outputs of its head, for each text or token."""
    return self.problem.num_outputs(self.labels)

  @classmethod
  def of(cls, name: str, info: AdapterInfo, max_length: int) -> "ServedTask":
    """Makes one of an adapter file, and the length where that does not say it.
    """
    return cls(name, info.problem_type, info.labels,
               info.max_length or max_length, info.takes_pairs,
               info.description.boundaries)


class Server(tf.Module):
  """A module that turns texts into labels, by TensorFlow ops alone."""

  def __init__(self, forward: Forward, variables: Sequence[tf.Variable],
               text: TextProcessor, tasks: Sequence[ServedTask],
               default_task: str | None):
    super().__init__()
    # As functions and variables: the layers themselves would be traced and
    # written one by one.
    self._forward: Forward = lambda *inputs: forward(*inputs)
    self._variables = variables
    self._named = [task.name for task in tasks] != [""]
    # Task 0 is the encoder alone, which has no labels.
    tasks = [ServedTask("", "regression", (), text.max_length, None), *tasks]
    self._names = [task.name for task in tasks[1:]]
    self._numbers = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(
            tf.constant(self._names),
            tf.range(1, len(tasks), dtype=tf.int32)),
        default_value=0 if default_task is None
        else 1 + self._names.index(default_task))
    # Each type of problem, and which tasks are of it.
    self._problems = [
        (find_problem(name), tf.constant(
            [task.problem_type == name for task in tasks]))
        for name in dict.fromkeys(task.problem_type for task in tasks)]
    self._has_words = tf.constant(
        [task.problem.outputs == "words" for task in tasks])
    self._max_length = tf.constant([task.max_length for task in tasks])
    self._wants_pair = tf.constant([task.pairs is True for task in tasks])
    self._wants_single = tf.constant([task.pairs is False for task in tasks])
    # Of labels and of outputs, so that one can be the number of the other.
    self._widest = max(1, *(
        max(len(task.labels), task.num_outputs) for task in tasks))

    def padded(values: Sequence[Any] | np.ndarray, filler: Any) -> list[Any]:
      return [*values, *[filler] * (self._widest - len(values))]

    self._labels = tf.constant([padded(task.labels, "") for task in tasks])
    # As they are written, among others for instance.
    self._items = tf.constant([padded(
        [task.problem.item(label) for label in task.labels], "")
                               for task in tasks])
    self._boundaries = tf.constant(
        [padded(task.boundaries or [0.0] * len(task.labels), 0.0)
         for task in tasks], tf.float32)
    self._task_names = tf.constant([task.name for task in tasks])
    self._num_outputs = tf.constant([task.num_outputs for task in tasks])
    self._of_cut_off = tf.constant([
        padded(of_cut_off(task.labels) if task.problem.outputs == "words"
               else (), -np.inf) for task in tasks], tf.float32)

  def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
    """Returns {name: function} of what callers can call."""
    raise NotImplementedError

  def warm_up(self, tasks: Sequence[ServedTask]) -> dict[str, Any]:
    """Makes inputs of a request that has a row for each of some tasks."""
    raise NotImplementedError

  def _number(self, task: tf.Tensor) -> tf.Tensor:
    numbers = self._numbers.lookup(task)
    unknown = tf.boolean_mask(task, tf.equal(numbers, 0))
    known = tf.debugging.Assert(
        tf.equal(tf.size(unknown), 0),
        ["unknown task", unknown, "there is", ", ".join(self._names)])
    with tf.control_dependencies([known]):
      return tf.identity(numbers)

  def _no_result(self, task: tf.Tensor) -> dict[str, tf.Tensor]:
    names = tf.gather(self._labels, task)
    return {"label": tf.fill(tf.shape(task), ""),
            "scores": tf.zeros(tf.shape(names)), "label_names": names}

  def _add_texts(self, result: dict[str, tf.Tensor], logits: tf.Tensor,
                 has_words: tf.Tensor, task: tf.Tensor) -> None:
    """Adds what is decided of each text, and the scores of all labels."""
    logits, is_finite = self._of_own_outputs(logits, task)
    with tf.control_dependencies([
        self._all_finite(is_finite | has_words, task)]):
      items = tf.gather(self._items, task)
    for problem, is_of_it in self._problems:
      if problem.outputs == "texts":
        here = tf.gather(is_of_it, task)
        _, scores = problem.decide(logits)
        predicted, _ = problem.decide(
            logits - tf.gather(self._boundaries, task))
        result["label"] = tf.where(
            here, problem.write_tensor(predicted, items), result["label"])
        result["scores"] = tf.where(
            here[:, tf.newaxis], _with_width(scores, self._widest),
            result["scores"])

  def _add_words(self, result: dict[str, tf.Tensor], logits: tf.Tensor,
                 starts: tf.RaggedTensor, task: tf.Tensor) -> None:
    """Adds what is decided of each text's words."""
    rows = tf.cast(starts.value_rowids(), tf.int32)
    tasks = tf.gather(task, rows)
    logits, is_finite = self._of_own_outputs(tf.gather_nd(
        logits, tf.stack([rows, tf.maximum(starts.values, 0)], axis=1)), tasks)
    with tf.control_dependencies([self._all_finite(
        is_finite | ~tf.gather(self._has_words, tasks), tasks)]):
      logits = tf.where((starts.values < 0)[:, tf.newaxis],
                        tf.gather(self._of_cut_off, tasks), logits)
    items = tf.gather(self._items, tasks)
    for problem, is_of_it in self._problems:
      if problem.outputs == "words":
        predicted, _ = problem.decide(logits)
        result["label"] = tf.where(
            tf.gather(is_of_it, task), tf.strings.reduce_join(
                starts.with_values(problem.write_tensor(predicted, items)),
                axis=-1, separator=problem.separator), result["label"])

  def _of_own_outputs(self, logits: tf.Tensor, task: tf.Tensor,
                      ) -> tuple[tf.Tensor, tf.Tensor]:
    """Puts -inf behind each row's own outputs; says whether these are finite.
    """
    is_own = tf.sequence_mask(
        tf.gather(self._num_outputs, task), self._widest)
    logits = _with_width(logits, self._widest)
    is_finite = tf.reduce_all(tf.math.is_finite(logits) | ~is_own, axis=1)
    logits = tf.where(is_own, logits, -np.inf)
    logits.set_shape([None, self._widest])
    return logits, is_finite

  def _all_finite(self, fine: tf.Tensor, task: tf.Tensor) -> tf.Operation:
    """Fails where a task's numbers are not all `fine`."""
    names = tf.boolean_mask(tf.gather(self._task_names, task), ~fine)
    return tf.debugging.Assert(
        tf.reduce_all(fine),
        ["a task computes numbers that are not finite from a text, as its "
         "weights are too large; task:", names])


class TextServer(Server):
  """Strings to labels."""

  def __init__(self, forward: Forward, variables: Sequence[tf.Variable],
               text: TextProcessor, tasks: Sequence[ServedTask],
               default_task: str | None):
    super().__init__(forward, variables, text, tasks, default_task)
    self._pack, self._pad = text.pack_rows, text.pad
    self._resources = text.resources

  def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
    text, task, text_pair = (tf.TensorSpec([None], tf.string, name)
                             for name in ("text", "task", "text_pair"))
    none = tf.constant([""])
    if self._named:
      both = tf.function(
          lambda text, task, text_pair=none: self._serve_named(
              text, text_pair, task),
          autograph=False, input_signature=[text, task, text_pair])
      single = tf.function(
          lambda text, task: self._serve_named(text, none, task),
          autograph=False, input_signature=[text, task])
    else:
      both = tf.function(
          lambda text, text_pair=none: self._serve_first(text, text_pair),
          autograph=False, input_signature=[text, text_pair])
      single = tf.function(
          lambda text: self._serve_first(text, none), autograph=False,
          input_signature=[text])
    return {"serving_default": both, "single_texts": single}

  def _serve_named(self, text: tf.Tensor, text_pair: tf.Tensor,
                   task: tf.Tensor) -> dict[str, tf.Tensor]:
    text = _column(text)
    return self._serve(text, _filled("text_pair", text_pair, text),
                       self._number(_filled("task", task, text)))

  def _serve_first(self, text: tf.Tensor,
                   text_pair: tf.Tensor) -> dict[str, tf.Tensor]:
    """Serves the only task."""
    text = _column(text)
    return self._serve(text, _filled("text_pair", text_pair, text),
                       tf.ones_like(text, tf.int32))

  @tf.function(autograph=False, input_signature=[
      tf.TensorSpec([None], tf.string), tf.TensorSpec([None], tf.string),
      tf.TensorSpec([None], tf.int32)])
  def _serve(self, first: tf.Tensor, second: tf.Tensor,
             task: tf.Tensor) -> dict[str, tf.Tensor]:
    there = tf.not_equal(second, "")
    unwanted = tf.boolean_mask(
        first, there & tf.gather(self._wants_single, task))
    fine = tf.debugging.Assert(
        tf.equal(tf.size(unwanted), 0),
        ["a task on single texts was given a pair; its first text:", unwanted])
    with tf.control_dependencies([fine]):
      is_pair = there | tf.gather(self._wants_pair, task)
    has_words = tf.gather(self._has_words, task)
    word_ids, type_ids, starts = self._pack(
        first, second, is_pair, has_words, tf.gather(self._max_length, task))
    # A batch without rows, too, needs a [CLS] to look at.
    length = tf.maximum(tf.reduce_max(word_ids.row_lengths()), 2)
    outputs = self._forward(self._pad(word_ids, type_ids, length), task)
    result = self._no_result(task)
    if "texts" in outputs:
      self._add_texts(result, outputs["texts"], has_words, task)
    if "tokens" in outputs:
      self._add_words(result, outputs["tokens"], starts, task)
    return result

  def warm_up(self, tasks: Sequence[ServedTask]) -> dict[str, Any]:
    return {"text": ["some text to warm up with"] * len(tasks),
            "text_pair": ["and another" if task.pairs else ""
                          for task in tasks]}


class IdServer(Server):
  """Ids to labels, where texts become ids outside of TensorFlow's graphs.

  Raises:
    InputError: of a task that is on words: which ids are of a word is not told
      by them.
  """

  def __init__(self, forward: Forward, variables: Sequence[tf.Variable],
               text: TextProcessor, tasks: Sequence[ServedTask],
               default_task: str | None):
    super().__init__(forward, variables, text, tasks, default_task)
    for task in tasks:
      if task.problem.outputs == "words":
        raise InputError(
            f"task {task.name or task.problem_type}: texts become ids outside "
            "of the graph, which then cannot tell their words: predict them in "
            "Python")
    self._ids = text.pack(["some text to warm up with"])[0].to_list()
    warn("texts become ids outside of TensorFlow's graphs, by the package "
         "tokenizers: the SavedModel takes input_word_ids and input_mask, as "
         "text_processor makes them, and no texts")

  def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
    specs = [tf.TensorSpec([None, None], tf.int32, name)
             for name in ("input_word_ids", "input_mask")]
    if not self._named:
      return {"serving_default": tf.function(
          lambda input_word_ids, input_mask: self._serve_ids(
              input_word_ids, input_mask,
              tf.ones_like(input_word_ids[:, 0])),
          autograph=False, input_signature=specs)}
    return {"serving_default": tf.function(
        lambda input_word_ids, input_mask, task: self._serve_ids(
            input_word_ids, input_mask, self._number(
                _filled("task", task, input_word_ids[:, 0]))),
        autograph=False, input_signature=[
            *specs, tf.TensorSpec([None], tf.string, "task")])}

  def _serve_ids(self, word_ids: tf.Tensor, mask: tf.Tensor,
                 task: tf.Tensor) -> dict[str, tf.Tensor]:
    outputs = self._forward({
        "input_word_ids": word_ids, "input_mask": mask,
        "input_type_ids": tf.zeros_like(word_ids)}, task)
    result = self._no_result(task)
    self._add_texts(
        result, outputs["texts"], tf.zeros_like(task, tf.bool), task)
    return result

  def warm_up(self, tasks: Sequence[ServedTask]) -> dict[str, Any]:
    ids = np.repeat(np.array(self._ids, np.int32), len(tasks), axis=0)
    return {"input_word_ids": ids, "input_mask": np.ones_like(ids)}


def _column(values: tf.Tensor) -> tf.Tensor:
  """Fails for a scalar or a matrix, which operations on strings do not see."""
  return tf.ensure_shape(values, [None])


def _filled(name: str, values: tf.Tensor, text: tf.Tensor) -> tf.Tensor:
  """Returns `values` for every text: as many, or one for all."""
  values = _column(values)
  sizes = tf.size(values), tf.size(text)
  fine = tf.debugging.Assert(
      tf.equal(sizes[0], sizes[1]) | tf.equal(sizes[0], 1),
      [f"{name} has another length than text:", *sizes])
  with tf.control_dependencies([fine]):
    return tf.broadcast_to(values, tf.shape(text))


def _with_width(logits: tf.Tensor, width: int) -> tf.Tensor:
  """Cuts, or adds zeros to, the last axis: heads come in padded sizes."""
  logits = logits[..., :width]
  paddings = [[0, 0]] * (logits.shape.rank - 1)
  return tf.pad(logits, [*paddings, [0, width - logits.shape[-1]]])
