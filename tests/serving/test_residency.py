"""Residency, by names of tasks alone: without TensorFlow."""

import collections
import random
import threading

import pytest
from hypothesis import given, strategies as st

from tf_adapters.errors import InputError
from tf_adapters.serving.residency import Residency, UnwantedError


class Tasks:
  """The resident tasks, and the calls that loaded or dropped them."""

  def __init__(self, capacity, bad=()):
    self.resident = set()
    self.steps = []
    self.bad = bad
    self.together = []
    self.most = 0
    self.residency = Residency(capacity, self.load, self.evict)

  def load(self, names):
    wrong = {name: InputError(f"{name} is damaged")
             for name in names if name in self.bad}
    for name in names:
      if name not in wrong:
        assert name not in self.resident
        self.resident.add(name)
        self.most = max(self.most, len(self.resident))
        self.steps.append(f"+{name}")
    self.together.append(len(names))
    return wrong

  def evict(self, names):
    for name in names:
      self.resident.remove(name)
      self.steps.append(f"-{name}")

  def add(self, *names):
    with self.residency.adding(names):
      for error in self.load(names).values():
        raise error

  def use(self, *names):
    with self.residency.using(names) as wrong:
      assert self.resident >= {*names} - {*wrong}
    return wrong


def test_the_least_recently_used_goes():
  tasks = Tasks(2)
  for names in ("a", "b", "a", "c", "c", "a", "b"):
    tasks.use(*names)
  assert tasks.steps == ["+a", "+b", "-b", "+c", "-c", "+b"]
  assert tasks.residency.names() == ["b", "a"]
  assert (tasks.residency.loads, tasks.residency.evictions) == (4, 2)


def test_what_is_used_again_outlasts_what_is_used_once():
  tasks = Tasks(5)
  for name in "ababcdefgh":
    tasks.use(name)
  assert tasks.residency.names() == ["f", "g", "h", "a", "b"]
  # A call inside another one is the same use.
  with tasks.residency.using("i"):
    tasks.use("i")
  assert tasks.residency.names() == ["g", "h", "i", "a", "b"]
  # No more than four fifths are kept for that.
  for name in "ghi":
    tasks.use(name)
  assert tasks.residency.names() == ["a", "b", "g", "h", "i"]


def test_several_are_loaded_together():
  names = [f"t{number}" for number in range(40)]
  tasks = Tasks(None)
  tasks.use(*names[:1])
  tasks.use(*names)
  assert tasks.together == [1, 16, 16, 7]
  assert tasks.residency.loads == 40


def test_what_a_call_needs_stays():
  tasks = Tasks(3)
  with tasks.residency.using("ab"):
    tasks.use("c")
    tasks.use("d")
    tasks.use("a")
    assert tasks.resident == {*"abd"}
  tasks.use(*"efg")
  assert tasks.resident == {*"efg"}


def test_a_call_for_too_many_is_refused():
  tasks = Tasks(3)
  tasks.use(*"abc")
  with pytest.raises(InputError, match="a call for 4 tasks, but .* for 3, of"):
    tasks.use(*"abcd")
  tasks.add("x")
  with pytest.raises(InputError, match="for 3 tasks,.* which 1 were added"):
    tasks.use(*"abc")
  tasks.use(*"abx")
  tasks.add("y", "z")
  with pytest.raises(InputError, match="a call for 1 tasks.* 3 were added"):
    tasks.add("w")
  with pytest.raises(InputError, match="3 were added"):
    tasks.use("a")
  tasks.use(*"xyz")
  assert tasks.resident == {*"xyz"}
  with tasks.residency.removing("y"):
    tasks.evict("y")
  tasks.use("a")
  assert tasks.resident == {*"xza"}


def test_who_needs_what_is_resident_does_not_wait():
  tasks = Tasks(2)
  tasks.use("a")
  with tasks.residency.using_resident(["a", "b"]) as are_resident:
    assert not are_resident
  with tasks.residency.using_resident(["a"]) as is_resident:
    assert is_resident
    tasks.use("b")
    tasks.use("c")
    assert tasks.resident == {*"ac"}
  seen = []

  def evict(names):
    # Others need all of the room, and "c" is about to go.
    with tasks.residency.using_resident(["c"]) as is_resident:
      seen.append(is_resident)
    tasks.evict(names)

  tasks.residency._evict = evict
  tasks.use("b", "d")
  assert seen == [False] and tasks.resident == {*"bd"}


