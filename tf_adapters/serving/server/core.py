"""A server of many tasks, whatever its callers speak.

Knows what is asked, what is refused and in which order things happen; not HTTP,
not how batches are chosen (`batcher`), not how they are computed (the bank).
"""

import asyncio
import collections
import concurrent.futures
import dataclasses
import functools
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.errors import InputError
from tf_adapters.problems.prediction import Prediction
from tf_adapters.serving.bank_texts import OutOfMemory, RowError
from tf_adapters.serving.residency import TooManyError
from tf_adapters.serving.server import refusals
from tf_adapters.serving.server.asked import (
  Answer,
  Columns,
  Text,
)
from tf_adapters.serving.server.bank_protocol import Bank, Result
from tf_adapters.serving.server.batcher import Batcher, Tokenizer
from tf_adapters.serving.server.fair_queue import Admission
from tf_adapters.serving.server.limits import ServerConfig
from tf_adapters.serving.server.live_figures import LiveFigures
from tf_adapters.serving.server.loader import Loader
from tf_adapters.serving.server.log import log
from tf_adapters.serving.server.observer import Observer
from tf_adapters.serving.server.refusals import Refusal
from tf_adapters.serving.server.served_tasks import ServedTasks

if TYPE_CHECKING:
  from tf_adapters.serving.bank_texts import Row
  from tf_adapters.serving.tokenized_rows import TokenizedRow

# Seconds that a task that is removed has to answer what it has accepted.
_SECONDS_TO_LEAVE = 30.0
_LONGEST_WAIT = 60  # seconds that a client is told to wait
# What is wrong with a file is logged once, and not for every request.
_REMEMBERED_LINES = 100


