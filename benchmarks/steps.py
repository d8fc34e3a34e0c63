"""What a step costs: training and inference, beside AdapterHub's, and its peak.

Batches of 32 rows of random tokens, all of one length, on MiniLM-L6 with mean
pooling, two labels and adapters of size 64, or all of it trained. The compiled
Keras functions that `fit` and `predict` call, on a dataset of one batch.
Training and inference are processes of their own, so that the peak of memory
is that of training. Project and peer take turns; medians over rounds.

`achieved_gflops` counts the matrix products of a training step, and
`part_of_peak` divides it by the fastest product of large matrices that
TensorFlow did between the rounds. Prints JSON.

  python benchmarks/steps.py --peer_python=PEER/bin/python \\
      --peer_script=adapterhub_peer.py
  python benchmarks/steps.py --lengths=32 --precisions=float32 \\
      --tunings=adapters --rounds=1

What the peer does otherwise:

- With adapters it freezes the layer norms. What lies below the first adapter
  (the first layer's attention) then needs no gradients, here it does.
- Its head is on the first token and has two layers, 147,840 parameters more;
  with full tuning it counts those of a pooler that nothing reads, too.
- bfloat16 is torch.autocast; here what is frozen is held in it.
- Training and inference are one process. Its weights are random.
- It has no trace to compile, and does not say what its first step takes.
"""

import itertools
import statistics
from typing import Any

import common

PRECISIONS = ("float32", "bfloat16")
TUNINGS = ("adapters", "full")
# Rows, inner size, columns: square, and a feed-forward product of 32 x 128
# tokens.
PRODUCTS = ((2048, 2048, 2048), (4096, 1536, 384))


def step_flops(config: Any, length: int, tuning: str) -> int:
  """Floating-point operations in the matrix products of a training step.

  An [n, k] matrix times a [k, m] one is 2nkm. The gradient of each factor is a
  product of the same size. Those of activations are all needed, since the
  first layer norm trains too, those of weights only where they train. Both
  factors of attention's two products are activations. Left out is what is no
  product, and the head: it sees one vector per row.

  Args:
    config: the encoder's `BertConfig`.
    length: tokens per row.
    tuning: "adapters" or "full".
  """
  layer_tokens = common.BATCH_SIZE * length * config.num_hidden_layers
  hidden = config.hidden_size
  # Query, key, value, output; the feed-forward sub-layer's two.
  base = 2 * layer_tokens * (
      4 * hidden**2 + 2 * hidden * config.intermediate_size)
  # Queries with keys, weights with values.
  attention = 2 * layer_tokens * 2 * length * hidden
  if tuning == "full":
    return 3 * (base + attention)
  # Two adapters of two kernels.
  adapters = 2 * layer_tokens * 4 * hidden * common.ADAPTER_SIZE
  return 2 * base + 3 * (attention + adapters)


def _model(precision: str, tuning: str, jit_compile: bool) -> Any:
  import tf_keras

  tf_keras.utils.set_random_seed(0)
  return common.compiled_model(
      common.load_encoder(tuning, precision), tuning, jit_compile)


def train(length: int, precision: str, tuning: str, jit_compile: bool,
          steps: int) -> dict[str, float]:
  """Trains for some steps after the first one."""
  model = _model(precision, tuning, jit_compile)
  step = model.make_train_function()
  batches = iter(common.random_batches(length))
  first, *seconds = common.seconds_of_calls(
      lambda: float(step(batches)["loss"]), 1 + steps)
  rate = 1 / statistics.median(seconds)
  return {
      "train_examples_per_second": common.BATCH_SIZE * rate,
      "first_step_seconds": first,
      "trained_parameters": model.summary_of_tuning().trained,
      "achieved_gflops": rate / 1e9 * step_flops(
          model.encoder.config, length, tuning)}


