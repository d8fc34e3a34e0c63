"""Measures the matrix products of a step alone.

Each product of a training step and of a prediction (batches of 32 rows on
MiniLM-L6, adapters of size 64, or all of it trained) by itself, the fastest of
some calls; their sum is the least that a step can
take while TensorFlow multiplies. `part_of_peak` is what steps.py calls so, for
a step of that length. Prints JSON.

  python benchmarks/products.py
  python benchmarks/products.py --lengths=32 --precisions=bfloat16
"""

import argparse
import dataclasses
from typing import Any

import common
from steps import PRECISIONS, TUNINGS, multiply, step_flops


@dataclasses.dataclass(frozen=True)
class Product:
  """[batch, rows, inner] x [batch, inner, columns].

  Attributes:
    transposed: the factor that lies there transposed: "left", "right", None.
  """

  rows: int
  inner: int
  columns: int
  batch: int = 1
  transposed: str | None = None

  def gradients(self) -> tuple["Product", "Product"]:
    """The products that give the gradients of both factors."""
    return (
        Product(self.rows, self.columns, self.inner, self.batch,
                None if self.transposed else "right"),
        Product(self.inner, self.rows, self.columns, self.batch, "left"))

  def seconds(self, precision: str) -> float:
    import tensorflow as tf

    left, right = (
        tf.cast(tf.random.normal([self.batch, *shape]), precision)
        for shape in ((self.rows, self.inner), (self.inner, self.columns)))
    if self.batch == 1:
      left, right = left[0], right[0]
    if self.transposed == "left":
      left = tf.linalg.matrix_transpose(left)
    if self.transposed == "right":
      right = tf.linalg.matrix_transpose(right)
    # Without a graph: to call one takes as long as the smaller products.
    _, *seconds = common.seconds_of_calls(
        lambda: tf.matmul(
            left, right, transpose_a=self.transposed == "left",
            transpose_b=self.transposed == "right"), 31)
    return min(seconds)


def products(config: Any, length: int,
             tuning: str) -> tuple[list[Product], list[Product]]:
  """A layer's products: those forward, and those of its gradients.

  Args:
    config: the encoder's `BertConfig`.
    length: tokens per row.
    tuning: "adapters" or "full".
  """
  tokens = common.BATCH_SIZE * length
  heads = config.num_attention_heads
  hidden, inner = config.hidden_size, config.intermediate_size
  size = hidden // heads
  base = [Product(tokens, hidden, 3 * hidden), Product(tokens, hidden, hidden),
          Product(tokens, hidden, inner), Product(tokens, inner, hidden)]
  # Both of their factors are activations.
  others = [
      Product(length, size, length, common.BATCH_SIZE * heads, "right"),
      Product(length, length, size, common.BATCH_SIZE * heads)]
  if tuning == "adapters":
    others += 2 * [Product(tokens, hidden, common.ADAPTER_SIZE),
                   Product(tokens, common.ADAPTER_SIZE, hidden)]
  backward = [gradient for product in others
              for gradient in product.gradients()]
  for product in base:
    activations, weights = product.gradients()
    backward += [activations, weights] if tuning == "full" else [activations]
  return base + others, backward


def floor(length: int, precision: str, tuning: str) -> dict[str, float]:
  """The least that a step and a prediction take."""
  encoder = common.load_encoder(tuning, precision)
  config = encoder.config
  seconds: dict[Product, float] = {}

  def total(several: list[Product]) -> float:
    for product in several:
      if product not in seconds:
        seconds[product] = product.seconds(precision)
    return config.num_hidden_layers * sum(map(seconds.get, several))

  forward, backward = map(total, products(config, length, tuning))
  peak = multiply(precision)["gflops"]
  step = forward + backward
  return {
      "train_milliseconds": 1e3 * step, "infer_milliseconds": 1e3 * forward,
      "peak_gflops": peak,
      "part_of_peak": step_flops(encoder, length, tuning) / step / 1e9 / peak}


def measure() -> dict[str, Any]:
  """All cases; see the module's docstring."""
  parser = argparse.ArgumentParser(
      description=__doc__,
      formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument(
      "--lengths", type=common.comma_separated(int), default=[128, 32],
      help="tokens per row: 128,32")
  parser.add_argument(
      "--precisions", default=PRECISIONS,
      type=common.comma_separated(str, PRECISIONS), help="float32,bfloat16")
  args = parser.parse_args()
  return {
      f"{length} tokens, {precision}, {tuning}": common.ask(
          floor, length=length, precision=precision, tuning=tuning).answer()
      for length in args.lengths for precision in args.precisions
      for tuning in TUNINGS}


if __name__ == "__main__":
  common.main(measure, floor)
