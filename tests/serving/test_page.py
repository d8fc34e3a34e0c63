"""The server's page in a real Chromium, beside a server of made-up answers."""

import http.server
import json
import pathlib
import threading

import pytest
import uvicorn

from tests.browser import CONTROL, DOWN, ENTER, RIGHT, TAB, browser
from tests.serving.server.fake_bank import FakeBank, make_server, predict
from tf_adapters.serving.server import running
from tf_adapters.serving.server.application import make_application
from tf_adapters.serving.server.page import content_security_policy

PAGE = (pathlib.Path(__file__).parents[2]
        / "tf_adapters/serving/server/page/index.html")
CONTEXT = "😀 Delerue wrote the music."


def task(name, problem_type="classification", labels=("no", "yes"),
         pair=False):
  return {"id": name, "object": "model", "parent": "minilm_l6",
          "root": f"adapters/{name}", "problem_type": problem_type,
          "labels": list(labels), "metrics": {"dev": {"accuracy": 0.9171}},
          "pair": pair}


TASKS = [
    task("sst2", labels=("negative", "positive")),
    task("mrpc", labels=("equivalent", "different"), pair=True),
    task("stars", "regression", ()), task("ner", "tagging", ("PER", "O")),
    task("squad", "span", (), True),
    task("topics", "multi_label", [f"topic_{n}" for n in range(9)]),
    task("<b>odd</b>"), task("removed"), task("written"),
    {**task("no metric"), "metrics": {"dev": {"pearson": None}}},
    *(task(f"customer_{number:04}") for number in range(1000))]
ANSWERS = {
    "sst2": [{"label": "positive", "score": 0.975},
             {"label": "negative", "score": 0.025}],
    "mrpc": [{"label": "different", "score": 0.75},
             {"label": "equivalent", "score": 0.25}],
    "stars": {"score": 4.25},
    "ner": [{"entity_group": "PER", "score": 0.9, "word": "Delerue",
             "start": 2, "end": 9}],
    "squad": {"answer": "Delerue", "score": 0.8, "start": 2, "end": 9},
    "topics": [{"label": f"topic_{n}", "score": n / 10, "predicted": n > 6}
               for n in range(9)],
    "<b>odd</b>": [{"label": "<i>no</i>", "score": 1.0}],
}
STATS = {"requests_per_second": 41.5, "p50_ms": 12.25, "p95_ms": 30,
         "queue_rows": 0, "batch_rows": 17.5, "batch_tasks": 9,
         "resident_tasks": 256, "known_tasks": len(TASKS)}


class Handler(http.server.BaseHTTPRequestHandler):
  """Answers as the server would; remembers what it was asked."""

  def do_GET(self):
    if self.path == "/":
      self.answer(200, PAGE.read_bytes(), "text/html; charset=utf-8")
    else:
      self.answer(200, {"/stats": STATS, "/v1/models": {
          "object": "list", "data": TASKS}}[self.path])

  def do_POST(self):
    assert self.path == "/predict"
    body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
    self.server.asked.append(body)
    if body["inputs"] == "too much":
      self.answer(429, {"error": "the queue is full"}, retry="3")
    elif len(body["tasks"]) > 100:
      self.answer(413, {"error": "too many texts: send several requests"})
    elif "written" in body["tasks"]:
      self.answer(503, {"error": "adapters/written: it changes at this moment: "
                        "ask again"}, retry="2")
    elif "removed" in body["tasks"]:
      self.answer(404, {"error": "there is no task 'removed'"})
    else:
      self.answer(200, {name: ANSWERS.get(name, ANSWERS["sst2"])
                        for name in body["tasks"]})

  def answer(self, status, content, kind="application/json", retry=None):
    if kind == "application/json":
      content = json.dumps(content).encode()
    self.send_response(status)
    self.send_header("Content-Type", kind)
    self.send_header("Content-Length", str(len(content)))
    if self.path == "/":
      self.send_header("Content-Security-Policy", content_security_policy(
          content.decode()))
    if retry:
      self.send_header("Retry-After", retry)
    self.end_headers()
    self.wfile.write(content)

  def log_message(self, *_):
    pass


