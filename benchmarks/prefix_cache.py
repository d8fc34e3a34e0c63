"""Measures an epoch with the lower half of an encoder frozen and cached.

MiniLM-L6 with adapters of size 64, batches of 32: adapters in all layers; in
the upper three alone; the same with the lower three computed once. Epochs of
the three take turns; the first, which traces, does not count; medians. On
MRPC's training split, or on as many rows of random wordpieces. Prints JSON.

  python benchmarks/prefix_cache.py
  python benchmarks/prefix_cache.py --data_dir=glue_data
"""

import argparse
import statistics
import tempfile
import time
from typing import Any

import common

# Wordpieces of MRPC's pairs: mean and standard deviation.
LENGTHS = (53, 18)
CASES = {"all layers": (None, False),
         "upper half": ((3, 4, 5), False),
         "upper half, cached": ((3, 4, 5), True)}


def rows_of(text: Any, rows: int, data_dir: str | None) -> Any:
  """A split to train on."""
  import numpy as np
  import tensorflow as tf

  import tf_adapters as ta
  from tf_adapters.data import batching
  from tf_adapters.data.sampling import sample

  if data_dir is not None:
    split = ta.load_task("mrpc", data_dir).split("train")
    return sample(split, rows, seed=0).encode(text)
  rng = np.random.default_rng(0)
  lengths = np.clip(rng.normal(*LENGTHS, rows).astype(int), 8, 128)
  ids = tf.RaggedTensor.from_row_lengths(
      rng.integers(1000, 30_000, lengths.sum(), np.int32), lengths)
  return batching.Encoded(text, ids, tf.zeros_like(ids),
                          tf.constant(rng.integers(0, 2, rows, np.int32)))


def measure() -> dict[str, Any]:
  """Runs all cases in turns; see the module's docstring."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--data_dir")
  parser.add_argument("--rows", type=int, default=3668)
  parser.add_argument("--epochs", type=int, default=4)
  options = parser.parse_args()

  import tf_adapters as ta
  from tf_adapters.data import batching
  from tf_adapters.training.prefix_cache import add_prefix_output

  seconds = {case: [] for case in CASES}
  models, splits, result = {}, {}, {}
  for case, (layers, cached) in CASES.items():
    encoder = ta.load_encoder(
        common.ENCODER, ta.AdapterConfig(common.ADAPTER_SIZE, layers=layers))
    models[case] = common.compiled_model(encoder, "adapters")
    splits[case] = rows_of(
        encoder.text_processor(128), options.rows, options.data_dir)
    if cached:
      started = time.perf_counter()
      splits[case] = add_prefix_output(
          splits[case], encoder, 64, tempfile.gettempdir())
      result["seconds_to_fill"] = time.perf_counter() - started
      result["megabytes"] = splits[case].prefix_output.vectors.nbytes / 1e6
  for epoch in range(1 + options.epochs):
    for case, model in models.items():
      started = time.perf_counter()
      model.fit(batching.training_batches(
          splits[case], common.BATCH_SIZE, 0, range(epoch, epoch + 1)),
                verbose=0)
      if epoch:
        seconds[case].append(time.perf_counter() - started)
  medians = {case: statistics.median(values)
             for case, values in seconds.items()}
  return {
      "rows": options.rows, **result,
      "epoch": {case: {"seconds": value,
                       "ratio": value / medians["all layers"]}
                for case, value in medians.items()}}


if __name__ == "__main__":
  common.main(measure)
