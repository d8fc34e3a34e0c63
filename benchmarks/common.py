"""Parts that the benchmarks share: measured processes, turns, a model.

Only the standard library is imported before a measurement begins: a process
counts the peak of its memory from that of the process that started it, which
therefore has to be small, and a peer's environment has its own packages.
"""

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

ENCODER = "minilm_l6"
# MiniLM-L6's, for encoders of other families.
SIZES = dict(vocab_size=30522, hidden_size=384, num_hidden_layers=6,
             num_attention_heads=12, intermediate_size=1536)
# As wide beside the hidden size as in the published ones.
OWN_SIZES = {
    "mobilebert": dict(num_attention_heads=4, intermediate_size=384,
                       intra_bottleneck_size=96),
    "modernbert": dict(intermediate_size=576)}
ADAPTER_SIZE = 64
BATCH_SIZE = 32


@dataclasses.dataclass(frozen=True)
class Ended:
  """A process that has ended well.

  Attributes:
    output: what it printed.
    seconds: from its start to its end.
    peak_mb: the peak of its resident memory, in 10^6 bytes.
  """

  output: str
  seconds: float
  peak_mb: float

  def answer(self) -> Any:
    """The JSON value in the last line of the output."""
    return json.loads(self.output.splitlines()[-1])


def run(*command: Any) -> Ended:
  """Runs a command to its end.

  Raises:
    subprocess.CalledProcessError: it failed.
  """
  command = [str(part) for part in command]
  with tempfile.TemporaryFile("w+") as output:
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=output)
    # Unlike subprocess, this says what memory the process took.
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    output.seek(0)
    printed = output.read()
  if process.returncode:
    raise subprocess.CalledProcessError(process.returncode, command, printed)
  return Ended(printed, seconds, usage.ru_maxrss * 1024 / 1e6)


def ask(worker: Callable[..., Any], python: str = sys.executable,
        **arguments: Any) -> Ended:
  """Calls one of the script's workers in a process of its own.

  Args:
    worker: a function that was given to `main`.
    python: the interpreter.
    **arguments: the worker's, JSON values.

  Returns:
    The process; its `answer()` is what the worker returned.
  """
  return run(python, sys.argv[0], worker.__name__, json.dumps(arguments))


def main(measure: Callable[[], Any], *workers: Callable[..., Any]) -> None:
  """Runs a script: the worker that `ask` wants, else all of the benchmark."""
  by_name = {worker.__name__: worker for worker in workers}
  if len(sys.argv) == 3 and sys.argv[1] in by_name:
    print(json.dumps(by_name[sys.argv[1]](**json.loads(sys.argv[2]))))
    return
  # The workers', too; as the command lines have them.
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
  os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
  rounded = json.loads(json.dumps(measure()),
                       parse_float=lambda digits: round(float(digits), 4))
  print(json.dumps(rounded, indent=2))


