"""Measures the cost of each method: training and prediction, beside PEFT's.

Batches of 32 rows of random tokens, all of one length, on MiniLM-L6 with mean
pooling and two labels, in float32. The compiled Keras functions that `fit` and
`predict` call, on a dataset of one batch; "merged" predicts with the model that
`merge` makes, "plain" with one that has no method. Project and peer take turns;
medians over rounds. Prints JSON.

  python benchmarks/methods.py --peer_python=PEER/bin/python
  python benchmarks/methods.py --lengths=32 --methods=lora --rounds=1

The peer's environment has PEFT: `pip install torch==2.13.0 peft==0.21.2`. What
the peer does otherwise: its weights are random, and its head is on the pooled
first token.
"""

import itertools
import statistics
from typing import Any

import common

# Name -> classes and arguments of a method here, and of PEFT's.
METHODS = {
    "bottleneck": ("AdapterConfig", {"size": common.ADAPTER_SIZE}, None),
    "lora": ("LoraConfig", {"rank": 8}, ("LoraConfig", {"r": 8})),
    "dora": ("LoraConfig", {"rank": 8, "dora": True},
             ("LoraConfig", {"r": 8, "use_dora": True})),
    "ia3": ("IA3Config", {"scaled_inputs": ["attention_output", "output"]},
            ("IA3Config", {})),
}
MERGED = ("lora", "dora", "ia3")


def config_of(method: str | None) -> Any:
  """The configuration of a method here; None for none."""
  import tf_adapters as ta

  if method is None:
    return None
  name, arguments, _ = METHODS[method]
  return getattr(ta, name)(**arguments)


def _model(method: str | None) -> Any:
  import tf_keras

  import tf_adapters as ta

  tf_keras.utils.set_random_seed(0)
  return common.compiled_model(
      ta.load_encoder(common.ENCODER, config_of(method)),
      "head" if method is None else "adapters")


def _predictions_per_second(model: Any, length: int, steps: int) -> float:
  step = model.make_predict_function()
  batches = iter(common.random_batches(length).map(
      lambda inputs, labels: inputs))
  _, *seconds = common.seconds_of_calls(
      lambda: step(batches).numpy(), 1 + steps)
  return common.BATCH_SIZE / statistics.median(seconds)


def project(method: str, length: int, steps: int) -> dict[str, float]:
  """Trains, predicts, and predicts with the merged model."""
  import tf_adapters as ta

  model = _model(method)
  step = model.make_train_function()
  batches = iter(common.random_batches(length))
  _, *seconds = common.seconds_of_calls(
      lambda: float(step(batches)["loss"]), 1 + steps)
  result = {
      "train_examples_per_second":
          common.BATCH_SIZE / statistics.median(seconds),
      "infer_examples_per_second":
          _predictions_per_second(model, length, steps),
      "trained_parameters": model.summary_of_tuning().trained}
  if method in MERGED:
    result["merged_examples_per_second"] = _predictions_per_second(
        ta.merge(model), length, steps)
  return result


def plain(length: int, steps: int) -> dict[str, float]:
  """Predicts without a method."""
  return {"infer_examples_per_second": _predictions_per_second(
      _model(None), length, steps)}


def peer(method: str, length: int, steps: int) -> dict[str, float]:
  """As `project`, with PEFT."""
  import peft
  import torch
  import transformers

  _, _, theirs = METHODS[method]
  assert theirs is not None
  config = getattr(peft, theirs[0])(task_type="SEQ_CLS", **theirs[1])
  model = peft.get_peft_model(transformers.BertForSequenceClassification(
      transformers.BertConfig(
          num_hidden_layers=6, hidden_size=384, num_attention_heads=12,
          intermediate_size=1536)), config)
  trained = [one for one in model.parameters() if one.requires_grad]
  optimizer = torch.optim.AdamW(trained, 3e-4)
  batch, labels = common.torch_batch(length)

  def step() -> None:
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(**batch).logits, labels).backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()

  def predicted(one: Any) -> float:
    one.eval()
    with torch.inference_mode():
      _, *seconds = common.seconds_of_calls(lambda: one(**batch), 1 + steps)
    return common.BATCH_SIZE / statistics.median(seconds)

  model.train()
  _, *seconds = common.seconds_of_calls(step, 1 + steps)
  return {
      "train_examples_per_second":
          common.BATCH_SIZE / statistics.median(seconds),
      "trained_parameters": sum(one.numel() for one in trained),
      "infer_examples_per_second": predicted(model),
      "merged_examples_per_second": predicted(model.merge_and_unload())}


def measure() -> dict[str, Any]:
  """Runs all cases in turns; see the module's docstring."""
  parser = common.parser_of(__doc__)
  parser.add_argument(
      "--lengths", type=common.comma_separated(int), default=[128, 32],
      help="tokens per row: 128,32")
  parser.add_argument(
      "--methods", type=common.comma_separated(str, tuple(METHODS)),
      default=tuple(METHODS), help=",".join(METHODS))
  parser.add_argument(
      "--steps", type=int, default=8, help="timed in each process: 8")
  parser.add_argument("--rounds", type=int, default=3, help="of all cases: 3")
  args = parser.parse_args()
  turns: dict[Any, Any] = {
      (length, "plain"): lambda _, length=length: common.ask(
          plain, length=length, steps=args.steps).answer()
      for length in args.lengths}
  for length, method in itertools.product(args.lengths, args.methods):
    case = {"method": method, "length": length, "steps": args.steps}
    turns[length, method, "project"] = (
        lambda _, case=case: common.ask(project, **case).answer())
    if args.peer_python and METHODS[method][2] is not None:
      turns[length, method, "peer"] = lambda _, case=case: common.ask(
          peer, python=args.peer_python, **case).answer()
  answers = common.in_turns(turns, range(args.rounds))
  result: dict[str, Any] = {}
  for length in args.lengths:
    result[f"{length} tokens, plain"] = common.compared(
        {"project": answers[length, "plain"]})
    for method in args.methods:
      result[f"{length} tokens, {method}"] = common.compared({
          system: answers[length, method, system]
          for system in ("project", "peer")
          if (length, method, system) in answers})
  return result


if __name__ == "__main__":
  common.main(measure, project, plain, peer)
