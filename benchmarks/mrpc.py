"""Measures the time and the scores of a whole run, MRPC, beside AdapterHub's.

From the start of the process to the metrics of the dev set: 3 epochs in batches
of 32, learning rate 1e-3, warm-up over a tenth of the steps, MiniLM-L6,
adapters of size 64, at most 128 wordpieces, float32. The project is its command
line, without an evaluation between the epochs. The peer pads to 128 wordpieces
or, in batches of similar length, to the longest row. They take turns, a seed
after the other; figures by seed, medians over the seeds, their ratios.
`train_seconds` are those of the epochs, the first trace included. Prints JSON.

  python benchmarks/mrpc.py --data_dir=glue_data/MRPC \\
      --peer_python=PEER/bin/python --peer_script=adapterhub_peer.py

What differs in the recipes:

- Pooling and head: here the mean of all tokens and one layer. The peer takes
  the first token's output, without BERT's pooler, and two layers with a tanh
  between them: 147,840 parameters more.
- Here the layer norms train, too; AdapterHub freezes them.
- Adapters start at a deviation of 1e-3 here and of 0.02 there; Adam's epsilon
  is 1e-6 here and 1e-8 there.
- Here batches are padded to one of a few widths; the run writes checkpoints
  after each epoch, logs for TensorBoard and an adapter file; and it reads
  test.tsv if there is one.
"""

import json
import pathlib
import sys
import tempfile
from typing import Any

import common

EPOCHS = 3
LEARNING_RATE = 1e-3
MAX_LENGTH = 128


def measure() -> dict[str, Any]:
  """Runs project and peer in turns; see the module's docstring."""
  parser = common.parser_of(__doc__)
  parser.add_argument(
      "--data_dir", required=True, help="folder with train.tsv and dev.tsv")
  parser.add_argument(
      "--seeds", type=common.comma_separated(int), default=[0, 1, 2],
      help="one run each: 0,1,2")
  args = common.parse_with_peer(parser)

  def project(seed):
    with tempfile.TemporaryDirectory() as folder:
      output_dir = pathlib.Path(folder) / "run"
      ended = common.run(
          sys.executable, pathlib.Path(__file__).parents[1] / "run_glue.py",
          "--task_name=mrpc", f"--data_dir={args.data_dir}",
          f"--encoder={common.ENCODER}", "--pooling=mean",
          f"--adapter_size={common.ADAPTER_SIZE}",
          f"--max_seq_length={MAX_LENGTH}", f"--num_train_epochs={EPOCHS}",
          f"--train_batch_size={common.BATCH_SIZE}",
          f"--learning_rate={LEARNING_RATE}", f"--seed={seed}",
          "--do_train", "--do_eval", "--noeval_each_epoch",
          "--keep_checkpoints=0", f"--output_dir={output_dir}")
      results = json.loads((output_dir / "results.json").read_text())
    metrics = results["metrics"]["validation"]
    return {"seconds": ended.seconds,
            "train_seconds": results["seconds"]["train"],
            "peak_mb": ended.peak_mb,
            "accuracy": metrics["accuracy"], "f1": metrics["f1"],
            "trained_parameters": results["parameters"]["trained"]}

  def peer(padding):
    def call(seed):
      ended = common.run(
          args.peer_python, args.peer_script, "mrpc",
          f"--data_dir={args.data_dir}", f"--model_dir={model_dir}",
          f"--padding={padding}", f"--adapter_size={common.ADAPTER_SIZE}",
          f"--max_length={MAX_LENGTH}", f"--epochs={EPOCHS}",
          f"--batch_size={common.BATCH_SIZE}",
          f"--learning_rate={LEARNING_RATE}", f"--seed={seed}")
      answer = ended.answer()
      return {"seconds": ended.seconds, "train_seconds": answer["train_s"],
              "peak_mb": ended.peak_mb, "accuracy": answer["accuracy"],
              "f1": answer["f1"],
              "trained_parameters": answer["trained_parameters"]}
    return call

  systems = {"project": project}
  if args.peer_python:
    model_dir = common.encoder_folder()
    systems |= {f"peer, padded to {MAX_LENGTH}": peer("max"),
                "peer, padded dynamically": peer("dynamic")}
  answers = common.in_turns(systems, args.seeds)
  return {
      "medians": common.compared(answers),
      "seeds": {seed: {name: rows[number] for name, rows in answers.items()}
                for number, seed in enumerate(args.seeds)}}


if __name__ == "__main__":
  common.main(measure)