@pytest.fixture(scope="module")
def server():
  server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
  server.asked = []
  threading.Thread(target=server.serve_forever, daemon=True).start()
  yield server
  server.shutdown()


@pytest.fixture(scope="module")
def window(tmp_path_factory):
  with browser(tmp_path_factory.mktemp("profile")) as window:
    yield window


@pytest.fixture
def page(window, server):
  server.asked.clear()
  window.resize(1280, 900)
  window.open(f"http://127.0.0.1:{server.server_port}/")
  window.wait("return document.querySelector('[role=option]')")
  return window


def pick(page, *names):
  for name in names:
    page.run("document.querySelector('#find').value = ''")
    page.type("#find", name + ENTER)


def test_two_tasks_answer_a_text(page, server):
  pick(page, "sst2", "topics")
  page.type("#text", "a moving film")
  page.click("#run")
  page.wait("return document.querySelectorAll('.answer').length == 2")
  assert page.text(".answer[data-task=sst2]").splitlines() == [
      "sst2", "one label", "positive", "97.5 %", "negative", "2.5 %"]
  # The best come first, the others when they are asked for.
  assert page.text(".answer[data-task=topics] li") == "topic_8\n80.0 %"
  assert page.run("return document.querySelectorAll("
                  "'[data-task=topics] .on').length") == 2
  page.click(".answer[data-task=topics] button")
  assert page.run("return document.querySelectorAll("
                  "'[data-task=topics] .bars li').length") == 9
  assert server.asked == [{"inputs": "a moving film", "tasks": [
      "sst2", "topics"], "parameters": {"top_k": 9}}]
  assert "positive, 97.5 %" in page.run(
      "return document.querySelector('[aria-live=polite]').textContent")


def test_the_server_itself_answers(window):
  bank = FakeBank()
  found = running.listen("127.0.0.1", 0)
  server = uvicorn.Server(uvicorn.Config(
      make_application(make_server(bank)), lifespan="off",
      log_level="warning"))
  thread = threading.Thread(target=server.run, args=([found],))
  thread.start()
  try:
    window.open(running.address_of(found))
    window.wait("return document.querySelector('[role=option]')")
    pick(window, "topic", "score")
    window.type("#text", "a film" + ENTER)
    window.press(CONTROL, ENTER)
    window.wait("return document.querySelectorAll('.answer').length == 2")
  finally:
    server.should_exit = True
    thread.join()
  text = "a film\n"
  scores = predict("topic", bank.info("topic"), text).probabilities
  best = max(scores, key=scores.get)
  assert window.text(".answer[data-task=topic] li") == (
      f"{best}\n{100 * scores[best]:.1f} %")
  assert float(window.text(".answer[data-task=score] .number")
               ) == pytest.approx(
                   predict("score", bank.info("score"), text).value, rel=1e-3)


def test_every_kind_of_task_shows_its_answer(page, server):
  pick(page, "mrpc", "stars", "ner", "squad")
  page.type("#question", "Who?")
  page.run(f"document.querySelector('#text').value = {json.dumps(CONTEXT)}")
  page.type("#second", "He did.")
  page.click("#run")
  page.wait("return document.querySelectorAll('.answer').length == 4")
  assert "75.0 %" in page.text(".answer[data-task=mrpc]")
  assert page.text(".answer[data-task=stars] .number") == "4.25"
  assert page.text(".answer[data-task=ner] mark") == "DeleruePER"
  assert page.text(".answer[data-task=squad] mark") == "Delerue"
  assert page.text(".answer[data-task=squad] .passage") == CONTEXT
  by_task = {body["tasks"][0]: body for body in server.asked}
  assert by_task["squad"]["inputs"] == {"question": "Who?", "context": CONTEXT}
  assert by_task["mrpc"]["inputs"] == {"text": CONTEXT, "text_pair": "He did."}
  assert by_task["stars"] == {"inputs": CONTEXT, "tasks": ["stars", "ner"]}