class ModelServer:
  """Answers texts of any tasks, in batches across requests and tasks.

  Its coroutines run in one event loop; the bank works in threads of its own.

  Args:
    bank: the tasks.
    config: how much is taken; None for the defaults.
    paths: where the files of its tasks are, as far as that is known.

  Attributes:
    bank, config: the same.
    served: which tasks there are.
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
    self.served = ServedTasks(bank, paths or {})
    self._logged: collections.deque[str] = collections.deque(
        maxlen=_REMEMBERED_LINES)
    self._loader = Loader(bank)
    self._admission = Admission(config.max_queue_rows)
    self._tokenizer = Tokenizer(bank.tokenize, self.observers)
    self._batcher = Batcher(
        bank.predict_rows, bank.widths, config, self.observers)
    self._changes = concurrent.futures.ThreadPoolExecutor(1, "changes")

  # Predictions.

  async def predict(self, texts: Sequence[Text], tasks: Sequence[str],
                    cut: bool = False) -> list[Answer]:
    """Predicts each text by its task.

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
      self.check_number(len(texts))
      for task in dict.fromkeys(tasks):
        self.served.check(task)
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
      async with self._loader.holding(wanted):
        while True:
          infos = {task: self.served.info(task) for task in wanted}
          self._check_characters(texts, tasks, infos)
          tokenized = await self._tokenizer.tokenize(
              self._rows(texts, tasks, infos), cut)
          self._check_lengths(tokenized)
          results = await self._batcher.predict(tokenized)
          if all(map(self._is_still, wanted, infos.values())):
            return [Answer(self._prediction(number, task, result), infos[task])
                    for number, (task, result) in enumerate(
                        zip(tasks, results))]
    except TooManyError as error:
      raise Refusal(refusals.TOO_LARGE, str(error)) from None
    except InputError as error:  # a file that cannot be loaded
      for task in wanted:
        self.served.check(task)  # it may have gone meanwhile
      refusal = refusals.of_file(error)
      if refusal.status == refusals.FAILED:
        self._log_once(str(error))
      raise refusal from None
    finally:
      self._admission.leave(wanted.items())

  def _log_once(self, line: str) -> None:
    if line not in self._logged:
      self._logged.append(line)
      log(line)

  def _is_still(self, task: str, info: AdapterInfo | None) -> bool:
    """Returns whether a task was not replaced; one that was removed was not."""
    try:
      return self.served.info(task) is info
    except Refusal:
      return True

  def _rows(self, texts: Sequence[Text], tasks: Sequence[str],
            infos: Mapping[str, AdapterInfo | None]) -> list["Row"]:
    try:
      return self.bank.rows(
          [text.text_for(infos[task]) if isinstance(text, Columns)
           else text for text, task in zip(texts, tasks)], tasks)
    except RowError as error:
      raise Refusal(
          refusals.WRONG_KIND, error.reason, text=error.row) from None
    except InputError as error:
      raise Refusal(refusals.WRONG_KIND, str(error)) from None

  def _prediction(self, number: int, task: str,
                  result: Result) -> Prediction[Any, Any]:
    if isinstance(result, Prediction):
      return result
    if isinstance(result, OutOfMemory):
      raise Refusal(
          refusals.NO_MEMORY, str(result), self.retry_after(), number)
    self.served.info(task)  # it may have gone meanwhile
    reason = getattr(result, "reason", str(result))
    raise Refusal(refusals.WRONG_KIND, reason, text=number)

  def _check_open(self) -> None:
    if self.is_draining:
      raise Refusal(refusals.DRAINING, "the server is shutting down",
                    self.retry_after())

  def check_number(self, rows: int) -> None:
    """Refuses more texts than a request may have.

    Raises:
      Refusal: there are more.
    """
    most = self.config.max_request_rows
    if rows > most:
      raise Refusal(refusals.TOO_LARGE, f"{rows:,} texts, but a request may "
                    f"have at most {most:,}: send several requests")

  def _check_characters(self, texts: Sequence[Text], tasks: Sequence[str],
                        infos: Mapping[str, AdapterInfo | None]) -> None:
    """Refuses texts that would be tokenised for minutes, as all wait for that.

    A few bytes can stand for many texts. What is tokenised once counts once.
    """
    sizes: dict[tuple[Text, Any], int] = {}
    for text, task in zip(texts, tasks):
      info = infos[task]
      kind = (task if info and info.problem.outputs == "windows"
              else info and info.max_length)
      sizes[text, kind] = len(text) if isinstance(text, str) else sum(map(len, (
          text if isinstance(text, tuple) else (text.text, text.text_pair))))
    characters, most = sum(sizes.values()), self.config.max_body_bytes
    if characters > most:
      raise Refusal(
          refusals.TOO_LARGE, f"{characters:,} characters in all texts, but a "
          f"request may have at most {most:,}: send several requests")

  def _check_lengths(self, rows: Sequence["TokenizedRow"]) -> None:
    for number, row in enumerate(rows):
      if row.is_too_long:
        raise Refusal(
            refusals.TOO_LARGE, f"is longer than the {row.row.max_length} "
            f"wordpieces that task {row.row.name} takes: ask for "
            '"truncation": true, or send less', text=number)
    tokens = sum(sum(row.lengths) for row in rows)
    most = self.config.max_request_tokens
    if tokens > most:
      raise Refusal(refusals.TOO_LARGE, f"{tokens:,} wordpieces, but a request "
                    f"may have at most {most:,}: send fewer texts")

  def retry_after(self) -> int:
    """Estimates the seconds until what waits now will have been computed."""
    return max(1, min(_LONGEST_WAIT, math.ceil(
        self._live.seconds_for(self._admission.rows))))

  # Tasks.

  async def add(self, path: str | os.PathLike[str],
                name: str | None = None) -> str:
    """Takes a task in, in the place of one of the same name if there is one.

    Returns:
      Its name.

    Raises:
      InputError: the file cannot be read, or does not fit. Then nothing has
        changed.
    """
    if name is None:
      name = await self._change(self.served.name_of, path)
    # One that is being removed goes first: it would take the new one along.
    await self._until(lambda: not self.served.is_leaving(name), None)
    await self._change(self.served.add, path, name)
    return name

  async def remove(self, name: str) -> None:
    """Takes a task out, after what it has accepted is answered.

    Raises:
      Refusal: there is none of that name, or its file is in the bank's store.
    """
    with self.served.leaving(name):
      await self._until(lambda: not self._admission.of_task(name),
                        _SECONDS_TO_LEAVE)
      await self._change(self.served.remove, name)

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
    longest = max(row.max_length, self.served.longest())
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
    """Returns the figures of `GET /stats`: slow where a store is large."""
    return {**self._live.figures(), **self.served.figures(),
            "hits": self._loader.hits, "misses": self._loader.misses,
            "queue_rows": self._admission.rows}

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
    self._loader.close()
    self._tokenizer.close()
    self._batcher.close()
    self._changes.shutdown(wait=False)

  async def _until(self, condition: Callable[[], bool],
                   seconds: float | None) -> None:
    start = time.monotonic()
    while not condition() and (
        seconds is None or time.monotonic() < start + seconds):
      await asyncio.sleep(0.005)
