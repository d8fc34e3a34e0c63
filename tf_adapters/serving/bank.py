"""One frozen encoder, any number of tasks: mixed batches in one forward pass.

Takes adapter files in and out, also while others predict. What a prediction
needs is the business of `bank_state`; how the tasks' weights are stacked, that
of `modeling.stacked`; what a SavedModel of a bank is, that of `saved_model`.
"""

import itertools
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

from tf_adapters.adapter_files import adapter_file
from tf_adapters.adapter_files.finding import find_adapter
from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.adapter_files.opening import open_adapter
from tf_adapters.adapter_files.tensors import expected_shapes
from tf_adapters.checkpoints.loading import load_encoder
from tf_adapters.data import batching
from tf_adapters.data.given_texts import list_of
from tf_adapters.errors import InputError, listed, printable
from tf_adapters.modeling.config import AUTO_POOLING
from tf_adapters.modeling.heads import check_pooling, choose_pooling
from tf_adapters.modeling.methods.table import method_of
from tf_adapters.modeling.stacked import TaskArrays
from tf_adapters.modeling.tuning import is_layer_norm, kind_of
from tf_adapters.problems.prediction import Prediction, Probabilities, Value
from tf_adapters.serving import saved_model
from tf_adapters.serving.bank_state import (
    BankEncoder,
    BankState,
    NewTask,
    Published,
)
from tf_adapters.serving.bank_texts import (
    BASE,
    EVERY_TASK,
    EveryTask,
    Row,
    Tasks,
    Texts,
    asked_of,
    frame_of,
    only_task,
)
from tf_adapters.serving.served_graphs import ServedTask
from tf_adapters.serving.tokenized_rows import TokenizedRow, tokenize

_MOST_SHOWN = 20

# A task to take in: a name or None, its adapter file, label names or None.
_Added = tuple[str | None, str | os.PathLike[str], Sequence[str] | None]