def test_what_cannot_be_loaded_takes_no_room():
  tasks = Tasks(2, bad="?")
  for _ in range(3):
    assert {name: str(error) for name, error in tasks.use("a", "?").items()
            } == {"?": "? is damaged"}
  with pytest.raises(InputError, match="damaged"):
    tasks.add("?")
  tasks.use("a", "b")
  assert tasks.resident == {*"ab"}
  tasks.bad = ""
  tasks.use("?")


def test_a_call_waits_for_room_that_others_take():
  tasks = Tasks(2)
  with tasks.residency.using("ab"):
    waiting = threading.Thread(target=tasks.use, args=["c"])
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive() and "+c" not in tasks.steps
    tasks.use("b")  # others do not wait
  waiting.join(10)
  assert tasks.steps == ["+a", "+b", "-a", "+c"]


def test_a_call_for_many_tasks_has_its_turn_though_others_follow_another():
  tasks = Tasks(4)
  residency = tasks.residency
  ended = threading.Event()

  def ask_for(names):
    with residency.using(names, lambda: True):
      ended.set()

  with residency.using("ab"):
    many = [threading.Thread(target=ask_for, args=["wxyz"])
            for _ in range(2)]
    for one in many:
      one.start()
    while len(residency._turns) < 2:
      pass
    # Others come behind, but for what is inside a call, or has had its turn.
    for had_turn in (False, True):
      with residency.using_resident("a", had_turn) as is_resident:
        assert is_resident == had_turn
    with residency.using("a"), residency.using("c"):
      pass
    last = threading.Thread(target=ask_for, args=["b"])
    last.start()
    assert not ended.wait(0.05)
  for one in (*many, last):
    one.join(10)
  assert ended.is_set() and "b" in residency.names()
  with residency.using_resident("b") as is_resident:
    assert is_resident


def test_a_call_that_nobody_wants_any_more_ends():
  tasks = Tasks(2)
  wanted, wrong = [True], []

  def ask():
    try:
      with tasks.residency.using("cd", lambda: bool(wanted)):
        pass
    except UnwantedError as error:
      wrong.append(error)

  with tasks.residency.using("ab"):
    waiting = threading.Thread(target=ask)
    waiting.start()
    tasks.residency.wake()
    waiting.join(0.05)
    assert waiting.is_alive()
    wanted.clear()
    tasks.residency.wake()
    waiting.join(10)
    assert len(wrong) == 1 and tasks.resident == {*"ab"}
    with tasks.residency.using_resident("a") as is_resident:
      assert is_resident


def test_a_load_keeps_nobody_waiting_but_those_who_need_it():
  tasks = Tasks(3)
  tasks.use("a")
  begun, go_on = threading.Event(), threading.Event()
  load = tasks.load

  def slow(names):
    begun.set()
    assert go_on.wait(10)
    return load(names)

  residency = Residency(3, slow, tasks.evict)
  with residency.adding("a"):
    pass
  users = [threading.Thread(target=lambda: tasks.steps.append(
      residency.using("b").__enter__())) for _ in range(2)]
  for user in users:
    user.start()
  assert begun.wait(10)
  assert residency.has("a") and not residency.has("ab")
  with residency.using("a"):
    pass  # at once
  go_on.set()
  for user in users:
    user.join(10)
  assert tasks.steps.count("+b") == 1


@given(st.lists(st.sets(st.sampled_from("abcdef"), min_size=1, max_size=3)),
       st.integers(3, 5))
def test_any_order_of_calls(calls, capacity):
  tasks = Tasks(capacity)
  for names in calls:
    before = tasks.residency.names()
    missing = {*names} - {*before}
    tasks.use(*sorted(names))
    assert sorted(tasks.residency.names()) == sorted(tasks.resident)
    # Those at the beginning have gone, and no more than had to.
    others = [name for name in before if name not in names]
    gone = max(0, len(before) + len(missing) - capacity)
    assert tasks.resident == {*names, *others[gone:]}


def test_threads_that_need_others_tasks():
  tasks = Tasks(4)
  names, wrong = "abcdefgh", []
  ended = collections.Counter()

  def work(seed):
    rng = random.Random(seed)
    for _ in range(300):
      asked = rng.sample(names, rng.randint(1, 4))
      try:
        if rng.random() < 0.1:
          with tasks.residency.removing(asked[0]):
            tasks.resident.discard(asked[0])
        else:
          with tasks.residency.using(asked):
            pass
        ended[seed] += 1
      except BaseException as error:
        wrong.append(error)

  threads = [threading.Thread(target=work, args=[seed]) for seed in range(4)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join(60)
  assert not wrong and sum(ended.values()) == 1200
  assert {*tasks.residency.names()} == tasks.resident
  assert len(tasks.resident) <= 4
