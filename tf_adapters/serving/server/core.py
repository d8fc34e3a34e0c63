"""A server of many tasks, whatever its callers speak.

Knows what is asked, what is refused and in which order things happen; not HTTP,
not how batches are chosen (`batcher`), not how they are computed (the bank).
"""

import asyncio
import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tf_adapters.adapter_files.finding import find_adapter
from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.adapter_files.opening import open_adapter
from tf_adapters.errors import InputError, similar
from tf_adapters.problems.prediction import Prediction
from tf_adapters.serving.bank_texts import BASE
from tf_adapters.serving.server import refusals
from tf_adapters.serving.server.asked import (
    Answer,
    Columns,
    ServedTask,
    Text,
)
from tf_adapters.serving.server.bank_protocol import Bank, Result
from tf_adapters.serving.server.batcher import Batcher, Tokenizer
from tf_adapters.serving.server.fair_queue import Admission
from tf_adapters.serving.server.limits import ServerConfig
from tf_adapters.serving.server.live_figures import LiveFigures
from tf_adapters.serving.server.observer import Observer
from tf_adapters.serving.server.refusals import Refusal

if TYPE_CHECKING:
  from tf_adapters.serving.bank_texts import Row
  from tf_adapters.serving.tokenized_rows import TokenizedRow

# Similar names are looked for among so many: that takes time.
_MOST_COMPARED = 300
# Seconds that a task that is removed has to answer what it has accepted.
_SECONDS_TO_LEAVE = 30.0
_LONGEST_WAIT = 60  # seconds that a client is told to wait


