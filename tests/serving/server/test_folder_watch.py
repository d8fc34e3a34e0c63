"""Tasks come and go as a folder's files do."""

import asyncio
import os
import shutil
import time
import types

import pytest

from tests.serving.server.fake_bank import FakeBank, client_of, make_server
from tf_adapters.serving import adapter_folder
from tf_adapters.serving.server.folder_watch import FolderWatch, states_of


def write(folder, content="{}"):
  folder.mkdir(exist_ok=True)
  (folder / "adapter_config.json").write_text(content)
  (folder / "adapter.safetensors").write_text(content)


def test_a_folder_is_followed(tmp_path):
  folder = tmp_path / "adapters"
  folder.mkdir()
  write(folder / "first")
  bank = FakeBank()
  bank.infos = {}
  server = make_server(bank)
  said = []
  watch = FolderWatch(server, folder, {}, report=said.append)

  async def looks(count=2):
    for _ in range(count):
      await watch.look()

  async def scenario():
    await watch.look()
    assert bank.names() == []  # it may still be written
    await watch.look()
    assert bank.names() == ["first"]
    assert server.served.find("first").path == str(folder / "first")
    before = bank.info("first")
    await looks(5)
    assert bank.info("first") is before  # nothing is read again

    write(folder / "first", "longer {}")  # replaced
    write(folder / "second")
    write(folder / "bad")
    write(folder / ".hidden")
    (folder / "file").write_text("")
    (folder / "empty").mkdir()
    await looks()
    assert bank.names() == ["first", "second"]
    assert bank.info("first") is not before
    assert len(said) == 1 and "bad: is damaged" in said[0]
    await looks(3)
    assert len(said) == 1  # once
    write(folder / "bad", "and still")
    await looks()
    assert len(said) == 2

    # What is replaced while it is read is not damaged.
    bank.on_bad = lambda: write(folder / "bad", "another one")
    write(folder / "bad", "a third one")
    await looks()
    bank.on_bad = lambda: None
    assert len(said) == 2
    await looks()
    assert len(said) == 3

    # What grows from look to look is not taken.
    for size in range(4):
      write(folder / "slow", "{}" * (1 + size))
      await watch.look()
      assert "slow" not in bank.names()
    await looks()
    assert "slow" in bank.names()

    # For a moment between two renames it is not there.
    (folder / "second").rename(folder / ".second")
    await watch.look()
    (folder / ".second").rename(folder / "second")
    await looks()
    assert "second" in bank.names()
    shutil.rmtree(folder / "second")
    await looks()
    assert "second" not in bank.names()

    await server.remove("first")  # by a request: it does not come again
    await looks(3)
    assert "first" not in bank.names()
    write(folder / "first", "another file")
    await looks()
    assert "first" in bank.names()

    folder.rename(tmp_path / "elsewhere")
    await looks(4)
    assert bank.names() and len(said) == 4  # nothing is removed; said once
    (tmp_path / "elsewhere").rename(folder)
    await looks(3)
    assert len(said) == 4

  asyncio.run(asyncio.wait_for(scenario(), 20))


def test_what_is_served_already_is_not_loaded_again(tmp_path):
  write(tmp_path / "topic")
  bank = FakeBank()
  before = bank.info("topic")
  watch = FolderWatch(make_server(bank), tmp_path, states_of(tmp_path))
  asyncio.run(watch.look())
  assert bank.info("topic") is before


def test_requests_are_told_why_a_file_is_no_task_yet(tmp_path, monkeypatch):
  bank, said, later = FakeBank(), [], [0]
  server = make_server(bank)
  watch = FolderWatch(server, tmp_path, {}, report=said.append)
  monkeypatch.setattr(adapter_folder, "time", types.SimpleNamespace(
      time_ns=lambda: time.time_ns() + later[0] * 10**9))
  config = tmp_path / "new" / "adapter_config.json"
  weights = tmp_path / "new" / "adapter.safetensors"

  async def scenario():
    async with client_of(server) as client:

      async def asked(status, message="", name="new"):
        response = await client.post(f"/models/{name}", json={"inputs": "a"})
        assert response.status_code == status, response.text
        assert message in response.text
        assert ("retry-after" in response.headers) == (status == 503)
        described = await client.get(f"/v2/models/{name}")
        assert described.status_code == status

      await asked(404, "no task 'new'")
      # A copy begins, and pauses.
      weights.parent.mkdir()
      await asked(503, "new: it changes at this moment: ask again")
      for part, other in ((config, "weights"), (weights, config.name)):
        part.write_text("{}")
        await watch.look()
        await asked(503, "at this moment")
        later[0] = 2
        await watch.look()
        await asked(404, f"new: incomplete: it has {part.name} and no {other}")
        assert said.pop().startswith(f"{tmp_path / 'new'}: incomplete")
        await watch.look()
        assert not said
        later[0] = 0
        part.unlink()
      write(tmp_path / "new")
      await asked(503, "at this moment")
      later[0] = 2
      await asked(503, "was not there when the folder was looked at last")
      await watch.look()
      await watch.look()
      await asked(200)
      # Half of another one is copied over it: the old one stays.
      before = bank.info("new")
      weights.unlink()
      await watch.look()
      await watch.look()
      await asked(200)
      assert bank.info("new") is before and "incomplete" in said.pop()
      shutil.rmtree(tmp_path / "new")
      await watch.look()
      await watch.look()
      await asked(404, "no task 'new'")
      # What stays damaged is named.
      write(tmp_path / "bad")
      await watch.look()
      await watch.look()
      await asked(500, f"{tmp_path / 'bad'}: is damaged", "bad")
      assert len(said) == 1 and not await client.aclose()

  asyncio.run(asyncio.wait_for(scenario(), 20))


@pytest.mark.parametrize("name", ["..", ".", "", "a/../b", "a\0b", "x" * 5000,
                                  "base", ".hidden", "\ud83d"])
def test_names_that_lead_out_of_the_folder_say_nothing(tmp_path, name):
  folder = tmp_path / "adapters"
  folder.mkdir()
  write(folder / ".hidden")
  write(tmp_path)
  watch = FolderWatch(make_server(), folder, {})
  assert watch.why_absent(name) is None


def test_a_link_that_leads_elsewhere_is_another_file(tmp_path):
  folder, bank = tmp_path / "adapters", FakeBank()
  folder.mkdir()
  for name in ("one", "two"):
    write(tmp_path / name, name)
  watch = FolderWatch(make_server(bank), folder, {})

  def look():
    for _ in range(2):
      asyncio.run(watch.look())

  os.symlink(tmp_path / "one", folder / "linked")
  look()
  before = bank.info("linked")
  os.symlink(tmp_path / "two", folder / "next")
  os.rename(folder / "next", folder / "linked")
  look()
  assert bank.info("linked") is not before
