"""Requests of whoever wants the server to fail, to wait or to say too much."""

import asyncio
import gzip
import json

import pytest

from tests.serving.server.fake_bank import (
    FakeBank,
    asked,
    client_of,
    make_server,
    post,
    until,
    waiting_rows,
)
from tf_adapters.serving.server import json_http
from tf_adapters.serving.server.application import make_application

SURROGATE = b'"half \\ud83d"'


def assert_one_line(response):
  assert 400 <= response.status_code < 500, response.text
  values = response.json()
  assert values.keys() == {"error"}
  assert values["error"] and "\n" not in values["error"]
  assert "Traceback" not in values["error"] and len(values["error"]) < 2100


@pytest.mark.parametrize("body, status", [
    (b"", 400), (b"{", 400), (b"[]", 422), (b"null", 422), (b'"text"', 422),
    (b'{"inputs": "\xff"}', 400), (b"\xff\xfe{\x00}\x00", 400),
    (b'{"inputs": NaN}', 400), (b'{"inputs": [-Infinity]}', 400),
    (b'{"inputs": ' + b"[" * 100_000, 400),
    (b'{"inputs": ' + b'{"text": ' * 50_000, 400),
    (b'{"inputs": ' + b"9" * 10_000 + b"}", 400),
    (b'{"inputs": 1e999}', 422), (b"{}", 422), (b'{"inputs": null}', 422),
    (b'{"inputs": ' + SURROGATE + b"}", 422),
    (b'{"inputs": {"text": 1}}', 422), (b'{"inputs": {"other": "a"}}', 422),
    (b'{"inputs": [["a", "b", "c"]]}', 422), (b'{"inputs": [["a"]]}', 422),
    (b'{"inputs": [[["a"]]]}', 422), (b'{"inputs": [true]}', 422),
    (b'{"inputs": "a", "parameters": []}', 422),
    (b'{"inputs": "a", "parameters": "x"}', 422),
    (b'{"inputs": "a", "parameters": {"top_k": 0}}', 422),
    (b'{"inputs": "a", "parameters": {"top_k": true}}', 422),
    (b'{"inputs": "a", "parameters": {"top_k": 1.5}}', 422),
    (b'{"inputs": "a", "parameters": {"truncation": 1}}', 422),
    (b'{"inputs": "a", "parameters": {"a\\nb": 1}}', 422),
    (b'{"inputs": "a", "truncate": "yes"}', 422),
    (b'{"inputs": "a", "other": 1}', 422),
    (b'{"inputs": "a", "inputs": "b"}', 400),
    (b'{"inputs": {"text": "a", "text": "b"}}', 400),
    (b'{"inputs": {"text": "a", "text_pair": "b"}}', 422),
])
def test_bodies_that_are_no_texts(body, status):
  response = post(make_server(), "/models/topic", body)
  assert_one_line(response)
  assert response.status_code == status


@pytest.mark.parametrize("path, bodies", [
    ("/predict", (
        {"inputs": "a"}, {"inputs": "a", "task": 1}, {"inputs": "a",
                                                      "tasks": "topic"},
        {"inputs": "a", "tasks": []}, {"inputs": "a", "tasks": [["topic"]]},
        {"inputs": "a", "task": "topic", "tasks": ["topic"]})),
    ("/v1/models/topic:predict", (
        {}, {"instances": "a"}, {"instances": [1]}, {"instances": [["a"]]},
        {"instances": [{"txt": "a"}]}, {"instances": [{}]},
        {"instances": [{"b64": "%"}]}, {"instances": [{"b64": "/w=="}]},
        {"instances": ["a"], "inputs": ["a"]}, {"inputs": "a"},
        {"inputs": {"text": ["a", "b"], "text_pair": ["a", "b", "c"]}},
        {"inputs": {"text_pair": ["a"]}}, {"inputs": {"text": [1]}},
        {"instances": ["a"], "signature_name": "other"},
        {"instances": [{"text": "a", "text_pair": "b"}]})),
    ("/v2/models/topic/infer", (
        {}, {"inputs": {}}, {"inputs": [1]}, {"inputs": []},
        {"inputs": [{"name": "other"}]},
        *({"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES",
                       "data": ["a"], **change}]} for change in (
            {"shape": [2]}, {"shape": [-1]}, {"shape": "x"}, {"shape": []},
            {"shape": [1, 2]}, {"shape": [True]}, {"datatype": "FP32"},
            {"shape": [10**4000]}, {"name": ["text"]}, {"name": {}},
            {"data": [1]}, {"data": "a"}, {"data": None})),
        {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES",
                     "data": ["a"]}], "outputs": [{"name": "other"}]},
        {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES",
                     "data": ["a"]}], "outputs": "label"},
        {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES",
                     "data": ["a"]}] * 2})),
])
def test_shapes_that_no_protocol_has(path, bodies):
  for response in asked(make_server(), *(
      ("POST", path, body) for body in bodies)):
    assert_one_line(response)
    assert response.status_code == 422, response.text


