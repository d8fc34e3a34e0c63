"""The files that serve.py's servers serve: adapters, answers, a SavedModel."""

import dataclasses
import hashlib
import json
import os
import pathlib

import common
import serve_load

DISTINCT = 100     # random weights; other files have multiples of these
KNOWN_TASKS = 100  # whose answers are known beforehand


def write_adapters(folder: str, count: int, method: str = "bottleneck",
                   ) -> None:
  """Writes adapter files of tasks with random weights.

  No two files are the same, and none is left in the system's cache: so whoever
  loads a task reads a disk.
  """
  import methods
  import numpy as np
  import safetensors.numpy

  import tf_adapters as ta
  from tf_adapters.adapter_files.info import info_json, read_info
  from tf_adapters.adapter_files.tensors import read_checked

  model = ta.TextClassifier(
      ta.load_encoder(common.ENCODER, methods.config_of(method)),
      ["no", "yes"], pooling="mean")
  model.tune("adapters")
  rng = np.random.default_rng(0)
  names = serve_load.names(range(count))
  first = pathlib.Path(folder, names[0])
  ta.save_adapter(model, first, task=names[0], max_length=128, pairs=False)
  info = read_info(first)
  distinct = [
      {name: value + rng.normal(0, 0.05, value.shape).astype(np.float32)
       for name, value in read_checked(first, info).items()}
      for _ in range(min(count, DISTINCT))]
  files = []
  for number, name in enumerate(names):
    weights = safetensors.numpy.save({
        key: value * np.float32(1 + 1e-3 * (number // DISTINCT))
        for key, value in distinct[number % DISTINCT].items()})
    path = pathlib.Path(folder, name)
    path.mkdir(exist_ok=True)
    files.append(path / "adapter.safetensors")
    files[-1].write_bytes(weights)
    (path / "adapter_config.json").write_text(info_json(dataclasses.replace(
        info, task=name, weights_sha256=hashlib.sha256(weights).hexdigest())))
  os.sync()
  for file in files:
    with open(file) as opened:
      os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


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
