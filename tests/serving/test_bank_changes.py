"""A bank that changes while others predict, and changes that end midway."""

import collections
import os
import random
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import tf_adapters as ta
from tests.adapters import A, make
from tf_adapters.adapter_files import opening
from tf_adapters.modeling import forks

TEXTS = ["the film is good", "bad", "he said so, very!", ""]
LABELS = "abc"


@pytest.fixture(scope="module")
def files(one_layer_source, tmp_path_factory):
  """Adapter files of tasks of three kinds, each with weights of its own."""
  folder = tmp_path_factory.mktemp("changes")
  return {f"t{number}": make(
      one_layer_source, folder / f"t{number}",
      (A(size=8), A(size=8), A(size=20, activation="relu"), None)[number % 4],
      "classification", LABELS, "mean",
      "head" if number % 4 == 3 else "adapters-layer_norms", seed=number)
          for number in range(8)}


@pytest.fixture(scope="module")
def truth(one_layer_source, files):
  """The predictions of each file on the texts, in a bank at rest."""
  bank = ta.AdapterBank(str(one_layer_source), files)
  return {name: scores(bank, name) for name in files}


def scores(bank, name):
  return np.array([list(row.values()) for row in bank.predict_proba(
      TEXTS, [name] * len(TEXTS))])


def assert_right(bank, truth, of=None):
  for name in bank.names():
    np.testing.assert_allclose(
        scores(bank, name), truth[(of or {}).get(name, name)], atol=1e-5)


class Stopped(BaseException):
  """Stands for Ctrl-C, which comes anywhere."""


class Faults:
  """Lets every few lines of a change's modules raise, in this thread."""

  modules = ("bank.py", "bank_tasks.py", "bank_files.py", "bank_state.py",
             "published.py", "stack.py", "stacked.py", "stacked_layers.py",
             "tensors.py", "tensor_file.py")

  def __init__(self, lines):
    self._left = lines

  def __enter__(self):
    sys.settrace(self._call)

  def __exit__(self, *error):
    sys.settrace(None)

  def _call(self, frame, event, argument):
    if os.path.basename(frame.f_code.co_filename) not in self.modules:
      return None
    return self._line

  def _line(self, frame, event, argument):
    if event == "line":
      self._left -= 1
      if self._left == 0:
        raise random.choice([Stopped, MemoryError])
    return self._line


def test_a_change_that_ends_anywhere_is_done_or_is_not(
    one_layer_source, files, truth):
  bank = ta.AdapterBank(str(one_layer_source), [files["t0"], files["t1"]])
  changes = {
      "add": (lambda: bank.add(files["t4"]), ["t0", "t1"], ["t4"]),
      "extend": (lambda: bank.extend([(None, files["t5"]), (
          None, files["t0"].parent / "t4")]), ["t0", "t1"], ["t5", "t4"]),
      "remove": (lambda: bank.remove("t0"), ["t0", "t1"], None)}
  rng = np.random.default_rng(0)
  ended = collections.Counter()
  for what, (change, before, new) in changes.items():
    after = before + new if new else [
        name for name in before if name != "t0"]
    for lines in [*rng.integers(1, 400, 12), 10 ** 9]:
      try:
        with Faults(int(lines)):
          change()
      except (Stopped, MemoryError):
        ended[what] += 1
      assert bank.names() in (before, after)
      assert_right(bank, truth)
      for name in set(bank.names()) - set(before):
        bank.remove(name)
      for name in before:
        if name not in bank.names():
          bank.remove("t1")
          bank.extend([(None, files["t0"]), (None, files["t1"])])
      assert bank.names() == before
  assert min(ended[what] for what in changes) > 3


@pytest.mark.parametrize("capacity", [None, 5])
def test_any_order_of_changes(one_layer_source, files, truth, capacity):
  # One of each kind stays, so that no change has to wait for a new trace.
  of = {name: name for name in ("t4", "t6", "t7")}
  bank = ta.AdapterBank(str(one_layer_source), [files[name] for name in of],
                        capacity=capacity)
  rng = random.Random(capacity)
  for step in range(40):
    name, file = rng.choice("ab"), rng.choice(list(files))
    if name not in of:
      assert bank.add(files[file], name) == name
      of[name] = file
    elif rng.random() < 0.6:
      bank.replace(name, files[file])
      of[name] = file
    else:
      bank.remove(name)
      del of[name]
    assert bank.names() == list(of)
    if step % 8 == 7:
      assert_right(bank, truth, of)
  # As few rows as there were tasks at the same time; twice as many at most.
  capacities = [table.shape[0] for table in bank._now().tasks.variables]
  assert max(capacities) <= (1 + capacity + 32 if capacity else 12)