def test_a_few_bytes_that_stand_for_very_many_texts(monkeypatch):
  server = make_server()
  monkeypatch.setattr(server, "_rows", None)  # nothing is made of them
  word, long = 9 * "a", 90_000 * "a"
  for path, body, message in (
      ("/predict", {"inputs": [""] * 100_000, "tasks": [
          str(number) for number in range(20_000)]}, "2,000,000,000 texts"),
      ("/predict", {"inputs": [""] * 257, "task": "topic"}, "257 texts"),
      ("/v1/models/topic:predict", {"inputs": {
          "text": [f"{word}{number}" for number in range(200)],
          "text_pair": [long]}}, "18,002,290 characters")):
    response = post(server, path, body)
    assert response.status_code == 413, response.text
    assert response.json()["error"].startswith(message)


def test_a_text_for_many_tasks_counts_once():
  server = make_server(max_body_bytes=1000)
  response = post(server, "/predict", {
      "inputs": "a" * 800, "tasks": ["topic", "tags", "words", "score"]})
  assert response.status_code == 200, response.text
  response = post(server, "/predict", {
      "inputs": {"question": "a", "context": "b" * 600},
      "tasks": ["answers", "same"]})
  assert response.status_code == 413
  assert "1,202 characters" in response.json()["error"]


def test_bodies_in_other_codings():
  async def ask(content, coding):
    async with client_of(make_server()) as client:
      return await client.post("/models/topic", content=content, headers={
          "Content-Encoding": coding})

  body = b'{"inputs": "a"}'
  response = asyncio.run(ask(gzip.compress(body), "gzip"))
  assert response.status_code == 415 and "gzip" in response.json()["error"]
  assert_one_line(response)
  assert asyncio.run(ask(body, "identity")).status_code == 200
  # The mark that some editors begin a file with.
  assert post(make_server(), "/models/topic", b"\xef\xbb\xbf" + body
              ).status_code == 200


def test_paths_that_lead_nowhere():
  names = ("x" * 5000, "a%0Ab", "%FF", "..%2F..%2Fetc", "topic%00", "")
  for response in asked(make_server(), *(
      request for name in names for request in (
          ("POST", f"/models/{name}", {"inputs": "a"}),
          ("GET", f"/v1/models/{name}/metadata", None),
          ("GET", f"/v2/models/{name}", None))),
      ("GET", "/predict", None), ("PUT", "/models/topic", None),
      ("POST", "/v1/models/topic", None), ("GET", "/v1", None),
      ("POST", "/v1/models/topic:predict?truncation=perhaps",
       {"instances": ["a"]})):
    assert_one_line(response)


