"""A server on a bank that computes."""

import asyncio
import json
import random

import httpx
import pytest

import tf_adapters as ta
from tests.adapters import make
from tf_adapters.data.squad_options import SquadOptions
from tf_adapters.serving.server.answers import as_pipeline
from tf_adapters.serving.server.application import make_application
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
        as_pipeline(prediction, bank.info(task), text, None)))
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
          if task in bank.names():
            await server.remove(task)
          else:
            await server.add(files[task], task)

      changing = asyncio.ensure_future(change())
      await asyncio.gather(*map(check, range(count)))
      assert not changing.done()
      changing.cancel()

  asyncio.run(asyncio.wait_for(scenario(), 120))
  assert len(statuses) == count and statuses.count(200) > count / 3
  assert {*stay} <= {*bank.names()}
  assert server.figures()["queue_rows"] == 0
  server.close()