def parser_of(description: str) -> argparse.ArgumentParser:
  """A parser with the flags of the environment to compare with.

  Args:
    description: the script's docstring.
  """
  parser = argparse.ArgumentParser(
      description=description,
      formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument(
      "--peer_python", help="the interpreter of the peer's environment")
  return parser


def parse_with_peer(parser: argparse.ArgumentParser) -> argparse.Namespace:
  """Reads the command line, with a flag for the peer's script.

  Exits where the peer's interpreter comes without its script, or the other way
  round.
  """
  parser.add_argument(
      "--peer_script", help="the script that trains with AdapterHub")
  args = parser.parse_args()
  if bool(args.peer_python) != bool(args.peer_script):
    parser.error("--peer_python and --peer_script need one another")
  return args


def existing_file(text: str) -> str:
  """A type of argparse's flags."""
  if not os.path.isfile(text):
    raise argparse.ArgumentTypeError(f"no such file: {text}")
  return text


def comma_separated(
    kind: Callable[[str], Any],
    choices: Sequence[Any] = ()) -> Callable[[str], list[Any]]:
  """A type of argparse's flags: values with commas between them.

  Args:
    kind: the values' type.
    choices: the values that are allowed, if not all are.
  """

  def parse(text: str) -> list[Any]:
    values = [kind(part) for part in text.split(",")]
    if choices and not set(values) <= set(choices):
      raise argparse.ArgumentTypeError(
          f"{text}: choose from {', '.join(map(str, choices))}")
    return values

  return parse


def in_turns(cases: Mapping[Any, Callable[[Any], dict[str, float]]],
             rounds: Iterable[Any]) -> dict[Any, list[dict[str, float]]]:
  """Lets cases take turns, so that a busy minute is not one case's alone.

  Args:
    cases: by name; each is called with a round's value.
    rounds: the values.

  Returns:
    What each case returned, a list by rounds; also on standard error, as it
    comes.
  """
  answers = {name: [] for name in cases}
  for value in rounds:
    for name, case in cases.items():
      answers[name].append(case(value))
      print(value, name, answers[name][-1], file=sys.stderr, flush=True)
  return answers


def medians(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
  """The median of each value over the rounds."""
  return {key: statistics.median(row[key] for row in rows) for key in rows[0]}


def compared(
    answers: Mapping[str, Sequence[Mapping[str, float]]],
) -> dict[str, dict[str, float]]:
  """Medians over the rounds, and ratios of the first case's to the others'."""
  result = {name: medians(rows) for name, rows in answers.items()}
  first, *others = result
  for other in others:
    result[f"{first} / {other}"] = {
        key: value / result[other][key]
        for key, value in result[first].items() if key in result[other]}
  return result


def encoder_folder() -> str:
  """The Hugging Face folder behind `ENCODER`, for the peer."""
  return run(
      sys.executable, "-c", "from tf_adapters.checkpoints.sources import "
      f"resolve; print(resolve({ENCODER!r}))").output.strip()


def load_encoder(tuning: str, precision: str = "float32",
                 family: str = "bert") -> Any:
  """The pretrained encoder, with adapters if they are what trains.

  Args:
    tuning: "adapters" or "full".
    precision: "float32" or "bfloat16", as `--mixed_precision` would have it.
    family: of `ENCODERS`; of another one than BERT's it is an encoder of the
      same sizes, with random weights.
  """
  import tf_adapters as ta
  from tf_adapters.modeling.encoders.table import ENCODERS
  from tf_adapters.modeling.task_layers import TaskLayers

  adapters = (
      ta.AdapterConfig(ADAPTER_SIZE) if tuning == "adapters" else None)
  mixed = "mixed_" if precision == "bfloat16" and adapters is None else ""
  dtype = mixed + precision
  if family == "bert":
    return ta.load_encoder(ENCODER, adapters, dtype=dtype)
  kind = ENCODERS[family]
  sizes = {**SIZES, **OWN_SIZES.get(family, {})}
  config = kind.config(**{name: size for name, size in sizes.items()
                          if name in kind.config.__dataclass_fields__})
  return kind.encoder_class()(
      config, TaskLayers(config, adapters, dtype=dtype), dtype=dtype)


def compiled_model(
    encoder: Any, tuning: str, jit_compile: bool = False) -> Any:
  """A classifier of two labels, ready for `fit` as in training/trainer.py."""
  import tf_adapters as ta

  model = ta.TextClassifier(encoder, ["no", "yes"], pooling="mean")
  model.tune(tuning)
  model.compile(
      optimizer=ta.create_optimizer(3e-4, num_train_steps=1000),
      loss=model.loss_function, metrics=["accuracy"], jit_compile=jit_compile)
  model.optimizer.build(model.trainable_variables)
  return model


def _random_rows(length: int) -> tuple[Any, Any]:
  """Returns the same word ids [batch, length] and labels [batch] each time."""
  import numpy as np

  rng = np.random.default_rng(0)
  return (rng.integers(1000, 20_000, [BATCH_SIZE, length]),
          rng.integers(0, 2, [BATCH_SIZE]))


def random_batches(length: int) -> Any:
  """The same batch without end: a dataset of `(inputs, labels)`."""
  import tensorflow as tf

  ids, labels = _random_rows(length)
  word_ids = tf.constant(ids, tf.int32)
  inputs = {"input_word_ids": word_ids, "input_mask": tf.ones_like(word_ids),
            "input_type_ids": tf.zeros_like(word_ids)}
  return tf.data.Dataset.from_tensors(
      (inputs, tf.constant(labels, tf.int32))).repeat()


def torch_batch(length: int) -> tuple[dict[str, Any], Any]:
  """Makes the batch of `random_batches` for a peer: `(inputs, labels)`."""
  import torch

  ids, labels = map(torch.tensor, _random_rows(length))
  return {"input_ids": ids, "attention_mask": torch.ones_like(ids),
          "token_type_ids": torch.zeros_like(ids)}, labels


def seconds_of_calls(function: Callable[[], Any], count: int) -> list[float]:
  """Seconds of each of so many calls."""
  seconds = []
  for _ in range(count):
    started = time.perf_counter()
    function()
    seconds.append(time.perf_counter() - started)
  return seconds
