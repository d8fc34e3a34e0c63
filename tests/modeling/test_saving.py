"""Every way in which Keras saves, and what a new process loads of it."""

import copy
import dataclasses
import itertools
import json
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tf_adapters as ta
from tf_adapters.problems import find_problem

ROOT = pathlib.Path(__file__).parents[2]
PROBLEMS = {"classification": "ab", "multi_label": "abc", "regression": "",
            "tagging": "OBI", "span": ""}
DTYPES = ("float32", "mixed_bfloat16", "bfloat16")
TUNINGS = ("adapters", "full", "top_layers:1", "bias", "layer_norm", "head")
WAYS = ("model.keras", "model", "x.weights.h5", "x.h5", "weights", "checkpoint")
INPUTS = ("input_word_ids", "input_mask", "input_type_ids")


def possible(dtype, tuning, way):
  """Whether such a model can be saved so: other tests hold the refusals."""
  return not (dtype == "bfloat16" and (
      tuning in ("full", "top_layers:1", "bias") or way == "x.h5"))


def make(source, kind, dtype="float32", tuning="adapters"):
  """A model that has learned something random."""
  if kind == "network":
    encoder = ta.TextNetwork(ta.load_word_embedding(str(source)))
    model = ta.TextClassifier(encoder, ["a", "b"])
  else:
    encoder = ta.load_encoder(str(source), ta.AdapterConfig(size=4),
                              dtype=dtype)
    encoder.tune(tuning)
    if kind == "functional":
      inputs = {name: tf_keras.Input([None], dtype=tf.int32, name=name)
                for name in INPUTS}
      model = tf_keras.Model(inputs, tf_keras.layers.Dense(
          2, dtype="float32")(encoder(inputs)["pooled_output"]))
    else:
      model = find_problem(kind).make_model(encoder, list(PROBLEMS[kind]))
  rng = np.random.default_rng(0)
  for variable in model.trainable_variables:
    variable.assign_add(rng.normal(0, 0.2, variable.shape))
  if hasattr(model, "task"):
    model.task = dataclasses.replace(
        model.task, name="mine", max_length=24, pairs=True,
        span={"max_answer_length": 7} if kind == "span" else None)
  return model


def inputs_of(model):
  ids = np.random.default_rng(1).integers(5, 40, [3, 8]).astype(np.int32)
  return {"input_word_ids": ids, "input_mask": np.array(
      [[1] * 8, [1] * 5 + [0] * 3, [1] * 2 + [0] * 6], np.int32),
      "input_type_ids": np.zeros_like(ids)}


def save(model, way, folder):
  """Saves a model, and beside it what has to come back."""
  folder.mkdir()
  inputs = inputs_of(model)
  np.savez(folder / "arrays.npz", outputs=model(inputs), **inputs)
  said = {"way": way, "class": type(model).__name__,
          "trains": [list(v.shape) for v in model.trainable_variables]}
  if hasattr(model, "task"):
    said["task"] = model.task.to_dict()
    (folder / "config.json").write_text(json.dumps({
        "class": tf_keras.saving.get_registered_name(type(model)),
        "config": model.get_config()}))
  (folder / "said.json").write_text(json.dumps(said))
  if way in ("model.keras", "model.h5"):
    model.save(folder / way)
  elif way == "model":
    model.save(folder / way, save_format="tf")
  elif way == "checkpoint":
    tf.train.Checkpoint(model=model).write(str(folder / way))
  else:
    model.save_weights(folder / way)


def in_a_new_process(folder):
  result = subprocess.run(
      [sys.executable, "-m", "tests.modeling.load_saved", str(folder)],
      cwd=ROOT, capture_output=True, text=True, check=False)
  assert result.stdout == "done\n", result.stdout + result.stderr[-2000:]


def test_what_is_saved_comes_back_in_a_new_process(one_layer_source, tmp_path):
  for number, (kind, way, dtype, tuning) in enumerate([
      ("classification", "model", "float32", "full"),
      ("multi_label", "model.keras", "bfloat16", "adapters"),
      ("regression", "x.weights.h5", "bfloat16", "layer_norm"),
      ("tagging", "checkpoint", "mixed_bfloat16", "bias"),
      ("span", "model.keras", "float32", "top_layers:1"),
      ("functional", "model.h5", "float32", "adapters"),
      ("functional", "model.keras", "bfloat16", "head"),
      ("network", "x.h5", "float32", "no_bert"),
  ]):
    save(make(one_layer_source, kind, dtype, tuning), way,
         tmp_path / f"{number}-{kind}")
  in_a_new_process(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*PROBLEMS, "functional", "network"])
