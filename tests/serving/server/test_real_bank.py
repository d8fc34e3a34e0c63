"""A server on a bank that computes, and as a process."""

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import httpx
import pytest

import tf_adapters as ta
from tests.adapters import make
from tf_adapters.data.squad_options import SquadOptions
from tf_adapters.serving.server.answers import as_pipeline
from tf_adapters.serving.server.application import make_application
from tf_adapters.serving.server.asked import Answer
from tf_adapters.serving.server.core import ModelServer
from tf_adapters.serving.server.limits import ServerConfig

# Without adapters: a graph that is traced soon.
KINDS = (("classification", "abc", False), ("multi_label", "pq", False),
         ("tagging", ("O", "B-X", "I-X"), False), ("span", "", True),
         ("classification", "yn", True), ("regression", "", None))
TEXTS = ["the film is good", "bad", "he said so, very! " * 5, "", "not bad"]


@pytest.fixture(scope="module")
def files(one_layer_source, tmp_path_factory):
  """Adapter files of tasks of all types of problem, two of each."""
  folder = tmp_path_factory.mktemp("served")
  span = SquadOptions(doc_stride=4, max_query_length=6, n_best_size=3)
  return {
      f"t{number}": make(
          one_layer_source, folder / f"t{number}", None, problem, labels,
          "cls", "head", 20, pairs, number,
          span.to_dict() if problem == "span" else None)
      for number, (problem, labels, pairs) in enumerate(KINDS * 2)}


def inputs_of(bank, task, text):
  pairs = bank.info(task).takes_pairs
  return {"text": "is it good?", "text_pair": text} if pairs else text


def is_near(got, expected):
  """Whether answers are equal, but for the last digits of numbers."""
  if isinstance(got, float):
    return got == pytest.approx(expected, abs=1e-4)
  if isinstance(got, dict):
    return got.keys() == expected.keys() and all(
        is_near(got[key], expected[key]) for key in got)
  if isinstance(got, list):
    return len(got) == len(expected) and all(map(is_near, got, expected))
  return got == expected


@pytest.mark.parametrize("count", [
    150, pytest.param(2000, marks=pytest.mark.slow)])
def test_answers_are_the_offline_ones_while_tasks_come_and_go(
    one_layer_source, files, count):
  bank = ta.AdapterBank(str(one_layer_source), files)
  server = ModelServer(bank, ServerConfig(max_batch_rows=16, truncate=True))
  server.warm_up()
  inputs = {(task, text): inputs_of(bank, task, text)
            for task in files for text in TEXTS}
  expected = {}
  for (task, text), given in inputs.items():
    (prediction,) = bank.predictions(
        [tuple(given.values()) if isinstance(given, dict) else given], task)
    expected[task, text] = json.loads(json.dumps(
        as_pipeline(Answer(prediction, bank.info(task)), text, None)))
  rng = random.Random(0)
  stay = list(files)[:6]
  others = list(files)[6:]
  statuses = []

  async def scenario():
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(make_application(server)),
        base_url="http://server", timeout=60) as client:

      async def ask(task, text):
        return await client.post("/predict", json={
            "inputs": inputs[task, text], "task": task})

      async def check(number):
        await asyncio.sleep(number * 0.0005)
        key = rng.choice(list(files)), rng.choice(TEXTS)
        response = await ask(*key)
        statuses.append(response.status_code)
        if response.status_code == 404:
          assert key[0] in others
        else:
          assert response.status_code == 200, response.text
          assert is_near(response.json(), expected[key]), key

      async def change():
        while True:
          task = rng.choice(others)
          if task in bank.names() and rng.random() < 0.5:
            await server.remove(task)
          else:  # or replaces it
            await server.add(files[task], task)

      changing = asyncio.ensure_future(change())
      await asyncio.gather(*map(check, range(count)))
      assert not changing.done()
      changing.cancel()

  asyncio.run(asyncio.wait_for(scenario(), 300))
  assert len(statuses) == count and statuses.count(200) > count / 3
  assert {*stay} <= {*bank.names()}
  assert server.figures()["queue_rows"] == 0
  server.close()


def test_tasks_of_a_store_are_loaded_for_requests(
    one_layer_source, tmp_path):
  for number in range(6):
    make(one_layer_source, tmp_path / f"s{number}", None, "classification",
         "abc", "mean", "head", 20, False, number)
  bank = ta.AdapterBank(str(one_layer_source), capacity=3, store=tmp_path)
  expected = {(name, text): bank.predict_proba([text], name)[0]
              for name in bank.names() for text in TEXTS}
  server = ModelServer(bank, ServerConfig(max_batch_rows=8, truncate=True))
  rng = random.Random(0)

  async def check():
    key = rng.choice(list(expected))
    (answer,) = await server.predict([key[1]], [key[0]])
    assert answer.prediction.probabilities == pytest.approx(
        expected[key], abs=1e-4)

  async def scenario():
    await asyncio.gather(*(check() for _ in range(60)))

  asyncio.run(asyncio.wait_for(scenario(), 60))
  figures = server.figures()
  assert figures["known_tasks"] == 6 and figures["resident_tasks"] == 3
  assert figures["evictions"] > 3
  server.close()


