import pytest

from tests.experiments.stand_in import spec_of, write_stand_in
from tf_adapters.experiments import trial_process
from tf_adapters.experiments.local_runner import LocalRunner
from tf_adapters.experiments.spec_file import read_spec
from tf_adapters.experiments.sweep import run_sweep
from tf_adapters.experiments.trials import expand
from tf_adapters.tools import _flag_reader, glue


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
  """Trials become the stand-in's; returns its folder."""
  folder = tmp_path / "stand_in"
  folder.mkdir()
  (tmp_path / "train.tsv").write_text("text\tlabel\n")  # which it never reads
  monkeypatch.setattr(
      trial_process.sys, "executable", str(write_stand_in(folder)))
  return folder


@pytest.fixture
def sweep(tmp_path):
  """Runs a sweep of these rates, two seeds each."""
  output_dir = tmp_path / "sweep"

  def run(rates, max_parallel_trials=1, selection_seeds=(0, 1), runner=None,
          **changes):
    path = tmp_path / "spec.yaml"
    path.write_text(spec_of(tmp_path, rates, selection_seeds))
    spec = read_spec(path)
    trials = expand(spec, _flag_reader.FlagReader(glue), output_dir)
    return run_sweep(
        spec, trials, output_dir,
        runner or LocalRunner("glue", max_parallel_trials), **changes)

  return run
