"""How much memory and time it takes to load a BERT-base, by format.

Writes a BERT-base of random weights (438 MB) in each format, loads each in a
process of its own, and prints JSON: seconds, and the peak of resident memory
beyond that of a process that loads a tiny BERT, as a multiple of the weights'
bytes.

  python benchmarks/load_encoder.py
"""

import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

FORMATS = ("tf1", "hugging_face", "hub")
TINY = dict(vocab_size=100, hidden_size=16, num_hidden_layers=1,
            num_attention_heads=2, intermediate_size=16)


def write(folder: pathlib.Path, values: dict[str, int]) -> int:
  """Writes one set of tensors in every format.

  Returns:
    The tensors' bytes.
  """
  import numpy as np
  import safetensors.numpy
  import tensorflow as tf

  from tf_adapters.checkpoints import names
  from tf_adapters.checkpoints.hub_export import export_hub
  from tf_adapters.checkpoints.loading import load_encoder
  from tf_adapters.modeling.config import BertConfig

  config = BertConfig(**values)
  rng = np.random.default_rng(0)
  # All formats' readers know the canonical names, too.
  tensors = {
      f"bert/{name}": 0.02 * rng.standard_normal(
          names.as_matrix(name, shape), np.float32)
      for name, shape in names.shapes(config).items()}
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


def load(source: str) -> None:
  """Loads an encoder and prints what that took."""
  from tf_adapters import load_encoder
  start = time.time()
  load_encoder(source)
  print(json.dumps({
      "seconds": time.time() - start,
      "peak": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))


def _call(*arguments: str) -> Any:
  output = subprocess.run(
      [sys.executable, __file__, *arguments], check=True,
      stdout=subprocess.PIPE, text=True).stdout
  return json.loads(output.splitlines()[-1])


def measure() -> dict[str, Any]:
  """Writes, loads and compares; see the module's docstring."""
  results = {}
  with tempfile.TemporaryDirectory() as folder:
    _call("write", f"{folder}/tiny", json.dumps(TINY))
    size = _call("write", f"{folder}/base", json.dumps({"vocab_size": 30522}))
    for name in FORMATS:
      own = _call("load", f"{folder}/tiny/{name}")
      base = _call("load", f"{folder}/base/{name}")
      results[name] = {
          "seconds": round(base["seconds"], 2),
          "peak_mb": round(base["peak"] / 1e6),
          "peak_without_weights_mb": round(own["peak"] / 1e6),
          "times_the_weights": round(
              (base["peak"] - own["peak"]) / size, 2)}
  return {"weights_mb": round(size / 1e6), **results}


def main() -> None:
  if sys.argv[1:2] == ["write"]:
    print(json.dumps(write(pathlib.Path(sys.argv[2]), json.loads(sys.argv[3]))))
  elif sys.argv[1:2] == ["load"]:
    load(sys.argv[2])
  else:
    print(json.dumps(measure(), indent=2))


if __name__ == "__main__":
  main()
