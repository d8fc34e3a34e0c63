"""Runs that are stopped, damaged or at odds: what is lost, and what is said."""

import contextlib
import dataclasses
import errno
import fcntl
import json
import multiprocessing
import os
import pathlib
import random
import shutil
import signal
import sys
import time

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

import tf_adapters as ta
from tests.conftest import (
    TINY,
    lowest,
    write_hugging_face,
    write_sentiment,
)
from tests.full_disks import largest_file
from tf_adapters.files.writing import (
    locked,
    replaced_file,
    replaced_folder,
    write_file,
)
from tf_adapters.modeling.models import TextClassifier
from tf_adapters.tools import glue
from tf_adapters.training import bookkeeping
from tf_adapters.training.run import run
from tf_adapters.training.run_config import GlueRunConfig
from tf_adapters.training.run_state import RunState


@pytest.fixture(scope="module")
def module_config(one_layer_source, tmp_path_factory):
  return GlueRunConfig(
      task_name="tsv", encoder=str(one_layer_source), output_dir="",
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
  """The outcome of a run to which nothing happens."""
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
        bookkeeping.Bookkeeping, "on_train_batch_begin", send, raising=False)
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
    (3, signal.SIGTERM, SystemExit), pytest.param(
        6, signal.SIGINT, KeyboardInterrupt, marks=pytest.mark.slow)])
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


@pytest.mark.parametrize("name, damage, to_the_end", [
    ("ckpt-5.data-00000-of-00001", lambda path: path.write_bytes(
        path.read_bytes()[:-1000]), False),
    ("ckpt-5.data-00000-of-00001", garble, True),
    ("ckpt-5.data-00000-of-00001", pathlib.Path.unlink, False),
    ("ckpt-5.index", garble, False),
    ("ckpt-5.index", lambda path: path.write_bytes(b""), False),
    ("checkpoint", lambda path: path.write_bytes(b"\xff{"), False),
    ("checkpoint", pathlib.Path.unlink, True),
])
def test_damaged_checkpoints_cost_a_few_steps(
    stopped, whole, name, damage, to_the_end, monkeypatch, capsys):
  damage(pathlib.Path(stopped.output_dir, "checkpoints", name))
  if to_the_end:
    assert_goes_on_to(whole, stopped)
  else:

    def end(self, batch, logs=None):
      assert self._progress.steps == (5 if name == "checkpoint" else 4)
      raise EOFError

    monkeypatch.setattr(
        bookkeeping.Bookkeeping, "on_train_batch_begin", end, raising=False)
    with pytest.raises(EOFError):
      run(stopped)
  output, errors = capsys.readouterr()
  if name == "checkpoint":
    assert "Resuming after step 5" in output
  else:
    assert "Resuming after step 4" in output
    assert "ckpt-5: damaged, the checkpoint before is taken" in errors


def test_the_best_epoch_comes_back_whole_or_not_at_all(encoder, tmp_path):
  model = TextClassifier(encoder, ["no", "yes"])
  model.compile(ta.create_optimizer(0.1, 10), model.loss_function)
  state = RunState(model, tmp_path / "checkpoints")
  kernel = model.head.linear.kernel
  before = kernel.numpy()
  state.save_best()
  kernel.assign_add(tf.ones_like(kernel))
  state.assign_best()
  np.testing.assert_array_equal(kernel, before)
  garble(tmp_path / "checkpoints" / "best")
  with pytest.raises(ta.InputError, match="best: damaged: remove .*checkpoint"):
    state.assign_best()
  (tmp_path / "checkpoints" / "best").unlink()
  with pytest.raises(ta.InputError, match="best: cannot be read: No such fil"):
    state.assign_best()


