"""Writes presets of KerasHub and what it computes, for test_keras_hub.py.

Run it in an environment of its own, from the root of the repository:

  python3 -m venv peer
  peer/bin/pip install keras-hub==0.32.0 tensorflow==2.20.0 tensorflow-text
  peer/bin/python tests/checkpoints/make_keras_hub_goldens.py
"""

import json
import os
import pathlib
import tempfile

os.environ["KERAS_BACKEND"] = "tensorflow"

import h5py
import keras
import keras_hub
import numpy as np

MODELS = keras_hub.models
SIZES = dict(num_layers=2, num_heads=2, hidden_dim=8, intermediate_dim=12,
             max_sequence_length=16)
BACKBONES = {
    "bert": lambda: MODELS.BertBackbone(89, **SIZES),
    "distilbert": lambda: MODELS.DistilBertBackbone(89, **SIZES),
    "albert": lambda: MODELS.AlbertBackbone(760, embedding_dim=4, **SIZES),
    "electra": lambda: MODELS.ElectraBackbone(
        89, embedding_dim=4, **SIZES),
    "roberta": lambda: MODELS.RobertaBackbone(500, **SIZES),
}


def arrays_of(file):
  """{path: array} of everything in an HDF5 file."""
  found = {}
  file.visititems(lambda name, value: found.update(
      {name: value[...]} if isinstance(value, h5py.Dataset) else {}))
  return found


def main() -> None:
  for name, make in BACKBONES.items():
    keras.utils.set_random_seed(0)
    backbone = make()
    rng = np.random.default_rng(0)
    backbone.set_weights([  # zeros and ones hide mistakes
        (array + rng.normal(0, 0.2, array.shape)).astype("f4")
        for array in backbone.get_weights()])
    inputs = {
        "token_ids": rng.integers(5, 89, [3, 9]).astype("i4"),
        "padding_mask": (np.arange(9) < np.array(
            [[9], [4], [1]])).astype("i4"),
        "segment_ids": rng.integers(0, 2, [3, 9]).astype("i4")}
    outputs = backbone({key: value for key, value in inputs.items()
                        if key in backbone.input})
    if not isinstance(outputs, dict):
      outputs = {"sequence_output": outputs}
    with tempfile.TemporaryDirectory() as folder:
      backbone.save_to_preset(folder)
      path = pathlib.Path(folder)
      config = json.loads((path / "config.json").read_text())
      with h5py.File(path / "model.weights.h5") as file:
        weights = arrays_of(file)
    np.savez_compressed(
        pathlib.Path(__file__).parent / "keras_hub" / f"{name}.npz",
        config=json.dumps(config), **inputs,
        **{key: np.asarray(value) for key, value in outputs.items()},
        **{f"tensor {key}": array for key, array in weights.items()})


if __name__ == "__main__":
  main()
