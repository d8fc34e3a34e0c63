"""Loads what `test_saving` saved, in a process of its own.

    python -m tests.modeling.load_saved FOLDER

Prints a line for each model that is not the one that was saved.
"""

import json
import pathlib
import sys

import numpy as np
import tensorflow as tf
import tf_keras

import tf_adapters  # noqa: F401 (registers its classes)


def load(way, folder):
  """The model of a folder; for weights a new one of the same configuration."""
  if way in ("model.keras", "model.h5", "model"):
    return tf_keras.models.load_model(folder / way)
  config = json.loads((folder / "config.json").read_text())
  model = tf_keras.saving.get_registered_object(
      config["class"]).from_config(config["config"])
  if way == "checkpoint":
    tf.train.Checkpoint(model=model).read(
        str(folder / way)).assert_existing_objects_matched()
  else:
    status = model.load_weights(folder / way)
    if status is not None:
      status.assert_existing_objects_matched()
  return model


def main(root):
  for folder in sorted(pathlib.Path(root).iterdir()):
    said = json.loads((folder / "said.json").read_text())
    arrays = dict(np.load(folder / "arrays.npz"))
    outputs = arrays.pop("outputs")
    try:
      model = load(said["way"], folder)
      found = {"way": said["way"], "class": type(model).__name__,
               "trains": [list(v.shape) for v in model.trainable_variables]}
      if hasattr(model, "task"):
        found["task"] = json.loads(json.dumps(model.task.to_dict()))
      difference = np.abs(model(arrays).numpy() - outputs).max()
      if difference or found != said:
        print(folder.name, difference, found, said)
    except Exception as error:
      print(folder.name, repr(error)[:500])
  print("done")


if __name__ == "__main__":
  main(sys.argv[1])
