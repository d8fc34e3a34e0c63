"""Measures a batch of many tasks, and the memory that many tasks take.

Batches of 64 rows on MiniLM-L6 with adapters of size 64, or with another method
of methods.py. Examples per second of a bank with 1, 2, 8 and 32 tasks in the
batch, of a model of one task, and of that model when it is given one task's
weights after the other; runs take turns, medians. Then a bank of 1, 10, 100 and
1000 tasks, each in a process of its own: resident memory beyond that of a bank
without any, and what it takes to add and to remove one more. Prints JSON.

  python benchmarks/mixed_batches.py
  python benchmarks/mixed_batches.py --method=lora
"""

import functools
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import common
import methods

if TYPE_CHECKING:
  import tf_adapters as ta

ROWS = 64
LENGTHS = (32, 128)
TASKS = (1, 2, 8, 32)
BANKS = (0, 1, 10, 100, 1000)
ROUNDS = 9


def made_up(path: str, method: str) -> None:
  """Writes an adapter file."""
  import tf_adapters as ta

  model = ta.TextClassifier(
      ta.load_encoder(common.ENCODER, methods.config_of(method)),
      ["no", "yes"], pooling="mean")
  ta.save_adapter(model, path, max_length=128)


def examples_per_second(adapter: str) -> dict[str, object]:
  """Rates and ratios by length and case."""
  import numpy as np
  import tensorflow as tf

  import tf_adapters as ta
  from tf_adapters.modeling.stacked import TaskArrays
  from tf_adapters.modeling.stacked_layers import StackedModel, TracedModel

  rng = np.random.default_rng(0)
  model = ta.load_adapter(adapter, common.ENCODER)
  alone = tf.function(lambda inputs: model(inputs))
  variables = model.tuned_variables()
  arrays = {name: variable.numpy() for name, variable in variables.items()}
  banks = {}
  for tasks in TASKS:
    stacked = StackedModel(ta.load_encoder(common.ENCODER), "mean")
    weights = stacked.no_tasks().with_tasks([TaskArrays.of(
        stacked.encoder.config, model.encoder.method, "mean", arrays)] * tasks)
    banks[tasks] = functools.partial(
        TracedModel(stacked, weights.keys), weights)

  def inputs(rows: int, length: int) -> dict[str, tf.Tensor]:
    shape = [rows, length]
    return {"input_word_ids": tf.constant(
        rng.integers(1000, 30_000, shape), tf.int32),
            "input_mask": tf.ones(shape, tf.int32),
            "input_type_ids": tf.zeros(shape, tf.int32)}

  def switching(tasks: int, length: int) -> Callable[[], object]:
    batch = inputs(ROWS // tasks, length)

    def call():
      for _ in range(tasks):
        for name, variable in variables.items():
          variable.assign(arrays[name])
        alone(batch).numpy()

    return call

  result = {}
  for length in LENGTHS:
    batch = inputs(ROWS, length)
    cases = {"one task's model": lambda batch=batch: alone(batch).numpy()}
    for tasks, bank in banks.items():
      index = tf.constant(
          1 + rng.permutation(np.arange(ROWS) % tasks), tf.int32)
      cases[f"bank, {tasks} tasks"] = (
          lambda bank=bank, batch=batch, index=index: bank(
              batch, index)["texts"].numpy())
      if tasks > 1:
        cases[f"switching, {tasks} tasks"] = switching(tasks, length)
    result[f"{length} tokens"] = take_turns(cases)
  return result


def take_turns(cases: dict[str, Callable[[], object]]) -> dict[str, object]:
  """{case: examples per second, and as a ratio to the first case}."""
  seconds = {name: [] for name in cases}
  for turn in range(ROUNDS + 1):
    for name, case in cases.items():
      started = time.perf_counter()
      case()
      if turn:  # the first one traces
        seconds[name].append(time.perf_counter() - started)
  medians = {name: statistics.median(values)
             for name, values in seconds.items()}
  first = next(iter(medians.values()))
  return {name: {"examples_per_second": round(ROWS / value, 1),
                 "ratio": round(first / value, 3)}
          for name, value in medians.items()}


def memory(adapter: str, tasks: int) -> dict[str, float]:
  """Resident MB of this process with a bank of so many tasks, and times."""
  import resource

  import tf_adapters as ta

  started = time.perf_counter()
  bank = ta.AdapterBank(
      common.ENCODER, {str(number): adapter for number in range(tasks)},
      pooling="mean", capacity=tasks + 1)
  seconds = time.perf_counter() - started
  bank.predict(["some text"], None)
  pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
  return {"resident": pages * resource.getpagesize() / 1e6,
          "seconds": round(seconds, 1),
          **(changes(bank, adapter) if tasks else {})}


def changes(bank: "ta.AdapterBank", adapter: str) -> dict[str, float]:
  """Median milliseconds to add one more task, and to remove it."""
  times: dict[str, list[float]] = {"add_ms": [], "remove_ms": []}
  for _ in range(ROUNDS):
    for what, change in (("add_ms", lambda: bank.add(adapter, "one more")),
                         ("remove_ms", lambda: bank.remove("one more"))):
      started = time.perf_counter()
      change()
      times[what].append(1e3 * (time.perf_counter() - started))
  return {what: round(statistics.median(values), 2)
          for what, values in times.items()}


def measure() -> dict[str, object]:
  """Asks each question in processes of its own."""
  parser = common.parser_of(__doc__)
  parser.add_argument(
      "--method", choices=methods.METHODS, default="bottleneck",
      help=" or ".join(methods.METHODS))
  method = parser.parse_args().method
  with tempfile.TemporaryDirectory() as folder:
    adapter = f"{folder}/adapter"
    common.ask(made_up, path=adapter, method=method)
    megabytes = pathlib.Path(
        adapter, "adapter.safetensors").stat().st_size / 1e6
    banks = {tasks: common.ask(memory, adapter=adapter, tasks=tasks)
             for tasks in BANKS}
    empty = banks.pop(0).answer()["resident"]
    result = {
        "examples": common.ask(examples_per_second, adapter=adapter).answer(),
        "adapter_file_mb": round(megabytes, 3), "memory": {}}
  for tasks, ended in banks.items():
    beyond = ended.answer()["resident"] - empty
    result["memory"][tasks] = {
        "mb_beyond_an_empty_bank": round(beyond, 1),
        "adapter_files": round(beyond / megabytes, 2),
        "peak_mb": round(ended.peak_mb, 1),
        "seconds_to_load": ended.answer()["seconds"],
        "add_ms": ended.answer()["add_ms"],
        "remove_ms": ended.answer()["remove_ms"]}
  return result


if __name__ == "__main__":
  common.main(measure, made_up, examples_per_second, memory)