def test_a_bank_can_be_full(one_layer_source, files, truth):
  bank = ta.AdapterBank(str(one_layer_source), [files["t3"]], capacity=2)
  bank.add(files["t7"])
  for call in (lambda: bank.add(files["t0"]),
               lambda: ta.AdapterBank(
                   str(one_layer_source), files, capacity=2)):
    with pytest.raises(ta.InputError, match="room for 2 tasks, not for"):
      call()
  bank.replace("t3", files["t7"])
  assert_right(bank, truth, {"t3": "t7"})
  with pytest.raises(ta.InputError, match="no task 't9'"):
    bank.replace("t9", files["t7"])
  with pytest.raises(ta.InputError, match="capacity must be positive, not 0"):
    ta.AdapterBank(str(one_layer_source), capacity=0)


def test_a_kind_goes_with_its_last_task(one_layer_source, files, truth):
  bank = ta.AdapterBank(str(one_layer_source), [files["t0"], files["t2"]])
  both = bank._now().tasks.keys
  bank.remove("t2")
  assert 0 < len(bank._now().tasks.keys) < len(both)
  bank.replace("t0", files["t3"])
  assert_right(bank, truth, {"t0": "t3"})
  assert all(key.place is None for key in bank._now().tasks.keys)


def test_files_that_vanish_or_change_midway_change_nothing(
    one_layer_source, files, truth, tmp_path, monkeypatch):
  bank = ta.AdapterBank(str(one_layer_source), [files["t0"]])
  weights = "adapter.safetensors"
  for fault in ("gone", "other", "cut"):
    path = shutil.copytree(files["t1"], tmp_path / fault)
    read = opening.read_checked

    def faulty(file, info, path=path, fault=fault, read=read):
      if os.fspath(file) == str(path):  # the second one, behind its check
        if fault == "gone":
          (path / weights).unlink()
        elif fault == "other":
          shutil.copy(files["t5"] / weights, path / weights)
        else:
          os.truncate(path / weights, 2000)
      return read(file, info)

    with monkeypatch.context() as patched:
      patched.setattr(opening, "read_checked", faulty)
      with pytest.raises(ta.InputError, match=weights):
        bank.extend([("t4", files["t4"]), ("t1", path)])
    assert bank.names() == ["t0"]
    assert_right(bank, truth)
  bank.add(files["t1"])
  assert_right(bank, truth)


def test_a_prediction_goes_on_with_the_tasks_that_it_began_with(
    one_layer_source, files, truth, tmp_path):
  bank = ta.AdapterBank(str(one_layer_source), files)
  results = bank.stream_predictions(TEXTS * 3, "t5")
  first = [next(results)]
  for name in ("t0", "t5"):
    bank.remove(name)
  bank.add(files["t1"], "t5")
  for number, row in enumerate([*first, *results]):
    np.testing.assert_allclose(
        list(row.probabilities.values()), truth["t5"][number % len(TEXTS)],
        atol=1e-5)
  assert_right(bank, truth, {"t5": "t1"})


@pytest.mark.parametrize("seconds", [
    3, pytest.param(60, marks=pytest.mark.slow)])
