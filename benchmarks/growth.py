"""Measures how cost grows: by length, batch, layers, labels, rows and tasks.

Each axis takes its values in turn, each in a process of its own, so that peaks
of memory are theirs. `seconds` are by stage. `growth` is the exponent between
the two largest values: 1 where ten times the work takes ten times as long,
more where something grows faster than its work. Stages of less than 20 ms are
left out of it. Prints JSON, and draws it with --picture.

  python benchmarks/growth.py
  python benchmarks/growth.py --axes=rows,labels --picture=growth.png

Lengths, batches and adapter sizes are of MiniLM-L6. The layers are of a random
encoder of its width. Labels, rows and tasks are made up.
"""

import contextlib
import math
import pathlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import common

STEPS = 3
LEAST_SECONDS = 0.02
TASK_ROWS = 64


class Stages:
  """Seconds by name."""

  def __init__(self) -> None:
    self.seconds: dict[str, float] = {}

  @contextlib.contextmanager
  def timed(self, name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    self.seconds[name] = time.perf_counter() - started

  def step(self, name: str, function: Any) -> None:
    """Times a first call and the fastest of some more."""
    first, *others = common.seconds_of_calls(function, 1 + STEPS)
    self.seconds[f"{name}, first"] = first
    self.seconds[name] = min(others)


def _steps(encoder: Any, rows: int, width: int) -> dict[str, float]:
  """A training step and a prediction of random tokens."""
  import tensorflow as tf

  stages = Stages()
  ids = tf.random.uniform([rows, width], 1000, 20_000, tf.int32)
  inputs = {"input_word_ids": ids, "input_mask": tf.ones_like(ids),
            "input_type_ids": tf.zeros_like(ids)}
  model = common.compiled_model(encoder, "adapters")
  labels = tf.zeros([rows], tf.int32)
  stages.step("training step", lambda: model.train_on_batch(inputs, labels))
  stages.step("prediction", lambda: model.predict_on_batch(inputs))
  return stages.seconds


def length(value: int) -> dict[str, float]:
  """Tokens of each of 8 rows."""
  return _steps(common.load_encoder("adapters"), 8, value)


def batch(value: int) -> dict[str, float]:
  """Rows of 32 tokens."""
  return _steps(common.load_encoder("adapters"), value, 32)


def layers(value: int) -> dict[str, float]:
  """Layers over 8 rows of 32 tokens."""
  import tf_adapters as ta

  config = ta.BertConfig(
      vocab_size=30_522, hidden_size=384, num_hidden_layers=value,
      num_attention_heads=12, intermediate_size=1536,
      max_position_embeddings=512)
  return _steps(
      ta.BertEncoder(config, ta.TaskLayers(config, ta.AdapterConfig(64))),
      8, 32)


def adapter_size(value: int) -> dict[str, float]:
  """Size of the adapters, over 32 rows of 32 tokens."""
  import tf_adapters as ta

  return _steps(
      ta.load_encoder(common.ENCODER, ta.AdapterConfig(value)), 32, 32)


def labels(value: int) -> dict[str, float]:
  """Labels of a task with two rows for each, and 2,000 at least."""
  import tf_adapters as ta

  rows = max(2 * value, 2000)
  stages = Stages()
  with stages.timed("data"):
    data = ta.Dataset.from_dict({
        "text": [f"text {row}" for row in range(rows)],
        "label": [f"label {row % value}" for row in range(rows)]},
        validation=0.5)
  with stages.timed("task"):
    task = ta.TextTask(common.ENCODER, data, adapter_size=8, max_length=8)
  with stages.timed("fit"):
    task.fit(epochs=1)
  with stages.timed("evaluate"):
    report = task.evaluate()
  with stages.timed("report"):
    repr(report), report.mistakes(20)
  with stages.timed("picture"):
    report.plot()
  with tempfile.TemporaryDirectory() as folder:
    with stages.timed("save"):
      task.save(f"{folder}/task")
    with stages.timed("load"):
      task = ta.TextTask.load(f"{folder}/task", common.ENCODER)
  with stages.timed("predict"):
    task.predict_proba(["a text"] * 100)
  return stages.seconds


def rows(value: int) -> dict[str, float]:
  """Rows of ten words, from columns to the batches of an epoch."""
  import numpy as np

  import tf_adapters as ta
  from tf_adapters.data import batching

  rng = np.random.default_rng(0)
  words = rng.integers(0, 1000, [value, 10])
  texts = [" ".join(map(str, row)) for row in words]
  stages = Stages()
  with stages.timed("data"):
    data = ta.Dataset.from_dict(
        {"text": texts, "label": rng.integers(0, 3, value)}, validation=0.1)
  text = ta.load_encoder(common.ENCODER).text_processor(32)
  with stages.timed("check"):
    data.train.check(text)
  with stages.timed("tokenise"):
    encoded = data.train.encode(text)
  with stages.timed("batches"):
    for _ in batching.training_batches(encoded, 256, 0, range(1)):
      pass
  return stages.seconds


def tasks(value: int) -> dict[str, float]:
  """Tasks of a bank; 64 rows are predicted."""
  import tf_adapters as ta

  stages = Stages()
  model = ta.TextClassifier(
      ta.load_encoder(common.ENCODER, ta.AdapterConfig(64)), ["no", "yes"],
      pooling="mean")
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, "task")
    ta.save_adapter(model, path, max_length=32)
    with stages.timed("bank"):
      bank = ta.AdapterBank(
          common.ENCODER, {str(number): path for number in range(value)})
    names = [str(number % value) for number in range(TASK_ROWS)]
    stages.step("predict", lambda: bank.predict(["a text"] * TASK_ROWS, names))
    other = shutil.copytree(path, f"{folder}/other")
    for name in ("add", "add another"):  # the first may enlarge the tables
      with stages.timed(name):
        bank.add(other, name)
    with stages.timed("remove"):
      bank.remove("0")
  return stages.seconds


