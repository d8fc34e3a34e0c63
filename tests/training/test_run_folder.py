"""results.json of this version and of those before."""

import json

from tf_adapters.training.run_folder import read_results

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
