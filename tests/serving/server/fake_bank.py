"""A bank that computes nothing, and a server on it: for tests without
TensorFlow."""

import asyncio
import dataclasses
import hashlib
import threading
import time

import httpx
import numpy as np

from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.errors import InputError
from tf_adapters.problems.prediction import Prediction
from tf_adapters.serving.bank_texts import OutOfMemory, RowError, make_rows
from tf_adapters.serving.server.application import make_application
from tf_adapters.serving.server.core import ModelServer
from tf_adapters.serving.server.limits import ServerConfig

TOKEN = "a token of the tests"
# Problem, labels, pairs.
KINDS = {"topic": ("classification", "abc", False),
         "same": ("classification", "yn", True),
         "either": ("classification", "yn", None),
         "tags": ("multi_label", "pqr", False),
         "score": ("regression", "", None),
         "words": ("tagging", ("O", "B-PER", "I-PER"), False),
         "pos": ("tagging", ("NOUN", "VERB"), False),
         "answers": ("span", "", True)}
MAX_LENGTH = 12


def make_info(name, problem, labels, pairs, version=0):
  return AdapterInfo(
      2, name, problem, tuple(labels),
      "tokens" if problem in ("tagging", "span") else "mean", 0.1, None, "head",
      MAX_LENGTH, {"test": {"accuracy": 0.5}},
      {"source": "fake", "architecture": {}}, {}, f"sha of {version}", {},
      pairs)


@dataclasses.dataclass(frozen=True)
class FakeRow:
  """As `TokenizedRow`, with a wordpiece for each word."""

  row: object
  words: tuple
  is_too_long: bool
  lengths: tuple


def number_of(info, text):
  """Returns a number made of the task's version and the text."""
  digest = hashlib.sha256(f"{info.task} {info.weights_sha256} {text}".encode())
  return int.from_bytes(digest.digest()[:4], "big")


def predict(name, info, text):
  """Returns the fake bank's prediction of a text."""
  if info is None:
    return Prediction(name, np.array([len(text), 0.5], np.float32), None)
  number = number_of(info, text)
  labels = info.labels
  scores = {label: round(1 / (2 + (number + place) % 7), 6)
            for place, label in enumerate(labels)}
  if info.problem_type == "regression":
    return Prediction(name, number / 1000, None)
  if info.problem_type == "tagging":
    words = text.split()
    tags = [labels[(number + place) % len(labels)]
            for place, _ in enumerate(words)]
    return Prediction(name, list(zip(words, tags)), [
        (word, {**dict.fromkeys(labels, 0.25), tag: 0.5})
        for word, tag in zip(words, tags)])
  if info.problem_type == "span":
    context = text[1]
    return Prediction(name, context[:3], {context[:3]: 0.75, "": 0.25},
                      (0, 3) if context else None)
  if info.problem_type == "multi_label":
    return Prediction(name, tuple(label for label in labels
                                  if scores[label] > 0.2), scores)
  return Prediction(name, max(scores, key=scores.get), scores)


class FakeBank:
  """As much of an `AdapterBank` as a server needs."""

  source = "a fake encoder"
  widths = (4, 8, 16, 32)

  def __init__(self, seconds=0.0):
    self.infos = {name: make_info(name, *kind) for name, kind in KINDS.items()}
    self.seconds = seconds
    self.batches = []
    self.may_compute = threading.Event()
    self.may_compute.set()
    self.fails_on = None
    self.on_bad = lambda: None

  store = residency = None

  def __contains__(self, name):
    return name in self.infos

  def names(self):
    return list(self.infos)

  def info(self, name):
    try:
      return self.infos[name]
    except KeyError:
      raise InputError(f"the bank has no task {name!r}") from None

  def rows(self, texts, tasks):
    return make_rows(texts, tasks, lambda name: (1, self.info(name)),
                     MAX_LENGTH)

  def tokenize(self, rows, cut=True):
    made = []
    for row in rows:
      words = (row.first + b" " + row.second).split()
      is_too_long = len(words) + 2 > row.max_length
      if is_too_long and cut:
        words = words[:row.max_length - 2]
      made.append(FakeRow(row, tuple(words), is_too_long and not cut,
                          (len(words) + 2,)))
    return made

  def predict_rows(self, rows, batch_size):
    self.may_compute.wait()
    time.sleep(self.seconds)
    self.batches.append(rows)
    results = []
    for number, one in enumerate(rows):
      row = one.row
      text = row.first.decode()
      if text == self.fails_on:
        raise RuntimeError("a defect")
      if text == "too large":
        results.append(RowError(number, "is not finite"))
      elif text == "no memory":
        results.append(OutOfMemory("there is not enough memory"))
      elif row.info is not None and row.name not in self.infos:
        results.append(InputError("it has gone"))
      else:
        results.append(predict(
            row.name, row.info and self.info(row.name),
            (text, row.second.decode()) if row.is_pair else text))
    return results

  def add(self, path, name=None):
    if "bad" in str(path):
      self.on_bad()
      raise InputError(f"{path}: is damaged")
    self.infos[name] = make_info(name, "classification", "abc", False, path)
    return name

  def replace(self, name, path):
    self.add(path, name)

  def remove(self, name):
    self.info(name)
    del self.infos[name]


def make_server(bank=None, **config):
  return ModelServer(bank or FakeBank(), ServerConfig(**config))


def waiting_rows(server):
  """Rows that wait or are computed."""
  return server.figures()["queue_rows"]


async def until(condition):
  """Lets others have their turn until something is so."""
  while not condition():
    await asyncio.sleep(0.001)


def client_of(server, token=TOKEN):
  """An asynchronous client of the application, without a network."""
  return httpx.AsyncClient(
      transport=httpx.ASGITransport(make_application(server, token)),
      base_url="http://server")


def asked(server, *requests):
  """Responses to requests, (method, path, JSON or bytes) each, one by one."""

  async def ask():
    async with client_of(server) as client:
      return [await client.request(
          method, path, **({} if body is None else {"content": body}
                           if isinstance(body, bytes) else {"json": body}))
              for method, path, body in requests]

  return asyncio.run(ask())


def post(server, path, body):
  """The response to one request."""
  (response,) = asked(server, ("POST", path, body))
  return response