@pytest.fixture
def process(one_layer_source, files, tmp_path):
  """A server as a process: (process, URL, folder of its adapter files)."""
  folder = tmp_path / "adapters"
  folder.mkdir()
  for name in ("t0", "t4"):
    shutil.copytree(files[name], folder / name)
  (folder / "damaged").mkdir()
  (folder / "damaged" / "adapter_config.json").write_text("{}")
  token = tmp_path / "token"
  token.write_text("a token of the tests\n")
  started = subprocess.Popen(
      [sys.executable, "-m", "tf_adapters", "serve",
       f"--encoder={one_layer_source}", f"--adapters_dir={folder}", "--port=0",
       f"--admin_token_file={token}"], stdout=subprocess.PIPE,
      stderr=subprocess.PIPE, text=True, env=dict(os.environ))
  line = started.stdout.readline()
  if " serves 2 tasks: t0, t4" not in line:
    started.kill()
    pytest.fail(line + started.stderr.read())
  yield started, line.split()[0], folder
  if started.poll() is None:
    started.kill()
  started.wait()


def ask(url, task, inputs):
  """The status and the answer of a request."""
  request = urllib.request.Request(
      f"{url}/models/{task}", json.dumps({"inputs": inputs}).encode())
  try:
    with urllib.request.urlopen(request, timeout=60) as response:
      return response.status, json.load(response)
  except urllib.error.HTTPError as error:
    return error.code, json.load(error)


@pytest.mark.slow
def test_a_process_takes_what_comes_and_ends_when_it_is_told(
    process, files, tmp_path):
  started, url, folder = process
  host, port = url.removeprefix("http://").split(":")
  assert ask(url, "t0", "good")[0] == 200

  # A second one cannot have the port.
  second = subprocess.run(
      [sys.executable, "-m", "tf_adapters", "serve", f"--host={host}",
       f"--port={port}", f"--adapter={files['t1']}"],
      capture_output=True, text=True)
  assert second.returncode == 1
  assert second.stderr.splitlines()[-1].startswith(
      f"error: --host={host} --port={port}: Address already in use")

  # 100 MB, of which a client reads the answer.
  with socket.create_connection((host, int(port)), 30) as connection:
    connection.sendall(b"POST /models/t0 HTTP/1.1\r\nHost: x\r\n"
                       b"Content-Length: 100000000\r\n\r\n")
    for _ in range(100):
      connection.sendall(b" " * 1_000_000)
    assert connection.recv(100).startswith(b"HTTP/1.1 413")
  # Requests that are none, that stop midway, and whose answer nobody reads.
  body = json.dumps({"inputs": ["good"] * 200}).encode()
  for number, content in enumerate([
      b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/1.1\r\nHos",
      b"POST /models/t0 HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
      *[b"POST /models/t0 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
        % (len(body), body)] * 20]):
    connection = socket.create_connection((host, int(port)), 30)
    connection.sendall(content)
    if number % 2:
      connection.setsockopt(
          socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()
  assert ask(url, "t0", "good")[0] == 200

  # The folder is followed.
  assert ask(url, "t1", "good")[0] == 404
  shutil.copytree(files["t1"], folder / "t1")
  until = time.monotonic() + 30
  while (ask(url, "t1", "good")[0] in (404, 503)
         and time.monotonic() < until):
    time.sleep(0.2)
  assert ask(url, "t1", "good")[0] == 200

  # What has been accepted is answered after SIGTERM.
  results = []

  def keep_asking():
    while True:
      try:
        results.append(ask(url, "t0", ["the film is good"] * 100)[0])
      except OSError:  # it takes no connection any more
        return
      if results[-1] == 503:
        return

  threads = [threading.Thread(target=keep_asking) for _ in range(8)]
  for thread in threads:
    thread.start()
  time.sleep(1)
  started.send_signal(signal.SIGTERM)
  for thread in threads:
    thread.join(60)
  assert started.wait(60) == 0
  assert results.count(200) >= 8 and {*results} <= {200, 503}
  errors = started.stderr.read()
  assert "Traceback" not in errors
  first, second, *_, last = errors.splitlines()
  assert first == "loading the encoder and 3 tasks ..."
  assert errors.count("damaged") == 1 and second.startswith("warning: ")
  assert last == "draining: what was accepted is answered"
