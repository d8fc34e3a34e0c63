"""Adapter files of the version before predict what they did there.

written_by_0_1/README.md says how they were made.
"""

import json
import pathlib

import numpy as np
import pytest
import safetensors.numpy
import scipy.special

import tf_adapters as ta
from tests.adapter_files.written_by_0_1.make import OWN_ENCODER, TASKS, texts

FOLDER = pathlib.Path(__file__).parent / "written_by_0_1"
WRITTEN = json.loads((FOLDER / "predictions.json").read_text())
# The same bits where they were made. Another processor, or another build of
# TensorFlow, adds up in another order: 2e-6 apart without AVX-512.
TOLERANCE = dict(rtol=1e-6, atol=5e-6)


@pytest.mark.parametrize("name", TASKS)
def test_a_model_predicts_what_it_did(name):
  model = ta.load_adapter(FOLDER / name, FOLDER / "encoder")
  variables = model.named_variables()
  held = safetensors.numpy.load_file(FOLDER / name / "adapter.safetensors")
  for variable, array in held.items():
    np.testing.assert_array_equal(variables[variable].numpy(), array)
  text = model.encoder.text_processor(model.task.max_length)
  np.testing.assert_allclose(
      model(text(*texts(name))).numpy(), WRITTEN["logits"][name], **TOLERANCE)


@pytest.fixture(scope="module")
def bank():
  bank = ta.AdapterBank(FOLDER / "encoder", [
      FOLDER / name for name in TASKS if name not in (*OWN_ENCODER, "head")])
  bank.add(FOLDER / "head")
  return bank


def test_a_mixed_batch_predicts_what_it_did(bank):
  # JSON has no pairs.
  rows = [tuple(text) if isinstance(text, list) else text
          for text in WRITTEN["texts"]]
  labels = bank.predict(rows, WRITTEN["tasks"])
  assert as_json(labels) == approximately(WRITTEN["predict"])
  probabilities = bank.predict_proba(rows, WRITTEN["tasks"])
  assert as_json(probabilities) == approximately(WRITTEN["predict_proba"])


def as_json(values):
  return json.loads(json.dumps(values))


def approximately(value):
  if isinstance(value, float):
    return pytest.approx(value, rel=1e-5, abs=1e-6)
  if isinstance(value, list):
    return [approximately(item) for item in value]
  if isinstance(value, dict):
    return {key: approximately(item) for key, item in value.items()}
  return value


# Version 0.1 refused these two: banks hold poolers of tasks since.
POOLERS = ("pooler", "layer_norm_pooler")


@pytest.mark.parametrize(
    "name", [name for name in OWN_ENCODER if name not in POOLERS])
def test_a_bank_refuses_what_changes_the_encoder(name, bank):
  with pytest.raises(ta.InputError, match="changes the encoder itself"):
    bank.add(FOLDER / name)


def test_a_bank_has_poolers_of_tasks():
  bank = ta.AdapterBank(FOLDER / "encoder", [FOLDER / n for n in POOLERS])
  [rows] = texts("pooler")
  first, second = (np.array(WRITTEN["logits"][name]) for name in POOLERS)
  np.testing.assert_allclose(
      [list(row.values()) for row in bank.predict_proba(rows, "pooler")],
      scipy.special.softmax(first, -1), **TOLERANCE)
  np.testing.assert_allclose(
      bank.predict(rows, "layer_norm_pooler"), second[:, 0], **TOLERANCE)