def infer(length: int, precision: str, tuning: str, jit_compile: bool,
          steps: int) -> dict[str, float]:
  """Predicts some batches after the first one."""
  model = _model(precision, tuning, jit_compile)
  step = model.make_predict_function()
  batches = iter(common.random_batches(length).map(
      lambda inputs, labels: inputs))
  _, *seconds = common.seconds_of_calls(
      lambda: step(batches).numpy(), 1 + steps)
  return {"infer_examples_per_second":
          common.BATCH_SIZE / statistics.median(seconds)}


def multiply(precision: str) -> dict[str, float]:
  """Multiplies matrices in a graph; GFLOP/s of the fastest product."""
  import tensorflow as tf

  product = tf.function(tf.matmul)
  fastest = 0.0
  for rows, inner, columns in PRODUCTS:
    left, right = (tf.cast(tf.random.normal(shape), precision)
                   for shape in ([rows, inner], [inner, columns]))
    _, *seconds = common.seconds_of_calls(
        lambda left=left, right=right: product(left, right).numpy(), 11)
    fastest = max(fastest, 2 * rows * inner * columns / min(seconds))
  return {"gflops": fastest / 1e9}


def measure() -> dict[str, Any]:
  """Runs all cases in turns; see the module's docstring."""
  parser = common.parser_of(__doc__)
  parser.add_argument(
      "--lengths", type=common.comma_separated(int), default=[128, 32],
      help="tokens per row: 128,32")
  parser.add_argument(
      "--precisions", default=PRECISIONS,
      type=common.comma_separated(str, PRECISIONS),
      help="float32,bfloat16")
  parser.add_argument(
      "--tunings", type=common.comma_separated(str, TUNINGS), default=TUNINGS,
      help="adapters,full")
  parser.add_argument(
      "--jit_compile", action="store_true", help="compile the steps with XLA")
  parser.add_argument(
      "--steps", type=int, default=8, help="timed in each process: 8")
  parser.add_argument("--rounds", type=int, default=3, help="of all cases: 3")
  args = common.parse_with_peer(parser)

  def project(case):
    trained, inferred = (
        common.ask(worker, jit_compile=args.jit_compile, steps=args.steps,
                   **case) for worker in (train, infer))
    return {**trained.answer(), **inferred.answer(),
            "peak_mb": trained.peak_mb}

  def peer(case):
    ended = common.run(
        args.peer_python, args.peer_script, "throughput", "--shape=minilm",
        f"--tuning={case['tuning']}", f"--max_length={case['length']}",
        f"--batch_size={common.BATCH_SIZE}", f"--steps={args.steps}",
        f"--adapter_size={common.ADAPTER_SIZE}",
        *["--bf16"] * (case["precision"] == "bfloat16"))
    answer = ended.answer()
    return {
        "train_examples_per_second": answer["train_examples_per_s"],
        "infer_examples_per_second": answer["infer_examples_per_s"],
        "trained_parameters": answer["trained_parameters"],
        "peak_mb": ended.peak_mb}

  cases = {
      f"{length} tokens, {precision}, {tuning}":
          {"length": length, "precision": precision, "tuning": tuning}
      for length, precision, tuning in itertools.product(
          args.lengths, args.precisions, args.tunings)}
  systems = {"project": project}
  if args.peer_python:
    systems["peer"] = peer
  turns = {("peak", precision):
           lambda _, precision=precision: common.ask(
               multiply, precision=precision).answer()
           for precision in args.precisions}
  turns |= {(name, system): lambda _, call=call, case=case: call(case)
            for name, case in cases.items()
            for system, call in systems.items()}
  answers = common.in_turns(turns, range(args.rounds))
  peaks = {precision: max(answer["gflops"]
                          for answer in answers["peak", precision])
           for precision in args.precisions}
  result = {"peak_gflops": peaks}
  for name, case in cases.items():
    result[name] = common.compared(
        {system: answers[name, system] for system in systems})
    values = result[name]["project"]
    values["part_of_peak"] = (
        values["achieved_gflops"] / peaks[case["precision"]])
  return result


if __name__ == "__main__":
  common.main(measure, train, infer, multiply)
