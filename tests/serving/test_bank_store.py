"""A bank of tasks that are loaded when they are needed."""

import collections
import contextlib
import dataclasses
import os
import pathlib
import random
import shutil
import threading
import time
import types

import numpy as np
import pytest

import tf_adapters as ta
from tests.adapters import A, edit, make
from tf_adapters.adapter_files import opening
from tf_adapters.files import verified
from tf_adapters.serving import adapter_folder, bank_tasks
from tf_adapters.serving.adapter_folder import AdapterFolder, IncompleteError

TEXTS = ["the film is good", "bad"]


@pytest.fixture(scope="module")
def folder(one_layer_source, tmp_path_factory):
  """Eight adapter files of one kind; what each makes of the texts."""
  folder = tmp_path_factory.mktemp("store")
  for number in range(8):
    make(one_layer_source, folder / f"t{number}", A(size=8), "classification",
         "abc", "mean", "adapters-layer_norms", seed=number)
  bank = ta.AdapterBank(str(one_layer_source), sorted(folder.iterdir()))
  return folder, {name: scores(bank, name) for name in bank.names()}


@pytest.fixture(scope="module")
def bank(one_layer_source, folder, tmp_path_factory):
  """Of the folder, with room for three of its tasks beside one of its own."""
  own = shutil.copytree(folder[0] / "t0", tmp_path_factory.mktemp("own") / "t0")
  return ta.AdapterBank(str(one_layer_source), {"own": own}, capacity=4,
                        store=folder[0])


@pytest.fixture
def store(folder, tmp_path):
  return shutil.copytree(folder[0], tmp_path / "store")


def scores(bank, name):
  return np.array([list(row.values()) for row in bank.predict_proba(
      TEXTS, name)])


def assert_right(bank, truth, name, of=None):
  np.testing.assert_allclose(scores(bank, name), truth[of or name], atol=1e-5)


def test_tasks_are_loaded_and_go(one_layer_source, folder, bank, tmp_path):
  store, truth = folder
  assert bank.names() == ["own", *sorted(truth)]
  assert bank.info("t7").labels == tuple("abc")  # without its weights
  assert bank.residency.names() == ["own"]
  tables = [*map(id, bank._now().tasks.variables)]
  for name in ("t1", "t2", "t3", "t1", "t4", "t1"):
    assert_right(bank, truth, name)
  assert_right(bank, truth, "own", "t0")
  assert bank.residency.names() == ["t3", "t4", "t1", "own"]
  assert (bank.residency.loads, bank.residency.evictions) == (4, 1)
  # Four tasks are served from tables that were made for them.
  for name in truth:
    assert_right(bank, truth, name)
  assert [*map(id, bank._now().tasks.variables)] == tables
  assert "own" in bank.residency.names()
  with bank.loaded(["t1", "t2", "t3"]):
    with pytest.raises(ta.InputError, match="room for 4, of which 1 were"):
      bank.predict(["good"] * 4, ["t4", "t5", "t6", "t7"])
    assert_right(bank, truth, "t2")
  assert repr(bank).startswith(
      f"AdapterBank on {one_layer_source}: 4 tasks loaded, of those in {store}")
  with pytest.raises(ta.InputError, match="which tasks of .*store.* to export"):
    bank.export(tmp_path / "export")


def test_a_store_changes(
    one_layer_source, folder, store, tmp_path, monkeypatch):
  truth = folder[1]
  bank = ta.AdapterBank(str(one_layer_source), capacity=3, store=store)
  bank.info("t7")
  with monkeypatch.context() as patched:
    patched.setattr(bank_tasks, "open_task", None)
    assert bank.info("t7").labels == tuple("abc")  # is not read again
  edit(store / "t7", labels=["x", "y", "z"])
  assert bank.info("t7").labels == tuple("xyz")
  assert_right(bank, truth, "t0")

  def put(name, of):
    shutil.rmtree(store / name, ignore_errors=True)
    shutil.copytree(folder[0] / of, store / name)

  put("t0", "t5")
  assert_right(bank, truth, "t0")  # until it is said
  bank.replace("t0", store / "t0")
  assert_right(bank, truth, "t0", "t5")
  put("new", "t6")
  assert "new" in bank.names()
  assert_right(bank, truth, "new", "t6")
  (store / "t0" / "adapter.safetensors").write_bytes(b"damaged")
  with pytest.raises(ta.InputError, match="t0.*damaged"):
    bank.replace("t0", store / "t0")
  assert_right(bank, truth, "t0", "t5")
  bank.remove("t0")
  for _ in range(3):
    with pytest.raises(ta.InputError, match="t0.*damaged"):
      bank.predict(["good"], "t0")
  found = bank.predict_rows(bank.tokenize(bank.rows(
      ["good"] * 3, ["new", "t0", "t2"])))
  assert [getattr(one, "task", None) for one in found] == ["new", None, "t2"]
  assert "damaged" in str(found[1])
  bank.remove("t2")
  assert bank.residency.names() == ["new"]
  read = opening.read_checked

  def late(path, info):  # one that is replaced behind its configuration
    monkeypatch.setattr(opening, "read_checked", read)
    put("t2", "t6")
    return read(path, info)

  monkeypatch.setattr(opening, "read_checked", late)
  assert_right(bank, truth, "t2", "t6")
  bank.remove("t2")
  for name in ("t3", "t4"):
    assert_right(bank, truth, name)
  shutil.rmtree(store / "t0")
  assert "t0" in bank._tasks._files
  assert "t0" not in bank.names() and "t0" not in bank._tasks._files
  for name in ("t0", "../store/t1", "", ".", "t1/", "a\0b", "x" * 999):
    with pytest.raises(ta.InputError, match="has no task .*, nor has .*store"):
      bank.predict(["good"], name)
  assert bank.residency.names() == ["t3", "t4", "new"]
  with pytest.raises(ta.InputError, match="has a task 't3' already"):
    bank.add(folder[0] / "t3")
  with pytest.raises(ta.InputError, match="'t3' is of the store"):
    bank.replace("t3", folder[0] / "t4")
  bank.add(folder[0] / "t1", "mine")
  bank.replace("mine", folder[0] / "t2")
  assert_right(bank, truth, "mine", "t2")
  bank.remove("mine")
  assert "mine" not in bank.names()
  with pytest.raises(ta.InputError, match="none: cannot be read as a folder"):
    ta.AdapterBank(str(one_layer_source), store=tmp_path / "none")


