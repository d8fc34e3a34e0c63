"""Runs that are stopped, damaged or at odds: what is lost, and what is said."""

import dataclasses
import pathlib
import shutil
import signal

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

import tf_adapters as ta
from tests.conftest import write_sentiment
from tf_adapters.files import locked
from tf_adapters.modeling.models import TextClassifier
from tf_adapters.training import trainer
from tf_adapters.training.run import run
from tf_adapters.training.run_config import GlueRunConfig


@pytest.fixture(scope="module")
def module_config(hf_source, tmp_path_factory):
  return GlueRunConfig(
      task_name="tsv", encoder=str(hf_source), output_dir="",
      data_dir=str(write_sentiment(tmp_path_factory.mktemp("data"))),
      do_train=True, do_eval=True, adapter_size=4, max_seq_length=24,
      train_batch_size=8, num_train_epochs=2, learning_rate=0.02,
      save_checkpoints_steps=2)


@pytest.fixture
def config(module_config, tmp_path):
  return dataclasses.replace(module_config, output_dir=str(tmp_path / "run"))


def tensors(config):
  return safetensors.numpy.load_file(
      f"{config.output_dir}/adapter/adapter.safetensors")


@pytest.fixture(scope="module")
def whole(module_config, tmp_path_factory):
  """What a run comes to that nothing happens to."""
  config = dataclasses.replace(
      module_config, output_dir=str(tmp_path_factory.mktemp("whole") / "run"))
  run(config)
  return tensors(config)


def assert_goes_on_to(whole, config):
  run(config)
  for name, array in tensors(config).items():
    np.testing.assert_array_equal(array, whole[name], name)


def run_until(config, step, number):
  """A run that gets a signal during a step."""

  def send(self, batch, logs=None):
    if self._progress.steps == step - 1:
      signal.raise_signal(number)

  with pytest.MonkeyPatch.context() as patched:
    patched.setattr(
        trainer._Bookkeeping, "on_train_batch_begin", send, raising=False)
    run(config)


@pytest.fixture(scope="module")
def stopped_folder(module_config, tmp_path_factory):
  folder = tmp_path_factory.mktemp("stopped") / "run"
  with pytest.raises(KeyboardInterrupt):
    run_until(dataclasses.replace(module_config, output_dir=str(folder)),
              5, signal.SIGINT)
  return folder


@pytest.fixture
def stopped(config, stopped_folder):
  """A run that was stopped after its fifth step, with a checkpoint at 4."""
  shutil.copytree(stopped_folder, config.output_dir)
  assert checkpoints(config) == {"ckpt-4", "ckpt-5"}
  return config


def checkpoints(config):
  return {path.stem for path in pathlib.Path(
      config.output_dir, "checkpoints").glob("ckpt-*.index")}


# Within an epoch, and at the end of one.
@pytest.mark.parametrize("step, number, end", [
    (3, signal.SIGTERM, SystemExit), (6, signal.SIGINT, KeyboardInterrupt)])
def test_signals_save_the_state(config, whole, step, number, end, capsys):
  with pytest.raises(end) as ended:
    run_until(config, step, number)
  if end is SystemExit:
    assert ended.value.code == 128 + number
  assert f"stopped after step {step}: its state is saved" in (
      capsys.readouterr().err)
  assert f"ckpt-{step}" in checkpoints(config)
  assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
  assert_goes_on_to(whole, config)


def garble(path):
  content = bytearray(path.read_bytes())
  middle = len(content) // 2
  content[middle:middle + 40] = b"?" * 40
  path.write_bytes(content)


@pytest.mark.parametrize("name, damage", [
    ("ckpt-5.data-00000-of-00001", lambda path: path.write_bytes(
        path.read_bytes()[:-1000])),
    ("ckpt-5.data-00000-of-00001", garble),
    ("ckpt-5.data-00000-of-00001", pathlib.Path.unlink),
    ("ckpt-5.index", garble),
    ("ckpt-5.index", lambda path: path.write_bytes(b"")),
    ("checkpoint", lambda path: path.write_bytes(b"\xff{")),
    ("checkpoint", pathlib.Path.unlink),
])
def test_damaged_checkpoints_cost_a_few_steps(
    stopped, whole, name, damage, capsys):
  damage(pathlib.Path(stopped.output_dir, "checkpoints", name))
  assert_goes_on_to(whole, stopped)
  output, errors = capsys.readouterr()
  if name == "checkpoint":
    assert "Resuming after step 5" in output
  else:
    assert "Resuming after step 4" in output
    assert "ckpt-5: damaged, the checkpoint before is taken" in errors


def test_no_whole_checkpoint_is_said(stopped):
  for path in pathlib.Path(stopped.output_dir, "checkpoints").glob("*.index"):
    path.write_bytes(b"?")
  with pytest.raises(ta.InputError, match="none of its checkpoints can be re"):
    run(stopped)


def test_a_loss_that_is_not_finite_ends_the_run(stopped, whole, monkeypatch):
  with monkeypatch.context() as patched:
    patched.setattr(TextClassifier, "loss_function", property(
        lambda self: lambda labels, logits: tf.reduce_sum(logits) * np.nan))
    with pytest.raises(ta.InputError, match=(
        r"the loss, at learning rate 0\.\d+, is not a finite number after "
        "step 6: .*ckpt-5 has the last good state")):
      run(stopped)
  assert checkpoints(stopped) == {"ckpt-4", "ckpt-5"}
  assert_goes_on_to(whole, stopped)


def test_two_runs_do_not_share_a_folder(config):
  folder = pathlib.Path(config.output_dir)
  folder.mkdir()
  with locked(folder), pytest.raises(
      ta.InputError, match="run: another run is at work in it"):
    run(config)
  run(config)
