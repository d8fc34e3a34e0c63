"""Reports on sweeps with damage of any kind: one line, and no trace."""

import json
import math
import pathlib
import random
import shutil

import pytest

from tests.experiments.made_up import MadeUp, write_sweep
from tf_adapters.errors import InputError
from tf_adapters.experiments.report import make_report

ODD = [
    None, True, False, 0, -1, 1, 3.5, 1e308, -1e308, math.nan, math.inf, 10**30,
    "", "x", "\ud800", "../x", "a\nb", "1e999", "<b>", "|", "$x^", "\0",
    "\x1b[31m", "x" * 5000, "top_layers:99999999999", [], {}, [[]], [1],
    {"a": 1}, {"a": {"b": "c"}}, ["x"] * 3, {"": ""}]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
  folder = tmp_path_factory.mktemp("sweep") / "sweep"
  trials = [
      MadeUp(task, method, seed, settings,
             {"validation": {metric: 0.5, "loss": 1.0}, "test": {metric: 0.4}},
             flags={"holdout": "0.1"})
      for task, metric in (("rte", "accuracy"), ("cola", "matthews_corr"))
      for method, settings in (("full", {"tuning": "full"}),
                               ("adapters", {"adapter_size": "8"}))
      for seed in (0, 1)]
  trials += [MadeUp("mrpc", "full", 0, {"tuning": "full"}, None, error="why"),
             MadeUp("mrpc", "full", 1, {"tuning": "full"}, None)]
  write_sweep(folder, trials)
  stopped = folder / f"{trials[-1].folder}.stopped"
  stopped.parent.mkdir(parents=True)
  stopped.write_text('{"epoch": 1, "score": 0.3}')
  make_report([str(folder)])
  return folder


def places(value, place=()):
  """Where there is something in JSON."""
  if place:
    yield place
  keys = (value if isinstance(value, dict)
          else range(len(value)) if isinstance(value, list) else ())
  for key in keys:
    yield from places(value[key], (*place, key))


def mutate(rng, text):
  """Other JSON: something is gone, called otherwise or another thing."""
  values = json.loads(text)
  for _ in range(rng.randint(1, 2)):
    found = list(places(values))
    if not found:
      break
    *path, key = rng.choice(found)
    parent = values
    for step in path:
      parent = parent[step]
    kind = rng.random()
    if kind < 0.2:
      del parent[key]
    elif kind < 0.3 and isinstance(parent, dict):
      parent[rng.choice(["x", "", "a\nb", "\ud800", "$", "seed"])] = (
          parent.pop(key))
    else:
      parent[key] = rng.choice(ODD)
  return json.dumps(values).encode()


def garble(rng, content):
  content = bytearray(content)
  for _ in range(rng.randint(1, 5)):
    content[rng.randrange(len(content))] = rng.randrange(256)
  return bytes(content)


def damage(rng, file):
  content = file.read_bytes()
  kind = rng.random()
  if file.suffix != ".flags" and kind < 0.7:
    file.write_bytes(mutate(rng, content))
  elif kind < 0.85:
    file.write_bytes(garble(rng, content))
  else:
    file.unlink()
    rng.choice([
        lambda: None, file.mkdir, file.touch,
        lambda: file.write_bytes(content[:rng.randrange(1, 40)]),
        lambda: file.write_text("{}"),
        lambda: file.write_text("--\n--=\n=\n--x=\0\n")])()


@pytest.mark.parametrize("seed, times", [
    (0, 50), pytest.param(1, 2000, marks=pytest.mark.slow)])
def test_any_damage_is_one_line(sweep, tmp_path, seed, times):
  rng = random.Random(seed)
  files = sorted(path.relative_to(sweep) for path in sweep.rglob("*")
                 if path.is_file())
  refused = 0
  for number in range(times):
    folder = shutil.copytree(sweep, tmp_path / str(number))
    name = rng.choice([pathlib.Path("sweep.json"), rng.choice(files)])
    damage(rng, folder / name)
    try:
      make_report([str(folder)])
    except InputError as error:
      assert "\n" not in str(error)
      assert str(folder) in str(error)
      refused += 1
    shutil.rmtree(folder)
  assert refused > times / 4


def test_other_metrics_than_those_of_other_trials(sweep, tmp_path):
  folder = shutil.copytree(sweep, tmp_path / "sweep")
  file = sorted(folder.glob("trials/rte/*/seed=1/results.json"))[0]
  results = json.loads(file.read_text())
  del results["metrics"]["validation"]["loss"]  # of an older version
  file.write_text(json.dumps(results))
  make_report([str(folder)])
  results["metrics"]["validation"] = {"f1": 0.9}
  file.write_text(json.dumps(results))
  with pytest.raises(InputError, match=(
      "seed=1: its first metric on the validation split is .*seed=0 ")):
    make_report([str(folder)])
