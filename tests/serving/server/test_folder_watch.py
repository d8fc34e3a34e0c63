"""Tasks come and go as a folder's files do."""

import asyncio
import shutil

from tests.serving.server.fake_bank import FakeBank, make_server
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
  watch = FolderWatch(server, folder, {}, said.append)

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
