"""Tries cheap recipes on held-out rows: means of epochs, seeds and predictions.

Trains a method with several seeds on some rows of a file, and judges by others
of the same rows: the last epoch, the mean of the last two and three epochs'
weights, the mean of the seeds' adapter files (`average_adapters`), and the mean
of their probabilities, which costs a prediction for each seed. With
--same_start the seeds share their first weights, and differ in the order of
rows and in dropout alone. Prints JSON.

  python benchmarks/recipes.py --data=glue_data/SST-2/train.tsv --method=lora
  python benchmarks/recipes.py --data=glue_data/SST-2/train.tsv --rows=300 \\
      --epochs=10 --learning_rate=3e-3 --seeds=2

The file has the columns that --text and --label name, as GLUE's SST-2 has them.
"""

import argparse
import itertools
import json
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import common
import numpy as np


class Trial:
  """A model, what it learns from, and rows to judge it by.

  Args:
    task: with the splits train and validation.
    args: of the command line.
    seed: of the order of rows, and of dropout.
  """

  def __init__(self, task: Any, args: argparse.Namespace, seed: int):
    import tf_keras

    import tf_adapters as ta

    methods = {
        "houlsby": (ta.AdapterConfig(size=64, init_scale=1e-2), 1e-3),
        "lora": (ta.LoraConfig(rank=8), 2e-3)}
    method, rate = methods[args.method]
    tf_keras.utils.set_random_seed(0 if args.same_start else seed)
    encoder = ta.load_encoder(common.ENCODER, method=method)
    text = encoder.text_processor(max_length=128)
    self.model = ta.TextClassifier(encoder, task.labels, pooling="mean")
    self.model.tune("adapters")
    tf_keras.utils.set_random_seed(seed)
    self._train = task.train_dataset(text, common.BATCH_SIZE, seed)
    self._held = task.validation_dataset(text, 128)
    self.labels = np.concatenate([labels for _, labels in self._held])
    self._epochs = args.epochs
    self.model.compile(
        ta.create_optimizer(args.learning_rate or rate,
                            args.epochs * len(self._train)),
        loss=self.model.loss_function)

  def run(self) -> dict[str, float]:
    """Trains, and returns scores of the last epochs and of their means."""
    states = []
    for epoch in range(self._epochs):
      self.model.fit(self._train, initial_epoch=epoch, epochs=epoch + 1,
                     verbose=0)
      states.append({name: variable.numpy() for name, variable
                     in self.model.tuned_variables().items()})
    scores = {}
    for count in (3, 2, 1):  # the last epoch's own weights stay
      self._assign(states[-count:])
      scores[f"mean of the last {count}"] = self.accuracy(self.probabilities())
    return scores

  def probabilities(self) -> np.ndarray:
    """Of the held-out rows, [rows, labels]."""
    logits = self.model.predict(self._held, verbose=0)
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)

  def accuracy(self, probabilities: np.ndarray) -> float:
    """Per cent of the held-out rows."""
    return 100 * float((probabilities.argmax(-1) == self.labels).mean())

  def _assign(self, states: Sequence[Mapping[str, np.ndarray]]) -> None:
    for name, variable in self.model.tuned_variables().items():
      variable.assign(np.mean([state[name] for state in states], 0))


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--data", required=True)
  parser.add_argument("--text", default="sentence")
  parser.add_argument("--label", default="label")
  parser.add_argument("--method", choices=("houlsby", "lora"),
                      default="houlsby")
  parser.add_argument("--learning_rate", type=float)
  parser.add_argument("--rows", type=int, default=2000)
  parser.add_argument("--held_out", type=int, default=2000)
  parser.add_argument("--epochs", type=int, default=4)
  parser.add_argument("--seeds", type=int, default=3)
  parser.add_argument("--same_start", action="store_true")
  args = parser.parse_args()
  import pandas as pd
  import tf_keras

  import tf_adapters as ta

  tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
  table = pd.read_csv(args.data, sep="\t", quoting=3)
  order = np.random.default_rng(7).permutation(len(table))
  end = args.held_out + args.rows
  task = ta.Dataset.from_dataframe(
      {"validation": table.iloc[order[:args.held_out]],
       "train": table.iloc[order[args.held_out:end]]},
      text=args.text, label=args.label, name="recipes")
  scores, answers = [], []
  with tempfile.TemporaryDirectory() as folder:
    paths = [pathlib.Path(folder, str(seed)) for seed in range(args.seeds)]
    for seed, path in enumerate(paths):
      trial = Trial(task, args, seed)
      scores.append(trial.run())
      answers.append(trial.probabilities())
      ta.save_adapter(trial.model, path, max_length=128)
    mean = ta.average_adapters(paths, pathlib.Path(folder, "mean"))
    model = ta.load_adapter(mean)
    held = task.validation_dataset(
        model.encoder.text_processor(max_length=128), 128)
    of_mean = model.predict(held, verbose=0)
  right = [answer.argmax(-1) == trial.labels for answer in answers]
  print(json.dumps({
      **vars(args), "scores": scores,
      "one file of all seeds": trial.accuracy(of_mean),
      "mean of all probabilities": trial.accuracy(np.mean(answers, 0)),
      "seeds differ in being right": [
          100 * float((one != other).mean())
          for one, other in itertools.combinations(right, 2)]}, indent=2))


if __name__ == "__main__":
  main()
