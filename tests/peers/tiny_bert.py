"""A tiny BERT, a batch and a head, the same here and for other libraries.

Needs NumPy alone: the scripts beside it run in environments without
TensorFlow, and write what others compute with these weights.
"""

import json
import pathlib
import zlib

import numpy as np

CONFIG = {
    "model_type": "bert", "vocab_size": 30, "hidden_size": 32,
    "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 24, "type_vocab_size": 2, "hidden_act": "gelu",
    "layer_norm_eps": 1e-12, "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0}
NUM_LABELS = 3
LEARNING_RATE = 1.0

INPUTS = {
    "input_ids": np.array([[2, 7, 8, 9, 10, 11, 3], [2, 12, 13, 3, 0, 0, 0],
                           [2, 14, 3, 15, 16, 3, 0]]),
    "attention_mask": np.array([[1] * 7, [1] * 4 + [0] * 3, [1] * 6 + [0]]),
    "token_type_ids": np.array([[0] * 7, [0] * 7, [0, 0, 0, 1, 1, 1, 0]])}
LABELS = np.array([0, 2, 1])


def draw(name, shape, spread=0.3):
  """Float32 numbers of a Gaussian that follow from a name alone."""
  # Of this generator NumPy never changes the numbers.
  rng = np.random.RandomState(zlib.crc32(name.encode()))
  return rng.normal(0, spread, shape).astype(np.float32)


def base_tensors():
  """The weights by Hugging Face's names, in PyTorch's shapes."""
  hidden, wide = CONFIG["hidden_size"], CONFIG["intermediate_size"]
  shapes = {"pooler.dense": (hidden, hidden), "embeddings.LayerNorm": (hidden,)}
  for layer in range(CONFIG["num_hidden_layers"]):
    prefix = f"encoder.layer.{layer}"
    for name in ("query", "key", "value"):
      shapes[f"{prefix}.attention.self.{name}"] = (hidden, hidden)
    shapes |= {
        f"{prefix}.attention.output.dense": (hidden, hidden),
        f"{prefix}.attention.output.LayerNorm": (hidden,),
        f"{prefix}.intermediate.dense": (wide, hidden),
        f"{prefix}.output.dense": (hidden, wide),
        f"{prefix}.output.LayerNorm": (hidden,)}
  tensors = {
      f"embeddings.{name}_embeddings.weight": draw(name, (rows, hidden), 1.0)
      for name, rows in (
          ("word", CONFIG["vocab_size"]),
          ("position", CONFIG["max_position_embeddings"]),
          ("token_type", CONFIG["type_vocab_size"]))}
  for name, shape in shapes.items():
    tensors[f"{name}.weight"] = draw(name, shape, 0.2) + (len(shape) == 1)
    tensors[f"{name}.bias"] = draw(f"{name}.bias", shape[:1], 0.2)
  return tensors


def head():
  """Weight [labels, hidden size] and bias of a layer on the first token."""
  return {"weight": draw("head", (NUM_LABELS, CONFIG["hidden_size"])),
          "bias": draw("head bias", (NUM_LABELS,))}


def write_encoder(folder):
  """Writes the tiny BERT as Hugging Face does; returns the folder."""
  import safetensors.numpy
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True)
  (folder / "config.json").write_text(json.dumps(CONFIG))
  (folder / "vocab.txt").write_text("\n".join(
      ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]",
       *"abcdefghijklmnopqrstuvwxy"]) + "\n")
  safetensors.numpy.save_file(base_tensors(), folder / "model.safetensors")
  return folder
