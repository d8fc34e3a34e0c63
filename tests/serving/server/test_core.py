"""Requests of many callers: batches, limits, cancellation, the end."""

import asyncio
import contextlib

import pytest

from tests.serving.server.fake_bank import (
    FakeBank,
    make_server,
    predict,
    until,
    waiting_rows,
)
from tf_adapters.serving.server.live_figures import LiveFigures
from tf_adapters.serving.server.observer import BatchFigures
from tf_adapters.serving.server.refusals import Refusal


def run(coroutine):
  return asyncio.run(asyncio.wait_for(coroutine, 20))


def refusal(coroutine):
  """(status, message) of a request that is refused."""
  with pytest.raises(Refusal) as caught:
    run(coroutine)
  return caught.value.status, str(caught.value)


def test_rows_of_many_requests_and_tasks_share_batches():
  bank = FakeBank()
  server = make_server(bank, max_wait_ms=50.0)
  asked = [(f"text {n}", ("topic", "tags", "score", "base")[n % 4])
           for n in range(40)]

  async def all_at_once():
    return await asyncio.gather(*(
        server.predict([text], [task]) for text, task in asked))

  answers = run(all_at_once())
  infos = {**bank.infos, "base": None}
  for (text, task), (got,) in zip(asked, answers):
    expected = predict(task, infos[task], text)
    assert repr(got.prediction) == repr(expected)
    assert got.info is infos[task]
  assert len(bank.batches) < 4
  assert {row.row.name for row in bank.batches[0]} == {
      "topic", "tags", "score", "base"}
  assert server.figures()["queue_rows"] == 0
  assert server.figures()["batch_tasks"] > 2


def test_a_request_of_several_texts_keeps_their_order():
  bank = FakeBank()
  server = make_server(bank, max_batch_rows=2, max_wait_ms=0.0)
  texts = ["a", "b " * 9, ("c", "d"), "e " * 5, ("f", "g")]
  tasks = ["topic", "words", "same", "either", "answers"]
  got = run(server.predict(texts, tasks))
  assert [one.prediction for one in got] == [
      predict(task, bank.info(task), text) for text, task in zip(texts, tasks)]
  assert run(server.predict([], [])) == []


def test_what_is_refused_and_why():
  server = make_server(max_request_rows=3, max_request_tokens=20)
  assert refusal(server.predict(["a"], ["topik"])) == (
      404, "no task 'topik': did you mean 'topic'?")
  status, message = refusal(server.predict(["a"], ["x"]))
  assert status == 404 and "GET /v1/models lists those" in message
  status, message = refusal(server.predict(["a"], ["same"]))
  assert status == 422 and "is on pairs of texts" in message
  status, message = refusal(server.predict(["b", ("a", "b")], ["topic"] * 2))
  assert status == 422 and message.startswith("text 1: ")
  status, message = refusal(server.predict(["a"] * 4, ["topic"] * 4))
  assert status == 413 and message.startswith(
      "4 texts, but a request may have at most 3: ")
  status, message = refusal(server.predict(["a", "a " * 11], ["topic"] * 2))
  assert status == 413 and message == (
      "text 1: is longer than the 12 wordpieces that task topic takes: ask for "
      '"truncation": true, or send less')
  status, message = refusal(server.predict(["a " * 10] * 2, ["topic"] * 2))
  assert status == 413 and "24 wordpieces, but a request" in message
  status, message = refusal(server.predict(["too large"], ["topic"]))
  assert (status, message) == (422, "text 0: is not finite")
  status, message = refusal(server.predict(["a", "no memory"], ["topic"] * 2))
  assert (status, message) == (503, "text 1: there is not enough memory")
  # Nothing of it stays behind.
  assert server.figures()["queue_rows"] == 0


def test_long_texts_are_cut_where_that_is_asked_for():
  for server, cut in ((make_server(), True),
                      (make_server(truncate=True), False)):
    (got,) = run(server.predict(["a " * 99], ["topic"], cut=cut))
    assert got.prediction.value in "abc"
    assert server.bank.batches[0][0].lengths == (12,)


def test_a_full_queue_says_when_to_come_again():
  bank = FakeBank()
  server = make_server(bank, max_queue_rows=8, max_request_rows=8)

  async def scenario():
    bank.may_compute.clear()
    waiting = [asyncio.ensure_future(server.predict(["a"], ["topic"]))
               for _ in range(4)]
    await until(lambda: waiting_rows(server) == 4)
    with pytest.raises(Refusal) as caught:  # half of it is the others'
      await server.predict(["b"], ["topic"])
    assert caught.value.status == 429 and caught.value.retry_after >= 1
    waiting.append(asyncio.ensure_future(server.predict(["c"], ["tags"])))
    await until(lambda: waiting_rows(server) == 5)
    bank.may_compute.set()
    await asyncio.gather(*waiting)
    await server.predict(["b"], ["topic"])

  run(scenario())


def test_who_hangs_up_is_not_computed():
  bank = FakeBank()
  server = make_server(bank, max_batch_rows=1, max_wait_ms=0.0)

  async def scenario():
    bank.may_compute.clear()
    first = asyncio.ensure_future(server.predict(["first"], ["topic"]))
    gone = [asyncio.ensure_future(server.predict([f"gone {n}"], ["topic"]))
            for n in range(5)]
    last = asyncio.ensure_future(server.predict(["last"], ["tags"]))
    await until(lambda: waiting_rows(server) == 7)
    for task in gone[2:]:
      task.cancel()
    await until(lambda: waiting_rows(server) == 4)
    bank.may_compute.set()
    await asyncio.gather(first, last, *gone[:2])
    await until(lambda: waiting_rows(server) == 0)

  run(scenario())
  computed = {row.row.first for batch in bank.batches for row in batch}
  assert computed == {b"first", b"last", b"gone 0", b"gone 1"}