class AdapterBank:
  """Many tasks on one frozen encoder.

  A batch's rows may belong to different tasks: all of them are computed in one
  pass. What a task predicts does not depend on which others there are. Each
  task takes the memory of its adapter file, padded by less than a half; one of
  Compacter that of the bottleneck adapters that it is.

  Adapters may differ in size, layers, position, activation and everything else
  that an `AdapterConfig` says, in pooling, labels and type of problem. Those of
  another kind (`Method.kind`) cost a product more for every
  batch; others cost nothing.

  Threads may predict, export, add, replace and remove at the same time. A call
  sees the tasks that there were when it began, to its end. A new task is
  written into rows of the tables that nobody has, and appears in one step:
  however a change ends, with an error, with Ctrl-C or without memory, it is
  done or it is not. Where no row is free, a table of twice the size takes the
  place of one after the other. A process that was forked from the one that made
  the bank cannot use it.

  Args:
    encoder_source: as for `load_encoder`.
    adapters: adapter files to begin with; or name -> adapter file.
    vocab_file, lower_case: as for `load_encoder`.
    pooling: of the embedding that rows without a task get: "pooler", "cls" or
      "mean"; "auto" for the one that the encoder was made for.
    max_length: longest sequence, in wordpieces, of rows without a task and of
      tasks whose files do not say theirs; None for `text_processor`'s default.
    jit_compile: whether to compile with XLA; batches are then filled up, so
      that few shapes occur.
    capacity: the most tasks that there can be. Rows for all of them are set
      aside for each kind of adapter; on a CPU they take memory when a task is
      written there. None for any number.

  Raises:
    InputError: as for `add`, or the encoder cannot be loaded.

  Example:
    >>> bank = AdapterBank("bert_base_uncased", ["adapters/mrpc",
    ...                                          "adapters/sst2"])
    >>> bank.predict(["a moving film", ("He said so.", "So he said.")],
    ...              tasks=["sst2", "mrpc"])
    ['positive', 'equivalent']
  """

  def __init__(self, encoder_source: str | os.PathLike[str],
               adapters: Iterable[str | os.PathLike[str]]
               | Mapping[str, str | os.PathLike[str]] = (),
               vocab_file: str | os.PathLike[str] | None = None,
               lower_case: bool | None = None,
               pooling: str = "auto", max_length: int | None = None,
               jit_compile: bool = False, capacity: int | None = None):
    if pooling != AUTO_POOLING:
      check_pooling(pooling)
    if capacity is not None and capacity < 1:
      raise InputError(f"capacity must be positive, not {capacity}")
    if isinstance(adapters, str | os.PathLike):
      raise InputError("expected a list of adapter files, not a single one")
    encoder = load_encoder(encoder_source, None, vocab_file, lower_case)
    shared = BankEncoder(
        encoder, choose_pooling(pooling, encoder.pooling), max_length,
        jit_compile, capacity)
    self._process = os.getpid()
    self._published = Published(shared.no_tasks().with_tasks(_opened(
        [(name, path, None) for name, path in adapters.items()]
        if isinstance(adapters, Mapping)
        else [(None, path, None) for path in adapters], shared)))

  def add(self, path: str | os.PathLike[str], name: str | None = None,
          labels: Sequence[str] | None = None) -> str:
    """Takes a task in.

    Args:
      path: its adapter file, or a repository: see `load_adapter`.
      name: what to call it; None for the name in the file.
      labels: as for `load_adapter`.

    Returns:
      The name.

    Raises:
      InputError: there is such a task already; the file cannot be read or was
        made for another encoder; or it changes what all tasks share (full
        fine-tuning, top layers, biases). The bank is then as before.
    """
    return self._extend([(name, path, labels)])[0]

  def extend(
      self, adapters: Sequence[tuple[str | None, str | os.PathLike[str]]],
  ) -> list[str]:
    """As `add` for each (name or None, adapter file), all of them or none.

    Returns:
      The names.

    Raises:
      InputError: as for `add`.
    """
    return self._extend([(name, path, None) for name, path in adapters])

  def _extend(self, adapters: Sequence[_Added]) -> list[str]:
    new = self._opened(adapters)
    self._published.replace(lambda state: state.with_tasks(new))
    return list(new)

  def _opened(self, adapters: Sequence[_Added]) -> dict[str, NewTask]:
    """Tasks to take in, for which the tables have room."""
    self._check_process()
    new = _opened(adapters, self._published.state().shared)
    grown = True
    while grown:
      old, state = self._published.replace(
          lambda state: state.with_more_room(new.values()))
      grown = state is not old
    return new

  def replace(self, name: str, path: str | os.PathLike[str],
              labels: Sequence[str] | None = None) -> None:
    """Puts another adapter file into the place of a task's, in one step.

    Predictions that have begun go on with the old one.

    Args:
      name: of the task.
      path, labels: as for `add`.

    Raises:
      InputError: there is no such task, or as for `add`. The old one is then
        as before.
    """
    self._check_process()
    self.info(name)  # raises before the file is read
    (new,) = self._opened([(name, path, labels)]).values()
    self._published.replace(lambda state: state.with_replaced(name, new))
    self._drop_empty_stacks()

  def remove(self, name: str) -> None:
    """Takes a task out. Predictions that have begun still have it.

    Raises:
      InputError: there is no such task.
    """
    self._check_process()
    self._published.replace(lambda state: state.without(name))
    self._drop_empty_stacks()

  def _drop_empty_stacks(self) -> None:
    """Lets what is left be computed without kinds that have gone.

    That is a new trace. Nobody waits for it but the caller.
    """
    self._published.replace(lambda state: state.without_empty_stacks())

  @property
  def source(self) -> str:
    """Where the encoder is from."""
    origin = self._published.state().shared.encoder.origin
    return origin.source if origin else ""

  @property
  def widths(self) -> tuple[int, ...]:
    """Wordpieces that batches are padded to, in order."""
    return batching.widths_up_to(
        self._published.state().shared.text.max_length)

  def names(self) -> list[str]:
    """The tasks, in the order in which they were added."""
    return list(self._published.state().infos)

  def info(self, name: str) -> AdapterInfo:
    """What a task's adapter file says of it: labels, metrics and so on.

    Raises:
      InputError: there is no such task.
    """
    return self._published.state().info(name)

  def __repr__(self) -> str:
    state = self._published.state()
    origin = state.shared.encoder.origin
    lines = [f"AdapterBank on {origin and origin.source}: "
             f"{len(state.infos):,} task{'s' * (len(state.infos) != 1)}"]
    lines += [f"  {name}: {info.problem_type}"
              + (", pairs" if info.takes_pairs else "")
              + (f", {listed(info.labels, 6)}" if info.labels else "")
              for name, info in list(state.infos.items())[:_MOST_SHOWN]]
    if len(state.infos) > _MOST_SHOWN:
      lines.append(f"  and {len(state.infos) - _MOST_SHOWN:,} more: names()")
    return "\n".join(map(printable, lines))

  @overload
  def predict(self, texts: Texts, tasks: Tasks,
              batch_size: int = 64) -> list[Value]: ...

  @overload
  def predict(self, texts: Texts, tasks: EveryTask = EVERY_TASK,
              batch_size: int = 64) -> Any: ...

  def predict(self, texts: Texts, tasks: Tasks | EveryTask = EVERY_TASK,
              batch_size: int = 64) -> Any:
    """What is predicted for texts of any of the tasks, and nothing more.

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
    state = self._now()
    names = list(state.infos)
    if not isinstance(tasks, EveryTask) or len(names) < 2:
      del state  # see `stream_predictions`
      return [prediction.value for prediction in self.stream_predictions(
          texts, tasks, batch_size)]
    rows = list_of(texts)
    found = state.predict(
        rows * len(names), [name for name in names for _ in rows], batch_size)
    return frame_of({
        name: [prediction.value
               for prediction in itertools.islice(found, len(rows))]
        for name in names}, getattr(texts, "index", None))

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
    state = self._now()
    tasks = only_task(tasks, list(state.infos))
    if tasks is not None and not isinstance(tasks, str):
      tasks = list_of(tasks, "tasks")
    # Rows of other tasks can be given to new ones while this goes on.
    state = state.only(asked_of(tasks))
    return state.predict(texts, tasks, batch_size)

  def rows(self, texts: Texts, tasks: Tasks) -> list[Row]:
    """Texts and their tasks, checked: what `tokenize` takes.

    `rows`, `tokenize` and `predict_rows` are the steps of `predictions`, for
    programs that gather texts of many callers: a server tokenises some in one
    thread while others are computed in another.

    Raises:
      InputError: as for `predict`; RowError where one of the texts is meant.
    """
    return self._now().rows(texts, tasks)

  def tokenize(self, rows: Sequence[Row],
               cut: bool = True) -> list[TokenizedRow]:
    """The rows as wordpiece ids.

    Args:
      rows: from `rows`.
      cut: whether texts lose what is longer than their tasks take. Otherwise
        `TokenizedRow.is_too_long` says which are; these cannot be predicted.
    """
    return tokenize(rows, self._now().shared, cut)

  def predict_rows(
      self, rows: Sequence[TokenizedRow], batch_size: int = 64,
  ) -> list[Prediction[Value, Probabilities] | InputError]:
    """What is predicted for rows of any tasks, each by itself.

    A row whose task was replaced since it was tokenised is predicted by the
    task that there is now.

    Returns:
      For each row its prediction, or what is wrong with it: its task was
      removed, does not take such texts any more, or computes numbers that are
      not finite.

    Example:
      >>> rows = bank.tokenize(bank.rows(["a moving film"], "sst2"))
      >>> bank.predict_rows(rows)[0].value
      'positive'
    """
    state = self._now()
    state = state.only([name for name in asked_of([
        row.row.name for row in rows]) if name in state.infos])
    return state.predict_rows(rows, batch_size)

  def export(self, path: str | os.PathLike[str],
             default_task: str | None = None,
             overwrite: bool = False) -> pathlib.Path:
    """Writes all tasks as a SavedModel from raw strings: see `saved_model`.

    Signatures: "serving_default" takes "text", "task" and "text_pair", strings
    [batch]; "single_texts" takes "text" and "task". Both return "label"
    [batch], "scores" and "label_names" [batch, labels].

    Args:
      path: the version's folder ("serving/1"), or the folder that the next
        version is to be put into ("serving").
      default_task: the task of rows whose task is unknown; None makes them an
        error.
      overwrite: whether a version that is there is replaced.

    Returns:
      The version's folder.

    Raises:
      InputError: the bank is empty, or the version is there already.
    """
    state = self._now()
    shared, tasks = state.shared, state.tasks.compact()
    return saved_model.write_saved_model(
        lambda inputs, task_index: shared.model(
            tasks.keys, tasks.tensors, inputs, task_index),
        [*tasks.variables, *shared.encoder.base_variables().values()],
        shared.text,
        [ServedTask.of(name, info, shared.max_length)
         for name, info in state.infos.items()], path, default_task,
        overwrite)

  def _now(self) -> BankState:
    """The state, for a call that goes on with it to its end.

    Raises:
      InputError: this process was forked from the bank's.
    """
    self._check_process()
    return self._published.state()

  def _check_process(self) -> None:
    """Raises InputError in a process that was forked from the bank's."""
    if os.getpid() != self._process:
      raise InputError(
          "this process was forked from the one that made the bank, and "
          "TensorFlow would wait for ever in it: make the bank in this "
          'process, or start it with multiprocessing.get_context("spawn")')


