"""Run folders that earlier versions have left."""

import json

import pytest

import tf_adapters as ta
from tf_adapters.training.run_config import GlueRunConfig
from tf_adapters.training.run_folder import read_results
from tf_adapters.training.run_plan import check_same_run

OLD = {"task": "t", "tuning": "adapters", "metrics": {}, "seconds": {},
       "parameters": {}, "hyperparameters": {}}


def test_epochs_of_older_runs_are_counted_from_1(tmp_path):
  path = tmp_path / "results.json"
  for written, read in ((dict(best_epoch=0), 1), (dict(best_epoch=None), None),
                        (dict(best_epoch=2, losses=[0.5, 0.4]), 2)):
    path.write_text(json.dumps(OLD | written))
    results = read_results(tmp_path)
    assert results["best_epoch"] == read
    # What is written again is read as what it is.
    path.write_text(json.dumps(results))
    assert read_results(tmp_path) == results


@pytest.mark.parametrize("preset", ["pfeiffer", "parallel"])
def test_a_preset_that_was_another_function_is_not_resumed(tmp_path, preset):

  def check(version, **flags):
    config = GlueRunConfig(task_name="tsv", do_train=True,
                           output_dir=str(tmp_path), **flags)
    (tmp_path / "flags.flags").write_text("\n".join(
        line for line in config.flag_lines()
        if version > 0.1 or not line.startswith("--method=")))
    check_same_run(config, tmp_path)

  check(0.2, adapter_preset=preset)
  check(0.1, adapter_preset=preset, tuning="full")
  check(0.1, adapter_preset="adapterhub_houlsby")
  with pytest.raises(ta.InputError, match="version 0.1, where adapter_preset="
                     f"{preset} was another function: finish it"):
    check(0.1, adapter_preset=preset)
