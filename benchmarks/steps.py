"""Measures a step in training and inference, beside peers', and memory.

Batches of 32 rows of random tokens, all of one length, on MiniLM-L6 with mean
pooling, two labels and adapters of size 64, or all of it trained. The compiled
Keras functions that `fit` and `predict` call, on a dataset of one batch.
Training and inference are processes of their own, so that the peak of memory
is that of training. Project and peers take turns; medians over rounds. The
ratios are to the best peer: of AdapterHub and PEFT, each as it is and under
`torch.compile`, the fastest in training, and the fastest in inference.

`achieved_gflops` counts the matrix products of a training step, and
`part_of_peak` divides it by the fastest product of large matrices that
TensorFlow did between the rounds. `--families` has encoders of other families,
of the same sizes and with random weights. Prints JSON.

  python benchmarks/steps.py --peer_python=PEER/bin/python
  python benchmarks/steps.py --lengths=32 --precisions=float32 \\
      --tunings=adapters --rounds=1
  python benchmarks/steps.py --families=bert,albert,modernbert --lengths=128

What the peers do otherwise (steps_peers.py says what they are):

- With adapters they freeze the layer norms. What lies below the first adapter
  (the first layer's attention) then needs no gradients, here it does.
- AdapterHub's head is on the first token and has two layers, 147,840 parameters
  more; with full tuning it counts those of a pooler that nothing reads, too.
- bfloat16 is torch.autocast; here what is frozen is held in it.
- Training and inference are one process. Their weights are random.
- What their first steps take, or compilations, is not said.
"""

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

import common
from steps_peers import FORMS, PEERS, peer

PRECISIONS = ("float32", "bfloat16")
TUNINGS = ("adapters", "full")
# Rows, inner size, columns: square, and a feed-forward product of 32 x 128
# tokens.
PRODUCTS = ((2048, 2048, 2048), (4096, 1536, 384))


def step_flops(encoder: Any, length: int, tuning: str) -> int:
  """Floating-point operations in the matrix products of a training step.

  An [n, k] matrix times a [k, m] one is 2nkm. The gradient of each factor is a
  product of the same size. Those of activations are all needed, since the
  first layer norm trains too, those of weights only where they train. Both
  factors of attention's two products are activations. Left out is what is no
  product, and the pooler and the head: they see one vector per row.

  Args:
    encoder: the encoder.
    length: tokens per row.
    tuning: "adapters" or "full".
  """
  tokens = common.BATCH_SIZE * length
  layers = encoder.config.num_hidden_layers
  kernels = {name: math.prod(kernel.shape)
             for name, kernel in encoder.named_variables().items()
             if name.endswith("/kernel") and not name.startswith("pooler")}
  base = [name for name in encoder.base_variables() if name in kernels]
  shared = {name for name in base if encoder.config.shares_layers
            and name.startswith("transformer/")}

  def products(names: Iterable[str]) -> int:
    """Of every token with each of these kernels."""
    # Weights that all layers share are multiplied in each of them.
    return 2 * tokens * sum(
        kernels[name] * (layers if name in shared else 1) for name in names)

  # Queries with keys, weights with values.
  output = next(kernel for name, kernel in encoder.base_variables().items()
                if name.endswith("self_attention/attention_output/kernel"))
  width = math.prod(output.shape[:-1])
  attention = 2 * tokens * layers * 2 * length * width
  if tuning == "full":
    return 3 * (products(base) + attention)
  return 2 * products(base) + 3 * (attention + products(
      name for name in kernels if name not in base))


def _model(family: str, precision: str, tuning: str, jit_compile: bool) -> Any:
  import tf_keras

  tf_keras.utils.set_random_seed(0)
  return common.compiled_model(
      common.load_encoder(tuning, precision, family), tuning, jit_compile)


def train(family: str, length: int, precision: str, tuning: str,
          jit_compile: bool, steps: int) -> dict[str, float]:
  """Trains for some steps after the first one."""
  model = _model(family, precision, tuning, jit_compile)
  step = model.make_train_function()
  batches = iter(common.random_batches(length))
  first, *seconds = common.seconds_of_calls(
      lambda: float(step(batches)["loss"]), 1 + steps)
  rate = 1 / statistics.median(seconds)
  return {
      "train_examples_per_second": common.BATCH_SIZE * rate,
      "first_step_seconds": first,
      "encoder_parameters": sum(
          math.prod(variable.shape)
          for variable in model.encoder.base_variables().values()),
      "trained_parameters": model.summary_of_tuning().trained,
      "achieved_gflops": rate / 1e9 * step_flops(
          model.encoder, length, tuning)}


def infer(family: str, length: int, precision: str, tuning: str,
          jit_compile: bool, steps: int) -> dict[str, float]:
  """Predicts some batches after the first one."""
  model = _model(family, precision, tuning, jit_compile)
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
  from tf_adapters.modeling.encoders.table import ENCODERS

  parser = common.parser_of(__doc__)
  parser.add_argument(
      "--families", type=common.comma_separated(str, list(ENCODERS)),
      default=["bert"], help="of encoders: bert")
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
  args = parser.parse_args()

  def project(case):
    trained, inferred = (
        common.ask(worker, jit_compile=args.jit_compile, steps=args.steps,
                   **case) for worker in (train, infer))
    return {**trained.answer(), **inferred.answer(),
            "peak_mb": trained.peak_mb}

  def peers_of(case):
    """Turns of all peers, by name."""
    return {
        f"{library}, {form}": lambda library=library, form=form: {
            **(ended := common.ask(
                peer, python=args.peer_python, library=library, form=form,
                length=case["length"], precision=case["precision"],
                tuning=case["tuning"], steps=args.steps)).answer(),
            "peak_mb": ended.peak_mb}
        for library in PEERS[case["tuning"]] for form in FORMS}

  cases = {
      ("" if family == "bert" else f"{family}, ")
      + f"{length} tokens, {precision}, {tuning}":
          {"family": family, "length": length, "precision": precision,
           "tuning": tuning}
      for family, length, precision, tuning in itertools.product(
          args.families, args.lengths, args.precisions, args.tunings)}
  if args.peer_python and args.families != ["bert"]:
    parser.error("--peer_python: the peers' encoder is a BERT")
  turns = {("peak", precision):
           lambda _, precision=precision: common.ask(
               multiply, precision=precision).answer()
           for precision in args.precisions}
  for name, case in cases.items():
    turns[name, "project"] = lambda _, case=case: project(case)
    if args.peer_python:
      for system, turn in peers_of(case).items():
        turns[name, system] = lambda _, turn=turn: turn()
  answers = common.in_turns(turns, range(args.rounds))
  peaks = {precision: max(answer["gflops"]
                          for answer in answers["peak", precision])
           for precision in args.precisions}
  result = {"peak_gflops": peaks}
  for name, case in cases.items():
    result[name] = medians = {
        system: common.medians(rows)
        for (of_case, system), rows in answers.items() if of_case == name}
    values = medians["project"]
    values["part_of_peak"] = (
        values["achieved_gflops"] / peaks[case["precision"]])
    if args.peer_python:
      medians["project / best peer"] = beside_best(medians)
  return result


def beside_best(
    medians: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
  """Ratios of the project's speed to the fastest peer's, and which that is."""
  result: dict[str, Any] = {}
  for key in ("train_examples_per_second", "infer_examples_per_second"):
    best = max((system for system in medians if system != "project"),
               key=lambda system: medians[system][key])
    result[key] = medians["project"][key] / medians[best][key]
    result[f"{key}, best peer"] = best
  return result


if __name__ == "__main__":
  common.main(measure, train, infer, multiply, peer)