@pytest.mark.parametrize("epoch", [
    pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_best_epoch_that_was_not_kept_is_kept_again(
    config, whole, monkeypatch, epoch):
  """It is that of the checkpoint, and not one that a lost epoch had."""
  save_best = RunState.save_best

  def killed(self):
    if len(self.progress.history) == epoch:
      assert self.folder.joinpath("checkpoint").exists()
      raise EOFError
    save_best(self)

  # Each epoch is better than the one before.
  monkeypatch.setattr(bookkeeping.Bookkeeping, "_is_best", lambda *_: True)
  monkeypatch.setattr(RunState, "save_best", killed)
  with pytest.raises(EOFError):
    run(config)
  monkeypatch.setattr(RunState, "save_best", save_best)
  run(config)
  last = dataclasses.replace(config, output_dir=f"{config.output_dir}2")
  run(last)
  for name, array in tensors(config).items():
    np.testing.assert_array_equal(array, tensors(last)[name], err_msg=name)


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


def test_leftovers_of_killed_writers_go(tmp_path):
  """Wherever they were killed, what is there is whole, and then alone."""

  class Killed(BaseException):
    """Ends a writer without its own cleaning up."""

  def fill(folder, content):
    for number in range(2):
      write_file(folder / f"{number}", content)

  def unless_killed(function, calls):
    def call(*arguments, **options):
      if next(calls, None) is None:
        raise Killed
      return function(*arguments, **options)
    return call

  def write(killed_at):
    calls = iter(range(killed_at))
    with pytest.MonkeyPatch.context() as patched:
      for module, name in ((os, "fsync"), (os, "replace"), (shutil, "rmtree"),
                           (pathlib.Path, "rename"), (pathlib.Path, "unlink")):
        patched.setattr(module, name, unless_killed(
            getattr(module, name), calls))
      with replaced_folder(tmp_path / "some.folder") as folder:
        fill(folder, "new")
      write_file(tmp_path / "file", "new")

  killed_at = 0
  while True:
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    (tmp_path / ".hidden").touch()
    (tmp_path / "some.folder").mkdir()
    fill(tmp_path / "some.folder", "old")
    write_file(tmp_path / "file", "old")
    with contextlib.suppress(Killed):
      write(killed_at)
      break
    with locked(tmp_path):
      assert {path.name for path in tmp_path.iterdir()} == {
          ".hidden", "some.folder", "file"}
      assert {path.read_text() for path in (
          tmp_path / "some.folder").iterdir()} in ({"old"}, {"new"})
      assert (tmp_path / "file").read_text() in ("old", "new")
    killed_at += 1
  assert killed_at > 8


def test_what_is_being_written_stays(tmp_path):
  with locked(tmp_path, shared=True), replaced_file(tmp_path / "file") as file:
    file.write(b"whole")
    with pytest.raises(BlockingIOError), locked(tmp_path):
      pass
    with locked(tmp_path, shared=True):
      pass
  assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_file_systems_without_locks_are_said(tmp_path, monkeypatch, capsys):
  def flock(*_):
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

  monkeypatch.setattr(fcntl, "flock", flock)
  with locked(tmp_path), locked(tmp_path, shared=True):
    pass
  assert "cannot be locked (Operation not supported): another run in it " in (
      capsys.readouterr().err)


def content_of(folder):
  return {path: path.read_bytes() for path in pathlib.Path(folder).rglob("*")
          if path.is_file() and "tensorboard" not in path.parts}


def hidden_in(folder):
  return [path for path in pathlib.Path(folder).rglob("*")
          if path.name.startswith(".") or "temp" in path.name
          or ".tmp" in path.name]


@pytest.mark.slow
def test_a_full_disk_is_said_and_nothing_is_half_written(
    config, whole, monkeypatch):
  config = dataclasses.replace(config, do_predict=True)
  for part in ("flags.flags", "best", "adapter", "predictions", "results.json"):
    def fsync(descriptor, part=part):
      if f"/.{part}." in os.readlink(f"/proc/self/fd/{descriptor}"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
      patched.setattr(os, "fsync", fsync)
      with pytest.raises(ta.InputError, match=(
          ".*cannot be written: No space left on device$")):
        run(config)
    assert not hidden_in(config.output_dir)
    assert not list(pathlib.Path(config.output_dir).rglob(part))
  assert_goes_on_to(whole, config)


def test_logs_that_can_not_be_written_are_said(stopped):
  logs = pathlib.Path(stopped.output_dir, "tensorboard")
  shutil.rmtree(logs, ignore_errors=True)
  logs.touch()
  with pytest.raises(
      ta.InputError, match=f"^{logs}: cannot be written: ") as error:
    run(stopped)
  assert "\n" not in str(error.value)


def test_files_that_become_too_large_leave_the_state_before(stopped, whole):
  before = content_of(pathlib.Path(stopped.output_dir, "checkpoints"))
  for size, part in ((100, "output_dir"), (4_000, "checkpoints")):
    with largest_file(size), pytest.raises(
        ta.InputError, match=f"{part}.*cannot be written") as error:
      run(stopped)
    assert "\n" not in str(error.value)
    after = content_of(stopped.output_dir)
    for path, content in before.items():
      # Which checkpoint is the newest is written anew at every start.
      assert after[path] == content or path.name == "checkpoint"
    assert not hidden_in(stopped.output_dir)
  assert_goes_on_to(whole, stopped)


def test_a_folder_that_came_meanwhile_is_another_run_s(config, monkeypatch):
  folder = pathlib.Path(config.output_dir)
  load_task = GlueRunConfig.load_task

  def load(self, labels=None):
    folder.mkdir()
    (folder / "flags.flags").write_text("--seed=0\n")
    return load_task(self, labels)

  monkeypatch.setattr(GlueRunConfig, "load_task", load)
  with pytest.raises(ta.InputError, match="been at work in it meanwhile"):
    run(config)
  assert [path.name for path in folder.iterdir()] == ["flags.flags"]


def test_a_folder_that_can_not_be_written_is_said(config, tmp_path):
  (tmp_path / "file").touch()
  for folder, message in (
      (tmp_path / "file" / "run", f"{tmp_path}/file: is a file, not a folder"),
      (pathlib.Path("/proc/run"), "/proc/run: cannot be written: No such file")
  ):
    with pytest.raises(ta.InputError, match=f"^output_dir {message}"):
      run(dataclasses.replace(config, output_dir=str(folder)))


def call_tool(config, killed_at):
  """Is a process; perhaps one that dies when it brings its n-th file to disk.
  """
  sys.argv = ["tf-adapters glue", *config.flag_lines()]
  os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
  calls, fsync = iter(range(killed_at)), os.fsync

  def call(descriptor):
    if next(calls, None) is None:
      os.kill(os.getpid(), signal.SIGKILL)
    fsync(descriptor)

  os.fsync = call
  glue.main()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment_it_ends_with_the_same_numbers(
    module_config, bert_weights, vocab_file, tmp_path, seed):
  # One layer to be cached, and one to be trained.
  encoder = write_hugging_face(
      tmp_path / "bert", TINY | dict(num_hidden_layers=2),
      lowest(bert_weights, 2), vocab_file)
  # Processes of a server that has TensorFlow loaded: imports are no news.
  processes = multiprocessing.get_context("forkserver")
  processes.set_forkserver_preload([__name__])
  many = 10**9

  def call(config, killed_at=many, seconds=None):
    process = processes.Process(target=call_tool, args=(config, killed_at))
    process.start()
    process.join(seconds)
    process.kill()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode == 0

  def config_in(folder):
    return dataclasses.replace(
        module_config, output_dir=str(tmp_path / folder / "run"),
        prefix_cache_dir=str(tmp_path / folder / "cache"), prefix_cache=True,
        encoder=str(encoder), adapter_layers=(1,),
        save_checkpoints_steps=1, do_predict=True)

  def assert_whole(config):
    folder = pathlib.Path(config.output_dir).parent
    assert not hidden_in(folder)
    results, expected = (json.loads(pathlib.Path(
        one.output_dir, "results.json").read_text())
                         for one in (config, config_in("whole")))
    for name in ("metrics", "epochs", "steps", "evaluated_rows"):
      assert results[name] == expected[name]
    for name, array in tensors(config_in("whole")).items():
      np.testing.assert_array_equal(tensors(config)[name], array, name)
    for name in ("predictions", "adapter", "checkpoints"):
      assert sorted(p.name for p in folder.glob(f"run/{name}/*")) == sorted(
          p.name for p in tmp_path.glob(f"whole/run/{name}/*"))

  assert call(config_in("loaded"))
  started = time.monotonic()
  assert call(config_in("whole"))
  seconds = time.monotonic() - started
  rng = random.Random(seed)
  folder = kills = 0
  while kills < 10:
    config = config_in(f"{folder}")
    if kills % 2:
      ended = call(config, seconds=rng.uniform(0.3, 1) * seconds)
    else:
      ended = call(config, killed_at=rng.randrange(12))
    if ended:
      assert_whole(config)
      folder += 1
    else:
      kills += 1
  assert call(config)
  assert_whole(config)