class ModelServer:
  """Answers texts of any tasks, in batches across requests and tasks.

  Its coroutines run in one event loop; the bank works in threads of its own.

  Args:
    bank: the tasks.
    config: how much is taken; None for the defaults.
    paths: where the files of its tasks are, as far as that is known.

  Attributes:
    bank, config: the same.
    observers: who counts; others can be appended.
    is_draining: whether nothing new is accepted.
    is_warm: whether `warm_up` is done.

  Example:
    >>> server = ModelServer(AdapterBank("bert_base_uncased", ["sst2"]))
    >>> server.warm_up()
    >>> (answer,) = await server.predict(["a moving film"], ["sst2"])
  """

  def __init__(self, bank: Bank, config: ServerConfig | None = None,
               paths: Mapping[str, str | os.PathLike[str]] | None = None):
    self.bank = bank
    self.config = config = config or ServerConfig()
    self._live = LiveFigures()
    self.observers: list[Observer] = [self._live]
    self.is_draining = False
    self.is_warm = False
    self._paths = {name: os.fspath(path)
                   for name, path in (paths or {}).items()}
    self._leaving: set[str] = set()
    self._admission = Admission(config.max_queue_rows)
    self._tokenizer = Tokenizer(bank.tokenize, self.observers)
    self._batcher = Batcher(
        bank.predict_rows, bank.widths, config, self.observers)
    self._changes = concurrent.futures.ThreadPoolExecutor(1, "changes")

  # Predictions.

  async def predict(self, texts: Sequence[Text], tasks: Sequence[str],
                    cut: bool = False) -> list[Answer]:
    """What is predicted for each text by its task.

    Args:
      texts: strings, pairs of them, or what SavedModels take.
      tasks: the task of each; "base" for the encoder alone.
      cut: whether texts that are too long are cut.

    Raises:
      Refusal: there is no such task, it does not take such a text, a text is
        too long, there are too many texts in this request or in the server, or
        it is draining.
    """
    start = time.monotonic()
    known: Mapping[str, int] = {}
    status = 500
    try:
      self._check_open()
      self._check_number(len(texts))
      for task in dict.fromkeys(tasks):
        self.check_task(task)
      known = collections.Counter(tasks)
      answers = await self._predict(
          texts, tasks, known, cut or self.config.truncate)
      status = 200
      return answers
    except Refusal as refusal:
      status = refusal.status
      raise
    except asyncio.CancelledError:
      status = refusals.HUNG_UP
      raise
    finally:
      for observer in self.observers:
        observer.answered(known, status, time.monotonic() - start)

  async def _predict(self, texts: Sequence[Text], tasks: Sequence[str],
                     wanted: Mapping[str, int], cut: bool) -> list[Answer]:
    if not self._admission.fits(wanted):
      raise Refusal(
          refusals.TOO_MANY,
          f"{self._admission.rows:,} texts are waiting: send it again later",
          self.retry_after())
    self._admission.enter(wanted)
    try:
      while True:
        infos = {task: self._info(task) for task in wanted}
        tokenized = await self._tokenizer.tokenize(
            self._rows(texts, tasks, infos), cut)
        self._check_lengths(tokenized)
        results = await self._batcher.predict(tokenized)
        answers = [
            Answer(self._prediction(number, task, result), infos[task])
            for number, (task, result) in enumerate(zip(tasks, results))]
        if all(self._info(task) is infos[task] for task in wanted):
          return answers  # otherwise one was replaced meanwhile
    finally:
      self._admission.leave(wanted.items())

  def _info(self, task: str) -> AdapterInfo | None:
    try:
      return None if task == BASE else self.bank.info(task)
    except InputError:
      raise self._no_task(task) from None

  def _rows(self, texts: Sequence[Text], tasks: Sequence[str],
            infos: Mapping[str, AdapterInfo | None]) -> list["Row"]:
    try:
      return self.bank.rows(
          [text.text_for(infos[task]) if isinstance(text, Columns)
           else text for text, task in zip(texts, tasks)], tasks)
    except InputError as error:
      raise Refusal(refusals.WRONG_KIND, str(error)) from None

  def _prediction(self, number: int, task: str,
                  result: Result) -> Prediction[Any, Any]:
    if isinstance(result, Prediction):
      return result
    self._info(task)  # it may have gone meanwhile
    reason = getattr(result, "reason", str(result))
    raise Refusal(refusals.WRONG_KIND, f"text {number}: {reason}")

  def check_task(self, name: str) -> None:
    """Refuses a task that is not served; "base" is the encoder alone.

    Raises:
      Refusal: there is none.
    """
    if name != BASE:
      self.task(name)

  def _check_open(self) -> None:
    if self.is_draining:
      raise Refusal(refusals.DRAINING, "the server is shutting down",
                    self.retry_after())

  def _check_number(self, rows: int) -> None:
    most = self.config.max_request_rows
    if rows > most:
      raise Refusal(refusals.TOO_LARGE, f"{rows:,} texts, of which a request "
                    f"may have {most:,}: send them in several")

  def _check_lengths(self, rows: Sequence["TokenizedRow"]) -> None:
    for number, row in enumerate(rows):
      if row.is_too_long:
        raise Refusal(
            refusals.TOO_LARGE, f"text {number}: is longer than the "
            f"{row.row.max_length} wordpieces that task {row.row.name} takes: "
            'ask for "truncation": true, or send less')
    tokens = sum(sum(row.lengths) for row in rows)
    most = self.config.max_request_tokens
    if tokens > most:
      raise Refusal(refusals.TOO_LARGE, f"{tokens:,} wordpieces, of which a "
                    f"request may have {most:,}: send less")

  def retry_after(self) -> int:
    """Seconds until what waits now will have been computed."""
    return max(1, min(_LONGEST_WAIT, math.ceil(
        self._live.seconds_for(self._admission.rows))))

  # Tasks.

  def task(self, name: str) -> ServedTask:
    """A task.

    Raises:
      Refusal: there is none of that name.
    """
    if name not in self._leaving:
      with contextlib.suppress(InputError):
        return ServedTask(
            name, self.bank.info(name), self._paths.get(name, ""))
    raise self._no_task(name)

  def _no_task(self, name: str) -> Refusal:
    names = [other for other in self.bank.names()
             if other not in self._leaving]
    near = similar(name, _nearest(name, names))
    return Refusal(
        refusals.NOT_FOUND, f"no task {name!r:.80}"
        + (f": did you mean {near!r}?" if near else
           f": GET /v1/models lists the {len(names):,} that there are"
           if names else ": none is served yet"))

  def tasks(self) -> list[ServedTask]:
    """All tasks."""
    found = []
    for name in self.bank.names():
      try:
        found.append(self.task(name))
      except Refusal:  # it has gone meanwhile
        continue
    return found

  async def add(self, path: str | os.PathLike[str],
                name: str | None = None) -> str:
    """Takes a task in, in the place of one of the same name if there is one.

    Returns:
      Its name.

    Raises:
      InputError: the file cannot be read, or does not fit. Then nothing has
        changed.
    """
    start = time.monotonic()
    name = await self._change(self._add, path, name)
    self._paths[name] = os.fspath(path)
    for observer in self.observers:
      observer.loaded(time.monotonic() - start)
    return name

  def _add(self, path: str | os.PathLike[str], name: str | None) -> str:
    if name is None:
      path = find_adapter(path)
      name = open_adapter(path).info.task
    if name in self.bank.names():
      self.bank.replace(name, path)
    else:
      self.bank.add(path, name)
    return name

  async def remove(self, name: str) -> None:
    """Takes a task out, after what it has accepted is answered.

    Raises:
      Refusal: there is none of that name.
    """
    self.task(name)
    self._leaving.add(name)
    try:
      await self._until(lambda: not self._admission.of_task(name),
                        _SECONDS_TO_LEAVE)
      await self._change(self.bank.remove, name)
      self._paths.pop(name, None)
    except InputError:
      pass  # someone else has removed it
    finally:
      self._leaving.discard(name)

  async def _change(self, change: Callable[..., Any], *arguments: Any) -> Any:
    """Changes the bank: one change after the other."""
    return await asyncio.get_running_loop().run_in_executor(
        self._changes, functools.partial(change, *arguments))

  # Beginning and end.

  def warm_up(self) -> None:
    """Computes a batch of every width, so that no caller waits for the first.
    """
    bank = self.bank
    (row,) = bank.rows(["a " * bank.widths[-1]], [None])
    longest = max([row.max_length, *(
        task.info.max_length or 0 for task in self.tasks())])
    for width in bank.widths:
      if width <= longest:
        bank.predict_rows(bank.tokenize(
            [dataclasses.replace(row, max_length=width)]), 1)
    self.is_warm = True

  @property
  def is_ready(self) -> bool:
    """Whether requests are answered."""
    return self.is_warm and not self.is_draining

  def figures(self) -> dict[str, float | None]:
    """What `GET /stats` says."""
    names = self.bank.names()
    return {**self._live.figures(), "queue_rows": self._admission.rows,
            "resident_tasks": len(names), "known_tasks": len(names)}

  async def drain(self, seconds: float | None = None) -> None:
    """Accepts nothing more, and waits until all is answered.

    Args:
      seconds: how long; None for as long as it takes.
    """
    self.is_draining = True
    await self._until(lambda: not self._admission.rows, seconds)

  def close(self) -> None:
    """Ends the threads."""
    self.is_draining = True
    self._tokenizer.close()
    self._batcher.close()
    self._changes.shutdown(wait=False)

  async def _until(self, condition: Callable[[], bool],
                   seconds: float | None) -> None:
    start = time.monotonic()
    while not condition() and (
        seconds is None or time.monotonic() < start + seconds):
      await asyncio.sleep(0.005)


def _nearest(name: str, names: Sequence[str]) -> Sequence[str]:
  """Those that a name is compared with; where there are very many, not all."""
  if len(names) <= _MOST_COMPARED:
    return names
  return [other for other in names
          if other[:1].casefold() == name[:1].casefold()][:_MOST_COMPARED]