@pytest.fixture(scope="module")
def written(one_layer_source, folder, tmp_path_factory):
  """A bank of a folder that tests write to, and the folder."""
  store = tmp_path_factory.mktemp("written") / "store"
  shutil.copytree(folder[0], store)
  return ta.AdapterBank(str(one_layer_source), capacity=3, store=store), store


@pytest.fixture
def clock(monkeypatch):
  """A number of seconds by which it is later than it is."""
  seconds = [0]
  monkeypatch.setattr(adapter_folder, "time", types.SimpleNamespace(
      time_ns=lambda: time.time_ns() + seconds[0] * 10**9))
  return seconds


def cut(file):
  os.truncate(file, file.stat().st_size // 2)


def pipe(file):
  file.unlink()
  os.mkfifo(file)


CONFIG, WEIGHTS = "adapter_config.json", "adapter.safetensors"


def test_half_a_copy_is_no_task_yet(written, folder, clock):
  bank, store = written
  for name, damage, error, message in (
      (CONFIG, cut, ta.InputError, f"t1/{CONFIG}: not readable as JSON"),
      (WEIGHTS, cut, ta.InputError, f"t1/{WEIGHTS}: damaged"),
      (WEIGHTS, pathlib.Path.unlink, IncompleteError,
       f"t1: incomplete: it has {CONFIG} and no weights"),
      (CONFIG, pathlib.Path.unlink, IncompleteError,
       f"t1: incomplete: it has {WEIGHTS} and no {CONFIG}"),
      (WEIGHTS, pipe, ta.InputError, f"t1/{WEIGHTS}: .*no regular file"),
      (CONFIG, pipe, ta.InputError, "has no task 't1'")):
    damage(store / "t1" / name)
    is_listed = (store / "t1" / CONFIG).is_file() and error is ta.InputError
    clock[0] = 0
    with pytest.raises(IncompleteError, match="t1.*at this moment: ask") as now:
      bank.predict(["good"], "t1")
    assert now.value.is_changing
    assert ("t1" in bank, "t1" in bank.names()) == (is_listed, is_listed)
    clock[0] = 2
    with pytest.raises(error, match=message) as later:
      bank.predict(["good"], "t1")
    assert type(later.value) is error
    if error is IncompleteError:
      assert not later.value.is_changing
    shutil.rmtree(store / "t1")
    shutil.copytree(folder[0] / "t1", store / "t1")
  assert_right(bank, folder[1], "t1")
  # The old one stays while another is copied over it.
  for name in (CONFIG, WEIGHTS):
    cut(store / "t1" / name)
    for clock[0], error in ((0, IncompleteError), (2, ta.InputError)):
      with pytest.raises(error):
        bank.replace("t1", store / "t1")
      assert_right(bank, folder[1], "t1")


def test_files_that_go_or_change_places_while_they_are_read(
    written, folder, clock, tmp_path, monkeypatch):
  (bank, store), truth, read = written, folder[1], opening.read_checked

  def meanwhile(change):
    def changed(path, info):
      monkeypatch.setattr(opening, "read_checked", read)
      change()
      return read(path, info)

    monkeypatch.setattr(opening, "read_checked", changed)

  meanwhile(lambda: shutil.rmtree(store / "t2"))
  with pytest.raises(ta.InputError, match="has no task 't2', nor has .*store"):
    bank.predict(["good"], "t2")

  def swap(name):
    (tmp_path / "link").symlink_to(folder[0] / name)
    (tmp_path / "link").rename(store / "linked")

  swap("t2")
  assert_right(bank, truth, "linked", "t2")
  bank.remove("linked")
  meanwhile(lambda: swap("t3"))
  assert_right(bank, truth, "linked", "t3")

  openings = os.open

  def denied(path, *arguments, **keywords):
    if str(path).endswith("t4/adapter.safetensors"):
      raise PermissionError(13, "Permission denied", path)
    return openings(path, *arguments, **keywords)

  monkeypatch.setattr(os, "open", denied)
  clock[0] = 2
  with pytest.raises(ta.InputError, match="t4/.*: .*Permission denied") as one:
    bank.predict(["good"], "t4")
  assert type(one.value) is ta.InputError


def test_a_file_that_is_replaced_while_its_task_is_loaded(
    written, folder, clock, monkeypatch):
  (bank, store), truth, read = written, folder[1], opening.read_checked

  def behind(path, info):
    monkeypatch.setattr(opening, "read_checked", read)
    content = read(path, info)
    shutil.rmtree(store / "t7")
    shutil.copytree(folder[0] / "t6", store / "t7")
    bank.replace("t7", store / "t7")  # it is not in memory yet
    return content

  clock[0] = 2
  monkeypatch.setattr(opening, "read_checked", behind)
  assert_right(bank, truth, "t7", "t6")


def test_a_task_that_is_removed_while_it_is_asked(
    written, folder, clock, monkeypatch):
  (bank, _), using = written, written[0].residency.using

  @contextlib.contextmanager
  def late(names):
    monkeypatch.setattr(bank.residency, "using", using)
    with using(names) as wrong:
      bank.remove("t3")
      yield wrong

  clock[0] = 2
  monkeypatch.setattr(bank.residency, "using", late)
  assert_right(bank, folder[1], "t3")
  rows = bank.tokenize(bank.rows(TEXTS, "t3"))
  monkeypatch.setattr(bank.residency, "using", late)
  assert [one.value for one in bank.predict_rows(rows)] == [
      "abc"[place] for place in folder[1]["t3"].argmax(1)]


def test_files_without_checksums_are_read_when_they_are_quiet(
    written, folder, clock, monkeypatch):
  bank, store = written
  shutil.rmtree(store / "t5")
  shutil.copytree(folder[0] / "t5", store / "t5")
  opened = bank_tasks.open_task

  def foreign(*arguments):
    name, task = opened(*arguments)
    return name, dataclasses.replace(task, is_foreign=True)

  monkeypatch.setattr(bank_tasks, "open_task", foreign)
  with pytest.raises(IncompleteError, match="t5: it changes at this moment"):
    bank.predict(["good"], "t5")
  clock[0] = 2
  assert_right(bank, folder[1], "t5")


def test_a_file_that_is_damaged_between_two_loads(
    written, folder, clock, monkeypatch):
  (bank, store), truth = written, folder[1]
  clock[0] = 2
  monkeypatch.setattr(verified, "time", adapter_folder.time)
  file = store / "t6" / WEIGHTS
  for _ in range(2):  # its sha256 is not computed the second time
    assert_right(bank, truth, "t6")
    bank.remove("t6")
  content, status = file.read_bytes(), os.stat(file)
  file.write_bytes(content[:-4] + bytes(4))
  os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
  with pytest.raises(ta.InputError, match="damaged: its sha256"):
    bank.predict(["good"], "t6")
  file.write_bytes(content)
  assert_right(bank, truth, "t6")


def test_no_answer_is_wrong_while_tasks_are_loaded(folder, bank):
  truth = folder[1]
  counts = collections.Counter()
  before = bank.residency.evictions

  def predict(seed):
    rng = random.Random(seed)
    for _ in range(5):
      asked = rng.choices(sorted(truth), weights=range(1, 9), k=3)
      rows = bank.predict_proba(TEXTS[:1] * 3, asked)
      for name, row in zip(asked, rows):
        counts[np.allclose(list(row.values()), truth[name][0], atol=1e-4)] += 1

  threads = [threading.Thread(target=predict, args=[seed]) for seed in range(2)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert counts == {True: 30}
  assert bank.residency.evictions > before


def put(folder, name):
  (folder / name).mkdir(exist_ok=True)
  (folder / name / "adapter_config.json").write_text("no JSON")
  (folder / name / "adapter.safetensors").touch()


def test_a_folder_is_listed_without_being_read(tmp_path, monkeypatch):
  for name in ("b", "a", ".hidden", "base"):
    put(tmp_path, name)
  (tmp_path / "file").write_text("")
  (tmp_path / "later").mkdir()
  (tmp_path / "later" / "adapter.safetensors").touch()
  os.utime(tmp_path, (1, 1))  # nothing has changed for long
  folder = AdapterFolder(tmp_path)
  assert folder.names() == ["a", "b"]
  with monkeypatch.context() as patched:
    patched.setattr(os, "listdir", None)
    assert folder.names() == ["a", "b"]
    (tmp_path / "later" / "adapter_config.json").write_text("no JSON")
    assert folder.names() == ["a", "b", "later"]
  put(tmp_path, "new")  # within a second it is listed every time
  assert folder.names() == ["a", "b", "later", "new"]
  put(tmp_path, "newer")
  shutil.rmtree(tmp_path / "b")
  assert folder.names() == ["a", "later", "new", "newer"]
  assert folder.find("b") is None and folder.find("base") is None