def _opened(adapters: Sequence[_Added],
            shared: BankEncoder) -> dict[str, NewTask]:
  """Opens and checks adapter files: {name of the task: what is to be taken in}.

  Raises:
    InputError: as for `AdapterBank.add`.
  """
  new: dict[str, NewTask] = {}
  encoder = shared.encoder
  source = encoder.origin.source if encoder.origin else ""
  for name, path, labels in adapters:
    path = find_adapter(path)
    file = open_adapter(path, labels)
    info = file.info
    name = info.task if name is None else name
    if not isinstance(name, str) or name in ("", BASE):
      raise InputError(f"{path}: a task cannot be called {name!r:.40}: choose "
                       "another name")
    if name in new:
      raise InputError(f"{path}: the bank has a task {name!r} already: "
                       "choose another name")
    file = file.on(encoder.config, source)
    info = file.info
    adapter_file.check_fits(path, info, encoder)
    try:
      shapes = expected_shapes(info)
      _check_stacks(info, shapes, shared)
    except InputError as error:
      raise InputError(f"{path}: {error}") from None
    new[name] = NewTask(path, info, TaskArrays(
        encoder.config, info.method, info.pooling, shapes, file.tensors,
        encoder.projection_weights))
  return new


def _check_stacks(info: AdapterInfo, names: Iterable[str],
                  shared: BankEncoder) -> None:
  """Raises InputError for a task that cannot be one of many."""
  names = list(names)
  for name in names:
    if not (method_of(name) or is_layer_norm(name)
            or kind_of(name) in ("head", "pooler")) or (
                not _beside(name) <= {*names}):
      reason = f"was tuned with {info.tuning}, which changes the encoder itself"
      if name in info.changed_base:
        reason = (f"has its own {name} ({len(info.changed_base)} weights of "
                  "the encoder changed beside the tuning)")
      raise InputError(
          f"{reason}: a bank holds adapters, layer norms, poolers and heads")
  if info.problem.outputs == "windows":
    info.problem.check_windows(shared.encoder.text_processor(
        info.max_length or shared.max_length), info.span)


def _beside(name: str) -> set[str]:
  """What a task has to have beside a variable of a layer norm or a pooler."""
  place = name.rpartition("/")[0]
  if is_layer_norm(name):
    return {f"{place}/gamma", f"{place}/beta"}
  if kind_of(name) == "pooler":
    return {f"{place}/kernel", f"{place}/bias"}
  return set()
