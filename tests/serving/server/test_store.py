"""A server whose bank has some tasks in memory and others in a folder."""

import asyncio
import contextlib
import shutil
import threading

import pytest

from tests.serving.server.fake_bank import (
    TOKEN,
    FakeBank,
    client_of,
    make_info,
    make_server,
    until,
    waiting_rows,
)
from tests.serving.server.test_folder_watch import write
from tf_adapters.errors import InputError
from tf_adapters.serving.residency import TooManyError
from tf_adapters.serving.server.folder_watch import FolderWatch, states_of


class Store(FakeBank):
  """As `AdapterBank(store=folder)`; its tasks stay in memory once loaded."""

  def __init__(self, folder):
    super().__init__()
    self.store = self.folder = folder
    self.residency = InMemory(self)
    self.loads = 0
    self.reads = []
    self.held = []
    self.together = []
    self.lock = threading.Lock()
    self.may_load = threading.Event()
    self.may_load.set()

  def __contains__(self, name):
    return name in self.infos or (
        "/" not in name and (self.folder / name).is_dir())

  def names(self):
    return [*dict.fromkeys([*self.infos, *sorted(
        path.name for path in self.folder.iterdir())])]

  def info(self, name):
    return self.infos[name] if name in self.infos else self.read(name)

  def read(self, name):
    if name not in self:
      raise InputError(f"the bank has no task {name!r}")
    if "bad" in name:
      raise InputError(f"{name}: is damaged")
    self.reads.append(name)
    content = (self.folder / name / "adapter_config.json").read_text()
    return make_info(name, "classification", "abc", False, content)

  def replace(self, name, path):
    if str(path) != str(self.folder / name):
      raise InputError(f"{path}: its new file has to take the place of {name}")
    info = self.read(name)
    if name in self.infos:
      self.infos[name] = info


class InMemory:
  """A list of a store's tasks in memory."""

  def __init__(self, bank):
    self._bank = bank

  loads = property(lambda self: self._bank.loads)
  evictions, load_seconds, room = 2, 0.5, 4

  def names(self):
    return list(self._bank.infos)

  def has(self, names):
    return all(name in self._bank.infos for name in names)

  def wake(self):
    pass

  @contextlib.contextmanager
  def using_resident(self, names, had_turn=False):
    found = self.has(names)
    if found:
      with self.using(names):
        yield True
    else:
      yield False

  @contextlib.contextmanager
  def using(self, names, is_wanted=None):
    if len({*names}) > self.room:
      raise TooManyError(f"a call for {len(names)} tasks, but there is room "
                         f"for {self.room}")
    bank, wrong, loaded = self._bank, {}, []
    if not self.has(names):
      bank.together.append(len(names))
      bank.may_load.wait()
      with bank.lock:
        missing = [name for name in names if name not in bank.infos]
        for name in missing:
          try:
            bank.infos[name] = bank.read(name)
            loaded.append(name)
          except InputError as error:
            wrong[name] = error
    held = [name for name in names if name not in wrong]
    bank.held += held
    with bank.lock:
      bank.loads += len(loaded)  # who sees it sees what is held, too
    yield wrong
    for name in held:
      bank.held.remove(name)


@pytest.fixture
def bank(tmp_path):
  for name in ("first", "second", "bad"):
    write(tmp_path / name, name)
  return Store(tmp_path)


def run(scenario, server):
  async def with_client():
    async with client_of(server) as client:
      return await scenario(client)

  return asyncio.run(asyncio.wait_for(with_client(), 20))


def test_what_is_in_memory_does_not_wait_for_what_is_not(bank):
  server = make_server(bank, max_wait_ms=0.0)

  async def scenario(client):
    bank.may_load.clear()
    # More than there are threads that load.
    waiting = asyncio.gather(*(
        client.post("/models/first", json={"inputs": "a"}) for _ in range(9)))
    await until(lambda: bank.together == [1, 1])
    for _ in range(3):
      response = await client.post("/models/topic", json={"inputs": "a"})
      assert response.status_code == 200
    assert not waiting.done()
    bank.may_load.set()
    assert {one.status_code for one in await waiting} == {200}
    assert bank.held == []
    both = await client.post("/predict", json={
        "inputs": "a", "tasks": ["first", "second", "topic"]})
    assert both.json().keys() == {"first", "second", "topic"}
    assert bank.loads == 2
    stats = (await client.get("/stats")).json()
    assert (stats["hits"], stats["misses"]) == (3 + 2, 9 + 1)

  run(scenario, server)