def test_mistakes_are_said_in_words(page):
  page.click("#run")
  assert page.text("#problem") == "Pick a task first."
  pick(page, "sst2", "removed")
  page.click("#run")
  assert page.text("#problem") == "Write a text first."
  page.type("#text", "good")
  page.click("#run")
  page.wait("return document.querySelectorAll('.answer').length == 2")
  assert "positive" in page.text(".answer[data-task=sst2]")
  assert "there is no task 'removed'" in page.text(
      ".answer[data-task=removed] .wrong")
  pick(page, "written")
  page.click("#run")
  page.wait("return document.querySelectorAll('.answer').length == 3")
  assert "positive" in page.text(".answer[data-task=sst2]")
  assert page.text(".answer[data-task=written] .wrong") == (
      "adapters/written: it changes at this moment: try again in 2 s")
  page.run("document.querySelector('#text').value = 'too much'")
  page.click("#run")
  page.wait("return !document.querySelector('#problem').hidden")
  assert page.text("#problem") == "the queue is full: try again in 3 s"


def test_a_thousand_tasks_are_searched(page):
  assert page.text("#count") == f"{len(TASKS):,}"
  page.type("#find", "customer 07")
  found = sum("07" in task["id"] for task in TASKS)
  assert page.text("#count") == f"{found} of {len(TASKS):,}"
  page.run("document.querySelector('#find').value = ''")
  page.type("#find", "nothing")
  assert page.text("#tasks").startswith("No task has this")


def test_hundreds_of_tasks_can_be_chosen(page, server):
  for words in ("customer_00", "customer_01"):
    page.run("document.querySelector('#find').value = ''")
    page.type("#find", words)
    assert page.text("#all") == "Select all"
    page.click("#all")
  page.run("document.querySelector('#find').value = ''")
  page.type("#find", "customer")
  assert page.text("#all") == "Select first 200"
  for width in (1280, 360):
    page.resize(width, 800)
    # The text stays in sight, and Tab does not stop at every task.
    assert page.run("return document.querySelector('#text').getBoundingClient"
                    "Rect().top - document.querySelector('#ask').getBounding"
                    "ClientRect().top") < 240
  assert page.run("return document.querySelectorAll("
                  "'#chosen button:not([tabindex=\"-1\"])').length") == 1
  page.run("document.querySelector('#chosen button').focus()")
  page.press(RIGHT)
  assert page.run(
      "return document.activeElement.dataset.task") == "customer_0001"
  page.press(ENTER)
  assert page.run(
      "return document.activeElement.dataset.task") == "customer_0002"
  page.type("#text", "good")
  page.click("#run")
  page.wait("return document.querySelectorAll('.answer').length == 199")
  assert page.run("return document.querySelector('.answer .wrong')") is None
  assert [len(body["tasks"]) for body in server.asked].count(199) == 1


def test_keys_are_enough(page):
  page.type("#find", "customer")
  page.press(DOWN)
  for key in (" ", DOWN, " ", TAB, TAB):
    page.press(key)
  assert page.run("return document.activeElement.id") == "none"
  assert page.text("#chosen") == "customer_0000\ncustomer_0001"
  page.click("#none")
  assert page.run("return document.activeElement.id") == "find"
  pick(page, "<b>odd")
  page.type("#text", "good")
  page.press(CONTROL, ENTER)
  page.wait("return document.querySelector('.answer')")
  # Names and labels are text, whatever is in them.
  assert page.text(".answer").splitlines()[::2] == ["<b>odd</b>", "<i>no</i>"]


def test_figures_are_live_and_a_phone_is_wide_enough(page):
  page.wait("return document.querySelector('#rate').textContent == '41.5'")
  assert page.text("#time") == "12.3 / 30 ms"
  assert page.text("#resident") == f"256 of {len(TASKS):,}"
  assert page.text("#state") == "Serving"
  page.resize(360, 740)
  pick(page, "topics", "<b>odd")
  page.type("#text", "x" * 200)
  page.click("#run")
  page.wait("return document.querySelectorAll('.answer').length == 2")
  assert page.run("return document.documentElement.scrollWidth") == 360


def test_every_field_has_a_label_and_nothing_comes_from_elsewhere(page):
  assert page.run(
      "return [...document.querySelectorAll('input, textarea')].every("
      "field => field.labels.length == 1)")
  loaded = page.run("return performance.getEntriesByType('resource').map("
                    "entry => new URL(entry.name).pathname)")
  assert set(loaded) <= {"/stats", "/v1/models"}
