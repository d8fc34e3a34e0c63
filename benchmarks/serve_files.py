"""The files that serve.py's servers serve: adapters, answers, a SavedModel."""

import json
import os
import pathlib

import common
import serve_load

DISTINCT = 100     # adapter files whose weights differ; others link to them
KNOWN_TASKS = 100  # whose answers are known beforehand


def write_adapters(folder: str, count: int, method: str = "bottleneck",
                   ) -> None:
  """Writes adapter files of tasks with random weights."""
  import methods
  import numpy as np

  import tf_adapters as ta

  model = ta.TextClassifier(
      ta.load_encoder(common.ENCODER, methods.config_of(method)),
      ["no", "yes"], pooling="mean")
  model.tune("adapters")
  rng = np.random.default_rng(0)
  first = [variable.numpy() for variable in model.trainable_variables]
  for number, name in enumerate(serve_load.names(range(count))):
    path = pathlib.Path(folder, name)
    if number < DISTINCT:
      for variable, value in zip(model.trainable_variables, first):
        variable.assign(value + rng.normal(0, 0.05, value.shape))
      ta.save_adapter(model, path, task=name, max_length=128, pairs=False)
      continue
    like = pathlib.Path(folder, serve_load.names([number % DISTINCT])[0])
    path.mkdir()
    for file in like.iterdir():
      os.link(file, path / file.name)


def write_answers(folder: str, path: str) -> None:
  """Writes what a bank answers of the first tasks: see `serve_load.checker`."""
  import tf_adapters as ta

  names = serve_load.names(range(KNOWN_TASKS))
  bank = ta.AdapterBank(
      common.ENCODER, [pathlib.Path(folder, name) for name in names])
  asked = [(name, text) for number, name in enumerate(names)
           for text in serve_load.texts(20, seed=number)]
  found = bank.predictions([text for _, text in asked],
                           [name for name, _ in asked])
  pathlib.Path(path).write_text(json.dumps([
      (name, text, prediction.value, prediction.probability)
      for (name, text), prediction in zip(asked, found)]))


def export(folder: str, path: str, tasks: int) -> None:
  """Writes a SavedModel of the first tasks."""
  import tf_adapters as ta

  ta.AdapterBank(common.ENCODER, [
      pathlib.Path(folder, name) for name in serve_load.names(range(tasks))
  ]).export(path)
