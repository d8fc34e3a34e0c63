"""The server on a Ray of this machine, where Ray is installed."""

import asyncio
import concurrent.futures
import contextlib
import json
import os
import pathlib
import shutil
import signal
import time
import types
import urllib.error
import urllib.request

import pytest

import tf_adapters as ta
from tests.adapters import TASKS, make
from tests.serving.server import test_folder_watch as folder_watch
from tests.serving.server.fake_bank import make_server
from tf_adapters.serving import ray_serve

PORT = 18431
TEXTS = [f"the film {number} is {word}" for number in range(10)
         for word in ("good", "bad", "very good", "so so")]


def call(path, body=None):
  """Status and answer."""
  request = urllib.request.Request(
      f"http://127.0.0.1:{PORT}{path}",
      None if body is None else json.dumps(body).encode(),
      {"Content-Type": "application/json"})
  try:
    with urllib.request.urlopen(request, timeout=60) as answer:
      return answer.status, json.load(answer)
  except urllib.error.HTTPError as error:
    return error.code, error.read().decode()


def names():
  _, models = call("/v1/models")
  return [model["id"] for model in models["data"]]


@pytest.fixture
def serve(monkeypatch):
  """Ray Serve, of two replicas' worth of CPUs."""
  monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
  monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # no token in ~/.ray
  serve = pytest.importorskip("ray.serve")
  import ray

  ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
  serve.start(http_options={"port": PORT})
  yield serve
  serve.shutdown()
  ray.shutdown()


def test_a_replica_serves_what_its_list_says_and_nothing_else(tmp_path):
  for name in ("a/one", "a/two", "b/three"):
    (tmp_path / name).mkdir(parents=True)
    folder_watch.write(tmp_path / name)
  server = make_server()
  replica = ray_serve.Tasks()
  replica.app = types.SimpleNamespace(
      state=types.SimpleNamespace(server=server, watch=None))

  async def names_after(user_config):
    await replica.reconfigure(user_config)
    return sorted(server.bank.names())

  async def scenario():
    of_a = {"adapters_dir": str(tmp_path / "a")}
    assert await names_after({"adapters": {"x": "x", "y": "y"}}) == ["x", "y"]
    assert await names_after({"adapters": {"y": "z"}}) == ["y"]
    assert await names_after(of_a) == ["one", "two"]
    shutil.rmtree(tmp_path / "a/two")
    assert await names_after(of_a) == ["one"]
    assert await names_after({"adapters_dir": str(tmp_path / "b")}) == ["three"]
    assert await names_after({"adapters_dir": str(tmp_path / "c")}) == ["three"]
    assert await names_after({"adapters": {"y": "z"}}) == ["y"]

  asyncio.run(scenario())


@pytest.mark.slow
def test_replicas_tasks_that_change_and_a_replica_that_dies(
    serve, one_layer_source, tmp_path):
  files = {name: str(make(one_layer_source, tmp_path / name, *TASKS[task],
                          seed=seed)) for seed, (name, task) in enumerate(
                              {"one": "topic", "two": "topic",
                               "three": "head"}.items())}
  bank = ta.AdapterBank(str(one_layer_source), files)

  def run(*tasks, **broken):
    serve.run(ray_serve.application({
        "encoder_source": str(one_layer_source), "deployment": {
            "num_replicas": 2, "ray_actor_options": {"num_cpus": 1},
            "health_check_period_s": 1, "user_config": {"adapters": {
                **{name: files[name] for name in tasks}, **broken}}}}))

  def right(task, text):
    """Whether the answer is the bank's."""
    status, answer = call("/predict", {"inputs": text, "task": task})
    assert status == 200, (status, answer)
    (expected,) = bank.predict_proba([text], task)
    return {row["label"]: row["score"] for row in answer} == pytest.approx(
        expected, abs=1e-5)

  run("one", "two")
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    asked = [(task, text) for text in TEXTS for task in ("one", "two")]
    assert all(pool.map(lambda row: right(*row), asked))
    # The list of tasks changes while they are asked.
    found = [pool.submit(right, "one", text) for text in TEXTS]
    run("one", "three", odd=str(tmp_path / "nothing"))
    assert all(future.result() for future in found)
    assert sorted(names()) == ["one", "three"]
    assert call("/predict", {"inputs": "good", "task": "two"})[0] == 404
    # A replica dies while it is asked. What it had accepted is answered with
    # an error and not lost in silence; what comes later is answered.
    pids = replica_pids()
    assert len(pids) == 2
    found = [pool.submit(call, "/predict", {"inputs": text, "task": "one"})
             for text in TEXTS * 5]
    time.sleep(0.1)
    os.kill(pids[0], signal.SIGKILL)
    codes = [future.result()[0] for future in found]
    assert set(codes) <= {200, 500}
    assert codes.count(200) > codes.count(500)
    end = time.monotonic() + 60
    while len(pids := replica_pids()) < 2:
      assert time.monotonic() < end
      time.sleep(0.5)
    assert all(pool.map(lambda text: right("three", text), TEXTS))


def replica_pids():
  """Processes of the replicas that this test has and that live."""
  parents, names = {}, {}
  for path in pathlib.Path("/proc").glob("[0-9]*"):
    with contextlib.suppress(OSError):
      parents[int(path.name)] = int(
          (path / "stat").read_text().rpartition(")")[2].split()[1])
      names[int(path.name)] = (path / "cmdline").read_text()

  def is_ours(pid):
    while pid > 1 and pid != os.getpid():
      pid = parents.get(pid, 0)
    return pid == os.getpid()

  return [pid for pid, name in names.items()
          if name.startswith("ray::ServeReplica") and is_ours(pid)]


def test_wrong_arguments_are_named():
  """Before anything is asked of Ray, which need not be installed."""
  for args, message in (
      ({}, "encoder_source is missing"),
      ({"encoder": "minilm_l6"}, "no argument 'encoder'; there is enc"),
      ({"encoder_source": "x", "dtype": "float16"},
       "dtype 'float16': encoders are offered in float32"),
      ({"encoder_source": "x", "deployment": {"user_config": {
          "tasks": {}}}}, "expected adapters or adapters_dir"),
      ({"encoder_source": "x", "deployment": {"user_config": {
          "adapters": ["a"]}}}, "adapters has to say the adapter file")):
    with pytest.raises(ta.InputError, match=message):
      ray_serve.application(args)
