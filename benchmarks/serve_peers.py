"""Other ways to serve many tasks on one encoder, behind one front.

The front does less than `tf-adapters serve`: it reads HTTP, puts rows into a
queue and closes a batch as soon as the last one is computed. It is the same
for all of them; what differs is which rows share a batch, and what computes it:

  adapterhub   AdapterHub, adapters of size 64: one task's rows, then another's
  peft         PEFT, LoRA of rank 8 on queries and values: the same
  peft_mixed   PEFT, rows of any tasks by `adapter_names`
  saved_model  a SavedModel that `AdapterBank.export` wrote, rows of any tasks

Run by serve.py, each in its own environment. Weights are random.

  PEER/bin/python benchmarks/serve_peers.py peft --port=8081 --tasks=100 \\
      --source=minilm_folder
"""

import argparse
import asyncio
import concurrent.futures
import json
from collections.abc import Callable, Sequence
from typing import Any

MOST_ROWS = 64
# Rows of a batch as (task, text) -> [(label, score), ...] of each.
Compute = Callable[[Sequence[tuple[str, str]]], list[list[dict[str, Any]]]]
LABELS = ("no", "yes")


def adapterhub(source: str, tasks: Sequence[str]) -> Compute:
  """AdapterHub, which is told its active adapter before each batch."""
  import adapters

  model = adapters.AutoAdapterModel.from_pretrained(source)
  config = adapters.DoubleSeqBnConfig(
      reduction_factor=model.config.hidden_size / 64,
      non_linearity="gelu_new")
  for task in tasks:
    model.add_adapter(task, config=config)
    model.add_classification_head(task, num_labels=len(LABELS))

  def switch(batch: Sequence[tuple[str, str]]) -> dict[str, Any]:
    model.set_active_adapters(batch[0][0])
    model.active_head = batch[0][0]
    return {}

  return _torch(model, source, switch)


def peft(source: str, tasks: Sequence[str]) -> Compute:
  """PEFT, which is told its active adapter before each batch."""
  model = _peft(source, tasks)

  def switch(batch: Sequence[tuple[str, str]]) -> dict[str, Any]:
    model.set_adapter(batch[0][0])
    return {}

  return _torch(model, source, switch)


def peft_mixed(source: str, tasks: Sequence[str]) -> Compute:
  """PEFT, which is told the adapter of each row."""
  return _torch(_peft(source, tasks), source,
                lambda batch: {"adapter_names": [task for task, _ in batch]})


def saved_model(source: str, tasks: Sequence[str]) -> Compute:
  """A SavedModel of a bank: everything from strings to scores."""
  import tensorflow as tf
  import tensorflow_text  # noqa: F401  registers the tokenizer's operations

  loaded = tf.saved_model.load(source)
  single_texts = loaded.signatures["single_texts"]

  def compute(batch: Sequence[tuple[str, str]]) -> list[list[dict[str, Any]]]:
    names, texts = zip(*batch)
    outputs = single_texts(text=tf.constant(texts), task=tf.constant(names))
    return [_answer(scores) for scores in outputs["scores"].numpy()]

  return compute


def _peft(source: str, tasks: Sequence[str]) -> Any:
  import peft as library
  import transformers

  config = library.LoraConfig(
      task_type="SEQ_CLS", r=8, target_modules=["query", "value"])
  model = library.get_peft_model(
      transformers.AutoModelForSequenceClassification.from_pretrained(
          source, num_labels=len(LABELS)), config, adapter_name=tasks[0])
  for task in tasks[1:]:
    model.add_adapter(task, config)
  return model


def _torch(model: Any, source: str,
           options: Callable[[Sequence[tuple[str, str]]], dict[str, Any]],
           ) -> Compute:
  """A batch of a PyTorch model, told what `options` says of it."""
  import torch
  import transformers

  tokenizer = transformers.AutoTokenizer.from_pretrained(source)
  model.eval()

  @torch.inference_mode()
  def compute(batch: Sequence[tuple[str, str]]) -> list[list[dict[str, Any]]]:
    chosen = options(batch)
    inputs = tokenizer([text for _, text in batch], padding=True,
                       truncation=True, max_length=128, return_tensors="pt")
    logits = model(**inputs, **chosen).logits
    return [_answer(scores) for scores in logits.softmax(-1).tolist()]

  return compute


def _answer(scores: Sequence[float]) -> list[dict[str, Any]]:
  return [{"label": label, "score": float(score)}
          for label, score in zip(LABELS, scores)]


# Name -> what makes it, and whether rows of several tasks share a batch.
PEERS: dict[str, tuple[Callable[[str, Sequence[str]], Compute], bool]] = {
    "adapterhub": (adapterhub, False), "peft": (peft, False),
    "peft_mixed": (peft_mixed, True), "saved_model": (saved_model, True)}


class Queue:
  """Rows that wait, and what closes batches of them.

  Args:
    compute: computes a batch, in a thread.
    is_mixed: whether a batch may have rows of several tasks. If not, the next
      one is of the task whose row has waited the longest.
  """

  def __init__(self, compute: Compute, is_mixed: bool):
    self._compute = compute
    self._is_mixed = is_mixed
    self._rows: list[tuple[tuple[str, str], asyncio.Future[Any]]] = []
    self._some = asyncio.Event()

  def add(self, task: str, text: str) -> asyncio.Future[Any]:
    """The answer to come."""
    answer = asyncio.get_running_loop().create_future()
    self._rows.append(((task, text), answer))
    self._some.set()
    return answer

  async def run(self) -> None:
    """Computes batches for ever."""
    thread = concurrent.futures.ThreadPoolExecutor(1)
    while True:
      await self._some.wait()
      first = self._rows[0][0][0]
      batch, rest = [], []
      for row in self._rows:
        fits = len(batch) < MOST_ROWS and (
            self._is_mixed or row[0][0] == first)
        (batch if fits else rest).append(row)
      self._rows = rest
      if not rest:
        self._some.clear()
      answers = await asyncio.get_running_loop().run_in_executor(
          thread, self._compute, [row for row, _ in batch])
      for (_, future), answer in zip(batch, answers):
        if not future.done():
          future.set_result(answer)


async def serve(queue: Queue, port: int) -> None:
  """HTTP for ever: answers POST with what the queue says, GET with 200."""

  async def connection(reader: asyncio.StreamReader,
                       writer: asyncio.StreamWriter) -> None:
    while True:
      try:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = head.partition(b"content-length:")[2].split(b"\r")[0]
        body = await reader.readexactly(int(length or 0))
      except (asyncio.IncompleteReadError, ConnectionError):
        break
      answer: Any = {}
      if head.startswith(b"post"):
        asked = json.loads(body)
        answer = await queue.add(asked["task"], asked["inputs"])
      content = json.dumps(answer).encode()
      writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                   b"content-length: %d\r\n\r\n" % len(content) + content)
    writer.close()

  running = asyncio.create_task(queue.run())
  server = await asyncio.start_server(connection, "127.0.0.1", port)
  async with server:
    await asyncio.gather(running, server.serve_forever())


def main() -> None:
  """Serves one of the peers until it is ended."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("peer", choices=PEERS)
  parser.add_argument("--port", type=int, required=True)
  parser.add_argument("--tasks", type=int, required=True)
  parser.add_argument("--source", required=True)
  args = parser.parse_args()
  make, is_mixed = PEERS[args.peer]
  compute = make(args.source, [
      f"task_{number:05}" for number in range(args.tasks)])

  async def run() -> None:
    await serve(Queue(compute, is_mixed), args.port)

  asyncio.run(run())


if __name__ == "__main__":
  main()
