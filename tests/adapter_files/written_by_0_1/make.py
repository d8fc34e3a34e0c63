"""Writes the encoder, the adapter files and the predictions beside this file.

README.md says how it was run.
"""

import json
import pathlib

import numpy as np
import safetensors.numpy
import tf_keras

import tf_adapters as ta
from tests.reference import hugging_face_tensors
from tf_adapters.checkpoints import names

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "film", "is", "good",
          "bad", "very", "not", "he", "said", "so", "un", "##able", "##s", "a",
          "b", "##a", "##b", ",", ".", "!", "?"]
CONFIG = dict(
    vocab_size=len(TOKENS), hidden_size=16, num_hidden_layers=2,
    num_attention_heads=2, intermediate_size=24, max_position_embeddings=24,
    type_vocab_size=2, hidden_act="gelu")
TEXTS = ["the film is good", "", "Bad, very bad!", "he said so " * 9, "unable?"]
PAIRS = [("he said so", "so he said."), ("is the film good?", "very"),
         ("not bad", ""), ("a", "the film is bad, he said, very bad " * 3)]

A = ta.AdapterConfig
# Of every task: problem, labels, adapters, tuning, pooling, max_length, pairs.
TASKS = {
    "classification": (
        "classification", "abc", A(size=4), "adapters", "pooler", 16, False),
    "pairs": ("classification", "yn", A(size=4), "adapters", "mean", 20,
              True),
    "multi_label": ("multi_label", "pqrs", A(size=3, parallel=True),
                    "adapters-layer_norms", "cls", None, None),
    "regression": ("regression", "", A(size=2, layers=(1,), dropout=0.2),
                   "adapters", "mean", 12, False),
    "tagging": ("tagging", "OBI", A(size=4, depth=2, layer_norm=True),
                "adapters", "tokens", 12, False),
    "span": ("span", "", A(size=4, positions=("output",)), "adapters", "tokens",
             24, True),
    "pooler": ("classification", "yn", A(size=4, activation="tanh"),
               "adapters+pooler-layer_norms", "pooler", 16, False),
    "full": ("regression", "", None, "full", "pooler", 16, None),
    "full_span": ("span", "", None, "full", "tokens", 24, True),
    "top_layers": (
        "classification", "yn", None, "top_layers:1", "cls", 16, None),
    "top_layers_norms": ("multi_label", "pq", None, "top_layers:1+layer_norms",
                         "pooler", 16, None),
    "layer_norm": ("tagging", "OBI", None, "layer_norm", "tokens", 16, None),
    "layer_norm_pooler": (
        "regression", "", None, "layer_norm+pooler", "pooler", 16, None),
    "bias": ("multi_label", "pqr", None, "bias", "mean", None, None),
    "head": ("classification", "yn", None, "head", "mean", 16, None),
    "head_norms": (
        "regression", "", None, "head+layer_norms", "mean", 16, None),
    "full_adapters": (
        "classification", "abc", A(size=2, layers=(0,), activation="relu"),
        "full", "mean", 16, None),
}
# What a bank refuses, since tasks share the encoder.
OWN_ENCODER = ("pooler", "full", "full_span", "top_layers", "top_layers_norms",
               "layer_norm_pooler", "bias", "full_adapters")
SPAN = {"doc_stride": 4, "max_query_length": 6, "n_best_size": 3,
        "max_answer_length": 5}


def write_encoder(folder):
  folder.mkdir()
  rng = np.random.default_rng(0)
  weights = {
      name: (rng.normal(0, 0.3, shape) + name.endswith("/gamma")).astype(
          np.float32)
      for name, shape in names.shapes(ta.BertConfig(**CONFIG)).items()}
  safetensors.numpy.save_file(
      hugging_face_tensors(weights), folder / "model.safetensors")
  (folder / "config.json").write_text(json.dumps(
      {"model_type": "bert", "layer_norm_eps": 1e-12, **CONFIG}))
  (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
  (folder / "vocab.txt").write_text("\n".join(TOKENS) + "\n")


def write_adapter(number, name):
  problem, labels, adapters, tuning, pooling, max_length, pairs = TASKS[name]
  encoder = ta.load_encoder("encoder", adapters)
  encoder.tune(tuning)
  # As version 0.1 had it: this part runs with that version alone.
  from tf_adapters.modeling.models import make_model
  model = make_model(problem, encoder, list(labels), pooling)
  rng = np.random.default_rng(number)
  for variable in model.trainable_variables:
    variable.assign_add(rng.normal(0, 0.3, variable.shape))
  ta.save_adapter(
      model, name, metrics={"validation": {"loss": 0.5}},
      max_length=max_length, pairs=pairs,
      span=SPAN if problem == "span" else None)


def logits(name):
  model = ta.load_adapter(name)
  text = model.encoder.text_processor(TASKS[name][5])
  return model(text(*texts(name))).numpy().tolist()


def texts(name):
  """The columns of a task's texts."""
  return zip(*PAIRS) if TASKS[name][-1] else [TEXTS]


if __name__ == "__main__":
  tf_keras.utils.set_random_seed(0)
  write_encoder(pathlib.Path("encoder"))
  for number, name in enumerate(TASKS):
    write_adapter(number, name)
  shared = [name for name in TASKS if name not in OWN_ENCODER]
  bank = ta.AdapterBank("encoder", shared)
  rows = [(text, name) for texts in zip(*(
      PAIRS if TASKS[name][-1] else TEXTS for name in shared))
      for text, name in zip(texts, shared)]
  pathlib.Path("predictions.json").write_text(json.dumps({
      "logits": {name: logits(name) for name in TASKS},
      "texts": [row[0] for row in rows],
      "tasks": [row[1] for row in rows],
      "predict": bank.predict(*zip(*rows)),
      "predict_proba": bank.predict_proba(*zip(*rows)),
  }) + "\n")
