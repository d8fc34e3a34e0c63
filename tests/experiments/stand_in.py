"""Sweeps for tests, and a stand-in for the trainer that is called in them."""

import pathlib
import stat
import sys
import time

PYTHON = sys.executable
ROOT = pathlib.Path(__file__).parents[2]

# Called as `python -m tf_adapters glue --flagfile=FILE`. Scores by its rate; a
# rate above 1 is an error, as long as there is no file `mended`. Works as long
# as there is a file `slow`; with a rate below 0.25, behind its first epoch, as
# long as there is a file `stuck`.
STAND_IN = '''#!{python} -SE
import json, os, pathlib, signal, sys, time
flag_file = pathlib.Path(sys.argv[-1].removeprefix("--flagfile="))
lines = flag_file.read_text().splitlines()
flags = dict(line[2:].split("=", 1) for line in lines)
here = pathlib.Path("{folder}")
folder = pathlib.Path(flags["output_dir"])
rate = float(flags["learning_rate"])
def stopped(*_):
  (folder / "saved").write_text("")
  sys.exit(143)
signal.signal(signal.SIGTERM, stopped)
folder.mkdir(exist_ok=True)
(folder / "flags.flags").write_text(flag_file.read_text())
with open(here / "starts", "a") as file:
  file.write(str(folder) + " " + os.environ.get("TF_NUM_INTRAOP_THREADS", "-")
             + "\\n")
print("at work", flush=True)
while (here / "slow").exists():
  time.sleep(0.02)
if rate > 1 and not (here / "mended").exists():
  print("error: the loss is not finite", file=sys.stderr)
  sys.exit(1)
score = {{"accuracy": rate + 0.01 * int(flags["seed"])}}
(folder / "checkpoints").mkdir(exist_ok=True)
(folder / "checkpoints" / "epochs.json").write_text(
    json.dumps({{"epochs": [{{"validation": score}}]}}))
while rate < 0.25 and (here / "stuck").exists():
  time.sleep(0.02)
(folder / "adapter").mkdir()
(folder / "results.json").write_text(json.dumps({{
    "task": "tsv", "tuning": "adapters", "hyperparameters": {{}},
    "metrics": {{"validation": score, "test": score}},
    "epochs": [{{"validation": score}}] * 3, "steps": 3, "evaluated": True,
    "best_epoch": 0, "seconds": {{"total": 1.0}},
    "parameters": {{"trained": 1, "total": 2}}}}))
'''


def write_stand_in(folder):
  """Returns a program that takes Python's place."""
  script = folder / "python"
  script.write_text(STAND_IN.format(python=sys.executable, folder=folder))
  script.chmod(script.stat().st_mode | stat.S_IXUSR)
  return script


def spec_of(folder, rates, selection_seeds=(0, 1)):
  return f"""
flags: {{data_dir: "{folder}", num_train_epochs: 3}}
tasks: {{mine: {{task_name: tsv}}}}
seeds: [0, 1]
selection_seeds: {list(selection_seeds)}
methods:
  a: {{learning_rate: {rates}}}
"""


def starts(stand_in):
  path = stand_in / "starts"
  return path.read_text().splitlines() if path.exists() else []


def tables(tmp_path):
  return {path.name: path.read_bytes()
          for path in (tmp_path / "sweep").iterdir() if path.is_file()}


def adapters(tmp_path):
  return {path.parent.relative_to(tmp_path / "sweep" / "trials").as_posix()
          for path in (tmp_path / "sweep").rglob("adapter")}


def wait_for(condition):
  until = time.monotonic() + 300
  while not condition():
    assert time.monotonic() < until
    time.sleep(0.02)


REAL = """
flags:
  encoder: "{encoder}"
  data_dir: "{data}"
  max_seq_length: 24
  train_batch_size: 8
  holdout: 0.25
tasks:
  mine: {{task_name: tsv}}
seeds: [0]
methods:
  adapters:
    adapter_size: 4
    learning_rate: [0.02, 1e-6]
"""


def real_sweep(tmp_path, hf_source, data, *more):
  path = tmp_path / "spec.yaml"
  path.write_text(REAL.format(encoder=hf_source, data=data))
  return [sys.executable, "-m", "tf_adapters", "sweep", f"--spec={path}", *more]
