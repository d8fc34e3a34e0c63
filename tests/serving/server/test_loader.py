"""Loads and batches of a store that is full, by names of tasks alone."""

import asyncio
import contextlib
import threading
import time
import types

import pytest

from tests.serving.server.fake_bank import until
from tf_adapters.serving.residency import Residency
from tf_adapters.serving.server.batcher import Batcher
from tf_adapters.serving.server.limits import ServerConfig
from tf_adapters.serving.server.loader import Loader


class Store:
  """Tasks, their loader, and a batcher whose batches have one row each."""

  def __init__(self, capacity):
    self.residency = Residency(capacity, self.load, lambda names: None)
    self.loader = Loader(self)
    self.batcher = Batcher(self.compute, (8,), ServerConfig(max_batch_rows=1))
    self.may_load, self.may_compute = threading.Event(), threading.Event()
    self.may_load.set()
    self.may_compute.set()
    self.computed = []

  def load(self, names):
    assert self.may_load.wait(10)
    return {}

  def compute(self, rows, _):
    """As a bank, which needs the tasks of its rows."""
    names = [row.row.name for row in rows]
    with self.residency.using(names):
      assert self.may_compute.wait(10)
    self.computed += names
    return names

  async def ask(self, *names):
    async with self.loader.holding(names):
      return await self.batcher.predict([types.SimpleNamespace(
          lengths=[3], row=types.SimpleNamespace(name=name))
          for name in names])


def run(scenario, store):
  async def whole():
    try:
      return await asyncio.wait_for(scenario(), 10)
    finally:
      store.may_load.set()
      store.may_compute.set()
      store.loader.close()
      store.batcher.close()

  return asyncio.run(whole())


def test_who_hangs_up_leaves_a_batch_that_is_started_its_tasks():
  store = Store(2)

  async def scenario():
    store.may_compute.clear()
    first = asyncio.ensure_future(store.ask("a"))
    second = asyncio.ensure_future(store.ask("c"))  # behind the first
    await until(lambda: store.batcher._running == 2)
    second.cancel()
    both = asyncio.ensure_future(store.ask("a", "b"))
    await asyncio.sleep(0.05)
    assert not second.done() and not both.done()
    store.may_compute.set()
    assert await first == ["a"] and await both == ["a", "b"]
    with pytest.raises(asyncio.CancelledError):
      await second
    assert store.computed[:2] == ["a", "c"]

  run(scenario, store)


def test_requests_for_many_tasks_have_their_turn():
  store = Store(4)

  async def scenario():
    stop = False

    async def ask_again_and_again(name):
      while not stop:
        await store.ask(name)

    hot = [asyncio.ensure_future(ask_again_and_again(name)) for name in "abab"]
    await until(lambda: len(store.computed) > 5)
    assert await asyncio.gather(store.ask(*"wxyz"), store.ask(*"stuv")) == [
        [*"wxyz"], [*"stuv"]]
    assert await store.ask("q") == ["q"]
    stop = True
    await asyncio.gather(*hot)

  run(scenario, store)


def test_what_is_in_memory_does_not_wait_for_a_load():
  store = Store(3)

  async def scenario():
    await store.ask("a")
    store.may_load.clear()
    cold = [asyncio.ensure_future(store.ask(name)) for name in "bc"]
    await until(lambda: store.loader._running == 2)
    assert await asyncio.wait_for(store.ask("a"), 1) == ["a"]
    assert not any(one.done() for one in cold)
    store.may_load.set()
    await asyncio.gather(*cold)

  run(scenario, store)


def test_another_one_s_turn_is_short_for_what_is_in_memory():
  """It does not wait for what is loaded then."""
  store = Store(2)

  async def scenario():
    await store.ask("a")
    store.may_compute.clear()
    held = asyncio.ensure_future(store.ask("a"))
    await until(lambda: store.batcher._running)
    many = asyncio.ensure_future(store.ask("b", "c"))
    await until(lambda: store.residency._turns)
    more = asyncio.ensure_future(store.ask("a"))
    await asyncio.sleep(0.02)
    assert not store.loader._waiting and not more.done()
    store.may_compute.set()
    await asyncio.gather(held, many, more)

  run(scenario, store)


def test_threads_that_wait_for_room_end_with_the_server():
  store = Store(2)

  async def scenario():
    with store.residency.using("ab"):
      asked = [asyncio.ensure_future(store.ask(name)) for name in "cd"]
      await until(lambda: len(store.residency._turns) == 2)
      for one in asked:
        one.cancel()
      store.loader.close()
      end = time.monotonic() + 5
      while store.residency._turns and time.monotonic() < end:
        await asyncio.sleep(0.01)
      assert not store.residency._turns
    for one in asked:
      with contextlib.suppress(asyncio.CancelledError):
        await one

  run(scenario, store)