def test_every_way_problem_dtype_and_tuning(one_layer_source, tmp_path, kind):
  ways = {"functional": ("model.keras", "model", "model.h5")}.get(kind, WAYS)
  dtypes, tunings = ((["float32"], ["no_bert"]) if kind == "network" else
                     (DTYPES, TUNINGS))
  for (row, dtype), (column, tuning) in itertools.product(
      enumerate(dtypes), enumerate(tunings)):
    if not possible(dtype, tuning, ""):
      continue
    model = make(one_layer_source, kind, dtype, tuning)
    for place, way in enumerate(ways):
      # A SavedModel is traced whole, whatever trains: once for each type. Of
      # the others each is tried with every type and with every tuning.
      wanted = (tuning == "adapters" if way == "model"
                else (row + column + place) % 3 == 0)
      if (kind != "network" and not wanted) or (
          dtype == "bfloat16" and way in ("x.h5", "model.h5")):
        continue
      save(model, way, tmp_path / f"{dtype}-{tuning}-{way}")
  in_a_new_process(tmp_path)


def test_copies_are_the_same_model(one_layer_source):
  model = make(one_layer_source, "tagging")
  model.encoder.embeddings.trainable = False
  model.head.trainable = False
  inputs = inputs_of(model)
  clone = tf_keras.models.clone_model(model)
  clone.set_weights(model.get_weights())
  for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), clone):
    np.testing.assert_array_equal(other(inputs), model(inputs))
    assert other.task == model.task
    assert list(other.tuned_variables()) == list(model.tuned_variables())
    assert other.encoder.origin == model.encoder.origin


@pytest.mark.parametrize("kind, file, weights_only, message", [
    ("regression", "{epoch}.h5", False, "no subclassed model"),
    ("span", "x.hdf5", False, "no subclassed model"),
    ("classification", "x.keras", True, "cannot end in .keras"),
    ("tagging", "{epoch}.h5", True, "cannot hold bfloat16")])
def test_what_could_not_be_loaded_is_refused_before_the_training(
    one_layer_source, tmp_path, kind, file, weights_only, message):
  model = make(one_layer_source, kind, "bfloat16")
  model.compile("sgd", model.loss_function)
  checkpoint = tf_keras.callbacks.ModelCheckpoint(
      str(tmp_path / file), save_weights_only=weights_only)
  labels = {"span": np.zeros([3, 2], np.int32), "tagging": np.zeros(
      [3, 8], np.int32)}.get(kind, np.zeros([3], np.int32))
  with pytest.raises(ta.InputError, match=message) as caught:
    model.fit(inputs_of(model), labels, callbacks=[checkpoint], verbose=0)
  assert "\n" not in str(caught.value)
  write = model.save_weights if weights_only else model.save
  with pytest.raises(ta.InputError, match=message):
    write(tmp_path / file)
  assert not list(tmp_path.iterdir())


def test_weights_in_another_order_are_refused(one_layer_source, tmp_path):
  """Keras' older files have what trains first, and assign by place."""
  model = make(one_layer_source, "regression", tuning="full")
  model.save_weights(tmp_path / "x.h5")
  model.tune("adapters")
  with pytest.raises(ta.InputError, match="while other variables trained"):
    model.load_weights(tmp_path / "x.h5")
  model.save_weights(tmp_path / "x.weights.h5")
  model.tune("full")
  model.load_weights(tmp_path / "x.h5")
  model.load_weights(tmp_path / "x.weights.h5")


def test_a_loaded_model_trains_what_it_is_tuned_to(one_layer_source, tmp_path):
  model = make(one_layer_source, "regression")
  model.compile("adam", model.loss_function)
  inputs, labels = inputs_of(model), np.ones([3], np.float32)
  model.fit(inputs, labels, verbose=0)
  model.save(tmp_path / "x.keras")
  again = tf_keras.models.load_model(tmp_path / "x.keras")
  assert int(again.optimizer.iterations) == 1
  again.tune("full")
  again.run_eagerly = True
  before = {name: variable.numpy()
            for name, variable in again.named_variables().items()}
  again.fit(inputs, labels, verbose=0)
  moved = {name for name, variable in again.named_variables().items()
           if (variable.numpy() != before[name]).any()}
  assert "word_embeddings/embeddings" in moved
  assert moved <= again.tuned_variables().keys()


@pytest.mark.slow
def test_a_training_that_was_stopped_goes_on(one_layer_source, tmp_path):
  """BackupAndRestore: as long as the training was not over."""
  inputs, labels = None, np.array([0, 1, 1])
  losses = []
  for stops in (True, False, None):
    tf_keras.utils.set_random_seed(3)
    model = make(one_layer_source, "classification")
    inputs = inputs_of(model)
    model.compile(tf_keras.optimizers.Adam(1e-2), model.loss_function)

    def stop(epoch, logs, stops=stops):
      if epoch == 1 and stops:
        raise KeyboardInterrupt

    callbacks = [] if stops is None else [
        tf_keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))]
    callbacks.append(tf_keras.callbacks.LambdaCallback(on_epoch_begin=stop))
    try:
      model.fit(inputs, labels, epochs=3, verbose=0, shuffle=False,
                callbacks=callbacks)
    except KeyboardInterrupt:
      continue
    losses.append(model.evaluate(inputs, labels, verbose=0))
  assert losses[0] == pytest.approx(losses[1], rel=1e-4)
