"""Tiny encoders for other libraries: BERT, and those of checkpoints/families.

Needs NumPy alone, as tiny_bert.py does.
"""

import functools
import json
import pathlib

import numpy as np

from tests.peers import tiny_bert

FOLDER = pathlib.Path(__file__).parent / "family_files"
GOLDENS = pathlib.Path(__file__).parents[1] / "checkpoints" / "families"


@functools.cache
def golden(family):
  """{name: array} of a family's encoder and what it computes."""
  return dict(np.load(GOLDENS / f"{family}.npz"))


def base_tensors(family):
  """The weights by Hugging Face's names, in PyTorch's shapes."""
  if family == "bert":
    return tiny_bert.base_tensors()
  return {name.removeprefix("tensor "): array for name, array
          in golden(family).items() if name.startswith("tensor ")}


def model_config(family):
  """The values of its config.json, without dropout."""
  if family == "bert":
    return tiny_bert.CONFIG
  config = json.loads(str(golden(family)["config"]))
  return {name: 0.0 if "dropout" in name and value else value
          for name, value in config.items()}


def inputs_of(family):
  """A batch, as transformers' models take it."""
  if family == "bert":
    return tiny_bert.INPUTS
  arrays = golden(family)
  inputs = {"input_ids": arrays["word_ids"], "attention_mask": arrays["mask"]}
  if family != "distilbert":
    inputs["token_type_ids"] = arrays["type_ids"]
  return inputs


def our_inputs(family):
  """The same batch, as our models take it."""
  inputs = inputs_of(family)
  ids = inputs["input_ids"]
  return {f"input_{ours}": inputs.get(theirs, np.zeros_like(ids)).astype("i4")
          for ours, theirs in (
              ("word_ids", "input_ids"), ("mask", "attention_mask"),
              ("type_ids", "token_type_ids"))}


def write_encoder(family, folder):
  """Writes the encoder as Hugging Face does, without a vocabulary."""
  import safetensors.numpy
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True)
  (folder / "config.json").write_text(json.dumps(model_config(family)))
  safetensors.numpy.save_file(
      base_tensors(family), folder / "model.safetensors")
  return folder
