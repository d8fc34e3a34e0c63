"""Devices that compute are named, and a line says where they may surprise."""

import types

import pytest
import tensorflow as tf

from tf_adapters.training import distribution


def machine(monkeypatch, gpus=0, driver=None):
  """TensorFlow sees so many GPUs; the driver has left a file, or has not."""
  found = [types.SimpleNamespace(name=f"/physical_device:GPU:{number}")
           for number in range(gpus)]
  monkeypatch.setattr(
      tf.config, "list_physical_devices",
      lambda kind=None: found if kind == "GPU" else [])
  monkeypatch.setattr(
      tf.config.experimental, "get_device_details",
      lambda gpu: {"device_name": "Tesla T4"})
  monkeypatch.setattr(distribution, "_NVIDIA", (str(driver),))


def strategy(*devices):
  return types.SimpleNamespace(
      extended=types.SimpleNamespace(worker_devices=devices))


CPU = "/job:localhost/replica:0/task:0/device:CPU:0"
GPU = "/job:localhost/replica:0/task:0/device:GPU:1"


@pytest.mark.parametrize("name, replicas, gpus, said", [
    ("off", None, 0, []),
    ("mirrored", None, 0, ["distribution_strategy=mirrored: no GPU was found, "
                           "so a replica computes on the CPU"]),
    ("one_device", None, 0, ["distribution_strategy=one_device: no GPU"]),
    ("multi_worker_mirrored", None, 0, ["no GPU was found"]),
    ("mirrored", 2, 0, []),  # asked for
    ("mirrored", None, 2, []),
    ("off", None, 1, []),
    ("off", None, 4, ["distribution_strategy=off computes on one of 4 GPUs"]),
    ("one_device", None, 2, ["computes on one of 2 GPUs"]),
])
def test_notes(monkeypatch, tmp_path, name, replicas, gpus, said):
  machine(monkeypatch, gpus, tmp_path / "none")
  notes = distribution.notes(strategy(CPU), name, replicas)
  assert len(notes) == len(said)
  assert all(part in note for part, note in zip(said, notes))


@pytest.mark.parametrize("name", ["off", "mirrored"])
def test_a_gpu_that_tensorflow_does_not_see(monkeypatch, tmp_path, name):
  machine(monkeypatch, 0, tmp_path)
  assert "pip install 'tensorflow[and-cuda]" in distribution.notes(
      strategy(CPU), name, None)[-1]


def test_names(monkeypatch, tmp_path):
  assert distribution.devices(tf.distribute.get_strategy()) == ["CPU:0"]
  machine(monkeypatch, 2, tmp_path)
  monkeypatch.setattr(tf.distribute, "has_strategy", lambda: True)
  assert distribution.devices(strategy(CPU, GPU)) == [
      "CPU:0", "GPU:1 (Tesla T4)"]