def test_no_answer_is_wrong_while_tasks_come_and_go(
    one_layer_source, files, truth, tmp_path, seconds):
  names = list(files)
  # One of each kind stays, so that no change has to wait for a new trace.
  stay = ["t4", "t6", "t7"]
  bank = ta.AdapterBank(str(one_layer_source), [files[name] for name in stay])
  # A name and the files that it may stand for: t0 is replaced all the time.
  may_be = {**{name: [name] for name in names}, "t0": ["t0", "t1"]}
  counts = collections.Counter()
  over = threading.Event()

  def predict(seed):
    rng = random.Random(seed)
    while not over.is_set():
      asked = rng.choices(rng.choice([names, stay, ["t0"], ["t0", "t4"]]), k=6)
      number = [rng.randrange(len(TEXTS)) for _ in asked]
      try:
        rows = bank.predict_proba([TEXTS[n] for n in number], asked)
      except ta.InputError as error:
        counts["refused" if "has no task" in str(error) else repr(error)] += 1
        continue
      except Exception as error:
        counts[repr(error)] += 1
        continue
      for name, place, row in zip(asked, number, rows):
        right = any(np.allclose(list(row.values()), truth[of][place], atol=1e-4)
                    for of in may_be[name])
        counts["right" if right else f"wrong: {name}"] += 1

  def change():
    rng = random.Random(99)
    while not over.is_set():
      name = rng.choice(["t0", "t0", "t2", "t3", "t5"])
      path = files[rng.choice(may_be[name])]
      try:
        with Faults(rng.choice([rng.randrange(1, 400), 10 ** 9])):
          if rng.random() < 0.2:
            path = shutil.copytree(path, tmp_path / "copy", dirs_exist_ok=True)
            (path / rng.choice(
                ["adapter.safetensors", "adapter_config.json"])).unlink()
          is_there = name in bank.names()
          if is_there and rng.random() < 0.3:
            bank.replace(name, path)
            counts["replaced"] += 1
            continue
          if is_there:
            bank.remove(name)
            counts["removed"] += 1
          if rng.random() < 0.7:
            bank.add(path, name)
            counts["added"] += 1
      except (Stopped, MemoryError):
        counts["stopped"] += 1
      except ta.InputError:
        counts["file gone"] += 1

  threads = [threading.Thread(target=predict, args=[seed]) for seed in range(4)]
  threads.append(threading.Thread(target=change))
  for thread in threads:
    thread.start()
  kinds = ("right", "stopped", "added")
  end = time.monotonic() + seconds
  while time.monotonic() < end or (  # longer, where the machine is slow
      time.monotonic() < end + 60 and not all(map(counts.get, kinds))):
    time.sleep(0.1)
  over.set()
  for thread in threads:
    thread.join()
  assert all(map(counts.get, kinds)), counts
  assert not counts.keys() - {
      "right", "refused", "added", "removed", "replaced", "stopped",
      "file gone"}, counts
  of = {name: next(file for file in may_be[name] if np.allclose(
      scores(bank, name), truth[file], atol=1e-4)) for name in bank.names()}
  assert_right(bank, truth, of)
  print(dict(counts))


def test_tables_that_a_change_does_not_touch_are_not_copied(
    one_layer_source, files):
  bank = ta.AdapterBank(str(one_layer_source), [files["t0"], files["t2"]])
  kept = bank._now().tasks.tensors  # or others could have their ids
  before = {*map(id, kept)}
  bank.add(files["t3"])  # a head alone
  new = [tensor for tensor in bank._now().tasks.tensors
         if id(tensor) not in before]
  assert len(new) == 3  # the rows, a kernel and a bias


def ask(predict, answers):
  try:
    answers.put(str(predict(["good"])))
  except ta.InputError as error:
    answers.put(str(error))


def test_a_forked_process_is_told_so(one_layer_source, files, monkeypatch):
  bank = ta.AdapterBank(str(one_layer_source), [files["t3"]])
  monkeypatch.setattr(forks, "_forked", True)
  for call in (lambda: bank.predict(["good"], "t3"),
               lambda: bank.add(files["t0"]), lambda: bank.remove("t3"),
               lambda: bank.export("nowhere")):
    with pytest.raises(ta.InputError, match="was forked from .*spawn"):
      call()
  assert bank.names() == ["t3"]


@pytest.mark.slow
def test_a_process_that_is_really_forked_does_not_hang(one_layer_source, files):
  # In a process of its own: one with many threads should not be forked.
  code = f"""
import functools
import multiprocessing
import tf_adapters as ta
from tests.serving.test_bank_changes import ask
bank = ta.AdapterBank({str(one_layer_source)!r}, [{str(files["t0"])!r}])
task = ta.TextTask.load({str(files["t0"])!r}, {str(one_layer_source)!r})
task.predict(["good"])
context = multiprocessing.get_context("fork")
answers = context.SimpleQueue()
for predict in (functools.partial(bank.predict, tasks="t0"), task.predict):
  process = context.Process(target=ask, args=(predict, answers))
  process.start()
  process.join(60)
  print(answers.get() if process.exitcode == 0 else "hangs")
  process.kill()
"""
  done = subprocess.run([sys.executable, "-c", code], capture_output=True,
                        text=True, timeout=200, check=True)
  assert done.stdout.count("was forked from one in which TensorFlow") == 2
