"""Lines that a training writes into a log file."""

import types

import pytest

from tf_adapters.training import epoch_lines
from tf_adapters.training.epoch_lines import EpochLines
from tf_adapters.training.run_state import Progress


def test_a_line_an_epoch_and_every_few_minutes(monkeypatch, capsys):
  now = [0.0]
  monkeypatch.setattr(epoch_lines.time, "monotonic", lambda: now[0])
  progress = Progress()
  lines = EpochLines(progress, steps_per_epoch=4, epochs=2)
  lines.set_model(types.SimpleNamespace(
      stop_training=False, optimizer=types.SimpleNamespace(learning_rate=3e-4)))
  lines.on_train_begin()
  for epoch in range(2):
    for batch in range(4):
      now[0] += 60
      progress.steps += 1
      lines.on_train_batch_end(batch, {"loss": 0.5})
    lines.on_epoch_end(epoch, {"loss": 0.25, "val_f1": 0.75})
  assert capsys.readouterr().out.splitlines() == [
      "epoch 1 of 2, step 3 of 4: loss 0.5000, learning rate 0.0003, 3 min so "
      "far, 5 min left",
      "epoch 1 of 2: loss 0.2500, val_f1 0.7500, learning rate 0.0003, 4 min "
      "so far, 4 min left",
      "epoch 2 of 2, step 3 of 4: loss 0.5000, learning rate 0.0003, 7 min so "
      "far, 60 s left",
      "epoch 2 of 2: loss 0.2500, val_f1 0.7500, learning rate 0.0003, 8 min "
      "so far",
  ]


@pytest.mark.parametrize("has_bar", [False, True])
def test_a_long_training_says_how_long_it_takes(monkeypatch, capsys, has_bar):
  now = [0.0]
  monkeypatch.setattr(epoch_lines.time, "monotonic", lambda: now[0])
  progress = Progress()
  lines = EpochLines(progress, 30, 10, "fewer are a first look", has_bar)
  lines.set_model(types.SimpleNamespace(
      stop_training=False, optimizer=types.SimpleNamespace(learning_rate=3e-4)))
  lines.on_train_begin()
  for step in range(30):
    now[0] += 40 if step in (0, 5) else 1  # two of them compile
    progress.steps += 1
    lines.on_train_batch_end(step, {"loss": 0.5})
  now[0] += 20  # the validation, which compiles, too; there are nine more
  lines.on_epoch_end(0, {"loss": 0.25})
  assert capsys.readouterr().out.splitlines() == [
      *[""] * has_bar,
      "training takes 5 min more, by its first steps; fewer are a first look",
      *["epoch 1 of 10: loss 0.2500, learning rate 0.0003, 2 min so far, 7 min "
        "left"] * (not has_bar)]


def test_time_left_of_a_run_that_was_resumed_goes_by_its_own_steps(
    monkeypatch, capsys):
  now = [0.0]
  monkeypatch.setattr(epoch_lines.time, "monotonic", lambda: now[0])
  # What was before the stop counts; each call of fit begins a training.
  progress = Progress(steps=6, train_seconds=50, evaluate_seconds=10)
  lines = EpochLines(progress, steps_per_epoch=4, epochs=3)
  lines.set_model(types.SimpleNamespace(
      stop_training=False, optimizer=types.SimpleNamespace(learning_rate=1e-5)))
  lines.on_train_begin()
  now[0], progress.steps = 20.0, 8
  lines.on_epoch_end(1, {"loss": 0.25})
  lines.on_train_begin()
  now[0], progress.steps = 60.0, 12
  lines.on_epoch_end(2, {"loss": 0.25})
  assert capsys.readouterr().out.splitlines() == [
      "epoch 2 of 3: loss 0.2500, learning rate 1e-05, 80 s so far, 40 s left",
      "epoch 3 of 3: loss 0.2500, learning rate 1e-05, 2 min so far"]
