"""One frozen encoder, any number of tasks: mixed batches in one forward pass.

Which tasks there are, also while others predict, is the business of
`bank_tasks`; how these predict, that of `bank_predictions`; what a prediction
needs, that of `bank_state`; how weights are stacked, that of
`modeling.stacked`; what a SavedModel is, that of `saved_model`.
"""

import contextlib
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.checkpoints.loading import load_encoder
from tf_adapters.errors import InputError
from tf_adapters.modeling.config import AUTO_POOLING
from tf_adapters.modeling.heads import check_pooling, choose_pooling
from tf_adapters.modeling.stacked import ADAPTER_DTYPES
from tf_adapters.serving import saved_model
from tf_adapters.serving.adapter_folder import AdapterFolder
from tf_adapters.serving.bank_encoder import BankEncoder
from tf_adapters.serving.bank_predictions import BankPredictions
from tf_adapters.serving.bank_summary import summary
from tf_adapters.serving.bank_tasks import BankTasks
from tf_adapters.serving.residency import Residency
from tf_adapters.serving.served_graphs import ServedTask


class AdapterBank(BankPredictions):
  """A bank of many tasks on one frozen encoder.

  A batch's rows may belong to different tasks: all of them are computed in one
  pass. What a task predicts does not depend on which others there are. Each
  task takes the memory of its adapter file, padded by less than a half; one of
  Compacter that of the bottleneck adapters that it is.

  Adapters may differ in all that a method's configuration says, in pooling,
  labels and type of problem. Those of another kind (`Method.kind`) cost a
  product more for every batch; others cost nothing.

  Threads may predict, export, add, replace and remove at the same time. A call
  sees the tasks that there were when it began, to its end. However a change
  ends, with an error, with Ctrl-C or without memory, it is done or it is not.
  It costs what its task costs. A process that was forked from the one that made
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
    capacity: the most tasks that there can be, or, with a store, that can be
      resident. Rows for all of them are set aside for each kind of adapter; on
      a CPU they take memory when a task is written there. None for any number.
    store: a folder of adapter files, each of which is a task by the name of its
      folder. A task is loaded when a call needs it first. Where there is no
      room, one that no call needs goes: first those that were used once, the
      least recently used ones. Those of `adapters` and `add` stay.
    adapter_dtype: what the matrices of adapters are held in: "float32", or
      "bfloat16" for half the memory, rounded to 8 bits. None for "bfloat16"
      where that is the `dtype`, which gives the same results.
    dtype: what is computed in, as for `load_encoder`. In "bfloat16" layer
      norms, heads and outputs are float32 all the same.

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
               jit_compile: bool = False, capacity: int | None = None,
               store: str | os.PathLike[str] | None = None,
               adapter_dtype: str | None = None, dtype: str | None = None):
    if pooling != AUTO_POOLING:
      check_pooling(pooling)
    if capacity is not None and capacity < 1:
      raise InputError(f"capacity must be positive, not {capacity}")
    if adapter_dtype is None:
      adapter_dtype = "bfloat16" if dtype == "bfloat16" else "float32"
    if adapter_dtype not in ADAPTER_DTYPES:
      raise InputError(f"adapter_dtype must be {' or '.join(ADAPTER_DTYPES)}, "
                       f"not {adapter_dtype!r:.40}")
    if isinstance(adapters, str | os.PathLike):
      raise InputError("expected a list of adapter files, not a single one")
    encoder = load_encoder(
        encoder_source, None, vocab_file, lower_case, dtype)
    super().__init__(BankTasks(
        BankEncoder(encoder, choose_pooling(pooling, encoder.pooling),
                    max_length, jit_compile, capacity, adapter_dtype),
        [(name, path, None) for name, path in adapters.items()]
        if isinstance(adapters, Mapping)
        else [(None, path, None) for path in adapters],
        None if store is None else AdapterFolder(store)))

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
    return self._tasks.extend([(name, path, labels)])[0]

  def extend(
      self, adapters: Sequence[tuple[str | None, str | os.PathLike[str]]],
  ) -> list[str]:
    """As `add` for each (name or None, adapter file), all of them or none.

    Returns:
      The names.

    Raises:
      InputError: as for `add`.
    """
    return self._tasks.extend([(name, path, None) for name, path in adapters])

  def replace(self, name: str, path: str | os.PathLike[str],
              labels: Sequence[str] | None = None) -> None:
    """Puts another adapter file into the place of a task's, in one step.

    Predictions that have begun go on with the old one.

    Args:
      name: of the task.
      path: its new adapter file; of a task of the store, the file in the store,
        which has changed.
      labels: as for `add`.

    Raises:
      InputError: there is no such task, or as for `add`. The old one is then
        as before.
    """
    self._tasks.replace(name, path, labels)

  def remove(self, name: str) -> None:
    """Takes a task out. Predictions that have begun still have it.

    A task of the store is loaded again when a call needs it.

    Raises:
      InputError: there is no such task.
    """
    self._tasks.remove(name)

  @property
  def source(self) -> str:
    """Where the encoder is from."""
    origin = self._tasks.state().shared.encoder.origin
    return origin.source if origin else ""

  @property
  def dtype(self) -> str:
    """The type that it computes in."""
    return self._tasks.state().shared.encoder.compute_dtype

  @property
  def widths(self) -> tuple[int, ...]:
    """Wordpieces that batches are padded to, in order."""
    return self._tasks.state().shared.widths

  def __contains__(self, name: object) -> bool:
    """Returns whether there is such a task; one of the store need not be read.
    """
    return isinstance(name, str) and name in self._tasks


  def names(self) -> list[str]:
    """Lists the tasks in the order in which they came; then the store's."""
    return self._tasks.names()

  def info(self, name: str) -> AdapterInfo:
    """Reads what a task's adapter file says: labels, metrics and so on.

    Raises:
      InputError: there is no such task, or its file in the store is damaged.
    """
    return self._tasks.info(name)

  @property
  def store(self) -> pathlib.Path | None:
    """The folder whose tasks are loaded when they are needed."""
    folder = self._tasks.folder
    return None if folder is None else folder.path

  @property
  def residency(self) -> Residency | None:
    """The resident tasks and a count of loads, with a store."""
    return self._tasks.residency

  @contextlib.contextmanager
  def loaded(self, names: Iterable[str]) -> Iterator[None]:
    """Makes tasks of the store resident, and keeps them so in its block.

    A call loads what it needs by itself. Who loads it before, in another
    thread, need not let rows of resident tasks wait for it.

    Raises:
      InputError: there is no such task, its file is damaged, or there are more
        than there is room for.

    Example:
      >>> with bank.loaded(["sst2"]):
      ...   bank.predict(texts, tasks)
    """
    with self._tasks.resident(list(names)):
      yield

  def __repr__(self) -> str:
    return summary(self.source, self._tasks.state().infos, self.store)

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
      InputError: the bank is empty or has a store, or the version is there
        already.
    """
    if self._tasks.folder:
      raise InputError(
          f"which tasks of {self._tasks.folder.path} to export is not said: "
          "make a bank of these, as its adapters and without a store")
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