def test_what_is_asked_for_during_a_load_is_loaded_together(bank):
  for number in range(9):
    write(bank.folder / f"t{number}", "a task")
  server = make_server(bank)

  async def scenario(client):
    bank.may_load.clear()
    waiting = asyncio.gather(*(
        client.post(f"/models/{name}", json={"inputs": "a"})
        for name in ("first", "t0", "t1", "bad", *(
            f"t{number}" for number in range(9)), "bad")))
    await until(lambda: bank.together == [1, 1])
    bank.may_load.set()
    # A file that is damaged is the matter of who asks for it.
    assert [one.status_code for one in await waiting] == [
        200, 200, 200, 500, *[200] * 9, 500]
    # Two at first, then as many as there is room for.
    assert bank.together[:2] == [1, 1] and max(bank.together) == 4
    assert bank.held == [] and bank.loads == 10

  run(scenario, server)


def test_who_hangs_up_while_a_task_is_loaded_lets_it_go(bank):
  server = make_server(bank)

  async def scenario(client):
    bank.may_load.clear()
    gone = asyncio.ensure_future(server.predict(["a"], ["first"]))
    await until(lambda: bank.together == [1])
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
      await gone
    assert waiting_rows(server) == 0
    bank.may_load.set()
    await until(lambda: bank.loads and not bank.held)
    assert bank.loads == 1 and bank.held == []

  run(scenario, server)


def test_a_damaged_file_is_no_mistake_of_who_asks(bank):
  async def scenario(client):
    answers = [await client.post(f"/models/{name}", json={"inputs": "a"})
               for name in ("bad", "none", "..%2Ffirst")]
    assert [one.status_code for one in answers] == [500, 404, 404]
    assert answers[0].json() == {"error": "bad: is damaged"}
    assert (await client.get("/v2/models/bad")).status_code == 500
    assert (await client.post("/models/topic", json={"inputs": "a"})
            ).status_code == 200

  run(scenario, make_server(bank))


def test_more_tasks_than_there_is_room_for_are_a_mistake_of_who_asks(bank):
  names = [f"t{number}" for number in range(5)]
  for name in names:
    write(bank.folder / name, "a task")

  async def scenario(client):
    found = [await client.post("/predict", json={"inputs": "a", "tasks": tasks})
             for tasks in (names, names[:4])]
    assert [one.status_code for one in found] == [413, 200]
    assert found[0].json() == {
        "error": "a call for 5 tasks, but there is room for 4"}

  run(scenario, make_server(bank))


def test_all_tasks_are_listed_and_read_once(bank):
  async def scenario(client):
    for _ in range(3):
      found = {one["id"]: one
               for one in (await client.get("/v1/models")).json()["data"]}
    assert {"first", "second", "topic"} <= found.keys()
    assert "bad" not in found
    assert found["first"]["root"] == str(bank.folder / "first")
    assert bank.reads == ["first", "second"]
    write(bank.folder / "first", "another file")
    await client.get("/v1/models")
    assert bank.reads == ["first", "second", "first"]
    stats = (await client.get("/stats")).json()
    assert stats["known_tasks"] == stats["resident_tasks"] + 3
    metrics = (await client.get("/metrics")).text
    assert "tf_adapters_evictions_total 2.0" in metrics
    assert "tf_adapters_load_seconds_total 0.5" in metrics

  run(scenario, make_server(bank))


def test_a_store_is_followed_and_changed_in_its_folder_alone(bank):
  server = make_server(bank)
  said = []
  watch = FolderWatch(server, bank.folder, states_of(bank.folder),
                      report=said.append)

  async def scenario(client):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    refused = await client.delete("/v1/adapters/first", headers=headers)
    assert refused.status_code == 422
    assert "remove its file there" in refused.json()["error"]
    for path in (bank.folder / "second", bank.folder / "none", "hf://a/b",
                 "a\0b"):
      refused = await client.post("/v1/adapters", headers=headers, json={
          "name": "first", "path": str(path)})
      assert refused.status_code == 422

    async def version(name):
      await client.post(f"/models/{name}", json={"inputs": "a"})
      return bank.info(name).weights_sha256

    assert await version("first") == "sha of first"
    write(bank.folder / "first", "changed")
    write(bank.folder / "second", "changed, too")
    write(bank.folder / "bad2")
    await watch.look()
    await watch.look()
    assert bank.info("first").weights_sha256 == "sha of changed"
    assert "second" not in bank.infos  # nobody has asked for it
    assert await version("second") == "sha of changed, too"
    assert said == ["bad2: is damaged"]
    shutil.rmtree(bank.folder / "first")
    shutil.rmtree(bank.folder / "second")
    await watch.look()
    await watch.look()
    assert "first" not in bank and "second" not in bank
    assert (await client.post("/models/first", json={"inputs": "a"})
            ).status_code == 404

  run(scenario, server)
