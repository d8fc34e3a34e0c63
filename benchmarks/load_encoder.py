"""Measures memory and time of loading a BERT-base, by format.

Writes a BERT-base of random weights (438 MB; fewer `--layers` are faster) in
each format, loads each in a process of its own, and prints JSON: seconds, and
the peak of resident memory beyond that of a process that loads a tiny BERT, as
a multiple of the weights' bytes.

  python benchmarks/load_encoder.py
"""

import argparse
import json
import pathlib
import tempfile
import time
from typing import Any

import common

FORMATS = ("tf1", "hugging_face", "hub")
TINY = dict(vocab_size=100, hidden_size=16, num_hidden_layers=1,
            num_attention_heads=2, intermediate_size=16)


def write(folder: str, values: dict[str, int]) -> int:
  """Writes one set of tensors in every format to a new folder.

  Returns:
    The tensors' bytes.
  """
  import numpy as np
  import safetensors.numpy
  import tensorflow as tf

  from tf_adapters.checkpoints.hub_export import export_hub
  from tf_adapters.checkpoints.loading import load_encoder
  from tf_adapters.modeling.encoders.bert import BERT, BertConfig

  folder = pathlib.Path(folder)
  config = BertConfig(**values)
  rng = np.random.default_rng(0)
  # All formats' readers know the canonical names, too.
  tensors = {
      f"bert/{name}": 0.02 * rng.standard_normal(
          BERT.as_matrix(name, shape), np.float32)
      for name, shape in BERT.shapes(config).items()}
  tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
  tokens += [f"word{i}" for i in range(config.vocab_size - len(tokens))]
  for name, config_name in (("tf1", "bert_config.json"),
                            ("hugging_face", "config.json")):
    (folder / name).mkdir(parents=True)
    (folder / name / config_name).write_text(json.dumps(
        {**config.to_dict(), "hidden_act": "gelu"}))
    (folder / name / "vocab.txt").write_text("\n".join(tokens))
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    variables = []
    for name, array in tensors.items():
      variables.append(tf.compat.v1.get_variable(name, array.shape))
      variables[-1].load(array, session)
    tf.compat.v1.train.Saver(variables).save(
        session, str(folder / "tf1" / "bert_model.ckpt"),
        write_meta_graph=False)
  safetensors.numpy.save_file(
      {name.replace("/", "."): np.ascontiguousarray(
          a.T if name.endswith("/kernel") else a)
       for name, a in tensors.items()},
      folder / "hugging_face" / "model.safetensors")
  export_hub(load_encoder(str(folder / "tf1")), folder / "hub")
  return sum(array.nbytes for array in tensors.values())


def load(source: str) -> float:
  """Seconds that it takes to load an encoder."""
  from tf_adapters import load_encoder
  start = time.time()
  load_encoder(source)
  return time.time() - start


def measure() -> dict[str, Any]:
  """Writes, loads and compares; see the module's docstring."""
  parser = argparse.ArgumentParser(
      description=__doc__,
      formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--layers", type=int, default=12,
                      help="of the encoder (%(default)s)")
  layers = parser.parse_args().layers
  results = {}
  with tempfile.TemporaryDirectory() as folder:
    common.ask(write, folder=f"{folder}/tiny", values=TINY)
    size = common.ask(write, folder=f"{folder}/base",
                      values={"vocab_size": 30522,
                              "num_hidden_layers": layers}).answer()
    for name in FORMATS:
      own, base = (common.ask(load, source=f"{folder}/{kind}/{name}")
                   for kind in ("tiny", "base"))
      results[name] = {
          "seconds": round(base.answer(), 2),
          "peak_mb": round(base.peak_mb),
          "peak_without_weights_mb": round(own.peak_mb),
          "times_the_weights": round(
              (base.peak_mb - own.peak_mb) * 1e6 / size, 2)}
  return {"weights_mb": round(size / 1e6), **results}


if __name__ == "__main__":
  common.main(measure, write, load)