AXES = {
    length: (16, 32, 64, 128, 256, 512),
    batch: (8, 32, 128, 512),
    layers: (1, 2, 4, 8, 16, 32),
    adapter_size: (8, 32, 128, 512),
    labels: (2, 10, 100, 1000, 10_000),
    rows: (1000, 10_000, 100_000, 1_000_000),
    tasks: (1, 10, 100, 1000),
}


def growth(values: list[int], cases: list[dict[str, Any]]) -> dict[str, float]:
  """Exponents of each stage's seconds between the two largest values."""
  result = {}
  before, last = values[-2:]
  for name, seconds in cases[-1]["seconds"].items():
    earlier = cases[-2]["seconds"][name]
    if earlier >= LEAST_SECONDS:
      result[name] = (math.log(seconds / earlier)
                      / math.log(last / before))
  return result


def draw(result: dict[str, Any], path: str) -> None:
  """A panel for each axis: seconds of its stages, and the peak of memory."""
  import matplotlib
  matplotlib.use("Agg")
  from matplotlib import pyplot

  figure, panels = pyplot.subplots(
      1, len(result), figsize=(4 * len(result), 4), squeeze=False,
      layout="constrained")
  for panel, (axis, found) in zip(panels[0], result.items()):
    values = [case["value"] for case in found["cases"]]
    for name in found["cases"][0]["seconds"]:
      panel.loglog(
          values, [case["seconds"][name] for case in found["cases"]],
          marker=".", label=name)
    panel.set_xlabel(axis)
    panel.set_ylabel("seconds")
    panel.legend(fontsize="small")
    panel.set_title(
        f"peak {found['cases'][-1]['peak_mb']:,.0f} MB at the end")
  figure.savefig(path, dpi=100)


def measure() -> dict[str, Any]:
  """Runs the axes one after the other; see the module's docstring."""
  parser = common.parser_of(__doc__)
  names = [axis.__name__ for axis in AXES]
  parser.add_argument(
      "--axes", type=common.comma_separated(str, names), default=names,
      help=",".join(names))
  parser.add_argument(
      "--most", type=int, default=sys.maxsize,
      help="values of an axis above this one are left out")
  parser.add_argument("--picture", help="a file to draw to")
  args = parser.parse_args()
  result = {}
  for axis, values in AXES.items():
    if axis.__name__ not in args.axes:
      continue
    cases = []
    values = [value for value in values if value <= args.most]
    for value in values:
      ended = common.ask(axis, value=value)
      cases.append({"value": value, "seconds": ended.answer(),
                    "peak_mb": ended.peak_mb})
      print(axis.__name__, cases[-1], file=sys.stderr, flush=True)
    result[axis.__name__] = {"cases": cases}
    if len(values) > 1:
      result[axis.__name__]["growth"] = growth(values, cases)
  if args.picture:
    draw(result, args.picture)
  return result


if __name__ == "__main__":
  common.main(measure, *AXES)