def test_a_defect_fails_its_batch_and_no_more():
  bank = FakeBank()
  bank.fails_on = "this one"
  server = make_server(bank, max_batch_rows=1)

  async def scenario():
    with pytest.raises(RuntimeError):
      await server.predict(["fine", "this one", "fine"], ["topic"] * 3)
    (got,) = await server.predict(["fine"], ["topic"])
    assert got.prediction.value in "abc"
    assert server.figures()["queue_rows"] == 0

  run(scenario())


async def removed_while_asked(server, bank):
  """Removes the task "topic" while a request of it waits to be computed."""
  bank.may_compute.clear()
  accepted = asyncio.ensure_future(server.predict(["a"], ["topic"]))
  await until(lambda: waiting_rows(server) == 1)
  leaving = asyncio.ensure_future(server.remove("topic"))
  await until(lambda: "topic" not in [
      task.name for task in server.served.all()])
  return accepted, leaving


def test_a_task_that_is_removed_answers_what_it_has_accepted():
  bank = FakeBank()
  server = make_server(bank)

  async def scenario():
    accepted, leaving = await removed_while_asked(server, bank)
    with pytest.raises(Refusal) as caught:
      await server.predict(["a"], ["topic"])
    assert caught.value.status == 404
    assert "topic" in bank.infos and "topic" not in [
        task.name for task in server.served.all()]
    bank.may_compute.set()
    assert (await accepted)[0].prediction.task == "topic"
    await leaving
    assert "topic" not in bank.infos
    await server.add("here", "topic")  # and is served again
    assert (await server.predict(["a"], ["topic"]))[0].info.task == "topic"
    assert server.served.find("topic").path == "here"

  run(scenario())


def test_a_task_that_is_added_while_it_is_removed_stays():
  bank = FakeBank()
  server = make_server(bank)

  async def scenario():
    accepted, leaving = await removed_while_asked(server, bank)
    adding = asyncio.ensure_future(server.add("here", "topic"))
    with pytest.raises(Refusal) as caught:
      await server.remove("topic")
    assert caught.value.status == 404
    bank.may_compute.set()
    await asyncio.gather(accepted, leaving, adding)
    assert server.served.find("topic").path == "here"

    async def change(number):
      with contextlib.suppress(Refusal):
        if number % 3:
          await server.add(f"file {number}", "topic")
        else:
          await server.remove("topic")

    await asyncio.gather(*map(change, range(30)))
    await server.add("last", "topic")
    assert (await server.predict(["a"], ["topic"]))[0].info is bank.info(
        "topic")
    assert server.served.find("topic").path == "last"

  run(scenario())


def test_a_server_that_drains_finishes_and_takes_nothing():
  bank = FakeBank()
  server = make_server(bank)
  assert not server.is_ready
  server.warm_up()
  assert server.is_ready
  assert [batch[0].lengths for batch in bank.batches] == [(4,), (8,)]

  async def scenario():
    bank.may_compute.clear()
    accepted = asyncio.ensure_future(server.predict(["a"] * 9, ["topic"] * 9))
    await until(lambda: waiting_rows(server) == 9)
    draining = asyncio.ensure_future(server.drain())
    await until(lambda: server.is_draining)
    with pytest.raises(Refusal) as caught:
      await server.predict(["b"], ["topic"])
    assert caught.value.status == 503 and not draining.done()
    bank.may_compute.set()
    await draining
    assert len(await accepted) == 9

  run(scenario())
  server.close()
  assert not server.is_ready


def test_a_task_that_is_replaced_midway_answers_by_one_file():
  bank = FakeBank()
  server = make_server(bank, max_batch_rows=1)

  async def scenario():
    bank.may_compute.clear()
    asked = asyncio.ensure_future(server.predict(["a", "b"], ["tags"] * 2))
    await until(lambda: waiting_rows(server) == 2)
    await server.add("another", "tags")  # of another type of problem
    bank.may_compute.set()
    return await asked

  answers = run(scenario())
  assert [one.info for one in answers] == [bank.info("tags")] * 2
  assert [one.prediction for one in answers] == [
      predict("tags", bank.info("tags"), text) for text in ("a", "b")]


def test_figures_are_of_the_last_seconds_and_no_more_is_kept():
  now = 0.0
  live = LiveFigures(lambda: now)
  for second in range(1000):
    now = float(second)
    live.answered({"a": 1}, 200, second / 1000)
    live.computed(BatchFigures(second, 8 * second, 2, [0.0] * second, 1.0)
                  if second else BatchFigures(1, 8, 1, [0.0], 1.0))
  figures = live.figures()
  assert figures["requests_per_second"] == 1.1
  assert figures["batch_rows"] == 994 and figures["batch_tasks"] == 2
  assert 989 <= figures["p50_ms"] < figures["p95_ms"] <= 999
  assert len(live._answers) == len(live._batches) == 11
  now += 60
  assert live.figures()["p50_ms"] is None
