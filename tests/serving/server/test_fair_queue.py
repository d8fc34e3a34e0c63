"""Whose turn it is, who is let in, and who is computed with whom."""

import random

import pytest

from tf_adapters.errors import InputError
from tf_adapters.serving.server.batch_choice import choose, is_full
from tf_adapters.serving.server.fair_queue import Admission, FairQueue
from tf_adapters.serving.server.limits import ServerConfig

WIDTHS = (8, 16, 24, 32, 64, 128, 512)


def filled(*rows):
  queue = FairQueue()
  for task, item, cost in rows:
    queue.put(task, item, cost)
  return queue


def test_a_task_with_many_rows_delays_no_other():
  queue = filled(*(("many", f"m{n}", 10) for n in range(1000)))
  queue.put("few", "f0", 10)
  assert queue.first(3) == ["m0", "f0", "m1"]
  queue.take({"m0"})
  queue.put("late", "l0", 500)  # begins where the others are
  assert queue.first(3) == ["f0", "m1", "l0"] or (
      queue.first(3) == ["f0", "l0", "m1"])
  assert len(queue) == 1001


def test_shares_are_of_wordpieces_and_not_of_rows():
  queue = filled(*(("long", ("long", n), 100) for n in range(50)),
                 *(("short", ("short", n), 10) for n in range(500)))
  taken = {"long": 0, "short": 0}
  for _ in range(220):
    (item,) = queue.first(1)
    queue.take({item})
    taken[item[0]] += 100 if item[0] == "long" else 10
  assert taken["long"] == pytest.approx(taken["short"], rel=0.1)


def test_who_hangs_up_is_no_longer_waited_for():
  queue = filled(("a", "a0", 1), ("b", "b0", 1), ("a", "a1", 1))
  queue.drop({"a0", "a1"})
  assert queue.first(9) == ["b0"]
  queue.drop({"b0"})
  assert not queue and queue.first(9) == []
  queue.put("a", "a2", 1)
  queue.put("b", "b1", 1)
  assert queue.first(9) == ["a2", "b1"]


def test_no_task_takes_what_is_left_to_others():
  admission = Admission(100)
  while admission.fits({"greedy": 5}):
    admission.enter({"greedy": 5})
  assert admission.of_task("greedy") == 50
  while admission.fits({"second": 1}):
    admission.enter({"second": 1})
  assert admission.of_task("second") == 25
  assert admission.fits({"third": 25}) and not admission.fits({"third": 26})
  admission.leave([("greedy", 50)])
  assert admission.rows == 25 and admission.of_task("greedy") == 0
  assert admission.fits({"a": 30, "b": 30})
  assert not admission.fits({"a": 40, "b": 40})
  assert Admission(100).fits({"all": 100})


def test_batches_hold_rows_of_similar_length_and_the_first_one():
  config = ServerConfig(max_batch_rows=8, max_batch_tokens=1024)
  assert choose([(8, 1), (512, 1), (7, 1)], WIDTHS, config) == [0, 2]
  assert choose([(512, 1), (8, 1), (7, 1)], WIDTHS, config) == [0]
  # A little padding is less than another batch.
  assert choose([(8, 1), (16, 1), (24, 1)], WIDTHS, config) == [0, 1, 2]
  assert choose([(8, 1)] * 20, WIDTHS, config) == list(range(8))
  assert choose([(128, 1)] * 20, WIDTHS, config) == list(range(8))
  assert choose([(500, 1)] * 20, WIDTHS, config) == [0, 1]
  # Windows of a long text count each; a row alone may be too much.
  assert choose([(512, 9), (512, 1)], WIDTHS, config) == [0]
  assert choose([(128, 5), (128, 4), (128, 3)], WIDTHS, config) == [0, 2]


def test_batches_keep_to_their_limits_whatever_waits():
  rng = random.Random(0)
  config = ServerConfig(max_batch_rows=16, max_batch_tokens=1000)
  for _ in range(300):
    sizes = [(rng.choice((3, 8, 9, 30, 64, 100, 512)), rng.choice((1, 1, 1, 4)))
             for _ in range(rng.randint(1, 60))]
    chosen = choose(sizes, WIDTHS, config)
    assert chosen[0] == 0 and chosen == sorted(set(chosen))
    assert len(chosen) <= 16
    width = next(width for width in WIDTHS
                 if width >= max(sizes[number][0] for number in chosen))
    tokens = width * sum(sizes[number][1] for number in chosen)
    assert tokens <= 1000 or len(chosen) == 1


def test_enough_for_a_batch():
  config = ServerConfig(max_batch_rows=4, max_batch_tokens=100)
  assert not is_full([(8, 1)] * 3, config)
  assert is_full([(8, 1)] * 4, config)
  assert is_full([(50, 2)], config)


@pytest.mark.parametrize("values, message", [
    ({"max_batch_rows": 0}, "max_batch_rows must be an integer in the range"),
    ({"max_wait_ms": -1.0}, "max_wait_ms must be a number in the range"),
    ({"max_request_rows": 100, "max_queue_rows": 10}, "could never be taken"),
])
def test_limits_that_cannot_be(values, message):
  with pytest.raises(InputError, match=message):
    ServerConfig(**values)
