"""Runs with other methods than bottleneck adapters."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest
import safetensors.numpy

import tf_adapters as ta
from tf_adapters.training import bookkeeping
from tf_adapters.training.run import run
from tf_adapters.training.run_config import GlueRunConfig


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("flags, method", [
    ({"method": "lora", "lora_rank": 2, "lora_dora": True,
      "lora_dropout": 0.2}, ta.LoraConfig(rank=2, dora=True, dropout=0.2)),
    ({"method": "ia3", "ia3_preset": "peft"}, ta.IA3Config.preset("peft"))])
def test_a_stopped_run_ends_with_the_same_numbers(
    one_layer_source, sentiment_dir, tmp_path, monkeypatch, flags, method):
  whole = GlueRunConfig(
      task_name="tsv", data_dir=str(sentiment_dir), do_train=True, do_eval=True,
      encoder=str(one_layer_source), output_dir=str(tmp_path / "whole"),
      max_seq_length=24, train_batch_size=8, num_train_epochs=2,
      learning_rate=0.02, save_checkpoints_steps=3, **flags)
  expected = run(whole)
  stopped = dataclasses.replace(whole, output_dir=str(tmp_path / "stopped"))
  end = bookkeeping.Bookkeeping.on_train_batch_end

  def stop(self, batch, logs=None):
    end(self, batch, logs)
    if self._progress.steps > 7:
      raise KeyboardInterrupt

  monkeypatch.setattr(bookkeeping.Bookkeeping, "on_train_batch_end", stop)
  with pytest.raises(KeyboardInterrupt):
    run(stopped)
  monkeypatch.undo()
  results = run(stopped)
  assert results["metrics"] == expected["metrics"]
  one, two = (safetensors.numpy.load_file(
      pathlib.Path(config.output_dir, "adapter", "adapter.safetensors"))
      for config in (whole, stopped))
  assert one.keys() == two.keys()
  for name, array in one.items():
    np.testing.assert_array_equal(array, two[name])
  saved = json.loads(pathlib.Path(
      stopped.output_dir, "adapter", "adapter_config.json").read_text())
  assert saved["adapter"] == method.to_dict()