def test_a_body_that_is_too_large_is_not_kept(monkeypatch):
  server = make_server(max_body_bytes=1000)
  monkeypatch.setattr(json_http, "_SECONDS_TO_DISCARD", 0.05)
  sent = 0

  async def endless():
    nonlocal sent
    for _ in range(100):
      sent += 1_000_000
      yield b" " * 1_000_000

  async def stalls():
    yield b" " * 2000
    await asyncio.sleep(60)
    yield b""

  async def scenario():
    async with client_of(server) as client:
      for content, headers in ((endless(), {}), (endless(), {
          "Content-Length": "100000000"}), (stalls(), {}), (b" " * 1001, {})):
        response = await client.post(
            "/models/topic", content=content, headers=headers)
        assert response.status_code == 413
        assert "more than the 1,000 bytes" in response.json()["error"]
      told = await client.post(
          "/models/topic", content=endless(), headers={
              "Content-Length": "100000000", "Expect": "100-continue"})
      assert told.status_code == 413 and sent < 220_000_000
      fine = json.dumps({"inputs": "a" * 900}).encode()
      response = await client.post("/models/topic", content=fine)
      assert response.status_code == 200

  asyncio.run(asyncio.wait_for(scenario(), 20))
  assert sent > 100_000_000  # it was read, and thrown away


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch):
  monkeypatch.setattr(json_http, "_SECONDS_TO_SEND", 0.05)

  async def trickles():
    while True:
      yield b" "
      await asyncio.sleep(0.01)

  async def scenario():
    async with client_of(make_server()) as client:
      return await client.post("/models/topic", content=trickles())

  response = asyncio.run(asyncio.wait_for(scenario(), 20))
  assert response.status_code == 408
  assert_one_line(response)


def hang_up(server, messages, path="/models/topic"):
  """Sends messages, hangs up, and returns what was sent back."""
  left, sent = list(messages), []

  async def receive():
    if left:
      return left.pop(0)
    await asyncio.sleep(0.01)
    return {"type": "http.disconnect"}

  async def send(message):
    sent.append(message)

  scope = {"type": "http", "method": "POST", "path": path, "headers": [],
           "query_string": b"", "http_version": "1.1", "scheme": "http",
           "server": ("server", 80), "client": ("client", 1), "root_path": "",
           "raw_path": path.encode(), "asgi": {"version": "3.0"}}
  asyncio.run(asyncio.wait_for(
      make_application(server)(scope, receive, send), 20))
  return sent


def test_a_body_that_has_come_is_not_waited_for(monkeypatch):
  monkeypatch.setattr(json_http, "_discard", None)
  sent = hang_up(make_server(max_body_bytes=1000), [
      {"type": "http.request", "body": b" " * 1001, "more_body": False}])
  assert sent[0]["status"] == 413


def test_clients_that_hang_up_leave_nothing_behind():
  bank = FakeBank(seconds=0.1)
  server = make_server(bank, max_wait_ms=50.0)
  body = b'{"inputs": "a"}'
  for messages in (
      [], [{"type": "http.request", "body": body[:5], "more_body": True}],
      [{"type": "http.request", "body": body, "more_body": False}]):
    assert hang_up(server, messages)[0]["status"] == 499
    assert server.figures()["queue_rows"] == 0
  assert bank.batches == []


def test_a_defect_is_told_to_the_log_and_not_to_the_client(capsys):
  bank = FakeBank()
  bank.fails_on = "secret"
  response = post(make_server(bank), "/models/topic", {"inputs": "secret"})
  assert response.status_code == 500
  assert response.json() == {"error": "the server failed: its log says why"}
  assert "RuntimeError: a defect" in capsys.readouterr().err


def test_statuses_of_a_server_that_has_too_much_or_ends():
  server = make_server(max_queue_rows=4, max_request_rows=4)
  bank = server.bank

  async def scenario():
    async with client_of(server) as client:
      bank.may_compute.clear()
      waiting = [asyncio.ensure_future(client.post(
          "/models/topic", json={"inputs": ["a"] * 2})) for _ in range(1)]
      await until(lambda: waiting_rows(server) == 2)
      full = await client.post("/models/topic", json={"inputs": ["a"] * 2})
      assert full.status_code == 429 and int(full.headers["retry-after"]) >= 1
      server.is_draining = True
      closed = await client.post("/models/topic", json={"inputs": "a"})
      assert closed.status_code == 503 and "retry-after" in closed.headers
      ready = await client.get("/v2/health/ready")
      assert ready.status_code == 503
      bank.may_compute.set()
      (answer,) = await asyncio.gather(*waiting)
      assert answer.status_code == 200
      # Another request on the same connection would be lost.
      assert "connection" not in full.headers
      assert answer.headers["connection"] == "close"
      assert closed.headers["connection"] == "close"

  asyncio.run(asyncio.wait_for(scenario(), 20))
